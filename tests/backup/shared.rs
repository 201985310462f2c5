//! A store in a service is filled without a node: all of it, or nothing, and by its owner.

use crate::common::backing::{Backing, Kind};
use crate::common::resp::Reply;
use crate::common::server::{Options, Server};
use crate::common::temp_dir::TempDir;
use crate::common::wait::{self, PATIENCE};
use crate::tool::{aft, assert_same, command, data_in, dump_to, expect, fill, serve, text};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// A node with data, and a dump of it.
fn source(dir: &Path) -> (Server, PathBuf) {
    let (server, mut client) = serve(dir);
    fill(&mut client);
    let file = dir.join("dump");
    dump_to(dir, &file);
    (server, file)
}

fn is_filled(kind: Kind) {
    let (from, to) = (TempDir::named("fill-from"), TempDir::named("fill-to"));
    let (source, dump) = source(from.path());
    let data = data_in(&mut source.client(), 0..6);
    let backing = Backing::start(kind, to.path());
    let load = ["store", "load", "--store", backing.store(), "--input", text(&dump)];
    let said = expect(0, &load);
    assert!(said.contains("loaded"), "{said}");
    let verified = aft(&["store", "verify", "--store", backing.store()]);
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    // It was given up: nothing is waited for.
    let mut server = Server::start(&Options::on(&backing));
    assert!(!server.said().contains("waiting"), "{}", server.said());
    assert_same(&data_in(&mut server.client(), 0..6), &data);
    assert_eq!(server.client().cmd("SET only here"), Reply::ok());

    // A node has it.
    let replace = [&load[..], &["--replace"]].concat();
    let said = expect(2, &replace);
    assert!(said.contains("one node at a time") && said.contains("is alive"), "{said}");
    assert_eq!(server.client().cmd("GET only"), Reply::bulk("here"));
    assert_eq!(server.terminate().code(), Some(0));
    // It has keys.
    let said = expect(2, &load);
    assert!(said.contains("or --replace them all"), "{said}");
    server.restart();
    assert_eq!(server.client().cmd("GET only"), Reply::bulk("here"));
    assert_eq!(server.terminate().code(), Some(0));
    // All that it has goes.
    let address = format!("redis://{}", source.addr());
    expect(0, &["import", &address, "--store", backing.store(), "--replace"]);
    server.restart();
    assert_same(&data_in(&mut server.client(), 0..6), &data);
}

#[test]
fn a_redis_is_filled() {
    is_filled(Kind::Redis);
}

#[test]
fn a_cluster_is_filled() {
    is_filled(Kind::RedisCluster);
}

#[cfg(feature = "s3")]
#[test]
fn a_bucket_is_filled() {
    is_filled(Kind::S3);
}

#[cfg(feature = "dynamodb")]
#[test]
fn a_table_is_filled() {
    is_filled(Kind::DynamoDb);
}

/// A load that has the store and waits for the second half of its dump.
fn half_way(backing: &Backing, dump: &[u8]) -> Child {
    let mut load = command(&["store", "load", "--store", backing.store(), "--replace"]);
    let mut load = load.stdin(Stdio::piped()).spawn().unwrap();
    let half = &dump[..dump.len() / 2];
    load.stdin.as_mut().unwrap().write_all(half).unwrap();
    wait::until("it has the store", PATIENCE, || {
        let stats = aft(&["store", "stats", "--store", backing.store()]);
        String::from_utf8_lossy(&stats.stdout).contains("aft store load").then_some(())
    });
    load
}

/// A Redis with one key, a dump of another store, and what that takes to be loaded.
fn half_loaded(directory: &TempDir) -> (Server, Backing, Vec<u8>, Child) {
    let backing = Backing::start(Kind::Redis, directory.path());
    let mut server = Server::start(&Options::on(&backing));
    assert_eq!(server.client().cmd("SET only here"), Reply::ok());
    assert_eq!(server.terminate().code(), Some(0));
    let from = TempDir::named("fill-from");
    let dump = fs::read(source(from.path()).1).unwrap();
    let load = half_way(&backing, &dump);
    (server, backing, dump, load)
}

#[test]
fn one_that_is_killed_leaves_all_as_it_was() {
    let directory = TempDir::named("fill-killed");
    let (mut server, _backing, _, mut load) = half_loaded(&directory);
    load.kill().unwrap();
    load.wait().unwrap();
    server.restart();
    assert_eq!(server.client().cmd("GET only"), Reply::bulk("here"));
    assert_eq!(server.client().cmd("DBSIZE"), Reply::Int(1));
}

/// Somebody takes the store meanwhile, and acknowledges writes: the load must not be believed, by
/// nobody, nor delete anything.
#[test]
fn one_that_is_succeeded_loads_nothing_and_says_so() {
    let directory = TempDir::named("fill-succeeded");
    let (mut server, _backing, dump, mut load) = half_loaded(&directory);
    // With --takeover.
    server.restart();
    assert_eq!(server.client().cmd("SET later too"), Reply::ok());
    load.stdin.take().unwrap().write_all(&dump[dump.len() / 2..]).unwrap();
    let ended = load.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{said}");
    assert!(!said.contains("loaded"), "{said}");
    for _ in 0..2 {
        assert_eq!(server.client().cmd("GET only"), Reply::bulk("here"));
        assert_eq!(server.client().cmd("GET later"), Reply::bulk("too"));
        assert_eq!(server.client().cmd("DBSIZE"), Reply::Int(2));
        server.kill_9();
        server.restart();
    }
}
