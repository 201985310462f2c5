//! What transactions leave that came to nothing: a server on which many were aborted and many
//! abandoned, beside one that never had any.

use std::path::Path;
use std::time::Duration;

use crate::Result;
use crate::common::functions::{KEYS, VALUE_BYTES};
use crate::connection;
use crate::figures::{Sample, Spread};
use crate::load::{self, Plan};
use crate::options::Options;
use crate::requests::{Dice, Requests, key, value, write_command};
use crate::servers::{Kind, Server, Store};
use crate::throughput::fill;

pub(crate) const CONNECTIONS: usize = 50;
/// What is to be found is smaller than what neighbours take, so turns are short and many.
pub(crate) const ROUNDS_FOR_ONE: usize = 6;
pub(crate) const SHORTER: f64 = 0.4;

/// What was found with one store.
#[derive(Debug)]
pub(crate) struct Afterwards {
    pub(crate) store: Store,
    /// Before, after the aborted ones, after the abandoned ones.
    pub(crate) stages: [Stage; 3],
    /// Open at the same time, before the first of the abandoned ones was over.
    pub(crate) open_most: u64,
    /// Memory of the server then.
    pub(crate) open_bytes: u64,
}

/// Plain commands at one time; round by round.
#[derive(Debug, Default)]
pub(crate) struct Stage {
    pub(crate) gets: Beside,
    pub(crate) sets: Beside,
    /// Of the server, and of the other one.
    pub(crate) resident_bytes: [u64; 2],
}

/// The server, and the one that never had a transaction.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    pub(crate) own: Vec<Sample>,
    pub(crate) other: Vec<Sample>,
}

impl Beside {
    pub(crate) fn ratio(&self) -> Option<Spread> {
        let rates = |samples: &[Sample]| -> Vec<f64> {
            samples.iter().map(|sample| sample.per_second).collect()
        };
        Spread::of_ratios(&rates(&self.own), &rates(&self.other))
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Get,
    Set,
    /// A transaction that has read and written, and then is aborted.
    Aborted,
    /// The same, which is left open and soon over.
    Abandoned {
        timeout_ms: u64,
    },
}

impl Requests for Ask {
    fn replies(&self) -> usize {
        match self {
            Self::Get | Self::Set => 1,
            Self::Aborted | Self::Abandoned { .. } => 5,
        }
    }

    fn may_repeat(&self) -> bool {
        true
    }

    fn write_request(&self, _: usize, dice: &mut Dice, out: &mut Vec<u8>) {
        match self {
            Self::Get => write_command(out, &[b"GET", &key("key", dice.below(KEYS))]),
            Self::Set => {
                let number = dice.below(KEYS);
                let value = value(number, dice.below(KEYS), VALUE_BYTES);
                write_command(out, &[b"SET", &key("key", number), &value]);
            }
            Self::Aborted => {
                write_command(out, &[b"AFT.BEGIN"]);
                write_function(dice, out);
                write_command(out, &[b"AFT.ABORT"]);
            }
            Self::Abandoned { timeout_ms } => {
                let timeout_ms = timeout_ms.to_string();
                write_command(out, &[b"AFT.BEGIN", b"TIMEOUT", timeout_ms.as_bytes()]);
                write_function(dice, out);
                write_command(out, &[b"AFT.LEAVE"]);
            }
        }
    }
}

fn write_function(dice: &mut Dice, out: &mut Vec<u8>) {
    for ask in [Ask::Get, Ask::Set, Ask::Get] {
        ask.write_request(0, dice, out);
    }
}

/// Measures with both stores of our own.
pub(crate) async fn run(options: &Options, data: &Path) -> Result<Vec<Afterwards>> {
    let mut found = Vec::new();
    for store in [Store::Memory, Store::Embedded] {
        found.push(measure(options, data, store).await?);
    }
    Ok(found)
}

async fn measure(options: &Options, data: &Path, store: Store) -> Result<Afterwards> {
    let kind = Kind::Aft { binary: options.aft.clone(), store, settings: Vec::new() };
    let own = Server::start(&kind, data, &[]).await?;
    let other = Server::start(&kind, data, &[]).await?;
    for server in [&own, &other] {
        fill(server).await?;
    }
    let before = stage(options, &own, &other).await?;
    many(options, &own, Ask::Aborted).await?;
    let aborted = stage(options, &own, &other).await?;
    many(options, &own, Ask::Abandoned { timeout_ms: options.timeout_ms }).await?;
    let open_most = open(&own).await?;
    let open_bytes = own.resident_bytes()?;
    until_none_is_open(options, &own).await?;
    let abandoned = stage(options, &own, &other).await?;
    own.stop().await?;
    other.stop().await?;
    Ok(Afterwards { store, stages: [before, aborted, abandoned], open_most, open_bytes })
}

/// Plain commands, on both in turn.
async fn stage(options: &Options, own: &Server, other: &Server) -> Result<Stage> {
    let mut stage = Stage::default();
    for round in 0..options.rounds * ROUNDS_FOR_ONE {
        for (ask, beside) in [(Ask::Get, &mut stage.gets), (Ask::Set, &mut stage.sets)] {
            for (server, samples) in [(own, &mut beside.own), (other, &mut beside.other)] {
                let mut plan = plan(server, ask, round as u64);
                plan.seconds = options.seconds * SHORTER;
                samples.push(load::run(&plan).await?);
            }
        }
    }
    stage.resident_bytes = [own.resident_bytes()?, other.resident_bytes()?];
    Ok(stage)
}

fn plan(server: &Server, requests: Ask, seed: u64) -> Plan<Ask> {
    Plan {
        address: server.address(),
        requests,
        connections: CONNECTIONS,
        pipeline: 1,
        seconds: 0.0,
        requests_max: None,
        rate: None,
        seed,
    }
}

/// All the transactions that come to nothing.
async fn many(options: &Options, server: &Server, requests: Ask) -> Result<()> {
    const LIMIT: Duration = Duration::from_secs(300);
    let each = options.transactions / CONNECTIONS as u64;
    let plan = Plan {
        seconds: LIMIT.as_secs_f64(),
        requests_max: Some(each),
        ..plan(server, requests, 0)
    };
    let sample = load::run(&plan).await?;
    if sample.requests != each * CONNECTIONS as u64 {
        return Err(format!("only {} transactions in {LIMIT:?}", sample.requests).into());
    }
    Ok(())
}

async fn open(server: &Server) -> Result<u64> {
    connection::info(server.address(), "aft").await?.number("open_transactions")
}

async fn until_none_is_open(options: &Options, server: &Server) -> Result<()> {
    const LOOK_EVERY: Duration = Duration::from_millis(100);
    let limit = Duration::from_millis(2 * options.timeout_ms) + Duration::from_secs(30);
    let none_is_open = async {
        while open(server).await? > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    };
    let done = tokio::time::timeout(limit, none_is_open).await;
    done.map_err(|_| format!("transactions are open {limit:?} after they were abandoned"))?
}
