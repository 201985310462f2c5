//! Dumps of a store that a node serves, under load, while it compacts and removes files.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rand::RngExt;

use crate::common::backing::{Backing, Kind};
use crate::common::client::{Client, info};
use crate::common::resp::Reply;
use crate::common::seed;
use crate::common::server::{Options, Server};
use crate::common::temp_dir::TempDir;
use crate::common::wait::{self, PATIENCE};
use crate::tool::{
    aft, assert_same, data_in, data_of, dump_store, fill, load_from, serve, store_of, verified_keys,
};

const ACCOUNTS: usize = 20;
const EACH: i64 = 1_000;
const TRANSFERS: usize = 3;

/// Compaction never rests, and segment files come and go.
fn restless(backing: &Backing) -> Options {
    let mut options = Options::on(backing);
    let settings = [
        ("--store-bytes-min", "100kb"),
        ("--store-percent-max", "150"),
        ("--compaction-step-bytes", "64kb"),
        ("--segment-bytes", "1mb"),
        ("--groups-max", "50"),
        ("--logs-max", "2"),
    ];
    for (name, value) in settings {
        options.extra.extend([name.to_owned(), value.to_owned()]);
    }
    options
}

/// Moves money about until told to stop. In the same transaction two large values get the same
/// stamp, and this worker's count goes up.
fn transfer(mut client: Client, worker: u64, stop: &AtomicBool) {
    let mut rng = seed::rng(seed::from_env(), worker);
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        count += 1;
        let (from, to) = (rng.random_range(0..ACCOUNTS), rng.random_range(0..ACCOUNTS));
        let stamp = format!("{count}{}", "s".repeat(rng.random_range(1..2_000)));
        client.queue(&["MULTI"]);
        client.queue(&["DECRBY", &format!("account:{from}"), "7"]);
        client.queue(&["SET", &format!("one:{worker}"), &stamp]);
        client.queue(&["INCRBY", &format!("account:{to}"), "7"]);
        client.queue(&["SET", &format!("other:{worker}"), &stamp]);
        client.queue(&["SET", &format!("count:{worker}"), &count.to_string()]);
        client.queue(&["EXEC"]);
        client.flush().unwrap();
        let replies: Vec<Reply> = (0..7).map(|_| client.read().unwrap()).collect();
        assert_eq!(replies[6].items().len(), 5, "{replies:?}");
    }
}

fn counts(client: &mut Client) -> Vec<u64> {
    let count = |n| {
        client.run(&["GET", &format!("count:{n}")]).text().map_or(0, |text| text.parse().unwrap())
    };
    (0..TRANSFERS).map(count).collect()
}

#[test]
fn dumps_beside_a_node_that_compacts_are_each_of_one_moment() {
    let directory = TempDir::named("beside");
    let backing = Backing::start(Kind::Embedded, directory.path());
    dumps_beside_a_node(&restless(&backing), 12, "compaction_bases_written");
    let first = directory.path().join("segment-1");
    assert!(!first.exists(), "files were removed meanwhile");
}

/// Nothing keeps objects there while a dump reads them, so this node does not compact.
#[test]
fn dumps_of_a_redis_beside_its_node_are_each_of_one_moment() {
    for kind in [Kind::Redis, Kind::RedisCluster] {
        let directory = TempDir::named("beside-redis");
        let backing = Backing::start(kind, directory.path());
        let mut options = Options::on(&backing);
        let settings = "--store-bytes-min 10gb --groups-max 1000000";
        options.extra.extend(settings.split(' ').map(str::to_owned));
        dumps_beside_a_node(&options, 4, "groups_created");
    }
}

/// Dumps under load; between two of them, that of INFO has to grow.
fn dumps_beside_a_node(options: &Options, count: usize, progress: &str) {
    let dumps = TempDir::named("dumps");
    let server = Server::start(options);
    let mut client = server.client();
    for n in 0..ACCOUNTS {
        client.run(&["SET", &format!("account:{n}"), &EACH.to_string()]);
    }
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let _stop = StopWhenDropped(&stop);
        for worker in 0..TRANSFERS {
            let (client, stop) = (server.client(), &stop);
            scope.spawn(move || transfer(client, worker as u64, stop));
        }
        for dump in 0..count {
            // The store must have moved on since the last one.
            let before = info(&mut client, progress);
            wait::until("the store to move on", PATIENCE, || {
                (info(&mut client, progress) > before + 3).then_some(())
            });
            let before = counts(&mut client);
            let file = dumps.path().join(format!("{dump}.dump"));
            dump_store(&options.store(), &file);
            let after = counts(&mut client);
            check(&file, &before, &after);
        }
    });
}

/// Also when the test has failed: its threads would be waited for for ever.
struct StopWhenDropped<'s>(&'s AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A dump holds all money, no torn transaction, and what was acknowledged before it began.
fn check(file: &std::path::Path, before: &[u64], after: &[u64]) {
    let loaded = TempDir::named("loaded");
    load_from(loaded.path(), file);
    assert_eq!(verified_keys(loaded.path()), (ACCOUNTS + 3 * TRANSFERS) as u64);
    let (mut server, mut client) = serve(loaded.path());
    let balance = |client: &mut Client, n| client.run(&["GET", &format!("account:{n}")]).text();
    let balances = (0..ACCOUNTS).map(|n| balance(&mut client, n).unwrap().parse::<i64>().unwrap());
    assert_eq!(balances.sum::<i64>(), EACH * ACCOUNTS as i64);
    for (worker, count) in counts(&mut client).into_iter().enumerate() {
        let one = client.run(&["GET", &format!("one:{worker}")]).text().unwrap();
        let other = client.run(&["GET", &format!("other:{worker}")]).text().unwrap();
        assert_eq!(one, other);
        assert_eq!(one.trim_end_matches('s'), count.to_string());
        // Of this worker one more may have been under way.
        let most = after[worker] + 1;
        assert!((before[worker]..=most).contains(&count), "{before:?} {count} {after:?}");
    }
    assert!(server.terminate().success());
}

#[test]
fn a_store_moves_into_another_whole() {
    let (from, to) = (TempDir::named("from"), TempDir::named("to"));
    let (mut server, mut client) = serve(from.path());
    fill(&mut client);
    let data = data_in(&mut client, 0..6);
    assert!(data.len() > 300);
    // While it is served, and with what was answered last: a pipe, as one would write it.
    let dump = aft(&["store", "dump", "--store", &store_of(from.path())]);
    assert!(dump.status.success(), "{dump:?}");
    assert_same(&data_of(&dump.stdout), &data);
    assert!(server.terminate().success());
    let stopped = aft(&["store", "dump", "--store", &store_of(from.path())]);
    assert_same(&data_of(&stopped.stdout), &data);
    let file = from.path().join("dump");
    std::fs::write(&file, &dump.stdout).unwrap();
    load_from(to.path(), &file);
    assert_eq!(verified_keys(to.path()), data.len() as u64);
    // The new store is one to live in: it takes writes, compacts, and starts again.
    let mut server = Server::start(&restless(&Backing::start(Kind::Embedded, to.path())));
    let mut client = server.client();
    assert_same(&data_in(&mut client, 0..6), &data);
    let mut rounds = 0;
    wait::until("compaction", PATIENCE, || {
        rounds += 1;
        client.run(&["SET", "filler", &"z".repeat(5_000 + rounds)]);
        (info(&mut client, "compaction_bases_written") > 10).then_some(())
    });
    client.cmd("DEL filler");
    server.kill_9();
    server.restart();
    assert_same(&data_in(&mut server.client(), 0..6), &data);
    assert!(server.terminate().success());
    assert_eq!(verified_keys(to.path()), data.len() as u64);
}
