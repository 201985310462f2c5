//! Files of dead segments of the embedded store become the next ones.

// In a test, an expectation is an assertion.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aft::storage::Store;
use aft::storage::embedded::{Done, EmbeddedOptions, ReadOnlyStore, Segments, SystemDisk, Write};
use bytes::Bytes;
use common::temp_dir::TempDir;

/// More than half of a segment: each begins one.
const OBJECT_BYTES: usize = 40 << 10;
/// What a segment holds before its records.
const HEADER_BYTES: usize = 4096;

struct World {
    directory: TempDir,
    options: EmbeddedOptions,
    disk: Arc<SystemDisk>,
    store: Segments<SystemDisk>,
    written: u8,
}

impl World {
    fn new(reuse_batch_bytes_min: u64) -> Self {
        let directory = TempDir::named("reuse");
        let options = EmbeddedOptions {
            segment_bytes: 64 << 10,
            reuse_batch_bytes_min,
            ..EmbeddedOptions::default()
        };
        let disk = Arc::new(SystemDisk::open(directory.path()).unwrap());
        let store = Segments::open(Arc::clone(&disk), options).unwrap();
        Self { directory, options, disk, store, written: 0 }
    }

    /// Writes objects, each instead of the one before, and does what is to be done beside.
    fn replace(&mut self, times: u8) {
        for _ in 0..times {
            let before = name(self.written);
            self.written += 1;
            let body = body(self.written).into();
            let create = Write::Create { name: name(self.written), body };
            let delete = Write::Delete { names: vec![before] };
            let done = self.store.commit(vec![create, delete]);
            assert_eq!(done, [Ok(Done::Created), Ok(Done::Deleted)]);
            while let Some(chore) = self.store.take_chore() {
                let finished = chore.run(&*self.disk);
                assert!(finished.is_ok());
                self.store.finish_chore(finished);
            }
        }
    }

    /// Whether the next segment, in which nothing has been written yet, has old bytes.
    fn next_is_made_of_an_old_one(&self) -> bool {
        let bytes = fs::read(newest_segment(self.directory.path())).unwrap();
        assert!(bytes[..HEADER_BYTES].starts_with(b"aftsegm1"));
        bytes[HEADER_BYTES..].iter().any(|&byte| byte != 0)
    }
}

fn name(number: u8) -> String {
    format!("log/{number}")
}

fn body(number: u8) -> Bytes {
    Bytes::from(vec![number; OBJECT_BYTES])
}

fn newest_segment(directory: &Path) -> PathBuf {
    let number =
        |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix("segment-")?.parse::<u64>().ok();
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| number(path).is_some()).max_by_key(number).unwrap()
}

#[test]
fn the_next_segment_is_made_of_a_dead_one() {
    let mut world = World::new(0);
    world.replace(10);
    assert!(world.next_is_made_of_an_old_one());
    // No file is left behind beside those that are needed, and kept for the next ones.
    let files = fs::read_dir(world.directory.path()).unwrap().count();
    world.replace(100);
    assert!(fs::read_dir(world.directory.path()).unwrap().count() <= files);
    // Where batches are small it is not worth it.
    let mut world = World::new(1 << 20);
    world.replace(10);
    assert!(!world.next_is_made_of_an_old_one());
}

/// Else the system would read them first where it has given them up.
#[test]
fn pages_of_a_file_that_is_used_again_are_written_as_a_whole() {
    const PAGE_BYTES: usize = 4096;
    let mut world = World::new(0);
    world.replace(10);
    assert!(world.next_is_made_of_an_old_one());
    let path = newest_segment(world.directory.path());
    let before = fs::read(&path).unwrap();
    // It doesn't fit behind the last object.
    let larger = Write::Create {
        name: "log/larger".to_owned(),
        body: Bytes::from(vec![0xaa; 21 << 10]).into(),
    };
    assert_eq!(world.store.commit(vec![larger]), [Ok(Done::Created)]);
    let mut pages = std::collections::BTreeSet::new();
    for small in 0..20usize {
        let name = format!("log/small/{small}");
        let create = Write::Create { name, body: Bytes::from(vec![0xaa; 300]).into() };
        assert_eq!(world.store.commit(vec![create]), [Ok(Done::Created)]);
        let after = fs::read(&path).unwrap();
        let changed = (0..after.len()).filter(|&at| after[at] != before[at]);
        pages.extend(changed.map(|at| at / PAGE_BYTES));
        // What it doesn't hold of its last page are zeros, where the old object was.
        let last = *pages.last().unwrap() * PAGE_BYTES..(pages.last().unwrap() + 1) * PAGE_BYTES;
        let end = after[last.clone()].iter().rposition(|&byte| byte != 0).unwrap();
        assert_eq!(after[last.clone()][end], 0xaa, "{small}");
        assert!(before[last].iter().all(|&byte| byte != 0), "{small}");
    }
    assert!(pages.len() > 2);
}

/// Old bytes are no records: neither in the segment that was written last nor in the next one.
#[test]
fn old_bytes_never_come_back() {
    for closes in [false, true] {
        let mut world = World::new(0);
        for round in 1..=8 {
            world.replace(7);
            if closes {
                world.store.close();
            }
            let World { directory, options, disk, store, written } = world;
            drop((store, disk));
            let disk = Arc::new(SystemDisk::open(directory.path()).unwrap());
            let store = Segments::open(Arc::clone(&disk), options).unwrap();
            assert_eq!(store.damage(), []);
            assert_eq!(store.list("", "", 100), [name(7 * round)]);
            assert_eq!(store.read(&name(7 * round), 0, u64::MAX), Ok(body(7 * round)));
            world = World { directory, options, disk, store, written };
        }
    }
}

/// Who looks at the directory while a node writes has its files open, and may read them later.
#[tokio::test]
async fn no_file_is_used_again_while_somebody_looks_at_it() {
    let mut world = World::new(0);
    world.replace(10);
    let look = ReadOnlyStore::open_beside(world.directory.path()).unwrap();
    world.replace(20);
    assert!(!world.next_is_made_of_an_old_one());
    assert_eq!(look.read(&name(10), 0, u64::MAX).await, Ok(body(10)));
    drop(look);
    world.replace(10);
    assert!(world.next_is_made_of_an_old_one());
}

impl World {
    /// The process ends without a word; the directory is left.
    fn end(self) -> (TempDir, EmbeddedOptions, u8) {
        (self.directory, self.options, self.written)
    }
}

fn open(directory: &TempDir, options: EmbeddedOptions) -> Segments<SystemDisk> {
    let disk = Arc::new(SystemDisk::open(directory.path()).unwrap());
    Segments::open(disk, options).unwrap()
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> =
        entries.filter(|path| path.to_str().unwrap().contains("segment-")).collect();
    segments.sort_by_key(|path| (path.as_os_str().len(), path.clone()));
    segments
}

/// The new name of a file that is used again is not made durable: a start goes by what is in it.
#[tokio::test]
async fn a_file_that_has_the_name_from_before_is_what_its_header_says() {
    let mut world = World::new(0);
    world.replace(10);
    let (directory, options, written) = world.end();
    let before = segments(directory.path());
    let old_name = |number: usize| directory.path().join(format!("segment-{}", number + 1));
    for (number, path) in before.iter().enumerate() {
        assert!(!old_name(number).exists());
        fs::rename(path, old_name(number)).unwrap();
    }
    // A look sees the same, and changes nothing.
    let look = ReadOnlyStore::open(directory.path()).unwrap();
    assert_eq!(look.damage(), Vec::<String>::new());
    assert_eq!(look.read(&name(written), 0, u64::MAX).await, Ok(body(written)));
    drop(look);
    assert!(old_name(0).exists());

    let mut store = open(&directory, options);
    assert_eq!(store.damage(), []);
    assert_eq!(store.list("", "", 100), [name(written)]);
    assert_eq!(store.read(&name(written), 0, u64::MAX), Ok(body(written)));
    assert!(before.iter().all(|path| path.exists()), "each has its name again");
    // And what is written now is found by the next start.
    let create = Write::Create { name: name(200), body: body(200).into() };
    assert_eq!(store.commit(vec![create]), [Ok(Done::Created)]);
    drop(store);
    assert_eq!(open(&directory, options).read(&name(200), 0, u64::MAX), Ok(body(200)));
}

/// A crash between the two copies of a header: the dead segment is no more, the next one not yet.
#[test]
fn what_was_begun_over_a_dead_segment_counts_for_nothing() {
    const SECOND_COPY: std::ops::Range<usize> = 2048..HEADER_BYTES;
    let mut world = World::new(0);
    world.replace(10);
    assert!(world.next_is_made_of_an_old_one());
    let (directory, options, written) = world.end();
    let next = newest_segment(directory.path());
    let other = segments(directory.path())[0].clone();
    assert_ne!(next, other);
    let mut bytes = fs::read(&next).unwrap();
    bytes[SECOND_COPY].copy_from_slice(&fs::read(&other).unwrap()[SECOND_COPY]);
    fs::write(&next, bytes).unwrap();

    let look = ReadOnlyStore::open(directory.path()).unwrap();
    assert_eq!(look.damage(), Vec::<String>::new());
    drop(look);
    assert!(next.exists());
    let store = open(&directory, options);
    assert_eq!(store.damage(), []);
    assert_eq!(store.list("", "", 100), [name(written)]);
    assert_eq!(store.read(&name(written), 0, u64::MAX), Ok(body(written)));
    assert!(!next.exists());
}

/// Files that were exchanged, or one in the place of another, pass for nothing else.
#[test]
fn files_that_changed_their_names_are_told() {
    let mut world = World::new(0);
    world.replace(10);
    for number in 100..104 {
        let create = Write::Create { name: name(number), body: body(number).into() };
        assert_eq!(world.store.commit(vec![create]), [Ok(Done::Created)]);
    }
    let (directory, options, _) = world.end();
    let files = segments(directory.path());
    let (one, other) = (&files[1], &files[2]);
    let [first, second] = [one, other].map(|path| fs::read(path).unwrap());
    fs::write(one, second).unwrap();
    fs::write(other, first).unwrap();
    let store = open(&directory, options);
    let told: Vec<String> = store.damage().iter().map(ToString::to_string).collect();
    for path in [one, other] {
        let name = format!("{} ", path.file_name().unwrap().to_str().unwrap());
        assert!(told.iter().any(|damage| damage.starts_with(&name)), "{name}: {told:?}");
    }
    for name in store.list("", "", 100) {
        let number = name.strip_prefix("log/").unwrap().parse().unwrap();
        assert_eq!(store.read(&name, 0, u64::MAX), Ok(body(number)));
    }
}

/// In the first format a segment's number was that in its file's name.
#[test]
fn a_directory_of_the_first_format_is_taken_over_and_others_look_at_it_as_it_is() {
    let mut world = World::new(0);
    world.replace(3);
    let (directory, options, written) = world.end();
    let format = directory.path().join("FORMAT");
    fs::write(&format, "aft embedded store, format 1\n").unwrap();
    drop(ReadOnlyStore::open(directory.path()).unwrap());
    assert_eq!(fs::read_to_string(&format).unwrap(), "aft embedded store, format 1\n");
    let store = open(&directory, options);
    assert_eq!(store.list("", "", 100), [name(written)]);
    assert_eq!(fs::read_to_string(&format).unwrap(), "aft embedded store, format 2\n");
}
