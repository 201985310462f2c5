//! What benchmarks beside redis-server need: both servers, a load, and where it was measured.

#![allow(dead_code, reason = "each benchmark uses its own part")]

pub(crate) mod arguments;
pub(crate) mod clock;
pub(crate) mod connection;
pub(crate) mod figures;
pub(crate) mod functions;
pub(crate) mod load;
pub(crate) mod machine;
pub(crate) mod page;
pub(crate) mod replies;
pub(crate) mod requests;
pub(crate) mod rest;
pub(crate) mod servers;

use std::error::Error;
use std::os::unix::process::CommandExt;
use std::process::Command;

use tokio::signal::unix::{SignalKind, signal};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Set once the limit of open files has been raised, so that it is tried only once.
const LIMITS_RAISED: &str = "AFT_BENCH_LIMITS_RAISED";

/// Runs a benchmark until its end, or until somebody ends it: then the servers it has
/// started end with it.
pub(crate) fn run(work: impl Future<Output = Result<()>>) -> Result<()> {
    if std::env::var_os(LIMITS_RAISED).is_none() {
        return Err(run_again_with_more_files().into());
    }
    // One thread: on a machine of two cores the load generator has one of them and the
    // server under test the other.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
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
