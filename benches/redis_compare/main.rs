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
//!          │           ├─▶ load ─▶ workload, replies
//!          │           │                    transfers, and latency at a fixed rate
//!          │           └─▶ limits           what the machine would allow
//!          ├▶ million                       memory of a key, time of a start
//!          ├▶ instructions                  by callgrind
//!          └▶ report ─▶ bars, plot, text    docs/benchmarks/*.md, *.svg
//! ```

mod bars;
mod cells;
mod clock;
mod compare;
mod instructions;
mod limits;
mod load;
mod machine;
mod million;
mod options;
mod plot;
mod redis_benchmark;
mod replies;
mod report;
mod servers;
mod text;
mod workload;

use std::error::Error;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use options::{Options, Part, Task};
use report::Report;
use servers::Directory;
use tokio::signal::unix::{SignalKind, signal};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Set once the limit of open files has been raised, so that it is tried only once.
const LIMITS_RAISED: &str = "AFT_BENCH_LIMITS_RAISED";

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
    if std::env::var_os(LIMITS_RAISED).is_none() {
        return Err(run_again_with_more_files().into());
    }
    // One thread: on a machine of two cores the load generator has one of them and the
    // server under test the other.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let work = async {
            match task {
                Task::Compare(options) => measure(&options).await,
                Task::Load(options) => load::run_alone(&options).await,
                Task::BareLoop => limits::serve_bare_loop().await,
            }
        };
        let mut terminated = signal(SignalKind::terminate())?;
        // Dropping the work ends every server it has started.
        tokio::select! {
            result = work => result,
            _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
            _ = terminated.recv() => Err("terminated".into()),
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

/// Replaces this process by itself under a higher limit of open files: Debian's default
/// of 1,024 is too low for 1,500 connections. Returns only if that failed.
fn run_again_with_more_files() -> std::io::Error {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    Command::new("sh")
        .arg("-c")
        .arg(r#"ulimit -n 16384 2>/dev/null || ulimit -n "$(ulimit -Hn)"; exec "$0" "$@""#)
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(LIMITS_RAISED, "1")
        .exec()
}
