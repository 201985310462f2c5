//! What a start reads: headers and directories of what counts, many at a time.

use crate::losses::{get, open_with, opened_on, put, store};
use crate::store::SimStore;
use aft::engine::core::compaction::CompactionLimits;
use aft::engine::{Engine, EngineOptions};
use aft::storage::{Created, Limits, Store, StoreFuture};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::sleep;

/// Counts what is read.
struct Counting {
    store: SimStore,
    requests: AtomicU64,
    bytes: AtomicU64,
    in_flight: AtomicU64,
    in_flight_most: AtomicU64,
}

impl Store for Counting {
    /// One that reads parts of objects.
    fn limits(&self) -> Limits {
        Limits { read_gap_bytes: 4096, ..self.store.limits() }
    }

    fn create<'a>(&'a self, name: &'a str, object: Bytes) -> StoreFuture<'a, Created> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.store.create(name, object)
    }

    fn read<'a>(&'a self, name: &'a str, offset: u64, length: u64) -> StoreFuture<'a, Bytes> {
        Box::pin(async move {
            self.requests.fetch_add(1, Ordering::Relaxed);
            let in_flight = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
            self.in_flight_most.fetch_max(in_flight, Ordering::Relaxed);
            let read = self.store.read(name, offset, length).await;
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            let bytes = read.as_ref().map_or(0, Bytes::len);
            self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            read
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<String>> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.store.list(prefix, after, limit)
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> StoreFuture<'a, ()> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.store.delete(names)
    }
}

/// What a start has asked for.
#[derive(Debug)]
struct Asked {
    keys: u64,
    requests: u64,
    bytes: u64,
    in_flight_most: u64,
}

async fn asked_by_a_start(store: &SimStore) -> (Asked, Arc<Engine>) {
    let counting = Arc::new(Counting {
        store: store.clone(),
        requests: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        in_flight: AtomicU64::new(0),
        in_flight_most: AtomicU64::new(0),
    });
    let store = Arc::<Counting>::clone(&counting);
    let (engine, recovered) = opened_on(store, 77, EngineOptions::default()).await;
    assert_eq!(recovered.damages, Vec::<String>::new());
    let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let asked = Asked {
        keys: recovered.keys,
        requests: count(&counting.requests),
        bytes: count(&counting.bytes),
        in_flight_most: count(&counting.in_flight_most),
    };
    (asked, engine)
}

#[tokio::test(start_paused = true)]
async fn a_start_reads_no_large_values() {
    const KEYS: u64 = 12;
    const VALUE_BYTES: usize = 1_000_000;
    /// Nobody knows how long a directory is before that.
    const FIRST_READ: u64 = 64 << 10;
    let value = |key: u64| format!("{key:010}").repeat(VALUE_BYTES / 10);
    let store = store();
    let (engine, _, run) = open_with(&store, EngineOptions::default()).await;
    for key in 0..KEYS {
        put(&engine, &format!("large:{key}"), &value(key)).await;
    }
    run.abort();
    let (asked, engine) = asked_by_a_start(&store).await;
    assert_eq!(asked.keys, KEYS);
    assert!(asked.bytes <= asked.requests * FIRST_READ, "{asked:?}");
    assert!(asked.bytes <= KEYS * VALUE_BYTES as u64 / 8, "{asked:?}");
    assert!(asked.in_flight_most > 1, "{asked:?}");
    // They are there all the same.
    assert_eq!(get(&engine, "large:3").await, Ok(Some(value(3))));
}

/// What a start asks for when all keys have been overwritten so often, under such compaction.
async fn after_overwrites(rounds: usize, compaction: CompactionLimits) -> Asked {
    const KEYS: usize = 300;
    let store = store();
    let options = EngineOptions { compaction, ..EngineOptions::default() };
    let (engine, _, run) = open_with(&store, options).await;
    for round in 0..rounds {
        for key in 0..KEYS {
            put(&engine, &format!("key:{key}"), &format!("{round:0500}")).await;
        }
    }
    // What is due is done within that time.
    sleep(Duration::from_secs(60)).await;
    run.abort();
    let (asked, engine) = asked_by_a_start(&store).await;
    assert_eq!(asked.keys, KEYS as u64);
    let newest = format!("{:0500}", rounds - 1);
    assert_eq!(get(&engine, "key:7").await, Ok(Some(newest)));
    asked
}

#[tokio::test(start_paused = true)]
async fn what_a_start_reads_follows_the_live_keys() {
    let compaction = CompactionLimits {
        store_bytes_min: 0,
        groups_max: 40,
        ..EngineOptions::default().compaction
    };
    let (once, ten_times) =
        (after_overwrites(1, compaction).await, after_overwrites(10, compaction).await);
    println!("{once:?}, {ten_times:?} after ten times as much");
    // As many groups as may be there, and some bases, logs and listings.
    const REQUESTS_MAX: u64 = 40 + 24;
    assert!(once.requests.max(ten_times.requests) <= REQUESTS_MAX, "{once:?} {ten_times:?}");
    assert!(ten_times.bytes <= once.bytes * 3 / 2, "{once:?} {ten_times:?}");
    assert!(once.in_flight_most > 1 && ten_times.in_flight_most > 1, "{once:?} {ten_times:?}");
    // The history, where nobody has compacted it.
    let never = CompactionLimits {
        store_bytes_min: u64::MAX,
        groups_max: usize::MAX,
        ..EngineOptions::default().compaction
    };
    let all = after_overwrites(10, never).await;
    println!("{all:?} without compaction");
    assert!(all.requests > REQUESTS_MAX * 5 && all.bytes > ten_times.bytes * 5, "{all:?}");
}
