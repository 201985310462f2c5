//! What compaction and sweeping owe, each as a small story.

use crate::clock::{SimClock, virtual_now};
use crate::losses::{get, open, open_with, put, store};
use crate::store::SimStore;
use aft::clock::Clock;
use aft::engine::core::compaction::CompactionLimits;
use aft::engine::version::Value;
use aft::engine::{Engine, EngineOptions};
use aft::layout::{Commit, ObjectName};
use aft::storage::resilient::{ResilientStore, RetryPolicy};
use aft::storage::{Created, Limits, Store, StoreFuture};
use aft::transaction::{Finished, Transaction, View};
use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::sleep;

fn entries(store: &SimStore) -> Vec<String> {
    store.objects().into_keys().filter(|name| name.starts_with(ObjectName::NODES)).collect()
}

/// Of earlier starts go all entries but that of the last one, as soon as a node serves.
async fn entries_go(store: &SimStore) {
    for _ in 0..1_000 {
        if entries(store).len() <= 2 {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
    panic!("{:?}", entries(store));
}

/// An id is never drawn twice, although the entries of earlier starts go: also where a
/// listing shows none of those since the one that the last deletion relied on.
#[tokio::test(start_paused = true)]
async fn entries_of_starts_go_and_no_id_comes_back() {
    let store = store();
    for start in 1..=40 {
        let (engine, _, run) = open(&store).await;
        assert_eq!(engine.with_core(|core| core.node()), start);
        put(&engine, "k", &start.to_string()).await;
        entries_go(&store).await;
        run.abort();
    }
    let hidden: Vec<String> = (41..=45).map(|node| ObjectName::Node(node).to_string()).collect();
    for start in 41..=45 {
        let (engine, recovered, run) = open(&store).await;
        assert_eq!(engine.with_core(|core| core.node()), start);
        assert_eq!(recovered.damages, Vec::<String>::new());
        assert_eq!(get(&engine, "k").await, Ok(Some((start - 1).to_string())));
        put(&engine, "k", &start.to_string()).await;
        run.abort();
        let late = |name: &str| hidden.iter().any(|hidden| hidden == name);
        store.list_late(Duration::from_secs(3600), |name| late(name) || name.starts_with("log/"));
    }
}

/// Hundreds of starts, each with a write, and each killed.
#[tokio::test(start_paused = true)]
async fn hundreds_of_starts_leave_few_logs() {
    const STARTS: usize = 300;
    let store = store();
    let logs = || {
        let names = store.objects().into_keys();
        let logs: BTreeSet<String> = names
            .filter_map(|name| Some(name.strip_prefix("log/")?.split('/').next()?.to_owned()))
            .collect();
        logs.len()
    };
    let limit = EngineOptions::default().compaction.logs_max;
    for start in 0..STARTS {
        let (engine, recovered, run) = open(&store).await;
        assert_eq!(recovered.keys as usize, start);
        put(&engine, &format!("start:{start}"), "1").await;
        // What is due is done within that time.
        sleep(Duration::from_secs(1)).await;
        run.abort();
        // That of this start is one more.
        assert!(logs() <= limit + 1, "{} logs after {} starts", logs(), start + 1);
        assert!(entries(&store).len() <= 2, "{:?}", entries(&store));
    }
    let (engine, ..) = open(&store).await;
    for start in 0..STARTS {
        assert_eq!(get(&engine, &format!("start:{start}")).await, Ok(Some("1".to_owned())));
    }
}

/// Notes how often the state was asked between a listing and a deletion.
struct Watched {
    store: SimStore,
    clock: Arc<CountingClock>,
    listed_at: AtomicUsize,
    asked: AtomicUsize,
}

impl Store for Watched {
    fn limits(&self) -> Limits {
        self.store.limits()
    }

    fn create<'a>(&'a self, name: &'a str, object: Bytes) -> StoreFuture<'a, Created> {
        self.store.create(name, object)
    }

    fn read<'a>(&'a self, name: &'a str, offset: u64, length: u64) -> StoreFuture<'a, Bytes> {
        self.store.read(name, offset, length)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<String>> {
        self.listed_at.store(self.clock.calls.load(Ordering::Relaxed), Ordering::Relaxed);
        self.store.list(prefix, after, limit)
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> StoreFuture<'a, ()> {
        let asked = self.clock.calls.load(Ordering::Relaxed);
        let since = asked - self.listed_at.load(Ordering::Relaxed);
        self.asked.fetch_max(since, Ordering::Relaxed);
        self.store.delete(names)
    }
}

/// The state looks at the clock each time somebody takes it.
struct CountingClock {
    clock: SimClock,
    calls: AtomicUsize,
}

impl Clock for CountingClock {
    fn wall_ms(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.clock.wall_ms()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

/// However much is left over, commands wait for a few names at a time.
#[tokio::test(start_paused = true)]
async fn a_sweep_gives_the_state_back_between_names() {
    const LEFT_OVER: u64 = 900;
    let inner = store();
    let (engine, _, run) = open(&inner).await;
    put(&engine, "k", "1").await;
    run.abort();
    let clock = Arc::new(CountingClock {
        clock: SimClock::new(virtual_now(), Arc::default()),
        calls: AtomicUsize::new(0),
    });
    let watched = Arc::new(Watched {
        store: inner.clone(),
        clock: Arc::clone(&clock),
        listed_at: AtomicUsize::new(0),
        asked: AtomicUsize::new(0),
    });
    let mut rng = StdRng::seed_from_u64(9);
    let resilient =
        ResilientStore::new(Arc::<Watched>::clone(&watched), RetryPolicy::default(), &mut rng);
    let options = EngineOptions::default();
    let (engine, _) = Engine::open(Arc::new(resilient), clock, options, &mut rng).await.unwrap();
    for seq in 100..100 + LEFT_OVER {
        let name = ObjectName::Log(1, seq).to_string();
        inner.create(&name, Bytes::from_static(b"late")).await.unwrap();
    }
    let running = Arc::clone(&engine);
    tokio::spawn(async move { running.run().await });
    watched.asked.store(0, Ordering::Relaxed);
    sleep(Duration::from_secs(100)).await;
    let left = inner.objects().into_keys().filter(|name| name.starts_with("log/0000000001/"));
    assert_eq!(left.count(), 3, "the groups and the seal of the first start");
    let asked = watched.asked.load(Ordering::Relaxed);
    assert!(asked as u64 >= LEFT_OVER / 64, "asked {asked} times");
    assert_eq!(get(&engine, "k").await, Ok(Some("1".to_owned())));
}

/// Moves something whenever there is anything to move.
pub(crate) const EAGER: CompactionLimits = CompactionLimits {
    store_percent_max: 0,
    store_bytes_min: 0,
    groups_max: 1,
    logs_max: 1,
    debt_percent_max: 20,
    step_bytes: 4 << 20,
};

fn write(engine: &Engine, work: impl FnOnce(&mut Transaction<'_>)) -> Finished {
    engine.with_core(|core| {
        let bytes_max = core.transaction_bytes_max();
        let mut transaction = Transaction::begin(core, View::Tip, bytes_max);
        work(&mut transaction);
        transaction.finish(&Commit::default())
    })
}

/// The largest transaction that a store takes can be moved, too, although a base says more
/// of each of its keys than its group did.
#[tokio::test(start_paused = true)]
async fn the_largest_transaction_can_be_moved() {
    const TIGHT: u64 = 3 << 20;
    let store = store();
    store.limit_objects(TIGHT);
    let options = EngineOptions { compaction: EAGER, ..EngineOptions::default() };
    let (engine, _, _run) = open_with(&store, options).await;
    let key = |at: usize| format!("{at:0200}");
    let value = "v".repeat(65);
    let put_all = |keys: usize| {
        write(&engine, |transaction| {
            for at in 0..keys {
                transaction.put(0, key(at).as_bytes(), Value::String(value.as_str().into()), 0);
            }
        })
    };
    let mut keys = 12_000;
    while let Finished::TooLarge = put_all(keys) {
        keys -= 100;
    }
    assert!(keys > 1_000, "{keys}");
    assert!(engine.drain().await);
    for first in (0..keys).step_by(1_000) {
        let finished = write(&engine, |transaction| {
            for at in first..keys.min(first + 1_000) {
                assert!(transaction.expire(0, key(at).as_bytes(), 1 << 50));
            }
        });
        assert!(matches!(finished, Finished::Done { .. }), "{finished:?}");
        assert!(engine.drain().await);
    }
    sleep(Duration::from_secs(60)).await;
    let report = engine.compaction();
    assert_eq!(report.failure, "");
    let first = ObjectName::Log(1, 2).to_string();
    assert!(!store.objects().contains_key(&first), "{report:?}");
    for at in [0, keys / 2, keys - 1] {
        assert_eq!(get(&engine, &key(at)).await, Ok(Some(value.clone())));
    }
}

/// A value that is on its way to the store is written again with a new expiry, and counts: some that
/// are together more than the store takes are refused.
#[tokio::test(start_paused = true)]
async fn values_on_their_way_count_when_their_expiry_changes() {
    const TIGHT: u64 = 3 << 20;
    // Larger ones are in blobs, and not written again.
    const VALUE_BYTES: usize = 300 << 10;
    const KEYS: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    const LATER_MS: u64 = 1 << 50;
    let store = store();
    store.limit_objects(TIGHT);
    let (engine, _, _run) = open_with(&store, EngineOptions::default()).await;
    let node = engine.with_core(|core| core.node());
    let value = |key: &str| key.repeat(VALUE_BYTES);
    for key in KEYS {
        let value = Value::String(value(key).as_str().into());
        let finished = write(&engine, |transaction| transaction.put(0, key.as_bytes(), value, 0));
        assert!(matches!(finished, Finished::Done { .. }), "{finished:?}");
    }
    let expire = |keys: &[&str]| {
        write(&engine, |transaction| {
            for key in keys {
                assert!(transaction.expire(0, key.as_bytes(), LATER_MS));
            }
        })
    };
    let finished = expire(&KEYS);
    assert!(matches!(finished, Finished::TooLarge), "{finished:?}");
    // Others are in the group already that is open.
    for key in ["a", "b"] {
        for n in 0..40 {
            let (key, value) =
                (format!("{key}:{n}"), Value::String("v".repeat(50).as_str().into()));
            let finished = write(&engine, |transaction| {
                transaction.put(0, key.as_bytes(), value.clone(), 0);
            });
            assert!(matches!(finished, Finished::Done { .. }), "{finished:?}");
        }
        let finished = expire(&[key]);
        assert!(matches!(finished, Finished::Done { .. }), "{finished:?}");
    }
    assert!(engine.drain().await);
    // A store that refuses a group makes the node begin another log.
    assert_eq!(engine.with_core(|core| core.node()), node);
    for key in ["a", "b"] {
        assert_eq!(get(&engine, key).await, Ok(Some(value(key))));
    }
    // In the store they change their expiries together.
    let finished = expire(&["a", "b"]);
    assert!(matches!(finished, Finished::Done { .. }), "{finished:?}");
}
