//! What every store must do, run against every store.
//!
//! A new store is one more entry in [`on_every_store`]. Names carry a prefix per test,
//! so that a store shared by all tests (a server) serves as well as a fresh one.

// In a test, an unwrap is an assertion.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use aft::storage::embedded::{EmbeddedOptions, EmbeddedStore};
use aft::storage::memory::MemoryStore;
use aft::storage::{Created, Store, StoreError};
use bytes::Bytes;
use common::temp_dir::TempDir;
use std::future::Future;
use std::sync::Arc;

/// Runs a test on a fresh store of each kind; what it keeps lives as long as the test.
fn on_every_store<F, T>(test: F)
where
    F: Fn(Arc<dyn Store>) -> T,
    T: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        test(Arc::new(MemoryStore::new())).await;

        let directory = TempDir::new();
        test(Arc::new(open_embedded(&directory, 64 << 20))).await;
        // Segments that a few objects fill, so that every path crosses their ends.
        let directory = TempDir::new();
        test(Arc::new(open_embedded(&directory, 8 << 10))).await;
    });
}

fn open_embedded(directory: &TempDir, segment_bytes: u64) -> EmbeddedStore {
    let options = EmbeddedOptions { segment_bytes, entropy: 7, ..EmbeddedOptions::default() };
    EmbeddedStore::open(directory.path(), options).unwrap()
}

fn bytes(size: usize, salt: u8) -> Bytes {
    (0..size).map(|i| (i as u8).wrapping_mul(31) ^ salt).collect()
}

async fn names(store: &dyn Store, prefix: &str) -> Vec<String> {
    store.list(prefix, "", usize::MAX).await.unwrap()
}

#[test]
fn a_created_object_reads_back_whole() {
    on_every_store(|store| async move {
        for (number, size) in [0, 1, 7, 8, 9, 511, 4096, 70_000, 300_000].into_iter().enumerate() {
            let name = format!("whole/{number}");
            let object = bytes(size, number as u8);
            assert_eq!(store.create(&name, object.clone()).await, Ok(Created::Created));
            assert_eq!(store.read(&name, 0, u64::MAX).await, Ok(object));
        }
    });
}

#[test]
fn a_range_is_cut_at_the_objects_end() {
    on_every_store(|store| async move {
        let object = bytes(1000, 3);
        store.create("range/a", object.clone()).await.unwrap();
        let edges = [0, 1, 499, 999, 1000, 1001, 5000, u64::MAX - 1, u64::MAX];
        for offset in edges {
            for length in edges {
                let start = offset.min(1000) as usize;
                let end = offset.saturating_add(length).min(1000) as usize;
                let read = store.read("range/a", offset, length).await;
                assert_eq!(read, Ok(object.slice(start..end)), "{offset} + {length}");
            }
        }
    });
}

#[test]
fn what_is_not_there_is_not_found() {
    on_every_store(|store| async move {
        store.create("missing/b", bytes(1, 0)).await.unwrap();
        for name in ["missing/a", "missing/b/c", "missing/", "missing/c"] {
            assert_eq!(store.read(name, 0, 1).await, Err(StoreError::NotFound), "{name}");
        }
    });
}

#[test]
fn a_name_is_taken_once() {
    on_every_store(|store| async move {
        assert_eq!(store.create("once/a", bytes(10, 1)).await, Ok(Created::Created));
        for salt in [1, 2] {
            let again = store.create("once/a", bytes(20, salt)).await;
            assert_eq!(again, Ok(Created::AlreadyExists));
        }
        assert_eq!(store.read("once/a", 0, u64::MAX).await, Ok(bytes(10, 1)));
    });
}

#[test]
fn names_are_listed_in_byte_order_page_by_page() {
    on_every_store(|store| async move {
        let mut all: Vec<String> = (0..57).map(|i| format!("list/{}", i * 7 % 57)).collect();
        all.extend(["list".to_owned(), "list0".to_owned(), "lisu/1".to_owned()]);
        for name in &all {
            store.create(name, Bytes::new()).await.unwrap();
        }
        let mut expected: Vec<String> =
            all.into_iter().filter(|n| n.starts_with("list/")).collect();
        expected.sort_unstable();
        assert_eq!(names(&*store, "list/").await, expected);

        for limit in [1, 2, 10, 56, 57, 58] {
            let mut paged: Vec<String> = Vec::new();
            loop {
                let after = paged.last().cloned().unwrap_or_default();
                let page = store.list("list/", &after, limit).await.unwrap();
                assert!(page.len() <= limit);
                if page.is_empty() {
                    break;
                }
                paged.extend(page);
            }
            assert_eq!(paged, expected, "pages of {limit}");
        }
        assert_eq!(store.list("list/", "", 0).await, Ok(vec![]));
        assert_eq!(store.list("list/", "list/~", 9).await, Ok(vec![]));
        assert_eq!(store.list("list/", "lisu", 9).await, Ok(vec![]));
        // `after` need not be a name that is there.
        assert_eq!(store.list("list/5", "list/54a", 1).await.unwrap(), ["list/55"]);
        assert_eq!(store.list("none/", "", 9).await, Ok(vec![]));
    });
}

#[test]
fn deleting_twice_or_what_never_was_is_no_error() {
    on_every_store(|store| async move {
        for name in ["gone/a", "gone/b", "gone/c"] {
            store.create(name, bytes(100, 0)).await.unwrap();
        }
        let doomed = ["gone/a", "gone/never", "gone/b", "gone/a"].map(str::to_owned);
        for _ in 0..3 {
            assert_eq!(store.delete(&doomed).await, Ok(()));
            assert_eq!(names(&*store, "gone/").await, ["gone/c"]);
        }
        assert_eq!(store.delete(&[]).await, Ok(()));
        assert_eq!(store.read("gone/a", 0, 1).await, Err(StoreError::NotFound));
        assert_eq!(store.read("gone/c", 0, u64::MAX).await, Ok(bytes(100, 0)));
    });
}

/// Sixteen threads want each name; one gets it, and its bytes are the ones.
#[test]
fn of_sixteen_creates_one_wins() {
    on_every_store(|store| async move {
        for round in 0..20 {
            let name = format!("race/{round}");
            let winners: Vec<u8> = std::thread::scope(|scope| {
                let racers: Vec<_> = (0..16u8)
                    .map(|racer| {
                        let (store, name) = (&store, &name);
                        scope.spawn(move || {
                            let runtime = tokio::runtime::Builder::new_current_thread()
                                .enable_all()
                                .build()
                                .unwrap();
                            let create = store.create(name, bytes(700, racer));
                            (racer, runtime.block_on(create).unwrap())
                        })
                    })
                    .collect();
                let ended = racers.into_iter().map(|racer| racer.join().unwrap());
                ended
                    .filter(|(_, outcome)| *outcome == Created::Created)
                    .map(|(racer, _)| racer)
                    .collect()
            });
            assert_eq!(winners.len(), 1, "{name}");
            let kept = store.read(&name, 0, u64::MAX).await.unwrap();
            assert_eq!(kept, bytes(700, winners[0]));
        }
    });
}

#[test]
fn the_limits_make_sense() {
    on_every_store(|store| async move {
        let limits = store.limits();
        assert!(limits.object_bytes_max >= 1 << 18);
        assert!(limits.group_bytes_useful as u64 <= limits.object_bytes_max);
        assert!(limits.creates_in_flight >= 1);
    });
}
