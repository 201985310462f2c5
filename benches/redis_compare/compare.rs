//! The rounds: both servers up, asked in turn.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use crate::Result;
use crate::cells::{Cell, Command, Method, Row};
use crate::figures::Sample;
use crate::limits;
use crate::load::{self, Plan};
use crate::options::Options;
use crate::redis_benchmark;
use crate::report::Findings;
use crate::servers::{Kind, Server, Store};
use crate::text;
use crate::workload::{self, Workload};

/// The servers of one store and value size.
struct Rivals {
    redis: Server,
    aft: Server,
    bare: Server,
}

/// Measures every cell.
pub(crate) async fn run(options: &Options, data: &Path) -> Result<Findings> {
    let disk = limits::measure_disk(data, Duration::from_secs_f64(options.seconds))?;
    let mut rows = Vec::new();
    for group in groups(&options.cells) {
        rows.extend(measure_group(options, data, group).await?);
    }
    Ok(Findings { disk, rows })
}

/// redis-benchmark sometimes gives up at its very end; so often it is asked again.
const TRIES_MORE: usize = 3;

/// Neighbouring cells that can share servers: the same store, and keys and values of the
/// same size, since these fill the servers.
fn groups(cells: &[Cell]) -> impl Iterator<Item = &[Cell]> {
    cells.chunk_by(|a, b| a.store == b.store && a.value_bytes == b.value_bytes)
}

async fn measure_group(options: &Options, data: &Path, cells: &[Cell]) -> Result<Vec<Row>> {
    let Some(first) = cells.first() else {
        return Ok(Vec::new());
    };
    let rivals = Rivals {
        redis: Server::start(&Kind::Redis(first.store), data, &[]).await?,
        aft: Server::start(&our_side(options, first.store), data, &[]).await?,
        bare: Server::start(&bare_loop(), data, &[]).await?,
    };
    let workload = Workload::new(Command::Get, first.keys, first.value_bytes);
    for server in [&rivals.redis, &rivals.aft] {
        workload::fill(server.address(), &workload).await?;
    }
    let mut rows = Vec::new();
    for cell in cells {
        let row = measure_cell(options, &rivals, cell).await?;
        println!("{}", text::progress(&row));
        rows.push(row);
    }
    if cells.iter().any(|cell| cell.command == Command::Transfer) {
        let workload = Workload::new(Command::Transfer, first.keys, first.value_bytes);
        for server in [&rivals.redis, &rivals.aft] {
            workload::check_transfers(server.address(), &workload).await?;
        }
    }
    for server in [rivals.redis, rivals.aft, rivals.bare] {
        server.stop().await?;
    }
    Ok(rows)
}

fn bare_loop() -> Kind {
    let name = "bare-loop";
    Kind::Itself { name, arguments: vec![name.to_owned()] }
}

pub(crate) fn our_side(options: &Options, store: Store) -> Kind {
    if options.against_itself {
        Kind::Redis(store)
    } else {
        Kind::Aft { binary: options.aft.clone(), store, settings: Vec::new() }
    }
}

async fn measure_cell(options: &Options, rivals: &Rivals, cell: &Cell) -> Result<Row> {
    let mut pace = Pace::new(options);
    let mut row = Row { cell: cell.clone(), redis: Vec::new(), aft: Vec::new(), bare: Vec::new() };
    for _ in 0..options.rounds {
        row.redis.push(pace.run(&rivals.redis, cell).await?);
        row.aft.push(pace.run(&rivals.aft, cell).await?);
    }
    // Context, so once is enough. It answers +OK to everything: enough for redis-benchmark,
    // not for EXEC.
    if runs_redis_benchmark(cell) && cell.payload() <= 16 {
        row.bare.push(pace.run(&rivals.bare, cell).await?);
    }
    Ok(row)
}

/// Enough to warm a server up, and not more bytes than that takes.
fn warm_up_requests(cell: &Cell) -> u64 {
    const WARM_UP_BYTES: usize = 16 << 20;
    let once = cell.clients * cell.pipeline;
    let fitting = WARM_UP_BYTES / cell.request_bytes();
    (4 * once).max(2_000).min(fitting).max(once) as u64
}

fn runs_redis_benchmark(cell: &Cell) -> bool {
    cell.method == Method::Throughput && cell.command != Command::Transfer
}

/// How long runs are. redis-benchmark knows numbers of requests only, so the number that
/// takes the wanted time is worked out from the run before.
struct Pace<'a> {
    options: &'a Options,
    /// Requests a second in the last run on a port.
    rates: HashMap<u16, f64>,
}

impl<'a> Pace<'a> {
    fn new(options: &'a Options) -> Self {
        Self { options, rates: HashMap::new() }
    }

    /// One run, with the CPU time that it cost the server.
    async fn run(&mut self, server: &Server, cell: &Cell) -> Result<Sample> {
        let port = server.address().port();
        // The first run of a cell is short, warms the server up and is not counted.
        if runs_redis_benchmark(cell) && !self.rates.contains_key(&port) {
            self.run_requests(port, cell, warm_up_requests(cell)).await?;
        }
        let before = server.cpu_seconds()?;
        let sample = self.run_once(server, cell).await?;
        Ok(Sample { cpu_seconds: server.cpu_seconds()? - before, ..sample })
    }

    async fn run_once(&mut self, server: &Server, cell: &Cell) -> Result<Sample> {
        if !runs_redis_benchmark(cell) {
            return self.run_load(server, cell).await;
        }
        let port = server.address().port();
        let rate = self.rates.get(&port).copied().unwrap_or(1.0);
        let in_time = (rate * self.options.seconds) as u64;
        let requests = self.options.requests.unwrap_or(in_time);
        let at_least = (cell.clients * cell.pipeline) as u64;
        // redis-benchmark takes a rest of a pipeline for clients that have gone.
        self.run_requests(port, cell, requests.max(at_least).next_multiple_of(at_least)).await
    }

    async fn run_requests(&mut self, port: u16, cell: &Cell, requests: u64) -> Result<Sample> {
        let limit = Duration::from_secs_f64(60.0 + 20.0 * self.options.seconds);
        let mut sample = redis_benchmark::run(port, cell, requests, limit).await;
        for _ in 0..TRIES_MORE {
            if !sample.as_ref().is_err_and(|error| redis_benchmark::gave_up(&**error)) {
                break;
            }
            sample = redis_benchmark::run(port, cell, requests, limit).await;
        }
        let sample = sample?;
        self.rates.insert(port, sample.per_second);
        Ok(sample)
    }

    async fn run_load(&self, server: &Server, cell: &Cell) -> Result<Sample> {
        let plan = Plan {
            address: server.address(),
            requests: Workload::new(cell.command, cell.keys, cell.value_bytes),
            connections: cell.clients,
            pipeline: cell.pipeline,
            seconds: self.options.seconds,
            requests_max: None,
            rate: match cell.method {
                Method::Throughput => None,
                Method::Latency { per_second } => Some(per_second),
            },
            seed: 1,
        };
        let sample = load::run(&plan).await;
        sample.map_err(|error| format!("{cell}: {error}").into())
    }
}
