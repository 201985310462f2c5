//! `aft store` as a person or a script calls it.

use crate::node::{Node, Time};
use crate::program::{self, figure, on_a_terminal, said};
use crate::temp_dir::TempDir;
use crate::world::fill;
use aft::resp::Reply;
use aft::storage::Store;
use aft::storage::embedded::{EmbeddedOptions, EmbeddedStore, ReadOnlyStore};
use std::fs;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;

fn store_of(directory: &Path) -> String {
    format!("embedded:{}", directory.display())
}

fn aft(args: &[&str], directory: &Path) -> Output {
    let store = store_of(directory);
    program::aft(&[&["store"], args, &["--store", &store]].concat())
}

/// The usage line is what can be typed. No test of its own: between fork and exec a child has
/// the files of all tests beside it open, and with them the locks of their stores.
fn help_names_the_program() {
    for (args, usage) in [
        (&["store", "--help"][..], "aft store"),
        (&["store", "stats", "--help"], "aft store stats"),
    ] {
        let help = said(&program::aft(args));
        assert!(help.contains(&format!("\nUsage: {usage} ")), "{help}");
    }
}

/// Three lives, and a log that compaction closed in between begins as another, if it came to that.
fn process_starts(directory: &Path) -> u32 {
    let store = ReadOnlyStore::open(directory).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let names = runtime.block_on(store.list("node/", "", 1000)).unwrap();
    let newest = names.last().unwrap().strip_prefix("node/").unwrap().parse().unwrap();
    assert!(newest >= 3, "{names:?}");
    newest
}

#[test]
fn verify_and_stats_say_what_is_there_and_what_is_wrong() {
    help_names_the_program();
    let directory = TempDir::named("cli");
    let options = EmbeddedOptions { segment_bytes: 1 << 20, ..EmbeddedOptions::default() };
    fill(|| Arc::new(EmbeddedStore::open(directory.path(), options).unwrap()), Time::Real);

    let verified = aft(&["verify"], directory.path());
    assert_eq!(verified.status.code(), Some(0), "{verified:?}");
    assert!(said(&verified).ends_with("nothing is wrong\n"), "{verified:?}");
    assert!(verified.stderr.is_empty(), "no progress where nobody watches: {verified:?}");
    let stats = aft(&["stats", "--json"], directory.path());
    assert_eq!(stats.status.code(), Some(0), "{stats:?}");
    let starts = format!("\"starts\":{},", process_starts(directory.path()));
    assert!(said(&stats).contains(&starts), "{starts}: {stats:?}");
    assert!(figure(&said(&stats), "last_start_ms") > 1_700_000_000_000, "{stats:?}");

    // On a terminal there is a bar.
    let watched = on_a_terminal(&["store", "verify", "--store", &store_of(directory.path())]);
    assert!(watched.contains("objects, ") && watched.contains("] "), "{watched:?}");

    // A node has it: nobody else looks.
    let open = EmbeddedStore::open(directory.path(), options).unwrap();
    let refused = aft(&["verify"], directory.path());
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("in use"), "{refused:?}");
    drop(open);

    // A large value loses a byte: its key is named.
    let segment = directory.path().join("segment-1");
    let contents = fs::read(&segment).unwrap();
    let lose_a_byte = |of: &[u8]| {
        let mut contents = contents.clone();
        let value = contents.windows(of.len()).rposition(|bytes| bytes == of).unwrap();
        contents[value + 50] ^= 1;
        fs::write(&segment, contents).unwrap();
    };
    lose_a_byte(b"10.3.xxxxxxxx");
    let verified = aft(&["verify"], directory.path());
    assert_eq!(verified.status.code(), Some(1), "{verified:?}");
    assert!(said(&verified).contains("bad checksum of its values"), "{verified:?}");
    let json = said(&aft(&["verify", "--json"], directory.path()));
    assert!(json.starts_with('{') && json.contains("\"faults\":[{\"object\":\"log/"), "{json}");
    assert!(json.contains("\"keys\":[\"0:key10\"]"), "{json}");
    lose_a_byte(b"11.20.xxxxxxx");
    let json = said(&aft(&["verify", "--json"], directory.path()));
    assert!(json.contains("\"faults\":[{\"object\":\"blob/"), "{json}");
    assert!(json.contains("\"keys\":[\"0:key11\"]"), "{json}");

    let nothing = aft(&["verify"], &directory.path().join("nowhere"));
    assert_eq!(nothing.status.code(), Some(2), "{nothing:?}");
    assert!(!directory.path().join("nowhere").exists());
}

/// What a node says of its store and what `stats` says of it when the node has stopped.
#[test]
fn stats_are_those_of_the_node() {
    let directory = TempDir::named("figures");
    let options = EmbeddedOptions { segment_bytes: 1 << 20, ..EmbeddedOptions::default() };
    let open = || Arc::new(EmbeddedStore::open(directory.path(), options).unwrap());
    let node = Node::start(open(), Time::Real).unwrap();
    for round in 0..3 {
        for key in 0..50 {
            let value = format!("{round}").repeat(500);
            node.run(&["SET", &format!("key{key}"), &value]).unwrap();
        }
    }
    let Ok(Reply::Verbatim { text, .. }) = node.run(&["INFO", "aft"]) else { panic!("INFO") };
    let info = String::from_utf8(text.to_vec()).unwrap();
    let told = |name: &str| -> u64 {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap().parse().unwrap()
    };
    node.stop();
    let stats = said(&aft(&["stats", "--json"], directory.path()));
    assert_eq!(told("live_keys"), 50);
    assert_eq!(figure(&stats, "keys"), 50);
    for name in ["live_bytes", "groups", "bases", "logs", "compaction_debt_bytes"] {
        assert_eq!(figure(&stats, name), told(name), "{name}: {stats} {info}");
    }
    // Two headers on top: the entry of the start, and since then the seal.
    let more = figure(&stats, "dead_bytes") - told("dead_bytes");
    assert!(told("dead_bytes") > told("live_bytes"), "{info}");
    assert!((200..300).contains(&more), "{more}: {stats} {info}");
}
