//! What functions see of each other that crash and are tried again: the AFT paper's Table 2.
//!
//! ```text
//! cargo bench --bench anomalies --features all-stores                 docs/benchmarks/anomalies.md
//! … -- --stores redis,aft-redis --requests 1000 --history FILE        some, and what was seen
//! … -- --quick                                                        200 requests on each store
//! ```
//!
//! Functions read and write values that tell who wrote them, and what else he writes. What they
//! saw is a history, which is searched for what can't be if requests are atomic. On a store as it
//! is that is counted; aft has none of it, or the run fails.
//!
//! ```text
//! options ─▶ stores ─▶ play             servers; requests, crashes, retries: a history
//!              └─▶ resp, dynamodb, s3   how each is asked
//! tests/history_support                 the history, as a file, and the anomalies in it
//! report                                docs/benchmarks/anomalies.md
//! ```

#[path = "../common/mod.rs"]
mod common;
mod dynamodb;
#[path = "../../tests/history_support/mod.rs"]
mod history_support;
mod options;
mod play;
mod report;
mod resp;
mod s3;
mod stores;
#[path = "../common/versions.rs"]
mod versions;

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use common::{Result, connection, machine, requests, servers};
use history_support::detect::{Anomaly, Kind, detect};
use history_support::json;
use history_support::record::{Status, Transaction};
use options::Options;
use play::Play;
use report::Row;
use stores::On;

fn main() -> ExitCode {
    let options = options::parse();
    match common::run(look(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("anomalies: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn look(options: &Options) -> Result<()> {
    let data = stores::data()?;
    let machine = machine::describe(&data.path);
    let mut file = match &options.history {
        Some(path) => Some(BufWriter::new(File::create(path)?)),
        None => None,
    };
    let mut rows = Vec::new();
    for &crash_percent in &options.crash_percents {
        for &on in &options.stores {
            let play = Play {
                run: format!("{}, {crash_percent} % crash", on.name()),
                requests: options.requests,
                clients: options.clients,
                crash_percent,
                seed: options.seed,
            };
            let history = on.play(&options.aft, &data.path, &play).await;
            let history = history.map_err(|error| format!("{}: {error}", play.run))?;
            check_all_done(options, &history)?;
            if let Some(file) = &mut file {
                for transaction in &history {
                    writeln!(file, "{}", json::line(transaction))?;
                }
            }
            let row =
                Row { on, crash_percent, attempts: history.len(), anomalies: detect(&history) };
            println!("{}", report::line(&row)?.trim_end());
            check(&row)?;
            rows.push(row);
        }
    }
    if let (Some(path), Some(mut file)) = (&options.history, file) {
        file.flush()?;
        check_file(path, &rows)?;
    }
    report::write(options, &rows, &machine)
}

/// Each request has come to its end, and each key has been looked at.
fn check_all_done(options: &Options, history: &[Transaction]) -> Result<()> {
    let committed = history.iter().filter(|transaction| transaction.status == Status::Committed);
    let done: HashSet<&str> = committed.map(|transaction| transaction.request.as_str()).collect();
    if done.len() as u64 == options.requests + 1 {
        return Ok(());
    }
    Err(format!("only {} requests have come to their end", done.len()).into())
}

/// aft has none. Others have, or they would not be looked at.
fn check(row: &Row) -> Result<()> {
    let shown: Vec<String> = row.anomalies.iter().take(5).map(Anomaly::to_string).collect();
    if row.on.is_aft() && !row.anomalies.is_empty() {
        return Err(format!("{}: {}", row.on.name(), shown.join("; ")).into());
    }
    if row.anomalies.iter().any(|anomaly| anomaly.kind == Kind::Unheard) {
        return Err(format!("{}: {}", row.on.name(), shown.join("; ")).into());
    }
    if row.on == On::S3 && row.anomalies.is_empty() {
        return Err("nothing was found on a store that answers with old values".into());
    }
    Ok(())
}

/// What was written says the same.
fn check_file(path: &Path, rows: &[Row]) -> Result<()> {
    let history = json::parse(&std::fs::read_to_string(path)?)?;
    let mut rest = history.as_slice();
    for row in rows {
        let run = rest.first().map(|transaction| transaction.run.as_str()).unwrap_or_default();
        let is_other = |transaction: &Transaction| transaction.run != run;
        let end = rest.iter().position(is_other).unwrap_or(rest.len());
        let (own, others) = rest.split_at(end);
        if detect(own) != row.anomalies {
            return Err(format!("{}: {run} has other anomalies", path.display()).into());
        }
        rest = others;
    }
    println!("{} transactions written to {}", history.len(), path.display());
    Ok(())
}
