//! Where and on what something was measured.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Lines for the head of a report, name and value.
pub(crate) fn describe(data: &Path) -> Vec<(&'static str, String)> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    vec![
        ("date", said_by("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
        ("commit", commit()),
        ("cpu", format!("{cores} cores, {}", proc_field("cpuinfo", "model name"))),
        ("memory", memory()),
        ("load of the machine before the run", load_average()),
        ("kernel", said_by("uname", &["-sr"])),
        (
            "file system of the data",
            said_by("stat", &["-f", "-c", "%T", &data.display().to_string()]),
        ),
        ("peer", first_words(&said_by("redis-server", &["--version"]), 3)),
        ("client", said_by("redis-benchmark", &["--version"])),
    ]
}

/// How to do it again.
pub(crate) fn command_line(benchmark: &str) -> String {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let separator = if arguments.is_empty() { "" } else { " -- " };
    let arguments = arguments.join(" ");
    format!("    cargo bench --bench {benchmark}{separator}{arguments}\n")
}

/// The commit measured, and whether files differed from it.
fn commit() -> String {
    let commit = said_by("git", &["rev-parse", "--short=10", "HEAD"]);
    let changes = said_by("git", &["status", "--porcelain", "--", "src", "Cargo.toml"]);
    if changes.is_empty() { commit } else { format!("{commit} and uncommitted changes") }
}

fn memory() -> String {
    let field = proc_field("meminfo", "MemTotal");
    let kib: Option<f64> = field.split(' ').next().and_then(|number| number.parse().ok());
    kib.map_or(field, |kib| format!("{:.1} GiB", kib / f64::from(1 << 20)))
}

/// Processes that wanted to run in the last minute: what the neighbours were up to.
fn load_average() -> String {
    let averages = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    first_words(&averages, 1)
}

/// A `name : value` line of a file in /proc.
fn proc_field(file: &str, name: &str) -> String {
    fs::read_to_string(Path::new("/proc").join(file))
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))
        .unwrap_or("unknown")
        .trim()
        .to_owned()
}

/// What a program prints; empty if it can't be run.
fn said_by(program: &str, arguments: &[&str]) -> String {
    let output =
        Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

/// redis-server goes on with hashes of its build.
fn first_words(text: &str, count: usize) -> String {
    let words: Vec<&str> = text.split(' ').take(count).collect();
    words.join(" ")
}
