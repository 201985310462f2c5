//! aft beside redis-server, in one run.
//!
//! ```text
//! cargo bench --bench redis_compare                     the tables and plots of docs/benchmarks
//! cargo bench --bench redis_compare -- --quick          a second a cell: does it work at all?
//! cargo bench --bench redis_compare -- --against-itself redis-server on both sides: the noise
//! cargo bench --bench redis_compare -- load --help      the load generator, at any server
//! cargo bench --bench redis_compare -- instructions     instructions a command, by callgrind
//! ```
//!
//! A figure of one server on one machine says little: neighbours come and go. So both
//! servers run at the same time, are asked in turn (redis, aft, redis, aft, …), and the
//! result is the median of the rounds' ratios, with their spread.
//!
//! Who does what:
//!
//! ```text
//! options ─▶ compare ─┬─▶ servers          starts and ends redis-server, aft, the bare loop
//!                     ├─▶ redis_benchmark  throughput of plain commands
//!                     ├─▶ load ─▶ workload, replies
//!                     │                    transfers, and latency at a fixed rate
//!                     ├─▶ limits           what the machine would allow
//!                     └─▶ report, plot     docs/benchmarks/*.md, *.svg
//! ```

mod cells;
mod clock;
mod compare;
mod instructions;
mod limits;
mod load;
mod machine;
mod options;
mod plot;
mod redis_benchmark;
mod replies;
mod report;
mod servers;
mod workload;

use std::error::Error;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use options::Task;
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
                Task::Compare(options) => compare::run(&options).await,
                Task::Load(options) => load::run_alone(&options).await,
                Task::Instructions(options) => instructions::run(&options).await,
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
