//! aft on a Redis that forces each write to its disk, beside such a Redis by itself.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use crate::Result;
use crate::cells::{Cell, Command, Method};
use crate::figures::{Sample, Spread};
use crate::load::{self, Plan};
use crate::options::Options;
use crate::redis_benchmark;
use crate::servers::{Kind, Server, Store};
use crate::workload::{self, Workload};

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Load {
    pub(crate) command: Command,
    pub(crate) pipeline: usize,
    pub(crate) clients: usize,
    /// The least that aft has to reach of the other.
    pub(crate) bar: Option<f64>,
}

const LOADS: [Load; 8] = [
    Load { command: Command::Get, pipeline: 1, clients: 50, bar: Some(1.0) },
    Load { command: Command::Get, pipeline: 16, clients: 50, bar: Some(1.0) },
    Load { command: Command::Set, pipeline: 1, clients: 50, bar: None },
    Load { command: Command::Set, pipeline: 16, clients: 50, bar: Some(1.0) },
    Load { command: Command::Set, pipeline: 16, clients: 500, bar: Some(1.0) },
    Load { command: Command::Transfer, pipeline: 1, clients: 50, bar: None },
    Load { command: Command::Transfer, pipeline: 1, clients: 500, bar: None },
    Load { command: Command::Transfer, pipeline: 16, clients: 50, bar: None },
];

const KEYS: u64 = 100_000;
const VALUE_BYTES: usize = 16;

impl Load {
    fn cell(self) -> Cell {
        Cell {
            store: Store::Embedded,
            command: self.command,
            method: Method::Throughput,
            clients: self.clients,
            pipeline: self.pipeline,
            value_bytes: VALUE_BYTES,
            keys: KEYS,
        }
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = self.command.name();
        write!(f, "{command}, P={}, {} clients", self.pipeline, self.clients)
    }
}

/// Round by round.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) load: Load,
    pub(crate) redis: Vec<Sample>,
    pub(crate) aft: Vec<Sample>,
}

impl Row {
    /// aft's requests a second through those of the Redis by itself.
    pub(crate) fn ratio(&self) -> Option<Spread> {
        let rates = |samples: &[Sample]| -> Vec<f64> {
            samples.iter().map(|sample| sample.per_second).collect()
        };
        Spread::of_ratios(&rates(&self.aft), &rates(&self.redis))
    }
}

/// Measures every load.
pub(crate) async fn run(options: &Options, data: &Path) -> Result<Vec<Row>> {
    let kind = Kind::Redis(Store::Embedded);
    let beneath = Server::start(&kind, data, &[]).await?;
    let store = format!("redis://{}", beneath.address());
    let aft = Kind::AftOn { binary: options.aft.clone(), store, settings: Vec::new() };
    let aft = Server::start(&aft, data, &[]).await?;
    let redis = Server::start(&kind, data, &[]).await?;
    for server in [&redis, &aft] {
        workload::fill(server.address(), &Workload::new(Command::Get, KEYS, VALUE_BYTES)).await?;
    }
    let mut rows = Vec::new();
    for load in LOADS {
        let mut row = Row { load, redis: Vec::new(), aft: Vec::new() };
        for server in [&redis, &aft] {
            turn(options, server, load, options.seconds / 10.0).await?;
        }
        for _ in 0..options.rounds {
            row.redis.push(turn(options, &redis, load, options.seconds).await?);
            row.aft.push(turn(options, &aft, load, options.seconds).await?);
        }
        println!("{load}: {:?}", row.ratio());
        rows.push(row);
    }
    let accounts = Workload::new(Command::Transfer, KEYS, VALUE_BYTES);
    for server in [&redis, &aft] {
        workload::check_transfers(server.address(), &accounts).await?;
    }
    for server in [aft, redis, beneath] {
        server.stop().await?;
    }
    Ok(rows)
}

async fn turn(options: &Options, server: &Server, load: Load, seconds: f64) -> Result<Sample> {
    let before = server.cpu_seconds()?;
    let sample = match load.command {
        Command::Transfer => transfers(server, load, seconds).await?,
        _ => plain_commands(options, server, load, seconds).await?,
    };
    Ok(Sample { cpu_seconds: server.cpu_seconds()? - before, ..sample })
}

async fn transfers(server: &Server, load: Load, seconds: f64) -> Result<Sample> {
    let plan = Plan {
        address: server.address(),
        requests: Workload::new(load.command, KEYS, VALUE_BYTES),
        connections: load.clients,
        pipeline: load.pipeline,
        seconds,
        requests_max: None,
        rate: None,
        seed: 1,
    };
    load::run(&plan).await
}

/// By redis-benchmark, which knows numbers of requests only: how many take so long a short run tells.
async fn plain_commands(
    options: &Options,
    server: &Server,
    load: Load,
    seconds: f64,
) -> Result<Sample> {
    /// As many for each client, so that none is left over.
    const BATCHES_FIRST: usize = 20;
    let limit = Duration::from_secs_f64(60.0 + 20.0 * options.seconds);
    let (port, cell) = (server.address().port(), load.cell());
    let once = (load.clients * load.pipeline) as u64;
    let first = redis_benchmark::run(port, &cell, once * BATCHES_FIRST as u64, limit).await?;
    let requests = ((first.per_second * seconds) as u64).max(once).next_multiple_of(once);
    redis_benchmark::run(port, &cell, requests, limit).await
}
