//! The load generator: transactions and fixed rates, which redis-benchmark has not.
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
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Result;
use crate::cells::{Command, Sample};
use crate::clock::now;
use crate::options::LoadOptions;
use crate::replies::{Reply, first_reply, skip_replies};
use crate::workload::{Dice, Workload, account, key, write_command, write_fill};

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    pub(crate) workload: Workload,
    pub(crate) connections: usize,
    /// Requests that a connection sends before it waits; closed loop only.
    pub(crate) pipeline: usize,
    pub(crate) seconds: f64,
    /// Ends each connection of a closed loop after so many requests, too.
    pub(crate) requests: Option<u64>,
    /// Requests a second over all connections; none for a closed loop.
    pub(crate) rate: Option<u64>,
}

/// How long replies may take after the last request.
const DRAIN: Duration = Duration::from_secs(5);
/// What a connection of the open loop may hold unsent. Beyond it requests are sent late,
/// but still timed from when they were due.
const UNSENT_BYTES_MAX: usize = 1 << 20;
const LATENCY_NS_MAX: u64 = 600_000_000_000;

/// Requests and their latencies.
struct Tally {
    latency_ns: Histogram<u64>,
    unanswered: u64,
}

impl Tally {
    fn new() -> Result<Self> {
        Ok(Self {
            latency_ns: Histogram::new_with_bounds(1_000, LATENCY_NS_MAX, 3)?,
            unanswered: 0,
        })
    }

    fn record(&mut self, latency: Duration, requests: u64) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(LATENCY_NS_MAX);
        self.latency_ns.saturating_record_n(ns, requests);
    }

    fn sample(&self, elapsed: Duration) -> Sample {
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
pub(crate) async fn run(plan: &Plan) -> Result<Sample> {
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

/// The generator on its own, against any server: `redis_compare -- load …`.
pub(crate) async fn run_alone(options: &LoadOptions) -> Result<()> {
    let plan = &options.plan;
    if plan.workload.command == Command::Get {
        fill(plan.address, &plan.workload).await?;
    }
    let sample = run(plan).await?;
    println!("requests/s  {:.0}", sample.per_second);
    println!("p50 ms      {:.3}", sample.p50_ms);
    println!("p99 ms      {:.3}", sample.p99_ms);
    println!("p99.9 ms    {:.3}", sample.p999_ms);
    println!("max ms      {:.3}", sample.max_ms);
    println!("unanswered  {}", sample.unanswered);
    if plan.workload.command == Command::Transfer {
        check_transfers(plan.address, &plan.workload).await?;
        println!("the accounts still add up to 0");
    }
    Ok(())
}

/// One connection and what has come back on it.
struct Connection {
    stream: TcpStream,
    received: BytesMut,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: BytesMut::with_capacity(64 << 10) })
    }

    /// The next reply that has been received whole.
    fn take_reply(&mut self) -> Result<Option<Reply>> {
        let Some(reply) = first_reply(&self.received)? else {
            return Ok(None);
        };
        if let Some(error) = reply.error {
            return Err(format!("the server answered: {error}").into());
        }
        self.received.advance(reply.bytes);
        Ok(Some(reply))
    }

    /// Waits for a number of replies.
    async fn skip_replies(&mut self, count: usize) -> Result<()> {
        let mut missing = count;
        loop {
            let skipped = skip_replies(&self.received, &mut missing)?;
            self.received.advance(skipped);
            if missing == 0 {
                return Ok(());
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err("the server closed the connection".into());
            }
        }
    }

    /// Waits for a number of replies and adds up their integers.
    async fn read_replies(&mut self, count: usize) -> Result<i64> {
        let mut sum = 0;
        for _ in 0..count {
            sum += loop {
                if let Some(reply) = self.take_reply()? {
                    break reply.sum;
                }
                if self.stream.read_buf(&mut self.received).await? == 0 {
                    return Err("the server closed the connection".into());
                }
            };
        }
        Ok(sum)
    }
}

async fn run_closed(plan: &Plan) -> Result<Sample> {
    let mut clients = Vec::new();
    for seed in 1..=plan.connections as u64 {
        clients.push(ClosedClient::open(plan, seed).await?);
    }
    let start = now();
    let end = start + Duration::from_secs_f64(plan.seconds);
    let mut running = JoinSet::new();
    for client in clients {
        running.spawn(client.run(plan.requests, end));
    }
    let mut tally = Tally::new()?;
    while let Some(client) = running.join_next().await {
        tally.latency_ns.add(client??.latency_ns)?;
    }
    Ok(tally.sample(start.elapsed()))
}

/// A connection of the closed loop.
struct ClosedClient {
    connection: Connection,
    /// Pipelines made ahead, so that the client is faster than the servers; they are sent in
    /// turn, again and again.
    batches: Vec<Vec<u8>>,
    requests_a_batch: u64,
    replies_a_batch: usize,
}

impl ClosedClient {
    async fn open(plan: &Plan, seed: u64) -> Result<Self> {
        /// Of all connections together.
        const BATCH_BYTES_MAX: usize = 4 << 20;
        let mut dice = Dice::new(seed);
        let mut batches = Vec::new();
        let mut bytes = 0;
        while bytes == 0 || bytes < BATCH_BYTES_MAX / plan.connections {
            let mut batch = Vec::new();
            for _ in 0..plan.pipeline {
                plan.workload.write_request(&mut dice, &mut batch);
            }
            bytes += batch.len();
            batches.push(batch);
        }
        Ok(Self {
            connection: Connection::open(plan.address).await?,
            batches,
            requests_a_batch: plan.pipeline as u64,
            replies_a_batch: plan.pipeline * plan.workload.replies(),
        })
    }

    /// Asks and waits until the end. Every request of a pipeline counts with the latency of
    /// the whole, as in redis-benchmark.
    async fn run(mut self, requests: Option<u64>, end: Instant) -> Result<Tally> {
        let mut tally = Tally::new()?;
        let mut sent = now();
        let mut left = requests.unwrap_or(u64::MAX);
        for batch in self.batches.iter().cycle() {
            if sent >= end || left == 0 {
                break;
            }
            left = left.saturating_sub(self.requests_a_batch);
            self.connection.stream.write_all(batch).await?;
            self.connection.skip_replies(self.replies_a_batch).await?;
            let answered = now();
            tally.record(answered - sent, self.requests_a_batch);
            sent = answered;
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

async fn run_open(plan: &Plan, rate: u64) -> Result<Sample> {
    let replies = plan.workload.replies();
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
    let mut dice = Dice::new(1);
    let mut tally = Tally::new()?;
    let mut request = Vec::new();
    let mut sent = 0;
    let start = now();
    let end = start + Duration::from_secs_f64(plan.seconds) + DRAIN;
    loop {
        while sent < total {
            let due = start + Duration::from_secs_f64(sent as f64 / rate as f64);
            let lane = &mut lanes[sent as usize % plan.connections];
            if due > now() || lane.unsent.len() > UNSENT_BYTES_MAX {
                break;
            }
            request.clear();
            plan.workload.write_request(&mut dice, &mut request);
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
    Ok(tally.sample(elapsed))
}

/// Sets every key of a workload, so that GET finds something.
pub(crate) async fn fill(address: SocketAddr, workload: &Workload) -> Result<()> {
    let batch = (1 << 20) / (workload.value.len() as u64 + 64);
    let mut connection = Connection::open(address).await?;
    let mut out = Vec::new();
    let mut next = 0;
    while next < workload.keys {
        let end = (next + batch.clamp(1, 1_000)).min(workload.keys);
        out.clear();
        for number in next..end {
            write_fill(&mut out, number, &workload.value);
        }
        connection.stream.write_all(&out).await?;
        connection.read_replies((end - next) as usize).await?;
        next = end;
    }
    Ok(())
}

/// Whether a server has a key of a fill.
pub(crate) async fn has_key(address: SocketAddr, number: u64) -> Result<bool> {
    let mut connection = Connection::open(address).await?;
    let mut out = Vec::new();
    write_command(&mut out, &[b"GET", &key("key", number)]);
    connection.stream.write_all(&out).await?;
    loop {
        if let Some(reply) = connection.take_reply()? {
            return Ok(!reply.nil);
        }
        if connection.stream.read_buf(&mut connection.received).await? == 0 {
            return Err("the server closed the connection".into());
        }
    }
}

/// Money is neither made nor lost: the accounts add up to 0, as they did at the start.
pub(crate) async fn check_transfers(address: SocketAddr, workload: &Workload) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    let mut out = Vec::new();
    for number in 0..workload.keys {
        write_command(&mut out, &[b"GET", &account(number)]);
    }
    connection.stream.write_all(&out).await?;
    match connection.read_replies(workload.keys as usize).await? {
        0 => Ok(()),
        sum => Err(format!("after the transfers the accounts add up to {sum}, not 0").into()),
    }
}
