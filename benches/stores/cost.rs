//! What a transaction costs: requests, bytes and dollars, with what compaction adds in the long run.

use std::net::SocketAddr;
use std::path::Path;

use crate::Result;
use crate::clouds::Cloud;
use crate::connection::{self, Info};
use crate::control::Host;
use crate::counts::Counts;
use crate::load::{self, Plan};
use crate::options::Options;
use crate::servers::{Kind, Server, Store};
use crate::transactions::{Transactions, WRITES};

/// So small that it is compacted all the time.
const SETTINGS: [&str; 1] = ["--store-bytes-min=1mb"];

/// What a store was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked {
    Cloud(Cloud, Counts),
    Redis {
        /// Commands that it ran, those inside of MULTI too.
        commands: u64,
        bytes: u64,
    },
}

/// One store with a number of clients.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) value_bytes: usize,
    pub(crate) clients: usize,
    pub(crate) transactions: u64,
    pub(crate) asked: Asked,
}

impl Row {
    /// So much for a million transactions.
    pub(crate) fn a_million(&self, of_all: f64) -> f64 {
        of_all * 1e6 / self.transactions.max(1) as f64
    }
}

/// Counts on every store with every number of clients.
pub(crate) async fn run(options: &Options, data: &Path) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for &value_bytes in &options.value_bytes {
        for &clients in &options.cost.clients {
            let case = Case { options, data, value_bytes, clients };
            for cloud in [Cloud::S3, Cloud::DynamoDb] {
                rows.push(case.on_cloud(cloud).await?);
            }
            rows.push(case.on_redis().await?);
        }
    }
    Ok(rows)
}

/// Transactions of one size by so many clients.
#[derive(Clone, Copy)]
struct Case<'a> {
    options: &'a Options,
    data: &'a Path,
    value_bytes: usize,
    clients: usize,
}

impl Case<'_> {
    async fn on_cloud(self, cloud: Cloud) -> Result<Row> {
        // One client has an object for each of its transactions, however long that takes.
        let delays = if self.clients == 1 { Cloud::Nearby } else { cloud };
        let arguments = self.options.serve_aft(delays, &SETTINGS);
        let mut host = Host::start("aft", arguments, self.data).await?;
        load::run(&self.warm_up(host.address())).await?;
        host.reset().await?;
        let sample = load::run(&self.counted(host.address())).await?;
        let counts = host.told().await?.counts;
        host.end().await?;
        Ok(self.row(sample.requests, Asked::Cloud(cloud, counts)))
    }

    async fn on_redis(self) -> Result<Row> {
        let redis = Server::start(&Kind::Redis(Store::Embedded), self.data, &[]).await?;
        let store = format!("redis://{}", redis.address());
        let settings = SETTINGS.map(str::to_owned).to_vec();
        let kind = Kind::AftOn { binary: self.options.aft.clone(), store, settings };
        let aft = Server::start(&kind, self.data, &[]).await?;
        load::run(&self.warm_up(aft.address())).await?;
        let before = of_redis(&redis).await?;
        let sample = load::run(&self.counted(aft.address())).await?;
        let after = of_redis(&redis).await?;
        aft.stop().await?;
        redis.stop().await?;
        let asked = Asked::Redis { commands: after.0 - before.0, bytes: after.1 - before.1 };
        Ok(self.row(sample.requests, asked))
    }

    fn row(self, transactions: u64, asked: Asked) -> Row {
        let row = Row { value_bytes: self.value_bytes, clients: self.clients, transactions, asked };
        println!("{row:?}");
        row
    }

    fn counted(self, address: SocketAddr) -> Plan<Transactions> {
        let (keys, value_bytes) = (self.options.cost.keys, self.value_bytes);
        Plan {
            address,
            requests: Transactions { keys, value_bytes },
            connections: self.clients,
            pipeline: 1,
            seconds: 2.0 * self.options.seconds,
            requests_max: None,
            rate: None,
            seed: 1,
        }
    }

    /// Until all keys have been written several times over.
    fn warm_up(self, address: SocketAddr) -> Plan<Transactions> {
        const SECONDS_MAX: f64 = 120.0;
        let transactions = self.options.cost.keys * self.options.cost.times / WRITES as u64;
        Plan {
            seconds: SECONDS_MAX,
            requests_max: Some(transactions.div_ceil(self.clients as u64)),
            seed: 1_000_000,
            ..self.counted(address)
        }
    }
}

/// Commands that a Redis has run, and bytes that it was sent.
async fn of_redis(redis: &Server) -> Result<(u64, u64)> {
    let commands = calls(&connection::info(redis.address(), "commandstats").await?)?;
    let stats = connection::info(redis.address(), "stats").await?;
    Ok((commands, stats.number("total_net_input_bytes")?))
}

/// Of all commands: `cmdstat_set:calls=12,usec=34,…`, but those that ask for this.
fn calls(info: &Info) -> Result<u64> {
    let mut sum = 0;
    for (name, fields) in info.fields() {
        let calls = fields.split(',').find_map(|field| field.strip_prefix("calls="));
        match (name.strip_prefix("cmdstat_"), calls) {
            (Some(command), Some(calls)) if command != "info" => sum += calls.parse::<u64>()?,
            _ => {}
        }
    }
    Ok(sum)
}
