//! The embedded store on a real directory: opening, refusing, full disks, bit rot.

// In a test, an unwrap is an assertion.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use aft::storage::embedded::{
    Disk, Done, Durability, EmbeddedOptions, EmbeddedStore, OBJECT_BYTES_MAX, Segments, SystemDisk,
    Write,
};
use aft::storage::{Created, Store, StoreError};
use bytes::Bytes;
use common::at_hand;
use common::sim_disk::SimDisk;
use common::temp_dir::TempDir;
use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn options(segment_bytes: u64) -> EmbeddedOptions {
    EmbeddedOptions { segment_bytes, entropy: 11, ..EmbeddedOptions::default() }
}

fn open(path: &Path) -> EmbeddedStore {
    EmbeddedStore::open(path, options(64 << 10)).unwrap()
}

/// How many segments there are, and how long all of them.
fn segments_in(path: &Path) -> (usize, u64) {
    let files = fs::read_dir(path).unwrap().flatten();
    let segments = files.filter(|f| f.file_name().to_string_lossy().starts_with("segment-"));
    // One may go while we look.
    let lengths: Vec<u64> = segments.flat_map(|f| f.metadata()).map(|m| m.len()).collect();
    (lengths.len(), lengths.iter().sum())
}

fn bytes(size: usize, salt: u8) -> Bytes {
    (0..size).map(|i| (i as u8).wrapping_mul(31) ^ salt).collect()
}

/// Runs one test of this program in a process of its own, with a directory to work in.
fn this_test_in(path: &Path, test: &str, variable: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]);
    command.env(variable, path);
    command
}

#[test]
fn one_object_that_lives_for_ever_holds_back_no_space() {
    let directory = TempDir::new();
    let path = directory.path().join("store");
    let store = open(&path);
    run(async {
        store.create("node/1", bytes(100, 7)).await.unwrap();
        for number in 0..100 {
            let name = format!("log/{number}");
            store.create(&name, bytes(20 << 10, 1)).await.unwrap();
            store.delete(&[name]).await.unwrap();
        }
    });
    // The head, the spare, the one before, and one that is being removed.
    common::wait::until("old segments go", common::wait::PATIENCE, || {
        (segments_in(&path).1 <= 4 * (64 << 10)).then_some(())
    });
    assert_eq!(run(store.read("node/1", 0, u64::MAX)), Ok(bytes(100, 7)));
    drop(store);
    assert_eq!(run(open(&path).read("node/1", 0, u64::MAX)), Ok(bytes(100, 7)));
}

/// A copy of a store that is open, as a kill would leave it, in which a byte of its last object has
/// been flipped: the names that are there.
fn names_after_rot(path: &Path, last: &Bytes) -> Vec<String> {
    let copy = TempDir::new();
    for file in fs::read_dir(path).unwrap().flatten() {
        // The next segment gets its name meanwhile.
        let Ok(mut bytes) = fs::read(file.path()) else { continue };
        if let Some(at) = bytes.windows(last.len()).position(|window| window == last) {
            bytes[at + last.len() / 2] ^= 1;
        }
        fs::write(copy.path().join(file.file_name()), bytes).unwrap();
    }
    let disk = Arc::new(SystemDisk::open(copy.path()).unwrap());
    Segments::open(disk, options(64 << 10)).unwrap().list("", "", 10)
}

/// What a crash may have torn counts for nothing. Of what was written a while before it can't be
/// that: it is there, and whoever reads it sees that it is damaged.
#[test]
fn what_was_written_a_while_ago_does_not_pass_for_torn() {
    for durability in [Durability::Always, Durability::EverySecond] {
        let directory = TempDir::new();
        let path = directory.path().join("store");
        let options = EmbeddedOptions { durability, ..options(64 << 10) };
        let store = EmbeddedStore::open(&path, options).unwrap();
        let last = bytes(300, 9);
        run(async {
            store.create("log/1", bytes(300, 7)).await.unwrap();
            store.create("log/2", last.clone()).await.unwrap();
        });
        common::wait::until("it is written down", common::wait::PATIENCE, || {
            (names_after_rot(&path, &last) == ["log/1", "log/2"]).then_some(())
        });
    }
}

#[test]
fn old_segments_go_when_nothing_is_written_any_more() {
    let directory = TempDir::new();
    let disk = Arc::new(SystemDisk::open(directory.path()).unwrap());
    let mut store = Segments::open(Arc::clone(&disk), options(64 << 10)).unwrap();
    let create =
        |name: &str, size| Write::Create { name: name.to_owned(), body: bytes(size, 7).into() };
    store.commit(vec![create("node/1", 100)]);
    for number in 0..40 {
        let name = format!("log/{number}");
        store.commit(vec![create(&name, 20 << 10)]);
        store.commit(vec![Write::Delete { names: vec![name] }]);
    }
    // All removals come behind the last write, as on a slow disk.
    while let Some(chore) = store.take_chore() {
        store.finish_chore(chore.run(&*disk));
    }
    let files = disk.list().unwrap();
    let segments = files.iter().filter(|name| name.starts_with("segment-")).count();
    // The head, the spare, and one before.
    assert!(segments <= 3, "{files:?}");
    assert_eq!(store.read("node/1", 0, u64::MAX), Ok(bytes(100, 7)));
}

#[test]
fn everything_is_there_after_reopening() {
    let directory = TempDir::new();
    for durability in [Durability::Always, Durability::EverySecond] {
        let path = directory.path().join(format!("{durability:?}").to_lowercase());
        let options = EmbeddedOptions { durability, ..options(64 << 10) };
        let mut expected: BTreeMap<String, Bytes> = BTreeMap::new();
        for round in 0..4u8 {
            let store = EmbeddedStore::open(&path, options).unwrap();
            assert_eq!(store.damage(), []);
            run(async {
                assert_eq!(
                    store.list("", "", usize::MAX).await.unwrap(),
                    expected.keys().cloned().collect::<Vec<_>>()
                );
                for (name, object) in &expected {
                    assert_eq!(store.read(name, 0, u64::MAX).await.as_ref(), Ok(object));
                }
                for number in 0..40 {
                    let name = format!("log/{round}/{number}");
                    let size = if number == 7 { 200_000 } else { number * 97 };
                    let object = bytes(size, round);
                    let created = store.create(&name, object.clone()).await;
                    assert_eq!(created, Ok(Created::Created));
                    expected.insert(name, object);
                }
                let doomed: Vec<String> = expected.keys().step_by(3).cloned().collect();
                store.delete(&doomed).await.unwrap();
                expected.retain(|name, _| !doomed.contains(name));
            });
        }
    }
}

#[test]
fn what_is_short_and_in_the_system_s_memory_is_at_hand() {
    const SHORT: usize = 16 << 10;
    let directory = TempDir::new();
    let store = open(&directory.path().join("store"));
    let (short, long) = (bytes(SHORT, 1), bytes(SHORT + 1, 2));
    run(async {
        store.create("log/1/1", short.clone()).await.unwrap();
        store.create("log/1/2", long.clone()).await.unwrap();
    });
    // Some systems don't tell while somebody writes to the file, as the store does now and then.
    let read = |name, offset| (0..100).find_map(|_| store.read_at_once(name, offset, u64::MAX));
    assert_eq!(read("log/1/1", 0), at_hand::is_told().then_some(short));
    assert_eq!(read("log/1/2", 1), at_hand::is_told().then(|| long.slice(1..)));
    // To copy that takes longer than a thread takes to wake up.
    assert_eq!(read("log/1/2", 0), None);
    assert_eq!(read("log/1/3", 0), None);
}

#[test]
fn dead_segments_are_removed() {
    let directory = TempDir::new();
    let store = open(directory.path());
    run(async {
        for number in 0..200 {
            let name = format!("log/a/{number}");
            store.create(&name, bytes(9000, 1)).await.unwrap();
            store.delete(&[name]).await.unwrap();
        }
    });
    common::wait::until("dead segments go", common::wait::PATIENCE, || {
        (segments_in(directory.path()).0 < 8).then_some(())
    });
    drop(store);
}

#[test]
fn segments_grow_with_the_store() {
    const OBJECT_BYTES: usize = 64 << 10;
    const SMALLEST: u64 = 512 << 10;
    let directory = TempDir::new();
    let path = directory.path();
    let store = EmbeddedStore::open(path, options(32 * SMALLEST)).unwrap();
    let mut expected = SMALLEST;
    run(async {
        for number in 0..1024 {
            store.create(&format!("log/{number}"), bytes(OBJECT_BYTES, 1)).await.unwrap();
            let files = fs::read_dir(path).unwrap().flatten();
            // One may get its name while we look.
            let largest = files.flat_map(|f| f.metadata()).map(|m| m.len());
            let (_, whole) = segments_in(path);
            expected = expected.max(whole / 32);
            assert!(largest.max().unwrap() <= expected + (64 << 10), "after {number}");
        }
        let (segments, bytes) = segments_in(path);
        // Of the smallest it would be 128.
        assert!(segments < 100 && bytes > 64 << 20, "{segments} segments, {bytes} bytes");
    });
}

#[test]
fn bad_names_and_large_objects_are_rejected() {
    let directory = TempDir::new();
    let store = open(directory.path());
    let long = "a".repeat(256);
    run(async {
        for name in ["", "A", "a.b", "a b", "ä", "a\0", &long] {
            let refused = store.create(name, Bytes::new()).await;
            assert!(matches!(refused, Err(StoreError::Rejected(_))), "{name:?}");
        }
        let longest = "a".repeat(255);
        assert_eq!(store.create(&longest, Bytes::new()).await, Ok(Created::Created));
        let large = Bytes::from(vec![0; OBJECT_BYTES_MAX as usize + 1]);
        let refused = store.create("large", large).await;
        assert!(matches!(refused, Err(StoreError::Rejected(_))), "{refused:?}");
        assert_eq!(store.list("", "", 9).await.unwrap(), [longest]);
    });
}

#[test]
fn a_second_process_is_told_who_has_the_directory() {
    let directory = TempDir::new();
    let mut holder = this_test_in(directory.path(), "holds_a_directory", "AFT_TEST_HOLD")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(output.any(|line| line.unwrap().contains("AFT_TEST_HELD")));

    let refused = EmbeddedStore::open(directory.path(), options(64 << 10)).unwrap_err();
    let expected = format!(
        "{} is in use by another aft process (pid {})",
        directory.path().display(),
        holder.id()
    );
    assert_eq!(refused, StoreError::Fatal(expected));

    // However the holder ends, the directory is free.
    holder.kill().unwrap();
    holder.wait().unwrap();
    open(directory.path());
}

/// Run in a process of its own by the test above.
#[test]
fn holds_a_directory() {
    let Some(path) = std::env::var_os("AFT_TEST_HOLD") else {
        return;
    };
    let _store = open(Path::new(&path));
    println!("AFT_TEST_HELD");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let directory = TempDir::new();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let refused = EmbeddedStore::open(&file.join("store"), options(64 << 10)).unwrap_err();
    let StoreError::Fatal(why) = refused else { panic!("{refused:?}") };
    assert!(why.contains("file/store"), "{why}");
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let directory = TempDir::new();
    fs::write(directory.path().join("FORMAT"), "aft embedded store, format 3\n").unwrap();
    fs::write(directory.path().join("segment-9.tmp"), "not ours to remove").unwrap();
    let state = || -> BTreeMap<_, _> {
        fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect()
    };
    let before = state();
    let refused = EmbeddedStore::open(directory.path(), options(64 << 10)).unwrap_err();
    assert!(matches!(&refused, StoreError::Fatal(why) if why.contains("format 3")), "{refused}");
    assert_eq!(state(), before);
}

#[test]
fn bit_rot_costs_what_it_hit_and_is_reported() {
    let directory = TempDir::new();
    let store = EmbeddedStore::open(directory.path(), options(1 << 20)).unwrap();
    run(async {
        for number in 0..8u8 {
            let name = format!("log/a/{number}");
            store.create(&name, bytes(1000, number)).await.unwrap();
        }
    });
    drop(store);
    // The first segment's third record loses its head, the fifth a byte of its body.
    let segment = directory.path().join("segment-1");
    let mut contents = fs::read(&segment).unwrap();
    let at = |contents: &[u8], name: &str| {
        contents.windows(name.len()).position(|bytes| bytes == name.as_bytes()).unwrap()
    };
    let head = at(&contents, "log/a/2");
    contents[head] ^= 1;
    let body = at(&contents, "log/a/4") + 100;
    contents[body] ^= 1;
    fs::write(&segment, &contents).unwrap();

    let store = EmbeddedStore::open(directory.path(), options(1 << 20)).unwrap();
    run(async {
        assert_eq!(store.damage().len(), 1, "{:?}", store.damage());
        assert_eq!(store.damage()[0].segment, 1);
        let expected = [0, 1, 3, 4, 5, 6, 7].map(|number| format!("log/a/{number}"));
        assert_eq!(store.list("", "", 99).await.unwrap(), expected);
        // What can be named is there, as it stands: the engine's checksums find it.
        let rotten = store.read("log/a/4", 0, u64::MAX).await.unwrap();
        assert_eq!(rotten.len(), 1000);
        assert_ne!(rotten, bytes(1000, 4));
        assert_eq!(store.read("log/a/7", 0, u64::MAX).await, Ok(bytes(1000, 7)));
    });
}

/// What the segments hold is in them, and no more: behind their ends stand zeros that nobody
/// will ever overwrite.
#[test]
fn a_sealed_segment_is_cut_at_its_end() {
    const SEGMENT_BYTES: u64 = 64 << 10;
    const OBJECT_BYTES: usize = 40 << 10;
    for durability in [Durability::Always, Durability::EverySecond] {
        let directory = TempDir::new();
        let disk = Arc::new(SystemDisk::open(directory.path()).unwrap());
        let options = EmbeddedOptions { durability, ..options(SEGMENT_BYTES) };
        let open = || Segments::open(Arc::clone(&disk), options).unwrap();
        let mut store = open();
        let do_chores = |store: &mut Segments<SystemDisk>| {
            while let Some(chore) = store.take_sync().or_else(|| store.take_chore()) {
                store.finish_chore(chore.run(&*disk));
            }
        };
        let names: Vec<String> = (1..=8).map(|number| format!("log/{number}")).collect();
        for name in &names {
            let body = bytes(OBJECT_BYTES, 7).into();
            store.commit(vec![Write::Create { name: name.clone(), body }]);
        }
        // As after a crash: a start finds them as they were, and cuts them, too.
        let whole = segments_in(directory.path()).1;
        assert!(whole >= names.len() as u64 * SEGMENT_BYTES, "{whole}");
        drop(store);
        for _start in 0..2 {
            let mut store = open();
            assert_eq!(store.damage(), []);
            do_chores(&mut store);
            for name in &names {
                assert_eq!(store.read(name, 0, u64::MAX), Ok(bytes(OBJECT_BYTES, 7)));
            }
            // Before the last object's first place, its copy and the spare there is next to
            // nothing but objects.
            let older = (names.len() as u64 - 1) * (OBJECT_BYTES as u64 + (5 << 10));
            let cut = segments_in(directory.path()).1;
            assert!(cut <= older + 3 * SEGMENT_BYTES, "{cut}");
        }
        // And those that were sealed since the start.
        let mut store = open();
        let before = segments_in(directory.path()).1;
        let body = bytes(OBJECT_BYTES, 7).into();
        store.commit(vec![Write::Create { name: "log/9".to_owned(), body }]);
        do_chores(&mut store);
        let after = segments_in(directory.path()).1;
        assert!(after < before + SEGMENT_BYTES, "{after} bytes, {before} before");
    }
}

/// A small object that lives for ever stands in a segment that was cut to little more than it.
#[test]
fn a_short_segment_is_emptied_and_goes() {
    let disk = SimDisk::new(7, None);
    let mut store = Segments::open(Arc::new(disk.clone()), options(64 << 10)).unwrap();
    let create = |store: &mut Segments<SimDisk>, name: &str, size| {
        let write = Write::Create { name: name.to_owned(), body: bytes(size, 7).into() };
        assert_eq!(store.commit(vec![write]), [Ok(Done::Created)]);
        while let Some(chore) = store.take_chore() {
            store.finish_chore(chore.run(&disk));
        }
    };
    create(&mut store, "node/1", 150);
    create(&mut store, "log/1", 2000);
    let first = "segment-1".to_owned();
    assert!(disk.list().unwrap().contains(&first));
    // Neither fits in what is left of the segment before.
    create(&mut store, "log/2", 100 << 10);
    create(&mut store, "log/3", 100 << 10);
    store.commit(vec![Write::Delete { names: vec!["log/1".to_owned(), "log/2".to_owned()] }]);
    create(&mut store, "log/4", 10);
    let left = disk.list().unwrap();
    assert!(!left.contains(&first), "{left:?}");
    assert_eq!(store.read("node/1", 0, u64::MAX), Ok(bytes(150, 7)));
}

/// Objects that replace others may be lost by a power cut, if it comes within a second; then the
/// others have to be there.
#[test]
fn nothing_is_removed_before_what_killed_it_is_durable() {
    for reuse_batch_bytes_min in [u64::MAX, 0] {
        removes_what_is_durable(reuse_batch_bytes_min);
    }
}

fn removes_what_is_durable(reuse_batch_bytes_min: u64) {
    let disk = SimDisk::new(7, None);
    let durability = Durability::EverySecond;
    let options = EmbeddedOptions { durability, reuse_batch_bytes_min, ..options(64 << 10) };
    let mut store = Segments::open(Arc::new(disk.clone()), options).unwrap();
    let create = |name: &str, size| {
        vec![Write::Create { name: name.to_owned(), body: bytes(size, 7).into() }]
    };
    store.commit(create("log/1", 40 << 10));
    store.commit(create("log/2", 40 << 10));
    let first = "segment-1".to_owned();
    let do_chores = |store: &mut Segments<SimDisk>| {
        while let Some(chore) = store.take_chore() {
            store.finish_chore(chore.run(&disk));
        }
    };
    store.commit(create("base/1", 100));
    store.commit(vec![Write::Delete { names: vec!["log/1".to_owned()] }]);
    do_chores(&mut store);
    assert!(disk.list().unwrap().contains(&first), "gone before the delete is durable");
    let sync = store.take_sync().unwrap();
    store.finish_chore(sync.run(&disk));
    // Its file may be kept for the next segment.
    store.commit(create("log/3", 40 << 10));
    do_chores(&mut store);
    assert!(!disk.list().unwrap().contains(&first), "the delete is durable");
}

/// A segment is begun in the last free space, and the object it was begun for doesn't fit any
/// more: its seal waits to be written. What is dead has to go all the same, or never.
#[test]
fn dead_segments_go_while_nothing_can_be_written() {
    let begun = (0..6).filter(|&pages| goes_on_when_full(pages)).count();
    assert!(begun > 0, "no segment was begun on a full disk");
}

/// Whether a segment was begun with so much space left.
fn goes_on_when_full(pages: usize) -> bool {
    let disk = SimDisk::new(7, None);
    let mut store = Segments::open(Arc::new(disk.clone()), options(16 << 10)).unwrap();
    // Each object fills a segment.
    let create =
        |name: &str| Write::Create { name: name.to_owned(), body: bytes(10 << 10, 7).into() };
    for name in ["log/1", "log/2", "log/3", "log/4"] {
        assert_eq!(store.commit(vec![create(name)]), [Ok(Done::Created)]);
    }
    let names = ["log/1", "log/2", "log/3"].map(str::to_owned).to_vec();
    assert_eq!(store.commit(vec![Write::Delete { names }]), [Ok(Done::Deleted)]);
    let segments = disk.list().unwrap().len();
    disk.set_pages_max(disk.pages_used() + pages);
    let refused = store.commit(vec![create("log/5")]);
    let begun = disk.list().unwrap().len() > segments;
    if refused == [Ok(Done::Created)] {
        return false;
    }
    assert!(matches!(refused[..], [Err(StoreError::Full(_))]), "{refused:?}");
    while let Some(chore) = store.take_chore() {
        store.finish_chore(chore.run(&disk));
    }
    assert_eq!(store.commit(vec![create("log/5")]), [Ok(Done::Created)], "{pages} pages");
    drop(store);
    let store = Segments::open(Arc::new(disk), options(16 << 10)).unwrap();
    assert_eq!(store.list("", "", 9), ["log/4", "log/5"]);
    assert_eq!(store.damage(), []);
    begun
}

/// On a file system of 4 MB, mounted for a process of its own; where that isn't
/// allowed, with a limit on the size of files, which can't be relieved.
#[test]
fn a_full_disk_is_survived_without_a_restart() {
    let directory = TempDir::new();
    let exe = std::env::current_exe().unwrap();
    let wrapped = |wrapper: &[&str], script: &str, variable: &str| -> Output {
        Command::new(wrapper[0])
            .args(&wrapper[1..])
            .args(["sh", "-c", script])
            .env("AFT_TEST_EXE", &exe)
            .env(variable, directory.path())
            .output()
            .unwrap()
    };
    let test = "exec \"$AFT_TEST_EXE\" fills_a_disk --exact --nocapture";
    let mount = format!("mount -t tmpfs -o size=4m none \"$AFT_TEST_FULL\" && {test}");
    let mut output = wrapped(&["unshare", "-rm"], &mount, "AFT_TEST_FULL");
    if !String::from_utf8_lossy(&output.stdout).contains("AFT_TEST_STARTED") {
        println!("no mount here, so a limit on file sizes: {output:?}");
        let limit = format!("trap '' XFSZ; ulimit -f 1000; {test}");
        output = wrapped(&["env"], &limit, "AFT_TEST_LIMITED");
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("AFT_TEST_DONE"), "{output:?}");
}

/// Run in a process of its own by the test above.
#[test]
fn fills_a_disk() {
    let full = std::env::var_os("AFT_TEST_FULL");
    let Some(path) = full.clone().or(std::env::var_os("AFT_TEST_LIMITED")) else {
        return;
    };
    println!("AFT_TEST_STARTED");
    let path = Path::new(&path);
    let segment_bytes = if full.is_some() { 512 << 10 } else { 4 << 20 };
    let store = EmbeddedStore::open(path, options(segment_bytes)).unwrap();
    let object = bytes(16 << 10, 5);
    let names = run(async {
        let mut created = Vec::new();
        loop {
            let name = format!("log/a/{:04}", created.len());
            match store.create(&name, object.clone()).await {
                Ok(_) => created.push(name),
                Err(StoreError::Full(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
        assert!(!created.is_empty());
        // What was refused isn't there, what was acknowledged is, and may be deleted.
        assert_eq!(store.list("", "", 9999).await.unwrap(), created);
        let kept = created.split_off(created.len() / 2);
        // There is room for some deletes; those make room for the others.
        let mut deleted = store.delete(&created).await;
        for _attempt in 0..if full.is_some() { 100_000 } else { 0 } {
            let Err(StoreError::Full(_)) = deleted else { break };
            deleted = store.delete(&created).await;
        }
        deleted.unwrap();
        kept
    });
    let after = run(async {
        let mut after = names.clone();
        // The space comes back in the background; each attempt waits for the writer.
        for _attempt in 0..if full.is_some() { 100_000 } else { 0 } {
            match store.create("log/b", object.clone()).await {
                Ok(_) => {
                    after.push("log/b".to_owned());
                    break;
                }
                Err(StoreError::Full(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(store.list("", "", 9999).await.unwrap(), after);
        after
    });
    assert_eq!(after.len() > names.len(), full.is_some());
    drop(store);
    let store = EmbeddedStore::open(path, options(segment_bytes)).unwrap();
    run(async {
        assert_eq!(store.list("", "", 9999).await.unwrap(), after);
        for name in &after {
            assert_eq!(store.read(name, 0, u64::MAX).await.as_ref(), Ok(&object));
        }
    });
    println!("AFT_TEST_DONE");
}
