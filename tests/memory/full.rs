//! `maxmemory`: what needs more is refused as by redis-server, what frees some goes on.

use crate::common::client::Client;
use crate::common::resp::Reply;
use crate::common::server::{Options, Peer, Server};
use crate::common::session::{Scenario, same_replies};
use crate::common::temp_dir::TempDir;
use crate::support::{KIB, MIB, command, embedded, info, memory, name, pipeline, value};

const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";

/// A byte is always too little.
const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "what may need memory is refused, by its flag and not by what it would do",
        script: "a: MSET a 1 b 2 c 3 | a: CONFIG SET maxmemory 1 | a: SET a 1 | a: SET a | \
                 a: APPEND a x | a: INCR n | a: SETRANGE a 0 x | a: SETBIT a 1 1 | \
                 a: GETBIT a 1 | a: MSET a 1 b 2 | a: COPY a d | a: GETSET a 1 | a: GET a | \
                 a: MGET a b | a: EXPIRE a 100 | a: PERSIST a | a: RENAME a e | a: GETDEL e | \
                 a: SWAPDB 0 1 | a: SWAPDB 0 1 | a: DBSIZE | a: BITOP NOT d b | \
                 a: BITFIELD b GET u8 0 | a: BITFIELD_RO b GET u8 0 | a: GETEX b EX 100 | \
                 a: SELECT 1 | a: PING | a: NOSUCH | a: DEL b | a: FLUSHALL | \
                 a: CONFIG SET maxmemory 0 | a: SET a 1 | a: DEL a | a: SELECT 0",
    },
    Scenario {
        name: "in a MULTI nothing is queued, and EXEC says so",
        script: "a: SET a 1 | a: CONFIG SET maxmemory 1 | a: MULTI | a: GET a | a: EXEC | \
                 a: WATCH a | a: MULTI | a: MULTI | a: WATCH a | a: SET a 2 | a: DEL a | \
                 a: DISCARD | a: MULTI | a: EXEC | a: GET a | a: CONFIG SET maxmemory 0",
    },
    Scenario {
        name: "EXEC is refused for what was queued while there was room",
        script: "a: MSET a 1 k 1 | a: MULTI | a: GET a | a: SET a 2 | b: CONFIG SET maxmemory 1 | \
                 a: EXEC | a: GET a | a: EXEC | b: CONFIG SET maxmemory 0 | \
                 a: MULTI | a: GET a | a: DEL a | b: CONFIG SET maxmemory 1 | a: EXEC | \
                 b: CONFIG SET maxmemory 0 | \
                 a: MULTI | a: SET a 2 | a: NOSUCH | a: GET a | b: CONFIG SET maxmemory 1 | \
                 a: EXEC | b: CONFIG SET maxmemory 0 | a: GET a",
    },
    Scenario {
        name: "sizes and policies",
        script: "a: CONFIG SET maxmemory 3mb | a: CONFIG GET maxmemory | \
                 a: CONFIG SET maxmemory 2k | a: CONFIG GET maxmemory | \
                 a: CONFIG SET maxmemory 1GB | a: CONFIG GET maxmemory | \
                 a: CONFIG SET maxmemory x | a: CONFIG SET maxmemory 0 | \
                 a: CONFIG GET maxmemory-policy | a: CONFIG SET maxmemory-policy noeviction | \
                 a: CONFIG SET maxmemory-policy x",
    },
];

#[test]
fn a_full_server_refuses_as_redis_does() {
    same_replies(SCENARIOS);
}

/// Sets keys until one is refused; how many were set.
fn fill(client: &mut Client, limit: u64, value_bytes: usize) -> u64 {
    const AT_A_TIME: u64 = 50;
    let mut from = 0;
    // What is on its way to the store counts, and leaves again.
    while info(client, "used_memory") <= limit {
        let sets = (from..from + AT_A_TIME)
            .map(|key| command(&[b"SET", &name(key), &value(key, 0, value_bytes)]));
        let replies = pipeline(client, &sets.collect::<Vec<_>>());
        let set = replies.iter().take_while(|reply| **reply == Reply::ok()).count();
        assert!(replies.get(set).is_none_or(|refused| *refused == Reply::Error(OOM.into())));
        from += set as u64;
    }
    from
}

/// Fills a server up to a limit above what it takes when it is empty, and makes room again.
fn fills_and_goes_on(server: &Server, value_bytes: usize) -> u64 {
    const ROOM: u64 = 8 * MIB;
    let mut client = server.client();
    let limit = info(&mut client, "used_memory") + ROOM;
    assert_eq!(client.cmd(&format!("CONFIG SET maxmemory {limit}")), Reply::ok());
    let count = fill(&mut client, limit, value_bytes);
    assert_eq!(info(&mut client, "maxmemory"), limit);
    for key in [0, count / 2, count - 1] {
        let expected = Reply::Bulk(value(key, 0, value_bytes));
        assert_eq!(client.run(&[b"GET".as_slice(), &name(key)]), expected);
    }
    assert_eq!(client.cmd("SET more 1"), Reply::Error(OOM.into()));
    let deletes: Vec<_> = (0..count / 2).map(|key| command(&[b"DEL", &name(key)])).collect();
    assert!(pipeline(&mut client, &deletes).iter().all(|reply| *reply == Reply::Int(1)));
    assert_eq!(client.cmd("SET more 1"), Reply::ok());
    let used = info(&mut client, "used_memory");
    assert!(used < limit - ROOM / 3, "{used} of {limit} bytes after half of it was deleted");
    assert_eq!(client.cmd("FLUSHALL"), Reply::ok());
    assert!(info(&mut client, "used_memory") < limit - ROOM * 9 / 10);
    count
}

#[test]
fn a_server_fills_up_and_goes_on_when_there_is_room() {
    let redis = fills_and_goes_on(&Server::start(&Options::new(Peer::Redis)), 1000);
    let ours = fills_and_goes_on(&Server::start(&memory(&[])), 1000);
    println!("keys of 1,000 bytes in 8 MB: {ours}, redis-server {redis}");
    assert!(ours * 10 > redis * 9 && ours * 9 < redis * 10);
    // What is in the index counts there, too.
    let dir = TempDir::new();
    let small = fills_and_goes_on(&embedded(&dir, &[]), 50);
    println!("keys of 50 bytes in 8 MB: {small}");
    assert!(small > 30_000 && small < 100_000);
}

#[test]
fn the_cache_gives_way_to_the_index() {
    const LIMIT: u64 = 16 * MIB;
    const VALUE_BYTES: usize = 4 << 10;
    let dir = TempDir::new();
    let server = embedded(&dir, &["--memory-bytes-max", "16mb", "--store-bytes-min", "1gb"]);
    let mut client = server.client();
    // Much more than the limit, in values that can be read back.
    let keys = 3 * LIMIT / VALUE_BYTES as u64;
    for from in (0..keys).step_by(64) {
        let set = |key| command(&[b"SET", &name(key), &value(key, 0, VALUE_BYTES)]);
        let replies = pipeline(&mut client, &(from..from + 64).map(set).collect::<Vec<_>>());
        assert!(replies.iter().all(|reply| *reply == Reply::ok()), "{:?}", replies.last());
    }
    let cached = info(&mut client, "cached_bytes");
    assert!(cached > LIMIT / 2 && info(&mut client, "used_memory") <= LIMIT);
    // Small values take its place.
    let mut from = keys;
    while info(&mut client, "cached_bytes") > MIB {
        let set = |key| command(&[b"SET", &name(key), &value(key, 0, 50)]);
        let replies = pipeline(&mut client, &(from..from + 1000).map(set).collect::<Vec<_>>());
        assert!(replies.iter().all(|reply| *reply == Reply::ok()), "{:?}", replies.last());
        from += 1000;
        // What is read would be kept, where there is room.
        let key = from % keys;
        let expected = Reply::Bulk(value(key, 0, VALUE_BYTES));
        assert_eq!(client.run(&[b"GET".as_slice(), &name(key)]), expected);
        assert!(info(&mut client, "used_memory") <= LIMIT + 64 * KIB);
    }
    println!("{} small keys pushed the cache out", from - keys);
    assert!(from - keys > 40_000);
}
