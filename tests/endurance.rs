//! Years in seconds: a small store is overwritten many times over and started again and again.
//! It stays as small as what is alive in it, and nothing of that is lost.

// In a test, an expectation is an assertion.
#![allow(clippy::expect_used)]

mod common;

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use aft::layout::ObjectName;
use aft::storage::Store;
use aft::storage::embedded::{EmbeddedOptions, EmbeddedStore};
use common::overwritten::Model;
use common::resp::Reply;
use common::server::{Options, Server};
use common::temp_dir::TempDir;
use common::wait::{self, PATIENCE};

const KEYS: usize = 1_000;
const VALUE_BYTES: usize = 3_000;
const MIB: u64 = 1 << 20;

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

#[test]
fn a_store_that_is_overwritten_stays_as_small_as_what_is_alive() {
    const ROUNDS: usize = 48;
    const ROUNDS_A_LIFE: usize = 12;
    let dir = TempDir::named("endurance");
    let mut server = Server::start(&options(dir.path(), "4"));
    let mut model = Model::of_values(VALUE_BYTES);
    for round in 0..ROUNDS {
        model.overwrite(&server, KEYS, round);
        // The head, the spare, and the oldest segment, in which the last object still lives.
        let bound = model.live_bytes() * 5 / 2 + 3 * MIB;
        let is_small = || (disk_bytes(dir.path()) <= bound).then_some(());
        wait::until(&format!("space comes back in round {round}"), PATIENCE, is_small);
        if round % ROUNDS_A_LIFE == ROUNDS_A_LIFE - 1 {
            model.check(&mut server.client());
            model.kill_in_the_middle(&mut server, KEYS, round);
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
    let mut model = Model::of_values(VALUE_BYTES);
    let mut rounds = |rounds: std::ops::Range<usize>| {
        let sizes = rounds.map(|round| {
            model.overwrite(&server, KEYS, round);
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
