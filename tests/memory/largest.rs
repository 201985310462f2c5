//! Values of 512 MB: held once at the most, on their way in and out too.

use std::collections::BTreeMap;
use std::io::{Read, Write};

use crate::common::client::Client;
use crate::common::resp::Reply;
use crate::common::server::Server;
use crate::common::temp_dir::TempDir;
use crate::common::wait;
use crate::support::{MIB, info, memory};

const BYTES: u64 = 512 * MIB;
const CHUNK: usize = 1 << 20;

/// What a process takes beside the value.
const REST: u64 = 64 * MIB;

/// `bytes`: whole chunks.
fn set(client: &mut Client, bytes: u64) {
    client
        .send_raw(format!("*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n${bytes}\r\n").as_bytes())
        .expect("open");
    let chunk = vec![b'v'; CHUNK];
    for _ in 0..bytes / CHUNK as u64 {
        client.stream().write_all(&chunk).expect("an open connection");
    }
    client.send_raw(b"\r\n").expect("an open connection");
    assert_eq!(client.read().expect("a reply"), Reply::ok());
}

/// Of so many bytes, in whole chunks; but for the `changed` ones all are as they were set.
fn get(client: &mut Client, length: u64, changed: &BTreeMap<u64, u8>) {
    client.queue(&["GET", "big"]);
    client.flush().expect("an open connection");
    let wanted = format!("${length}\r\n");
    let mut header = vec![0; wanted.len()];
    client.reader().read_exact(&mut header).expect("the length");
    assert_eq!(header, wanted.into_bytes());
    let mut bytes = vec![0; CHUNK];
    for first in (0..length).step_by(CHUNK) {
        client.reader().read_exact(&mut bytes).expect("the value");
        for (at, byte) in changed.range(first..first + CHUNK as u64) {
            let found = std::mem::replace(&mut bytes[(at - first) as usize], b'v');
            assert_eq!(found, *byte, "byte {at}");
        }
        assert!(bytes.iter().all(|byte| *byte == b'v'), "what is at {first} differs");
    }
    client.reader().read_exact(&mut bytes[..2]).expect("the end");
}

/// Its allocator gives back at once what is freed; by default it waits for a next occasion.
fn exact(dir: &TempDir, settings: &[&str]) -> Server {
    let mut options = memory(settings);
    options.dir = Some(dir.path().to_owned());
    options.through = ["env", "MIMALLOC_PURGE_DELAY=0"].map(str::to_owned).to_vec();
    Server::start(&options)
}

/// Waits until the process holds no more than that: an allocator gives back a little later.
fn settles_at(server: &Server, bytes_max: u64) -> u64 {
    wait::until("memory is given back", wait::PATIENCE, || {
        Some(server.memory_bytes("VmRSS")).filter(|bytes| *bytes <= bytes_max)
    })
}

#[test]
fn the_largest_value_is_held_once_or_not_at_all() {
    for (cache_bytes, held) in [("1gb", BYTES), ("256mb", 0)] {
        let dir = TempDir::new();
        let server = exact(&dir, &["--cache-bytes", cache_bytes]);
        let mut client = server.client();
        set(&mut client, BYTES);
        let peak_set = server.memory_bytes("VmHWM");
        let after_set = settles_at(&server, held + REST);
        assert_eq!(info(&mut client, "cached_bytes") / MIB, held / MIB);
        get(&mut client, BYTES, &BTreeMap::new());
        let peak_get = server.memory_bytes("VmHWM");
        let after_get = settles_at(&server, held + REST);
        let megabytes = [peak_set, after_set, peak_get, after_get].map(|bytes| bytes / MIB);
        println!("cache {cache_bytes}: SET peak, after, GET peak, after, in MB: {megabytes:?}");
        // The request is the value, the value a part of the group, and that is written from
        // where it is; what is read back is the reply.
        assert!(peak_get.max(peak_set) < BYTES / 10 * 11 + REST);
    }
}

/// Changes parts of a value of so many bytes; how long it is then, and what of it is another byte.
fn change_parts(client: &mut Client, length: u64) -> (u64, BTreeMap<u64, u8>) {
    let mut longer = length;
    let tail = "v".repeat(CHUNK);
    for _ in 0..4 {
        longer += CHUNK as u64;
        assert_eq!(client.run(&["APPEND", "big", &tail]), Reply::Int(longer as i64));
    }
    let mut changed = BTreeMap::new();
    for (number, at) in [0, length / 3, length - 2, longer - 5].into_iter().enumerate() {
        let part = format!("{number}{number}");
        let reply = client.run(&["SETRANGE", "big", &at.to_string(), &part]);
        assert_eq!(reply, Reply::Int(longer as i64));
        changed.extend([at, at + 1].map(|at| (at, part.as_bytes()[0])));
    }
    // The lowest bit of 'v', which is 0.
    let bit = (length / 2) * 8 + 7;
    assert_eq!(client.run(&["SETBIT", "big", &bit.to_string(), "1"]), Reply::Int(0));
    changed.insert(length / 2, b'w');
    // Two bytes side by side, one elsewhere, and one whose number doesn't fit.
    let (at, after, elsewhere) = (length / 4, length / 4 + 1, length / 5);
    let reply = client.cmd(&format!(
        "BITFIELD big SET u8 #{at} 97 SET u8 #{after} 98 INCRBY u8 #{elsewhere} 1 \
         OVERFLOW FAIL INCRBY u8 #{at} 255"
    ));
    let was = i64::from(b'v');
    let wanted = [Reply::Int(was), Reply::Int(was), Reply::Int(was + 1), Reply::NullBulk];
    assert_eq!(reply.items(), wanted);
    changed.extend([(at, b'a'), (after, b'b'), (elsewhere, b'w')]);
    (longer, changed)
}

/// Small looks at a value that [`change_parts`] has changed, and some in a transaction between changes
/// to what it was: none of them brings it together.
fn look(client: &mut Client, before: u64, length: u64) {
    let (at, bit) = (before / 3, before / 2 * 8 + 7);
    let (first, last, bit) = ((at - 1).to_string(), (at + 2).to_string(), bit.to_string());
    let field = format!("#{}", before / 5);
    let looks: [(&[&str], Reply); 7] = [
        (&["STRLEN", "big"], Reply::Int(length as i64)),
        (&["GETRANGE", "big", &first, &last], Reply::bulk("v11v")),
        (&["SUBSTR", "big", &first, &last], Reply::bulk("v11v")),
        (&["GETBIT", "big", &bit], Reply::Int(1)),
        (&["BITFIELD_RO", "big", "GET", "u8", &field], Reply::Array(vec![Reply::Int(119)])),
        (&["OBJECT", "ENCODING", "big"], Reply::bulk("raw")),
        (&["SETRANGE", "big", &first, "v11v"], Reply::Int(length as i64)),
    ];
    for (look, wanted) in &looks[..6] {
        assert_eq!(client.run(look), *wanted);
    }
    assert_eq!(client.cmd("MULTI"), Reply::ok());
    for (command, _) in looks.iter().chain(&looks) {
        assert_eq!(client.run(command), Reply::queued());
    }
    let wanted: Vec<Reply> = looks.iter().chain(&looks).map(|(_, reply)| reply.clone()).collect();
    assert_eq!(client.cmd("EXEC").items(), wanted);
}

#[test]
fn the_largest_value_is_held_once_while_parts_of_it_change() {
    const LENGTH: u64 = BYTES - 64 * MIB;
    for cache_bytes in ["2gb", "0"] {
        let dir = TempDir::new();
        let server = exact(&dir, &["--cache-bytes", cache_bytes]);
        let mut client = server.client();
        set(&mut client, LENGTH);
        let (length, changed) = change_parts(&mut client, LENGTH);
        look(&mut client, LENGTH, length);
        // Under another name it is the same value.
        assert_eq!(client.cmd("RENAME big other"), Reply::ok());
        assert_eq!(client.cmd("COPY other big"), Reply::Int(1));
        assert_eq!(client.cmd("DEL other"), Reply::Int(1));
        let peak_changes = server.memory_bytes("VmHWM");
        get(&mut client, length, &changed);
        let peak = server.memory_bytes("VmHWM");
        println!("cache {cache_bytes}: {} MB, read {} MB", peak_changes / MIB, peak / MIB);
        assert!(peak < BYTES / 10 * 11 + REST);
    }
}

#[test]
fn what_is_computed_of_the_largest_value_is_held_once_beside_it() {
    const LENGTH: u64 = BYTES - 64 * MIB;
    for cache_bytes in ["2gb", "0"] {
        let dir = TempDir::new();
        let server = exact(&dir, &["--cache-bytes", cache_bytes]);
        let mut client = server.client();
        set(&mut client, LENGTH);
        let (length, mut changed) = change_parts(&mut client, LENGTH);
        // The lowest bit of one byte.
        assert_eq!(client.cmd("SETBIT bits 15 1"), Reply::Int(0));
        assert_eq!(client.cmd("BITOP XOR big bits big"), Reply::Int(length as i64));
        let peak = server.memory_bytes("VmHWM");
        println!("cache {cache_bytes}: {} MB", peak / MIB);
        *changed.entry(1).or_insert(b'v') ^= 1;
        get(&mut client, length, &changed);
        assert!(peak < 2 * BYTES / 10 * 11 + REST);
    }
}

#[test]
fn compaction_moves_a_cached_value_piece_by_piece() {
    const LENGTH: u64 = BYTES - 64 * MIB;
    let dir = TempDir::new();
    let settings = ["--cache-bytes", "2gb", "--store-percent-max", "110", "--store-bytes-min", "0"];
    let server = exact(&dir, &settings);
    let mut client = server.client();
    set(&mut client, LENGTH);
    let (length, changed) = change_parts(&mut client, LENGTH);
    let moved = |client: &mut Client| info(client, "compaction_bytes_written") >= length;
    wait::until("the large value is moved", wait::PATIENCE, || {
        // What is alive of it is little, so that the value is what compaction has to move.
        let value = "o".repeat(CHUNK);
        assert_eq!(client.run(&["SET", "overwritten", &value]), Reply::ok());
        moved(&mut client).then_some(())
    });
    let peak_moved = server.memory_bytes("VmHWM");
    get(&mut client, length, &changed);
    let peak = server.memory_bytes("VmHWM");
    println!("compaction: {} MB, read {} MB", peak_moved / MIB, peak / MIB);
    assert!(peak < BYTES / 10 * 11 + REST);
}

/// What stays in the request that brought it is the value, whichever command it came with, and
/// however often that has to run.
#[test]
fn large_arguments_are_values_in_every_command() {
    let dir = TempDir::new();
    let server = exact(&dir, &["--cache-bytes", "0"]);
    let mut client = server.client();
    let large = |byte: u8| vec![byte; 1 << 20];
    let run = |client: &mut Client, args: &[&[u8]]| {
        client.queue(args);
        client.flush().expect("an open connection");
        client.read().expect("a reply")
    };
    let check = |client: &mut Client, key: &[u8], value: &[u8]| {
        assert!(run(client, &[b"GET", key]) == Reply::bulk(value), "{}", key.escape_ascii());
    };
    assert_eq!(run(&mut client, &[b"SET", b"a", &large(b'1')]), Reply::ok());
    assert_eq!(run(&mut client, &[b"MSET", b"b", &large(b'2'), b"c", b"small"]), Reply::ok());
    assert_eq!(run(&mut client, &[b"SETEX", b"d", b"1000", &large(b'3')]), Reply::ok());
    assert_eq!(run(&mut client, &[b"MULTI"]), Reply::ok());
    run(&mut client, &[b"SET", b"e", &large(b'4'), b"EX", b"1000"]);
    run(&mut client, &[b"STRLEN", b"e"]);
    run(&mut client, &[b"EXEC"]);
    // The old value comes from the store: the request waits for it, and runs again.
    let old = run(&mut client, &[b"SET", b"a", &large(b'5'), b"GET"]);
    assert!(old == Reply::bulk(large(b'1')));
    assert!(run(&mut client, &[b"GETSET", b"b", &large(b'6')]) == Reply::bulk(large(b'2')));
    for (key, byte) in [(b"a", b'5'), (b"b", b'6'), (b"d", b'3'), (b"e", b'4')] {
        check(&mut client, key, &large(byte));
    }
    check(&mut client, b"c", b"small");
}
