//! How long a request takes that comes when it comes, whatever became of those before.

use std::path::Path;

use crate::Result;
use crate::drive::Way;
use crate::figures::{Sample, Spread};
use crate::options::{Options, Part};
use crate::throughput::{On, Rivals};

/// Clients in turn: enough that none has a request when its next is due, but where a server stops.
pub(crate) const CLIENTS: usize = 200;

/// One store at a rate; round by round.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) on: On,
    pub(crate) rate: u64,
    pub(crate) plain: Vec<Sample>,
    pub(crate) along: Vec<Sample>,
}

impl Row {
    /// A latency through that of the bare operations.
    pub(crate) fn ratio(&self, of: impl Fn(&Sample) -> f64) -> Option<Spread> {
        let all = |samples: &[Sample]| -> Vec<f64> { samples.iter().map(&of).collect() };
        Spread::of_ratios(&all(&self.along), &all(&self.plain))
    }
}

/// Measures every store at every rate.
pub(crate) async fn run(options: &Options, data: &Path) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for on in On::ALL {
        let mut rivals = Rivals::start(options, data, Part::Latency, on).await?;
        for &rate in &options.rates {
            let mut row = Row { on, rate, plain: Vec::new(), along: Vec::new() };
            for _ in 0..options.rounds {
                row.plain.push(rivals.turn(CLIENTS, Way::Plain, Some(rate)).await?);
                row.along.push(rivals.turn(CLIENTS, Way::Along, Some(rate)).await?);
            }
            println!("{on:?}, {rate} requests/s");
            rows.push(row);
        }
        rivals.end().await?;
    }
    Ok(rows)
}
