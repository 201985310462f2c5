//! A log is closed and another begun while commits go on.

use crate::clock::{SimClock, virtual_now};
use crate::garbage::EAGER;
use crate::losses::{get, opened_on, put};
use aft::clock::Clock;
use aft::engine::{Engine, EngineOptions, Recovered};
use aft::inspect::{Depth, Inspection, Moment, inspect};
use aft::layout::{Header, Kind, ObjectName};
use aft::storage::memory::MemoryStore;
use aft::storage::{Created, Limits, Store, StoreFuture};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// What an entry takes: less than an attempt may.
const ENTRY: Duration = Duration::from_millis(900);
const OTHERS: Duration = Duration::from_millis(10);

/// What it took to open the store.
const OPENING: Duration = Duration::from_millis(70);

/// A store that takes its time for the entries of logs, and little for all else.
struct SlowEntries(MemoryStore);

impl Store for SlowEntries {
    fn limits(&self) -> Limits {
        Limits { survives_process: true, ..self.0.limits() }
    }

    fn create<'a>(&'a self, name: &'a str, object: Bytes) -> StoreFuture<'a, Created> {
        Box::pin(async move {
            sleep(if name.starts_with(ObjectName::NODES) { ENTRY } else { OTHERS }).await;
            self.0.create(name, object).await
        })
    }

    fn read<'a>(&'a self, name: &'a str, offset: u64, length: u64) -> StoreFuture<'a, Bytes> {
        self.0.read(name, offset, length)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<String>> {
        self.0.list(prefix, after, limit)
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> StoreFuture<'a, ()> {
        self.0.delete(names)
    }
}

/// So many logs are begun after the first.
const LOGS: u32 = 5;

async fn start(store: &Arc<SlowEntries>) -> (Arc<Engine>, Recovered) {
    let opening_took = OPENING;
    let options = EngineOptions { compaction: EAGER, opening_took, ..EngineOptions::default() };
    let (engine, recovered) = opened_on(Arc::<SlowEntries>::clone(store), 4, options).await;
    let running = Arc::clone(&engine);
    tokio::spawn(async move { running.run().await });
    (engine, recovered)
}

/// Whoever commits while another log is begun waits for the seal of the old one, and for nothing
/// else of it.
#[tokio::test(start_paused = true)]
async fn commits_go_on_while_another_log_is_begun() {
    let (engine, _) = start(&Arc::new(SlowEntries(MemoryStore::new()))).await;
    let (began, mut longest, mut written) = (virtual_now(), Duration::ZERO, 0);
    while engine.with_core(|core| core.node()) <= LOGS {
        let sent = virtual_now();
        written += 1;
        put(&engine, "k", &written.to_string()).await;
        longest = longest.max(virtual_now() - sent);
    }
    assert!(virtual_now() - began >= ENTRY * LOGS, "{:?}", virtual_now() - began);
    assert!(longest <= OTHERS * 4, "{longest:?}");
    assert_eq!(get(&engine, "k").await, Ok(Some(written.to_string())));
}

async fn found(store: &SlowEntries) -> Inspection {
    inspect(store, Depth::Directories, Moment::default(), |_, _| {}).await.unwrap()
}

async fn ends_with_a_seal(store: &SlowEntries) -> bool {
    let names = store.list(ObjectName::LOGS, "", usize::MAX).await.unwrap();
    let newest = store.read(names.last().unwrap(), 0, u64::MAX).await.unwrap();
    Header::decode(&newest).unwrap().kind == Kind::Seal
}

/// What a store tells of the last start, and of the oldest snapshot, it still tells when the log
/// that the start began has been closed, and compacted away.
#[tokio::test(start_paused = true)]
async fn the_last_start_and_the_oldest_snapshot_are_known_across_logs() {
    let store = Arc::new(SlowEntries(MemoryStore::new()));
    let began_ms = SimClock::new(virtual_now(), Arc::default()).wall_ms();
    let (engine, recovered) = start(&store).await;
    assert_eq!(recovered.took, OPENING + ENTRY + OTHERS);
    // As long as it has one log, that says how long it took until its first group was on its way.
    let first = found(&store).await;
    assert_eq!(first.last_start_ms, began_ms - OPENING.as_millis() as u64);
    assert_eq!(u128::from(first.last_recovery_ms), (OPENING + ENTRY).as_millis());
    assert_eq!((first.oldest_snapshot_ms, first.oldest_snapshot_age_ms), (0, 0));
    let (pin, since_ms) = engine.with_core(|core| (core.hold(), core.now_ms()));
    let (mut written, mut seals) = (0, 0);
    while engine.with_core(|core| core.node()) <= LOGS {
        written += 1;
        put(&engine, "k", &written.to_string()).await;
        // Long enough for a seal.
        sleep(OTHERS * 2).await;
        let found = found(&store).await;
        assert_eq!(found.oldest_snapshot_ms, since_ms);
        let age_ms = engine.with_core(|core| core.now_ms()) - since_ms;
        assert!((age_ms - 30..=age_ms).contains(&found.oldest_snapshot_age_ms), "{found:?}");
        seals += u32::from(ends_with_a_seal(&store).await);
    }
    assert!(seals > 0, "no look came between two logs");
    let first_group = ObjectName::Log(1, 1).to_string();
    assert!(store.read(&first_group, 0, 1).await.is_ok(), "who reads it is there");
    engine.with_core(|core| core.let_go(pin));
    put(&engine, "k", "last").await;
    sleep(OTHERS * 200).await;
    assert!(store.read(&first_group, 0, 1).await.is_err(), "it has been compacted away");
    let last = found(&store).await;
    assert_eq!((last.oldest_snapshot_ms, last.oldest_snapshot_age_ms), (0, 0));
    assert_eq!(last.last_start_ms, first.last_start_ms);
    assert_eq!(u128::from(last.last_recovery_ms), recovered.took.as_millis());
}
