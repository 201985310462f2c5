//! The page: a section for each part, with where it was measured, and which bars are met.

use std::fmt::Write;

use crate::Result;
use crate::cache::Cache;
use crate::chart::{self, Curve, Panel};
use crate::common::page::{self, Page};
use crate::endurance::{self, Endurance, Life, Point};
use crate::figures::{Sample, Spread, cpu_us, median, spread, thousands};
use crate::machine::command_line;
use crate::misses::{Misses, PAGES_A_READ, READERS, Reads};
use crate::options::{CACHED_SHARE, CONNECTIONS, Options, PIPELINES, Part};
use crate::recovery::Case;

const CURVES: &str = "years_endurance.svg";

const PAGE: Page = Page {
    name: "years.md",
    title: "\
# What years do to a store

Written by `cargo bench --bench years`; a run of some parts (`--parts`) replaces their sections only.
Ratios are the medians of the rounds, with the smallest and the largest; both sides are up at
the same time, on one machine, and are asked in turn. Absolute figures are context: they change with
the machine and its neighbours.
",
    sections: &["endurance", "recovery", "cache", "misses"],
};

/// The store may take so many times what is alive in it.
const SPACE_MAX: f64 = 2.5;
/// Throughput with compaction, through that without.
const THROUGHPUT_MIN: f64 = 0.9;
/// The same of p99.
const P99_MAX: f64 = 2.0;
/// Memory late in the run through memory early in it: what an allocator moves by.
const MEMORY_MAX: f64 = 1.1;
/// GETs of cached keys through those of redis-server.
const HITS_MIN: f64 = 0.8;
/// Misses through what a server answers that only reads: as near as two measurements of that are.
const AT_READ_SPEED: f64 = 0.9;

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

    /// A store that is overwritten.
    pub(crate) fn endurance(&self, found: &Endurance) -> Result<()> {
        let mut out = self.head("A small store is overwritten a hundred times")?;
        let crate::options::Endurance { keys, value_bytes, times, settings } =
            &self.options.endurance;
        let (connections, pipeline) = (endurance::CONNECTIONS, endurance::PIPELINE);
        writeln!(
            out,
            "{} keys with values of {} B are written at random until {times} times their size has\n\
             been: 14 of 16 commands set a value (one with an expiry in 50 ms, one with a late one),\n\
             one deletes, one gives an expiry. {connections} connections, pipelines of {pipeline}, aft with its\n\
             embedded store{}. Beside it an aft whose settings keep it from compacting takes turns with\n\
             it; between two turns compaction comes to rest, in the seconds shown, which don't count.\n\
             Space is what the files take on the disk, at most, through the bytes of keys and values\n\
             that are alive. At the end every key was what it had to be, before and after another start.\n",
            thousands(*keys as f64),
            thousands(*value_bytes as f64),
            if settings.is_empty() { String::new() } else { format!(" ({})", settings.join(" ")) },
        )?;
        endurance_bars(&mut out, found)?;
        endurance_turns(&mut out, found)?;
        self.write(CURVES, &endurance_curves(found)?)?;
        writeln!(out, "\n![curves over time]({CURVES})")?;
        self.section(Part::Endurance, &out)
    }

    /// From a start to serving.
    pub(crate) fn recovery(&self, cases: &[Case]) -> Result<()> {
        let mut out = self.head("From a start to serving")?;
        writeln!(
            out,
            "Each key has been written once and then overwritten {} times, in another order each time.\n\
             From before the process begins to the right reply to a GET, with warm files. aft starts on\n\
             its embedded store when compaction has come to rest after the last write, redis-server on an\n\
             append-only file that it has just rewritten (RDB). The ratio is redis-server's time through aft's, round by round:\n\
             above 1 aft is ahead. Bar: no slower. Goals: 1 s for a million, 10 s for ten millions. After\n\
             each start DBSIZE and a thousand values were right.\n\n\
             | keys | value bytes | aft s (min–max) | of it recovery s | redis-server s (min–max) \
             | ratio (min–max) | bar | goal | aft MB of files | redis-server MB | aft MB of memory \
             | writes/s before | aft s until rest | redis-server s of rewriting |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
            self.options.recovery.overwrites,
        )?;
        for case in cases {
            start_row(&mut out, case)?;
        }
        self.section(Part::Recovery, &out)
    }

    /// Data larger than the cache.
    pub(crate) fn cache(&self, found: &Cache) -> Result<()> {
        let mut out = self.head("Data ten times the cache")?;
        let crate::options::Cache { keys, value_bytes } = self.options.cache;
        let Options { rounds, seconds, .. } = self.options;
        writeln!(
            out,
            "{} keys with values of {} B; aft has its embedded store and `cache_bytes` of {} (a\n\
             {CACHED_SHARE}th of the values), redis-server holds all in memory and persists nothing. GETs by {CONNECTIONS}\n\
             connections, {rounds} rounds of {seconds} s each. Zipf's exponent is 0.99, as in YCSB. The {} hottest\n\
             keys fit into the cache. Memory after it all: aft {:.0} MB, redis-server {:.0} MB.\n\n\
             redis-server's share of a core shows whether the load generator or the server is what\n\
             takes the time: near 1 it is the server.\n",
            thousands(keys as f64),
            thousands(value_bytes as f64),
            thousands(found.cache_bytes as f64),
            thousands(found.hot as f64),
            found.resident_bytes[0] as f64 / 1e6,
            found.resident_bytes[1] as f64 / 1e6,
        )?;
        cache_rows(&mut out, found)?;
        self.section(Part::Cache, &out)
    }

    /// What is not in the cache.
    pub(crate) fn misses(&self, found: &Misses) -> Result<()> {
        let mut out = self.head("What is not in the cache")?;
        misses(&mut out, found, &self.options.misses)?;
        self.section(Part::Misses, &out)
    }

    /// Title, what to type, and where it was measured.
    fn head(&self, title: &str) -> Result<String> {
        let remarks = if self.options.quick { &[page::QUICK][..] } else { &[] };
        page::head(&format!("## {title}"), remarks, &command_line("years"), &self.machine)
    }

    fn section(&self, part: Part, text: &str) -> Result<()> {
        PAGE.put(&self.options.output, part.name(), text)
    }

    fn write(&self, name: &str, contents: &str) -> Result<()> {
        page::write(&self.options.output, name, contents)
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "**missed**" }
}

fn megabytes(bytes: f64) -> String {
    thousands(bytes / 1e6)
}

/// The points of a life behind the first round.
fn later(life: &Life) -> impl Iterator<Item = &Point> {
    life.points.iter().skip(1)
}

fn space(point: &Point) -> f64 {
    point.disk_bytes / point.live_bytes
}

/// Memory in the last fifth through memory in the second, by the medians.
fn memory_growth(life: &Life) -> f64 {
    let fifth = life.points.len() / 5;
    let of = |points: &[Point]| {
        let bytes = points.iter().map(|point| point.resident_bytes).collect();
        Spread::of(bytes).map_or(f64::NAN, |spread| spread.median)
    };
    of(&life.points[life.points.len() - fifth..]) / of(&life.points[fifth..2 * fifth])
}

fn ratio(above: &[Sample], below: &[Sample], figure: impl Fn(&Sample) -> f64) -> Option<Spread> {
    let figures = |samples: &[Sample]| samples.iter().map(&figure).collect::<Vec<_>>();
    Spread::of_ratios(&figures(above), &figures(below))
}

fn turns(life: &Life) -> Vec<Sample> {
    life.turns.iter().map(|turn| turn.sample).collect()
}

fn endurance_bars(out: &mut String, found: &Endurance) -> Result<()> {
    let Endurance { with, without, rate, rest, .. } = found;
    let most = later(with).map(space).fold(0.0, f64::max);
    let growth = memory_growth(with);
    out.push_str("| | measured | bar | |\n|---|---|---|---|\n");
    writeln!(
        out,
        "| store ÷ live data, at most, after the first round | {most:.2} (at rest, at the end: {:.2}) \
         | ≤ {SPACE_MAX} | {} |\n\
         | memory in the last fifth ÷ in the second | {growth:.2} | ≤ {MEMORY_MAX} | {} |",
        space(rest),
        verdict(most <= SPACE_MAX),
        verdict(growth <= MEMORY_MAX),
    )?;
    if let Some(ratio) = ratio(&turns(with), &turns(without), |sample| sample.per_second) {
        let met = verdict(ratio.median >= THROUGHPUT_MIN);
        let ratio = spread(ratio);
        writeln!(
            out,
            "| throughput with compaction ÷ without | {ratio} | ≥ {THROUGHPUT_MIN} | {met} |"
        )?;
    }
    let steady = ratio(&with.steady, &without.steady, |sample| sample.p99_ms);
    let busy = ratio(&turns(with), &turns(without), |sample| sample.p99_ms);
    for (load, ratio) in
        [(format!("at {} /s", thousands(*rate as f64)), steady), ("of the turns".into(), busy)]
    {
        let Some(ratio) = ratio else { continue };
        let met = verdict(ratio.median <= P99_MAX);
        let ratio = spread(ratio);
        writeln!(out, "| p99 {load}, with ÷ without | {ratio} | ≤ {P99_MAX} | {met} |")?;
    }
    let p99 = |life: &Life| median(&life.steady, |sample| sample.p99_ms);
    let p50 = |life: &Life| median(&life.steady, |sample| sample.p50_ms);
    writeln!(
        out,
        "\nAt {} commands a second, open loop (half of what the server without compaction takes): p50\n\
         {:.2} ms with and {:.2} ms without, p99 {:.2} ms and {:.2} ms. Compaction wrote {} bases.",
        thousands(*rate as f64),
        p50(with),
        p50(without),
        p99(with),
        p99(without),
        thousands(found.bases as f64),
    )?;
    Ok(())
}

fn endurance_turns(out: &mut String, found: &Endurance) -> Result<()> {
    let Endurance { with, without, .. } = found;
    writeln!(
        out,
        "\nThe turns, with compaction and without:\n\n\
         | times written | live MB | store ÷ live, at most | objects ÷ live, at most | memory MB \
         | without | commands/s | without | p99 ms | without | s until rest |\n\
         |---|---|---|---|---|---|---|---|---|---|---|"
    )?;
    let mut from = 0.0;
    for (turn, other) in with.turns.iter().zip(&without.turns) {
        let until = turn.times;
        let within = |point: &&Point| point.times > from && point.times <= until;
        let own: Vec<&Point> = later(with).filter(within).collect();
        let others: Vec<&Point> = later(without).filter(within).collect();
        let most = |points: &[&Point], figure: fn(&Point) -> f64| {
            points.iter().map(|point| figure(point)).fold(0.0, f64::max)
        };
        writeln!(
            out,
            "| {until:.0} | {} | {:.2} | {:.2} | {} | {} | {} | {} | {:.2} | {:.2} | {:.2} |",
            megabytes(most(&own, |point| point.live_bytes)),
            most(&own, space),
            most(&own, |point| point.object_bytes / point.live_bytes),
            megabytes(most(&own, |point| point.resident_bytes)),
            megabytes(most(&others, |point| point.resident_bytes)),
            thousands(turn.sample.per_second),
            thousands(other.sample.per_second),
            turn.sample.p99_ms,
            other.sample.p99_ms,
            turn.rest_seconds,
        )?;
        from = until;
    }
    Ok(())
}

fn endurance_curves(found: &Endurance) -> Result<String> {
    let curve = |life: &Life, with: bool, figure: fn(&Point) -> f64| Curve {
        name: if with { "with compaction" } else { "without" },
        color: if with { "#1a7f5a" } else { "#777777" },
        points: later(life).map(|point| (point.times, figure(point))).collect(),
    };
    let both = |figure: fn(&Point) -> f64| {
        vec![curve(&found.with, true, figure), curve(&found.without, false, figure)]
    };
    let panels = [
        Panel {
            title: "store ÷ live data",
            curves: vec![curve(&found.with, true, space)],
            bar: Some(SPACE_MAX),
        },
        Panel { title: "memory, MB", curves: both(|point| point.resident_bytes / 1e6), bar: None },
        Panel {
            title: "thousands of commands a second",
            curves: both(|point| point.sample.per_second / 1e3),
            bar: None,
        },
        Panel { title: "p99, ms", curves: both(|point| point.sample.p99_ms), bar: None },
    ];
    chart::curves(
        "A small store is overwritten a hundred times",
        "how many times the data's size has been written",
        &panels,
    )
}

fn start_row(out: &mut String, case: &Case) -> Result<()> {
    /// What may be hoped for, in seconds for a key.
    const GOAL: f64 = 1e-6;
    let of = |seconds: &[f64]| Spread::of(seconds.to_vec());
    let (Some(aft), Some(redis), Some(ratio)) =
        (of(&case.aft.seconds), of(&case.redis.seconds), case.ratio())
    else {
        return Ok(());
    };
    writeln!(
        out,
        "| {} | {} | {} | {:.2} | {} | {} | {} | {} | {} | {} | {} | {} | {:.2} | {:.2} |",
        thousands(case.keys as f64),
        case.value_bytes,
        spread(aft),
        case.recovery_ms as f64 / 1e3,
        spread(redis),
        spread(ratio),
        verdict(ratio.median >= 1.0),
        verdict(aft.median <= GOAL * case.keys as f64),
        megabytes(case.aft.disk_bytes as f64),
        megabytes(case.redis.disk_bytes as f64),
        megabytes(case.resident_bytes as f64),
        thousands(case.writes_per_second),
        case.aft.tidied_seconds,
        case.redis.tidied_seconds,
    )?;
    Ok(())
}

fn cache_rows(out: &mut String, found: &Cache) -> Result<()> {
    out.push_str(
        "| keys | P | ratio (min–max) | bar | hit rate | aft /s | redis /s | CPU µs aft, redis \
         | redis' share of a core | p50 ms aft, redis | p99 ms aft, redis |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in &found.rows {
        let Some(ratio) = row.ratio() else { continue };
        let bar = match row.are_hits {
            true => format!("{HITS_MIN} {}", verdict(ratio.median >= HITS_MIN)),
            false => "–".to_owned(),
        };
        let hit_rate = Spread::of(row.hit_rates.clone()).map_or(0.0, |spread| spread.median);
        let busy =
            |sample: &Sample| sample.cpu_seconds * sample.per_second / sample.requests as f64;
        let pair = |figure: fn(&Sample) -> f64| {
            format!("{:.2}, {:.2}", median(&row.aft, figure), median(&row.redis, figure))
        };
        writeln!(
            out,
            "| {} | {} | {} | {bar} | {hit_rate:.3} | {} | {} | {:.2}, {:.2} | {:.2} | {} | {} |",
            row.name,
            row.pipeline,
            spread(ratio),
            thousands(median(&row.aft, |sample| sample.per_second)),
            thousands(median(&row.redis, |sample| sample.per_second)),
            cpu_us(&row.aft),
            cpu_us(&row.redis),
            median(&row.redis, busy),
            pair(|sample| sample.p50_ms),
            pair(|sample| sample.p99_ms),
        )?;
    }
    Ok(())
}

fn misses(out: &mut String, found: &Misses, options: &crate::options::Misses) -> Result<()> {
    let crate::options::Misses { keys, value_bytes, rounds } = *options;
    writeln!(
        out,
        "{} keys with values of {} B, a {CACHED_SHARE}th of which fit into aft's cache; GETs of any of them by\n\
         {CONNECTIONS} connections, {rounds} rounds. Only misses count. From the device: before each measurement\n\
         nothing is in the page cache, and it makes one read for {PAGES_A_READ} pages there are.\n\n\
         Beside them reads of as many bytes at random places of a file as large. *Reads*: by a program\n\
         that does nothing else, with {READERS} threads, as aft has, and with {CONNECTIONS}. It has the whole machine, which aft\n\
         shares with its clients. *Bare server*: what the same clients get from the least that a server\n\
         can do: a process with a thread for each connection, which reads such a place for each GET (in a\n\
         pipeline one after the other) and sends what it has read. It has no keys, no index and no cache. Bar, from the device:\n\
         {AT_READ_SPEED} of it, so at the store's read speed as far as two measurements agree. From the page cache\n\
         there is none: such a read costs less than the request that asks for it.\n\n\
         | | P | misses/s | bare server, GETs/s | misses ÷ that (min–max) | bar | reads/s, {READERS} threads \
         | {CONNECTIONS} threads | misses ÷ the faster (min–max) |\n\
         |---|---|---|---|---|---|---|---|---|",
        thousands(keys as f64),
        thousands(value_bytes as f64),
    )?;
    let kinds = [
        ("from the page cache", &found.from_page_cache, false),
        ("from the device", &found.from_device, true),
    ];
    for ((name, reads, judged), at) in
        kinds.into_iter().flat_map(|kind| (0..PIPELINES.len()).map(move |at| (kind, at)))
    {
        let pipeline = PIPELINES[at];
        let Reads { aft, bare_server, few_threads, many_threads } = reads;
        let (aft, bare_server) = (&aft[at], &bare_server[at]);
        let pairs = few_threads.iter().zip(many_threads);
        let faster: Vec<f64> = pairs.map(|(few, many)| few.max(*many)).collect();
        let of_faster = Spread::of_ratios(aft, &faster);
        let of_bare_server = Spread::of_ratios(aft, bare_server);
        let (Some(of_faster), Some(of_bare_server)) = (of_faster, of_bare_server) else { continue };
        let of = |figures: &[f64]| {
            thousands(Spread::of(figures.to_vec()).map_or(0.0, |spread| spread.median))
        };
        let bar = match judged {
            true => format!("{AT_READ_SPEED} {}", verdict(of_bare_server.median >= AT_READ_SPEED)),
            false => "–".to_owned(),
        };
        writeln!(
            out,
            "| {name} | {pipeline} | {} | {} | {} | {bar} | {} | {} | {} |",
            of(aft),
            of(bare_server),
            spread(of_bare_server),
            of(few_threads),
            of(many_threads),
            spread(of_faster),
        )?;
    }
    Ok(())
}
