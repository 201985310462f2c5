//! Years in seconds: a small store is overwritten many times over and started again and again.
//! It stays as small as what is alive in it, and nothing of that is lost.

// In a test, an expectation is an assertion.
#![allow(clippy::expect_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use aft::layout::ObjectName;
use aft::storage::Store;
use aft::storage::embedded::{EmbeddedOptions, EmbeddedStore};
use common::client::Client;
use common::resp::Reply;
use common::server::{Options, Server};
use common::temp_dir::TempDir;
use common::wait::{self, PATIENCE};

const KEYS: usize = 1_000;
const VALUE_BYTES: usize = 3_000;
const BATCH: usize = 100;
const MIB: u64 = 1 << 20;

/// What a key must be.
#[derive(Debug, Clone, PartialEq)]
enum Wanted {
    Gone,
    /// Whoever asks long enough finds nothing.
    GoesSoon,
    Value(String),
}

/// What all keys must be; those of a batch without an answer may be as before, too.
#[derive(Default)]
struct Model {
    keys: BTreeMap<usize, Wanted>,
    uncertain: BTreeMap<usize, Wanted>,
}

impl Model {
    /// Writes some keys in one pipeline; `false` if the server went away.
    fn write(&mut self, client: &mut Client, round: usize, first: usize) -> bool {
        let before = self.keys.clone();
        let keys = first..first + BATCH;
        for key in keys.clone() {
            let wanted = request(client, round, key, self.keys.get(&key));
            self.keys.insert(key, wanted);
        }
        let answered = client.flush().is_ok() && keys.clone().all(|_| client.read().is_ok());
        if !answered {
            let of = |key| (key, before.get(&key).cloned().unwrap_or(Wanted::Gone));
            self.uncertain = keys.map(of).collect();
        }
        answered
    }

    /// Asks for every key. Where two answers are right, the one given is it from then on.
    fn check(&mut self, client: &mut Client) {
        for (key, wanted) in &mut self.keys {
            let name = format!("key:{key}");
            let get = |client: &mut Client| client.run(&["GET", &name]).text();
            if let Some(before) = self.uncertain.remove(key) {
                if [&*wanted, &before].contains(&&Wanted::GoesSoon) {
                    // Its time may come between two looks.
                    client.run(&["DEL", &name]);
                    *wanted = Wanted::Gone;
                    continue;
                }
                let found = get(client).map_or(Wanted::Gone, Wanted::Value);
                assert!([&*wanted, &before].contains(&&found), "{name}: {found:?}");
                *wanted = found;
                continue;
            }
            match wanted {
                Wanted::Gone => assert_eq!(get(client), None, "{name}"),
                Wanted::Value(value) => assert_eq!(get(client).as_ref(), Some(&*value), "{name}"),
                Wanted::GoesSoon => {
                    wait::until("an expiry", PATIENCE, || get(client).is_none().then_some(()));
                }
            }
        }
    }

    fn live_bytes(&self) -> u64 {
        let value = |wanted: &Wanted| match wanted {
            Wanted::Value(value) => value.len() as u64,
            _ => 0,
        };
        self.keys.values().map(value).sum()
    }
}

/// What is done to a key depends on both numbers, so that the same key meets all of it.
fn request(client: &mut Client, round: usize, key: usize, now: Option<&Wanted>) -> Wanted {
    let name = format!("key:{key}");
    let value = format!("{key} in {round} {}", "x".repeat(VALUE_BYTES));
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
            now.cloned().unwrap_or(Wanted::Gone)
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

fn options(dir: &Path, logs_max: &str) -> Options {
    let mut options = Options::in_directory(dir);
    let settings = [
        ["--segment-bytes", "1mb"],
        ["--store-bytes-min", "1mb"],
        ["--compaction-step-bytes", "1mb"],
        ["--cache-bytes", "1mb"],
        ["--logs-max", logs_max],
    ];
    options.extra = settings.concat().into_iter().map(str::to_owned).collect();
    options
}

/// What the files take on the disk.
fn disk_bytes(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).expect("the store's directory").flatten();
    // A segment may go while we look.
    files.filter_map(|file| file.metadata().ok()).map(|file| file.blocks() * 512).sum()
}

fn overwrite(model: &mut Model, server: &Server, round: usize) {
    let mut client = server.client();
    for first in (0..KEYS).step_by(BATCH) {
        assert!(model.write(&mut client, round, first), "the server went away");
    }
}

/// The server is killed while a client writes.
fn kill_in_the_middle(model: &mut Model, server: &mut Server, round: usize) {
    let mut client = server.client();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            wait::pause(Duration::from_millis(5 + round as u64 % 40));
            server.kill_9();
        });
        for first in (0..KEYS).step_by(BATCH).cycle() {
            if !model.write(&mut client, round, first) {
                return;
            }
        }
    });
}

#[test]
fn a_store_that_is_overwritten_stays_as_small_as_what_is_alive() {
    const ROUNDS: usize = 48;
    const ROUNDS_A_LIFE: usize = 12;
    let dir = TempDir::named("endurance");
    let mut server = Server::start(&options(dir.path(), "4"));
    let mut model = Model::default();
    for round in 0..ROUNDS {
        overwrite(&mut model, &server, round);
        // The head, the spare, and the oldest segment, in which the last object still lives.
        let bound = model.live_bytes() * 5 / 2 + 3 * MIB;
        let is_small = || (disk_bytes(dir.path()) <= bound).then_some(());
        wait::until(&format!("space comes back in round {round}"), PATIENCE, is_small);
        if round % ROUNDS_A_LIFE == ROUNDS_A_LIFE - 1 {
            model.check(&mut server.client());
            kill_in_the_middle(&mut model, &mut server, round);
            server.restart();
            model.check(&mut server.client());
        }
    }
    assert!(server.terminate().success());
    server.restart();
    model.check(&mut server.client());
}

#[test]
fn memory_does_not_grow_with_what_was_overwritten() {
    // Of the 120 MB that are overwritten in the later rounds; the rest is the allocator's.
    const GROWTH_MAX: u64 = 24 * MIB;
    let dir = TempDir::named("endurance");
    let server = Server::start(&options(dir.path(), "4"));
    let mut model = Model::default();
    let mut rounds = |rounds: std::ops::Range<usize>| {
        let sizes = rounds.map(|round| {
            overwrite(&mut model, &server, round);
            server.memory_bytes("VmRSS")
        });
        sizes.max().expect("rounds")
    };
    // In the early rounds compaction gets into its stride, and its buffers with it.
    let (early, late) = (rounds(0..40), rounds(40..80));
    assert!(late <= early + GROWTH_MAX, "{early} bytes early, {late} late");
    model.check(&mut server.client());
}

/// How many logs are in the store of a server that has ended.
fn logs_in(dir: &Path) -> usize {
    let store = EmbeddedStore::open(dir, EmbeddedOptions::default()).expect("a closed store");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let names = runtime.block_on(store.list(ObjectName::LOGS, "", usize::MAX)).expect("names");
    let logs = names.iter().filter_map(|name| match name.parse() {
        Ok(ObjectName::Log(node, _)) => Some(node),
        _ => None,
    });
    logs.collect::<BTreeSet<_>>().len()
}

#[test]
fn many_starts_leave_few_logs_and_take_no_longer() {
    const STARTS: usize = 40;
    const LOGS_MAX: usize = 4;
    let dir = TempDir::named("starts");
    let options = options(dir.path(), &LOGS_MAX.to_string());
    let mut times = Vec::new();
    for start in 0..STARTS {
        let began = wait::now();
        let mut server = Server::start(&options);
        times.push(began.elapsed());
        let name = format!("start:{start}");
        assert_eq!(server.client().run(&["SET", &name, &name]), Reply::ok());
        if start % 2 == 0 {
            server.kill_9();
        } else {
            assert!(server.terminate().success());
        }
    }
    // Compaction looks at once after a start; whether it has come to an end when the process
    // does, is a matter of luck.
    let few = wait::until("few logs", PATIENCE, || {
        let mut server = Server::start(&options);
        let mut client = server.client();
        for start in 0..STARTS {
            let name = format!("start:{start}");
            assert_eq!(client.run(&["GET", &name]), Reply::bulk(&name));
        }
        assert!(server.terminate().success());
        let logs = logs_in(dir.path());
        // The log of that last start is one more.
        (logs <= LOGS_MAX + 1).then_some(logs)
    });
    assert!(few > 0, "the last start has one");
    let quickest = |times: &[Duration]| times.iter().min().copied().expect("times");
    let (first, last) = (quickest(&times[..5]), quickest(&times[STARTS - 5..]));
    assert!(last <= first * 2 + Duration::from_millis(20), "{first:?} first, {last:?} last");
}
