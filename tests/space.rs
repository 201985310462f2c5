//! What the store takes: on the disk with default settings, and where writes outrun compaction.

// In a test, an expectation is an assertion.
#![allow(clippy::expect_used)]

mod common;

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use common::client::{Client, info};
use common::resp::Reply;
use common::server::{Options, Server};
use common::temp_dir::TempDir;
use common::wait::{self, PATIENCE};

const BATCH: usize = 100;

/// What the files take on the disk.
fn disk_bytes(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).expect("the store's directory").flatten();
    // A segment may go while we look.
    files.filter_map(|file| file.metadata().ok()).map(|file| file.blocks() * 512).sum()
}

/// Overwrites all keys, and looks at the store in between.
fn overwrite(client: &mut Client, keys: usize, value: &str, mut look: impl FnMut(&mut Client)) {
    for first in (0..keys).step_by(BATCH) {
        for key in first..first + BATCH {
            client.queue(&["SET", &format!("key:{key}"), value]);
        }
        client.flush().expect("an open connection");
        (0..BATCH).for_each(|_| assert_eq!(client.read().expect("a reply"), Reply::ok()));
        look(client);
    }
}

/// What is alive for long and large doesn't hold back the space of what came after it.
#[test]
fn a_large_value_that_stays_holds_nothing_back() {
    const STAYS: usize = 24 << 20;
    const GOES: usize = 10 << 20;
    const ROUNDS: usize = 24;
    let dir = TempDir::named("stays");
    let server = Server::start(&Options::in_directory(dir.path()));
    let mut client = server.client();
    assert_eq!(client.run(&["SET", "stays", &"s".repeat(STAYS)]), Reply::ok());
    for round in 0..ROUNDS {
        let value = format!("{round:02}").repeat(GOES / 2);
        assert_eq!(client.run(&["SET", "goes", &value]), Reply::ok());
    }
    let live = (STAYS + GOES) as u64;
    let small = || Some(disk_bytes(dir.path())).filter(|bytes| *bytes <= live * 3);
    wait::until("space comes back", PATIENCE, small);
    let stays = client.run(&["GET", "stays"]);
    assert!(stays == Reply::bulk("s".repeat(STAYS)), "another value");
}

/// Nor does a start that has found something damaged: what large values take comes back all the same.
#[test]
fn damage_keeps_no_space_of_large_values() {
    const KEYS: usize = 2;
    const VALUE_BYTES: usize = 5 << 20;
    const ROUNDS: usize = 24;
    let dir = TempDir::named("damage");
    let mut server = Server::start(&Options::in_directory(dir.path()));
    let overwrite = |client: &mut Client, round: usize| {
        for key in 0..KEYS {
            let value = format!("{round:02}{key:02}").repeat(VALUE_BYTES / 4);
            assert_eq!(client.run(&["SET", &format!("large:{key}"), &value]), Reply::ok());
        }
    };
    overwrite(&mut server.client(), 0);
    assert!(server.terminate().success());
    std::fs::write(dir.path().join("segment-9999"), "nobody can read this").expect("a file");
    server.restart();
    let mut client = server.client();
    assert!(info(&mut client, "damages") > 0);
    (1..ROUNDS).for_each(|round| overwrite(&mut client, round));
    let live = (KEYS * VALUE_BYTES) as u64;
    let small = || Some(disk_bytes(dir.path())).filter(|bytes| *bytes <= live * 3 + (64 << 20));
    wait::until("space comes back", PATIENCE, small);
}

/// With the settings that a user starts with: their files are made for larger stores.
#[test]
fn a_small_store_is_small_on_the_disk_by_default() {
    const KEYS: usize = 10_000;
    const VALUE_BYTES: usize = 4_000;
    const ROUNDS: usize = 8;
    let dir = TempDir::named("small");
    let server = Server::start(&Options::durable(dir.path()));
    let mut client = server.client();
    for round in 0..ROUNDS {
        overwrite(&mut client, KEYS, &format!("{round}").repeat(VALUE_BYTES), |_| ());
        let live = (KEYS * VALUE_BYTES) as u64;
        let small = || Some(disk_bytes(dir.path())).filter(|bytes| *bytes <= live * 5 / 2);
        wait::until(&format!("space comes back in round {round}"), PATIENCE, small);
    }
}

/// What came of overwriting a store of 3 MB.
struct Pressure {
    /// So often.
    rounds: usize,
    /// The most that it took, in bytes.
    largest: u64,
    /// So many commands have waited.
    delayed: u64,
}

/// Overwrites it so often, and no more often than it takes to pass so many bytes.
fn press(debt_percent_max: &str, rounds_max: usize, bytes_max: u64) -> Pressure {
    const KEYS: usize = 1_000;
    const VALUE_BYTES: usize = 3_000;
    let dir = TempDir::named("pressure");
    let mut options = Options::durable(dir.path());
    let settings = [
        ["--segment-bytes", "1mb"],
        ["--store-bytes-min", "1mb"],
        // Steps as small as they can be: it can't keep up.
        ["--compaction-step-bytes", "4kb"],
        ["--compaction-debt-percent-max", debt_percent_max],
    ];
    options.extra = settings.concat().into_iter().map(str::to_owned).collect();
    let server = Server::start(&options);
    let mut client = server.client();
    let (mut largest, mut rounds) = (0, 0);
    while rounds < rounds_max && largest <= bytes_max {
        rounds += 1;
        let value = format!("{rounds:04}").repeat(VALUE_BYTES / 4);
        overwrite(&mut client, KEYS, &value, |client| {
            largest = largest.max(info(client, "store_bytes"));
        });
        assert_eq!(client.run(&["GET", "key:7"]).text(), Some(value));
    }
    let delayed = info(&mut client, "delayed_writes");
    println!("debt up to {debt_percent_max} %: {largest} bytes at most, {delayed} delayed");
    // When it has caught up nobody waits.
    wait::until("no pressure", PATIENCE, || {
        (info(&mut client, "write_pressure_percent") == 0).then_some(())
    });
    Pressure { rounds, largest, delayed }
}

#[test]
fn writes_that_outrun_compaction_wait_for_it() {
    const OUTRUN: u64 = 18 << 20;
    // How quickly it is outrun depends on the disk.
    let unbounded = press("1000000", 2_000, OUTRUN);
    let Pressure { largest, delayed, .. } = unbounded;
    assert!(delayed == 0 && largest > OUTRUN, "{largest} bytes: nothing was outrun");
    // So does how far it goes beyond: no write waits for longer than a second.
    let bounded = press("20", unbounded.rounds, u64::MAX);
    assert!(bounded.delayed > 0, "nobody waited");
    assert!(bounded.largest <= largest / 2, "{} of {largest} bytes", bounded.largest);
}

/// Keys that are overwritten in the order in which they were written leave objects behind in
/// which nothing is alive: they go long before the store may not hold them any more.
#[test]
fn what_holds_next_to_nothing_goes_before_the_store_is_full() {
    const KEYS: usize = 1_000;
    const VALUE_BYTES: usize = 3_000;
    const ROUNDS: usize = 5;
    let dir = TempDir::named("nothing");
    let mut options = Options::durable(dir.path());
    let settings = [
        ["--store-bytes-min", "1mb"],
        ["--compaction-step-bytes", "64kb"],
        // It could take all that is written here.
        ["--store-percent-max", "10000"],
    ];
    options.extra = settings.concat().into_iter().map(str::to_owned).collect();
    let server = Server::start(&options);
    let mut client = server.client();
    for round in 0..ROUNDS {
        overwrite(&mut client, KEYS, &format!("{round}").repeat(VALUE_BYTES), |_| ());
    }
    // A few more are written than are tried at a time.
    let small = || {
        let live = info(&mut client, "live_bytes");
        Some(info(&mut client, "store_bytes")).filter(|bytes| *bytes <= live * 3 / 2)
    };
    wait::until("dead objects go", PATIENCE, small);
    let moved = info(&mut client, "compaction_bytes_written");
    assert!(moved < (KEYS * VALUE_BYTES) as u64, "{moved} bytes were moved for {ROUNDS} rounds");
}

/// Whoever has forgotten a WATCH, a SCAN or a transaction reads nothing wrong, and holds up what is
/// dead only until the transaction's time is over.
#[test]
fn what_was_forgotten_lets_space_go() {
    const KEYS: usize = 1_000;
    const VALUE_BYTES: usize = 3_000;
    let dir = TempDir::named("forgotten");
    let mut options = Options::durable(dir.path());
    options.extra =
        ["--store-bytes-min", "1mb", "--segment-bytes", "1mb"].map(str::to_owned).to_vec();
    let server = Server::start(&options);
    let mut client = server.client();
    let value = |round: usize| format!("{round}").repeat(VALUE_BYTES);
    overwrite(&mut client, KEYS, &value(0), |_| ());

    let mut watching = server.client();
    assert_eq!(watching.cmd("WATCH key:1"), Reply::ok());
    let mut scanning = server.client();
    let (mut cursor, mut seen) = scan(&mut scanning, "0");
    assert_ne!(cursor, "0");
    let mut inside = server.client();
    let begun = inside.cmd("AFT.BEGIN TIMEOUT 3000");
    assert!(matches!(begun, Reply::Array(_)), "{begun:?}");
    assert_eq!(inside.run(&["GET", "key:5"]).text(), Some(value(0)));
    for round in 1..=5 {
        // While somebody is in it, it sees what it saw.
        overwrite(&mut client, KEYS, &value(round), |_| {
            assert_eq!(inside.run(&["GET", "key:5"]).text(), Some(value(0)));
        });
    }
    assert_eq!(info(&mut client, "open_transactions"), 1);
    assert!(info(&mut client, "oldest_pin_position") > 0);
    wait::until("its age shows", PATIENCE, || {
        (info(&mut client, "oldest_pin_age_ms") > 0).then_some(())
    });
    // It holds objects that are replaced already.
    wait::until("something is replaced", PATIENCE, || {
        (info(&mut client, "replaced_objects") > 0).then_some(())
    });
    // And is forgotten.
    wait::until("its time is over", PATIENCE, || {
        (info(&mut client, "open_transactions") == 0).then_some(())
    });
    let live = (KEYS * VALUE_BYTES) as u64;
    wait::until("space comes back", PATIENCE, || {
        let small = info(&mut client, "store_bytes") <= live * 2;
        (small && disk_bytes(dir.path()) <= live * 5 / 2 + (3 << 20)).then_some(())
    });
    assert_eq!(info(&mut client, "replaced_objects"), 0);

    assert!(inside.run(&["GET", "key:5"]).is_error());
    while cursor != "0" {
        let (next, page) = scan(&mut scanning, &cursor);
        cursor = next;
        seen.extend(page);
    }
    assert_eq!(seen.len(), KEYS);
    assert_eq!(watching.cmd("MULTI"), Reply::ok());
    watching.cmd("SET key:1 mine");
    assert!(matches!(watching.cmd("EXEC"), Reply::NullArray), "it has changed");
    assert_eq!(client.run(&["GET", "key:1"]).text(), Some(value(5)));
}

/// The next cursor, and a page.
fn scan(client: &mut Client, cursor: &str) -> (String, BTreeSet<String>) {
    let Reply::Array(parts) = client.run(&["SCAN", cursor, "COUNT", "100"]) else {
        panic!("no page");
    };
    let [next, Reply::Array(keys)] = &parts[..] else { panic!("{parts:?}") };
    (next.text().expect("a cursor"), keys.iter().filter_map(Reply::text).collect())
}

/// The manual's table of INFO's fields, and what they say after a start.
#[test]
fn info_says_what_the_manual_says_it_does() {
    const KEYS: usize = 100;
    let dir = TempDir::named("told");
    let mut server = Server::start(&Options::durable(dir.path()));
    overwrite(&mut server.client(), KEYS, &"x".repeat(500), |_| ());
    server.kill_9();
    server.restart();
    let mut client = server.client();
    let told = client.run(&["INFO", "aft"]).text().expect("INFO");
    let told: BTreeSet<&str> =
        told.lines().filter_map(|line| Some(line.split_once(':')?.0)).collect();
    let manual = include_str!("../docs/operations.md");
    let table = manual.split("## INFO aft").nth(1).and_then(|rest| rest.split("\n## ").next());
    let rows = table.expect("the table").lines().filter(|line| line.starts_with("| `"));
    let mut fields = 0;
    for row in rows {
        let names = row.split('|').nth(1).expect("a first column");
        // Of damages there are none.
        for name in names.split('`').skip(1).step_by(2).filter(|name| *name != "damage_0") {
            assert!(told.contains(name), "INFO aft has no {name}");
            fields += 1;
        }
    }
    assert!(fields > 30, "{fields} fields");
    for (field, figure) in [("recovered_keys", KEYS), ("live_keys", KEYS), ("damages", 0)] {
        assert_eq!(info(&mut client, field), figure as u64, "{field}");
    }
    let [store, live, dead] =
        ["store_bytes", "live_bytes", "dead_bytes"].map(|field| info(&mut client, field));
    assert!(live > (KEYS * 500) as u64 && store == live + dead, "{store} {live} {dead}");
    for field in ["recovered_groups", "groups", "logs", "cache_bytes_max"] {
        assert!(info(&mut client, field) > 0, "{field}");
    }
}
