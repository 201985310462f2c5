//! Stores that earlier versions have written are read by this one, to the last key.
//!
//! | store                 | written by                                          | format |
//! |-----------------------|-----------------------------------------------------|--------|
//! | `issue-2`             | 1d83e0d, the last before keyspace commands          | 1      |
//! | `issue-3`             | 515bd24, with swaps of databases                    | 2      |
//! | `issue-4-format-3`    | the first with bases                                | 3      |
//! | `issue-6-format-3`    | 4c371e4, the last before what committed is kept     | 3      |
//! | `issue-4-format-4`    | 4c44eab, with requests that have committed          | 4      |
//! | `issue-5-format-6`    | the first with blobs                                | 6      |
//! | `issue-4-format-6`    | b95a645, with all kinds of objects and records      | 6      |
//! | `issue-4-directory-2` | 0251bc1, with directories of format 2               | 6      |
//! | `redis-format-5`      | 70dde7c, the last before blobs                      | 4, 5   |
//! | `redis-format-6`, `s3-format-6`, `dynamodb-format-6` | 661c8bb              | 6      |
//!
//! Only what a shared store has besides was ever written in format 5: views, and entries of starts. Those of
//! S3 and DynamoDB are read by tests/s3_store and tests/dynamodb_store, which have such services.
//! `tests/upgrades/make` has made them and makes the next.

// In a test, an expectation is an assertion.
#![allow(clippy::expect_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use aft::inspect::{Depth, Moment, inspect};
use aft::layout::group::checked_directory;
use aft::layout::{Commit, Control, FORMAT_VERSION, Header, Kind, ObjectName, Place, Start, Write};
use aft::storage::embedded::{EmbeddedOptions, EmbeddedStore, ReadOnlyStore};
use aft::storage::{Store, list_all};
use bytes::Bytes;
use common::backing::Backing;
use common::kept::{small_steps, unpack, upgrade_behind, upgrade_with};
use common::program::aft;
use common::resp::Reply;
use common::server::{Options, Server};
use common::temp_dir::TempDir;

/// With every kind of object and record that a directory can hold.
const NEWEST: &str = "issue-4-format-6";

fn upgrade(name: &str) {
    let dir = TempDir::named(name);
    let store = unpack(name, &dir);
    upgrade_with(name, &Options::in_directory(&store));
}

/// The same of a store in a Redis.
fn upgrade_in_redis(name: &str) {
    let dir = TempDir::named(name);
    upgrade_behind(name, &Backing::redis(&unpack(name, &dir), &[]));
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
    upgrade("issue-4-format-4");
}

#[test]
fn the_store_of_format_6_is_read() {
    upgrade("issue-5-format-6");
}

/// With all that a directory can hold.
#[test]
fn the_newest_store_is_read() {
    upgrade(NEWEST);
}

/// A segment is what its header says. A crash may leave it the name of the dead one of whose file it
/// is made: here each has an old one. (tests/reuse.rs has what else a crash leaves of that.)
#[test]
fn a_directory_of_format_2_is_read_whatever_its_files_are_called() {
    let name = "issue-4-directory-2";
    let dir = TempDir::named(name);
    let store = unpack(name, &dir);
    let format = std::fs::read_to_string(store.join("FORMAT")).expect("a format");
    assert_eq!(format, "aft embedded store, format 2\n");
    let files = std::fs::read_dir(&store).expect("a store").flatten();
    let names = files.filter_map(|file| file.file_name().into_string().ok());
    let segments: BTreeSet<String> = names.filter(|name| name.starts_with("segment-")).collect();
    assert!(segments.len() >= 4, "{segments:?}");
    for (number, segment) in segments.iter().enumerate() {
        let old = format!("segment-{number}");
        assert!(!segments.contains(&old), "{segments:?}");
        std::fs::rename(store.join(segment), store.join(old)).expect("another name");
    }
    upgrade_with(name, &Options::in_directory(&store));
}

/// Of how many transactions it is said that they have committed.
#[tokio::test]
async fn outcomes_of_old_stores_are_found() {
    for (name, outcomes) in [("issue-4-format-4", 2), ("issue-5-format-6", 2), (NEWEST, 4)] {
        let dir = TempDir::named("outcomes");
        let store = ReadOnlyStore::open(&unpack(name, &dir)).expect("a store");
        let found = inspect(&store, Depth::Whole, Moment::default(), |_, _| {}).await;
        let found = found.expect("a store of ours");
        assert_eq!((found.outcomes, found.faults), (outcomes, vec![]), "{name}");
    }
}

/// With views, and what else is in it of format 5.
#[test]
fn the_redis_of_format_5_is_read() {
    let dir = TempDir::named("formats");
    let backing = Backing::redis(&unpack("redis-format-5", &dir), &[]);
    let mut redis = backing.servers()[0].client();
    let Reply::Array(keys) = redis.cmd("KEYS *") else { panic!("its keys") };
    let keys = keys.into_iter().filter_map(|key| match key {
        Reply::Bulk(key) => Some(key),
        _ => None,
    });
    let objects = keys.filter_map(|key| match redis.run(&[b"GET".as_slice(), &key]) {
        Reply::Bulk(object) => Header::decode(&object).ok(),
        _ => None,
    });
    let formats: BTreeSet<u16> = objects.map(|header| header.format).collect();
    assert_eq!(formats, [4, 5].into());
    upgrade_in_redis("redis-format-5");
}

#[test]
fn the_redis_of_format_6_is_read() {
    upgrade_in_redis("redis-format-6");
}

/// What a record says, and where its value is.
fn kind_of(write: &Write<'_>) -> &'static str {
    match write {
        Write::Put { place: Place::Inline(_), .. } => "put",
        Write::Put { place: Place::Values { .. }, .. } => "put among values",
        Write::Put { place: Place::Blob { .. }, .. } => "put in a blob",
        Write::Delete { .. } => "delete",
        Write::Meta { .. } => "meta",
        Write::Patch { .. } => "patch",
        Write::Flush { .. } => "flush",
        Write::Swap { .. } => "swap",
        Write::Control(Control::LogClosed { .. }) => "log closed",
        Write::Control(Control::LogTrimmed { .. }) => "log trimmed",
        Write::Control(Control::Bases { .. }) => "bases",
    }
}

/// When the format changes, or something is written that was not before, a store of the one before
/// has to be kept here: the newest one has everything. (But for holes, which only damage leaves; patches,
/// which nobody writes; and views, which only a shared store has.)
#[tokio::test]
async fn the_newest_of_them_is_of_the_format_that_is_written_and_has_all_that_is() {
    let dir = TempDir::named("newest");
    let store = ReadOnlyStore::open(&unpack(NEWEST, &dir)).expect("a store");
    let mut kinds = BTreeSet::new();
    for name in list_all(&store, "").await.expect("its objects") {
        let object = store.read(&name, 0, u64::MAX).await.expect("an object");
        let header = Header::decode(&object).expect("a header");
        assert_eq!(header.format, FORMAT_VERSION, "{name}");
        kinds.insert(format!("{:?}", header.kind));
        if header.start() != Start::default() && header.kind == Kind::Node {
            kinds.insert("start".to_owned());
        }
        if matches!(header.kind, Kind::Group | Kind::Base) {
            let mut directory = checked_directory(&header, &object).expect("a directory");
            while let Some(commit) = directory.next_commit().expect("a commit") {
                let Commit { token, request, result, writes, .. } = commit;
                let said = [("token", token), ("request", request), ("result", result)];
                let said = said.iter().filter(|(_, said)| said.is_some()).map(|(what, _)| *what);
                let records = said.chain(writes.iter().map(kind_of));
                kinds.extend(records.map(|what| format!("{what} in a {:?}", header.kind)));
            }
        }
    }
    let wanted = [
        "Base",
        "Blob",
        "Group",
        "Node",
        "Seal",
        "start",
        "put in a Base",
        "put among values in a Base",
        "put in a blob in a Base",
        "meta in a Base",
        "swap in a Base",
        "log trimmed in a Base",
        "bases in a Base",
        "token in a Base",
        "request in a Base",
        "result in a Base",
        "put in a Group",
        "put among values in a Group",
        "put in a blob in a Group",
        "delete in a Group",
        "meta in a Group",
        "flush in a Group",
        "swap in a Group",
        "log closed in a Group",
        "log trimmed in a Group",
        "bases in a Group",
        "token in a Group",
        "request in a Group",
        "result in a Group",
    ];
    let missing: Vec<&str> = wanted.into_iter().filter(|what| !kinds.contains(*what)).collect();
    assert!(missing.is_empty(), "{missing:?} of {kinds:?}");
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
    let output = aft(words);
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
        let refused =
            Server::try_start(&small_steps(Options::in_directory(&path))).err().expect("a refusal");
        assert_ne!(refused.code, Some(0));
        let why = refused.stderr.join("\n");
        assert!(why.contains(&name.to_string()) && why.contains("newer"), "{why}");
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
