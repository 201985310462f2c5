//! aft on the stores that people have: on a Redis, and on stores as slow as those of a cloud.
//!
//! ```text
//! cargo bench --bench stores --features all-stores                 all parts of docs/benchmarks/stores.md
//! … -- --parts latency       some: redis, latency, throughput, cost, recovery
//! … -- --quick               a moment each: does it work at all?
//! ```
//!
//! ```text
//! options ─┬▶ redis                      aft on a Redis, beside such a Redis
//!          ├▶ latency, throughput ─┐     in units of the store's put; beside AFT's layout
//!          ├▶ cost ────────────────┤     requests, bytes and dollars ─▶ prices
//!          ├▶ recovery ────────────┤     from a start to serving
//!          │                       └──▶ control ═▶ served   a process: a node of aft …
//!          │                                    ═▶ layout   … or AFT's layout …
//!          │                                        └▶ delayed ─▶ clouds, counts   on a slow store
//!          └▶ report                     docs/benchmarks/stores.md
//! ```

#[path = "../redis_compare/cells.rs"]
#[allow(dead_code, reason = "this benchmark uses its own part")]
mod cells;
mod clouds;
mod commands;
#[path = "../common/mod.rs"]
mod common;
mod control;
mod cost;
mod counts;
mod delayed;
mod latency;
mod layout;
mod options;
mod prices;
mod recovery;
mod redis;
#[path = "../redis_compare/redis_benchmark.rs"]
#[allow(dead_code, reason = "this benchmark uses its own part")]
mod redis_benchmark;
mod report;
mod served;
mod sides;
mod throughput;
mod transactions;
#[path = "../redis_compare/workload.rs"]
#[allow(dead_code, reason = "this benchmark uses its own part")]
mod workload;

use std::path::Path;
use std::process::ExitCode;

use common::{Result, clock, connection, figures, load, machine, requests, rest, servers};
use options::{Options, Part, Task};
use report::Report;
use servers::Directory;

/// That of the binary: a node in this program is to be as fast.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stores: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    match options::parse() {
        Task::Measure(options) => common::run(measure(&options)),
        Task::ServeAft { cloud, settings } => on_one_thread(served::serve(cloud, &settings)),
        Task::ServeLayout(cloud) => on_one_thread(layout::serve(cloud)),
    }
}

/// As the binary does; signals are the node's business.
fn on_one_thread(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Measures what was asked for, and writes each part as soon as it is there.
async fn measure(options: &Options) -> Result<()> {
    // Below target/, so on the disk of the checkout, and not in a /tmp that is memory.
    let data = Directory::create(Path::new(env!("CARGO_TARGET_TMPDIR")), "stores")?;
    for part in &options.parts {
        let report = Report::new(options, machine::describe(&data.path));
        match part {
            Part::Redis => report.redis(&redis::run(options, &data.path).await?)?,
            Part::Latency => report.latency(&latency::run(options, &data.path).await?)?,
            Part::Throughput => report.throughput(&throughput::run(options, &data.path).await?)?,
            Part::Cost => report.cost(&cost::run(options, &data.path).await?)?,
            Part::Recovery => report.recovery(&recovery::run(options, &data.path).await?)?,
        }
    }
    Ok(())
}
