//! What years do to a store, in minutes.
//!
//! ```text
//! cargo bench --bench years                            all parts of docs/benchmarks/years.md
//! cargo bench --bench years -- --parts endurance       some: endurance, recovery, cache, misses
//! cargo bench --bench years -- --quick                 a moment each: does it work at all?
//! ```
//!
//! As in `redis_compare`: both sides are up at the same time and are asked in turn, and what
//! counts is the median of the rounds' ratios. Beside that every part looks whether the
//! server still knows what it was told, and fails if it doesn't.
//!
//! ```text
//! options ─┬▶ endurance ─▶ overwrites   a small store is overwritten a hundred times
//!          ├▶ recovery                  a start after that, with millions of keys
//!          ├▶ cache ─▶ zipf             data ten times the cache
//!          ├▶ misses ─▶ reads           values that are not in the cache
//!          └▶ report ─▶ chart           docs/benchmarks/years.md, *.svg
//! ```

mod cache;
mod chart;
#[path = "../common/mod.rs"]
mod common;
mod endurance;
mod misses;
mod options;
mod overwrites;
mod reads;
mod recovery;
mod report;
mod zipf;

use std::path::Path;
use std::process::ExitCode;

use common::{Result, clock, connection, figures, load, machine, requests, rest, servers};
use options::{Options, Part, Task};
use report::Report;
use servers::Directory;

fn main() -> ExitCode {
    let result = match options::parse() {
        Task::Measure(options) => common::run(measure(&options)),
        Task::Serve(plan) => reads::serve(&plan),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("years: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures what was asked for, and writes each part as soon as it is there.
async fn measure(options: &Options) -> Result<()> {
    // Below target/, so on the disk of the checkout, and not in a /tmp that is memory.
    let data = Directory::create(Path::new(env!("CARGO_TARGET_TMPDIR")), "years")?;
    for part in &options.parts {
        let report = Report::new(options, machine::describe(&data.path));
        match part {
            Part::Endurance => report.endurance(&endurance::run(options, &data.path).await?)?,
            Part::Recovery => report.recovery(&recovery::run(options, &data.path).await?)?,
            Part::Cache => report.cache(&cache::run(options, &data.path).await?)?,
            Part::Misses => report.misses(&misses::run(options, &data.path).await?)?,
        }
    }
    Ok(())
}
