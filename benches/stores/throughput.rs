//! Many clients on slow stores: each sends its next transaction when it has the reply to the last.

use std::path::Path;

use crate::Result;
use crate::clouds::Cloud;
use crate::control::Host;
use crate::counts::Counts;
use crate::figures::{Sample, Spread};
use crate::load::{self, Plan};
use crate::options::{self, Options};
use crate::transactions::Transactions;

const KEYS: u64 = 10_000;

/// A turn, and what the store was asked for meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) sample: Sample,
    pub(crate) counts: Counts,
}

/// Round by round, so many clients on one store.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) cloud: Cloud,
    pub(crate) clients: usize,
    pub(crate) aft: Vec<Turn>,
    pub(crate) layout: Vec<Turn>,
}

impl Row {
    /// aft's transactions a second through those of the layout.
    pub(crate) fn ratio(&self) -> Option<Spread> {
        let rates = |turns: &[Turn]| -> Vec<f64> {
            turns.iter().map(|turn| turn.sample.per_second).collect()
        };
        Spread::of_ratios(&rates(&self.aft), &rates(&self.layout))
    }
}

/// Measures both stores with every number of clients.
pub(crate) async fn run(options: &Options, data: &Path) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for cloud in [Cloud::S3, Cloud::DynamoDb] {
        let mut aft = Host::start("aft", options::serve_aft(cloud, &[]), data).await?;
        let mut layout = Host::start("layout", options::serve_layout(cloud), data).await?;
        for &clients in &options.clients {
            let mut row = Row { cloud, clients, aft: Vec::new(), layout: Vec::new() };
            for _ in 0..options.rounds {
                row.aft.push(turn(options, &mut aft, clients).await?);
                row.layout.push(turn(options, &mut layout, clients).await?);
            }
            progress(&row);
            rows.push(row);
        }
        aft.end().await?;
        layout.end().await?;
    }
    Ok(rows)
}

async fn turn(options: &Options, host: &mut Host, clients: usize) -> Result<Turn> {
    let plan = Plan {
        address: host.address(),
        requests: Transactions { keys: KEYS, value_bytes: options.value_bytes },
        connections: clients,
        pipeline: 1,
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
    let rate = |turns: &[Turn]| {
        Spread::of(turns.iter().map(|turn| turn.sample.per_second).collect())
            .map_or(0.0, |spread| spread.median)
    };
    println!(
        "{}, {} clients: {:.0} transactions/s, AFT's layout {:.0}",
        row.cloud.name(),
        row.clients,
        rate(&row.aft),
        rate(&row.layout)
    );
}
