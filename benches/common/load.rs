//! The load generator: transactions, fixed rates and requests of any kind, which redis-benchmark has not.
//!
//! Closed loop, for throughput: every connection sends its pipeline, waits for all the
//! replies, and sends again.
//!
//! Open loop, for latency: request i is due at `start + i / rate`, is sent then whatever
//! became of the others, and its latency counts from when it was due. A server that stops
//! for 100 ms thus shows 100 ms to every request of that time, not to one only
//! ("coordinated omission"). One task does it all and never sleeps while requests are
//! due: a timer of 1 ms would be coarser than the latencies measured.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use hdrhistogram::Histogram;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use super::Result;
use super::clock::now;
use super::connection::Connection;
use super::figures::Sample;
use super::requests::{Dice, Requests};

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Plan<R> {
    pub(crate) address: SocketAddr,
    pub(crate) requests: R,
    pub(crate) connections: usize,
    /// Requests that a connection sends before it waits; closed loop only.
    pub(crate) pipeline: usize,
    pub(crate) seconds: f64,
    /// Ends each connection of a closed loop after so many requests, too.
    pub(crate) requests_max: Option<u64>,
    /// Requests a second over all connections; none for a closed loop.
    pub(crate) rate: Option<u64>,
    /// The same seed, the same requests.
    pub(crate) seed: u64,
}

/// How long replies may take after the last request.
const DRAIN: Duration = Duration::from_secs(5);
/// What a connection of the open loop may hold unsent. Beyond it requests are sent late,
/// but still timed from when they were due.
const UNSENT_BYTES_MAX: usize = 1 << 20;
const LATENCY_NS_MAX: u64 = 600_000_000_000;

/// Requests and their latencies.
pub(crate) struct Tally {
    latency_ns: Histogram<u64>,
    unanswered: u64,
}

impl Tally {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            latency_ns: Histogram::new_with_bounds(1_000, LATENCY_NS_MAX, 3)?,
            unanswered: 0,
        })
    }

    pub(crate) fn record(&mut self, latency: Duration, requests: u64) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(LATENCY_NS_MAX);
        self.latency_ns.saturating_record_n(ns, requests);
    }

    /// Those of another run, too.
    pub(crate) fn add(&mut self, other: &Self) -> Result<()> {
        self.latency_ns.add(&other.latency_ns)?;
        self.unanswered += other.unanswered;
        Ok(())
    }

    pub(crate) fn sample(&self, elapsed: Duration) -> Sample {
        let ms = |quantile| self.latency_ns.value_at_quantile(quantile) as f64 / 1e6;
        let requests = self.latency_ns.len() - self.unanswered;
        Sample {
            requests,
            cpu_seconds: 0.0,
            per_second: requests as f64 / elapsed.as_secs_f64(),
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
            p999_ms: ms(0.999),
            max_ms: self.latency_ns.max() as f64 / 1e6,
            unanswered: self.unanswered,
        }
    }
}

/// Runs a plan; any error reply fails it.
pub(crate) async fn run<R: Requests>(plan: &Plan<R>) -> Result<Sample> {
    let (tally, elapsed) = run_tallied(plan).await?;
    Ok(tally.sample(elapsed))
}

/// The same, with all latencies and how long it took.
pub(crate) async fn run_tallied<R: Requests>(plan: &Plan<R>) -> Result<(Tally, Duration)> {
    let limit = Duration::from_secs_f64(plan.seconds) + 2 * DRAIN;
    let work = async {
        match plan.rate {
            None => run_closed(plan).await,
            Some(rate) => run_open(plan, rate).await,
        }
    };
    tokio::time::timeout(limit, work)
        .await
        .map_err(|_| format!("no end of the load after {limit:?}"))?
}

async fn run_closed<R: Requests>(plan: &Plan<R>) -> Result<(Tally, Duration)> {
    let mut clients = Vec::new();
    for number in 0..plan.connections {
        clients.push(ClosedClient::open(plan, number).await?);
    }
    let start = now();
    let end = start + Duration::from_secs_f64(plan.seconds);
    let mut running = JoinSet::new();
    for client in clients {
        running.spawn(client.run(plan.requests_max, end));
    }
    let mut tally = Tally::new()?;
    while let Some(client) = running.join_next().await {
        tally.add(&client??)?;
    }
    Ok((tally, start.elapsed()))
}

/// A connection of the closed loop.
struct ClosedClient<R> {
    connection: Connection,
    pipelines: Pipelines<R>,
    replies_a_batch: usize,
}

/// Where a closed loop's pipelines come from.
struct Pipelines<R> {
    requests: R,
    /// Of the connection.
    number: usize,
    dice: Dice,
    length: usize,
    /// Made ahead, so that the client is faster than the servers; they are sent in turn,
    /// again and again. Where that may not be, one that is made each time.
    batches: Vec<Vec<u8>>,
    next: usize,
}

impl<R: Requests> Pipelines<R> {
    fn new(plan: &Plan<R>, number: usize) -> Self {
        /// Of all connections together.
        const BATCH_BYTES_MAX: usize = 4 << 20;
        let requests = plan.requests.clone();
        let dice = Dice::new(plan.seed + number as u64);
        let mut pipelines =
            Self { requests, number, dice, length: plan.pipeline, batches: Vec::new(), next: 0 };
        if !pipelines.requests.may_repeat() {
            pipelines.batches.push(Vec::new());
            return pipelines;
        }
        let mut bytes = 0;
        while bytes == 0 || bytes < BATCH_BYTES_MAX / plan.connections {
            let batch = pipelines.make(Vec::new());
            bytes += batch.len();
            pipelines.batches.push(batch);
        }
        pipelines
    }

    fn make(&mut self, mut batch: Vec<u8>) -> Vec<u8> {
        batch.clear();
        for _ in 0..self.length {
            self.requests.write_request(self.number, &mut self.dice, &mut batch);
        }
        batch
    }

    fn next(&mut self) -> &[u8] {
        let at = self.next;
        if !self.requests.may_repeat() {
            let used = std::mem::take(&mut self.batches[at]);
            self.batches[at] = self.make(used);
        }
        self.next = (at + 1) % self.batches.len();
        &self.batches[at]
    }
}

impl<R: Requests> ClosedClient<R> {
    async fn open(plan: &Plan<R>, number: usize) -> Result<Self> {
        Ok(Self {
            connection: Connection::open(plan.address).await?,
            pipelines: Pipelines::new(plan, number),
            replies_a_batch: plan.pipeline * plan.requests.replies(),
        })
    }

    /// Asks and waits until the end. Every request of a pipeline counts with the latency of
    /// the whole, as in redis-benchmark.
    async fn run(mut self, requests: Option<u64>, end: Instant) -> Result<Tally> {
        let mut tally = Tally::new()?;
        let mut left = requests.unwrap_or(u64::MAX);
        let requests_a_batch = self.pipelines.length as u64;
        while left > 0 {
            let batch = self.pipelines.next();
            let sent = now();
            if sent >= end {
                break;
            }
            left = left.saturating_sub(requests_a_batch);
            self.connection.stream.write_all(batch).await?;
            self.connection.skip_replies(self.replies_a_batch).await?;
            tally.record(now() - sent, requests_a_batch);
        }
        Ok(tally)
    }
}

/// A connection of the open loop.
struct Lane {
    connection: Connection,
    unsent: BytesMut,
    /// When the requests without all their replies were due, oldest first.
    due: VecDeque<Instant>,
    /// Replies the oldest of them still waits for.
    missing: usize,
}

impl Lane {
    /// Sends and receives what can be without waiting.
    fn turn(&mut self, replies: usize, tally: &mut Tally) -> Result<()> {
        while !self.unsent.is_empty() {
            match self.connection.stream.try_write(&self.unsent) {
                Ok(written) => self.unsent.advance(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        if self.due.is_empty() {
            return Ok(());
        }
        loop {
            let received = &mut self.connection.received;
            match self.connection.stream.try_read_buf(received) {
                Ok(0) => return Err("the server closed the connection".into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
            while self.connection.take_reply()?.is_some() {
                self.missing -= 1;
                if self.missing == 0 {
                    let due = self.due.pop_front().ok_or("a reply nobody asked for")?;
                    tally.record(due.elapsed(), 1);
                    self.missing = replies;
                }
            }
        }
        Ok(())
    }
}

async fn run_open<R: Requests>(plan: &Plan<R>, rate: u64) -> Result<(Tally, Duration)> {
    let replies = plan.requests.replies();
    let mut lanes = Vec::new();
    for _ in 0..plan.connections {
        lanes.push(Lane {
            connection: Connection::open(plan.address).await?,
            unsent: BytesMut::new(),
            due: VecDeque::new(),
            missing: replies,
        });
    }
    let total = (plan.seconds * rate as f64) as u64;
    let mut dice = Dice::new(plan.seed);
    let mut tally = Tally::new()?;
    let mut request = Vec::new();
    let mut sent = 0;
    let start = now();
    let end = start + Duration::from_secs_f64(plan.seconds) + DRAIN;
    loop {
        while sent < total {
            let due = start + Duration::from_secs_f64(sent as f64 / rate as f64);
            let connection = sent as usize % plan.connections;
            let lane = &mut lanes[connection];
            if due > now() || lane.unsent.len() > UNSENT_BYTES_MAX {
                break;
            }
            request.clear();
            plan.requests.write_request(connection, &mut dice, &mut request);
            lane.unsent.extend_from_slice(&request);
            lane.due.push_back(due);
            sent += 1;
        }
        for lane in &mut lanes {
            lane.turn(replies, &mut tally)?;
        }
        if tally.latency_ns.len() == total || now() > end {
            break;
        }
        // Lets the runtime look at the sockets.
        tokio::task::yield_now().await;
    }
    let elapsed = start.elapsed();
    for due in lanes.iter().flat_map(|lane| &lane.due) {
        tally.record(due.elapsed(), 1);
        tally.unanswered += 1;
    }
    tally.unanswered += total - sent;
    Ok((tally, elapsed))
}
