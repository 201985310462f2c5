//! What a node makes of it when the store refuses what it has sent, or shows what is there no more,
//! while others are at the same store. Each case is played to the end by a store that does as it
//! is told.

use crate::clock::{SimClock, virtual_now};
use crate::garbage::EAGER;
use crate::losses::{get, put, put_outcome};
use crate::owners::LEASE;
use aft::config::Succession;
use aft::engine::core::Health;
use aft::engine::gate::Outcome;
use aft::engine::{Claim, Engine, EngineOptions, Stopped};
use aft::layout::{Header, Kind, ObjectName, Owner};
use aft::storage::memory::MemoryStore;
use aft::storage::resilient::{ResilientStore, RetryPolicy};
use aft::storage::{Created, LIST_NAMES_MAX, Limits, Store, StoreError, StoreFuture};
use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// What an entry of a log takes, and all else: a log goes on for some time while another is begun.
const ENTRY: Duration = Duration::from_millis(100);
const OTHERS: Duration = Duration::from_millis(1);

/// What becomes of one kind of objects that are created in logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// They are there, and that is answered.
    Answered,
    /// They are there, and no answer comes.
    Unanswered,
    /// They are on their way, and no answer comes.
    OnTheirWay,
    /// The store will never take the one that was the first without an answer.
    Refused,
}

/// One process's connection to a store that others see, too.
struct Connection {
    there: Arc<MemoryStore>,
    kind: Kind,
    fate: Mutex<Fate>,
    /// The first that had no answer.
    unanswered: Mutex<Option<(String, Bytes)>>,
    /// What the first listing of a prefix shows: what was there once.
    first_listing: Mutex<Option<(&'static str, Vec<String>)>>,
}

impl Connection {
    /// With a fate for objects of this kind.
    fn to(there: &Arc<MemoryStore>, kind: Kind) -> Arc<Self> {
        Arc::new(Self {
            there: Arc::clone(there),
            kind,
            fate: Mutex::new(Fate::Answered),
            unanswered: Mutex::default(),
            first_listing: Mutex::default(),
        })
    }

    fn set(&self, fate: Fate) {
        *self.fate.lock().unwrap() = fate;
    }

    fn unanswered(&self) -> Option<(String, Bytes)> {
        self.unanswered.lock().unwrap().clone()
    }

    fn fate_of(&self, name: &str, object: &Bytes) -> Fate {
        let fate = *self.fate.lock().unwrap();
        let kind = Header::decode(object).map(|header| header.kind);
        if !name.starts_with(ObjectName::LOGS) || kind != Ok(self.kind) {
            return Fate::Answered;
        }
        let mut first = self.unanswered.lock().unwrap();
        match fate {
            Fate::Answered => {}
            Fate::Unanswered | Fate::OnTheirWay => {
                first.get_or_insert_with(|| (name.to_owned(), object.clone()));
            }
            Fate::Refused if first.as_ref().is_none_or(|(first, _)| first != name) => {
                return Fate::Answered;
            }
            Fate::Refused => {}
        }
        fate
    }
}

impl Store for Connection {
    fn limits(&self) -> Limits {
        Limits { survives_process: true, ..self.there.limits() }
    }

    fn create<'a>(&'a self, name: &'a str, object: Bytes) -> StoreFuture<'a, Created> {
        Box::pin(async move {
            sleep(if name.starts_with(ObjectName::NODES) { ENTRY } else { OTHERS }).await;
            match self.fate_of(name, &object) {
                Fate::Answered => self.there.create(name, object).await,
                Fate::Unanswered => {
                    self.there.create(name, object).await?;
                    pending().await
                }
                Fate::OnTheirWay => pending().await,
                Fate::Refused => Err(StoreError::Rejected("too many atoms".to_owned())),
            }
        })
    }

    fn read<'a>(&'a self, name: &'a str, offset: u64, length: u64) -> StoreFuture<'a, Bytes> {
        self.there.read(name, offset, length)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<String>> {
        let first = self.first_listing.lock().unwrap().take_if(|(of, _)| *of == prefix);
        match first {
            Some((_, names)) => Box::pin(async move { Ok(names) }),
            None => self.there.list(prefix, after, limit),
        }
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> StoreFuture<'a, ()> {
        self.there.delete(names)
    }
}

/// A node that serves the store; what it says when it has to stop.
async fn serve(
    store: &Arc<Connection>,
    number: u64,
    options: EngineOptions,
) -> (Arc<Engine>, JoinHandle<Stopped>) {
    let mut rng = StdRng::seed_from_u64(number);
    let store = ResilientStore::new(Arc::clone(store) as _, RetryPolicy::default(), &mut rng);
    let clock = Arc::new(SimClock::new(virtual_now(), Arc::default()));
    let claim = Claim {
        owner: Owner { address: format!("node {number}"), ..Owner::default() },
        lease: LEASE,
        succession: Succession::AfterSilence,
        stale_reads: false,
        ready: None,
    };
    let opened = Engine::open_shared(Arc::new(store), clock, options, claim, &mut rng).await;
    let (engine, recovered) = opened.unwrap();
    assert_eq!(recovered.damages, Vec::<String>::new());
    let running = Arc::clone(&engine);
    (engine, tokio::spawn(async move { running.run().await }))
}

/// Compaction moves all there is and begins new logs for that; there is time to wait for the store.
fn eager(commit_deadline: Duration) -> EngineOptions {
    EngineOptions {
        compaction: EAGER,
        groups_in_flight_max: 1,
        commit_deadline,
        ..EngineOptions::default()
    }
}

/// Waits for what has to come to be soon.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let patience = virtual_now() + Duration::from_secs(60);
    while !is_so() {
        assert!(virtual_now() < patience, "never: {what}");
        sleep(OTHERS).await;
    }
}

/// Writes until compaction has deleted an object.
async fn write_until_gone(engine: &Engine, there: &MemoryStore, name: &str) -> u64 {
    for written in 1..10_000 {
        put(engine, "counter", &written.to_string()).await;
        if there.read(name, 0, 1).await == Err(StoreError::NotFound) {
            return written;
        }
    }
    panic!("{name} is there still");
}

/// A group of a node has no answer until another node has taken the store over, and has compacted
/// away the log in which that group was to be, with its seal. Then the store says that it will never
/// take it. What the clients are told, and what the other node has of their write.
async fn replaced_meanwhile(fate: Fate) -> (Outcome, Option<String>) {
    let there = Arc::new(MemoryStore::new());
    let store = Connection::to(&there, Kind::Group);
    // Whoever waits is told when it is known, and not before.
    let (first, running) = serve(&store, 1, eager(Duration::from_secs(3600))).await;
    // There is another log to go on in, so nothing else has to be asked for one.
    while !first.with_core(|core| core.next_log_is_wanted()) {
        put(&first, "k", "before").await;
    }
    store.set(fate);
    let writes = Arc::clone(&first);
    let told = tokio::spawn(async move { put_outcome(&writes, "k", "under way").await });
    until("its group was sent", || store.unanswered().is_some()).await;
    until("another log was begun", || first.with_core(|core| core.next_log().is_some())).await;
    let (name, object) = store.unanswered().unwrap();
    assert!(object.windows(9).any(|bytes| bytes == b"under way"));

    let (second, _serving) = serve(&Connection::to(&there, Kind::Group), 2, eager(LEASE)).await;
    let found = get(&second, "k").await.unwrap();
    write_until_gone(&second, &there, &name).await;
    if fate == Fate::OnTheirWay {
        // It arrives, and the name is free.
        assert_eq!(there.create(&name, object).await, Ok(Created::Created));
    }
    assert!(!told.is_finished());
    store.set(Fate::Refused);
    let told = told.await.unwrap();
    let Stopped(why) = running.await.unwrap();
    assert!(why.contains("this node was replaced"), "{why}");
    assert_eq!(get(&second, "k").await.unwrap(), found);
    (told, found)
}

/// It finds its own group where it wants to put its seal. That counts only as long as the store is
/// its own: nobody has it.
#[tokio::test(start_paused = true)]
async fn who_was_replaced_does_not_believe_a_group_of_its_own_that_came_late() {
    let (told, found) = replaced_meanwhile(Fate::OnTheirWay).await;
    assert_eq!(found.as_deref(), Some("before"));
    assert_eq!(told, Outcome::Uncertain);
}

/// It can put its seal there, as if its group had never come to be. Who has followed has it.
#[tokio::test(start_paused = true)]
async fn who_was_replaced_does_not_believe_a_seal_where_its_group_was() {
    let (told, found) = replaced_meanwhile(Fate::Unanswered).await;
    assert_eq!(found.as_deref(), Some("under way"));
    assert_eq!(told, Outcome::Uncertain);
}

/// A log that the store won't have closed goes on, also when it has said so so late that writes were
/// refused meanwhile.
#[tokio::test(start_paused = true)]
async fn a_seal_refused_late_leaves_a_node_that_takes_writes() {
    let store = Connection::to(&Arc::new(MemoryStore::new()), Kind::Seal);
    let (engine, running) = serve(&store, 1, eager(LEASE / 2)).await;
    store.set(Fate::OnTheirWay);
    while store.unanswered().is_none() {
        let told = put_outcome(&engine, "k", "before").await;
        assert!(store.unanswered().is_some() || told == Outcome::Durable, "{told:?}");
    }
    let refuses = || engine.with_core(|core| matches!(core.health(), Health::Refusing(_)));
    until("writes are refused", refuses).await;
    store.set(Fate::Refused);
    until("writes are taken again", || !refuses()).await;
    put(&engine, "k", "after").await;
    assert_eq!(get(&engine, "k").await, Ok(Some("after".to_owned())));
    assert!(!running.is_finished());
}

/// A start lists what there is, to refuse what is of a newer format before it writes anything. The
/// owner before, which may be serving still, deletes the newest of that before it is read.
#[tokio::test(start_paused = true)]
async fn a_start_passes_over_what_was_deleted_since_it_was_listed() {
    for prefix in [ObjectName::LOGS, ObjectName::NODES] {
        let there = Arc::new(MemoryStore::new());
        let (first, _running) = serve(&Connection::to(&there, Kind::Group), 1, eager(LEASE)).await;
        put(&first, "k", "v").await;
        let listed = there.list(prefix, "", LIST_NAMES_MAX).await.unwrap();
        let newest = listed.last().unwrap();
        let written = write_until_gone(&first, &there, newest).await;
        assert!(first.drain().await);
        first.seal().await;
        let store = Connection::to(&there, Kind::Group);
        *store.first_listing.lock().unwrap() = Some((prefix, listed));
        let (second, _running) = serve(&store, 2, eager(LEASE)).await;
        assert!(store.first_listing.lock().unwrap().is_none());
        assert_eq!(get(&second, "k").await, Ok(Some("v".to_owned())));
        assert_eq!(get(&second, "counter").await, Ok(Some(written.to_string())));
    }
}
