//! A million small keys: the memory that each takes. (How soon they are there after a
//! start: `cargo bench --bench years`.)

use std::path::Path;

use crate::Result;
use crate::cells::Command;
use crate::compare::our_side;
use crate::options::Options;
use crate::servers::{Kind, Server, Store};
use crate::workload::{self, Workload};

/// Of keys and of values, each.
pub(crate) const BYTES: usize = 16;

/// What one server takes for a key, round by round.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) redis: Vec<f64>,
    pub(crate) aft: Vec<f64>,
}

/// Measures both servers.
pub(crate) async fn run(options: &Options, data: &Path) -> Result<Memory> {
    let mut memory = Memory { redis: Vec::new(), aft: Vec::new() };
    // Memory is not noisy.
    for _ in 0..options.rounds.min(3) {
        memory.redis.push(bytes_a_key(options, data, &Kind::Redis(Store::Memory)).await?);
        memory.aft.push(bytes_a_key(options, data, &our_side(options, Store::Memory)).await?);
    }
    Ok(memory)
}

async fn bytes_a_key(options: &Options, data: &Path, kind: &Kind) -> Result<f64> {
    let server = Server::start(kind, data, &[]).await?;
    let before = server.resident_bytes()?;
    let workload = Workload::new(Command::Get, options.million, BYTES);
    workload::fill(server.address(), &workload).await?;
    let grown = server.resident_bytes()?.saturating_sub(before);
    server.stop().await?;
    Ok(grown as f64 / options.million as f64)
}
