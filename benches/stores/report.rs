//! The page: a section for each part, with where it was measured, and which bars are met.

use std::fmt::Write;

use crate::Result;
use crate::clouds::Cloud;
use crate::common::page::{self, Page};
use crate::cost::{self, Asked};
use crate::figures::{Sample, Spread, cpu_us, median, spread, thousands};
use crate::latency::{self, CONNECTIONS, VALUE_BYTES};
use crate::machine::command_line;
use crate::options::{Options, Part};
use crate::prices::{DYNAMODB_READ_UNIT, DYNAMODB_WRITE_UNIT, S3_GET, S3_PUT, TRANSACTIONAL};
use crate::sides::Who;
use crate::transactions::WRITES;
use crate::{recovery, redis, throughput};

const PAGE: Page = Page {
    name: "stores.md",
    title: "\
# aft on the stores that people have

Written by `cargo bench --bench stores --features all-stores`; a run of some parts (`--parts`) replaces their sections only.
Ratios are the medians of the rounds, with the smallest and the largest; both sides are up at
the same time, on one machine, and are asked in turn. Absolute figures are context: they change with
the machine and its neighbours.

No cloud is at hand here. *S3* and *DynamoDB* are aft's own node, with its sockets, in a process of its own, on
a store in that process' memory that is as slow as theirs: a put takes a median of 30 ms on S3 (p99 100) and
of 4 ms on DynamoDB (p99 12), a read 15 ms (50) and 4 ms (12), drawn by a seed from a lognormal distribution; S3 carries
85 MB/s on a connection; an object of more than an item of DynamoDB takes two steps, as aft's adapter for it does. The node is
told the limits of the real adapters. What is missing is the work of HTTP, TLS and signatures.
*AFT's layout* is a server on the same store that creates an object for each write of a transaction, all at
once, and then a commit record: as little as there can be, without index, cache or garbage collection. It may make
as many requests a second as it likes; S3 takes 3,500 puts a second for a prefix.
",
    sections: &["redis", "latency", "throughput", "cost", "recovery"],
};

/// A commit through the store's put, at low load.
const P50_MAX: f64 = 1.3;
const P99_MAX: f64 = 2.0;
/// Transactions a second on S3 with so many clients.
const PER_SECOND_MIN: f64 = 20_000.0;
const CLIENTS: usize = 1_000;
/// Of a start.
const SECONDS_MAX: f64 = 5.0;

/// Writes each part: prints it, and puts it into its page.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    options: &'a Options,
    machine: Vec<(&'static str, String)>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(options: &'a Options, machine: Vec<(&'static str, String)>) -> Self {
        Self { options, machine }
    }

    /// aft on a Redis.
    pub(crate) fn redis(&self, rows: &[redis::Row]) -> Result<()> {
        let mut out = self.head("On a Redis, beside such a Redis")?;
        let Options { rounds, seconds, .. } = self.options;
        writeln!(
            out,
            "A redis-server with `appendfsync always` beneath aft, and another one by itself. {rounds} rounds of {seconds} s\n\
             each, keys at random, values of 16 B; GET and SET by redis-benchmark, transfers (MULTI, two INCRBY,\n\
             EXEC; the accounts add up to 0 at the end) by the load generator. Client, aft and the Redis beneath it share two cores,\n\
             where the Redis by itself has one to itself.\n\n\
             | | P | clients | aft ÷ Redis | bar | | aft /s | Redis /s | aft's µs of CPU | Redis' | p50 ms aft | Redis | p99 ms aft | Redis |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        )?;
        for row in rows {
            redis_row(&mut out, row)?;
        }
        self.section(Part::Redis, &out)
    }

    /// A commit in units of the store's own put.
    pub(crate) fn latency(&self, rows: &[latency::Row]) -> Result<()> {
        let mut out = self.head("A commit, in units of the store's own put")?;
        let Options { rounds, seconds, low_seconds, .. } = self.options;
        writeln!(
            out,
            "A transaction is MULTI, {WRITES} SET of {VALUE_BYTES} B, EXEC. Open loop: it is sent when it is due, by {CONNECTIONS}\n\
             connections in turn, and timed from then to its last reply; the store's puts are timed inside of it,\n\
             in the same turns. {rounds} rounds of {low_seconds} s at the lowest rate, of {seconds} s at the others; the ratios\n\
             are those of medians and of 99th percentiles. Bars for aft at the lowest rate: {P50_MAX} and {P99_MAX}.\n\n\
             | store | commits/s | | p50 ÷ put's | bar | | p99 ÷ put's | bar | | p50 ms | p99 ms | put's p50 ms | p99 ms |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|---|"
        )?;
        let lowest = rows.iter().map(|row| row.rate).min();
        for row in rows {
            latency_row(&mut out, row, row.who == Who::Aft && Some(row.rate) == lowest)?;
        }
        self.section(Part::Latency, &out)
    }

    /// Many clients.
    pub(crate) fn throughput(&self, rows: &[throughput::Row]) -> Result<()> {
        let mut out = self.head("Many clients on slow stores")?;
        let Options { rounds, seconds, keys, settings, .. } = self.options;
        writeln!(
            out,
            "Closed loop: each client has one transaction under way (MULTI, {WRITES} SET on any of {} keys, EXEC; one\n\
             round trip), or two, and sends the next when it has the replies to the last. {rounds} rounds of {seconds} s each{}. The load\n\
             generator has one of the two cores. A put takes some 35 ms in the mean on S3, so {} clients with one\n\
             transaction each could have no more than {} a second, if a put were all that they waited for.\n\n\
             | store | value bytes | clients | under way of each | | transactions/s | bar | | ÷ AFT's layout | p50 ms | p99 ms \
             | puts a transaction | share of a core |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|---|",
            thousands(*keys as f64),
            if settings.is_empty() { String::new() } else { format!(", {}", settings.join(" ")) },
            thousands(CLIENTS as f64),
            thousands(CLIENTS as f64 / 0.035),
        )?;
        for row in rows {
            for (who, turns) in Who::ALL.into_iter().zip(&row.sides) {
                throughput_row(&mut out, row, who, turns)?;
            }
        }
        self.section(Part::Throughput, &out)
    }

    /// Requests, bytes and dollars.
    pub(crate) fn cost(&self, rows: &[cost::Row]) -> Result<()> {
        let mut out = self.head("What a million transactions cost")?;
        let crate::options::Cost { keys, times, .. } = self.options.cost;
        writeln!(
            out,
            "Of the same transactions: {WRITES} keys of {keys}, at random; 960 B and the key are an item of 1 KB. First as much is\n\
             written as {times} times the live data, and `--store-bytes-min=1mb`: so what compaction reads, writes and\n\
             deletes in the long run counts, and so do signs of life. Prices on demand in us-east-1: S3 {S3_PUT} $ for a million PUT and LIST, {S3_GET} $ GET,\n\
             DELETE is free; DynamoDB {DYNAMODB_WRITE_UNIT} $ for a million write units (of 1 KB of an item, deletes too), {DYNAMODB_READ_UNIT} $ read units. With\n\
             one client every transaction has an object of its own; that is counted without delays. Storage and\n\
             traffic are not counted.\n\n\
             | store | value bytes | clients | transactions in an object | creates a million | reads | deleted objects | MB written | write units | $ |\n\
             |---|---|---|---|---|---|---|---|---|---|"
        )?;
        for row in rows {
            cost_row(&mut out, row)?;
        }
        cost_of_others(&mut out)?;
        self.section(Part::Cost, &out)
    }

    /// From a start to serving.
    pub(crate) fn recovery(&self, cases: &[recovery::Case]) -> Result<()> {
        let mut out = self.head("From a start to serving, with 30 ms a read")?;
        let plan = &self.options.recovery;
        writeln!(
            out,
            "{} keys are written and then overwritten {} times, on an S3 whose reads, too, take a median of 30 ms (p99 100).\n\
             When compaction has come to rest the node ends in order; the next one, in the same process, starts on what it has left, as it is.\n\
             From before it begins to the right reply to a GET; afterwards DBSIZE and a hundred values are right.\n\n\
             | value bytes | s (min–max) | bar | | of it recovery s | reads | MB read | lists | creates | s to fill | s until rest |\n\
             |---|---|---|---|---|---|---|---|---|---|---|",
            thousands(plan.keys as f64),
            plan.overwrites,
        )?;
        for case in cases {
            let Some(took) = case.took() else { continue };
            let counts = case.counts;
            writeln!(
                out,
                "| {} | {} | < {SECONDS_MAX} | {} | {:.2} | {} | {:.1} | {} | {} | {:.1} | {:.1} |",
                case.value_bytes,
                spread(took),
                verdict(took.median < SECONDS_MAX),
                case.recovery_ms as f64 / 1e3,
                counts.reads,
                counts.bytes_read as f64 / 1e6,
                counts.lists,
                counts.creates,
                case.filled_seconds,
                case.tidied_seconds,
            )?;
        }
        self.section(Part::Recovery, &out)
    }

    /// Title, what to type, and where it was measured.
    fn head(&self, title: &str) -> Result<String> {
        let remarks = if self.options.quick { &[page::QUICK][..] } else { &[] };
        let command = command_line("stores --features all-stores");
        page::head(&format!("## {title}"), remarks, &command, &self.machine)
    }

    fn section(&self, part: Part, text: &str) -> Result<()> {
        PAGE.put(&self.options.output, part.name(), text)
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "**missed**" }
}

fn of(spread: Option<Spread>) -> Spread {
    spread.unwrap_or(Spread { median: 0.0, min: 0.0, max: 0.0 })
}

fn redis_row(out: &mut String, row: &redis::Row) -> Result<()> {
    let redis::Load { command, pipeline, clients, bar } = row.load;
    let ratio = of(row.ratio());
    let (bar, met) = bar.map_or_else(
        || (String::new(), ""),
        |bar| (format!("≥ {bar}"), verdict(ratio.median >= bar)),
    );
    write!(out, "| {} | {pipeline} | {clients} | {} ", command.name(), spread(ratio))?;
    write!(out, "| {bar} | {met} |")?;
    let sides = [&row.aft, &row.redis];
    for samples in sides {
        write!(out, " {} |", thousands(median(samples, |sample| sample.per_second)))?;
    }
    for samples in sides {
        write!(out, " {:.1} |", cpu_us(samples))?;
    }
    latencies(out, sides)?;
    Ok(())
}

/// p50 of both, p99 of both, and the end of the line.
fn latencies(out: &mut String, sides: [&Vec<Sample>; 2]) -> Result<()> {
    let figures: [fn(&Sample) -> f64; 2] = [|sample| sample.p50_ms, |sample| sample.p99_ms];
    for figure in figures {
        for samples in sides {
            write!(out, " {:.1} |", median(samples, figure))?;
        }
    }
    out.push('\n');
    Ok(())
}

fn latency_row(out: &mut String, row: &latency::Row, is_judged: bool) -> Result<()> {
    let (cloud, who) = (row.cloud.name(), row.who.name());
    write!(out, "| {cloud} | {} | {who} |", thousands(row.rate as f64))?;
    for (ratio, bar) in [(of(row.of_p50()), P50_MAX), (of(row.of_p99()), P99_MAX)] {
        write!(out, " {} |", spread(ratio))?;
        match is_judged {
            true => write!(out, " ≤ {bar} | {} |", verdict(ratio.median <= bar))?,
            false => out.push_str(" | |"),
        }
    }
    let figures: [fn(&latency::Turn) -> f64; 4] = [
        |turn| turn.sample.p50_ms,
        |turn| turn.sample.p99_ms,
        |turn| turn.put_p50_ms,
        |turn| turn.put_p99_ms,
    ];
    for figure in figures {
        write!(out, " {:.1} |", of(Spread::of(row.turns.iter().map(figure).collect())).median)?;
    }
    out.push('\n');
    Ok(())
}

fn throughput_row(
    out: &mut String,
    row: &throughput::Row,
    who: Who,
    turns: &[throughput::Turn],
) -> Result<()> {
    let throughput::Row { cloud, value_bytes, load, .. } = row;
    let samples: Vec<Sample> = turns.iter().map(|turn| turn.sample).collect();
    let per_second = of(Spread::of(samples.iter().map(|sample| sample.per_second).collect()));
    let is_judged = *cloud == Cloud::S3 && load.clients == CLIENTS && who != Who::Layout;
    let (bar, met) = match is_judged {
        true => (thousands(PER_SECOND_MIN), verdict(per_second.median >= PER_SECOND_MIN)),
        false => (String::new(), ""),
    };
    let creates: u64 = turns.iter().map(|turn| turn.counts.creates).sum();
    let transactions: u64 = samples.iter().map(|sample| sample.requests).sum();
    writeln!(
        out,
        "| {} | {value_bytes} | {} | {} | {} | {} ({}–{}) | {bar} | {met} | {} | {:.0} | {:.0} | {:.4} | {:.2} |",
        cloud.name(),
        load.clients,
        load.pipeline,
        who.name(),
        thousands(per_second.median),
        thousands(per_second.min),
        thousands(per_second.max),
        spread(of(row.ratio(turns))),
        median(&samples, |sample| sample.p50_ms),
        median(&samples, |sample| sample.p99_ms),
        creates as f64 / transactions.max(1) as f64,
        cpu_us(&samples) * per_second.median / 1e6,
    )?;
    Ok(())
}

fn cost_row(out: &mut String, row: &cost::Row) -> Result<()> {
    let a_million = |count: u64| thousands(row.a_million(count as f64));
    match row.asked {
        Asked::Cloud(cloud, counts) => {
            let is_table = cloud == Cloud::DynamoDb;
            let dollars = if is_table { counts.dynamodb_dollars() } else { counts.s3_dollars() };
            let units = if is_table { a_million(counts.write_units) } else { String::new() };
            writeln!(
                out,
                "| {} | {} | {} | {:.1} | {} | {} | {} | {} | {units} | {:.2} |",
                cloud.name(),
                row.value_bytes,
                row.clients,
                row.transactions as f64 / counts.creates.max(1) as f64,
                a_million(counts.creates),
                a_million(counts.reads),
                a_million(counts.objects_deleted),
                thousands(row.a_million(counts.bytes_created as f64 / 1e6)),
                row.a_million(dollars),
            )?;
        }
        Asked::Redis { commands, bytes } => writeln!(
            out,
            "| Redis | {} | {} | | {} commands | | | {} | | |",
            row.value_bytes,
            row.clients,
            a_million(commands),
            thousands(row.a_million(bytes as f64 / 1e6)),
        )?,
    }
    Ok(())
}

/// What the same transaction costs by other means.
fn cost_of_others(out: &mut String) -> Result<()> {
    let (writes, item) = (WRITES as u64, 1);
    let dollars = |units: u64| units as f64 * DYNAMODB_WRITE_UNIT;
    let puts = |puts: u64| puts as f64 * S3_PUT;
    writeln!(
        out,
        "\nThe same transaction by other means, with either size, whatever the load:\n\n\
         | | requests | write units | $ a million |\n\
         |---|---|---|---|\n\
         | DynamoDB, `TransactWriteItems` | 1 | {} | {:.2} |\n\
         | DynamoDB, AFT's layout: {writes} items, and a record | {} | {} | {:.2} |\n\
         | DynamoDB, {writes} `PutItem`, not atomic | {writes} | {} | {:.2} |\n\
         | S3, AFT's layout: {writes} objects, and a record | {} | | {:.2} |\n\
         | S3, {writes} `PutObject`, not atomic | {writes} | | {:.2} |",
        TRANSACTIONAL * writes * item,
        dollars(TRANSACTIONAL * writes * item),
        writes + 1,
        writes * item + 1,
        dollars(writes * item + 1),
        writes * item,
        dollars(writes * item),
        writes + 1,
        puts(writes + 1),
        puts(writes),
    )?;
    Ok(())
}
