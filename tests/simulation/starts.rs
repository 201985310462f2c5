//! What a start finds that a dead node has left half-way, each as a small story.

use crate::clock::{SimClock, virtual_now};
use crate::garbage::EAGER;
use crate::losses::{get, open, open_with, put, store};
use crate::store::SimStore;
use aft::engine::{Engine, EngineOptions, Recovered};
use aft::inspect::{Depth, inspect};
use aft::layout::{Header, Kind, NodeId, ObjectName};
use aft::storage::resilient::{ResilientStore, RetryPolicy};
use aft::storage::{Created, Limits, Store, StoreFuture};
use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

fn of_log(store: &SimStore, node: NodeId) -> Vec<String> {
    let log = ObjectName::Log(node, 1).to_string();
    let (prefix, _) = log.rsplit_once('/').unwrap();
    store.objects().into_keys().filter(|name| name.starts_with(prefix)).collect()
}

/// Puts an object there that says nothing but what its header says.
async fn leave(store: &SimStore, kind: Kind, node: NodeId, seq: u64, base: (NodeId, u64)) {
    let mut header = Header::new(kind, u128::from(seq) << 64 | u128::from(node), node, seq);
    header.base = base;
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    let name = ObjectName::Log(node, seq).to_string();
    assert_eq!(store.create(&name, bytes.into()).await, Ok(Created::Created), "{name}");
}

/// A group that was under way when its node died arrives behind the seal, and names a base
/// that the next start has deleted, since no group that counts did.
#[tokio::test(start_paused = true)]
async fn what_came_late_behind_a_recorded_end_names_no_base() {
    let store = store();
    for value in ["1", "2"] {
        let (engine, _, run) = open(&store).await;
        put(&engine, "k", value).await;
        run.abort();
    }
    let behind_the_seal = of_log(&store, 1).len() as u64 + 1;
    leave(&store, Kind::Group, 1, behind_the_seal, (1, 7)).await;
    // The third start died when it had closed the second's log. Its seal names no base.
    let behind = of_log(&store, 2).len() as u64 + 1;
    leave(&store, Kind::Seal, 2, behind, (0, 0)).await;
    let inspected = inspect(&store, Depth::Whole, 0, |_, _| ()).await.unwrap();
    assert_eq!(inspected.faults, Vec::new());

    let (engine, recovered, _run) = open(&store).await;
    assert_eq!(recovered.damages, Vec::<String>::new());
    assert_eq!(get(&engine, "k").await, Ok(Some("2".to_owned())));
}

/// A second start that has replaced the first one's log, and deleted it.
async fn replaced() -> SimStore {
    let store = store();
    let (engine, _, run) = open(&store).await;
    put(&engine, "k", "1").await;
    run.abort();
    let options = EngineOptions { compaction: EAGER, ..EngineOptions::default() };
    let (_, _, run) = open_with(&store, options).await;
    while !of_log(&store, 1).is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    run.abort();
    store
}

/// A listing from before a predecessor's last deletes.
struct Stale {
    store: SimStore,
    gone: String,
}

impl Store for Stale {
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
        Box::pin(async move {
            let mut names = self.store.list(prefix, after, limit).await?;
            if self.gone.starts_with(prefix) && self.gone.as_str() > after {
                names.push(self.gone.clone());
                names.sort();
            }
            Ok(names)
        })
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> StoreFuture<'a, ()> {
        self.store.delete(names)
    }
}

async fn open_stale(store: &SimStore, gone: ObjectName) -> (Arc<Engine>, Recovered) {
    let mut rng = StdRng::seed_from_u64(99);
    let stale = Stale { store: store.clone(), gone: gone.to_string() };
    let resilient = ResilientStore::new(Arc::new(stale), RetryPolicy::default(), &mut rng);
    let clock = Arc::new(SimClock::new(virtual_now(), Arc::default()));
    let options = EngineOptions::default();
    Engine::open(Arc::new(resilient), clock, options, &mut rng).await.unwrap()
}

/// What a predecessor is deleting was replaced, and need not be there.
#[tokio::test(start_paused = true)]
async fn a_start_goes_on_while_a_dead_nodes_deletes_arrive() {
    let store = replaced().await;
    // Its seal: behind its first group and one of a client.
    let (engine, recovered) = open_stale(&store, ObjectName::Log(1, 3)).await;
    assert_eq!(recovered.damages, Vec::<String>::new());
    assert_eq!(get(&engine, "k").await, Ok(Some("1".to_owned())));
}

/// The end of a log that was replaced is known from the first group of a later one, and no
/// listing has to show that: nothing is created where nothing is left.
#[tokio::test(start_paused = true)]
async fn ends_are_learned_from_logs_that_no_listing_shows() {
    let store = replaced().await;
    let (_, recovered, run) = open(&store).await;
    assert_eq!(recovered.damages, Vec::<String>::new());
    run.abort();
    let (first, second) = (of_log(&store, 1), of_log(&store, 2));
    assert!(first.is_empty() && !second.is_empty());

    store.list_late(Duration::from_secs(3600), |name| second.iter().any(|late| late == name));
    let (engine, recovered, _run) = open(&store).await;
    assert_eq!(recovered.damages, Vec::<String>::new());
    assert_eq!(get(&engine, "k").await, Ok(Some("1".to_owned())));
    assert_eq!(of_log(&store, 1), first);
}
