//! What a pipeline will read is read while its first miss is: in few rounds, each value once, and
//! with the same replies as one command after the other.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::at_hand;
use crate::common::backing::{Backing, Kind};
use crate::common::client::Client;
use crate::common::resp::Reply;
use crate::common::server::Server;
use crate::common::temp_dir::TempDir;
use crate::support::{command, embedded, info, name, on, pipeline, value};

const KEYS: u64 = 300;
const LENGTH: usize = 8 << 10;

/// A server on values of which none is in memory, but in a store where they may be at hand (on a disk) or
/// never are (in a Redis). `cache_bytes`: too few for any of them, or for few.
fn start(dir: &TempDir, kind: Kind, cache_bytes: &str) -> Server {
    let settings = ["--group-bytes-max", "256kb", "--cache-bytes", cache_bytes];
    let server = match kind {
        Kind::Embedded => embedded(dir, &settings),
        other => on(&Backing::start(other, dir.path()), &settings),
    };
    let mut client = server.client();
    for key in 0..KEYS {
        let set = [b"SET".to_vec(), name(key), value(key, 0, LENGTH)];
        assert_eq!(client.run(&set), Reply::ok());
    }
    server
}

const KINDS: [Kind; 2] = [Kind::Embedded, Kind::Redis];

/// Whether a value there is read where the command runs, so that nobody waits.
fn is_at_hand(kind: Kind) -> bool {
    kind == Kind::Embedded && at_hand::is_told()
}

fn get(key: u64) -> Vec<Vec<u8>> {
    command(&[b"GET", &name(key)])
}

fn waits(client: &mut Client) -> u64 {
    info(client, "value_fetches")
}

/// The fewest reads of some attempts: what a node does behind serving reads, too, for a while.
fn reads(client: &mut Client, mut attempt: impl FnMut(&mut Client, u64)) -> u64 {
    const ATTEMPTS: u64 = 10;
    let mut count = |number| {
        let before = info(client, "store_reads");
        attempt(client, number);
        info(client, "store_reads") - before
    };
    (0..ATTEMPTS).map(&mut count).min().unwrap_or(u64::MAX)
}

#[test]
fn a_pipeline_waits_few_times_and_reads_nothing_twice() {
    for (kind, cache_bytes) in KINDS.into_iter().flat_map(|kind| [(kind, "0"), (kind, "64kb")]) {
        let dir = TempDir::new();
        let server = start(&dir, kind, cache_bytes);
        let mut client = server.client();
        // Somebody may write to the file meanwhile: then the system doesn't say what it has of it.
        let mut fewest = u64::MAX;
        let reads = reads(&mut client, |client, _| {
            let before = waits(client);
            let replies = pipeline(client, &(0..KEYS).map(get).collect::<Vec<_>>());
            for (key, reply) in (0..KEYS).zip(&replies) {
                assert!(*reply == Reply::Bulk(value(key, 0, LENGTH)), "key {key} differs");
            }
            fewest = fewest.min(waits(client) - before);
        });
        assert!(reads <= KEYS, "{KEYS} values were read {reads} times");
        match is_at_hand(kind) {
            true => assert_eq!(fewest, 0),
            // 17 values at a time; the input comes in pieces, at the ends of which it is fewer.
            false => assert!((1..=KEYS / 10).contains(&fewest), "{KEYS} values, {fewest} waits"),
        }
    }
}

/// What a command misses is at hand in part: the rest is waited for, and nothing is read twice.
#[test]
fn some_values_are_at_hand_and_some_are_not() {
    const LONG: usize = 100 << 10;
    let dir = TempDir::new();
    let server = start(&dir, Kind::Embedded, "0");
    let mut client = server.client();
    for key in KEYS..KEYS + 2 {
        let set = [b"SET".to_vec(), name(key), value(key, 0, LONG)];
        assert_eq!(client.run(&set), Reply::ok());
    }
    let asked = [3, KEYS, 7, KEYS + 1, 3];
    let reads = reads(&mut client, |client, _| {
        let before = waits(client);
        let words = [b"MGET".to_vec()].into_iter().chain(asked.map(name));
        let replies = client.run(&words.collect::<Vec<_>>());
        for (key, reply) in asked.into_iter().zip(replies.items()) {
            let length = if key < KEYS { LENGTH } else { LONG };
            assert!(*reply == Reply::Bulk(value(key, 0, length)), "key {key} differs");
        }
        assert_eq!(waits(client) - before, 1);
    });
    assert_eq!(reads, 4);
}

/// Each command of a transaction may miss a value only once the one before it has got its own. It
/// doesn't begin anew for ever while nobody else gets a turn.
#[test]
fn a_transaction_that_misses_one_after_the_other_lets_others_have_their_turn() {
    const MOVED: u64 = 250;
    let dir = TempDir::new();
    let server = start(&dir, Kind::Embedded, "0");
    let mut client = server.client();
    let mut commands = vec![command(&[b"MULTI"]), command(&[b"RENAME", &name(0), b"moved"])];
    let rename = |key| command(&[b"RENAMENX", &name(key), &name(key - 1)]);
    commands.extend((1..MOVED).map(rename));
    commands.push(command(&[b"EXEC"]));
    let before = waits(&mut client);
    let replies = pipeline(&mut client, &commands);
    let executed = replies.last().expect("EXEC").items().to_vec();
    assert_eq!(executed[0], Reply::ok());
    assert_eq!(executed[1..], vec![Reply::Int(1); MOVED as usize - 1]);
    assert!(waits(&mut client) > before, "it ran {MOVED} times at a stretch");
    for key in 0..MOVED - 1 {
        let moved = client.run(&[b"GET".to_vec(), name(key)]);
        assert!(moved == Reply::Bulk(value(key + 1, 0, LENGTH)), "key {key} differs");
    }
}

/// Each case with the number of its reads.
#[test]
fn nothing_is_read_that_is_not_wanted() {
    KINDS.into_iter().for_each(reads_what_is_wanted);
}

fn reads_what_is_wanted(kind: Kind) {
    let dir = TempDir::new();
    let mut server = start(&dir, kind, "1mb");
    assert!(server.terminate().success());
    server.restart();
    let mut client = server.client();
    let range = |key| command(&[b"GETRANGE", &name(key), b"10", b"19"]);
    let ttl = |key| command(&[b"TTL", &name(key)]);
    let exists = |key| command(&[b"EXISTS", &name(key)]);
    let mget = |one, other| command(&[b"MGET", &name(one), &name(other)]);
    type Case<'a> = (&'a dyn Fn(u64) -> Vec<Vec<Vec<u8>>>, u64);
    let cases: [Case<'_>; 4] = [
        (&|key| vec![get(key), get(key), range(key), ttl(key)], 1),
        (&|key| vec![get(key), ttl(key + 1), exists(key + 2)], 1),
        (&|key| vec![get(key), get(key + 1), range(key + 1), get(key), get(key + 1)], 2),
        (&|key| vec![mget(key, key + 1), get(key + 1), get(key + 2)], 3),
    ];
    for ((commands, expected), first) in cases.iter().zip((0..KEYS).step_by(KEYS as usize / 4)) {
        // Keys of its own for each attempt: they are in memory afterwards.
        let found = reads(&mut client, |client, number| {
            let replies = pipeline(client, &commands(first + number * 3));
            assert!(replies.iter().all(|reply| !reply.is_error() && !reply.is_nil()));
        });
        assert_eq!(found, *expected, "{kind:?}, from key {first} on");
    }
}

#[test]
fn what_is_changed_meanwhile_is_read_as_it_is() {
    KINDS.into_iter().for_each(reads_what_is_there);
}

fn reads_what_is_there(kind: Kind) {
    let dir = TempDir::new();
    let server = start(&dir, kind, "0");
    let mut client = server.client();
    let old = |key| Reply::Bulk(value(key, 0, LENGTH));
    let cases: [(Vec<Vec<u8>>, Reply); 17] = [
        (get(0), old(0)),
        (command(&[b"SET", &name(1), b"new"]), Reply::ok()),
        (get(1), Reply::bulk("new")),
        (command(&[b"DEL", &name(2)]), Reply::Int(1)),
        (get(2), Reply::NullBulk),
        (command(&[b"APPEND", &name(3), b"tail"]), Reply::Int(LENGTH as i64 + 4)),
        (get(3), Reply::Bulk([value(3, 0, LENGTH), b"tail".to_vec()].concat())),
        (command(&[b"RENAME", &name(4), &name(5)]), Reply::ok()),
        (command(&[b"MGET", &name(5), &name(4)]), Reply::Array(vec![old(4), Reply::NullBulk])),
        (command(&[b"SELECT", b"1"]), Reply::ok()),
        (get(6), Reply::NullBulk),
        (command(&[b"SWAPDB", b"0", b"1"]), Reply::ok()),
        (get(6), old(6)),
        (command(&[b"MULTI"]), Reply::ok()),
        (get(7), Reply::queued()),
        (command(&[b"EXEC"]), Reply::Array(vec![old(7)])),
        (get(8), old(8)),
    ];
    let (commands, expected): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    let replies = pipeline(&mut client, &commands);
    for ((command, reply), expected) in commands.iter().zip(&replies).zip(&expected) {
        let command = command.join(&b' ');
        assert!(reply == expected, "{kind:?}: {}", String::from_utf8_lossy(&command));
    }
}

/// The file below a directory that holds some bytes, what it holds, and where they are.
fn holds(dir: &Path, wanted: &[u8]) -> Option<(PathBuf, Vec<u8>, usize)> {
    fs::read_dir(dir).expect("a directory").find_map(|entry| {
        let path = entry.expect("an entry").path();
        let bytes = fs::read(&path).expect("a file");
        let at = bytes.windows(wanted.len()).position(|window| window == wanted)?;
        Some((path, bytes, at))
    })
}

#[test]
fn a_value_that_cannot_be_read_is_told_to_who_asks_for_it() {
    let dir = TempDir::new();
    let mut server = start(&dir, Kind::Embedded, "0");
    assert!(server.terminate().success());
    let (path, mut bytes, at) = holds(dir.path(), &value(3, 0, 64)).expect("the value");
    bytes[at] ^= 1;
    fs::write(&path, bytes).expect("a file");
    server.restart();
    let mut client = server.client();
    let reads = reads(&mut client, |client, _| {
        let replies = pipeline(client, &(0..8).map(get).collect::<Vec<_>>());
        for (key, reply) in (0..8).zip(&replies) {
            match key {
                3 => assert!(format!("{reply:?}").contains("key:000000000003"), "{reply:?}"),
                _ => assert!(*reply == Reply::Bulk(value(key, 0, LENGTH)), "key {key} differs"),
            }
        }
    });
    // That one once for nothing, ahead or at hand, and once for whoever is told.
    assert_eq!(reads, 8 + 1);
}
