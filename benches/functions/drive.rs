//! Clients that send requests of functions, one after the other, and wait for each.
//!
//! An operation is a round trip: a function computes something between two of them. What begins
//! and ends the functions of a transaction is sent along with their first and last operation, or
//! by itself.
//!
//! Closed loop, for throughput: each client sends its next request when it has the last one's
//! replies. Open loop, for latency: a request is due at a fixed rate and counts from then,
//! whether or not a client is free.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::task::JoinSet;

use crate::Result;
use crate::clock::now;
use crate::common::functions::{Function, Operation, VALUE_BYTES, Zipf};
use crate::connection::Connection;
use crate::figures::Sample;
use crate::history::{History, Recorder};
use crate::load::Tally;
use crate::requests::{Dice, key, value, write_command};

/// How the operations of a request are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// As they are, to any server: no atomicity.
    Plain,
    /// In a transaction; its own commands go along with the operations.
    Along,
    /// In a transaction, and each command is a round trip.
    Alone,
}

/// A command of a function.
#[derive(Clone, Copy)]
enum Command {
    Begin,
    Operation(Operation),
    End,
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Along, Self::Alone];

    fn commands(self, function: &Function) -> Vec<Command> {
        let mut commands: Vec<Command> = function.map(Command::Operation).to_vec();
        if self != Self::Plain {
            commands.insert(0, Command::Begin);
            commands.push(Command::End);
        }
        commands
    }

    /// How many of these are sent at once, in turn.
    fn at_once(self) -> &'static [usize] {
        match self {
            Self::Plain => &[1, 1, 1],
            Self::Along => &[2, 1, 2],
            Self::Alone => &[1, 1, 1, 1, 1],
        }
    }
}

/// One turn of a server.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) address: SocketAddr,
    pub(crate) way: Way,
    pub(crate) clients: usize,
    pub(crate) seconds: f64,
    /// Requests that are due in a second; without it the loop is closed.
    pub(crate) rate: Option<u64>,
    pub(crate) zipf: Arc<Zipf>,
    /// No other turn has it: it is part of the requests' ids.
    pub(crate) number: u64,
    /// Of the server, if somebody wants it.
    pub(crate) history: Option<History>,
}

/// Lets the clients work for as long as the turn takes.
pub(crate) async fn run(turn: &Turn) -> Result<Sample> {
    /// For the requests that are under way when the time is over.
    const DRAIN: Duration = Duration::from_secs(30);
    let limit = Duration::from_secs_f64(turn.seconds) + DRAIN;
    let done = tokio::time::timeout(limit, run_clients(turn)).await;
    done.map_err(|_| format!("no end of the load after {limit:?}"))?
}

async fn run_clients(turn: &Turn) -> Result<Sample> {
    let mut clients = Vec::new();
    for number in 0..turn.clients {
        clients.push(Client::connect(turn, number).await?);
    }
    match turn.rate {
        Some(rate) => open_loop(clients, rate, turn.seconds).await,
        None => closed_loop(clients, turn.seconds).await,
    }
}

/// Sends requests when they are due, as far as clients are free; those that are late wait for one.
async fn open_loop(mut idle: Vec<Client>, rate: u64, seconds: f64) -> Result<Sample> {
    let mut tally = Tally::new()?;
    let mut running = JoinSet::new();
    let start = now();
    let requests = (rate as f64 * seconds) as u64;
    let mut sent = 0;
    while sent < requests || !running.is_empty() {
        while let Some(done) = running.try_join_next() {
            let (client, took): (Client, Duration) = done??;
            tally.record(took, 1);
            idle.push(client);
        }
        let due = start + Duration::from_secs_f64(sent as f64 / rate as f64);
        if sent < requests
            && due <= now()
            && let Some(mut client) = idle.pop()
        {
            sent += 1;
            running.spawn(async move {
                client.request().await?;
                Result::Ok((client, due.elapsed()))
            });
        }
        // A timer of 1 ms would be coarser than what is measured.
        tokio::task::yield_now().await;
    }
    Ok(tally.sample(start.elapsed()))
}

async fn closed_loop(clients: Vec<Client>, seconds: f64) -> Result<Sample> {
    let start = now();
    let end = start + Duration::from_secs_f64(seconds);
    let mut running = JoinSet::new();
    for client in clients {
        running.spawn(client.work(end));
    }
    let mut tally = Tally::new()?;
    while let Some(client) = running.join_next().await {
        tally.add(&client??)?;
    }
    Ok(tally.sample(start.elapsed()))
}

struct Client {
    connection: Connection,
    way: Way,
    zipf: Arc<Zipf>,
    dice: Dice,
    /// Of the turn, and of the client in it.
    name: String,
    requests: u64,
    out: Vec<u8>,
    recorder: Option<Recorder>,
}

impl Client {
    async fn connect(turn: &Turn, number: usize) -> Result<Self> {
        let name = format!("{}:{number}", turn.number);
        Ok(Self {
            connection: Connection::open(turn.address).await?,
            way: turn.way,
            zipf: Arc::clone(&turn.zipf),
            dice: Dice::new(turn.number << 16 | number as u64),
            requests: 0,
            out: Vec::new(),
            recorder: turn.history.as_ref().map(|history| history.recorder(&name)),
            name,
        })
    }

    async fn work(mut self, end: Instant) -> Result<Tally> {
        let mut tally = Tally::new()?;
        loop {
            let began = now();
            if began >= end {
                return Ok(tally);
            }
            self.request().await?;
            tally.record(began.elapsed(), 1);
        }
    }

    async fn request(&mut self) -> Result<()> {
        self.requests += 1;
        let id = format!("{}:{}", self.name, self.requests);
        let functions = self.zipf.request(&mut self.dice);
        if let Some(recorder) = &mut self.recorder {
            recorder.begin(&id, &functions);
        }
        for (at, function) in functions.iter().enumerate() {
            let commands = self.way.commands(function);
            let mut rest = commands.as_slice();
            for &count in self.way.at_once() {
                let (sent, later) = rest.split_at(count);
                rest = later;
                self.out.clear();
                for &command in sent {
                    self.write(command, at, id.as_bytes());
                }
                if let Some(recorder) = &mut self.recorder {
                    recorder.sends();
                }
                self.connection.stream.write_all(&self.out).await?;
                self.hear(sent).await?;
            }
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.end();
        }
        Ok(())
    }

    /// Waits for the replies to these.
    async fn hear(&mut self, sent: &[Command]) -> Result<()> {
        let Some(recorder) = &mut self.recorder else {
            return self.connection.skip_replies(sent.len()).await;
        };
        for command in sent {
            match *command {
                Command::Begin => drop(self.connection.read_list().await?),
                Command::Operation(operation) => {
                    recorder.hear(operation, &mut self.connection).await?;
                }
                Command::End => recorder.hear_end(&mut self.connection).await?,
            }
        }
        Ok(())
    }

    fn write(&mut self, command: Command, function: usize, id: &[u8]) {
        let out = &mut self.out;
        match (command, function) {
            (Command::Begin, 0) => {
                write_command(out, &[b"AFT.BEGIN", b"REQUEST", id, b"STEP", b"one"]);
            }
            (Command::Begin, _) => {
                let step = &[b"AFT.BEGIN", &b"REQUEST"[..], id, b"STEP", b"two", b"AFTER", b"one"];
                write_command(out, step);
            }
            (Command::End, 0) => write_command(out, &[b"AFT.DONE"]),
            (Command::End, _) => write_command(out, &[b"AFT.COMMIT"]),
            (Command::Operation(Operation::Read(number)), _) => {
                write_command(out, &[b"GET", &key("key", number)]);
            }
            (Command::Operation(Operation::Write(number)), _) => {
                let value = match &self.recorder {
                    Some(recorder) => recorder.value(),
                    None => value(number, self.requests, VALUE_BYTES),
                };
                write_command(out, &[b"SET", &key("key", number), &value]);
            }
        }
    }
}
