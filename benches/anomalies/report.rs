//! The page.

use std::fmt::Write;

use crate::Result;
use crate::common::figures::thousands;
use crate::common::functions::{KEYS, VALUE_BYTES};
use crate::common::page;
use crate::history_support::detect::{Anomaly, Kind, count};
use crate::machine::command_line;
use crate::options::Options;
use crate::stores::On;

const PAGE: &str = "anomalies.md";

/// What was found on one store.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) on: On,
    pub(crate) crash_percent: u64,
    /// At all requests, and the look at the end.
    pub(crate) attempts: usize,
    pub(crate) anomalies: Vec<Anomaly>,
}

/// Of those that a store can have; the last would be an error of the benchmark.
fn shown() -> impl Iterator<Item = Kind> {
    Kind::ALL.into_iter().filter(|&kind| kind != Kind::Unheard)
}

/// The line of a table.
pub(crate) fn line(row: &Row) -> Result<String> {
    let mut out = String::new();
    write!(out, "| {} | {} % |", row.on.name(), row.crash_percent)?;
    write!(out, " {} |", thousands(row.attempts as f64 - 1.0))?;
    for kind in shown() {
        let count = count(&row.anomalies, kind);
        write!(out, " {} |", thousands(count as f64))?;
    }
    out.push('\n');
    Ok(out)
}

/// Writes the page, where all of it was asked for.
pub(crate) fn write(
    options: &Options,
    rows: &[Row],
    machine: &[(&'static str, String)],
) -> Result<()> {
    if options.stores.len() < On::ALL.len() {
        return Ok(());
    }
    let remarks = if options.quick { &[page::QUICK][..] } else { &[] };
    let command = command_line("anomalies --features all-stores");
    let title = "# What functions see of each other, with aft and without";
    let mut out = page::head(title, remarks, &command, machine)?;
    writeln!(
        out,
        "{} requests by {} clients, each request two functions, each function a write and two reads of\n\
         {VALUE_BYTES} B in a random order, Zipf 1.0 over {} keys that are not there at first: the workload of\n\
         the AFT paper, and its Table 2. A part of the functions crashes, at a random place between two\n\
         operations, before its first one, or when it has done all and nobody has heard of it; then\n\
         the request is tried again from its beginning, until an attempt comes to its end.\n",
        thousands(options.requests as f64),
        options.clients,
        thousands(KEYS as f64),
    )?;
    out.push_str(EXPLANATION);
    for percent in &options.crash_percents {
        writeln!(out, "\n## {percent} % of the functions crash\n\n{}", table_head()?)?;
        for row in rows.iter().filter(|row| row.crash_percent == *percent) {
            out.push_str(&line(row)?);
        }
    }
    page::write(&options.output, PAGE, &out)
}

fn table_head() -> Result<String> {
    let mut out = "| store | crash | attempts |".to_owned();
    for kind in shown() {
        write!(out, " {} |", kind.name())?;
    }
    write!(out, "\n|---|---|---|{}", "---|".repeat(shown().count()))?;
    Ok(out)
}

const EXPLANATION: &str = "\
| what is counted | |
|---|---|
| read-your-writes | attempts that read a key they had written, and found something else |
| fractured reads | attempts that read one write of another attempt, and of another key that this one writes, too, an older value |
| unrepeatable reads | attempts that read a key twice, and found two values |
| half-written requests | requests of which an attempt failed, and what it had written was read by others |
| doubled effects | requests of which more than one attempt had an effect: it came to its end, or what it had written was read |

Each value tells who wrote it and all keys that he writes; which of two values is the older one is taken from the
order of aft's commits, and on other stores from when writes were sent and answered. What that leaves open is not
counted. Reads count until the end, when every key is read once more. The detector is
`tests/history_support/detect.rs`, its test on planted anomalies `tests/history`; `--history FILE` keeps
[what was done and seen](../history-format.md). A run in which aft has one anomaly fails.

- *Redis*, *DynamoDB*, *S3*: each operation goes straight to the store. S3 and DynamoDB are MiniStack's. S3 is as it was
  until 2020: a write is at once at one of three replicas and within 60 operations at the others, and any of them answers. DynamoDB's
  reads are consistent here; those that it has by default are not.
- *DynamoDB, transactions*: the reads of a function are one TransactGetItems, all writes are one TransactWriteItems at the
  end, since no transaction goes on from one call to the next. So a request can't read what it writes.
- *aft*: AFT.BEGIN REQUEST by the first function, AFT.JOIN and AFT.COMMIT by the second, each on a connection of its own,
  which is cut where the function crashes. A retry of what had committed has to be told so, with the same commit.

The paper has, for 10,000 requests without crashes (from memory): S3 595 read-your-writes and 836 fractured reads,
DynamoDB 537 and 779, its transactions 0 and 115, Redis 215 and 383, AFT 0 and 0.
";
