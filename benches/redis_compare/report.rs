//! The tables, and which of aft's promises they keep.

use std::fmt::Write;

use crate::Result;
use crate::bars::{BARS, Bar, Verdict, bar, verdict};
use crate::cells::{Cell, Method, Row};
use crate::common::page;
use crate::figures::{Sample, Spread, cpu_us, median, spread, thousands};
use crate::instructions::{self, Price};
use crate::limits::Disk;
use crate::machine::command_line;
use crate::million::{self, Memory, Million};
use crate::options::Options;
use crate::plot;
use crate::servers::Store;
use crate::text::{bytes, pair, ratio, title};

/// All that the matrix found out.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) disk: Disk,
    pub(crate) rows: Vec<Row>,
}

const LAYOUT: &str = "\
One machine runs everything, over 127.0.0.1. redis-server and aft are up at the same time and
are asked in turn (redis, aft, redis, aft, …), so only one of them works at a time; the
client (redis-benchmark, or the load generator of `benches/`) has one thread and takes one core,
the server takes what is left. On two cores that is one core for the server and its disk
threads. No process is pinned.

**Ratio** is the median of the rounds, with the smallest and the largest: above 1 aft is ahead.
Absolute figures are medians, and context only: they change with the machine and its neighbours.

- memory: redis-server without persistence (`--save '' --appendonly no`), `aft --store memory:`
- embedded: redis-server with `--appendonly yes --appendfsync always` (rewriting its log as it
  does by default), `aft --store embedded:DIR`, both on the disk of the checkout
";

const THROUGHPUT: &str = "
Requests a second, and the latencies of a server that has all it can do. An MSET is of
ten keys; a transfer is MULTI, two INCRBY and EXEC, counted once, and sent by the load
generator. The bare loop, run once, finds the end of each command, answers +OK and keeps
nothing. CPU is the server's, in user space and kernel, for one request: it moves little when
neighbours are noisy. p99.9 of redis-benchmark is the first step of its distribution at or
behind 99.9 %. Each pair is aft, redis.

| command | P | clients | bytes | ratio (min–max) | bar | aft /s | redis /s | bare loop /s \
| CPU µs aft, redis, bare | p50 ms | p99 ms | p99.9 ms |
|---|---|---|---|---|---|---|---|---|---|---|---|---|
";

const LATENCY: &str = "
## Latency at a fixed rate

Open loop: each request is sent when it is due and timed from then, answered or not
before it. The ratio is redis' p99 through aft's, so above 1 aft is ahead. Each pair is aft,
redis.

| store | command | rate /s | clients | bytes | ratio of p99 (min–max) | p50 ms | p99 ms \
| p99.9 ms | max ms | unanswered |
|---|---|---|---|---|---|---|---|---|---|---|
";

/// Writes each part: prints it, and puts it beside the others.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    options: &'a Options,
    machine: Vec<(&'static str, String)>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(options: &'a Options, machine: Vec<(&'static str, String)>) -> Self {
        Self { options, machine }
    }

    /// Commands under loads.
    pub(crate) fn matrix(&self, findings: &Findings) -> Result<()> {
        let (name, title) = if self.options.against_itself {
            ("redis_against_itself", "redis-server beside itself: the noise")
        } else {
            ("redis_compare", "aft beside redis-server")
        };
        let Findings { disk, rows } = findings;
        let mut out = self.head(title)?;
        writeln!(out, "{LAYOUT}")?;
        let Options { rounds, seconds, .. } = self.options;
        writeln!(out, "{rounds} rounds of {seconds} s each.")?;
        if !self.options.against_itself {
            bars(&mut out, rows, disk)?;
        }
        for store in [Store::Memory, Store::Embedded] {
            let of_store = |row: &&Row| row.cell.store == store && row.cell.is_throughput();
            let rows: Vec<&Row> = rows.iter().filter(of_store).collect();
            if !rows.is_empty() {
                let plot = format!("{name}_{store}.svg");
                self.write(&plot, &plot::ratios(&format!("{title}: {store}"), &rows)?)?;
                writeln!(out, "\n## Throughput: {store}\n\n![ratios]({plot})")?;
                throughput(&mut out, &rows, disk)?;
            }
        }
        let rows: Vec<&Row> = rows.iter().filter(|row| !row.cell.is_throughput()).collect();
        if !rows.is_empty() {
            let plot = format!("{name}_latency.svg");
            self.write(&plot, &plot::ratios(&format!("{title}: p99 at a fixed rate"), &rows)?)?;
            latency(&mut out, &rows, &plot)?;
        }
        limits(&mut out, disk)?;
        self.left_out(&mut out)?;
        println!("\n{out}");
        self.write(&format!("{name}.md"), &out)
    }

    /// A million keys.
    pub(crate) fn million(&self, million: &Million) -> Result<()> {
        let mut out = self.head("A million keys: memory, and starts")?;
        let (keys, bytes) = (thousands(self.options.million as f64), million::BYTES);
        writeln!(out, "{keys} keys of {bytes} B with values of {bytes} B.\n")?;
        memory(&mut out, &million.memory)?;
        starts(&mut out, million)?;
        println!("\n{out}");
        self.write("million_keys.md", &out)
    }

    /// By callgrind.
    pub(crate) fn instructions(&self, prices: &[Price]) -> Result<()> {
        let mut out = self.head("Instructions a command")?;
        let keys = instructions::KEYS;
        writeln!(
            out,
            "Of the server alone, without the kernel, by callgrind: the difference of two runs of\n\
             different length through the difference in requests. One client, {keys} keys, no\n\
             persistence. A transfer is four commands, an MSET has ten keys.\n\n\
             | command | P | bytes | aft | redis-server | aft ÷ redis-server |\n\
             |---|---|---|---|---|---|"
        )?;
        for Price { cell, redis, aft } in prices {
            let (command, pipeline, bytes) = (title(cell.command), cell.pipeline, bytes(cell));
            let ratio = aft / redis;
            let (aft, redis) = (thousands(*aft), thousands(*redis));
            writeln!(out, "| {command} | {pipeline} | {bytes} | {aft} | {redis} | {ratio:.2} |")?;
        }
        println!("\n{out}");
        self.write("instructions.md", &out)
    }

    /// Title, what to type, and where it was measured.
    fn head(&self, title: &str) -> Result<String> {
        let quick = self.options.quick.then_some(page::QUICK);
        let itself = self.options.against_itself.then_some(
            "Both sides are redis-server. Every ratio should be 1: how far it is from that is\n\
             how far to trust the tables of this directory. (\"aft\" is the second redis-server.)",
        );
        let remarks: Vec<&str> = quick.into_iter().chain(itself).collect();
        page::head(&format!("# {title}"), &remarks, &command_line("redis_compare"), &self.machine)
    }

    fn write(&self, name: &str, contents: &str) -> Result<()> {
        page::write(&self.options.output, name, contents)
    }

    fn left_out(&self, out: &mut String) -> Result<()> {
        if self.options.left_out.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n## Left out\n")?;
        for (cell, why) in &self.options.left_out {
            writeln!(out, "- {cell}: {why}")?;
        }
        Ok(())
    }
}

fn bars(out: &mut String, rows: &[Row], disk: &Disk) -> Result<()> {
    writeln!(
        out,
        "\n## Bars\n\n\
         What is promised of the median ratios, and how many rows keep it. \"At the disk's\n\
         bandwidth\": the ratio is lower, but aft writes values as fast as the disk syncs.\n\n\
         | bar | at least | met | at the disk's bandwidth | missed |\n|---|---|---|---|---|"
    )?;
    let verdicts = |bar: &Bar, wanted: Verdict| -> Vec<&Row> {
        let covers = |row: &&Row| crate::bars::bar(&row.cell).is_some_and(|b| b.name == bar.name);
        rows.iter().filter(covers).filter(|row| verdict(row, disk) == Some(wanted)).collect()
    };
    for bar in &BARS {
        let missed = verdicts(bar, Verdict::Missed);
        let missed: Vec<String> =
            missed.iter().map(|row| format!("{}: {}", row.cell, ratio(row))).collect();
        writeln!(
            out,
            "| {} | {:.2} | {} | {} | {} |",
            bar.name,
            bar.at_least,
            verdicts(bar, Verdict::Met).len(),
            verdicts(bar, Verdict::AtDisk).len(),
            if missed.is_empty() { "none".to_owned() } else { missed.join("<br>") },
        )?;
    }
    Ok(())
}

fn throughput(out: &mut String, rows: &[&Row], disk: &Disk) -> Result<()> {
    out.push_str(THROUGHPUT);
    for row in rows {
        let Cell { clients, pipeline, .. } = row.cell;
        let rate = |samples: &[Sample]| thousands(median(samples, |sample| sample.per_second));
        let (bare, bare_cpu) = if row.bare.is_empty() {
            ("–".into(), "–".into())
        } else {
            (rate(&row.bare), format!("{:.2}", cpu_us(&row.bare)))
        };
        let cpu = format!("{:.2}, {:.2}, {bare_cpu}", cpu_us(&row.aft), cpu_us(&row.redis));
        writeln!(
            out,
            "| {} | {pipeline} | {clients} | {} | {} | {} | {} | {} | {bare} | {cpu} | {} | {} | {} |",
            title(row.cell.command),
            bytes(&row.cell),
            ratio(row),
            standing(row, disk),
            rate(&row.aft),
            rate(&row.redis),
            pair(row, |sample| sample.p50_ms),
            pair(row, |sample| sample.p99_ms),
            pair(row, |sample| sample.p999_ms),
        )?;
    }
    Ok(())
}

/// The bar of a row, and whether it keeps it.
fn standing(row: &Row, disk: &Disk) -> String {
    let (Some(bar), Some(verdict)) = (bar(&row.cell), verdict(row, disk)) else {
        return "–".to_owned();
    };
    let verdict = match verdict {
        Verdict::Met => "met",
        Verdict::AtDisk => "disk",
        Verdict::Missed => "**missed**",
    };
    format!("{:.2} {verdict}", bar.at_least)
}

fn latency(out: &mut String, rows: &[&Row], plot: &str) -> Result<()> {
    out.push_str(LATENCY);
    for row in rows {
        let Method::Latency { per_second } = row.cell.method else {
            continue;
        };
        let unanswered =
            |samples: &[Sample]| -> u64 { samples.iter().map(|sample| sample.unanswered).sum() };
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {}, {} |",
            row.cell.store,
            title(row.cell.command),
            thousands(per_second as f64),
            row.cell.clients,
            bytes(&row.cell),
            ratio(row),
            pair(row, |sample| sample.p50_ms),
            pair(row, |sample| sample.p99_ms),
            pair(row, |sample| sample.p999_ms),
            pair(row, |sample| sample.max_ms),
            unanswered(&row.aft),
            unanswered(&row.redis),
        )?;
    }
    writeln!(out, "\n![ratios of p99]({plot})")?;
    Ok(())
}

fn limits(out: &mut String, disk: &Disk) -> Result<()> {
    writeln!(
        out,
        "\n## What the disk allows\n\n\
         | fdatasync of 4 KB | median ms | min ms | max ms |\n\
         |---|---|---|---|"
    )?;
    for (name, times) in
        [("of a block written before", disk.preallocated), ("appended to a file", disk.append)]
    {
        let (median, min, max) = (times.median, times.min, times.max);
        writeln!(out, "| {name} | {median:.3} | {min:.3} | {max:.3} |")?;
    }
    let bandwidth = disk.synced_mb_per_second;
    writeln!(out, "\nAppending 1 MB and syncing it, again and again: {bandwidth:.0} MB/s.")?;
    Ok(())
}

fn memory(out: &mut String, memory: &Memory) -> Result<()> {
    /// What Redis is said to take, and how much of that aft may.
    const REDIS_BYTES: f64 = 120.0;
    const SHARE_MAX: f64 = 1.2;
    let of = |figures: &[f64]| Spread::of(figures.to_vec()).map_or(0.0, |spread| spread.median);
    let (aft, redis) = (of(&memory.aft), of(&memory.redis));
    let bar = SHARE_MAX * REDIS_BYTES;
    let met = if aft <= bar { "met" } else { "missed" };
    writeln!(
        out,
        "## Resident memory of a key\n\n\
         What the process has grown by when they are written, through their number. Memory\n\
         store, redis-server without persistence. Median of {} rounds.\n\n\
         | server | bytes a key |\n|---|---|\n| aft | {aft:.0} |\n| redis-server | {redis:.0} |\n\n\
         Bar: at most {bar:.0} bytes ({SHARE_MAX} × {REDIS_BYTES:.0}): **{met}**.",
        memory.aft.len(),
    )?;
    Ok(())
}

fn starts(out: &mut String, million: &Million) -> Result<()> {
    let Million { redis, aft, .. } = million;
    writeln!(
        out,
        "\n## From start to serving\n\n\
         From before the process begins to the reply to a GET of the last key, with warm files;\n\
         each key was written once, redis-server's append-only file is not rewritten. The ratio\n\
         is redis-server's time through aft's, round by round: above 1 aft is ahead.\n\n\
         | server | MB of files | median s | min | max |\n|---|---|---|---|---|"
    )?;
    for (name, starts) in [("aft", aft), ("redis-server", redis)] {
        let Some(Spread { median, min, max }) = Spread::of(starts.seconds.clone()) else {
            continue;
        };
        let megabytes = starts.disk_bytes as f64 / 1e6;
        writeln!(out, "| {name} | {megabytes:.0} | {median:.2} | {min:.2} | {max:.2} |")?;
    }
    let ratio = Spread::of_ratios(&redis.seconds, &aft.seconds).ok_or("no rounds")?;
    let met = if ratio.median >= 1.0 { "met" } else { "missed" };
    writeln!(out, "\nRatio {}. Bar: no later than redis-server: **{met}**.", spread(ratio))?;
    Ok(())
}
