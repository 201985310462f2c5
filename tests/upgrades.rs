//! Stores that earlier versions have written are read by this one, to the last key.
//!
//! | directory          | written by                                      | format |
//! |--------------------|-------------------------------------------------|--------|
//! | `issue-2`          | 1d83e0d, the last before keyspace commands      | 1      |
//! | `issue-3`          | 515bd24, with swaps of databases                | 2      |
//! | `issue-4-format-3` | the first with bases                            | 3      |
//! | `issue-6-format-3` | 4c371e4, the last before what committed is kept | 3      |
//! | `issue-4-format-4` | 4c44eab, with requests that have committed      | 4      |
//! | `issue-5-format-6` | the first with blobs                            | 6      |
//!
//! `tests/upgrades/make` has made them and makes the next.

// In a test, an expectation is an assertion.
#![allow(clippy::expect_used)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aft::layout::{FORMAT_VERSION, Header, Kind, ObjectName};
use aft::storage::Store;
use aft::storage::embedded::{EmbeddedOptions, EmbeddedStore, ReadOnlyStore};
use bytes::Bytes;
use common::client::Client;
use common::resp::Reply;
use common::server::{Options, Server};
use common::temp_dir::TempDir;

/// A key, and what must be found: whether it has an expiry, and its value.
type Keys = BTreeMap<(String, String), Option<(bool, String)>>;

fn stored(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upgrades").join(name)
}

/// Unpacks a store; the directory that holds it.
fn unpack(name: &str, dir: &TempDir) -> PathBuf {
    let archive = stored(&format!("{name}.tar.gz"));
    let status = Command::new("tar").arg("-C").arg(dir.path()).arg("-xzf").arg(archive).status();
    assert!(status.expect("tar").success());
    dir.path().join("store")
}

fn keys_of(name: &str) -> Keys {
    let text = std::fs::read_to_string(stored(&format!("{name}.keys"))).expect("its keys");
    let line = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let wanted = match words[2] {
            "gone" => None,
            state => Some((state == "expires", words[3].to_owned())),
        };
        ((words[0].to_owned(), words[1].to_owned()), wanted)
    };
    text.lines().map(line).collect()
}

fn check(client: &mut Client, keys: &Keys) {
    let mut selected = "";
    for ((database, key), wanted) in keys {
        if selected != database {
            assert_eq!(client.run(&["SELECT", database]), Reply::ok());
            selected = database;
        }
        let value = client.run(&["GET", key]).text();
        assert_eq!(value.as_ref(), wanted.as_ref().map(|(_, value)| value), "{database} {key}");
        let expires = client.run(&["PTTL", key]).int();
        let wanted_expiry = wanted.as_ref().map(|(expires, _)| *expires);
        assert_eq!(wanted_expiry.unwrap_or(false), expires > 0, "{database} {key}: {expires}");
    }
    assert_eq!(client.run(&["SELECT", "0"]), Reply::ok());
}

fn small_steps(store: &Path) -> Options {
    let mut options = Options::in_directory(store);
    options.extra = Options::RESTLESS.map(str::to_owned).to_vec();
    options
}

/// Changes some keys in the store and in the model alike.
fn change(client: &mut Client, keys: &mut Keys, round: usize) {
    for number in (1 + round..=40).step_by(3) {
        let name = format!("large:{number}");
        let value = format!("new-{round}-{}", "y".repeat(400));
        assert_eq!(client.run(&["SET", &name, &value]), Reply::ok());
        keys.insert(("0".to_owned(), name), Some((false, value)));
    }
    for number in (20 + round..=40).step_by(4) {
        let name = format!("small:{number}");
        let entry = keys.entry(("0".to_owned(), name.clone())).or_default();
        let there = i64::from(entry.is_some());
        assert_eq!(client.run(&["EXPIRE", &name, "100000"]).int(), there);
        *entry = entry.take().map(|(_, value)| (true, value));
    }
    let name = format!("small:{}", 30 + round);
    client.run(&["DEL", &name]);
    keys.insert(("0".to_owned(), name), None);
}

fn upgrade(name: &str) {
    let dir = TempDir::named(name);
    let store = unpack(name, &dir);
    let mut keys = keys_of(name);
    assert!(keys.values().flatten().count() > 70, "{name} has keys");
    let mut server = Server::start(&small_steps(&store));
    check(&mut server.client(), &keys);
    // What is old is changed, compacted with what is new, and read by the next start.
    for round in 0..6 {
        change(&mut server.client(), &mut keys, round);
        check(&mut server.client(), &keys);
        if round % 2 == 0 {
            server.kill_9();
        } else {
            assert!(server.terminate().success());
        }
        server.restart();
        check(&mut server.client(), &keys);
    }
}

#[test]
fn the_store_of_issue_2_is_read() {
    upgrade("issue-2");
}

#[test]
fn the_store_of_issue_3_is_read() {
    upgrade("issue-3");
}

#[test]
fn the_store_of_issue_4_is_read() {
    upgrade("issue-4-format-3");
}

#[test]
fn the_store_of_issue_6_is_read() {
    upgrade("issue-6-format-3");
}

/// With requests that have committed.
#[test]
fn the_store_of_format_4_is_read_and_its_requests_are_known() {
    let dir = TempDir::named("requests");
    let store = unpack("issue-4-format-4", &dir);
    let mut server = Server::start(&small_steps(&store));
    for _ in 0..2 {
        let mut client = server.client();
        let begun = |client: &mut Client, words: &str| {
            let Reply::Array(begun) = client.cmd(&format!("AFT.BEGIN REQUEST {words}")) else {
                panic!("{words}")
            };
            (begun[1].text().expect("a state"), begun[2].text())
        };
        let accepted = ("committed".to_owned(), Some("accepted".to_owned()));
        assert_eq!(begun(&mut client, "order:1"), accepted);
        assert_eq!(begun(&mut client, "order:2 STEP a").0, "committed");
        assert_eq!(client.cmd("AFT.LEAVE"), Reply::ok());
        assert_eq!(client.cmd("GET steps"), Reply::bulk("2"));
        // Also when compaction has moved them.
        let mut keys = keys_of("issue-4-format-4");
        change(&mut client, &mut keys, 0);
        server.kill_9();
        server.restart();
    }
    upgrade("issue-4-format-4");
}

#[test]
fn the_store_of_format_6_is_read() {
    upgrade("issue-5-format-6");
}

/// When the format changes, a store of the one before has to be kept here.
#[tokio::test]
async fn the_newest_of_them_is_of_the_format_that_is_written() {
    let dir = TempDir::named("newest");
    let path = unpack("issue-5-format-6", &dir);
    let store = ReadOnlyStore::open(&path).expect("a store");
    let names = store.list("log/", "", 1000).await.expect("its logs");
    let name = names.last().expect("a log");
    let object = store.read(name, 0, u64::MAX).await.expect("the newest object");
    assert_eq!(Header::decode(&object).expect("a header").format, FORMAT_VERSION);
}

/// All files and their bytes; whoever looks holds the lock, and says so in it.
fn contents(store: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = std::fs::read_dir(store).expect("a store").flatten();
    let files = files.filter(|file| file.file_name() != "LOCK");
    files.map(|file| (file.path(), std::fs::read(file.path()).expect("a file"))).collect()
}

/// An object as the next version of aft would write it.
fn of_the_next_format(kind: Kind, node: u32, number: u64) -> Bytes {
    let mut header = Header::new(kind, 1, node, number);
    header.format = FORMAT_VERSION + 1;
    let mut object = Vec::new();
    header.encode(&mut object);
    Bytes::from(object)
}

/// Runs `aft` with these words; it has to end with this exit code. What it said on stderr.
fn tool(code: i32, words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aft"));
    let output = command.args(words).stdin(Stdio::null()).output().expect("aft");
    assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_store_of_a_newer_format_is_refused_and_left_as_it_is() {
    for (name, object) in [
        (ObjectName::Node(1000), of_the_next_format(Kind::Node, 1000, 0)),
        (ObjectName::Log(1000, 1), of_the_next_format(Kind::Group, 1000, 1)),
    ] {
        let dir = TempDir::named("newer");
        let path = unpack("issue-4-format-3", &dir);
        let options = EmbeddedOptions { segment_bytes: 1 << 20, ..EmbeddedOptions::default() };
        let store = EmbeddedStore::open(&path, options).expect("a store");
        store.create(&name.to_string(), object).await.expect("an object more");
        drop(store);
        let sound = TempDir::named("sound");
        let other = format!("embedded:{}", unpack("issue-4-format-4", &sound).display());
        let before = contents(&path);
        let refused = Server::try_start(&small_steps(&path)).err().expect("a refusal");
        assert_ne!(refused.code, Some(0));
        let said = refused.stderr.join("\n");
        assert!(said.contains(&name.to_string()) && said.contains("newer"), "{said}");
        // Nor is it one for the tools, which would lose what they don't know.
        let address = format!("embedded:{}", path.display());
        let dump = dir.path().join("dump");
        tool(0, &["store", "dump", "--store", &other, "--output", dump.to_str().expect("UTF-8")]);
        let dump = dump.to_str().expect("UTF-8");
        for words in [
            &["store", "verify", "--store", &address][..],
            &["store", "stats", "--store", &address],
            &["store", "dump", "--store", &address],
            &["store", "load", "--store", &address, "--replace", "--input", dump],
        ] {
            let said = tool(2, words);
            assert!(
                said.contains(&name.to_string()) && said.contains("newer"),
                "{words:?}: {said}"
            );
        }
        let after = contents(&path);
        for (file, bytes) in &before {
            assert!(after.get(file) == Some(bytes), "{} has changed", file.display());
        }
        assert_eq!(before.len(), after.len(), "{name}");
    }
}
