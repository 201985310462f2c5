//! What is not done, and how that is said.

use std::fs;
use std::process::Stdio;

use crate::common::small_disk::SmallDisk;
use crate::common::temp_dir::TempDir;
use crate::tool::{
    aft, assert_same, command, data_in, data_of, dump_to, expect, fill, load_from, serve, spawn,
    store_of, text, verified_keys,
};

#[test]
fn a_damaged_dump_loads_nothing_and_replaces_nothing() {
    let (from, to, kept) = (TempDir::named("from"), TempDir::named("to"), TempDir::named("kept"));
    let (_server, mut client) = serve(from.path());
    fill(&mut client);
    let file = from.path().join("dump");
    dump_to(from.path(), &file);
    let whole = fs::read(&file).unwrap();
    let (mut server, mut client) = serve(kept.path());
    client.cmd("SET kept 1");
    assert!(server.terminate().success());

    let bad = from.path().join("bad");
    let step = whole.len() / 25;
    let offsets = (0..whole.len()).step_by(step).chain(whole.len() - 30..whole.len());
    for (n, at) in offsets.enumerate() {
        let mut bytes = whole.clone();
        match n % 2 {
            0 => bytes.truncate(at),
            _ => bytes[at] ^= 1 << (at % 8),
        }
        fs::write(&bad, bytes).unwrap();
        let words = ["store", "load", "--input", text(&bad), "--store"];
        for (directory, more) in [(&to, None), (&kept, Some("--replace"))] {
            let store = store_of(directory.path());
            let words = [&words[..], &[&store], more.as_slice()].concat();
            let said = aft(&words);
            let stderr = String::from_utf8_lossy(&said.stderr).into_owned();
            // A flipped bit in the number of the format makes it a newer one, and no damage.
            assert!(matches!(said.status.code(), Some(1)), "{at}: {said:?}");
            assert!(stderr.contains("dump") && stderr.contains("nothing was loaded"), "{stderr}");
        }
    }
    assert_eq!(verified_keys(kept.path()), 1);
    // What was begun so often is in nobody's way.
    load_from(to.path(), &file);
    assert_eq!(verified_keys(to.path()), data_of(&whole).len() as u64);
    let replaced = expect(
        0,
        &["store", "load", "--input", text(&file), "--replace", "--store", &store_of(kept.path())],
    );
    assert!(replaced.starts_with("loaded "), "{replaced}");
    let (_server, mut client) = serve(kept.path());
    assert_same(&data_in(&mut client, 0..6), &data_of(&whole));
}

#[test]
fn a_store_that_holds_something_or_is_served_is_not_loaded_into() {
    let (from, to) = (TempDir::named("from"), TempDir::named("to"));
    let (_server, mut client) = serve(from.path());
    client.cmd("SET a 1");
    let file = from.path().join("dump");
    dump_to(from.path(), &file);
    for more in [&[][..], &["--replace"]] {
        let words = ["store", "load", "--input", text(&file), "--store"];
        let said = expect(2, &[&words[..], &[&store_of(from.path())], more].concat());
        assert!(said.contains("in use by another aft process"), "{said}");
    }
    let (mut server, mut client) = serve(to.path());
    client.cmd("SET b 1");
    assert!(server.terminate().success());
    let said =
        expect(2, &["store", "load", "--input", text(&file), "--store", &store_of(to.path())]);
    assert!(said.contains("holds 1 keys") && said.contains("--replace"), "{said}");
    // Nothing alive in it: that is empty.
    server.restart();
    server.client().cmd("DEL b");
    assert!(server.terminate().success());
    load_from(to.path(), &file);
    assert_eq!(verified_keys(to.path()), 1);
}

#[test]
fn keys_that_expired_meanwhile_stay_away() {
    let (from, to) = (TempDir::named("from"), TempDir::named("to"));
    let (_server, mut client) = serve(from.path());
    client.cmd("SET soon 1 PX 1500");
    client.cmd("SET stays 1");
    let file = from.path().join("dump");
    dump_to(from.path(), &file);
    assert_eq!(data_of(&fs::read(&file).unwrap()).len(), 2);
    crate::common::wait::until("its time is over", crate::common::wait::PATIENCE, || {
        client.cmd("GET soon").is_nil().then_some(())
    });
    let said = load_from(to.path(), &file);
    assert_eq!(said, "loaded 1 keys; 1 had expired\n");
    dump_to(from.path(), &file);
    assert_eq!(data_of(&fs::read(&file).unwrap()).len(), 1);
}

#[test]
fn wrong_arguments_are_told_and_leave_nothing() {
    let directory = TempDir::named("arguments");
    let nowhere = directory.path().join("nowhere");
    let store = store_of(&nowhere);
    for words in [
        &["store", "dump"][..],
        &["store", "dump", "--store", "memory:"],
        &["store", "dump", "--store", &store, "--input", "x"],
        &["store", "dump", "--store", &store],
        &["store", "load", "--store", &store, "--input", "no/such/file"],
        &["store", "load", "--store", &store, "--output", "x"],
        &["import"],
        &["import", "redis://127.0.0.1:1"],
        &["import", "http://127.0.0.1:1", "--store", &store],
        &["import", "redis://127.0.0.1:1", "--store", &store],
        &["import", "redis://127.0.0.1:1/x", "--store", &store],
        &["import", "redis://127.0.0.1:1", "--store", &store, "--to", "redis://127.0.0.1:1"],
        &["import", "redis://127.0.0.1:1", "--to", "redis://127.0.0.1:1", "--replace"],
    ] {
        let said = expect(2, words);
        assert!(said.starts_with("aft: ") || said.starts_with("error: "), "{words:?}: {said}");
        assert!(!nowhere.exists(), "{words:?}");
    }
    for words in [&["store", "dump", "--help"][..], &["store", "load", "--help"], &["import", "-h"]]
    {
        let output = aft(words);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && said.contains("Usage: aft "), "{said}");
    }
    // An empty input, and one that is something else.
    let other = directory.path().join("other");
    for content in [&b""[..], b"REDIS0009 and so on", &[0; 4096]] {
        fs::write(&other, content).unwrap();
        let said = expect(1, &["store", "load", "--store", &store, "--input", text(&other)]);
        assert!(said.contains("no dump of aft"), "{said}");
        assert!(!nowhere.exists());
    }
}

#[test]
fn a_damaged_store_is_not_dumped() {
    let directory = TempDir::named("damaged");
    let (mut server, mut client) = serve(directory.path());
    client.run(&["SET", "key", &"x".repeat(1_000)]);
    assert!(server.terminate().success());
    let segment = directory.path().join("segment-1");
    let mut bytes = fs::read(&segment).unwrap();
    let value = bytes.windows(100).position(|window| window == [b'x'; 100]).unwrap();
    bytes[value + 50] = b'y';
    fs::write(&segment, bytes).unwrap();
    let file = directory.path().join("dump");
    let words = ["store", "dump", "--store", &store_of(directory.path()), "--output", text(&file)];
    let said = expect(1, &words);
    assert!(said.contains("log/") && said.contains("0:key"), "{said}");
    assert!(!file.exists() && !directory.path().join("dump.unfinished").exists());
}

#[test]
fn a_full_disk_is_told_and_leaves_the_older_dump_alone() {
    let directory = TempDir::named("full");
    let (_server, mut client) = serve(directory.path());
    client.run(&["SET", "large", &"x".repeat(3_000_000)]);
    let disk = SmallDisk::new("size=1m");
    let seen = disk.seen_from_outside().join("dump");
    fs::write(&seen, "an older one").unwrap();
    let through = disk.through();
    let inside = disk.path().join("dump");
    let store = store_of(directory.path());
    let mut words: Vec<&str> = through.iter().map(String::as_str).collect();
    words.extend([
        env!("CARGO_BIN_EXE_aft"),
        "store",
        "dump",
        "--store",
        &store,
        "--output",
        text(&inside),
    ]);
    let output = std::process::Command::new(words[0]).args(&words[1..]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("dump.unfinished: No space left"), "{said}");
    assert_eq!(fs::read(&seen).unwrap(), b"an older one");
    assert!(!disk.seen_from_outside().join("dump.unfinished").exists());
    // A reader that goes away is told like any other failure.
    let mut to_nobody = command(&["store", "dump", "--store", &store]);
    let mut to_nobody = to_nobody.stdout(Stdio::piped()).spawn().unwrap();
    drop(to_nobody.stdout.take());
    assert_eq!(to_nobody.wait().unwrap().code(), Some(2));
}

#[test]
fn two_dumps_do_not_write_one_file() {
    let directory = TempDir::named("two");
    let (_server, mut client) = serve(directory.path());
    client.run(&["SET", "key", "x"]);
    let file = directory.path().join("dump");
    let unfinished = directory.path().join("dump.unfinished");
    let held = fs::File::create(&unfinished).unwrap();
    held.lock().unwrap();
    let store = store_of(directory.path());
    let words = ["store", "dump", "--store", &store, "--output", text(&file)];
    let said = expect(2, &words);
    assert!(said.contains("being written by another"), "{said}");
    drop(held);
    // What a dump that was killed has left is no obstacle.
    let mut child = spawn(&words);
    assert!(child.wait().unwrap().success());
    assert_eq!(data_of(&fs::read(&file).unwrap()).len(), 1);
}

#[test]
fn a_pipe_is_written_to_and_not_replaced() {
    let directory = TempDir::named("pipe");
    let (_server, mut client) = serve(directory.path());
    client.run(&["SET", "key", "x"]);
    let pipe = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let store = store_of(directory.path());
    let mut child = spawn(&["store", "dump", "--store", &store, "--output", text(&pipe)]);
    assert_eq!(data_of(&fs::read(&pipe).unwrap()).len(), 1);
    assert!(child.wait().unwrap().success());
    let kind = std::os::unix::fs::FileTypeExt::is_fifo(&fs::metadata(&pipe).unwrap().file_type());
    assert!(kind, "it is still a pipe");
    let said = expect(2, &["store", "dump", "--store", &store, "--output", text(directory.path())]);
    assert!(said.contains("directory"), "{said}");
}
