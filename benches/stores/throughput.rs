//! Many clients on slow stores: each sends its next transactions when it has the replies to the last.

use std::path::Path;

use crate::Result;
use crate::clouds::Cloud;
use crate::control::Host;
use crate::counts::Counts;
use crate::figures::{Sample, Spread};
use crate::load::{self, Plan};
use crate::options::{Load, Options};
use crate::sides::Who;
use crate::transactions::Transactions;

/// A turn, and what the store was asked for meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) sample: Sample,
    pub(crate) counts: Counts,
}

/// Round by round, all of them under one load on one store.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) cloud: Cloud,
    pub(crate) value_bytes: usize,
    pub(crate) load: Load,
    /// As [`Who::ALL`].
    pub(crate) sides: [Vec<Turn>; Who::ALL.len()],
}

impl Row {
    /// Transactions a second through those of the layout.
    pub(crate) fn ratio(&self, turns: &[Turn]) -> Option<Spread> {
        let rates = |turns: &[Turn]| -> Vec<f64> {
            turns.iter().map(|turn| turn.sample.per_second).collect()
        };
        Spread::of_ratios(&rates(turns), &rates(self.sides.last()?))
    }
}

/// Measures both stores under every load.
pub(crate) async fn run(options: &Options, data: &Path) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for cloud in [Cloud::S3, Cloud::DynamoDb] {
        for &value_bytes in &options.value_bytes {
            let mut hosts = Vec::new();
            for who in Who::ALL {
                hosts.push(who.start(options, cloud, data).await?);
            }
            for &load in &options.loads {
                let mut row = Row { cloud, value_bytes, load, sides: Default::default() };
                for _ in 0..options.rounds {
                    for (at, host) in hosts.iter_mut().enumerate() {
                        let turn = turn(options, host, &row).await?;
                        row.sides[at].push(turn);
                    }
                }
                progress(&row);
                rows.push(row);
            }
            for host in hosts {
                host.end().await?;
            }
        }
    }
    Ok(rows)
}

async fn turn(options: &Options, host: &mut Host, row: &Row) -> Result<Turn> {
    let plan = Plan {
        address: host.address(),
        requests: Transactions { keys: options.keys, value_bytes: row.value_bytes },
        connections: row.load.clients,
        pipeline: row.load.pipeline,
        seconds: options.seconds,
        requests_max: None,
        rate: None,
        seed: 1,
    };
    host.reset().await?;
    let before = host.server().cpu_seconds()?;
    let mut sample = load::run(&plan).await?;
    sample.cpu_seconds = host.server().cpu_seconds()? - before;
    Ok(Turn { sample, counts: host.told().await?.counts })
}

fn progress(row: &Row) {
    let rate = |turns: &Vec<Turn>| {
        let rates = turns.iter().map(|turn| turn.sample.per_second).collect();
        Spread::of(rates).map_or(0.0, |spread| spread.median)
    };
    let Row { cloud, value_bytes, load, sides } = row;
    let rates = sides.each_ref().map(rate);
    println!("{}, {value_bytes} B, {load:?}: {rates:.0?} transactions/s", cloud.name());
}
