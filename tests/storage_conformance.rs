//! What every store must do, run against every store.
//!
//! A new store is one more entry in [`on_every_store`]. Names carry a prefix per test,
//! so that a store shared by all tests (a server) serves as well as a fresh one: an S3 of yours is
//! tested, too, with `AFT_TEST_S3=s3://bucket/prefix?endpoint=…` in the environment.

// In a test, an unwrap is an assertion.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use aft::config;
use aft::layout::{Header, Kind};
use aft::rope::Rope;
#[cfg(feature = "dynamodb")]
use aft::storage::dynamodb::{DynamoDbOptions, DynamoDbStore};
use aft::storage::embedded::{EmbeddedOptions, EmbeddedStore};
use aft::storage::memory::MemoryStore;
use aft::storage::redis::{RedisOptions, RedisStore};
use aft::storage::resilient::{Decided, ResilientStore, RetryPolicy};
#[cfg(feature = "s3")]
use aft::storage::s3::{S3Options, S3Store};
use aft::storage::{Created, LIST_NAMES_MAX, Limits, Store, StoreError, StoreFuture};
use bytes::Bytes;
use common::backing::{self, Backing};
#[cfg(feature = "s3")]
use common::gate::{self, Verdict};
use common::server::Peer;
#[cfg(feature = "s3")]
use common::stores::{address, address_through};
use common::temp_dir::TempDir;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::future::Future;
#[cfg(feature = "s3")]
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many use a store at once.
const CLIENTS: usize = 16;

/// A store as several see it: each its own connection, where it has any.
struct World {
    kind: &'static str,
    clients: Vec<Arc<dyn Store>>,
}

impl World {
    fn shared(kind: &'static str, store: impl Store) -> Self {
        let store: Arc<dyn Store> = Arc::new(store);
        Self { kind, clients: vec![store; CLIENTS] }
    }

    async fn redis(kind: &'static str, backing: &Backing) -> Self {
        let Ok(config::Store::Redis(address)) = backing.store().parse() else { panic!() };
        let mut clients: Vec<Arc<dyn Store>> = Vec::new();
        for _ in 0..CLIENTS {
            let store = RedisStore::open(&address, RedisOptions::default()).await.unwrap();
            clients.push(Arc::new(store));
        }
        Self { kind, clients }
    }

    #[cfg(feature = "s3")]
    async fn s3(kind: &'static str, store: &str) -> Self {
        let Ok(config::Store::S3(address)) = store.parse() else { panic!() };
        let mut clients: Vec<Arc<dyn Store>> = Vec::new();
        for _ in 0..CLIENTS {
            clients.push(Arc::new(S3Store::open(&address, S3Options::default()).await.unwrap()));
        }
        Self { kind, clients }
    }

    #[cfg(feature = "dynamodb")]
    async fn dynamodb(kind: &'static str, backing: &Backing) -> Self {
        let Ok(config::Store::DynamoDb(address)) = backing.store().parse() else { panic!() };
        let mut clients: Vec<Arc<dyn Store>> = Vec::new();
        for _ in 0..CLIENTS {
            let store = DynamoDbStore::open(&address, DynamoDbOptions::default()).await.unwrap();
            clients.push(Arc::new(store));
        }
        Self { kind, clients }
    }

    fn store(&self) -> &Arc<dyn Store> {
        &self.clients[0]
    }
}

/// Runs a test on a fresh store of each kind; what it keeps lives as long as the test.
fn on_every_store<F, T>(test: F)
where
    F: Fn(World) -> T,
    T: Future<Output = ()>,
{
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(4).enable_all();
    runtime.build().unwrap().block_on(async {
        test(World::shared("memory", MemoryStore::new())).await;

        let directory = TempDir::new();
        test(World::shared("embedded", open_embedded(&directory, 64 << 20))).await;
        // Segments that a few objects fill, so that every path crosses their ends.
        let directory = TempDir::new();
        test(World::shared("small segments", open_embedded(&directory, 8 << 10))).await;

        for (name, kind) in
            [("redis", backing::Kind::Redis), ("redis cluster", backing::Kind::RedisCluster)]
        {
            let directory = TempDir::new();
            let backing = Backing::start(kind, directory.path());
            test(World::redis(name, &backing).await).await;
        }

        #[cfg(feature = "s3")]
        {
            let directory = TempDir::new();
            let backing = Backing::s3(directory.path());
            test(World::s3("s3", backing.store()).await).await;
            let directory = TempDir::new();
            let backing = Backing::s3_of(Peer::Moto, directory.path());
            let gate = one_at_a_time(address(&backing));
            test(World::s3("s3 of moto", &address_through(&backing, gate)).await).await;
            // One that somebody has at hand, with an empty prefix of a bucket.
            if let Ok(store) = std::env::var("AFT_TEST_S3") {
                test(World::s3("the S3 of AFT_TEST_S3", &store).await).await;
            }
        }

        #[cfg(feature = "dynamodb")]
        for (kind, peer) in [("dynamodb", Peer::MiniStack), ("dynamodb of moto", Peer::Moto)] {
            let directory = TempDir::new();
            let backing = Backing::dynamodb_of(peer, directory.path());
            test(World::dynamodb(kind, &backing).await).await;
        }
    });
}

/// What moto (5.2.5) does wrong: it looks whether an object is there, and writes it, in two steps,
/// between which another may write. Here no two conditional writes meet.
#[cfg(feature = "s3")]
fn one_at_a_time(moto: SocketAddr) -> SocketAddr {
    gate::before(moto, |request| {
        match request.head.to_ascii_lowercase().contains("\r\nif-none-match: *") {
            true => Verdict::PassesAlone,
            false => Verdict::Passes,
        }
    })
}

fn open_embedded(directory: &TempDir, segment_bytes: u64) -> EmbeddedStore {
    let options = EmbeddedOptions { segment_bytes, entropy: 7, ..EmbeddedOptions::default() };
    EmbeddedStore::open(directory.path(), options).unwrap()
}

fn bytes(size: usize, salt: u8) -> Bytes {
    (0..size).map(|i| (i as u8).wrapping_mul(31) ^ salt).collect()
}

/// All names, page by page.
async fn names(store: &dyn Store, prefix: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    loop {
        let after = names.last().cloned().unwrap_or_default();
        let page = store.list(prefix, &after, usize::MAX).await.unwrap();
        if page.is_empty() {
            return names;
        }
        names.extend(page);
    }
}

#[test]
fn a_created_object_reads_back_whole() {
    on_every_store(|world| async move {
        let store = world.store();
        for (number, size) in [0, 1, 7, 8, 9, 511, 4096, 70_000, 300_000].into_iter().enumerate() {
            let name = format!("whole/{number}");
            let object = bytes(size, number as u8);
            assert_eq!(store.create(&name, object.clone()).await, Ok(Created::Created));
            assert_eq!(store.read(&name, 0, u64::MAX).await, Ok(object));
        }
    });
}

#[test]
fn an_object_in_pieces_is_one() {
    on_every_store(|world| async move {
        let store = world.store();
        let (mut rope, whole) = (Rope::default(), bytes(200_000, 1));
        for (from, to) in [(0, 1), (1, 1), (1, 70_000), (70_000, 70_003), (70_003, 200_000)] {
            rope.push(whole.slice(from..to));
        }
        for (name, object) in [("pieces/a", rope), ("pieces/b", Rope::default())] {
            let whole = object.to_bytes();
            let created = store.create_in_pieces(name, object.clone()).await;
            assert_eq!(created, Ok(Created::Created), "{}", world.kind);
            assert_eq!(store.read(name, 0, u64::MAX).await, Ok(whole));
            let again = store.create_in_pieces(name, object).await;
            assert_eq!(again, Ok(Created::AlreadyExists));
        }
    });
}

#[test]
fn a_range_is_cut_at_the_objects_end() {
    on_every_store(|world| async move {
        let store = world.store();
        let object = bytes(1000, 3);
        store.create("range/a", object.clone()).await.unwrap();
        let signed = i64::MAX as u64;
        let edges = [
            0,
            1,
            499,
            999,
            1000,
            1001,
            5000,
            signed - 1,
            signed,
            signed + 1,
            u64::MAX - 1,
            u64::MAX,
        ];
        for offset in edges {
            for length in edges {
                let start = offset.min(1000) as usize;
                let end = offset.saturating_add(length).min(1000) as usize;
                let read = store.read("range/a", offset, length).await;
                assert_eq!(read, Ok(object.slice(start..end)), "{offset} + {length}");
                // What is at hand is the same.
                let at_once = store.read_at_once("range/a", offset, length);
                let wanted = object.slice(start..end);
                assert!(at_once.is_none_or(|read| read == wanted), "{offset} + {length}");
            }
        }
    });
}

#[test]
fn what_is_not_there_is_not_found() {
    on_every_store(|world| async move {
        let store = world.store();
        store.create("missing/b", bytes(1, 0)).await.unwrap();
        for name in ["missing/a", "missing/b/c", "missing/", "missing/c"] {
            assert_eq!(store.read(name, 0, 1).await, Err(StoreError::NotFound), "{name}");
            assert_eq!(store.read_at_once(name, 0, 1), None, "{name}");
        }
    });
}

#[test]
fn a_name_is_taken_once() {
    on_every_store(|world| async move {
        let store = world.store();
        assert_eq!(store.create("once/a", bytes(10, 1)).await, Ok(Created::Created));
        for salt in [1, 2] {
            let again = store.create("once/a", bytes(20, salt)).await;
            assert_eq!(again, Ok(Created::AlreadyExists));
        }
        assert_eq!(store.read("once/a", 0, u64::MAX).await, Ok(bytes(10, 1)));
    });
}

#[test]
fn names_are_listed_in_byte_order_page_by_page() {
    on_every_store(|world| async move {
        let store = world.store();
        let mut all: Vec<String> = (0..57).map(|i| format!("list/{}", i * 7 % 57)).collect();
        all.extend(["list".to_owned(), "list0".to_owned(), "lisu/1".to_owned()]);
        for name in &all {
            store.create(name, Bytes::new()).await.unwrap();
        }
        let mut expected: Vec<String> =
            all.into_iter().filter(|n| n.starts_with("list/")).collect();
        expected.sort_unstable();
        assert_eq!(names(&**store, "list/").await, expected);

        for limit in [1, 2, 10, 56, 57, 58] {
            let mut paged: Vec<String> = Vec::new();
            loop {
                let after = paged.last().cloned().unwrap_or_default();
                let page = store.list("list/", &after, limit).await.unwrap();
                let names = page.len();
                paged.extend(page);
                // Whoever lists takes that for the end.
                if names < limit {
                    break;
                }
                assert_eq!(names, limit);
            }
            assert_eq!(paged, expected, "pages of {limit}");
        }
        assert_eq!(store.list("list/", "", 0).await, Ok(vec![]));
        assert_eq!(store.list("list/", "list/~", 9).await, Ok(vec![]));
        assert_eq!(store.list("list/", "lisu", 9).await, Ok(vec![]));
        // `after` need not be a name that is there.
        assert_eq!(store.list("list/5", "list/54a", 1).await.unwrap(), ["list/55"]);
        assert_eq!(store.list("none/", "", 9).await, Ok(vec![]));
    });
}

#[test]
fn deleting_twice_or_what_never_was_is_no_error() {
    on_every_store(|world| async move {
        let store = world.store();
        for name in ["gone/a", "gone/b", "gone/c"] {
            store.create(name, bytes(100, 0)).await.unwrap();
        }
        let doomed = ["gone/a", "gone/never", "gone/b", "gone/a"].map(str::to_owned);
        for _ in 0..3 {
            assert_eq!(store.delete(&doomed).await, Ok(()));
            assert_eq!(names(&**store, "gone/").await, ["gone/c"]);
        }
        assert_eq!(store.delete(&[]).await, Ok(()));
        assert_eq!(store.read("gone/a", 0, 1).await, Err(StoreError::NotFound));
        assert_eq!(store.read_at_once("gone/a", 0, 1), None);
        assert_eq!(store.read("gone/c", 0, u64::MAX).await, Ok(bytes(100, 0)));
    });
}

/// Sixteen want each name; one gets it, and its bytes are the ones.
#[test]
fn of_sixteen_creates_one_wins() {
    on_every_store(|world| async move {
        for round in 0..20 {
            let name: Arc<str> = format!("race/{round}").into();
            let start = Arc::new(tokio::sync::Barrier::new(CLIENTS));
            let racers = world.clients.iter().enumerate().map(|(racer, store)| {
                let (store, name, start) = (store.clone(), name.clone(), start.clone());
                tokio::spawn(async move {
                    start.wait().await;
                    store.create(&name, bytes(700, racer as u8)).await.unwrap()
                })
            });
            let racers: Vec<_> = racers.collect();
            let mut winners = Vec::new();
            for (racer, task) in racers.into_iter().enumerate() {
                if task.await.unwrap() == Created::Created {
                    winners.push(racer as u8);
                }
            }
            assert_eq!(winners.len(), 1, "{name} on {}", world.kind);
            // Whoever asks.
            for store in &world.clients {
                let kept = store.read(&name, 0, u64::MAX).await.unwrap();
                assert_eq!(kept, bytes(700, winners[0]));
            }
        }
    });
}

/// Larger than what a store may send in one request, and of several pieces that end elsewhere.
#[test]
fn a_large_object_is_created_once_and_whole() {
    const SIZE: usize = (16 << 20) + 12_345;
    const RACERS: usize = 4;
    on_every_store(|world| async move {
        let object = |salt| {
            let (mut rope, whole) = (Rope::default(), bytes(SIZE, salt));
            rope.push(whole.slice(..5 << 20));
            rope.push(whole.slice(5 << 20..));
            rope
        };
        let start = Arc::new(tokio::sync::Barrier::new(RACERS));
        let racers = world.clients.iter().zip(0..RACERS as u8).map(|(store, racer)| {
            let (store, start, object) = (store.clone(), start.clone(), object(racer));
            tokio::spawn(async move {
                start.wait().await;
                loop {
                    match store.create_in_pieces("large/a", object.clone()).await {
                        // As one answers who meets another create under way.
                        Err(StoreError::Unavailable(_)) => {}
                        decided => return decided.unwrap(),
                    }
                }
            })
        });
        let mut winners = Vec::new();
        for (racer, task) in racers.collect::<Vec<_>>().into_iter().enumerate() {
            if task.await.unwrap() == Created::Created {
                winners.push(racer as u8);
            }
        }
        // Whoever has met another one may find its own object there afterwards.
        assert!(winners.len() <= 1, "{winners:?} on {}", world.kind);
        let kept = world.store().read("large/a", 0, u64::MAX).await.unwrap();
        let whole = |salt: &u8| kept == bytes(SIZE, *salt);
        assert!((0..RACERS as u8).filter(whole).count() == 1, "whose? on {}", world.kind);
        assert!(winners.iter().all(whole), "not the winner's on {}", world.kind);
        let at = (16 << 20) - 3;
        let across = world.store().read("large/a", at as u64, 7).await;
        assert_eq!(across, Ok(kept.slice(at..at + 7)));
    });
}

#[test]
fn listings_go_on_past_a_thousand_names() {
    on_every_store(|world| async move {
        let store = world.store();
        let mut all: Vec<String> = (0..2345).map(|n| format!("many/{n:020}")).collect();
        for chunk in all.chunks(64) {
            let creates = chunk.iter().map(|name| {
                let (store, name) = (store.clone(), name.clone());
                tokio::spawn(async move { store.create(&name, bytes(9, 1)).await })
            });
            for create in creates.collect::<Vec<_>>() {
                assert_eq!(create.await.unwrap(), Ok(Created::Created));
            }
        }
        assert_eq!(names(&**store, "many/").await, all, "{}", world.kind);
        // A page of the size that the engine asks for, from the middle, and the last one.
        let page = store.list("many/", &all[999], LIST_NAMES_MAX).await.unwrap();
        assert_eq!(page, all[1000..2000], "{}", world.kind);
        let page = store.list("many/", &all[1999], LIST_NAMES_MAX).await.unwrap();
        assert_eq!(page, all[2000..], "{}", world.kind);

        // In one go, as the engine deletes.
        store.delete(&all[..1000]).await.unwrap();
        all.drain(..1000);
        assert_eq!(names(&**store, "many/").await, all, "{}", world.kind);
    });
}

/// A store takes a name as it is, or refuses it: it never makes another one of it.
#[test]
fn names_of_odd_bytes_are_kept_as_they_are_or_refused() {
    on_every_store(|world| async move {
        let store = world.store();
        let longest = format!("odd/{}", "x".repeat(251));
        for name in ["odd/", "odd//", "odd//a", "odd/a/", "odd/0/../0", &longest] {
            let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b"0123456789/".contains(&b));
            let created = store.create(name, bytes(5, name.len() as u8)).await;
            assert!(created == Ok(Created::Created) || !plain, "{name:?}: {created:?}");
        }
        let odd =
            ["odd/a b", "odd/{a}", "odd/%2F", "odd/é", "odd/\u{1F600}", "odd/*?[a]", "odd/\r\n\0"];
        let mut taken = Vec::new();
        for (salt, name) in odd.into_iter().enumerate() {
            match store.create(name, bytes(7, salt as u8)).await {
                Ok(Created::Created) => taken.push((name, salt as u8)),
                Err(StoreError::Rejected(_)) => {}
                other => panic!("{name:?} on {}: {other:?}", world.kind),
            }
        }
        let listed = names(&**store, "odd/").await;
        for (name, salt) in &taken {
            assert_eq!(store.read(name, 0, u64::MAX).await, Ok(bytes(7, *salt)), "{name:?}");
            assert!(listed.iter().any(|listed| listed == name), "{name:?} on {}", world.kind);
        }
        let odd_listed = listed.iter().filter(|name| odd.contains(&name.as_str())).count();
        assert_eq!(odd_listed, taken.len());
        let doomed: Vec<String> = taken.iter().map(|(name, _)| (*name).to_owned()).collect();
        store.delete(&doomed).await.unwrap();
        assert_eq!(names(&**store, "odd/").await.len(), listed.len() - taken.len());
    });
}

/// Does what it is asked, and now and then doesn't tell.
struct Forgetful {
    store: Arc<dyn Store>,
    forgets: AtomicBool,
}

impl Forgetful {
    async fn tell<T>(&self, work: StoreFuture<'_, T>) -> Result<T, StoreError> {
        let done = work.await;
        if self.forgets.swap(false, Ordering::Relaxed) {
            return Err(StoreError::Unavailable("the reply was lost".to_owned()));
        }
        done
    }
}

impl Store for Forgetful {
    fn limits(&self) -> Limits {
        self.store.limits()
    }
    fn create<'a>(&'a self, name: &'a str, object: Bytes) -> StoreFuture<'a, Created> {
        Box::pin(self.tell(self.store.create(name, object)))
    }
    fn read<'a>(&'a self, name: &'a str, offset: u64, length: u64) -> StoreFuture<'a, Bytes> {
        Box::pin(self.tell(self.store.read(name, offset, length)))
    }
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<String>> {
        Box::pin(self.tell(self.store.list(prefix, after, limit)))
    }
    fn delete<'a>(&'a self, names: &'a [String]) -> StoreFuture<'a, ()> {
        Box::pin(self.tell(self.store.delete(names)))
    }
}

#[test]
fn a_lost_reply_at_any_verb_changes_nothing() {
    on_every_store(|world| async move {
        let store = world.store().clone();
        let forgetful = Arc::new(Forgetful { store, forgets: AtomicBool::new(false) });
        let rng = &mut StdRng::seed_from_u64(1);
        let store = ResilientStore::new(forgetful.clone(), RetryPolicy::default(), rng);
        let lose = || forgetful.forgets.store(true, Ordering::Relaxed);
        let object = |nonce| {
            let mut bytes = Vec::new();
            Header::new(Kind::Seal, nonce, 1, 1).encode(&mut bytes);
            Bytes::from(bytes)
        };
        lose();
        assert_eq!(store.create("lost/a", object(1), 1).await, Decided::Ours, "{}", world.kind);
        lose();
        match store.create("lost/a", object(2), 2).await {
            Decided::Theirs(header) => assert_eq!(header.nonce, 1),
            other => panic!("on {}: {other:?}", world.kind),
        }
        lose();
        assert_eq!(store.read("lost/a", 0, u64::MAX).await, Ok(object(1)));
        lose();
        assert_eq!(store.list("lost/").await.unwrap(), ["lost/a"]);
        lose();
        assert_eq!(store.delete(&["lost/a".to_owned()]).await, Ok(()));
        assert_eq!(store.list("lost/").await, Ok(Vec::new()));
        assert_eq!(store.try_read("lost/a", 0, 1).await, Err(StoreError::NotFound));
    });
}

#[test]
fn the_limits_make_sense() {
    on_every_store(|world| async move {
        let store = world.store();
        let limits = store.limits();
        assert!(limits.object_bytes_max >= 1 << 18);
        assert!(limits.group_bytes_useful as u64 <= limits.object_bytes_max);
        assert!(limits.creates_in_flight >= 1);
    });
}
