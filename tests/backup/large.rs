//! The largest value there can be, and what it takes in memory.

use std::process::Child;

use crate::common::client::Client;
use crate::common::temp_dir::TempDir;
use crate::common::wait::{self, PATIENCE};
use crate::tool::{serve, spawn, store_of, text};

const VALUE_BYTES: u64 = 512 << 20;

/// Waits for its end; the most memory it was seen to have.
fn watched(mut child: Child) -> u64 {
    let path = format!("/proc/{}/status", child.id());
    let mut most = 0;
    let status = wait::until("the end", PATIENCE * 6, || {
        let status = std::fs::read_to_string(&path).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmHWM"));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        most = kilobytes.map_or(most, |kilobytes| most.max(kilobytes * 1024));
        child.try_wait().unwrap()
    });
    assert!(status.success(), "{status}");
    most
}

#[test]
fn a_value_of_512_mb_passes() {
    let (from, to) = (TempDir::named("from"), TempDir::named("to"));
    let (mut server, mut client) = serve(from.path());
    let last = VALUE_BYTES - 1;
    assert_eq!(
        client.run(&["SETRANGE", "large", &last.to_string(), "!"]).int(),
        VALUE_BYTES as i64
    );
    client.cmd("SET small 1");
    let file = from.path().join("dump");
    let store = store_of(from.path());
    let dumping = watched(spawn(&["store", "dump", "--store", &store, "--output", text(&file)]));
    assert!(dumping < 100 << 20, "a dump took {} MB", dumping >> 20);
    assert!(server.terminate().success());

    let store = store_of(to.path());
    let load = spawn(&["store", "load", "--store", &store, "--input", text(&file)]);
    held_once("a load", watched(load));
    std::fs::remove_file(&file).unwrap();
    let (_server, mut client) = serve(to.path());
    check(&mut client);
}

/// What has come is what is written.
fn held_once(what: &str, bytes: u64) {
    println!("{what} took {} MB", bytes >> 20);
    assert!(bytes < VALUE_BYTES / 10 * 11 + (64 << 20), "{what} took {} MB", bytes >> 20);
}

fn check(client: &mut Client) {
    assert_eq!(client.cmd("STRLEN large").int(), VALUE_BYTES as i64);
    assert_eq!(client.run(&["GETRANGE", "large", "-2", "-1"]).text().unwrap(), "\0!");
    assert_eq!(client.cmd("GET small").text().as_deref(), Some("1"));
}

#[test]
fn a_value_of_512_mb_is_imported_and_held_once() {
    let (from, to, running) =
        (TempDir::named("from"), TempDir::named("to"), TempDir::named("running"));
    let (server, mut client) = serve(from.path());
    let last = VALUE_BYTES - 1;
    let reply = client.run(&["SETRANGE", "large", &last.to_string(), "!"]);
    assert_eq!(reply.int(), VALUE_BYTES as i64);
    client.cmd("SET small 1");
    let source = format!("redis://{}", server.addr());
    let store = store_of(to.path());
    held_once("an import to a store", watched(spawn(&["import", &source, "--store", &store])));
    let (_server, mut client) = serve(to.path());
    check(&mut client);
    let (target, mut client) = serve(running.path());
    let address = format!("redis://{}", target.addr());
    held_once("an import to a server", watched(spawn(&["import", &source, "--to", &address])));
    check(&mut client);
}
