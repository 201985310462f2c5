//! What atomicity costs the functions of a request.
//!
//! ```text
//! cargo bench --bench functions                          all parts of docs/benchmarks/functions.md
//! cargo bench --bench functions -- --parts throughput    some: throughput, latency, afterwards
//! cargo bench --bench functions -- --quick               a moment each: does it work at all?
//! cargo bench --bench functions -- --quick --history F   what clients did and saw, in place of figures
//! ```
//!
//! As in `redis_compare`: both sides are up at the same time and are asked in turn, and what
//! counts is the median of the rounds' ratios.
//!
//! ```text
//! options ─┬▶ throughput ─▶ drive   requests as transactions, beside the bare operations
//!          ├▶ latency ────▶ drive   the same at a fixed rate
//!          ├▶ afterwards            what aborted and abandoned transactions leave
//!          └▶ report                docs/benchmarks/functions.md
//! ```

mod afterwards;
#[path = "../common/mod.rs"]
mod common;
mod drive;
mod history;
#[path = "../../tests/history_support/mod.rs"]
mod history_support;
mod latency;
mod options;
mod report;
mod throughput;
#[path = "../common/versions.rs"]
mod versions;

use std::path::Path;
use std::process::ExitCode;

use common::{Result, clock, connection, figures, load, machine, requests, servers};
use options::{Options, Part};
use report::Report;
use servers::Directory;

fn main() -> ExitCode {
    let options = options::parse();
    match common::run(measure(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("functions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures what was asked for, and writes each part as soon as it is there.
async fn measure(options: &Options) -> Result<()> {
    // Below target/, so on the disk of the checkout, and not in a /tmp that is memory.
    let data = Directory::create(Path::new(env!("CARGO_TARGET_TMPDIR")), "functions")?;
    if let Some(path) = &options.history {
        return record(options, &data.path, path).await;
    }
    for part in &options.parts {
        let report = Report::new(options, machine::describe(&data.path));
        match part {
            Part::Throughput => report.throughput(&throughput::run(options, &data.path).await?)?,
            Part::Latency => report.latency(&latency::run(options, &data.path).await?)?,
            Part::Afterwards => report.afterwards(&afterwards::run(options, &data.path).await?)?,
        }
    }
    Ok(())
}

/// Writes down what clients of the parts do and see that have some.
async fn record(options: &Options, data: &Path, path: &Path) -> Result<()> {
    history::create(path)?;
    for part in &options.parts {
        match part {
            Part::Throughput => drop(throughput::run(options, data).await?),
            Part::Latency => drop(latency::run(options, data).await?),
            Part::Afterwards => {}
        }
    }
    history::check_file(path)
}
