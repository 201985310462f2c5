//! The wrapper around every store: what is tried again, for how long, and what its answers mean.
#![allow(clippy::unwrap_used)] // A failed step of a test is a failed test.
#![allow(clippy::disallowed_methods)] // Time is virtual here.

use aft::clock::SystemClock;
use aft::engine::{Engine, EngineOptions};
use aft::layout::{Header, Kind};
use aft::storage::memory::MemoryStore;
use aft::storage::resilient::{Decided, ResilientStore, RetryPolicy};
use aft::storage::{Created, Limits, Store, StoreError, StoreFuture};
use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the store does with one call.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Act {
    Work,
    /// Answers that it failed, and did nothing.
    Fail,
    /// Does the work and answers that it failed.
    LoseReply,
    /// Does the work and never answers.
    Hang,
    /// Does the work, and takes this long.
    Take(Duration),
    NotYetVisible,
    Reject,
    Full,
}

/// A store that follows a script, then works.
#[derive(Default)]
struct Scripted {
    inner: MemoryStore,
    script: Mutex<VecDeque<Act>>,
    shows_at_once: bool,
}

impl Scripted {
    async fn act<T>(&self, work: StoreFuture<'_, T>) -> Result<T, StoreError> {
        let act = self.script.lock().unwrap().pop_front().unwrap_or(Act::Work);
        match act {
            Act::Work => work.await,
            Act::Fail => Err(StoreError::Unavailable("scripted".into())),
            Act::LoseReply => {
                work.await?;
                Err(StoreError::Unavailable("reply lost".into()))
            }
            Act::Hang => {
                work.await?;
                std::future::pending().await
            }
            Act::Take(time) => {
                tokio::time::sleep(time).await;
                work.await
            }
            Act::NotYetVisible => Err(StoreError::NotFound),
            Act::Reject => Err(StoreError::Rejected("scripted".into())),
            Act::Full => Err(StoreError::Full("scripted".into())),
        }
    }
}

impl Store for Scripted {
    fn limits(&self) -> Limits {
        let shows_at_once = self.shows_at_once;
        Limits { survives_process: true, shows_at_once, ..self.inner.limits() }
    }
    fn create<'a>(&'a self, name: &'a str, object: Bytes) -> StoreFuture<'a, Created> {
        Box::pin(self.act(self.inner.create(name, object)))
    }
    fn read<'a>(&'a self, name: &'a str, offset: u64, length: u64) -> StoreFuture<'a, Bytes> {
        Box::pin(self.act(self.inner.read(name, offset, length)))
    }
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<String>> {
        Box::pin(self.act(self.inner.list(prefix, after, limit)))
    }
    fn delete<'a>(&'a self, names: &'a [String]) -> StoreFuture<'a, ()> {
        Box::pin(self.act(self.inner.delete(names)))
    }
}

fn store(script: &[Act]) -> (Arc<Scripted>, ResilientStore) {
    store_that(script, false)
}

fn store_that(script: &[Act], shows_at_once: bool) -> (Arc<Scripted>, ResilientStore) {
    let scripted = Arc::new(Scripted { shows_at_once, ..Scripted::default() });
    scripted.script.lock().unwrap().extend(script);
    let policy = RetryPolicy::default();
    let store = Arc::clone(&scripted) as Arc<dyn Store>;
    (scripted, ResilientStore::new(store, policy, &mut StdRng::seed_from_u64(1)))
}

fn object(nonce: u128) -> Bytes {
    let mut bytes = Vec::new();
    Header::new(Kind::Seal, nonce, 1, 1).encode(&mut bytes);
    bytes.into()
}

#[tokio::test(start_paused = true)]
async fn a_create_whose_reply_is_lost_is_ours() {
    for lost in [Act::LoseReply, Act::Hang] {
        let (_, store) = store(&[Act::Fail, Act::Full, lost]);
        assert_eq!(store.create("a", object(7), 7).await, Decided::Ours);
        assert!(store.metrics().creates.load(Ordering::Relaxed) >= 4);
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_another_has_is_theirs_even_if_that_shows_late() {
    let (scripted, store) = store(&[]);
    assert_eq!(store.create("a", object(1), 1).await, Decided::Ours);
    *scripted.script.lock().unwrap() =
        [Act::Work, Act::NotYetVisible, Act::Fail, Act::NotYetVisible].into();
    match store.create("a", object(2), 2).await {
        Decided::Theirs(header) => assert_eq!(header.nonce, 1),
        other => panic!("{other:?}"),
    }
    assert_eq!(scripted.inner.read("a", 0, u64::MAX).await.unwrap(), object(1));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_object_is_not_tried_again() {
    let (_, store) = store(&[Act::Reject]);
    assert_eq!(store.create("a", object(1), 1).await, Decided::Rejected("scripted".into()));
    assert_eq!(store.metrics().creates.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_create_gets_a_second_one_beside_it() {
    let (_, store) = store(&[Act::Hang]);
    let started = tokio::time::Instant::now();
    assert_eq!(store.create("a", object(1), 1).await, Decided::Ours);
    let policy = RetryPolicy::default();
    assert!(started.elapsed() >= policy.hedge_after, "not before it was slow");
    assert!(started.elapsed() < policy.attempt_timeout, "without waiting for the first");
}

/// An attempt that was given up for its size would be given up for ever.
#[tokio::test(start_paused = true)]
async fn a_large_object_has_the_time_it_takes() {
    let large = Bytes::from([object(7), vec![0; 64 << 20].into()].concat());
    let (_, store) = store(&[Act::Take(Duration::from_secs(8))]);
    assert_eq!(store.create("a", large.clone(), 7).await, Decided::Ours);
    assert_eq!(store.metrics().creates.load(Ordering::Relaxed), 1);
    let length = large.len() as u64;
    let (scripted, store) = self::store(&[Act::Take(Duration::from_secs(8))]);
    scripted.inner.create("a", large.clone()).await.unwrap();
    assert_eq!(store.read("a", 0, length).await, Ok(large));
}

#[tokio::test(start_paused = true)]
async fn a_read_of_what_must_exist_waits_for_it_and_never_says_nothing() {
    let (scripted, store) = store(&[]);
    assert_eq!(store.create("a", object(1), 1).await, Decided::Ours);
    *scripted.script.lock().unwrap() = [Act::NotYetVisible, Act::Hang, Act::NotYetVisible].into();
    assert_eq!(store.read("a", 0, u64::MAX).await.unwrap(), object(1));

    let started = tokio::time::Instant::now();
    assert_eq!(store.read("missing", 0, 1).await, Err(StoreError::NotFound));
    assert!(started.elapsed() >= RetryPolicy::default().read_deadline);
    assert_eq!(store.try_read("missing", 0, 1).await, Err(StoreError::NotFound));
}

#[tokio::test(start_paused = true)]
async fn what_a_store_that_shows_all_at_once_does_not_have_is_not_waited_for() {
    let (_, store) = store_that(&[Act::Fail], true);
    let started = tokio::time::Instant::now();
    assert_eq!(store.read("missing", 0, 1).await, Err(StoreError::NotFound));
    assert!(started.elapsed() < RetryPolicy::default().read_deadline);
    // Once more where it failed.
    assert_eq!(store.metrics().reads.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_listing_goes_through_all_pages_and_over_faults() {
    let (scripted, store) = store(&[]);
    let names: Vec<String> = (0..2500).map(|n| format!("log/{n:05}")).collect();
    for name in &names {
        scripted.inner.create(name, Bytes::new()).await.unwrap();
    }
    *scripted.script.lock().unwrap() = [Act::Fail, Act::Work, Act::Hang].into();
    assert_eq!(store.list("log/").await.unwrap(), names);
    store.delete(&names).await.unwrap();
    assert_eq!(store.list("log/").await.unwrap(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_start_that_can_write_nothing_fails_in_time_and_says_why() {
    let (_, store) =
        store(&[Act::Work; 2].into_iter().chain([Act::Full; 1000]).collect::<Vec<_>>());
    let options = EngineOptions::default();
    let (clock, mut rng) = (Arc::new(SystemClock::new()), StdRng::seed_from_u64(1));
    let opened = Engine::open(Arc::new(store), clock, options, &mut rng).await;
    let error = opened.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("nothing could be written"), "{error}");
    assert!(error.contains("no space left"), "{error}");
}
