//! Values that a store has at hand are read where the command runs: each once, not too many, and none
//! that is wrong.

use crate::losses::{open_with, opened_on, put, store};
use crate::store::SimStore;
use aft::engine::core::{Fetched, Missing};
use aft::engine::version::State;
use aft::engine::{Engine, EngineOptions};
use aft::storage::{Created, Limits, Store, StoreFuture};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

/// Has everything at hand.
struct AtHand {
    store: SimStore,
    objects: BTreeMap<String, Bytes>,
    at_once: AtomicU64,
    waited: AtomicU64,
    /// What is at hand has a wrong byte.
    is_wrong: AtomicBool,
}

impl Store for AtHand {
    fn limits(&self) -> Limits {
        self.store.limits()
    }

    fn create<'a>(&'a self, name: &'a str, object: Bytes) -> StoreFuture<'a, Created> {
        self.store.create(name, object)
    }

    fn read<'a>(&'a self, name: &'a str, offset: u64, length: u64) -> StoreFuture<'a, Bytes> {
        self.waited.fetch_add(1, Ordering::Relaxed);
        self.store.read(name, offset, length)
    }

    fn read_at_once(&self, name: &str, offset: u64, length: u64) -> Option<Bytes> {
        let object = self.objects.get(name)?;
        let start = (offset as usize).min(object.len());
        let end = usize::try_from(offset.saturating_add(length)).ok()?.min(object.len());
        self.at_once.fetch_add(1, Ordering::Relaxed);
        let mut bytes = object[start..end].to_vec();
        if self.is_wrong.load(Ordering::Relaxed) {
            bytes[0] ^= 1;
        }
        Some(bytes.into())
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

fn key(number: usize) -> String {
    format!("key:{number}")
}

fn value(number: usize) -> String {
    format!("{number:0100}")
}

/// An engine with so many values, of which none is in memory.
async fn world(values: usize) -> (Arc<AtHand>, Arc<Engine>) {
    let store = store();
    let (engine, _, run) = open_with(&store, EngineOptions::default()).await;
    for number in 0..values {
        put(&engine, &key(number), &value(number)).await;
    }
    run.abort();
    let objects = store.objects();
    let at_hand = Arc::new(AtHand {
        store,
        objects,
        at_once: AtomicU64::new(0),
        waited: AtomicU64::new(0),
        is_wrong: AtomicBool::new(false),
    });
    let store = Arc::<AtHand>::clone(&at_hand);
    let (engine, _) = opened_on(store, 7, EngineOptions::default()).await;
    at_hand.at_once.store(0, Ordering::Relaxed);
    at_hand.waited.store(0, Ordering::Relaxed);
    (at_hand, engine)
}

impl AtHand {
    /// How much was read without a wait and with one.
    fn reads(&self) -> (u64, u64) {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (count(&self.at_once), count(&self.waited))
    }
}

/// What a command misses that reads these.
fn missing(engine: &Engine, numbers: impl IntoIterator<Item = usize>) -> Vec<Missing> {
    let miss = |number| {
        let key = key(number);
        engine.with_core(|core| {
            let hash = core.hash(key.as_bytes());
            let version = core.read(0, hash, key.as_bytes(), core.tip()).unwrap();
            let State::Stored(place) = *version.state.held() else { panic!("{key} is in memory") };
            Missing::Value { key: key.as_bytes().into(), place, was_tried: false }
        })
    };
    numbers.into_iter().map(miss).collect()
}

fn values(fetched: &[Fetched]) -> Vec<String> {
    let text = |fetched: &Fetched| match fetched {
        Fetched::Value(_, value) => String::from_utf8(value.to_vec()).unwrap(),
        Fetched::Blob(..) => panic!("no blob was missing"),
    };
    fetched.iter().map(text).collect()
}

fn fetch_at_once(engine: &Engine, missing: &mut Vec<Missing>) -> Vec<Fetched> {
    engine.with_core(|core| engine.fetch_at_once(core, missing))
}

#[tokio::test(start_paused = true)]
async fn what_is_named_twice_is_read_once() {
    let (store, engine) = world(3).await;
    let mut missing = missing(&engine, [2, 0, 2, 2]);
    let fetched = fetch_at_once(&engine, &mut missing);
    assert_eq!(values(&fetched), [value(2), value(0)]);
    assert_eq!((missing.len(), store.reads()), (0, (2, 0)));
}

#[tokio::test(start_paused = true)]
async fn many_are_left_to_who_waits() {
    let (store, engine) = world(17).await;
    let mut missing = missing(&engine, 0..17);
    assert_eq!(fetch_at_once(&engine, &mut missing).len(), 0);
    assert_eq!((missing.len(), store.reads()), (17, (0, 0)));
    missing.pop();
    assert_eq!(fetch_at_once(&engine, &mut missing).len(), 16);
    assert_eq!((missing.len(), store.reads()), (0, (16, 0)));
}

/// What is at hand may be wrong, as anything on a disk: it is read with a wait, and who waits is told.
#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_not_lent_and_not_tried_again() {
    let (store, engine) = world(2).await;
    store.is_wrong.store(true, Ordering::Relaxed);
    let mut missing = missing(&engine, [1]);
    assert_eq!(fetch_at_once(&engine, &mut missing).len(), 0);
    assert_eq!((missing.len(), store.reads()), (1, (1, 0)));
    assert_eq!(values(&engine.fetch(&missing).await.unwrap()), [value(1)]);
    assert_eq!(store.reads(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn who_misses_many_that_are_at_hand_lets_others_have_their_turn() {
    const MANY: usize = 1000;
    const AT_A_TIME_MAX: u64 = 200;
    let (store, engine) = world(MANY).await;
    let missing = missing(&engine, 0..MANY);
    let mut fetching = pin!(engine.fetch(&missing));
    let fetched = loop {
        let (before, _) = store.reads();
        let polled = fetching.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let (read, waited) = store.reads();
        assert!(read - before <= AT_A_TIME_MAX, "{} were read at a stretch", read - before);
        assert_eq!(waited, 0);
        if let Poll::Ready(fetched) = polled {
            break fetched.unwrap();
        }
    };
    assert_eq!(values(&fetched), (0..MANY).map(value).collect::<Vec<_>>());
}
