//! aft beside redis-server, in one run.
//!
//! ```text
//! cargo bench --bench redis_compare                     all tables and plots of docs/benchmarks
//! cargo bench --bench redis_compare -- --parts matrix   some: matrix, million, instructions
//! cargo bench --bench redis_compare -- --quick          a moment each: does it work at all?
//! cargo bench --bench redis_compare -- --against-itself redis-server on both sides: the noise
//! cargo bench --bench redis_compare -- load --help      the load generator, at any server
//! ```
//!
//! A figure of one server on one machine says little: neighbours come and go. So both
//! servers run at the same time, are asked in turn (redis, aft, redis, aft, …), and the
//! result is the median of the rounds' ratios, with their spread.
//!
//! Who does what:
//!
//! ```text
//! options ─┬▶ compare ─┬─▶ servers          starts and ends redis-server, aft, the bare loop
//!          │           ├─▶ redis_benchmark  throughput of plain commands
//!          │           ├─▶ load, workload   transfers, and latency at a fixed rate
//!          │           └─▶ limits           what the machine would allow
//!          ├▶ million                       memory of a key, and starts
//!          ├▶ instructions                  by callgrind
//!          └▶ report ─▶ bars, plot, text    docs/benchmarks/*.md, *.svg
//! ```
//!
//! servers, load and whatever else `years` needs, too, is in `benches/common`.

mod bars;
mod cells;
#[path = "../common/mod.rs"]
mod common;
mod compare;
mod instructions;
mod limits;
mod million;
mod options;
mod plot;
mod redis_benchmark;
mod report;
mod text;
mod workload;

use std::path::Path;
use std::process::ExitCode;

use common::{Result, clock, connection, figures, load, machine, requests, servers};
use options::{Options, Part, Task};
use report::Report;
use servers::Directory;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("redis_compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let task = options::parse();
    common::run(async {
        match task {
            Task::Compare(options) => measure(&options).await,
            Task::Load(plan) => workload::run_alone(&plan).await,
            Task::BareLoop => limits::serve_bare_loop().await,
        }
    })
}

/// Measures what was asked for, and writes each part as soon as it is there.
async fn measure(options: &Options) -> Result<()> {
    // Below target/, so on the disk of the checkout, and not in a /tmp that is memory.
    let data = Directory::create(Path::new(env!("CARGO_TARGET_TMPDIR")), "redis_compare")?;
    let report = Report::new(options, machine::describe(&data.path));
    for part in &options.parts {
        match part {
            Part::Matrix => report.matrix(&compare::run(options, &data.path).await?)?,
            Part::Million => report.million(&million::run(options, &data.path).await?)?,
            Part::Instructions => {
                report.instructions(&instructions::run(options, &data.path).await?)?;
            }
        }
    }
    Ok(())
}
