//! The tables.

use std::fmt::Write;
use std::fs;

use crate::Result;
use crate::cells::{Cell, Command, Method, Row, Sample, cpu_us, median};
use crate::limits::Disk;
use crate::options::Options;
use crate::plot;

/// All that was found out.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) machine: Vec<(&'static str, String)>,
    pub(crate) disk: Disk,
    pub(crate) rows: Vec<Row>,
}

const LAYOUT: &str = "\
One machine runs everything, over 127.0.0.1. redis-server and aft are up at the same time and
are asked in turn (redis, aft, bare loop, redis, …), so only one of them works at a time; the
client (redis-benchmark, or the load generator of `benches/`) has one thread and takes one core,
the server takes what is left. On two cores that is one core for the server and its disk
threads. No process is pinned.

**Ratio** is the median of the rounds, with the smallest and the largest: above 1 aft is ahead.
Absolute figures are medians, and context only: they change with the machine and its neighbours.
";

const STORES: &str = "\
- memory: redis-server without persistence (`--save '' --appendonly no`), `aft --store memory:`
- embedded: redis-server with `--appendonly yes --appendfsync always` (rewriting its log as it
  does by default), `aft --store embedded:DIR`, both on the disk of the checkout
";

/// One line while it runs.
pub(crate) fn progress(row: &Row) -> String {
    format!("{:<44} {}", row.cell.to_string(), ratio(row))
}

/// Prints the report and writes it with its plot.
pub(crate) fn write(options: &Options, findings: &Findings) -> Result<()> {
    let (name, title) = if options.against_itself {
        ("redis_against_itself", "redis-server beside itself: the noise")
    } else {
        ("redis_compare", "aft beside redis-server")
    };
    let markdown = markdown(options, findings, name, title)?;
    println!("\n{markdown}");
    fs::create_dir_all(&options.output)?;
    let file = options.output.join(name);
    fs::write(file.with_extension("md"), markdown)?;
    let drawn = plot::ratios(title, &findings.rows)?;
    fs::write(file.with_extension("svg"), drawn)?;
    println!("written to {}", file.with_extension("{md,svg}").display());
    Ok(())
}

fn markdown(options: &Options, findings: &Findings, name: &str, title: &str) -> Result<String> {
    let mut out = String::new();
    writeln!(out, "# {title}\n")?;
    if options.quick {
        writeln!(out, "A quick run: it shows that the benchmark works, and no more.\n")?;
    }
    if options.against_itself {
        writeln!(
            out,
            "Both sides are redis-server. Every ratio should be 1: how far it is from that is\n\
             how far to trust the tables of this directory. (\"aft\" is the second redis-server.)\n"
        )?;
    }
    writeln!(out, "![ratios]({name}.svg)\n")?;
    writeln!(out, "{}", command_line())?;
    writeln!(out, "{LAYOUT}")?;
    writeln!(out, "{STORES}")?;
    writeln!(out, "{} rounds of {} s each.\n", options.rounds, options.seconds)?;
    for (name, value) in &findings.machine {
        writeln!(out, "- {name}: {value}")?;
    }
    throughput(&mut out, &findings.rows)?;
    latency(&mut out, &findings.rows)?;
    limits(&mut out, &findings.disk)?;
    if !options.left_out.is_empty() {
        writeln!(out, "\nLeft out, too large to hold in flight:\n")?;
        for cell in &options.left_out {
            writeln!(out, "- {cell}")?;
        }
    }
    Ok(out)
}

/// How to do it again.
fn command_line() -> String {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let separator = if arguments.is_empty() { "" } else { " -- " };
    let arguments = arguments.join(" ");
    format!("    cargo bench --bench redis_compare{separator}{arguments}\n")
}

fn throughput(out: &mut String, rows: &[Row]) -> Result<()> {
    if !rows.iter().any(|row| row.cell.method == Method::Throughput) {
        return Ok(());
    }
    writeln!(
        out,
        "\n## Throughput\n\n\
         Requests a second, and the latencies of a server that has all it can do. An MSET is of\n\
         ten keys; a transfer is MULTI, two INCRBY and EXEC, counted once, and sent by the load\n\
         generator. The bare loop finds the end of each command, answers +OK and keeps nothing.\n\
         CPU is the server's, in user space and kernel, for one request: it moves little when\n\
         neighbours are noisy.\n\n\
         | store | command | P | clients | bytes | ratio (min–max) | aft /s | redis /s \
         | bare loop /s | CPU µs aft, redis, bare | p50 ms aft, redis | p99 ms aft, redis |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|"
    )?;
    let rows = rows.iter();
    for row in rows.filter(|row| row.cell.method == Method::Throughput) {
        let Cell { store, clients, pipeline, .. } = row.cell;
        let rate = |samples: &[Sample]| thousands(median(samples, |sample| sample.per_second));
        let (bare, bare_cpu) = if row.bare.is_empty() {
            ("–".into(), "–".into())
        } else {
            (rate(&row.bare), format!("{:.2}", cpu_us(&row.bare)))
        };
        let cpu = format!("{:.2}, {:.2}, {bare_cpu}", cpu_us(&row.aft), cpu_us(&row.redis));
        writeln!(
            out,
            "| {store} | {} | {pipeline} | {clients} | {} | {} | {} | {} | {bare} | {cpu} | {} | {} |",
            title(row.cell.command),
            bytes(&row.cell),
            ratio(row),
            rate(&row.aft),
            rate(&row.redis),
            pair(row, |sample| sample.p50_ms),
            pair(row, |sample| sample.p99_ms),
        )?;
    }
    Ok(())
}

fn latency(out: &mut String, rows: &[Row]) -> Result<()> {
    if !rows.iter().any(|row| row.cell.method != Method::Throughput) {
        return Ok(());
    }
    writeln!(
        out,
        "\n## Latency at a fixed rate\n\n\
         Open loop: each request is sent when it is due and timed from then, answered or not\n\
         before it. The ratio is redis' p99 through aft's, so above 1 aft is ahead.\n\n\
         | store | command | rate /s | clients | bytes | ratio of p99 (min–max) \
         | p50 ms aft, redis | p99 ms aft, redis | p99.9 ms aft, redis | max ms aft, redis \
         | unanswered aft, redis |\n\
         |---|---|---|---|---|---|---|---|---|---|---|"
    )?;
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
            pair(row, |sample| sample.p999_ms.unwrap_or_default()),
            pair(row, |sample| sample.max_ms),
            unanswered(&row.aft),
            unanswered(&row.redis),
        )?;
    }
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
    Ok(())
}

fn ratio(row: &Row) -> String {
    row.ratio().map_or_else(String::new, |ratio| {
        format!("{:.2} ({:.2}–{:.2})", ratio.median, ratio.min, ratio.max)
    })
}

fn title(command: Command) -> String {
    match command {
        Command::Transfer => "transfer".into(),
        Command::Mset => "MSET (10)".into(),
        _ => command.name().to_uppercase(),
    }
}

fn bytes(cell: &Cell) -> String {
    if cell.command.values() == 0 {
        return "–".into();
    }
    thousands(cell.value_bytes as f64)
}

fn pair(row: &Row, figure: impl Fn(&Sample) -> f64) -> String {
    let (aft, redis) = (median(&row.aft, &figure), median(&row.redis, &figure));
    format!("{aft:.2}, {redis:.2}")
}

/// 1234567.8 as 1,234,568.
fn thousands(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
