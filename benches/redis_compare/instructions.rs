//! Instructions a command, counted by callgrind: hardly any noise (timers of the server run
//! by real time), so a change of a few hundredths shows.
//!
//! A server runs under `valgrind --tool=callgrind` twice, with few and with many requests.
//! The difference through the difference in requests is the price of one: starting, ending
//! and connecting are in both. It counts the server's own instructions, not the kernel's.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::cells::{Cell, Command, Method, Store};
use crate::options::Options;
use crate::servers::{Directory, Kind, Server};
use crate::{Result, load, machine, redis_benchmark};

const FEW: u64 = 4_000;
const MANY: u64 = 24_000;
const KEYS: u64 = 1_000;
const PIPELINE: usize = 16;
const VALUE_BYTES: usize = 16;
/// callgrind makes a server fifty times slower.
const LIMIT: Duration = Duration::from_secs(90);

/// Counts, prints the table and writes it.
pub(crate) async fn run(options: &Options) -> Result<()> {
    let data = Directory::create(Path::new(env!("CARGO_TARGET_TMPDIR")), "instructions")?;
    let redis = Kind::Redis(Store::Memory);
    let mut servers = vec![redis];
    if !options.against_itself {
        servers.push(Kind::Aft { binary: options.aft.clone(), store: Store::Memory });
    }
    let mut table = String::new();
    for kind in &servers {
        for command in [Command::Set, Command::Get] {
            let few = count(kind, &data.path, command, FEW).await?;
            let many = count(kind, &data.path, command, MANY).await?;
            let each = many.saturating_sub(few) as f64 / (MANY - FEW) as f64;
            let (server, command) = (kind.name(), command.name().to_uppercase());
            writeln!(table, "| {server} | {command} | {each:.0} |")?;
        }
    }
    let mut out = format!(
        "# Instructions a command\n\n    \
         cargo bench --bench redis_compare -- instructions\n\n\
         Of the server alone, without the kernel, by callgrind: ({MANY} requests − {FEW} requests)\n\
         through the difference. One client, P={PIPELINE}, {VALUE_BYTES} B, {KEYS} keys, no\n\
         persistence.\n\n"
    );
    for (name, value) in machine::describe(&data.path) {
        writeln!(out, "- {name}: {value}")?;
    }
    write!(out, "\n| server | command | instructions |\n|---|---|---|\n{table}")?;
    println!("{out}");
    if !options.against_itself {
        fs::create_dir_all(&options.output)?;
        fs::write(options.output.join("instructions.md"), out)?;
    }
    Ok(())
}

/// The instructions of a server's whole life with a number of requests in it.
async fn count(kind: &Kind, data: &Path, command: Command, requests: u64) -> Result<u64> {
    let directory = Directory::create(data, "callgrind")?;
    let file = directory.path.join("out");
    let wrapper = [
        "valgrind".to_owned(),
        "--tool=callgrind".to_owned(),
        format!("--callgrind-out-file={}", file.display()),
    ];
    let server = Server::start(kind, data, &wrapper).await?;
    let cell = Cell {
        store: Store::Memory,
        command,
        method: Method::Throughput,
        clients: 1,
        pipeline: PIPELINE,
        value_bytes: VALUE_BYTES,
        keys: KEYS,
    };
    let workload = crate::workload::Workload::new(Command::Get, KEYS, VALUE_BYTES);
    load::fill(server.address(), &workload).await?;
    redis_benchmark::run(server.address().port(), &cell, requests, LIMIT).await?;
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
