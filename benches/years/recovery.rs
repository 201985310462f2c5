//! From a start to serving, after every key has been overwritten again and again.
//!
//! A start is timed from before the process begins to the right reply to a GET. aft starts
//! on its store once compaction has come to rest; redis-server on an append-only file that it
//! has just rewritten, so it holds the live keys and nothing else. The files are in the page
//! cache then, for both.

use std::path::Path;

use crate::Result;
use crate::clock::now;
use crate::connection::{self, Connection};
use crate::figures::Spread;
use crate::options::Options;
use crate::requests::{Dice, key, value, write_command};
use crate::rest::rest;
use crate::servers::{Directory, Kind, Server, Store};

/// How long the starts of one server took.
#[derive(Debug, Default)]
pub(crate) struct Starts {
    /// How long it took after the last write to bring the files into this state.
    pub(crate) tidied_seconds: f64,
    /// What is read.
    pub(crate) disk_bytes: u64,
    /// Round by round.
    pub(crate) seconds: Vec<f64>,
}

/// Both servers with the same keys.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) keys: u64,
    pub(crate) value_bytes: usize,
    pub(crate) aft: Starts,
    pub(crate) redis: Starts,
    /// aft's memory while it serves.
    pub(crate) resident_bytes: u64,
    /// Writes a second, before.
    pub(crate) writes_per_second: f64,
    /// What aft itself says that its last start took.
    pub(crate) recovery_ms: u64,
}

impl Case {
    /// redis-server's time through aft's: above 1 aft is ahead.
    pub(crate) fn ratio(&self) -> Option<Spread> {
        Spread::of_ratios(&self.redis.seconds, &self.aft.seconds)
    }
}

/// Times starts with each number of keys and each size of values.
pub(crate) async fn run(options: &Options, data: &Path) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for &keys in &options.recovery.keys {
        for &value_bytes in &options.recovery.value_bytes {
            cases.push(Times { options, data, keys, value_bytes }.measure().await?);
        }
    }
    Ok(cases)
}

/// What one case is made of.
struct Times<'a> {
    options: &'a Options,
    data: &'a Path,
    keys: u64,
    value_bytes: usize,
}

/// A server that is stopped, and its directory.
struct Stopped {
    kind: Kind,
    directory: Directory,
    starts: Starts,
}

impl Times<'_> {
    async fn measure(&self) -> Result<Case> {
        let overwrites = self.options.recovery.overwrites;
        let aft = Kind::Aft {
            binary: self.options.aft.clone(),
            store: Store::Embedded,
            settings: Vec::new(),
        };
        let server = Server::start(&aft, self.data, &[]).await?;
        let began = now();
        for pass in 0..=overwrites {
            self.write(&server, pass).await?;
        }
        let writes = (self.keys * (overwrites + 1)) as f64;
        let writes_per_second = writes / began.elapsed().as_secs_f64();
        println!("{} keys: {writes_per_second:.0} writes/s", self.keys);
        let tidied_seconds = rest(&server).await?;
        let mut aft = Stopped::stop(aft, server, tidied_seconds).await?;

        let redis = Kind::Redis(Store::Embedded);
        let server = Server::start(&redis, self.data, &[]).await?;
        self.write(&server, overwrites).await?;
        let began = now();
        connection::rewrite_append_only_file(server.address()).await?;
        let tidied_seconds = began.elapsed().as_secs_f64();
        let mut redis = Stopped::stop(redis, server, tidied_seconds).await?;

        let mut last = None;
        for _ in 0..self.options.rounds {
            // One at a time: together they may not fit into the memory.
            redis = self.start(redis).await?.0;
            let (stopped, resident_bytes, recovery_ms) = self.start(aft).await?;
            aft = stopped;
            last = Some((resident_bytes, recovery_ms));
        }
        let (resident_bytes, recovery_ms) = last.ok_or("no rounds")?;
        let (aft, redis) = (aft.starts, redis.starts);
        let (keys, value_bytes) = (self.keys, self.value_bytes);
        Ok(Case { keys, value_bytes, aft, redis, resident_bytes, writes_per_second, recovery_ms })
    }

    /// Writes every key once, each pass in an order of its own.
    async fn write(&self, server: &Server, pass: u64) -> Result<()> {
        /// Primes, so that their multiples come by every key, whose number they don't divide.
        const STRIDES: [u64; 4] = [7_919, 104_729, 611_953, 1_299_709];
        let (keys, bytes) = (self.keys, self.value_bytes);
        let free = |stride: &&u64| !keys.is_multiple_of(**stride);
        let skipped = STRIDES.iter().cycle().skip(pass as usize);
        let stride = *skipped.take(STRIDES.len()).find(free).ok_or("no stride for so many keys")?;
        let write = move |index: u64, out: &mut Vec<u8>| {
            let number = index * stride % keys;
            write_command(out, &[b"SET", &key("key", number), &value(number, pass, bytes)]);
        };
        connection::run_numbered(server.address(), keys, write).await
    }

    /// Times a start; what is there afterwards has to be what was written last.
    async fn start(&self, stopped: Stopped) -> Result<(Stopped, u64, u64)> {
        let Stopped { kind, directory, mut starts } = stopped;
        let began = now();
        let server = Server::start_in(&kind, directory, &[]).await?;
        let last = self.has_right_value(&server, self.keys - 1).await?;
        starts.seconds.push(began.elapsed().as_secs_f64());
        let recovery_ms = match kind {
            Kind::Aft { .. } => {
                connection::info(server.address(), "aft").await?.number("recovery_ms")?
            }
            _ => 0,
        };
        println!("{:<12} {:.2} s", kind.name(), starts.seconds.last().unwrap_or(&0.0));
        if !last || !self.is_whole(&server).await? {
            return Err(format!("{} has lost keys", kind.name()).into());
        }
        let resident_bytes = server.resident_bytes()?;
        let directory = server.stop().await?;
        Ok((Stopped { kind, directory, starts }, resident_bytes, recovery_ms))
    }

    async fn has_right_value(&self, server: &Server, number: u64) -> Result<bool> {
        let mut connection = Connection::open(server.address()).await?;
        self.is_right(&mut connection, number).await
    }

    async fn is_right(&self, connection: &mut Connection, number: u64) -> Result<bool> {
        let wanted = value(number, self.options.recovery.overwrites, self.value_bytes);
        Ok(connection::get(connection, number).await?.as_deref() == Some(&wanted))
    }

    /// As many keys as were written, and some of them right.
    async fn is_whole(&self, server: &Server) -> Result<bool> {
        const LOOKS: usize = 1_000;
        let mut connection = Connection::open(server.address()).await?;
        let size = connection.ask(&[b"DBSIZE"]).await?;
        if size.as_deref() != Some(self.keys.to_string().as_bytes()) {
            return Ok(false);
        }
        let mut dice = Dice::new(1);
        for _ in 0..LOOKS {
            if !self.is_right(&mut connection, dice.below(self.keys)).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Stopped {
    async fn stop(kind: Kind, server: Server, tidied_seconds: f64) -> Result<Self> {
        let directory = server.stop().await?;
        let disk_bytes = directory.disk_bytes()?;
        Ok(Self {
            kind,
            directory,
            starts: Starts { tidied_seconds, disk_bytes, seconds: Vec::new() },
        })
    }
}
