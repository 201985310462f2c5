//! Instructions a command, counted by callgrind: hardly any noise (timers of the server run
//! by real time), so a change of a few hundredths shows.
//!
//! A server runs under `valgrind --tool=callgrind` twice, with few and with many requests.
//! The difference through the difference in requests is the price of one: starting, ending
//! and connecting are in both. It counts the server's own instructions, not the kernel's.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::cells::{Cell, Command, Method};
use crate::compare::our_side;
use crate::load::{self, Plan};
use crate::options::Options;
use crate::servers::{Directory, Kind, Server, Store};
use crate::workload::{self, Workload};
use crate::{Result, redis_benchmark};

const FEW: u64 = 2_000;
const MANY: u64 = 10_000;
pub(crate) const KEYS: u64 = 1_000;
/// callgrind makes a server fifty times slower.
const LIMIT: Duration = Duration::from_secs(90);

/// The price of one command.
#[derive(Debug)]
pub(crate) struct Price {
    pub(crate) cell: Cell,
    pub(crate) redis: f64,
    pub(crate) aft: f64,
}

/// Counts all commands.
pub(crate) async fn run(options: &Options, data: &Path) -> Result<Vec<Price>> {
    let mut prices = Vec::new();
    for cell in cells(options.quick) {
        let redis = price(&Kind::Redis(Store::Memory), data, &cell).await?;
        let aft = price(&our_side(options, Store::Memory), data, &cell).await?;
        println!("{:<44} {aft:.0} instructions, redis-server {redis:.0}", cell.to_string());
        prices.push(Price { cell, redis, aft });
    }
    Ok(prices)
}

fn cells(quick: bool) -> Vec<Cell> {
    let mut cells = Vec::new();
    for command in Command::ALL {
        for pipeline in [1, 16] {
            for value_bytes in [16, 1024] {
                let valueless_twice = command.values() == 0 && value_bytes > 16;
                // One proves that it works.
                let left_out = quick && !cells.is_empty();
                if !valueless_twice && !left_out {
                    cells.push(Cell {
                        store: Store::Memory,
                        command,
                        method: Method::Throughput,
                        clients: 1,
                        pipeline,
                        value_bytes,
                        keys: KEYS,
                    });
                }
            }
        }
    }
    cells
}

async fn price(kind: &Kind, data: &Path, cell: &Cell) -> Result<f64> {
    let few = count(kind, data, cell, FEW).await?;
    let many = count(kind, data, cell, MANY).await?;
    Ok(many.saturating_sub(few) as f64 / (MANY - FEW) as f64)
}

/// The instructions of a server's whole life with a number of requests in it.
async fn count(kind: &Kind, data: &Path, cell: &Cell, requests: u64) -> Result<u64> {
    let directory = Directory::create(data, "callgrind")?;
    let file = directory.path.join("out");
    let wrapper = [
        "valgrind".to_owned(),
        "--tool=callgrind".to_owned(),
        format!("--callgrind-out-file={}", file.display()),
    ];
    let server = Server::start(kind, data, &wrapper).await?;
    workload::fill(server.address(), &Workload::new(Command::Get, KEYS, cell.value_bytes)).await?;
    if cell.command == Command::Transfer {
        let plan = Plan {
            address: server.address(),
            requests: Workload::new(cell.command, KEYS, cell.value_bytes),
            connections: cell.clients,
            pipeline: cell.pipeline,
            seconds: LIMIT.as_secs_f64(),
            requests_max: Some(requests),
            rate: None,
            seed: 1,
        };
        load::run(&plan).await?;
    } else {
        redis_benchmark::run(server.address().port(), cell, requests, LIMIT).await?;
    }
    server.stop().await?;
    totals(&file)
}

/// The `totals:` of callgrind's file (`summary:` where it wrote none).
fn totals(file: &Path) -> Result<u64> {
    let text = fs::read_to_string(file).map_err(|error| format!("callgrind: {error}"))?;
    text.lines()
        .filter_map(|line| line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:")))
        .find_map(|count| count.trim().parse().ok())
        .ok_or_else(|| "callgrind wrote no total".into())
}
