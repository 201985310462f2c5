//! What the store takes: on the disk with default settings, and where writes outrun compaction.

// In a test, an expectation is an assertion.
#![allow(clippy::expect_used)]

mod common;

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use common::client::Client;
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

/// A field of INFO aft.
fn info(client: &mut Client, field: &str) -> u64 {
    let text = client.run(&["INFO", "aft"]).text().expect("INFO");
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.expect("the field").trim().parse().expect("a number")
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

/// The most that a store of 3 MB has taken while it was overwritten, and how many commands
/// have waited.
fn largest(debt_percent_max: &str, rounds: usize) -> (u64, u64) {
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
    let mut largest = 0;
    for round in 0..rounds {
        let value = format!("{:04}", round).repeat(VALUE_BYTES / 4);
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
    (largest, delayed)
}

#[test]
fn writes_that_outrun_compaction_wait_for_it() {
    const OUTRUN: u64 = 12 << 20;
    let (unbounded, none) = largest("1000000", 30);
    assert!(none == 0 && unbounded > OUTRUN, "{unbounded} bytes: nothing was outrun");
    // How far it goes beyond depends on the disk, as no write waits for longer than a second.
    let (bounded, delayed) = largest("20", 30);
    assert!(delayed > 0 && bounded <= unbounded / 2, "{bounded} of {unbounded} bytes");
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
