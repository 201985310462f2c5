//! Groups that wait for more to come along: on a slow store, while others are under way.

use crate::clock::virtual_now;
use crate::losses::{opened_on, put};
use aft::engine::EngineOptions;
use aft::storage::memory::MemoryStore;
use aft::storage::{Created, Limits, Store, StoreFuture};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

const ROUNDS: u32 = 20;
const SLOW: Duration = Duration::from_millis(40);

/// A store that takes its time for each object.
struct Slow {
    objects: MemoryStore,
    takes: Duration,
    groups: AtomicUsize,
}

impl Store for Slow {
    fn limits(&self) -> Limits {
        Limits { survives_process: true, ..self.objects.limits() }
    }

    fn create<'a>(&'a self, name: &'a str, object: Bytes) -> StoreFuture<'a, Created> {
        Box::pin(async move {
            self.groups.fetch_add(usize::from(name.starts_with("log/")), Ordering::Relaxed);
            sleep(self.takes).await;
            self.objects.create(name, object).await
        })
    }

    fn read<'a>(&'a self, name: &'a str, offset: u64, length: u64) -> StoreFuture<'a, Bytes> {
        self.objects.read(name, offset, length)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<String>> {
        self.objects.list(prefix, after, limit)
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> StoreFuture<'a, ()> {
        self.objects.delete(names)
    }
}

/// What a round takes in which each client commits once, the mean of many; and how many groups.
async fn rounds(takes: Duration, clients: u64) -> (Duration, f64) {
    let slow = Arc::new(Slow { objects: MemoryStore::new(), takes, groups: AtomicUsize::new(0) });
    let (engine, _) = opened_on(Arc::<Slow>::clone(&slow), 3, EngineOptions::default()).await;
    let running = Arc::clone(&engine);
    tokio::spawn(async move { running.run().await });
    let (began, before) = (virtual_now(), slow.groups.load(Ordering::Relaxed));
    let mut working = JoinSet::new();
    for client in 0..clients {
        let engine = Arc::clone(&engine);
        working.spawn(async move {
            for _ in 0..ROUNDS {
                // They are told at once, and come again one after the other.
                sleep(Duration::from_millis(client)).await;
                put(&engine, &client.to_string(), "value").await;
            }
        });
    }
    while let Some(done) = working.join_next().await {
        done.unwrap();
    }
    let groups = slow.groups.load(Ordering::Relaxed) - before;
    ((virtual_now() - began) / ROUNDS, groups as f64 / f64::from(ROUNDS))
}

/// Otherwise the first one would go alone, and all others wait until the store has answered twice.
#[tokio::test(start_paused = true)]
async fn who_comes_a_little_later_goes_along_on_a_slow_store() {
    let (took, groups) = rounds(SLOW, 6).await;
    assert!(took < SLOW * 3 / 2, "{took:?}");
    assert!(groups < 2.5, "{groups}");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_company_who_is_alone_or_on_a_fast_store() {
    for takes in [SLOW, Duration::from_millis(2)] {
        let (took, groups) = rounds(takes, 1).await;
        assert!(took < takes + Duration::from_millis(2), "{takes:?}: {took:?}");
        assert!(groups < 1.2, "{groups}");
    }
}
