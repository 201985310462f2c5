//! The requests of the load generator.

use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;

use crate::Result;
use crate::cells::Command;
use crate::connection::{Connection, run_numbered};
use crate::load::{self, Plan};
use crate::requests::{Dice, Requests, key, write_command, write_fill};

/// What to ask for, again and again.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) command: Command,
    pub(crate) keys: u64,
    pub(crate) value: Vec<u8>,
}

/// Keys of one MSET, as in redis-benchmark.
const MSET_KEYS: usize = 10;

/// Few enough to be read and added up after a run.
const ACCOUNTS_MAX: u64 = 1_000;

impl Workload {
    pub(crate) fn new(command: Command, keys: u64, value_bytes: usize) -> Self {
        let keys = if command == Command::Transfer { keys.min(ACCOUNTS_MAX) } else { keys };
        Self { command, keys, value: vec![b'x'; value_bytes] }
    }

    /// Moves an amount from one account to another; the sum over all stays 0.
    fn write_transfer(&self, dice: &mut Dice, out: &mut Vec<u8>) {
        let from = dice.below(self.keys);
        // Another account than `from`, each as likely as the next.
        let step = 1 + dice.below(self.keys - 1);
        let to = (from + step) % self.keys;
        let amount = 1 + dice.below(100);
        write_command(out, &[b"MULTI"]);
        let minus = format!("-{amount}");
        write_command(out, &[b"INCRBY", &account(from), minus.as_bytes()]);
        let plus = amount.to_string();
        write_command(out, &[b"INCRBY", &account(to), plus.as_bytes()]);
        write_command(out, &[b"EXEC"]);
    }
}

impl Requests for Workload {
    fn replies(&self) -> usize {
        if self.command == Command::Transfer {
            4 // OK, QUEUED, QUEUED, and the array of EXEC
        } else {
            1
        }
    }

    fn may_repeat(&self) -> bool {
        true
    }

    /// On random keys.
    fn write_request(&self, _: usize, dice: &mut Dice, out: &mut Vec<u8>) {
        let key = |dice: &mut Dice| key("key", dice.below(self.keys));
        match self.command {
            Command::Set => write_command(out, &[b"SET", &key(dice), &self.value]),
            Command::Get => write_command(out, &[b"GET", &key(dice)]),
            Command::Incr => {
                let counter = self::key("counter", dice.below(self.keys));
                write_command(out, &[b"INCR", &counter]);
            }
            Command::Mset => {
                let keys: [Vec<u8>; MSET_KEYS] = std::array::from_fn(|_| key(dice));
                let mut arguments: Vec<&[u8]> = vec![b"MSET"];
                for key in &keys {
                    arguments.extend([key.as_slice(), &self.value]);
                }
                write_command(out, &arguments);
            }
            Command::Transfer => self.write_transfer(dice, out),
        }
    }
}

/// The key of a numbered account.
pub(crate) fn account(number: u64) -> Vec<u8> {
    key("account", number)
}

/// Sets every key of a workload, so that GET finds something.
pub(crate) async fn fill(address: SocketAddr, workload: &Workload) -> Result<()> {
    let value = workload.value.clone();
    run_numbered(address, workload.keys, move |number, out| write_fill(out, number, &value)).await
}

/// The generator on its own, against any server: `redis_compare -- load …`.
pub(crate) async fn run_alone(plan: &Plan<Workload>) -> Result<()> {
    if plan.requests.command == Command::Get {
        fill(plan.address, &plan.requests).await?;
    }
    let sample = load::run(plan).await?;
    println!("requests/s  {:.0}", sample.per_second);
    println!("p50 ms      {:.3}", sample.p50_ms);
    println!("p99 ms      {:.3}", sample.p99_ms);
    println!("p99.9 ms    {:.3}", sample.p999_ms);
    println!("max ms      {:.3}", sample.max_ms);
    println!("unanswered  {}", sample.unanswered);
    if plan.requests.command == Command::Transfer {
        check_transfers(plan.address, &plan.requests).await?;
        println!("the accounts still add up to 0");
    }
    Ok(())
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
