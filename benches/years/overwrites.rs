//! Overwrites of a small store, and what has to be in it after them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Result;
use crate::connection::{self, Connection};
use crate::requests::{Dice, Requests, key, value, write_command};

/// Writes random keys: of sixteen commands one deletes, one sets a value that expires soon,
/// one gives what is there an expiry, and the others set values, one with an expiry. Every
/// connection has keys of its own, so it is known what comes after what.
#[derive(Clone, Debug)]
pub(crate) struct Overwrites {
    connections: u64,
    value_bytes: usize,
    /// Shared by all connections.
    model: Arc<Mutex<Model>>,
}

#[derive(Debug)]
struct Model {
    keys: Vec<Key>,
    /// Of values, since the beginning.
    bytes_written: u64,
}

#[derive(Clone, Debug)]
struct Key {
    version: u64,
    wanted: Wanted,
}

#[derive(Clone, Debug, PartialEq)]
enum Wanted {
    Gone,
    /// Whoever asks long enough finds nothing.
    GoesSoon,
    Value,
}

const SOON_MS: &[u8] = b"50";
const LATE_S: &[u8] = b"100000";

impl Overwrites {
    /// Commands of `write_request` for each that writes a value.
    pub(crate) const COMMANDS_A_VALUE: f64 = 16.0 / 14.0;

    pub(crate) fn new(keys: u64, value_bytes: usize, connections: usize) -> Self {
        let key = Key { version: 0, wanted: Wanted::Value };
        let keys = vec![key; keys as usize];
        let model = Model { keys, bytes_written: 0 };
        Self { connections: connections as u64, value_bytes, model: Arc::new(Mutex::new(model)) }
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes every key once.
    pub(crate) async fn fill(&self, address: SocketAddr) -> Result<()> {
        let (count, bytes) = (self.model().keys.len() as u64, self.value_bytes);
        self.model().bytes_written += count * bytes as u64;
        let write = move |number, out: &mut Vec<u8>| {
            write_command(out, &[b"SET", &key("key", number), &value(number, 0, bytes)]);
        };
        connection::run_numbered(address, count, write).await
    }

    pub(crate) fn keys(&self) -> u64 {
        self.model().keys.len() as u64
    }

    /// How many times the size of all values has been written.
    pub(crate) fn times(&self) -> f64 {
        let model = self.model();
        model.bytes_written as f64 / (model.keys.len() * self.value_bytes) as f64
    }

    /// Keys and values that are alive.
    pub(crate) fn live_bytes(&self) -> u64 {
        let model = self.model();
        let live = model.keys.iter().filter(|key| key.wanted == Wanted::Value).count();
        (live * (key("key", 0).len() + self.value_bytes)) as u64
    }

    /// Fails unless a server has just what has been written.
    pub(crate) async fn check(&self, address: SocketAddr) -> Result<()> {
        /// For expiries that are 50 ms away.
        const PATIENCE: Duration = Duration::from_secs(60);
        let keys = self.model().keys.clone();
        let mut connection = Connection::open(address).await?;
        for (number, Key { version, wanted }) in (0..).zip(keys) {
            let mut found = connection::get(&mut connection, number).await?;
            let right = match wanted {
                Wanted::Value => {
                    found.as_deref() == Some(&value(number, version, self.value_bytes))
                }
                Wanted::Gone => found.is_none(),
                Wanted::GoesSoon => {
                    let goes = async {
                        while found.is_some() {
                            found = connection::get(&mut connection, number).await?;
                        }
                        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
                    };
                    match tokio::time::timeout(PATIENCE, goes).await {
                        Ok(result) => result.map_err(|error| format!("key {number}: {error}"))?,
                        Err(_) => return Err(format!("key {number} doesn't go").into()),
                    }
                    true
                }
            };
            if !right {
                return Err(format!("key {number} is wrong: {wanted:?}, version {version}").into());
            }
        }
        Ok(())
    }
}

impl Requests for Overwrites {
    /// The model has to know each.
    fn may_repeat(&self) -> bool {
        false
    }

    fn write_request(&self, connection: usize, dice: &mut Dice, out: &mut Vec<u8>) {
        let mut model = self.model();
        let own = model.keys.len() as u64 / self.connections;
        let number = dice.below(own) * self.connections + connection as u64;
        let Key { version, wanted } = &mut model.keys[number as usize];
        let name = key("key", number);
        match (dice.below(16), &wanted) {
            (0, _) => {
                *wanted = Wanted::Gone;
                return write_command(out, &[b"DEL", &name]);
            }
            // The value stays where it is, in whichever object that is by then.
            (1, Wanted::Value) => {
                return write_command(out, &[b"EXPIRE", &name, LATE_S]);
            }
            (what, _) => {
                *version += 1;
                let value = value(number, *version, self.value_bytes);
                *wanted = if what == 2 { Wanted::GoesSoon } else { Wanted::Value };
                match what {
                    2 => write_command(out, &[b"SET", &name, &value, b"PX", SOON_MS]),
                    3 => write_command(out, &[b"SET", &name, &value, b"EX", LATE_S]),
                    _ => write_command(out, &[b"SET", &name, &value]),
                }
            }
        }
        model.bytes_written += self.value_bytes as u64;
    }
}
