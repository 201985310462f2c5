//! A small store that is overwritten a hundred times: space, memory, throughput and
//! latency over time, with compaction and without.
//!
//! Two servers on stores of their own take turns. One never compacts, by its settings: it
//! shows what compaction costs. Before its turn the other comes to rest, so that its work is
//! not in the way.

use std::path::Path;
use std::time::Duration;

use crate::Result;
use crate::connection;
use crate::figures::Sample;
use crate::load::{self, Plan, Tally};
use crate::options::Options;
use crate::overwrites::Overwrites;
use crate::rest::rest;
use crate::servers::{Kind, Server, Store};

pub(crate) const CONNECTIONS: usize = 20;
pub(crate) const PIPELINE: usize = 16;
/// How often the size of the store is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What compaction never reaches.
const UNREACHABLE: [&str; 4] = [
    "--store-bytes-min=1024gb",
    "--store-percent-max=10000",
    "--groups-max=100000000",
    "--logs-max=1000000",
];

/// How a server stood when the data had been written once more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    /// How many times it has been.
    pub(crate) times: f64,
    pub(crate) live_bytes: f64,
    /// What the store took at most, meanwhile.
    pub(crate) disk_bytes: f64,
    /// What is in the store, without what files need beside it.
    pub(crate) object_bytes: f64,
    pub(crate) resident_bytes: f64,
    pub(crate) sample: Sample,
}

/// A server's turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// How many times the data had been written at its end.
    pub(crate) times: f64,
    pub(crate) sample: Sample,
    /// How long compaction took to come to rest, afterwards.
    pub(crate) rest_seconds: f64,
}

/// One of the servers.
#[derive(Debug)]
pub(crate) struct Life {
    server: Server,
    kind: Kind,
    overwrites: Overwrites,
    pub(crate) points: Vec<Point>,
    pub(crate) turns: Vec<Turn>,
    /// At a fixed rate.
    pub(crate) steady: Vec<Sample>,
}

/// All that was found out.
#[derive(Debug)]
pub(crate) struct Endurance {
    pub(crate) with: Life,
    pub(crate) without: Life,
    /// Commands a second of the turns at a fixed rate.
    pub(crate) rate: u64,
    /// At the end, at rest.
    pub(crate) rest: Point,
    pub(crate) bases: u64,
}

/// Overwrites both.
pub(crate) async fn run(options: &Options, data: &Path) -> Result<Endurance> {
    let settings = &options.endurance.settings;
    let never = |setting: &&String| !UNREACHABLE.iter().any(|other| same_name(setting, other));
    let kept = settings.iter().filter(never).cloned();
    let unreachable = kept.chain(UNREACHABLE.map(str::to_owned)).collect();
    let mut without = Life::begin(options, data, unreachable).await?;
    let mut with = Life::begin(options, data, settings.clone()).await?;
    for round in 0..options.rounds {
        let times = options.endurance.times as f64 * (round + 1) as f64 / options.rounds as f64;
        for life in [&mut without, &mut with] {
            life.overwrite_until(times).await?;
        }
    }
    let rates = without.turns.iter().map(|turn| turn.sample).collect::<Vec<_>>();
    let rate = (crate::figures::median(&rates, |sample| sample.per_second) / 2.0) as u64;
    for _ in 0..options.rounds {
        for life in [&mut without, &mut with] {
            life.overwrite_at(rate, 2.0 * options.seconds).await?;
        }
    }
    let rest = with.point(0.0, rates[0]).await?;
    let bases = with.bases().await?;
    if bases == 0 || without.bases().await? > 0 {
        return Err("the wrong server has compacted its store".into());
    }
    with.check_and_start_again().await?;
    without.check_and_start_again().await?;
    Ok(Endurance { with, without, rate, rest, bases })
}

/// `--name=…`, twice.
fn same_name(one: &str, other: &str) -> bool {
    one.split('=').next() == other.split('=').next()
}

impl Life {
    async fn begin(options: &Options, data: &Path, settings: Vec<String>) -> Result<Self> {
        let kind = Kind::Aft { binary: options.aft.clone(), store: Store::Embedded, settings };
        let server = Server::start(&kind, data, &[]).await?;
        let crate::options::Endurance { keys, value_bytes, .. } = options.endurance;
        let overwrites = Overwrites::new(keys, value_bytes, CONNECTIONS);
        overwrites.fill(server.address()).await?;
        let (points, turns, steady) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { server, kind, overwrites, points, turns, steady })
    }

    fn plan(&self) -> Plan<Overwrites> {
        /// A guard, not a measure: the number of requests ends a run.
        const SECONDS_MAX: f64 = 600.0;
        Plan {
            address: self.server.address(),
            requests: self.overwrites.clone(),
            connections: CONNECTIONS,
            pipeline: PIPELINE,
            seconds: SECONDS_MAX,
            requests_max: None,
            rate: None,
            // Both servers get the same requests.
            seed: (self.points.len() + self.steady.len() + 1) as u64 * 1_000,
        }
    }

    /// A turn in a closed loop.
    async fn overwrite_until(&mut self, times: f64) -> Result<()> {
        let keys = self.overwrites.keys() as f64;
        let commands = (keys * Overwrites::COMMANDS_A_VALUE) as u64;
        let requests_max = Some(commands.div_ceil(CONNECTIONS as u64));
        let (mut all, mut elapsed) = (Tally::new()?, Duration::ZERO);
        while self.overwrites.times() < times {
            let mut disk_bytes = 0.0;
            let plan = Plan { requests_max, ..self.plan() };
            let (tally, took) = tokio::select! {
                done = load::run_tallied(&plan) => done?,
                failed = watch(&self.server, &mut disk_bytes) => return Err(failed),
            };
            all.add(&tally)?;
            elapsed += took;
            let point = self.point(disk_bytes, tally.sample(took)).await?;
            self.points.push(point);
        }
        let rest_seconds = rest(&self.server).await?;
        let turn =
            Turn { times: self.overwrites.times(), sample: all.sample(elapsed), rest_seconds };
        println!(
            "{:>4.0} times {:>8.0}/s p99 {:>6.2} ms, {:.2} s until rest",
            self.overwrites.times(),
            turn.sample.per_second,
            turn.sample.p99_ms,
            rest_seconds,
        );
        self.turns.push(turn);
        Ok(())
    }

    /// A turn at a fixed rate.
    async fn overwrite_at(&mut self, rate: u64, seconds: f64) -> Result<()> {
        let sample = load::run(&Plan { seconds, rate: Some(rate), ..self.plan() }).await?;
        if sample.unanswered > 0 {
            // Some were never sent, so nobody knows what has to be there.
            let unanswered = sample.unanswered;
            return Err(format!("{unanswered} commands had no answer at {rate} a second").into());
        }
        self.steady.push(sample);
        rest(&self.server).await?;
        Ok(())
    }

    async fn point(&self, disk_bytes: f64, sample: Sample) -> Result<Point> {
        let info = connection::info(self.server.address(), "aft").await?;
        if !info.text("compaction_failure")?.is_empty() {
            return Err(format!("compaction failed: {}", info.text("compaction_failure")?).into());
        }
        Ok(Point {
            times: self.overwrites.times(),
            live_bytes: self.overwrites.live_bytes() as f64,
            disk_bytes: disk_bytes.max(self.server.disk_bytes()? as f64),
            object_bytes: info.number("store_bytes")? as f64,
            resident_bytes: self.server.resident_bytes()? as f64,
            sample,
        })
    }

    async fn bases(&self) -> Result<u64> {
        let info = connection::info(self.server.address(), "aft").await?;
        info.number("compaction_bases_written")
    }

    /// Everything is there, and after another start, too.
    async fn check_and_start_again(&mut self) -> Result<()> {
        self.overwrites.check(self.server.address()).await?;
        self.server.restart(&self.kind).await?;
        self.overwrites.check(self.server.address()).await
    }
}

/// Keeps the largest size of a store, until that fails.
async fn watch(server: &Server, bytes: &mut f64) -> Box<dyn std::error::Error + Send + Sync> {
    loop {
        match server.disk_bytes() {
            Ok(now) => *bytes = bytes.max(now as f64),
            Err(error) => return error,
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
