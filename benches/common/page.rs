//! Pages of results.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::Result;

/// Title, remarks, what to type, and where it was measured.
pub(crate) fn head(
    title: &str,
    remarks: &[&str],
    command: &str,
    machine: &[(&'static str, String)],
) -> Result<String> {
    let mut out = format!("{title}\n\n");
    for remark in remarks {
        writeln!(out, "{remark}\n")?;
    }
    writeln!(out, "{command}")?;
    for (name, value) in machine {
        writeln!(out, "- {name}: {value}")?;
    }
    out.push('\n');
    Ok(out)
}

/// What stands above a quick run.
pub(crate) const QUICK: &str = "A quick run: it shows that the benchmark works, and no more.";

/// Writes a page or a picture.
pub(crate) fn write(directory: &Path, name: &str, contents: &str) -> Result<()> {
    fs::create_dir_all(directory)?;
    let file = directory.join(name);
    fs::write(&file, contents)?;
    println!("written to {}", file.display());
    Ok(())
}

/// A page with a section for each part of a benchmark.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) name: &'static str,
    /// What stands above them.
    pub(crate) title: &'static str,
    /// Their names, in order.
    pub(crate) sections: &'static [&'static str],
}

impl Page {
    /// Prints a section and puts it into the page, in the place of an older one of that name.
    pub(crate) fn put(&self, directory: &Path, name: &str, text: &str) -> Result<()> {
        println!("\n{text}");
        let old = fs::read_to_string(directory.join(self.name)).unwrap_or_default();
        let marker = |name: &str| format!("<!-- {name} -->\n");
        let mut page = self.title.to_owned();
        for &other in self.sections {
            let of_old = || {
                let rest = old.split_once(&marker(other))?.1;
                Some(rest.split("\n<!-- ").next().unwrap_or(rest).trim_end())
            };
            let section = if other == name { Some(text.trim_end()) } else { of_old() };
            if let Some(section) = section {
                write!(page, "\n{}{section}\n", marker(other))?;
            }
        }
        write(directory, self.name, &page)
    }
}
