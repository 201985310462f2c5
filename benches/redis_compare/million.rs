//! A million small keys: the memory that each takes, and how soon after a start they serve.
//!
//! A start is timed from before the process begins to the reply to a GET of the last key.
//! The files are in the page cache then, for all servers alike.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::process::Command as Process;

use crate::Result;
use crate::cells::{Command, Spread, Store};
use crate::clock::now;
use crate::compare::our_side;
use crate::load;
use crate::options::Options;
use crate::servers::{Directory, Kind, Server};
use crate::workload::Workload;

/// Of keys and of values, each.
pub(crate) const BYTES: usize = 16;
const REWRITE_LIMIT: Duration = Duration::from_secs(60);

/// What one server takes for a key, round by round.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) redis: Vec<f64>,
    pub(crate) aft: Vec<f64>,
}

/// How long starts took, in seconds, round by round.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) name: &'static str,
    /// What is read.
    pub(crate) disk_bytes: u64,
    pub(crate) seconds: Vec<f64>,
}

/// All that was found out.
#[derive(Debug)]
pub(crate) struct Million {
    pub(crate) memory: Memory,
    /// aft, and the two ways of redis-server.
    pub(crate) starts: Vec<Start>,
}

impl Million {
    /// The start of a redis-server through aft's, round by round: above 1 aft is ahead.
    pub(crate) fn ratio(&self, redis: &Start) -> Option<Spread> {
        let aft = self.starts.first()?;
        let ratios = redis.seconds.iter().zip(&aft.seconds).map(|(redis, aft)| redis / aft);
        Spread::of(ratios.collect())
    }
}

/// Measures both.
pub(crate) async fn run(options: &Options, data: &Path) -> Result<Million> {
    let mut memory = Memory { redis: Vec::new(), aft: Vec::new() };
    // Memory is not noisy.
    for _ in 0..options.rounds.min(3) {
        memory.redis.push(bytes_a_key(options, data, &Kind::Redis(Store::Memory)).await?);
        memory.aft.push(bytes_a_key(options, data, &our_side(options, Store::Memory)).await?);
    }
    Ok(Million { memory, starts: time_starts(options, data).await? })
}

fn workload(options: &Options) -> Workload {
    Workload::new(Command::Get, options.million, BYTES)
}

async fn bytes_a_key(options: &Options, data: &Path, kind: &Kind) -> Result<f64> {
    let server = Server::start(kind, data, &[]).await?;
    let before = server.resident_bytes()?;
    load::fill(server.address(), &workload(options)).await?;
    let grown = server.resident_bytes()?.saturating_sub(before);
    server.stop().await?;
    Ok(grown as f64 / options.million as f64)
}

/// A server that is stopped, and its directory.
struct Stopped {
    kind: Kind,
    directory: Directory,
    start: Start,
}

async fn time_starts(options: &Options, data: &Path) -> Result<Vec<Start>> {
    let redis = Kind::Redis(Store::Embedded);
    let mut stopped = [
        prepare(options, data, our_side(options, Store::Embedded), "aft", false).await?,
        prepare(options, data, redis.clone(), "redis-server, append-only file of SETs", false)
            .await?,
        prepare(options, data, redis, "redis-server, append-only file rewritten (RDB)", true)
            .await?,
    ];
    for _ in 0..options.rounds {
        let mut next = Vec::new();
        for server in stopped {
            next.push(time_start(server, options.million).await?);
        }
        stopped = next.try_into().map_err(|_| "a server was lost")?;
    }
    Ok(stopped.into_iter().map(|server| server.start).collect())
}

/// Writes the keys and stops.
async fn prepare(
    options: &Options,
    data: &Path,
    kind: Kind,
    name: &'static str,
    rewritten: bool,
) -> Result<Stopped> {
    let server = Server::start(&kind, data, &[]).await?;
    load::fill(server.address(), &workload(options)).await?;
    if rewritten {
        rewrite(server.address().port()).await?;
    }
    let disk_bytes = disk_bytes(server.directory())?;
    let directory = server.stop().await?;
    Ok(Stopped { kind, directory, start: Start { name, disk_bytes, seconds: Vec::new() } })
}

async fn time_start(stopped: Stopped, keys: u64) -> Result<Stopped> {
    let Stopped { kind, directory, mut start } = stopped;
    let began = now();
    let server = Server::start_in(&kind, directory, &[]).await?;
    let found = load::has_key(server.address(), keys - 1).await?;
    start.seconds.push(began.elapsed().as_secs_f64());
    if !found {
        return Err(format!("{} has lost its last key", start.name).into());
    }
    Ok(Stopped { kind, directory: server.stop().await?, start })
}

/// Has redis-server write its append-only file anew, and waits for it.
async fn rewrite(port: u16) -> Result<()> {
    redis_cli(port, &["BGREWRITEAOF"]).await?;
    let done = async {
        loop {
            let info = redis_cli(port, &["INFO", "persistence"]).await?;
            let value = |name: &str| info.lines().find_map(|line| line.trim().strip_prefix(name));
            let waits = ["aof_rewrite_in_progress:", "aof_rewrite_scheduled:"]
                .into_iter()
                .any(|name| value(name) != Some("0"));
            if !waits {
                return match value("aof_last_bgrewrite_status:") {
                    Some("ok") => Ok(()),
                    other => Err(format!("BGREWRITEAOF ended with {other:?}").into()),
                };
            }
        }
    };
    tokio::time::timeout(REWRITE_LIMIT, done).await.map_err(|_| "BGREWRITEAOF did not end")?
}

async fn redis_cli(port: u16, arguments: &[&str]) -> Result<String> {
    let mut command = Process::new("redis-cli");
    command.args(["-h", "127.0.0.1", "-p", &port.to_string()]).args(arguments);
    let output =
        command.output().await.map_err(|error| format!("redis-cli (redis-tools): {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Bytes of the files below a directory.
fn disk_bytes(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { disk_bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
