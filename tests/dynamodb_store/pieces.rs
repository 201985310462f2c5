//! Objects in pieces: what a read asks for, and what becomes of pieces that belong to no object.

use crate::common::backing::Backing;
use crate::common::gate::{self, Verdict};
use crate::common::stores::address_through;
use crate::common::temp_dir::TempDir;
use crate::common::wait::{self, PATIENCE};
use crate::{address, answered, items, operation};
use aft::config;
use aft::storage::dynamodb::{DynamoDbOptions, DynamoDbStore};
use aft::storage::{Created, Store, StoreError};
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn object(salt: u8) -> Bytes {
    (0..20_000).map(|n| (n as u8).wrapping_mul(31) ^ salt).collect()
}

/// An object of 20,000 bytes is a head, five pieces and their trace.
const ITEMS_OF_OBJECT: u64 = 7;

/// What says that this is a store of aft.
const FORMAT: u64 = 1;

pub(crate) async fn open(store: &str, options: DynamoDbOptions) -> DynamoDbStore {
    let Ok(config::Store::DynamoDb(address)) = store.parse() else { panic!("{store}") };
    DynamoDbStore::open(&address, options).await.expect("a table")
}

pub(crate) fn run(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(4).enable_all().build().expect("a runtime").block_on(test);
}

fn wait_for_items(backing: &Backing, expected: u64) {
    wait::until("pieces without an object are deleted", PATIENCE, || {
        (items(backing) == expected).then_some(())
    });
}

/// A range costs what it is long: a read unit is 4 KB of an item.
#[test]
fn a_short_read_asks_for_one_item() {
    let dir = TempDir::named("dynamodb-reads");
    let backing = Backing::dynamodb(dir.path());
    let (asked, answers) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gate = gate::before(address(&backing), {
        let (asked, answers) = (asked.clone(), answers.clone());
        move |request| {
            if operation(request) == "BatchGetItem" {
                let body = String::from_utf8_lossy(&request.body);
                asked.fetch_add(body.matches("\"p\":").count(), Ordering::Relaxed);
                answers.fetch_add(1, Ordering::Relaxed);
            }
            Verdict::Passes
        }
    });
    run(async {
        let writer = open(backing.store(), DynamoDbOptions::default()).await;
        assert_eq!(writer.create("log/1", object(1)).await, Ok(Created::Created));
        // Another one, which knows nothing of the object but what a listing says.
        let reader = open(&address_through(&backing, gate), DynamoDbOptions::default()).await;
        assert_eq!(reader.list("log/", "", 10).await, Ok(vec!["log/1".to_owned()]));
        for (offset, length, expected) in
            [(0, 100, 1), (12_345, 100, 1), (19_999, 100, 1), (3_850, 100, 2), (0, u64::MAX, 6)]
        {
            let before = asked.load(Ordering::Relaxed);
            let end = (offset + length.min(20_000)).min(20_000) as usize;
            let read = reader.read("log/1", offset, length).await;
            assert_eq!(read, Ok(object(1).slice(offset as usize..end)));
            let items = asked.load(Ordering::Relaxed) - before;
            assert_eq!(items, expected, "{offset} + {length}");
        }
        // All at once, too.
        let before = answers.load(Ordering::Relaxed);
        assert_eq!(reader.read("log/1", 0, u64::MAX).await, Ok(object(1)));
        assert_eq!(answers.load(Ordering::Relaxed) - before, 1);
    });
}

/// As every group is at low load.
#[test]
fn a_small_object_is_written_by_one_request_and_is_one_item() {
    let dir = TempDir::named("dynamodb-small");
    let backing = Backing::dynamodb(dir.path());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let gate = gate::before(address(&backing), {
        let asked = asked.clone();
        move |request| {
            asked.lock().expect("no panic").push(operation(request).to_owned());
            Verdict::Passes
        }
    });
    run(async {
        let store = open(&address_through(&backing, gate), DynamoDbOptions::default()).await;
        asked.lock().expect("no panic").clear();
        assert_eq!(store.create("log/1", object(1).slice(..3_000)).await, Ok(Created::Created));
        assert_eq!(*asked.lock().expect("no panic"), ["PutItem"]);
        assert_eq!(items(&backing), FORMAT + 1);
    });
}

#[test]
fn what_is_deleted_leaves_nothing() {
    let dir = TempDir::named("dynamodb-deleted");
    let backing = Backing::dynamodb(dir.path());
    run(async {
        let store = open(backing.store(), DynamoDbOptions::default()).await;
        for name in ["log/1", "log/2", "log/3"] {
            assert_eq!(store.create(name, object(1)).await, Ok(Created::Created));
        }
        assert_eq!(items(&backing), FORMAT + 3 * ITEMS_OF_OBJECT);
        store.delete(&["log/1", "log/3"].map(str::to_owned)).await.expect("deleted");
        assert_eq!(store.read("log/1", 15_000, 1).await, Err(StoreError::NotFound));
        wait_for_items(&backing, FORMAT + ITEMS_OF_OBJECT);
        assert_eq!(store.read("log/2", 0, u64::MAX).await, Ok(object(1)));
    });
}

/// Sixteen want one name with objects of several pieces: one gets it, whole, and the pieces of the
/// others go away.
#[test]
fn pieces_of_sixteen_racers_never_mix() {
    const RACERS: u8 = 16;
    let dir = TempDir::named("dynamodb-race");
    let backing = Backing::dynamodb(dir.path());
    run(async {
        let store = open(backing.store(), DynamoDbOptions::default()).await;
        let start = Arc::new(tokio::sync::Barrier::new(RACERS.into()));
        let racers = (0..RACERS).map(|salt| {
            let (store, start) = (store.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                store.create("log/1", object(salt)).await
            })
        });
        let mut winners = Vec::new();
        for (salt, racer) in (0..RACERS).zip(racers.collect::<Vec<_>>()) {
            if racer.await.expect("no panic").expect("an answer") == Created::Created {
                winners.push(salt);
            }
        }
        let [winner] = winners.as_slice() else { panic!("{winners:?}") };
        wait_for_items(&backing, FORMAT + ITEMS_OF_OBJECT);
        assert_eq!(store.read("log/1", 0, u64::MAX).await, Ok(object(*winner)));
    });
}

/// A crash between the pieces and the head: the object was never there, and what it has left goes
/// away as soon as it is too old to be one under way. What is whole stays.
#[test]
fn what_a_crash_has_left_is_swept() {
    let dir = TempDir::named("dynamodb-swept");
    let backing = Backing::dynamodb(dir.path());
    let denied = Arc::new(AtomicBool::new(false));
    let gate = gate::before(address(&backing), {
        let denied = denied.clone();
        move |request| match operation(request) {
            "PutItem" if denied.load(Ordering::Relaxed) => answered(500, "InternalServerError"),
            _ => Verdict::Passes,
        }
    });
    run(async {
        let store = open(&address_through(&backing, gate), DynamoDbOptions::default()).await;
        assert_eq!(store.create("log/1", object(1)).await, Ok(Created::Created));
        denied.store(true, Ordering::Relaxed);
        let failed = store.create("log/2", object(2)).await;
        assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    });
    let left = FORMAT + 2 * ITEMS_OF_OBJECT - 1;
    assert_eq!(items(&backing), left);
    run(async {
        let at_once = DynamoDbOptions { sweep_after: Duration::ZERO, ..DynamoDbOptions::default() };
        let store = open(backing.store(), at_once).await;
        assert_eq!(store.list("log/", "", 10).await, Ok(vec!["log/1".to_owned()]));
        assert_eq!(store.read("log/2", 0, 1).await, Err(StoreError::NotFound));
        // It may be one under way. When a delete that comes later is done, so was the sweep.
        assert_eq!(store.create("log/3", object(3)).await, Ok(Created::Created));
        store.delete(&["log/3".to_owned()]).await.expect("deleted");
        wait_for_items(&backing, left);

        let old = DynamoDbOptions { sweep_age: Duration::ZERO, ..at_once };
        let store = open(backing.store(), old).await;
        wait_for_items(&backing, FORMAT + ITEMS_OF_OBJECT);
        assert_eq!(store.read("log/1", 0, u64::MAX).await, Ok(object(1)));
        assert_eq!(store.list("log/", "", 10).await, Ok(vec!["log/1".to_owned()]));
    });
}
