//! Several processes want the same store at once, are halted for any time anywhere, die and end;
//! requests take their time and arrive when their sender is long gone. Whatever happens, no two of
//! them serve: a counter that all increment never loses what was acknowledged, and nobody reads of
//! it what is older than somebody was told before.

use crate::clock::{SimClock, virtual_now};
use crate::faults::fork;
use crate::garbage::EAGER;
use aft::clock::Clock;
use aft::config::Succession;
use aft::engine::core::{Core, Health};
use aft::engine::gate::Outcome;
use aft::engine::version::Value;
use aft::engine::{Claim, Engine, EngineOptions, OpenError};
use aft::layout::{self, Commit, ObjectName, Owner};
use aft::storage::resilient::{ResilientStore, RetryPolicy};
use aft::storage::{Created, Limits, Store, StoreError, StoreFuture};
use aft::transaction::{Finished, Transaction, View};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

pub(crate) const LEASE: Duration = Duration::from_secs(2);
const NODES: u32 = 3;
const SEEDS: u64 = 60;

fn ms(rng: &mut StdRng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rng.random_range(range))
}

/// What a seed is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// Whether somebody says wrongly that the owner has stopped. Then it may answer old values
    /// within its lease, and still no write is lost.
    pub(crate) wrong_words: bool,
    /// How late listings are at most, in milliseconds.
    pub(crate) listing_lag_ms: u64,
    pub(crate) stale_reads: bool,
    /// Compaction moves something whenever it can, and begins new logs for that.
    pub(crate) compacts: bool,
}

/// A store in a service: each request is carried out at one instant, whatever becomes of its sender.
#[derive(Clone)]
pub(crate) struct Service {
    objects: Arc<Mutex<BTreeMap<String, (Bytes, Instant)>>>,
    rng: Arc<Mutex<StdRng>>,
    terms: Terms,
    /// Listings show of logs what was there at this moment, and nothing that came later.
    logs_shown_until: Arc<Mutex<Option<Instant>>>,
    /// Until then nothing arrives.
    stands_still_until: Arc<Mutex<Option<Instant>>>,
    /// Until then nothing is listed.
    lists_nothing_until: Arc<Mutex<Option<Instant>>>,
    /// Of one process.
    halt: Option<Arc<Halt>>,
    /// Reads of objects of logs.
    pub(crate) groups_read: Arc<AtomicU64>,
}

/// Where a process is to stand still: just before its first request that begins like this. When it
/// goes on, the first sign of life that it sends is lost, so that it does what it was about to do.
struct Halt {
    before: &'static str,
    done: AtomicBool,
    sign_is_lost: AtomicBool,
    reached: Notify,
}

impl Service {
    pub(crate) fn new(terms: Terms, rng: StdRng) -> Self {
        let rng = Arc::new(Mutex::new(rng));
        Self {
            objects: Arc::default(),
            rng,
            terms,
            logs_shown_until: Arc::default(),
            stands_still_until: Arc::default(),
            lists_nothing_until: Arc::default(),
            halt: None,
            groups_read: Arc::default(),
        }
    }

    /// What the newest view says.
    pub(crate) fn newest_view(&self) -> layout::View {
        let objects = self.objects.lock().unwrap();
        let mut views = objects.range(ObjectName::VIEWS.to_owned()..);
        let views = views.by_ref().take_while(|(name, _)| name.starts_with(ObjectName::VIEWS));
        let (name, (bytes, _)) = views.last().expect("a view");
        let Ok(ObjectName::View(number)) = name.parse() else { panic!("{name}") };
        layout::View::decode(number, bytes).expect("sound")
    }

    /// The same store, for a process that stands still before such a request.
    fn halting(&self, before: &'static str) -> (Self, Arc<Halt>) {
        let [done, sign_is_lost] = [false; 2].map(AtomicBool::new);
        let halt = Arc::new(Halt { before, done, sign_is_lost, reached: Notify::new() });
        (Self { halt: Some(Arc::clone(&halt)), ..self.clone() }, halt)
    }

    /// Whether this request never arrives; it will be repeated.
    fn loses(&self, verb: &str, name: &str) -> bool {
        let Some(halt) = &self.halt else { return false };
        let request = format!("{verb} {name}");
        if halt.done.load(Ordering::Relaxed) {
            return request.starts_with("create view/")
                && !halt.sign_is_lost.swap(true, Ordering::Relaxed);
        }
        let halts = request.starts_with(halt.before);
        if halts {
            halt.done.store(true, Ordering::Relaxed);
            halt.reached.notify_one();
        }
        halts
    }

    fn request<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut BTreeMap<String, (Bytes, Instant)>, Instant) -> T + Send + 'static,
    ) -> StoreFuture<'static, T> {
        let (there, back, lag, lost) = {
            let mut rng = self.rng.lock().unwrap();
            let there = match rng.random_range(0..100) {
                0 => ms(&mut rng, 500..4_000),
                _ => ms(&mut rng, 1..30),
            };
            let lag = Duration::from_millis(rng.random_range(0..=self.terms.listing_lag_ms));
            (there, ms(&mut rng, 1..30), lag, rng.random_bool(0.01))
        };
        let objects = Arc::clone(&self.objects);
        let begins = self.stands_still_until.lock().unwrap().unwrap_or_else(virtual_now);
        let on_its_way = tokio::spawn(async move {
            tokio::time::sleep_until(begins).await;
            sleep(there).await;
            let done = work(&mut objects.lock().unwrap(), virtual_now() + lag);
            sleep(back).await;
            done
        });
        Box::pin(async move {
            let done = on_its_way.await;
            if lost {
                return Err(StoreError::Unavailable("the reply was lost".to_owned()));
            }
            done.map_err(|error| StoreError::Unavailable(error.to_string()))
        })
    }
}

impl Store for Service {
    fn limits(&self) -> Limits {
        Limits {
            object_bytes_max: 1 << 30,
            group_bytes_useful: 1 << 20,
            creates_in_flight: 2,
            read_gap_bytes: 0,
            frees_in_order: false,
            shows_at_once: false,
            survives_process: true,
        }
    }

    fn create<'a>(&'a self, name: &'a str, object: Bytes) -> StoreFuture<'a, Created> {
        if self.loses("create", name) {
            return Box::pin(pending());
        }
        let name = name.to_owned();
        self.request(move |objects, listed_from| {
            if objects.contains_key(&name) {
                return Created::AlreadyExists;
            }
            objects.insert(name, (object, listed_from));
            Created::Created
        })
    }

    fn read<'a>(&'a self, name: &'a str, offset: u64, length: u64) -> StoreFuture<'a, Bytes> {
        let name = name.to_owned();
        self.groups_read.fetch_add(u64::from(name.starts_with("log/")), Ordering::Relaxed);
        let read = self.request(move |objects, _| {
            let (bytes, _) = objects.get(&name)?;
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            let to = usize::try_from(offset.saturating_add(length)).unwrap_or(usize::MAX);
            Some(bytes.slice(from..to.clamp(from, bytes.len())))
        });
        Box::pin(async move { read.await?.ok_or(StoreError::NotFound) })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<String>> {
        if self.lists_nothing_until.lock().unwrap().is_some_and(|until| virtual_now() < until) {
            return Box::pin(async { Err(StoreError::Unavailable("slow down".to_owned())) });
        }
        if self.loses("list", prefix) {
            return Box::pin(pending());
        }
        let (prefix, after) = (prefix.to_owned(), after.to_owned());
        let shown_until =
            if prefix == "log/" { *self.logs_shown_until.lock().unwrap() } else { None };
        self.request(move |objects, _| {
            let now = shown_until.unwrap_or_else(virtual_now);
            let shown = objects.iter().filter(|(_, (_, listed_from))| *listed_from <= now);
            let names = shown.map(|(name, _)| name.clone());
            names.filter(|name| name.starts_with(&prefix) && *name > after).take(limit).collect()
        })
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> StoreFuture<'a, ()> {
        let names = names.to_vec();
        self.request(move |objects, _| names.iter().for_each(|name| drop(objects.remove(name))))
    }
}

/// What clients were told, of all nodes.
#[derive(Debug, Default)]
struct Told {
    acknowledged: BTreeSet<u64>,
    violations: Vec<String>,
    seen: BTreeMap<&'static str, u64>,
}

impl Told {
    fn newest(&self) -> u64 {
        self.acknowledged.last().copied().unwrap_or(0)
    }

    fn hit(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }
}

type Book = Arc<Mutex<Told>>;

/// What a command of the server looks at first.
fn answers(core: &Core) -> bool {
    !matches!(core.health(), Health::Fenced(_)) && core.silenced_for().is_none()
}

/// The counter as one state shows it, and the next value where it is incremented.
pub(crate) fn count(core: &mut Core, view: View, increment: bool) -> (u64, Finished) {
    let mut transaction = Transaction::begin(core, view, 1 << 20);
    let found = transaction.get(0, b"counter").ok().flatten();
    let mut value = found.map_or(0, |found| {
        let Value::String(bytes) = found.value;
        String::from_utf8(bytes.to_vec()).unwrap().parse().unwrap()
    });
    if increment {
        value += 1;
        let bytes = Value::String(value.to_string().as_str().into());
        transaction.put(0, b"counter", bytes, 0);
    }
    (value, transaction.finish(&Commit::default()))
}

async fn write_for_ever(engine: &Engine, book: &Book, mut rng: StdRng) -> ! {
    loop {
        sleep(ms(&mut rng, 1..80)).await;
        let before = book.lock().unwrap().newest();
        let written = engine.with_core(|core| answers(core).then(|| count(core, View::Tip, true)));
        let Some((value, Finished::Done { gate: Some(gate), .. })) = written else {
            book.lock().unwrap().hit("writes refused");
            continue;
        };
        let outcome = poll_fn(|context| gate.poll(context)).await;
        let mut told = book.lock().unwrap();
        match outcome {
            Outcome::Durable => {
                told.hit("writes acknowledged");
                if value <= before || !told.acknowledged.insert(value) {
                    told.violations.push(format!("{value} acknowledged, {before} was before"));
                }
            }
            Outcome::Uncertain => told.hit("writes uncertain"),
            Outcome::NotCommitted | Outcome::Pending => told.hit("writes not committed"),
        }
    }
}

async fn read_for_ever(engine: &Engine, book: &Book, terms: Terms, mut rng: StdRng) -> ! {
    loop {
        sleep(ms(&mut rng, 1..40)).await;
        let read =
            engine.with_core(|core| answers(core).then(|| count(core, View::Visible, false)));
        let mut told = book.lock().unwrap();
        match read {
            None => told.hit("reads refused"),
            Some((value, _)) if value < told.newest() && !terms.wrong_words => {
                let newest = told.newest();
                told.violations.push(format!("read {value}, {newest} was acknowledged"));
            }
            Some(_) => told.hit("reads answered"),
        }
    }
}

pub(crate) async fn open(
    service: &Service,
    succession: Succession,
    number: u32,
    rng: &mut StdRng,
) -> Result<Arc<Engine>, OpenError> {
    let policy = RetryPolicy { attempt_timeout: Duration::from_secs(1), ..RetryPolicy::default() };
    let store = ResilientStore::new(Arc::new(service.clone()), policy, rng);
    let clock: Arc<dyn Clock> = Arc::new(SimClock::new(virtual_now(), Arc::default()));
    let mut options =
        EngineOptions { commit_deadline: Duration::from_secs(3), ..EngineOptions::default() };
    if service.terms.compacts {
        options.compaction = EAGER;
    }
    let owner = Owner { address: format!("node {number}"), ..Owner::default() };
    let stale_reads = service.terms.stale_reads;
    let claim = Claim { owner, lease: LEASE, succession, stale_reads, ready: None };
    let opened = Engine::open_shared(Arc::new(store), clock, options, claim, rng).await;
    opened.map(|(engine, _)| engine)
}

/// One process, from its start to its end.
async fn live(service: &Service, book: &Book, number: u32, mut rng: StdRng) {
    let succession = match rng.random_range(0..10) {
        0 | 1 if service.terms.wrong_words => Succession::AtOnce,
        0..4 => Succession::WhenItEnds,
        _ => Succession::AfterSilence,
    };
    let engine = match open(service, succession, number, &mut rng).await {
        Ok(engine) => engine,
        Err(OpenError::Owned(_)) => return book.lock().unwrap().hit("starts that found one alive"),
        Err(OpenError::Outrun(_)) => return book.lock().unwrap().hit("starts that were outrun"),
        Err(_) => return book.lock().unwrap().hit("starts that failed"),
    };
    book.lock().unwrap().hit("starts that served");
    let (life, clean) = (ms(&mut rng, 500..15_000), rng.random_bool(0.4));
    let mut running = pin!(engine.run());
    let (writer, reader) = (fork(&mut rng), fork(&mut rng));
    tokio::select! {
        biased;
        _ = &mut running => return book.lock().unwrap().hit("nodes closed out"),
        () = sleep(life) => {}
        _ = write_for_ever(&engine, book, writer) => {}
        _ = read_for_ever(&engine, book, service.terms, reader) => {}
    }
    if clean {
        let end = async {
            engine.drain().await;
            engine.seal().await;
        };
        tokio::select! {
            biased;
            _ = &mut running => {}
            _ = timeout(LEASE * 5, end) => book.lock().unwrap().hit("ends in order"),
        }
    }
}

/// Lets a process run, and stand still, and run.
async fn with_halts(process: impl Future<Output = ()>, mut rng: StdRng) {
    let mut process = pin!(process);
    loop {
        let run = ms(&mut rng, 50..6_000);
        if timeout(run, &mut process).await.is_ok() {
            return;
        }
        let halts = [0, 100, 1_500, 2_500, 9_000];
        sleep(Duration::from_millis(halts[rng.random_range(0..halts.len())])).await;
    }
}

fn race(seed: u64, stale_reads: bool) -> Told {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut rng = StdRng::seed_from_u64(seed);
        let listing_lag_ms = [0, 0, 300, 5_000][rng.random_range(0..4)];
        let wrong_words = !stale_reads && rng.random_bool(0.3);
        let terms = Terms { wrong_words, listing_lag_ms, stale_reads, compacts: true };
        let service = Service::new(terms, fork(&mut rng));
        let book = Book::default();
        let mut nodes = JoinSet::new();
        for number in 0..NODES {
            let (service, book, mut rng) = (service.clone(), Arc::clone(&book), fork(&mut rng));
            nodes.spawn(async move {
                loop {
                    sleep(ms(&mut rng, 0..3_000)).await;
                    let process = live(&service, &book, number, fork(&mut rng));
                    with_halts(process, fork(&mut rng)).await;
                }
            });
        }
        sleep(Duration::from_secs(120)).await;
        nodes.shutdown().await;
        // Everybody is dead; what is still on its way arrives.
        sleep(Duration::from_secs(60)).await;
        let last = loop {
            // A start may meet too many lost replies.
            if let Ok(last) = open(&service, Succession::AtOnce, NODES, &mut rng).await {
                break last;
            }
        };
        let (value, _) = last.with_core(|core| count(core, View::Visible, false));
        let mut told = std::mem::take(&mut *book.lock().unwrap());
        if value < told.newest() {
            told.violations.push(format!("{value} at the end, {} acknowledged", told.newest()));
        }
        told
    })
}

#[test]
fn of_many_that_race_no_two_serve() {
    let mut seen: BTreeMap<&'static str, u64> = BTreeMap::new();
    let first = crate::from_environment("AFT_FIRST_SEED").unwrap_or(0);
    let seeds = crate::from_environment("AFT_OWNER_SEEDS").unwrap_or(SEEDS);
    for seed in first..first + seeds {
        let told = race(seed, false);
        assert!(told.violations.is_empty(), "seed {seed}: {:#?}", told.violations);
        told.seen.into_iter().for_each(|(what, times)| *seen.entry(what).or_default() += times);
    }
    println!("{seen:#?}");
    for what in [
        "writes acknowledged",
        "writes refused",
        "writes uncertain",
        "reads answered",
        "reads refused",
        "starts that served",
        "starts that found one alive",
        "starts that were outrun",
        "nodes closed out",
        "ends in order",
    ] {
        assert!(seen.get(what).is_some_and(|times| *times > 0), "never: {what}");
    }
}

/// The same without the lease for reads: somebody is told what is old.
#[test]
fn reads_after_the_lease_are_caught() {
    let caught = (0..SEEDS).any(|seed| !race(seed, true).violations.is_empty());
    assert!(caught);
}

/// A node that serves, and somebody who writes for ever. When it ends, if it does.
async fn owner_at_work() -> (Service, Arc<Engine>, Book, JoinHandle<Instant>, StdRng) {
    let terms =
        Terms { wrong_words: false, listing_lag_ms: 0, stale_reads: false, compacts: false };
    let mut rng = StdRng::seed_from_u64(1);
    let service = Service::new(terms, fork(&mut rng));
    let owner = open(&service, Succession::AfterSilence, 1, &mut rng).await.unwrap();
    let (running, book, writer) = (Arc::clone(&owner), Book::default(), fork(&mut rng));
    let written = Arc::clone(&book);
    let serving = tokio::spawn(async move {
        tokio::select! {
            biased;
            _ = running.run() => {}
            _ = write_for_ever(&running, &written, writer) => {}
        }
        virtual_now()
    });
    (service, owner, book, serving, rng)
}

/// Listings that stand still make a start take a living owner for dead. It closes the log, finds
/// there what it had not seen, and waits until that owner's lease is over: the owner may answer.
#[tokio::test(start_paused = true)]
async fn a_start_that_has_missed_signs_of_life_waits_for_another_lease() {
    let (service, _owner, acknowledged, serving, mut rng) = owner_at_work().await;
    *service.logs_shown_until.lock().unwrap() = Some(virtual_now());
    let began = virtual_now();
    let next = open(&service, Succession::AfterSilence, 2, &mut rng).await.unwrap();
    let closed_out = serving.await.unwrap();
    assert!(closed_out - began >= LEASE, "{:?}", closed_out - began);
    assert!(virtual_now() - closed_out >= LEASE / 20 * 19, "{:?}", virtual_now() - closed_out);
    let (value, _) = next.with_core(|core| count(core, View::Visible, false));
    assert!(value > 0 && value >= acknowledged.lock().unwrap().newest());
}

/// The store stands still for longer than a lease, and lists nothing for longer than anybody waits
/// for a listing. Nobody has followed, so the owner goes on when it is told so.
#[tokio::test(start_paused = true)]
async fn an_owner_that_cannot_tell_whether_it_is_one_asks_until_it_can() {
    let (service, owner, acknowledged, _serving, _) = owner_at_work().await;
    sleep(LEASE).await;
    let still_until = virtual_now() + 2 * LEASE;
    *service.stands_still_until.lock().unwrap() = Some(still_until);
    let lists_from = still_until + 3 * RetryPolicy::default().read_deadline;
    *service.lists_nothing_until.lock().unwrap() = Some(lists_from);
    tokio::time::sleep_until(lists_from - LEASE).await;
    assert!(!owner.with_core(|core| answers(core)), "it can't know");
    let before = acknowledged.lock().unwrap().newest();
    tokio::time::sleep_until(lists_from + 2 * LEASE).await;
    assert!(owner.with_core(|core| answers(core)));
    assert!(acknowledged.lock().unwrap().newest() > before);
}

/// A start stands still before such a request, another one serves meanwhile and works for a while,
/// and the first wakes up: what becomes of it, of the other, and of the store. Whether it woke up
/// before it had to give up.
async fn woken_up(seed: u64, before: &'static str, works_for: Duration, compacts: bool) -> bool {
    let terms = Terms { wrong_words: false, listing_lag_ms: 0, stale_reads: false, compacts };
    let mut rng = StdRng::seed_from_u64(seed);
    let service = Service::new(terms, fork(&mut rng));
    let (halting, halt) = service.halting(before);
    let mut rng_of_first = fork(&mut rng);
    let mut first = pin!(async {
        let first = open(&halting, Succession::AfterSilence, 1, &mut rng_of_first).await?;
        // It serves, and does not know yet that it has lost.
        let _ = timeout(2 * LEASE, first.run()).await;
        Ok(first)
    });
    tokio::select! {
        biased;
        ended = &mut first => panic!("seed {seed}: {:?}", ended.map(drop)),
        () = halt.reached.notified() => {}
    }
    let second = loop {
        match open(&service, Succession::AfterSilence, 2, &mut rng).await {
            // What the first had sent still arrives.
            Err(OpenError::Owned(_)) => {}
            opened => break opened.unwrap(),
        }
    };
    let (running, book, writer) = (Arc::clone(&second), Book::default(), fork(&mut rng));
    let serving = tokio::spawn(async move { running.run().await });
    let _ = timeout(works_for, write_for_ever(&second, &book, writer)).await;
    sleep(works_for).await;
    let in_time = match first.await {
        Err(OpenError::Store(StoreError::Unavailable(_))) => false,
        Err(error) => {
            assert!(matches!(error, OpenError::Outrun(_)), "seed {seed}: {error}");
            true
        }
        // It has come as far as it could; it must not answer.
        Ok(first) => {
            assert!(!first.with_core(|core| answers(core)), "seed {seed}");
            true
        }
    };
    if !compacts {
        // What is written last would hide what has been lost of a base.
        let before = book.lock().unwrap().newest();
        let _ = timeout(2 * LEASE, write_for_ever(&second, &book, fork(&mut rng))).await;
        assert!(book.lock().unwrap().newest() > before, "seed {seed}");
    }
    assert!(!serving.is_finished(), "seed {seed}: the one that served was ended");
    serving.abort();
    let told = std::mem::take(&mut *book.lock().unwrap());
    assert!(told.violations.is_empty() && told.newest() > 0, "seed {seed}: {told:?}");
    let last = open(&service, Succession::AtOnce, 3, &mut rng).await.unwrap();
    let (value, _) = last.with_core(|core| count(core, View::Visible, false));
    assert!(value >= told.newest(), "seed {seed}: {value}, {} was acknowledged", told.newest());
    in_time
}

/// Its id may be larger than that of the node which serves by then: it must not close that log.
#[tokio::test(start_paused = true)]
async fn a_start_that_has_lost_before_it_drew_its_id_closes_no_log() {
    let mut in_time = 0;
    for seed in 0..10 {
        let works_for = Duration::from_millis(200);
        in_time += u64::from(woken_up(seed, "create node/", works_for, false).await);
    }
    assert!(in_time > 5, "{in_time}");
}

/// The view that names its log is there, and the log's first group comes when another has closed that
/// log, and compacted it away.
#[tokio::test(start_paused = true)]
async fn a_start_that_has_lost_before_its_first_group_does_not_serve() {
    let mut in_time = 0;
    for seed in 0..10 {
        in_time += u64::from(woken_up(seed, "create log/", LEASE, true).await);
    }
    assert!(in_time > 5, "{in_time}");
}

/// It deletes what nothing names; what the node which serves by then has written is not for it to say.
#[tokio::test(start_paused = true)]
async fn a_start_that_has_lost_before_it_sweeps_deletes_nothing_of_its_successor() {
    let mut in_time = 0;
    for seed in 0..10 {
        // Enough for compaction to move what was written, and to delete what it replaces.
        in_time += u64::from(woken_up(seed, "list base/", LEASE, true).await);
    }
    assert!(in_time > 5, "{in_time}");
}
