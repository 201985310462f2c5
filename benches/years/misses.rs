//! Values that are not in the cache, beside what the disk does by itself.
//!
//! A miss is read from the store, which means from the page cache if the machine has the memory
//! for that, and from the device otherwise: both are measured.
//!
//! The bar is what the same clients get from the least that a server can do which reads
//! ([`crate::reads`]), in a process of its own as every server.

use std::path::Path;

use crate::Result;
use crate::cache;
use crate::figures::Sample;
use crate::load::{self, Plan};
use crate::options::{BareServer, CACHED_SHARE, CONNECTIONS, Options, PIPELINES};
use crate::reads::{self, Data};
use crate::rest::rest;
use crate::servers::{Directory, Server};
use crate::zipf::{Choice, Gets};

/// What the system keeps of a file in one piece.
const PAGE_BYTES: u64 = 4_096;
/// For each read from the device the data has so many pages: hardly one is read that another read
/// has brought into memory.
pub(crate) const PAGES_A_READ: u64 = 16;
/// Threads of aft's that read.
pub(crate) const READERS: usize = 2;

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

/// All that was found out.
#[derive(Debug)]
pub(crate) struct Misses {
    pub(crate) from_page_cache: Reads,
    pub(crate) from_device: Reads,
}

/// Both servers, and the data that the bare one reads.
struct Rivals<'a> {
    options: &'a crate::options::Misses,
    aft: Server,
    bare_server: Server,
    directory: Directory,
    beside: Data,
}

/// Measures both kinds of misses.
pub(crate) async fn run(options: &Options, data: &Path) -> Result<Misses> {
    let misses = &options.misses;
    let data_bytes = misses.keys * misses.value_bytes as u64;
    let value_bytes = misses.value_bytes;
    let aft = cache::start_aft(options, data, data_bytes / CACHED_SHARE).await?;
    cache::fill(&aft, misses.keys, value_bytes).await?;
    let directory = Directory::create(data, "reads")?;
    let file = directory.path.join("data");
    let beside = Data::create(&file, data_bytes)?;
    let bare_server = BareServer { file, value_bytes }.kind();
    let bare_server = Server::start(&bare_server, data, &[]).await?;
    let rivals = Rivals { options: misses, aft, bare_server, directory, beside };
    rest(&rivals.aft).await?;
    let from_page_cache = rivals.read(false).await?;
    let from_device = rivals.read(true).await?;
    cache::check(&rivals.aft, misses.keys, value_bytes).await?;
    rivals.aft.stop().await?;
    rivals.bare_server.stop().await?;
    Ok(Misses { from_page_cache, from_device })
}

impl Rivals<'_> {
    /// Misses, and reads beside them.
    async fn read(&self, from_device: bool) -> Result<Reads> {
        let mut reads = Reads::default();
        let rounds = self.options.rounds as u64;
        // Other keys than before, which have got into the cache.
        let first = if from_device { rounds } else { 0 };
        for round in first..first + rounds {
            for (at, pipeline) in PIPELINES.into_iter().enumerate() {
                let number = round * PIPELINES.len() as u64 + at as u64;
                self.drop_pages(from_device)?;
                let before = cache::store_reads(&self.aft).await?;
                let sample = self.ask(&self.aft, pipeline, number).await?;
                let share =
                    (cache::store_reads(&self.aft).await? - before) as f64 / sample.requests as f64;
                reads.aft[at].push(sample.per_second * share);
                self.drop_pages(from_device)?;
                let sample = self.ask(&self.bare_server, pipeline, number).await?;
                reads.bare_server[at].push(sample.per_second);
            }
            let seed = 1 + round * 1_000;
            self.drop_pages(from_device)?;
            reads.few_threads.push(self.by_threads(READERS, seed)?);
            self.drop_pages(from_device)?;
            reads.many_threads.push(self.by_threads(CONNECTIONS, seed)?);
        }
        println!("reads: {reads:.0?}");
        Ok(reads)
    }

    async fn ask(&self, server: &Server, pipeline: usize, number: u64) -> Result<Sample> {
        /// Long enough for all of them: their number ends it.
        const SECONDS_MAX: f64 = 120.0;
        let keys = self.options.keys;
        load::run(&Plan {
            address: server.address(),
            requests: Gets { keys, choice: Choice::Uniform { from: 0 } },
            connections: CONNECTIONS,
            pipeline,
            seconds: SECONDS_MAX,
            requests_max: Some(self.quantity() / CONNECTIONS as u64),
            rate: None,
            seed: (number + 1) * 1_000,
        })
        .await
    }

    /// How many reads one measurement makes.
    fn quantity(&self) -> u64 {
        let bytes = self.options.keys * self.options.value_bytes as u64;
        (bytes / PAGE_BYTES / PAGES_A_READ).max(1_000)
    }

    fn by_threads(&self, threads: usize, seed: u64) -> Result<f64> {
        let reads = self.quantity() / threads as u64;
        self.beside.reads_per_second(self.options.value_bytes, threads, reads, seed)
    }

    fn drop_pages(&self, from_device: bool) -> Result<()> {
        if from_device {
            reads::drop_from_page_cache(self.aft.directory())?;
            reads::drop_from_page_cache(&self.directory.path)?;
        }
        Ok(())
    }
}
