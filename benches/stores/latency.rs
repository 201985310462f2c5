//! How long a commit takes, in units of the store's own put.
//!
//! Open loop: a transaction is sent when it is due, and timed from then. The put is timed inside of
//! the store, in the same turn: so what differs is what the engine, or the layout, adds.

use std::path::Path;

use crate::Result;
use crate::clouds::Cloud;
use crate::control::Host;
use crate::figures::{Sample, Spread};
use crate::load::{self, Plan};
use crate::options::{self, Options};
use crate::transactions::Transactions;

/// Clients in turn, so that none waits for its own transaction before.
const CONNECTIONS: usize = 50;
const KEYS: u64 = 10_000;

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
    pub(crate) aft: Vec<Turn>,
    pub(crate) layout: Vec<Turn>,
}

/// Commits through puts.
pub(crate) fn of_p50(turns: &[Turn]) -> Option<Spread> {
    Spread::of(turns.iter().map(|turn| turn.sample.p50_ms / turn.put_p50_ms).collect())
}

/// The same of the 99th percentiles.
pub(crate) fn of_p99(turns: &[Turn]) -> Option<Spread> {
    Spread::of(turns.iter().map(|turn| turn.sample.p99_ms / turn.put_p99_ms).collect())
}

/// Both sides on one store.
struct Sides {
    cloud: Cloud,
    aft: Host,
    layout: Host,
}

/// Measures both stores at every rate.
pub(crate) async fn run(options: &Options, data: &Path) -> Result<Vec<Row>> {
    let mut sides = Vec::new();
    for cloud in [Cloud::S3, Cloud::DynamoDb] {
        let aft = Host::start("aft", options::serve_aft(cloud, &[]), data).await?;
        let layout = Host::start("layout", options::serve_layout(cloud), data).await?;
        sides.push(Sides { cloud, aft, layout });
    }
    let mut rows = Vec::new();
    for (at, &rate) in options.rates.iter().enumerate() {
        let mut found: Vec<Row> = sides
            .iter()
            .map(|side| Row { cloud: side.cloud, rate, aft: Vec::new(), layout: Vec::new() })
            .collect();
        for round in 0..options.rounds {
            let load = Load { options, rate, seed: round as u64 };
            // At the lowest rate all do next to nothing, and wait side by side.
            if at == 0
                && let ([s3, dynamodb], [of_s3, of_dynamodb]) = (&mut sides[..], &mut found[..])
            {
                let both = tokio::try_join!(load.side_by_side(s3), load.side_by_side(dynamodb))?;
                for (row, [aft, layout]) in [(of_s3, both.0), (of_dynamodb, both.1)] {
                    row.aft.push(aft);
                    row.layout.push(layout);
                }
                continue;
            }
            for (side, row) in sides.iter_mut().zip(&mut found) {
                row.aft.push(load.turn(&mut side.aft, options.seconds).await?);
                row.layout.push(load.turn(&mut side.layout, options.seconds).await?);
            }
        }
        found.iter().for_each(progress);
        rows.extend(found);
    }
    for side in sides {
        side.aft.end().await?;
        side.layout.end().await?;
    }
    Ok(rows)
}

fn progress(row: &Row) {
    let text = |spread: Option<Spread>| spread.map_or(0.0, |spread| spread.median);
    println!(
        "{} at {}/s: aft {:.2} and {:.2} puts, AFT's layout {:.2} and {:.2}",
        row.cloud.name(),
        row.rate,
        text(of_p50(&row.aft)),
        text(of_p99(&row.aft)),
        text(of_p50(&row.layout)),
        text(of_p99(&row.layout)),
    );
}

/// What is asked for in a round.
#[derive(Clone, Copy)]
struct Load<'a> {
    options: &'a Options,
    rate: u64,
    seed: u64,
}

impl Load<'_> {
    async fn side_by_side(self, sides: &mut Sides) -> Result<[Turn; 2]> {
        let seconds = self.options.low_seconds;
        let (aft, layout) = tokio::try_join!(
            self.turn(&mut sides.aft, seconds),
            self.turn(&mut sides.layout, seconds)
        )?;
        Ok([aft, layout])
    }

    async fn turn(self, host: &mut Host, seconds: f64) -> Result<Turn> {
        let plan = Plan {
            address: host.address(),
            requests: Transactions { keys: KEYS, value_bytes: self.options.value_bytes },
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
