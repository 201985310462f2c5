//! The requests of the load generator.
//!
//! Keys and values are those of redis-benchmark (`key:` and twelve digits, x's), so that
//! both clients can work on the same data.

use std::io::Write;

use crate::cells::Command;

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

    /// Replies that one request gets.
    pub(crate) fn replies(&self) -> usize {
        if self.command == Command::Transfer {
            4 // OK, QUEUED, QUEUED, and the array of EXEC
        } else {
            1
        }
    }

    /// Appends one request on random keys.
    pub(crate) fn write_request(&self, dice: &mut Dice, out: &mut Vec<u8>) {
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

/// The key of a numbered account.
pub(crate) fn account(number: u64) -> Vec<u8> {
    key("account", number)
}

/// `SET key:<number> value`, to fill a server.
pub(crate) fn write_fill(out: &mut Vec<u8>, number: u64, value: &[u8]) {
    write_command(out, &[b"SET", &key("key", number), value]);
}

/// A numbered key; `key:` makes it 16 bytes long.
pub(crate) fn key(name: &str, number: u64) -> Vec<u8> {
    format!("{name}:{number:012}").into_bytes()
}

/// Appends a command as an array of bulk strings.
pub(crate) fn write_command(out: &mut Vec<u8>, arguments: &[&[u8]]) {
    // Writing into a Vec can't fail.
    let _ = write!(out, "*{}\r\n", arguments.len());
    for argument in arguments {
        let _ = write!(out, "${}\r\n", argument.len());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
}

/// Random numbers by splitmix64: a seed replays a run, and they cost next to nothing, so
/// that the generator stays faster than the servers.
#[derive(Clone, Debug)]
pub(crate) struct Dice {
    state: u64,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number below `limit`. The modulo's bias is far below what a benchmark notices.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }
}
