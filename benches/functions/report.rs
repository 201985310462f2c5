//! The page: a section for each part, with where it was measured, and which bars are met.

use std::fmt::Write;

use crate::Result;
use crate::afterwards::{Afterwards, Beside, CONNECTIONS, ROUNDS_FOR_ONE, SHORTER, Stage};
use crate::common::functions::{KEYS, VALUE_BYTES};
use crate::common::page::{self, Page};
use crate::figures::{Sample, Spread, cpu_us, median, spread, thousands};
use crate::latency::{self, CLIENTS};
use crate::machine::command_line;
use crate::options::{Options, Part};
use crate::throughput::{On, Row};

const PAGE: Page = Page {
    name: "functions.md",
    title: "\
# What atomicity costs the functions of a request

Written by `cargo bench --bench functions`; a run of some parts (`--parts`) replaces their sections only.
Ratios are the medians of the rounds, with the smallest and the largest; both sides are up at
the same time, on one machine, and are asked in turn. Absolute figures are context: they change with
the machine and its neighbours.
",
    sections: &["throughput", "latency", "afterwards"],
};

/// Requests a second through those of the bare operations, where the bar depends on the clients.
fn bar(on: On, clients: usize) -> Option<f64> {
    match on {
        On::Memory => Some(0.6),
        On::Embedded if clients <= 40 => Some(1.0),
        On::Embedded => Some(0.8),
        On::Redis => None,
    }
}

/// Plain commands after transactions that came to nothing, through before: what two
/// measurements of the same thing differ by.
const AFTERWARDS_MIN: f64 = 0.95;

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

    /// Requests as transactions, beside the bare operations.
    pub(crate) fn throughput(&self, rows: &[Row]) -> Result<()> {
        let mut out = self.head("Requests as transactions, beside their bare operations")?;
        let Options { rounds, seconds, .. } = self.options;
        writeln!(
            out,
            "A request is two functions, each a write and two reads of {VALUE_BYTES} B, Zipf 1.0 over {} keys (the\n\
             workload of the AFT paper). An operation is a round trip. As a transaction each function also\n\
             begins (`AFT.BEGIN REQUEST … STEP …`) and ends (`AFT.DONE`, `AFT.COMMIT`): *sent along* with its\n\
             first and its last operation, or *alone*, each a round trip of its own (10 instead of 6).\n\
             *Plain* are the six operations on a redis-server, with no atomicity: without persistence beside\n\
             aft's memory store, `appendfsync always` beside the embedded one and beside aft on such a\n\
             redis-server. {rounds} rounds of {seconds} s each; closed loop. Every request was committed once.\n",
            thousands(KEYS as f64),
        )?;
        for on in On::ALL {
            writeln!(
                out,
                "### {}\n\n\
                 | clients | sent along ÷ plain | bar | | alone ÷ plain | requests/s plain | sent along | alone \
                 | p50 ms plain | sent along | alone | p99 ms plain | sent along | alone \
                 | server's µs of CPU plain | sent along | alone |\n\
                 |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
                title(on)
            )?;
            for row in rows.iter().filter(|row| row.on == on) {
                throughput_row(&mut out, row)?;
            }
            out.push('\n');
        }
        self.section(Part::Throughput, &out)
    }

    /// How long a request takes at a fixed rate.
    pub(crate) fn latency(&self, rows: &[latency::Row]) -> Result<()> {
        let mut out = self.head("How long a request takes at a fixed rate")?;
        let Options { rounds, seconds, .. } = self.options;
        writeln!(
            out,
            "The same requests, sent along, and the same peers; open loop: a request is sent when it is due, by\n\
             one of {CLIENTS} clients that is free, and counts from then. {rounds} rounds of {seconds} s each; ratios of the\n\
             rounds' percentiles. Six round trips, one after the other, whose clients have one of the two cores.\n\n\
             | | requests/s | p50 ÷ plain | p99 ÷ plain | p50 ms plain | aft | p99 ms plain | aft | max ms plain | aft |\n\
             |---|---|---|---|---|---|---|---|---|---|"
        )?;
        for row in rows {
            latency_row(&mut out, row)?;
        }
        out.push('\n');
        self.section(Part::Latency, &out)
    }

    /// What aborted and abandoned transactions leave.
    pub(crate) fn afterwards(&self, found: &[Afterwards]) -> Result<()> {
        let mut out = self.head("What transactions leave that come to nothing")?;
        let Options { rounds, seconds, transactions, timeout_ms, .. } = self.options;
        writeln!(
            out,
            "GET and SET of {VALUE_BYTES} B without a transaction, by {CONNECTIONS} connections, on a server that has had\n\
             {0} aborted transactions and then {0} abandoned ones (each had read two keys and\n\
             written one, and was over {timeout_ms} ms later), beside a server that never had any. The ratio is\n\
             the first through the second; what counts is how it changed. {1} rounds of {2} s each.\n",
            thousands(*transactions as f64),
            rounds * ROUNDS_FOR_ONE,
            seconds * SHORTER,
        )?;
        for one in found {
            afterwards_rows(&mut out, one)?;
        }
        self.section(Part::Afterwards, &out)
    }

    /// Title, what to type, and where it was measured.
    fn head(&self, title: &str) -> Result<String> {
        let remarks = if self.options.quick { &[page::QUICK][..] } else { &[] };
        page::head(&format!("## {title}"), remarks, &command_line("functions"), &self.machine)
    }

    fn section(&self, part: Part, text: &str) -> Result<()> {
        PAGE.put(&self.options.output, part.name(), text)
    }
}

fn title(on: On) -> &'static str {
    match on {
        On::Memory => "Memory, beside redis-server without persistence",
        On::Embedded => "Embedded, beside redis-server with `appendfsync always`",
        On::Redis => "On a redis-server with `appendfsync always`, beside such a one",
    }
}

fn latency_row(out: &mut String, row: &latency::Row) -> Result<()> {
    let figures: [fn(&Sample) -> f64; 3] =
        [|sample| sample.p50_ms, |sample| sample.p99_ms, |sample| sample.max_ms];
    write!(out, "| {} | {} |", title(row.on), thousands(row.rate as f64))?;
    for figure in &figures[..2] {
        let Some(ratio) = row.ratio(figure) else { return Ok(()) };
        write!(out, " {} |", spread(ratio))?;
    }
    for figure in figures {
        for samples in [&row.plain, &row.along] {
            write!(out, " {:.2} |", median(samples, figure))?;
        }
    }
    out.push('\n');
    Ok(())
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "**missed**" }
}

fn throughput_row(out: &mut String, row: &Row) -> Result<()> {
    let (Some(along), Some(alone)) = (row.ratio(&row.along), row.ratio(&row.alone)) else {
        return Ok(());
    };
    let (bar, met) = bar(row.on, row.clients).map_or_else(
        || (String::new(), ""),
        |bar| (format!("≥ {bar}"), verdict(along.median >= bar)),
    );
    write!(out, "| {} | {} | {bar} | {met} | {} |", row.clients, spread(along), spread(alone))?;
    let ways = [&row.plain, &row.along, &row.alone];
    for samples in ways {
        write!(out, " {} |", thousands(median(samples, |sample| sample.per_second)))?;
    }
    let latencies: [fn(&Sample) -> f64; 2] = [|sample| sample.p50_ms, |sample| sample.p99_ms];
    for latency in latencies {
        for samples in ways {
            write!(out, " {:.2} |", median(samples, latency))?;
        }
    }
    for samples in ways {
        write!(out, " {:.0} |", cpu_us(samples))?;
    }
    out.push('\n');
    Ok(())
}

fn afterwards_rows(out: &mut String, found: &Afterwards) -> Result<()> {
    writeln!(
        out,
        "### The {} store\n\n\
         | | GET ratio | ÷ before | bar | | SET ratio | ÷ before | bar | | GET/s | SET/s | memory MB | of the other |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|",
        found.store
    )?;
    let of = |beside: &Beside| beside.ratio().unwrap_or(Spread { median: 0.0, min: 0.0, max: 0.0 });
    let [before, ..] = &found.stages;
    for (name, stage) in
        ["before", "after the aborted", "after the abandoned"].iter().zip(&found.stages)
    {
        let Stage { gets, sets, resident_bytes } = stage;
        write!(out, "| {name} |")?;
        for (beside, first) in [(gets, &before.gets), (sets, &before.sets)] {
            let ratio = of(beside);
            write!(out, " {} |", spread(ratio))?;
            if std::ptr::eq(beside, first) {
                out.push_str(" | | |");
                continue;
            }
            let kept = ratio.median / of(first).median;
            write!(out, " {kept:.2} | ≥ {AFTERWARDS_MIN} | {} |", verdict(kept >= AFTERWARDS_MIN))?;
        }
        let rate = |beside: &Beside| thousands(median(&beside.own, |sample| sample.per_second));
        let [own, other] = resident_bytes.map(|bytes| bytes as f64 / 1e6);
        writeln!(out, " {} | {} | {own:.0} | {other:.0} |", rate(gets), rate(sets))?;
    }
    writeln!(
        out,
        "\nAbandoned ones open at the same time: {}, with {:.0} MB of memory then.\n",
        thousands(found.open_most as f64),
        found.open_bytes as f64 / 1e6
    )?;
    Ok(())
}
