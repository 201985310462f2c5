//! Objects that vanish between two reads of a dump, as they do when a node compacts meanwhile.

use std::cell::Cell;
use std::io::Write;
use std::path::Path;

use aft::backup::{BackupError, dump};
use aft::storage::embedded::ReadOnlyStore;
use aft::storage::{Created, Limits, Store, StoreError, StoreFuture};
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::common::temp_dir::TempDir;
use crate::tool::{Data, assert_same, data_of, dump_to, fill, serve};

/// A store whose objects are all gone after some reads.
struct Vanishing {
    store: ReadOnlyStore,
    reads_left: AtomicU64,
}

impl Vanishing {
    fn open(directory: &Path, reads: u64) -> Self {
        let store = ReadOnlyStore::open_beside(directory).unwrap();
        Self { store, reads_left: AtomicU64::new(reads) }
    }
}

impl Store for Vanishing {
    fn limits(&self) -> Limits {
        self.store.limits()
    }

    fn create<'a>(&'a self, name: &'a str, object: Bytes) -> StoreFuture<'a, Created> {
        self.store.create(name, object)
    }

    fn read<'a>(&'a self, name: &'a str, offset: u64, length: u64) -> StoreFuture<'a, Bytes> {
        let left = self.reads_left.load(Ordering::Relaxed);
        if left == 0 {
            return Box::pin(async { Err(StoreError::NotFound) });
        }
        self.reads_left.store(left - 1, Ordering::Relaxed);
        self.store.read(name, offset, length)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<String>> {
        self.store.list(prefix, after, limit)
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> StoreFuture<'a, ()> {
        self.store.delete(names)
    }
}

const NOW_MS: u64 = 1_900_000_000_000;

fn run<S: Store>(
    mut open: impl FnMut() -> Result<S, StoreError>,
    out: impl Write,
) -> Result<(), BackupError> {
    let open = async || Ok(Box::new(open()?) as Box<dyn Store>);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(dump(open, out, "", NOW_MS, |_, _| {})).map(|_| ())
}

/// A store, and what it holds.
fn filled(directory: &TempDir, extra: &str) -> Data {
    let (mut server, mut client) = serve(directory.path());
    fill(&mut client);
    client.run(&["SET", "which", extra]);
    drop(client);
    assert!(server.terminate().success());
    let file = directory.path().join("dump");
    dump_to(directory.path(), &file);
    data_of(&std::fs::read(&file).unwrap())
}

#[test]
fn what_vanishes_makes_a_dump_begin_again_and_mixes_nothing() {
    let (before, after) = (TempDir::named("before"), TempDir::named("after"));
    let older = filled(&before, "older");
    let newer = filled(&after, "newer");
    assert!(older != newer);
    let opened = Cell::new(0);
    let (mut began_again, mut whole) = (0, false);
    // All of the beginning, and some of what is the same again and again.
    for reads in (0..30).chain((30..).step_by(61)) {
        opened.set(0);
        let mut bytes = Vec::new();
        let open = || {
            opened.set(opened.get() + 1);
            Ok(match opened.get() {
                1 => Vanishing::open(before.path(), reads),
                _ => Vanishing::open(after.path(), u64::MAX),
            })
        };
        run(open, &mut bytes).unwrap();
        let data = data_of(&bytes);
        if opened.get() == 1 {
            assert_same(&data, &older);
            whole = true;
            break;
        }
        assert_same(&data, &newer);
        began_again += 1;
    }
    assert!(whole && began_again > 5, "{began_again}");
}

#[test]
fn what_stays_missing_is_an_error_and_no_dump() {
    let directory = TempDir::named("missing");
    filled(&directory, "");
    let mut bytes = Vec::new();
    let failed = run(|| Ok(Vanishing::open(directory.path(), 6)), &mut bytes).unwrap_err();
    assert!(matches!(&failed, BackupError::Damaged(what) if what.contains("missing")), "{failed}");
    let mut reader = aft::backup::format::DumpReader::new(&bytes[..]).unwrap();
    let end = loop {
        match reader.next_item() {
            Ok(aft::backup::format::Item::End(_)) => break false,
            Ok(_) => {}
            Err(_) => break true,
        }
    };
    assert!(end, "nobody takes it for whole");
}
