//! How long a commit takes, in units of the store's own put.
//!
//! Open loop: a transaction is sent when it is due, and timed from then. The put is timed inside of
//! the store, in the same turn: so what differs is what the engine, or the layout, adds.

use std::path::Path;

use tokio::try_join;

use crate::Result;
use crate::clouds::Cloud;
use crate::control::Host;
use crate::figures::{Sample, Spread};
use crate::load::{self, Plan};
use crate::options::Options;
use crate::sides::Who;
use crate::transactions::Transactions;

/// Of what a transaction writes: with its key an item of DynamoDB of 1 KB.
pub(crate) const VALUE_BYTES: usize = 960;

/// Clients in turn, so that none waits for its own transaction before.
pub(crate) const CONNECTIONS: usize = 500;

/// A turn, and what the store's puts took meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) sample: Sample,
    pub(crate) put_p50_ms: f64,
    pub(crate) put_p99_ms: f64,
}

/// Round by round, one rate on one store.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) cloud: Cloud,
    pub(crate) rate: u64,
    pub(crate) who: Who,
    pub(crate) turns: Vec<Turn>,
}

impl Row {
    /// Commits through puts, of the medians.
    pub(crate) fn of_p50(&self) -> Option<Spread> {
        self.ratio(|turn| turn.sample.p50_ms / turn.put_p50_ms)
    }

    /// The same of the 99th percentiles.
    pub(crate) fn of_p99(&self) -> Option<Spread> {
        self.ratio(|turn| turn.sample.p99_ms / turn.put_p99_ms)
    }

    fn ratio(&self, of: impl Fn(&Turn) -> f64) -> Option<Spread> {
        Spread::of(self.turns.iter().map(of).collect())
    }
}

/// Measures both stores at every rate.
pub(crate) async fn run(options: &Options, data: &Path) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for cloud in [Cloud::S3, Cloud::DynamoDb] {
        let mut hosts = Vec::new();
        for who in Who::ALL {
            hosts.push(who.start(options, cloud, data).await?);
        }
        for (at, &rate) in options.rates.iter().enumerate() {
            let mut found = Who::ALL.map(|who| Row { cloud, rate, who, turns: Vec::new() });
            for round in 0..options.rounds {
                let load = Load { options, rate, seed: round as u64 };
                // At the lowest rate all do next to nothing, and wait side by side.
                let turns = match (at, &mut hosts[..]) {
                    (0, [one, two, three]) => load.side_by_side([one, two, three]).await?,
                    (_, hosts) => load.in_turn(hosts).await?,
                };
                found.iter_mut().zip(turns).for_each(|(row, turn)| row.turns.push(turn));
            }
            found.iter().for_each(progress);
            rows.extend(found);
        }
        for host in hosts {
            host.end().await?;
        }
    }
    Ok(rows)
}

fn progress(row: &Row) {
    let median = |spread: Option<Spread>| spread.map_or(0.0, |spread| spread.median);
    let (p50, p99) = (median(row.of_p50()), median(row.of_p99()));
    let (cloud, who) = (row.cloud.name(), row.who.name());
    println!("{cloud} at {}/s, {who}: {p50:.2} and {p99:.2} puts", row.rate);
}

/// What is asked for in a round.
#[derive(Clone, Copy)]
struct Load<'a> {
    options: &'a Options,
    rate: u64,
    seed: u64,
}

impl Load<'_> {
    async fn side_by_side(self, [one, two, three]: [&mut Host; 3]) -> Result<Vec<Turn>> {
        let seconds = self.options.low_seconds;
        let (one, two, three) =
            try_join!(self.turn(one, seconds), self.turn(two, seconds), self.turn(three, seconds))?;
        Ok(vec![one, two, three])
    }

    async fn in_turn(self, hosts: &mut [Host]) -> Result<Vec<Turn>> {
        let mut turns = Vec::new();
        for host in hosts {
            turns.push(self.turn(host, self.options.seconds).await?);
        }
        Ok(turns)
    }

    async fn turn(self, host: &mut Host, seconds: f64) -> Result<Turn> {
        let plan = Plan {
            address: host.address(),
            requests: Transactions { keys: self.options.keys, value_bytes: VALUE_BYTES },
            connections: CONNECTIONS,
            pipeline: 1,
            seconds,
            requests_max: None,
            rate: Some(self.rate),
            seed: self.seed,
        };
        host.reset().await?;
        let sample = load::run(&plan).await?;
        let told = host.told().await?;
        Ok(Turn { sample, put_p50_ms: told.put_p50_ms, put_p99_ms: told.put_p99_ms })
    }
}
