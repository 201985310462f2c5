//! From a start to serving, on a store whose reads are slow, after every key has been overwritten.
//!
//! The keys are written with the same delays, and compacted as in everyday life; then the node ends
//! in order, and the next one starts on what it has left. A start is timed to the right reply to a GET.

use std::path::Path;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::Result;
use crate::clock::now;
use crate::clouds::Cloud;
use crate::connection::{self, Connection};
use crate::control::Host;
use crate::counts::Counts;
use crate::figures::Spread;
use crate::options::Options;
use crate::requests::{Dice, key, value, write_command};
use crate::rest::rest;

/// Starts with values of one size.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) value_bytes: usize,
    /// Round by round.
    pub(crate) seconds: Vec<f64>,
    /// What aft itself says that its last start took.
    pub(crate) recovery_ms: u64,
    /// What the last start asked the store for.
    pub(crate) counts: Counts,
    pub(crate) filled_seconds: f64,
    pub(crate) tidied_seconds: f64,
}

impl Case {
    pub(crate) fn took(&self) -> Option<Spread> {
        Spread::of(self.seconds.clone())
    }
}

/// Times starts with each size of values.
pub(crate) async fn run(options: &Options, data: &Path) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for &value_bytes in &options.recovery.value_bytes {
        cases.push(Times { options, value_bytes }.measure(data).await?);
    }
    Ok(cases)
}

#[derive(Clone, Copy)]
struct Times<'a> {
    options: &'a Options,
    value_bytes: usize,
}

impl Times<'_> {
    async fn measure(self, data: &Path) -> Result<Case> {
        let arguments = self.options.serve_aft(Cloud::S3SlowReads, &[]);
        let mut host = Host::start("aft", arguments, data).await?;
        let began = now();
        for pass in 0..=self.options.recovery.overwrites {
            self.write(&host, pass).await?;
        }
        let filled_seconds = began.elapsed().as_secs_f64();
        let tidied_seconds = rest(host.server()).await?;
        println!("filled in {filled_seconds:.1} s, at rest {tidied_seconds:.1} s later");
        let value_bytes = self.value_bytes;
        let mut case = Case {
            value_bytes,
            seconds: Vec::new(),
            recovery_ms: 0,
            counts: Counts::default(),
            filled_seconds,
            tidied_seconds,
        };
        for _ in 0..self.options.rounds {
            self.start(&mut host, &mut case).await?;
        }
        host.end().await?;
        Ok(case)
    }

    /// Writes every key once, each pass but the first in another order.
    async fn write(self, host: &Host, pass: u64) -> Result<()> {
        /// A prime: its multiples come by every key whose number it doesn't divide.
        const STRIDE: u64 = 7_919;
        /// Of the load: with fewer the store's delays would be what takes the time.
        const PARTS: u64 = 8;
        let (keys, bytes) = (self.options.recovery.keys, self.value_bytes);
        let stride = if pass == 0 || keys.is_multiple_of(STRIDE) { 1 } else { STRIDE };
        let mut running: JoinSet<Result<()>> = JoinSet::new();
        for part in 0..PARTS {
            let (first, end) = (keys * part / PARTS, keys * (part + 1) / PARTS);
            let write = move |index: u64, out: &mut Vec<u8>| {
                let number = (first + index) * stride % keys;
                write_command(out, &[b"SET", &key("key", number), &value(number, pass, bytes)]);
            };
            running.spawn(connection::run_numbered(host.address(), end - first, write));
        }
        while let Some(done) = running.join_next().await {
            done??;
        }
        Ok(())
    }

    /// Times a start; what is there afterwards has to be what was written last.
    async fn start(self, host: &mut Host, case: &mut Case) -> Result<()> {
        host.stop_node().await?;
        host.reset().await?;
        let began = now();
        host.start_node().await?;
        let mut connection = self.first_answer(host).await?;
        case.seconds.push(began.elapsed().as_secs_f64());
        case.counts = host.told().await?.counts;
        case.recovery_ms = connection::info(host.address(), "aft").await?.number("recovery_ms")?;
        println!("{:.2} s", case.seconds.last().unwrap_or(&0.0));
        if self.is_whole(&mut connection).await? {
            Ok(())
        } else {
            Err("a start has lost keys".into())
        }
    }

    /// A connection, once it has had the right reply.
    async fn first_answer(self, host: &Host) -> Result<Connection> {
        const AGAIN_AFTER: Duration = Duration::from_millis(1);
        const PATIENCE: Duration = Duration::from_secs(120);
        let began = now();
        while began.elapsed() < PATIENCE {
            if let Ok(mut connection) = Connection::open(host.address()).await {
                return match self.is_right(&mut connection, 0).await? {
                    true => Ok(connection),
                    false => Err("the first reply was wrong".into()),
                };
            }
            tokio::time::sleep(AGAIN_AFTER).await;
        }
        Err(format!("it did not serve within {PATIENCE:?}").into())
    }

    async fn is_right(self, connection: &mut Connection, number: u64) -> Result<bool> {
        let wanted = value(number, self.options.recovery.overwrites, self.value_bytes);
        Ok(connection::get(connection, number).await?.as_deref() == Some(&wanted))
    }

    /// As many keys as were written, and some of them right.
    async fn is_whole(self, connection: &mut Connection) -> Result<bool> {
        const LOOKS: usize = 100;
        let keys = self.options.recovery.keys;
        if connection.ask(&[b"DBSIZE"]).await?.as_deref() != Some(keys.to_string().as_bytes()) {
            return Ok(false);
        }
        let mut dice = Dice::new(1);
        for _ in 0..LOOKS {
            if !self.is_right(connection, dice.below(keys)).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
