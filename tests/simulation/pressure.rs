//! What bounds the store while compaction is held up.

use crate::losses::{opened_on, put, store};
use crate::store::SimStore;
use aft::engine::core::compaction::CompactionLimits;
use aft::engine::{Engine, EngineOptions};
use aft::storage::{Created, Limits, Store, StoreFuture};
use bytes::Bytes;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::sleep;

const KEYS: usize = 64;
const VALUE_BYTES: usize = 1_000;
const LIVE_BYTES: u64 = (KEYS * VALUE_BYTES) as u64;

/// A store that doesn't answer to some of what compaction asks for.
struct Stubborn {
    store: SimStore,
    takes_bases: AtomicBool,
}

impl Store for Stubborn {
    fn limits(&self) -> Limits {
        self.store.limits()
    }

    fn create<'a>(&'a self, name: &'a str, object: Bytes) -> StoreFuture<'a, Created> {
        if name.starts_with("base/") && !self.takes_bases.load(Ordering::Relaxed) {
            return Box::pin(pending());
        }
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
        self.store.list(prefix, after, limit)
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> StoreFuture<'a, ()> {
        self.store.delete(names)
    }
}

/// A node whose store may take twice what is alive, and as much again before writes wait.
async fn serve() -> (Arc<Stubborn>, Arc<Engine>) {
    let stubborn = Arc::new(Stubborn { store: store(), takes_bases: AtomicBool::new(true) });
    let compaction = CompactionLimits {
        store_percent_max: 200,
        store_bytes_min: 0,
        groups_max: 10_000,
        logs_max: 10_000,
        debt_percent_max: 100,
        step_bytes: 16 << 10,
    };
    let options = EngineOptions { compaction, ..EngineOptions::default() };
    let (engine, _) = opened_on(Arc::<Stubborn>::clone(&stubborn), 11, options).await;
    let running = Arc::clone(&engine);
    tokio::spawn(async move { running.run().await });
    for at in 0..KEYS {
        overwrite(&engine, at).await;
    }
    sleep(Duration::from_secs(10)).await;
    (stubborn, engine)
}

async fn overwrite(engine: &Engine, at: usize) {
    put(engine, &format!("{:02}", at % KEYS), &format!("{at:04}").repeat(VALUE_BYTES / 4)).await;
}

fn store_bytes(engine: &Engine) -> u64 {
    engine.with_core(|core| core.ledger().bytes())
}

/// A step of compaction is stuck in the store. Writes have to wait soon, and not only when
/// the step is over.
#[tokio::test(start_paused = true)]
async fn writes_wait_while_a_step_is_held_up() {
    let (stubborn, engine) = serve().await;
    stubborn.takes_bases.store(false, Ordering::Relaxed);
    let mut at = KEYS;
    while !engine.with_core(|core| core.writes_must_wait()) {
        overwrite(&engine, at).await;
        at += 1;
        assert!(store_bytes(&engine) <= LIVE_BYTES * 5, "nobody waits");
    }
    // Until then nobody did: there was room.
    assert!(store_bytes(&engine) > LIVE_BYTES * 3);
}

/// Compaction stands before an object that can't be read, and can go no further. The store grows, which
/// is told; to wait would bring nothing.
#[tokio::test(start_paused = true)]
async fn nobody_waits_for_compaction_that_stands_before_damage() {
    let (stubborn, engine) = serve().await;
    let oldest = stubborn.store.objects().into_keys().find(|name| name.starts_with("log/"));
    stubborn.store.rot(&oldest.unwrap(), 3);
    let mut at = KEYS;
    while store_bytes(&engine) <= LIVE_BYTES * 10 {
        assert!(!engine.with_core(|core| core.writes_must_wait()), "waits at {at}");
        overwrite(&engine, at).await;
        at += 1;
    }
    sleep(Duration::from_secs(10)).await;
    assert!(engine.compaction().failure.contains("left as they are"));
    assert_eq!(engine.with_core(|core| core.write_pressure_percent()), None);
}
