//! A log is closed and another begun while commits go on.

use crate::clock::{SimClock, virtual_now};
use crate::garbage::EAGER;
use crate::losses::{get, put};
use aft::engine::{Engine, EngineOptions};
use aft::layout::ObjectName;
use aft::storage::memory::MemoryStore;
use aft::storage::resilient::{ResilientStore, RetryPolicy};
use aft::storage::{Created, Limits, Store, StoreFuture};
use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// What an entry takes: less than an attempt may.
const ENTRY: Duration = Duration::from_millis(900);
const OTHERS: Duration = Duration::from_millis(10);

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

/// Whoever commits while another log is begun waits for the seal of the old one, and for nothing
/// else of it.
#[tokio::test(start_paused = true)]
async fn commits_go_on_while_another_log_is_begun() {
    const LOGS: u32 = 5;
    let mut rng = StdRng::seed_from_u64(4);
    let store = Arc::new(SlowEntries(MemoryStore::new()));
    let resilient = ResilientStore::new(store, RetryPolicy::default(), &mut rng);
    let clock = Arc::new(SimClock::new(virtual_now(), Arc::default()));
    let options = EngineOptions { compaction: EAGER, ..EngineOptions::default() };
    let (engine, _) = Engine::open(Arc::new(resilient), clock, options, &mut rng).await.unwrap();
    let running = Arc::clone(&engine);
    tokio::spawn(async move { running.run().await });
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
