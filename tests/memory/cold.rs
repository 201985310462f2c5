//! Values that are in the store only: right to the byte, whatever is overwritten and compacted
//! meanwhile, in bounded memory.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::common::client::Client;
use crate::common::resp::Reply;
use crate::common::server::Server;
use crate::common::temp_dir::TempDir;
use crate::common::wait;
use crate::support::{KIB, MIB, command, embedded, info, info_text, name, pipeline, value};

const KEYS: u64 = 1000;
const LENGTH: usize = 32 << 10;

fn mset(client: &mut Client, keys: impl Iterator<Item = u64>, generation: u64) {
    let pairs = keys.flat_map(|key| [name(key), value(key, generation, LENGTH)]);
    let words: Vec<_> = [b"MSET".to_vec()].into_iter().chain(pairs).collect();
    assert_eq!(client.run(&words), Reply::ok());
}

fn mget(client: &mut Client, keys: impl Iterator<Item = u64>) -> Vec<Reply> {
    let words: Vec<_> = [b"MGET".to_vec()].into_iter().chain(keys.map(name)).collect();
    client.run(&words).items().to_vec()
}

fn start(dir: &TempDir, cache_bytes: &str) -> Server {
    let space = ["--store-bytes-min", "1mb", "--compaction-step-bytes", "256kb"];
    let groups = ["--group-bytes-max", "256kb", "--cache-bytes", cache_bytes];
    embedded(dir, &[space, groups].concat())
}

fn rounds<R>(client: &mut Client, work: impl FnOnce(&mut Client) -> R) -> (u64, R) {
    let before = info(client, "value_fetches");
    let result = work(client);
    (info(client, "value_fetches") - before, result)
}

/// Every way to read and change them, when nothing of them is in memory.
fn reads_what_was_written(client: &mut Client) {
    let (count, all) = rounds(client, |client| mget(client, 0..KEYS));
    for (key, reply) in (0..KEYS).zip(&all) {
        assert!(*reply == Reply::Bulk(value(key, 0, LENGTH)), "key {key} differs");
    }
    assert!(count <= 1, "{KEYS} values were fetched in {count} rounds");
    let part = client.cmd(&format!("GETRANGE {} 1000 30999", text(3)));
    assert!(part == Reply::Bulk(value(3, 0, LENGTH)[1000..31_000].to_vec()));
    assert_eq!(client.cmd(&format!("STRLEN {}", text(4))), Reply::Int(LENGTH as i64));
    assert_eq!(client.cmd(&format!("APPEND {} tail", text(5))), Reply::Int(LENGTH as i64 + 4));
    let longer = [value(5, 0, LENGTH), b"tail".to_vec()].concat();
    assert!(client.run(&[b"GET".to_vec(), name(5)]) == Reply::Bulk(longer));
    mset(client, [5].into_iter(), 0);
    // The same one many times is one.
    let (reads, same) = (info(client, "store_reads"), mget(client, [7; 500].into_iter()));
    assert!(same.iter().all(|reply| *reply == Reply::Bulk(value(7, 0, LENGTH))));
    assert!(info(client, "store_reads") - reads <= 2);
}

fn text(key: u64) -> String {
    String::from_utf8(name(key)).expect("text")
}

/// More cold values than any cache here holds, in one transaction.
fn executes(client: &mut Client) {
    const READ: u64 = 300;
    let mut commands = vec![command(&[b"MULTI"])];
    commands.extend((0..READ).map(|key| command(&[b"GET", &name(key)])));
    commands.push(command(&[b"APPEND", &name(10), b"x"]));
    commands.push(command(&[b"STRLEN", &name(10)]));
    commands.push(command(&[b"SET", &name(10), &value(10, 0, LENGTH)]));
    // It begins anew where it began, when the values are there.
    commands.push(command(&[b"SELECT", b"1"]));
    commands.push(command(&[b"EXEC"]));
    let (count, replies) = rounds(client, |client| pipeline(client, &commands));
    assert_eq!(client.cmd("SELECT 0"), Reply::ok());
    let executed = replies.last().expect("EXEC").items().to_vec();
    assert_eq!(executed.len() as u64, READ + 4);
    for (key, reply) in (0..READ).zip(&executed) {
        assert!(*reply == Reply::Bulk(value(key, 0, LENGTH)), "key {key} differs");
    }
    assert_eq!(executed[READ as usize + 1], Reply::Int(LENGTH as i64 + 1));
    assert!(count <= 2, "an EXEC came back {count} times");
}

#[test]
fn cold_values_are_read_in_one_round_and_changed() {
    for cache_bytes in ["0", "64kb"] {
        let dir = TempDir::new();
        let mut server = start(&dir, cache_bytes);
        let mut client = server.client();
        for from in (0..KEYS).step_by(20) {
            mset(&mut client, from..from + 20, 0);
        }
        // They leave memory as soon as they are in the store.
        assert!(info(&mut client, "cached_bytes") <= 64 * KIB);
        assert!(info(&mut client, "used_memory") < 2 * MIB);
        reads_what_was_written(&mut client);
        executes(&mut client);
        assert!(server.terminate().success());
        server.restart();
        let mut client = server.client();
        reads_what_was_written(&mut client);
        executes(&mut client);
    }
}

/// One writer: it alone knows what its keys have to be.
fn overwrite(server: &Server, keys: std::ops::Range<u64>, done: &[AtomicU64]) {
    const GENERATIONS: u64 = 12;
    let mut client = server.client();
    for generation in 1..=GENERATIONS {
        for from in keys.clone().step_by(5) {
            mset(&mut client, from..from + 5, generation);
            (from..from + 5)
                .for_each(|key| done[key as usize].store(generation, Ordering::Release));
        }
        let key = keys.start + generation;
        let got = client.run(&[b"GET".to_vec(), name(key)]);
        assert!(got == Reply::Bulk(value(key, generation, LENGTH)), "key {key} differs");
    }
}

/// Reads what others overwrite: each value is a whole one, no older than what was answered
/// before, and no newer than what may be under way.
fn read(server: &Server, done: &[AtomicU64], stop: &AtomicBool) -> u64 {
    let mut client = server.client();
    let mut rounds = 0;
    while !stop.load(Ordering::Acquire) {
        let first = rounds * 37 % (KEYS - 50);
        let keys = first..first + 50;
        let seen = |key: u64| done[key as usize].load(Ordering::Acquire);
        let before: Vec<u64> = keys.clone().map(seen).collect();
        let replies = mget(&mut client, keys.clone());
        for ((key, before), reply) in keys.zip(before).zip(&replies) {
            let possible = before..=seen(key) + 1;
            let is_whole =
                possible.into_iter().any(|g| *reply == Reply::Bulk(value(key, g, LENGTH)));
            assert!(is_whole, "key {key} after generation {before} is no value of it");
        }
        rounds += 1;
    }
    rounds
}

#[test]
fn cold_values_are_right_under_overwrites_and_compaction() {
    /// A sixth of all that is written; most of it is what the allocator gives back later.
    const GROWTH_MAX: u64 = 64 * MIB;
    for cache_bytes in ["0", "64kb"] {
        let dir = TempDir::new();
        let mut server = start(&dir, cache_bytes);
        let mut client = server.client();
        for from in (0..KEYS).step_by(20) {
            mset(&mut client, from..from + 20, 0);
        }
        let before = server.memory_bytes("VmRSS");
        let done: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
        let stop = AtomicBool::new(false);
        let rounds = std::thread::scope(|scope| {
            let reader = scope.spawn(|| read(&server, &done, &stop));
            let halves = [0..KEYS / 2, KEYS / 2..KEYS];
            let writers = halves.map(|keys| scope.spawn(|| overwrite(&server, keys, &done)));
            let written = writers.map(|writer| writer.join());
            stop.store(true, Ordering::Release);
            assert!(written.iter().all(Result::is_ok), "a writer has failed");
            reader.join().expect("a reader that found nothing wrong")
        });
        let grown = server.memory_bytes("VmHWM").saturating_sub(before);
        wait::until("compaction has caught up", wait::PATIENCE, || {
            let debt = info(&mut client, "compaction_debt_bytes");
            (debt == 0 && info(&mut client, "compaction_objects_replaced") > 100).then_some(())
        });
        assert_eq!(info_text(&mut client, "compaction_failure"), "");
        let replaced = info(&mut client, "compaction_objects_replaced");
        println!(
            "cache {cache_bytes}: {rounds} rounds, {replaced} objects replaced, {grown} bytes"
        );
        assert!(rounds > 10 && grown < GROWTH_MAX, "{rounds} rounds, {grown} bytes more");
        server.kill_9();
        server.restart();
        let mut client = server.client();
        for from in (0..KEYS).step_by(50) {
            for (key, reply) in (from..from + 50).zip(mget(&mut client, from..from + 50)) {
                let generation = done[key as usize].load(Ordering::Acquire);
                assert!(reply == Reply::Bulk(value(key, generation, LENGTH)), "key {key} differs");
            }
        }
    }
}

/// What nobody can read any more takes no room in the cache, be it overwritten, deleted or expired;
/// a value whose expiry changes stays.
#[test]
fn overwritten_values_leave_the_cache() {
    const ROUNDS: u64 = 5;
    let dir = TempDir::named("overwritten");
    let server = start(&dir, "256mb");
    let mut client = server.client();
    for round in 0..ROUNDS {
        mset(&mut client, 0..KEYS, round);
    }
    let cached = info(&mut client, "cached_bytes");
    let live = KEYS * LENGTH as u64;
    assert!(cached >= live && cached < live + live / 10, "{cached} cached of {live} alive");

    assert_eq!(client.cmd(&format!("EXPIRE {} 1000", text(0))), Reply::Int(1));
    let (fetches, read) = rounds(&mut client, |client| mget(client, 0..1));
    assert!(read == [Reply::Bulk(value(0, ROUNDS - 1, LENGTH))]);
    assert_eq!(fetches, 0);
    let keys = (0..KEYS).map(name);
    let words: Vec<_> = [b"DEL".to_vec()].into_iter().chain(keys).collect();
    assert_eq!(client.run(&words), Reply::Int(KEYS as i64));
    assert_eq!(info(&mut client, "cached_bytes"), 0);

    for key in 0..50 {
        let set =
            [b"SET".to_vec(), name(key), value(key, 0, LENGTH), b"PX".to_vec(), b"20".to_vec()];
        assert_eq!(client.run(&set), Reply::ok());
    }
    let empty = || (info(&mut client, "cached_bytes") == 0).then_some(());
    wait::until("expired values go", wait::PATIENCE, empty);
}
