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
