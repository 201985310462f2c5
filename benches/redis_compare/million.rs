//! A million small keys: the memory that each takes, and how soon after a start they serve.
//!
//! Each key is written once here, and redis-server's append-only file is what these writes
//! have made of it. (After ten times as many overwrites, and beside a rewritten file:
//! `cargo bench --bench years`.) A start is timed from before the process begins to the right
//! reply to a GET of the last key. The files are in the page cache then, for both.

use std::path::Path;

use crate::Result;
use crate::cells::Command;
use crate::clock::now;
use crate::compare::our_side;
use crate::connection;
use crate::options::Options;
use crate::servers::{Directory, Kind, Server, Store};
use crate::workload::{self, Workload};

/// Of keys and of values, each.
pub(crate) const BYTES: usize = 16;

/// What one server takes for a key, round by round.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) redis: Vec<f64>,
    pub(crate) aft: Vec<f64>,
}

/// How long the starts of one server took.
#[derive(Debug, Default)]
pub(crate) struct Starts {
    /// What is read.
    pub(crate) disk_bytes: u64,
    /// Round by round.
    pub(crate) seconds: Vec<f64>,
}

/// All that was found out.
#[derive(Debug)]
pub(crate) struct Million {
    pub(crate) memory: Memory,
    pub(crate) redis: Starts,
    pub(crate) aft: Starts,
}

/// Measures both servers.
pub(crate) async fn run(options: &Options, data: &Path) -> Result<Million> {
    let mut memory = Memory { redis: Vec::new(), aft: Vec::new() };
    // Memory is not noisy.
    for _ in 0..options.rounds.min(3) {
        memory.redis.push(bytes_a_key(options, data, &Kind::Redis(Store::Memory)).await?);
        memory.aft.push(bytes_a_key(options, data, &our_side(options, Store::Memory)).await?);
    }

    let mut redis = Stopped::filled(options, data, Kind::Redis(Store::Embedded)).await?;
    let mut aft = Stopped::filled(options, data, our_side(options, Store::Embedded)).await?;
    for _ in 0..options.rounds {
        redis = redis.start(options.million).await?;
        aft = aft.start(options.million).await?;
    }
    Ok(Million { memory, redis: redis.starts, aft: aft.starts })
}

fn workload(options: &Options) -> Workload {
    Workload::new(Command::Get, options.million, BYTES)
}

async fn bytes_a_key(options: &Options, data: &Path, kind: &Kind) -> Result<f64> {
    let server = Server::start(kind, data, &[]).await?;
    let before = server.resident_bytes()?;
    workload::fill(server.address(), &workload(options)).await?;
    let grown = server.resident_bytes()?.saturating_sub(before);
    server.stop().await?;
    Ok(grown as f64 / options.million as f64)
}

/// A server that is stopped, and its directory.
struct Stopped {
    kind: Kind,
    directory: Directory,
    starts: Starts,
}

impl Stopped {
    async fn filled(options: &Options, data: &Path, kind: Kind) -> Result<Self> {
        let server = Server::start(&kind, data, &[]).await?;
        workload::fill(server.address(), &workload(options)).await?;
        let directory = server.stop().await?;
        let disk_bytes = directory.disk_bytes()?;
        Ok(Self { kind, directory, starts: Starts { disk_bytes, seconds: Vec::new() } })
    }

    async fn start(self, keys: u64) -> Result<Self> {
        let Self { kind, directory, mut starts } = self;
        let began = now();
        let server = Server::start_in(&kind, directory, &[]).await?;
        let found = connection::has_key(server.address(), keys - 1).await?;
        starts.seconds.push(began.elapsed().as_secs_f64());
        if !found {
            return Err(format!("{} has lost its last key", kind.name()).into());
        }
        Ok(Self { kind, directory: server.stop().await?, starts })
    }
}
