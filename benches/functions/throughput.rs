//! Requests as transactions, beside the same operations on a redis-server that makes as durable
//! what it is told, and nothing atomic.

use std::path::Path;
use std::sync::Arc;

use crate::Result;
use crate::common::functions::{KEYS, VALUE_BYTES, Zipf};
use crate::connection;
use crate::drive::{self, Turn, Way};
use crate::figures::{Sample, Spread};
use crate::history::History;
use crate::options::{Options, Part};
use crate::requests::{value, write_fill};
use crate::servers::{Kind, Server, Store};

/// Which store aft has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    Memory,
    Embedded,
    /// One that forces each write to its disk, as the peer does.
    Redis,
}

impl On {
    pub(crate) const ALL: [Self; 3] = [Self::Memory, Self::Embedded, Self::Redis];

    /// What the peer is.
    fn peer(self) -> Kind {
        Kind::Redis(match self {
            Self::Memory => Store::Memory,
            Self::Embedded | Self::Redis => Store::Embedded,
        })
    }
}

/// One store with a number of clients; round by round.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) on: On,
    pub(crate) clients: usize,
    pub(crate) plain: Vec<Sample>,
    pub(crate) along: Vec<Sample>,
    pub(crate) alone: Vec<Sample>,
}

impl Row {
    /// Requests a second, through those of the bare operations.
    pub(crate) fn ratio(&self, samples: &[Sample]) -> Option<Spread> {
        let rates = |samples: &[Sample]| -> Vec<f64> {
            samples.iter().map(|sample| sample.per_second).collect()
        };
        Spread::of_ratios(&rates(samples), &rates(&self.plain))
    }

    fn samples(&mut self, way: Way) -> &mut Vec<Sample> {
        match way {
            Way::Plain => &mut self.plain,
            Way::Along => &mut self.along,
            Way::Alone => &mut self.alone,
        }
    }
}

/// Measures every store with every number of clients.
pub(crate) async fn run(options: &Options, data: &Path) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for on in On::ALL {
        let mut rivals = Rivals::start(options, data, Part::Throughput, on).await?;
        for &clients in &options.clients {
            rows.push(rivals.measure(clients).await?);
        }
        rivals.end().await?;
    }
    Ok(rows)
}

/// Both servers with the data.
pub(crate) struct Rivals<'a> {
    options: &'a Options,
    on: On,
    redis: Server,
    aft: Server,
    /// What aft has its store in.
    beneath: Option<Server>,
    zipf: Arc<Zipf>,
    turns: u64,
    /// Transactions that have been committed.
    committed: u64,
    /// Of the redis-server and of aft, if somebody wants them.
    histories: Option<[History; 2]>,
}

impl<'a> Rivals<'a> {
    pub(crate) async fn start(
        options: &'a Options,
        data: &Path,
        part: Part,
        on: On,
    ) -> Result<Self> {
        let beneath = match on {
            On::Memory | On::Embedded => None,
            On::Redis => Some(Server::start(&on.peer(), data, &[]).await?),
        };
        let binary = options.aft.clone();
        let aft = match (&beneath, on) {
            (Some(redis), _) => {
                let store = format!("redis://{}", redis.address());
                Kind::AftOn { binary, store, settings: Vec::new() }
            }
            (None, On::Memory) => Kind::Aft { binary, store: Store::Memory, settings: Vec::new() },
            (None, _) => Kind::Aft { binary, store: Store::Embedded, settings: Vec::new() },
        };
        let aft = Server::start(&aft, data, &[]).await?;
        let redis = Server::start(&on.peer(), data, &[]).await?;
        let histories = options.history.as_ref().map(|_| {
            ["redis-server", "aft"]
                .map(|server| History::of(format!("{}, {on:?}, {server}", part.name())))
        });
        if histories.is_none() {
            for server in [&redis, &aft] {
                fill(server).await?;
            }
        }
        let zipf = Arc::new(Zipf::new(KEYS));
        Ok(Self { options, on, redis, aft, beneath, zipf, turns: 0, committed: 0, histories })
    }

    async fn measure(&mut self, clients: usize) -> Result<Row> {
        let none = Vec::new;
        let mut row = Row { on: self.on, clients, plain: none(), along: none(), alone: none() };
        for _ in 0..self.options.rounds {
            for way in Way::ALL {
                let sample = self.turn(clients, way, None).await?;
                row.samples(way).push(sample);
            }
        }
        let rate = |samples: &[Sample]| crate::figures::median(samples, |s| s.per_second);
        println!(
            "{:?}, {clients} clients: {:.0} requests/s plain, {:.0} along, {:.0} alone",
            self.on,
            rate(&row.plain),
            rate(&row.along),
            rate(&row.alone)
        );
        Ok(row)
    }

    /// Lets clients work with one of the servers; at a rate, or as fast as it goes.
    pub(crate) async fn turn(
        &mut self,
        clients: usize,
        way: Way,
        rate: Option<u64>,
    ) -> Result<Sample> {
        self.turns += 1;
        let server = if way == Way::Plain { &self.redis } else { &self.aft };
        let turn = Turn {
            address: server.address(),
            way,
            clients,
            seconds: self.options.seconds,
            rate,
            zipf: Arc::clone(&self.zipf),
            number: self.turns,
            history: self
                .histories
                .as_ref()
                .map(|[redis, aft]| if way == Way::Plain { redis.clone() } else { aft.clone() }),
        };
        let before = server.cpu_seconds()?;
        let mut sample = drive::run(&turn).await?;
        sample.cpu_seconds = server.cpu_seconds()? - before;
        if way != Way::Plain {
            self.committed += sample.requests;
        }
        Ok(sample)
    }

    /// Each request has been a transaction, and none is open.
    pub(crate) async fn end(self) -> Result<()> {
        let info = connection::info(self.aft.address(), "aft").await?;
        let (outcomes, open) = (info.number("outcomes")?, info.number("open_transactions")?);
        if (outcomes, open) != (self.committed, 0) {
            let sent = self.committed;
            return Err(format!("{outcomes} of {sent} requests committed, {open} open").into());
        }
        if let (Some([redis, aft]), Some(path)) = (&self.histories, &self.options.history) {
            redis.write(path)?;
            if let Some(anomaly) = aft.write(path)?.first() {
                return Err(format!("{:?}: {anomaly}", self.on).into());
            }
        }
        self.aft.stop().await?;
        self.redis.stop().await?;
        if let Some(beneath) = self.beneath {
            beneath.stop().await?;
        }
        Ok(())
    }
}

/// Gives a server all keys.
pub(crate) async fn fill(server: &Server) -> Result<()> {
    let write = |number, out: &mut Vec<u8>| {
        write_fill(out, number, &value(number, 0, VALUE_BYTES));
    };
    connection::run_numbered(server.address(), KEYS, write).await
}
