//! A store that outlives processes and has seen everything.
//!
//! A request travels to the store, is carried out there at one instant, and its reply
//! travels back; each of the three can go wrong (see [`Faults`]). What is on its way
//! belongs to the world, not to the process that sent it: it arrives when its sender has
//! long died, unless the seed lets it vanish with its connection.

use crate::clock::virtual_now;
use crate::coverage::Coverage;
use crate::deaths::{Asks, Deaths};
use crate::faults::{Faults, Plan, Reply, Verb};
use crate::mutants::Mutant;
use aft::layout::{Header, Kind, ObjectName};
use aft::storage::{Created, Limits, Store, StoreError, StoreFuture};
use bytes::Bytes;
use rand::RngExt;
use rand::rngs::StdRng;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep};

struct Object {
    bytes: Bytes,
    listed_from: Duration,
    read_from: Duration,
}

/// When a process is to die at the store's hand.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KillAt {
    /// How many requests from now.
    pub(crate) requests: u64,
    /// Only those count by which compaction gets on.
    pub(crate) of_compaction: bool,
    /// Before the work, or after it.
    pub(crate) after_work: bool,
}

struct State {
    objects: BTreeMap<String, Object>,
    /// What was there once and has been deleted.
    deleted: BTreeMap<String, Bytes>,
    /// What listings go on to show, there or not.
    listed_though_gone: BTreeSet<String>,
    faults: Faults,
    rng: StdRng,
    coverage: Coverage,
    /// The process that is alive now.
    life: u32,
    kill_at: Option<KillAt>,
    deaths: Deaths,
    /// Creates that were answered `Rejected`, in this life.
    rejected: u64,
}

struct World {
    state: Mutex<State>,
    began: Instant,
    kill: Notify,
    creates_in_flight: usize,
    /// By chance: values are moved one by one, a few at a time, or with their whole object.
    read_gap_bytes: u64,
    /// By chance: blobs are moved, or stay where they are.
    frees_in_order: bool,
    /// Whether it has ever been one that shows objects late.
    shows_late: AtomicBool,
    object_bytes_max: AtomicU64,
    mutant: Mutant,
}

/// One process's connection to the store.
#[derive(Clone)]
pub(crate) struct SimStore {
    world: Arc<World>,
    life: u32,
}

/// Takes a request with it when its sender goes.
struct Connection(Option<tokio::task::AbortHandle>);

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(request) = &self.0 {
            request.abort();
        }
    }
}

impl SimStore {
    pub(crate) fn new(
        faults: Faults,
        creates_in_flight: usize,
        mutant: Mutant,
        mut rng: StdRng,
    ) -> Self {
        let read_gap_bytes = [0, 200, u64::MAX][rng.random_range(0..3)];
        let frees_in_order = rng.random_bool(0.5);
        let shows_late = AtomicBool::new(faults.reads_late > 0.0);
        let state = State {
            objects: BTreeMap::new(),
            deleted: BTreeMap::new(),
            listed_though_gone: BTreeSet::new(),
            faults,
            rng,
            coverage: Coverage::default(),
            life: 0,
            kill_at: None,
            deaths: Deaths::default(),
            rejected: 0,
        };
        let world = World {
            state: Mutex::new(state),
            began: virtual_now(),
            kill: Notify::new(),
            creates_in_flight,
            read_gap_bytes,
            frees_in_order,
            shows_late,
            object_bytes_max: AtomicU64::new(u64::MAX),
            mutant,
        };
        Self { world: Arc::new(world), life: 0 }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.world.state.lock().unwrap()
    }

    /// Virtual time since the world began.
    pub(crate) fn now(&self) -> Duration {
        virtual_now() - self.world.began
    }

    /// A new process connects; what earlier ones have sent is still on its way.
    pub(crate) fn connect(&self, life: u32, kill_at: Option<KillAt>) -> Self {
        let mut state = self.state();
        state.life = life;
        state.kill_at = kill_at;
        state.deaths = Deaths::default();
        state.rejected = 0;
        Self { world: Arc::clone(&self.world), life }
    }

    /// The process that is alive has recovered.
    pub(crate) fn serves(&self) {
        self.state().deaths.serves();
    }

    /// Whether compaction has a base on its way here.
    pub(crate) fn takes_a_base(&self) -> bool {
        self.state().deaths.creates_base()
    }

    /// It is killed, by others.
    pub(crate) fn dies(&self) {
        let State { deaths, coverage, .. } = &mut *self.state();
        deaths.died(None, coverage);
    }

    /// Returns when the process has to die.
    pub(crate) async fn killed(&self) {
        self.world.kill.notified().await;
    }

    /// No process is to die by an order given earlier.
    pub(crate) fn disarm(&self) {
        self.state().kill_at = None;
        // Takes back an order that nobody has followed yet.
        let mut order = std::pin::pin!(self.world.kill.notified());
        let _ = order.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.world.shows_late.fetch_or(faults.reads_late > 0.0, Ordering::Relaxed);
        self.state().faults = faults;
    }

    /// It takes no larger objects from now on.
    pub(crate) fn limit_objects(&self, bytes_max: u64) {
        self.world.object_bytes_max.store(bytes_max, Ordering::Relaxed);
    }

    pub(crate) fn mutant(&self) -> Mutant {
        self.world.mutant
    }

    /// How long from now the last outage lasts.
    pub(crate) fn quiet_in(&self) -> Duration {
        self.state().faults.quiet_from().saturating_sub(self.now())
    }

    pub(crate) fn rejected(&self) -> u64 {
        self.state().rejected
    }

    pub(crate) fn hit(&self, event: &'static str) {
        self.state().coverage.hit(event);
    }

    pub(crate) fn coverage(&self) -> Coverage {
        self.state().coverage.clone()
    }

    /// All that is there, whatever a listing says.
    pub(crate) fn objects(&self) -> BTreeMap<String, Bytes> {
        let state = self.state();
        let objects = state.objects.iter();
        objects.map(|(name, object)| (name.clone(), object.bytes.clone())).collect()
    }

    /// All that ever was there: what the logs said before anything was compacted.
    pub(crate) fn objects_ever(&self) -> BTreeMap<String, Bytes> {
        let mut ever = self.objects();
        ever.extend(self.state().deleted.clone());
        ever
    }

    /// Breaks the store's promise: an object is gone.
    pub(crate) fn lose(&self, name: &str) {
        self.state().objects.remove(name).unwrap();
    }

    /// No listing shows these objects before so much time has passed.
    pub(crate) fn list_late(&self, by: Duration, hides: impl Fn(&str) -> bool) {
        let from = self.now() + by;
        let mut state = self.state();
        for (name, object) in &mut state.objects {
            if hides(name) {
                object.listed_from = from;
            }
        }
    }

    /// Every listing is from before this name was deleted.
    pub(crate) fn list_though_gone(&self, name: &str) {
        self.state().listed_though_gone.insert(name.to_owned());
    }

    /// Breaks the store's promise: a bit of an object has flipped.
    pub(crate) fn rot(&self, name: &str, at: usize) {
        let mut state = self.state();
        let object = state.objects.get_mut(name).unwrap();
        let mut bytes = object.bytes.to_vec();
        bytes[at] ^= 1;
        object.bytes = bytes.into();
    }

    /// Counts a request; a process that is to die here never hears of it.
    async fn departs(&self, asks: Asks) -> (Plan, bool) {
        let verb = asks.verb();
        let (plan, dies) = {
            let now = self.now();
            let mut state = self.state();
            let State { faults, rng, .. } = &mut *state;
            let plan = faults.plan(verb, now, rng);
            if let Reply::Error(_, error) = &plan.reply {
                match error {
                    StoreError::Rejected(_) => {
                        state.rejected += 1;
                        state.coverage.hit("creates rejected");
                    }
                    StoreError::Full(_) => state.coverage.hit("creates refused as full"),
                    _ => {}
                }
            }
            if verb == Verb::Create && matches!(plan.reply, Reply::Never) && plan.arrives.is_some()
            {
                state.coverage.hit("creates whose reply was lost");
            }
            (plan, state.dies_here(self.life, asks))
        };
        match dies {
            None => (plan, false),
            Some(KillAt { after_work: true, .. }) => (plan, true),
            // The request is on its way all the same, or never left.
            Some(_) => {
                let arrives = self.state().last_words();
                let plan = Plan { arrives, reply: Reply::Never, vanishes: false };
                self.world.kill.notify_one();
                (plan, false)
            }
        }
    }

    async fn die(&self) -> ! {
        self.world.kill.notify_one();
        loop {
            std::future::pending::<()>().await;
        }
    }

    /// Carries a request through: `work` is done at the store, at one instant, or never.
    async fn request<T: Send + 'static>(
        &self,
        asks: Asks,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (plan, dies_after) = self.departs(asks).await;
        let work = move |store: &Self| {
            let result = work(store);
            let mut state = store.state();
            if result.is_ok() && state.life == store.life {
                state.deaths.done(asks);
            }
            drop(state);
            result
        };
        let (answer, answered) = oneshot::channel();
        let mut connection = Connection(None);
        match plan.arrives {
            Some(Duration::ZERO) => {
                let _ = answer.send(work(self));
            }
            Some(delay) => {
                let store = self.clone();
                let request = tokio::spawn(async move {
                    sleep(delay).await;
                    if let Some(longer) = store.orphaned() {
                        sleep(longer).await;
                    }
                    let _ = answer.send(work(&store));
                });
                if plan.vanishes {
                    connection.0 = Some(request.abort_handle());
                }
            }
            None => drop(answer),
        }
        let result = match plan.reply {
            Reply::Never => std::future::pending().await,
            Reply::Error(delay, error) => {
                sleep(delay).await;
                Err(error)
            }
            Reply::After(delay) => {
                let result = answered.await;
                sleep(delay).await;
                result.unwrap_or_else(|_| Err(StoreError::Unavailable("cut off".to_owned())))
            }
        };
        connection.0 = None;
        if dies_after {
            self.die().await;
        }
        result
    }

    /// How much longer a request is under way whose sender has died: packets wander.
    fn orphaned(&self) -> Option<Duration> {
        let mut state = self.state();
        let orphaned = state.life != self.life && state.rng.random_bool(0.5);
        orphaned.then(|| {
            // With the minute that the last one may take to leave: before the first sweep.
            let latest_ms = [5_000, 5_000, 5_000, 25_000][state.rng.random_range(0..4)];
            Duration::from_millis(state.rng.random_range(0..latest_ms))
        })
    }

    /// The instant at which a create happens.
    fn create_now(&self, name: &str, bytes: &Bytes) -> Created {
        let now = self.now();
        let mut state = self.state();
        state.notice_create(self.life, name, bytes);
        if state.objects.contains_key(name) {
            if self.world.mutant == Mutant::TwoWinners {
                state.keep(name, bytes, now);
                return Created::Created;
            }
            return Created::AlreadyExists;
        }
        let forgets = self.world.mutant == Mutant::AcknowledgesBeforeKeeping
            && state.life > 1
            && state.rng.random_bool(0.03);
        if !forgets {
            state.keep(name, bytes, now);
        }
        for early in self.world.mutant.deletes_at_create(bytes, state.objects.keys()) {
            state.remove(&early);
        }
        Created::Created
    }
}

impl State {
    fn dies_here(&mut self, life: u32, asks: Asks) -> Option<KillAt> {
        if life != self.life {
            return None;
        }
        self.deaths.asked(asks);
        let kill_at = self.kill_at.as_mut()?;
        if kill_at.of_compaction && !self.deaths.gets_on(asks) {
            return None;
        }
        if kill_at.requests > 0 {
            kill_at.requests -= 1;
            return None;
        }
        let kill_at = self.kill_at.take()?;
        self.deaths.died(Some((asks, kill_at.after_work)), &mut self.coverage);
        Some(kill_at)
    }

    /// When the last request of a dying process arrives, if ever.
    fn last_words(&mut self) -> Option<Duration> {
        let latest_ms = [0, 100, 6_000, 60_000][self.rng.random_range(0..4)];
        let arrives = self.rng.random_range(0..=latest_ms);
        let leaves = self.rng.random_bool(0.7);
        leaves.then(|| Duration::from_millis(arrives))
    }

    /// An object goes, and whoever reads the order later has it still.
    fn remove(&mut self, name: &str) -> bool {
        let Some(object) = self.objects.remove(name) else { return false };
        self.coverage.hit(match name.parse() {
            Ok(ObjectName::Base(..)) => "bases deleted",
            Ok(ObjectName::Blob(..)) => "pieces of blobs deleted",
            _ => "groups deleted",
        });
        // What came late to a name that had been deleted never counted.
        self.deleted.entry(name.to_owned()).or_insert(object.bytes);
        true
    }

    fn keep(&mut self, name: &str, bytes: &Bytes, now: Duration) {
        let (listed, read) = self.faults.shows(&mut self.rng);
        let object =
            Object { bytes: bytes.clone(), listed_from: now + listed, read_from: now + read };
        self.objects.insert(name.to_owned(), object);
    }

    /// Counts what is worth counting about a create.
    fn notice_create(&mut self, life: u32, name: &str, bytes: &Bytes) {
        let late = life != self.life;
        if late {
            self.coverage.hit("creates applied after their process died");
        }
        let kind = Header::decode(bytes).map(|header| header.kind);
        let there = self.kind_of(name);
        if late && there.is_none() && self.deleted.contains_key(name) {
            self.coverage.hit("late creates of deleted names");
        }
        match kind {
            Ok(Kind::Base) => self.coverage.hit("bases created"),
            Ok(Kind::Blob) => self.coverage.hit("pieces of blobs created"),
            _ => {}
        }
        if late && there == Some(Kind::Seal) {
            self.coverage.hit("late creates that met a seal");
        }
        if kind == Ok(Kind::Seal) && there == Some(Kind::Group) {
            self.coverage.hit("gaps that only showed late");
        }
        if late
            && there.is_none()
            && let Ok(ObjectName::Log(node, seq)) = name.parse()
            && (1..seq).any(|before| {
                self.kind_of(&ObjectName::Log(node, before).to_string()) == Some(Kind::Seal)
            })
        {
            self.coverage.hit("created behind a seal, late");
        }
    }

    fn kind_of(&self, name: &str) -> Option<Kind> {
        let object = self.objects.get(name)?;
        Header::decode(&object.bytes).ok().map(|header| header.kind)
    }
}

impl Store for SimStore {
    fn limits(&self) -> Limits {
        Limits {
            object_bytes_max: self.world.object_bytes_max.load(Ordering::Relaxed),
            group_bytes_useful: 1 << 20,
            creates_in_flight: self.world.creates_in_flight,
            read_gap_bytes: self.world.read_gap_bytes,
            frees_in_order: self.world.frees_in_order,
            shows_at_once: !self.world.shows_late.load(Ordering::Relaxed),
            survives_process: true,
        }
    }

    fn create<'a>(&'a self, name: &'a str, object: Bytes) -> StoreFuture<'a, Created> {
        let name = name.to_owned();
        let asks = Asks::create(&object);
        Box::pin(self.request(asks, move |store| {
            if object.len() as u64 > store.limits().object_bytes_max {
                return Err(StoreError::Rejected(format!("{name}: {} bytes", object.len())));
            }
            Ok(store.create_now(&name, &object))
        }))
    }

    fn read<'a>(&'a self, name: &'a str, offset: u64, length: u64) -> StoreFuture<'a, Bytes> {
        let name = name.to_owned();
        Box::pin(self.request(Asks::read(offset), move |store| {
            let now = store.now();
            let State { objects, coverage, .. } = &mut *store.state();
            let object = objects.get(&name).ok_or(StoreError::NotFound)?;
            if object.read_from > now {
                coverage.hit("objects read late");
                return Err(StoreError::NotFound);
            }
            let size = object.bytes.len() as u64;
            let start = offset.min(size);
            let end = offset.saturating_add(length).min(size);
            Ok(object.bytes.slice(start as usize..end as usize))
        }))
    }

    /// Values now and then; all else has to be waited for, and may fail.
    fn read_at_once(&self, name: &str, offset: u64, length: u64) -> Option<Bytes> {
        let now = self.now();
        let state = self.state();
        let object = state.objects.get(name).filter(|object| object.read_from <= now)?;
        let is_at_hand = offset > 0 && (now.as_millis() as u64 + offset).is_multiple_of(3);
        let range = offset as usize..usize::try_from(offset.saturating_add(length)).ok()?;
        (is_at_hand && range.end <= object.bytes.len()).then(|| object.bytes.slice(range))
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<String>> {
        let (prefix, after) = (prefix.to_owned(), after.to_owned());
        Box::pin(self.request(Asks::List, move |store| {
            let now = store.now();
            let mut state = store.state();
            let from = if after < prefix {
                Bound::Included(prefix.as_str())
            } else {
                Bound::Excluded(after.as_str())
            };
            let mut late = 0;
            let there = state
                .objects
                .range::<str, _>((from, Bound::Unbounded))
                .take_while(|(name, _)| name.starts_with(&prefix))
                .filter(|(_, object)| {
                    late += u64::from(object.listed_from > now);
                    object.listed_from <= now
                })
                .map(|(name, _)| name);
            let gone = state.listed_though_gone.range::<str, _>((from, Bound::Unbounded));
            let gone = gone.take_while(|name| name.starts_with(&prefix));
            let names: BTreeSet<String> = there.chain(gone).cloned().collect();
            let names: Vec<String> = names.into_iter().take(limit).collect();
            let event = match prefix.as_str() {
                ObjectName::NODES => "node names listed late",
                _ => "log names listed late",
            };
            if late > 0 {
                state.coverage.add(event, late);
            }
            Ok(names)
        }))
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> StoreFuture<'a, ()> {
        let names = names.to_vec();
        Box::pin(self.request(Asks::delete(&names), move |store| {
            if store.world.mutant == Mutant::AcknowledgesDeletesOnly {
                return Ok(());
            }
            let mut state = store.state();
            let gone: Vec<&String> = names.iter().filter(|name| state.remove(name)).collect();
            for more in store.world.mutant.deletes_behind(&gone) {
                state.remove(&more);
            }
            Ok(())
        }))
    }
}
