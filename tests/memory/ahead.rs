//! What a pipeline will read is read while its first miss is: in few rounds, each value once, and
//! with the same replies as one command after the other.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::client::Client;
use crate::common::resp::Reply;
use crate::common::server::Server;
use crate::common::temp_dir::TempDir;
use crate::support::{command, embedded, info, name, pipeline, value};

const KEYS: u64 = 300;
const LENGTH: usize = 8 << 10;

/// A server on values of which none is in memory. `cache_bytes`: too few for any of them, or for few.
fn start(dir: &TempDir, cache_bytes: &str) -> Server {
    let server = embedded(dir, &["--group-bytes-max", "256kb", "--cache-bytes", cache_bytes]);
    let mut client = server.client();
    for key in 0..KEYS {
        let set = [b"SET".to_vec(), name(key), value(key, 0, LENGTH)];
        assert_eq!(client.run(&set), Reply::ok());
    }
    server
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
    for cache_bytes in ["0", "64kb"] {
        let dir = TempDir::new();
        let server = start(&dir, cache_bytes);
        let mut client = server.client();
        let reads = reads(&mut client, |client, _| {
            let before = waits(client);
            let replies = pipeline(client, &(0..KEYS).map(get).collect::<Vec<_>>());
            for (key, reply) in (0..KEYS).zip(&replies) {
                assert!(*reply == Reply::Bulk(value(key, 0, LENGTH)), "key {key} differs");
            }
            // 17 values at a time; the input comes in pieces, at the ends of which it is fewer.
            let waits = waits(client) - before;
            assert!(waits <= KEYS / 10, "{KEYS} values were waited for {waits} times");
        });
        assert!(reads <= KEYS, "{KEYS} values were read {reads} times");
    }
}

/// Each case with the number of its reads.
#[test]
fn nothing_is_read_that_is_not_wanted() {
    let dir = TempDir::new();
    let mut server = start(&dir, "1mb");
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
        assert_eq!(found, *expected, "from key {first} on");
    }
}

#[test]
fn what_is_changed_meanwhile_is_read_as_it_is() {
    let dir = TempDir::new();
    let server = start(&dir, "0");
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
        assert!(reply == expected, "{}", String::from_utf8_lossy(&command.join(&b' ')));
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
    let mut server = start(&dir, "0");
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
    // That one once ahead, for nothing, and once for whoever is told.
    assert_eq!(reads, 8 + 1);
}
