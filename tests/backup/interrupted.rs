//! Loads and imports that are killed, and run again.

use std::path::Path;
use std::process::Child;
use std::time::Duration;

use aft::backup::format::DumpWriter;

use crate::common::server::{Options, Peer, Server};
use crate::common::temp_dir::TempDir;
use crate::common::wait;
use crate::tool::{
    assert_same, data_of, expect, load_from, serve, spawn, store_of, text, verified_keys,
};

const KEYS: u64 = 20_000;

/// Some 20 MB: half a dozen bases.
fn write_dump(path: &Path) {
    let file = std::fs::File::create(path).unwrap();
    let mut writer = DumpWriter::new(std::io::BufWriter::new(file), "").unwrap();
    for n in 0..KEYS {
        let value = format!("{n}").repeat(200);
        writer.key((0, format!("key:{n}").as_bytes()), 0, value.len() as u64).unwrap();
        writer.value(value.as_bytes()).unwrap();
    }
    writer.end().unwrap();
}

/// Kills a process after a while, unless it has ended; whether it had.
fn kill_after(mut child: Child, after: Duration) -> bool {
    wait::pause(after);
    let ended = child.try_wait().unwrap().is_some_and(|status| status.success());
    let _ = child.kill();
    child.wait().unwrap();
    ended
}

/// Longer and longer lives, until one was long enough.
fn lives() -> impl Iterator<Item = Duration> {
    (0..).map(|n| Duration::from_millis(5 + 25 * n))
}

#[test]
fn a_load_that_is_killed_has_loaded_nothing_and_is_run_again() {
    let (directory, dumps) = (TempDir::named("load"), TempDir::named("dumps"));
    let file = dumps.path().join("dump");
    write_dump(&file);
    let store = store_of(directory.path());
    let words = ["store", "load", "--store", &store, "--input", text(&file)];
    let mut killed = 0;
    for life in lives() {
        let ended = kill_after(spawn(&words), life);
        if !directory.path().join("FORMAT").exists() {
            continue;
        }
        let keys = verified_keys(directory.path());
        if keys == KEYS {
            break;
        }
        assert!(!ended, "it has ended and loaded {keys} keys");
        assert_eq!(keys, 0, "after {life:?}");
        killed += 1;
    }
    assert!(killed > 0, "none was killed in the middle");
    if verified_keys(directory.path()) == 0 {
        load_from(directory.path(), &file);
    }
    let (mut server, mut client) = serve(directory.path());
    assert_eq!(client.cmd("DBSIZE").int(), KEYS as i64);
    assert!(client.cmd("GET key:19999").text().unwrap().starts_with("1999919999"));
    assert!(server.terminate().success());
}

#[test]
fn a_replacing_load_that_is_killed_leaves_the_old_or_the_new() {
    let (directory, dumps) = (TempDir::named("replace"), TempDir::named("dumps"));
    let file = dumps.path().join("dump");
    write_dump(&file);
    let (mut server, mut client) = serve(directory.path());
    client.cmd("MSET a 1 b 2 c 3");
    assert!(server.terminate().success());
    let store = store_of(directory.path());
    let words = ["store", "load", "--replace", "--store", &store, "--input", text(&file)];
    let mut killed = 0;
    for life in lives() {
        kill_after(spawn(&words), life);
        // A node may be started in between, and make nothing of what was begun.
        server.restart();
        let keys = server.client().cmd("DBSIZE").int();
        assert!(server.terminate().success());
        if keys == KEYS as i64 {
            break;
        }
        assert_eq!(keys, 3, "after {life:?}");
        assert_eq!(verified_keys(directory.path()), 3);
        killed += 1;
    }
    assert!(killed > 0, "none was killed in the middle");
    expect(0, &words);
    assert_eq!(verified_keys(directory.path()), KEYS);
}

#[test]
fn a_dump_that_is_killed_leaves_no_dump_and_is_run_again() {
    let (directory, dumps) = (TempDir::named("dumped"), TempDir::named("dumps"));
    let [file, again] = ["dump", "again"].map(|name| dumps.path().join(name));
    write_dump(&file);
    load_from(directory.path(), &file);
    let store = store_of(directory.path());
    let words = ["store", "dump", "--store", &store, "--output", text(&again)];
    let unfinished = dumps.path().join("again.unfinished");
    let mut killed = 0;
    for life in lives() {
        // It has its name when it is whole.
        if kill_after(spawn(&words), life) || again.exists() {
            break;
        }
        killed += u32::from(unfinished.exists());
    }
    assert!(killed > 0, "none was killed in the middle");
    assert!(!unfinished.exists());
    let [loaded, dumped] = [&file, &again].map(|file| data_of(&std::fs::read(file).unwrap()));
    assert_same(&loaded, &dumped);
}

fn redis_with_keys() -> Server {
    let redis = Server::start(&Options::new(Peer::Redis));
    let mut client = redis.client();
    for n in 0..KEYS {
        client.queue(&["SET", &format!("key:{n}"), &format!("{n}").repeat(200)]);
    }
    client.flush().unwrap();
    (0..KEYS).for_each(|_| assert!(!client.read().unwrap().is_error()));
    redis
}

#[test]
fn an_import_that_is_killed_is_run_again() {
    let redis = redis_with_keys();
    let source = format!("redis://{}", redis.addr());
    let directory = TempDir::named("import");
    let store = store_of(directory.path());
    let words = ["import", &source, "--store", &store];
    let mut killed = 0;
    for life in lives() {
        kill_after(spawn(&words), life);
        if !directory.path().join("FORMAT").exists() {
            continue;
        }
        let keys = verified_keys(directory.path());
        if keys == KEYS {
            break;
        }
        assert_eq!(keys, 0, "after {life:?}");
        killed += 1;
    }
    assert!(killed > 0, "none was killed in the middle");

    // Into a server: what was copied stays, and the next run copies all of it.
    let target = Server::start(&Options { peer: Peer::Aft, ..Options::memory() });
    let to = format!("redis://{}", target.addr());
    let words = ["import", &source, "--to", &to];
    let mut client = target.client();
    let mut child = spawn(&words);
    wait::until("some keys", wait::PATIENCE, || (client.cmd("DBSIZE").int() > 0).then_some(()));
    let _ = child.kill();
    child.wait().unwrap();
    let said = expect(0, &words);
    assert_eq!(said, format!("imported {KEYS} keys of 1 database\n"));
    assert_eq!(client.cmd("DBSIZE").int(), KEYS as i64);
    for n in [0, 1, KEYS - 1] {
        let value = client.run(&["GET", &format!("key:{n}")]).text().unwrap();
        assert_eq!(value, format!("{n}").repeat(200));
    }
}
