//! Data ten times the cache, beside a redis-server that holds it all in memory.
//!
//! GETs by Zipf's law are of three kinds here: of the hottest keys, which all fit into the
//! cache (hits); of all keys; and of those that are not among the hottest, each as often as
//! the other (nearly all of them misses). A miss is read from the store, which means from
//! the page cache if the machine has the memory for that, and from the device otherwise:
//! both are measured, and what the disk does by itself, beside.

use std::path::Path;
use std::sync::Arc;

use crate::Result;
use crate::connection::{self, Connection};
use crate::figures::{Sample, Spread};
use crate::load::{self, Plan};
use crate::options::Options;
use crate::reads::{self, Data};
use crate::requests::{Dice, key, value, write_command};
use crate::servers::{Directory, Kind, Server, Store};
use crate::zipf::{Choice, Gets, Zipf, key_at};

/// What of the data fits into the cache.
pub(crate) const CACHED_SHARE: u64 = 10;
pub(crate) const CONNECTIONS: usize = 50;
pub(crate) const PIPELINES: [usize; 2] = [1, 16];

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

/// Reads a second, round by round.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// By aft, for as many clients as in the rows and each of [`PIPELINES`].
    pub(crate) aft: [Vec<f64>; PIPELINES.len()],
    /// By the server that does nothing else, for the same clients.
    pub(crate) bare_server: [Vec<f64>; PIPELINES.len()],
    /// By as many threads as aft reads with.
    pub(crate) few_threads: Vec<f64>,
    /// By as many threads as there are clients.
    pub(crate) many_threads: Vec<f64>,
}

/// What the system keeps of a file in one piece.
const PAGE_BYTES: u64 = 4_096;
/// For each read from the device the data has so many pages: hardly one is read that another read
/// has brought into memory.
pub(crate) const PAGES_A_READ: u64 = 16;

/// Threads of aft's that read.
pub(crate) const READERS: usize = 2;

/// All that was found out.
#[derive(Debug)]
pub(crate) struct Cache {
    pub(crate) cache_bytes: u64,
    /// How many keys are hot.
    pub(crate) hot: u64,
    pub(crate) rows: Vec<Row>,
    pub(crate) from_page_cache: Reads,
    pub(crate) from_device: Reads,
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
    let aft = Kind::Aft {
        binary: options.aft.clone(),
        store: Store::Embedded,
        settings: vec![format!("--cache-bytes={cache_bytes}")],
    };
    let aft = Server::start(&aft, data, &[]).await?;
    let redis = Server::start(&Kind::Redis(Store::Memory), data, &[]).await?;
    // Half of what fits: the cache has its own thoughts about the rest.
    let rivals = Rivals { options, aft, redis, hot: (keys / CACHED_SHARE / 2).max(2) };
    for server in [&rivals.redis, &rivals.aft] {
        let write = move |number, out: &mut Vec<u8>| {
            write_command(out, &[b"SET", &key("key", number), &value(number, 0, value_bytes)]);
        };
        connection::run_numbered(server.address(), keys, write).await?;
    }
    let mut rows = Vec::new();
    for (name, choice) in rivals.kinds() {
        for pipeline in PIPELINES {
            rows.push(rivals.measure(name, &choice, pipeline).await?);
        }
    }
    let directory = Directory::create(data, "reads")?;
    let beside = Arc::new(Data::create(&directory.path.join("data"), data_bytes)?);
    let from_page_cache = rivals.read(&beside, &directory, false).await?;
    let from_device = rivals.read(&beside, &directory, true).await?;
    rivals.check().await?;
    let resident_bytes = [rivals.aft.resident_bytes()?, rivals.redis.resident_bytes()?];
    let hot = rivals.hot;
    rivals.aft.stop().await?;
    rivals.redis.stop().await?;
    Ok(Cache { cache_bytes, hot, rows, from_page_cache, from_device, resident_bytes })
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
            let before = self.fetches().await?;
            let sample = self.timed(&self.aft, choice, pipeline, round).await?;
            let missed = (self.fetches().await? - before) as f64;
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
            let before = self.fetches().await?;
            self.ask_for_hot().await?;
            if (self.fetches().await? - before) * 100 < self.hot {
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

    /// Values that aft has read from the store so far.
    async fn fetches(&self) -> Result<u64> {
        // Not how often a command has waited: a pipeline waits for several at a time.
        connection::info(self.aft.address(), "aft").await?.number("store_reads")
    }

    /// Misses, and reads beside them.
    async fn read(
        &self,
        beside: &Arc<Data>,
        directory: &Directory,
        from_device: bool,
    ) -> Result<Reads> {
        let drop_pages = || match from_device {
            true => reads::drop_from_page_cache(self.aft.directory())
                .and_then(|()| reads::drop_from_page_cache(&directory.path)),
            false => Ok(()),
        };
        let crate::options::Cache { keys, value_bytes } = self.options.cache;
        let quantity = (keys * value_bytes as u64 / PAGE_BYTES / PAGES_A_READ).max(1_000);
        let by_threads = |threads: usize, seed| {
            beside.reads_per_second(value_bytes, threads, quantity / threads as u64, seed)
        };
        let bare_server = reads::serve(Arc::clone(beside), value_bytes)?;
        let mut reads = Reads::default();
        for round in 0..self.options.rounds as u64 {
            let seed = 1 + round * 1_000;
            for (at, pipeline) in PIPELINES.into_iter().enumerate() {
                // Other keys than the pipeline before, which have got into the cache.
                let number = (100 + round) * PIPELINES.len() as u64 + u64::from(pipeline > 1);
                let plan = self.plan(&self.aft, &self.misses(), pipeline, number);
                let requests_max = Some(quantity / CONNECTIONS as u64);
                let plan = Plan { requests_max, ..plan };
                drop_pages()?;
                let before = self.fetches().await?;
                let sample = load::run(&plan).await?;
                let share = (self.fetches().await? - before) as f64 / sample.requests as f64;
                reads.aft[at].push(sample.per_second * share);
                drop_pages()?;
                let sample = load::run(&Plan { address: bare_server, ..plan }).await?;
                reads.bare_server[at].push(sample.per_second);
            }
            drop_pages()?;
            reads.few_threads.push(by_threads(READERS, seed)?);
            drop_pages()?;
            reads.many_threads.push(by_threads(CONNECTIONS, seed)?);
        }
        println!("reads: {reads:.0?}");
        Ok(reads)
    }

    /// Some keys have the values that were written.
    async fn check(&self) -> Result<()> {
        const LOOKS: usize = 1_000;
        let crate::options::Cache { keys, value_bytes } = self.options.cache;
        for server in [&self.aft, &self.redis] {
            let mut connection = Connection::open(server.address()).await?;
            let mut dice = Dice::new(1);
            for _ in 0..LOOKS {
                let number = dice.below(keys);
                let found = connection::get(&mut connection, number).await?;
                if found.as_deref() != Some(&value(number, 0, value_bytes)) {
                    return Err(format!("key {number} has another value").into());
                }
            }
        }
        Ok(())
    }
}
