//! A small store that is overwritten again and again, and what it must hold then.

use std::collections::BTreeMap;
use std::time::Duration;

use super::client::Client;
use super::resp::Reply;
use super::server::Server;
use super::wait::{self, PATIENCE};

/// Keys that are written in one pipeline.
pub(crate) const BATCH: usize = 100;

/// What a key must be.
#[derive(Debug, Clone, PartialEq)]
enum Wanted {
    Gone,
    /// Whoever asks long enough finds nothing.
    GoesSoon,
    Value(String),
}

/// What all keys must be; those of a batch without an answer may be as before, too.
pub(crate) struct Model {
    value_bytes: usize,
    keys: BTreeMap<usize, Wanted>,
    uncertain: BTreeMap<usize, Wanted>,
}

impl Model {
    /// Of a store that is empty, for values of about this size.
    pub(crate) fn of_values(value_bytes: usize) -> Self {
        Self { value_bytes, keys: BTreeMap::new(), uncertain: BTreeMap::new() }
    }

    /// Writes so many keys.
    pub(crate) fn overwrite(&mut self, server: &Server, keys: usize, round: usize) {
        let mut client = server.client();
        for first in (0..keys).step_by(BATCH) {
            assert!(self.write(&mut client, round, first), "the server went away");
        }
    }

    /// The server is killed while a client writes.
    pub(crate) fn kill_in_the_middle(&mut self, server: &mut Server, keys: usize, round: usize) {
        let mut client = server.client();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                wait::pause(Duration::from_millis(5 + round as u64 % 40));
                server.kill_9();
            });
            for first in (0..keys).step_by(BATCH).cycle() {
                if !self.write(&mut client, round, first) {
                    return;
                }
            }
        });
    }

    /// Writes some keys in one pipeline; `false` if the server went away.
    fn write(&mut self, client: &mut Client, round: usize, first: usize) -> bool {
        let before = self.keys.clone();
        let keys = first..first + BATCH;
        for key in keys.clone() {
            let wanted = self.request(client, round, key);
            self.keys.insert(key, wanted);
        }
        let answer = |client: &mut Client| {
            let reply = client.read().ok()?;
            assert_eq!(reply.error_code(), None, "{reply:?}");
            Some(())
        };
        let answered = client.flush().is_ok() && keys.clone().all(|_| answer(client).is_some());
        if !answered {
            let of = |key| (key, before.get(&key).cloned().unwrap_or(Wanted::Gone));
            self.uncertain = keys.map(of).collect();
        }
        answered
    }

    /// Asks for every key. Where two answers are right, the one given is it from then on.
    pub(crate) fn check(&mut self, client: &mut Client) {
        self.wait_for_expiries(client);
        let names = self.keys.keys().map(|key| format!("key:{key}"));
        let command: Vec<String> = ["MGET".to_owned()].into_iter().chain(names).collect();
        let found = client.run(&command);
        assert_eq!(found.items().len(), self.keys.len());
        for ((key, wanted), found) in self.keys.iter_mut().zip(found.items()) {
            let found = found.text().map_or(Wanted::Gone, Wanted::Value);
            let before = self.uncertain.remove(key);
            assert!(found == *wanted || Some(&found) == before.as_ref(), "key:{key}: {found:?}");
            *wanted = found;
        }
    }

    fn wait_for_expiries(&mut self, client: &mut Client) {
        for (key, wanted) in &mut self.keys {
            let name = format!("key:{key}");
            let before = self.uncertain.get(key);
            if [Some(&*wanted), before].contains(&Some(&Wanted::GoesSoon)) {
                if before.is_some() {
                    // Its time may come between two looks.
                    client.run(&["DEL", &name]);
                    self.uncertain.remove(key);
                } else {
                    wait::until("an expiry", PATIENCE, || {
                        (client.run(&["EXISTS", &name]) == Reply::Int(0)).then_some(())
                    });
                }
                *wanted = Wanted::Gone;
            }
        }
    }

    pub(crate) fn live_bytes(&self) -> u64 {
        let value = |wanted: &Wanted| match wanted {
            Wanted::Value(value) => value.len() as u64,
            _ => 0,
        };
        self.keys.values().map(value).sum()
    }

    pub(crate) fn live_keys(&self) -> u64 {
        self.keys.values().filter(|wanted| matches!(wanted, Wanted::Value(_))).count() as u64
    }

    /// What is done to a key depends on both numbers, so that the same key meets all of it.
    fn request(&self, client: &mut Client, round: usize, key: usize) -> Wanted {
        let name = format!("key:{key}");
        let value = format!("{key} in {round} {}", "x".repeat(self.value_bytes));
        match (round * 7 + key) % 16 {
            0 => {
                client.queue(&["DEL", &name]);
                Wanted::Gone
            }
            1 => {
                client.queue(&["SET", &name, &value, "PX", "30"]);
                Wanted::GoesSoon
            }
            // The value stays where it is, in whichever object that is by then.
            2 => {
                client.queue(&["EXPIRE", &name, "100000"]);
                self.keys.get(&key).cloned().unwrap_or(Wanted::Gone)
            }
            3 => {
                client.queue(&["SET", &name, &value, "EX", "100000"]);
                Wanted::Value(value)
            }
            _ => {
                client.queue(&["SET", &name, &value]);
                Wanted::Value(value)
            }
        }
    }
}
