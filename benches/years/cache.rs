//! Data ten times the cache, beside a redis-server that holds it all in memory.
//!
//! GETs by Zipf's law are of three kinds here: of the hottest keys, which all fit into the
//! cache (hits); of all keys; and of those that are not among the hottest, each as often as
//! the other (nearly all of them misses, which the page cache has here; `misses` is about those
//! that come from the device).

use std::path::Path;

use crate::Result;
use crate::connection::{self, Connection};
use crate::figures::{Sample, Spread};
use crate::load::{self, Plan};
use crate::options::{CACHED_SHARE, CONNECTIONS, Options, PIPELINES};
use crate::requests::{Dice, key, value, write_command};
use crate::servers::{Kind, Server, Store};
use crate::zipf::{Choice, Gets, Zipf, key_at};

/// One kind of GETs under one load.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Whether they are all of keys that are cached.
    pub(crate) are_hits: bool,
    pub(crate) pipeline: usize,
    pub(crate) aft: Vec<Sample>,
    pub(crate) redis: Vec<Sample>,
    /// Of aft's cache, round by round.
    pub(crate) hit_rates: Vec<f64>,
}

impl Row {
    /// Above 1 aft is ahead.
    pub(crate) fn ratio(&self) -> Option<Spread> {
        let rates = |samples: &[Sample]| -> Vec<f64> {
            samples.iter().map(|sample| sample.per_second).collect()
        };
        Spread::of_ratios(&rates(&self.aft), &rates(&self.redis))
    }
}

/// All that was found out.
#[derive(Debug)]
pub(crate) struct Cache {
    pub(crate) cache_bytes: u64,
    /// How many keys are hot.
    pub(crate) hot: u64,
    pub(crate) rows: Vec<Row>,
    pub(crate) resident_bytes: [u64; 2],
}

/// Both servers with the data.
struct Rivals<'a> {
    options: &'a Options,
    aft: Server,
    redis: Server,
    hot: u64,
}

/// Measures every kind.
pub(crate) async fn run(options: &Options, data: &Path) -> Result<Cache> {
    let crate::options::Cache { keys, value_bytes } = options.cache;
    let data_bytes = keys * value_bytes as u64;
    let cache_bytes = data_bytes / CACHED_SHARE;
    let aft = start_aft(options, data, cache_bytes).await?;
    let redis = Server::start(&Kind::Redis(Store::Memory), data, &[]).await?;
    // Half of what fits: the cache has its own thoughts about the rest.
    let rivals = Rivals { options, aft, redis, hot: (keys / CACHED_SHARE / 2).max(2) };
    fill(&rivals.redis, keys, value_bytes).await?;
    fill(&rivals.aft, keys, value_bytes).await?;
    let mut rows = Vec::new();
    for (name, choice) in rivals.kinds() {
        for pipeline in PIPELINES {
            rows.push(rivals.measure(name, &choice, pipeline).await?);
        }
    }
    check(&rivals.aft, keys, value_bytes).await?;
    check(&rivals.redis, keys, value_bytes).await?;
    let resident_bytes = [rivals.aft.resident_bytes()?, rivals.redis.resident_bytes()?];
    let hot = rivals.hot;
    rivals.aft.stop().await?;
    rivals.redis.stop().await?;
    Ok(Cache { cache_bytes, hot, rows, resident_bytes })
}

/// The names of the kinds; the first has only hits.
const HITS: &str = "Zipf, the hottest keys";
const ALL: &str = "Zipf, all keys";
const MISSES: &str = "uniform, the other keys";

impl Rivals<'_> {
    fn kinds(&self) -> [(&'static str, Choice); 3] {
        [
            (HITS, Choice::Zipf(Zipf::new(self.hot))),
            (ALL, Choice::Zipf(Zipf::new(self.options.cache.keys))),
            (MISSES, self.misses()),
        ]
    }

    fn misses(&self) -> Choice {
        Choice::Uniform { from: self.hot }
    }

    fn plan(&self, server: &Server, choice: &Choice, pipeline: usize, round: u64) -> Plan<Gets> {
        Plan {
            address: server.address(),
            requests: Gets { keys: self.options.cache.keys, choice: choice.clone() },
            connections: CONNECTIONS,
            pipeline,
            seconds: self.options.seconds,
            requests_max: None,
            rate: None,
            seed: (round + 1) * 1_000,
        }
    }

    async fn measure(&self, name: &'static str, choice: &Choice, pipeline: usize) -> Result<Row> {
        let mut row = Row {
            name,
            are_hits: name == HITS,
            pipeline,
            aft: Vec::new(),
            redis: Vec::new(),
            hit_rates: Vec::new(),
        };
        if row.are_hits {
            self.warm_up().await?;
        } else {
            load::run(&self.plan(&self.aft, choice, pipeline, 0)).await?;
        }
        for round in 1..=self.options.rounds as u64 {
            row.redis.push(self.timed(&self.redis, choice, pipeline, round).await?);
            let before = store_reads(&self.aft).await?;
            let sample = self.timed(&self.aft, choice, pipeline, round).await?;
            let missed = (store_reads(&self.aft).await? - before) as f64;
            row.hit_rates.push(1.0 - missed / sample.requests as f64);
            row.aft.push(sample);
        }
        println!(
            "{name}, P={pipeline}: {}, hit rate {:.3}",
            row.ratio().map_or_else(String::new, crate::figures::spread),
            row.hit_rates.last().unwrap_or(&0.0),
        );
        Ok(row)
    }

    /// Asks for every hot key, again and again, until the cache has taken them for that.
    async fn warm_up(&self) -> Result<()> {
        const TIMES_MAX: usize = 30;
        for _ in 0..TIMES_MAX {
            let before = store_reads(&self.aft).await?;
            self.ask_for_hot().await?;
            if (store_reads(&self.aft).await? - before) * 100 < self.hot {
                break;
            }
        }
        Ok(())
    }

    async fn ask_for_hot(&self) -> Result<()> {
        let (hot, keys) = (self.hot, self.options.cache.keys);
        let write = move |number: u64, out: &mut Vec<u8>| {
            write_command(out, &[b"GET", &key("key", key_at(number, keys))]);
        };
        connection::run_numbered(self.aft.address(), hot, write).await
    }

    async fn timed(
        &self,
        server: &Server,
        choice: &Choice,
        pipeline: usize,
        round: u64,
    ) -> Result<Sample> {
        let before = server.cpu_seconds()?;
        let sample = load::run(&self.plan(server, choice, pipeline, round)).await?;
        Ok(Sample { cpu_seconds: server.cpu_seconds()? - before, ..sample })
    }
}

/// An aft on a store in a directory, with a cache of so many bytes.
pub(crate) async fn start_aft(options: &Options, data: &Path, cache_bytes: u64) -> Result<Server> {
    let aft = Kind::Aft {
        binary: options.aft.clone(),
        store: Store::Embedded,
        settings: vec![format!("--cache-bytes={cache_bytes}")],
    };
    Server::start(&aft, data, &[]).await
}

/// Sets every key.
pub(crate) async fn fill(server: &Server, keys: u64, value_bytes: usize) -> Result<()> {
    let write = move |number, out: &mut Vec<u8>| {
        write_command(out, &[b"SET", &key("key", number), &value(number, 0, value_bytes)]);
    };
    connection::run_numbered(server.address(), keys, write).await
}

/// Values that an aft has read from its store so far.
pub(crate) async fn store_reads(aft: &Server) -> Result<u64> {
    // Not how often a command has waited: a pipeline waits for several at a time.
    connection::info(aft.address(), "aft").await?.number("store_reads")
}

/// Some keys have the values that were written.
pub(crate) async fn check(server: &Server, keys: u64, value_bytes: usize) -> Result<()> {
    const LOOKS: usize = 1_000;
    let mut connection = Connection::open(server.address()).await?;
    let mut dice = Dice::new(1);
    for _ in 0..LOOKS {
        let number = dice.below(keys);
        let found = connection::get(&mut connection, number).await?;
        if found.as_deref() != Some(&value(number, 0, value_bytes)) {
            return Err(format!("key {number} has another value").into());
        }
    }
    Ok(())
}
