//! Clients: random transactions, several under way at once, as a server would run them.

use crate::clock::SimClock;
use crate::history::{
    DATABASES, History, KEYS, Key, Op, Outcome, Seen, TxnId, Watch, count_of, counter_value,
    value_of,
};
use crate::mutants::Mutant;
use crate::rounds::Rounds;
use crate::store::SimStore;
use aft::clock::Clock;
use aft::engine::Engine;
use aft::engine::core::{Fetched, Located, Missing};
use aft::engine::gate::{self, Gate};
use aft::engine::version::{StoredValue, Value};
use aft::layout::{Commit, ObjectName};
use aft::small_bytes::SmallBytes;
use aft::transaction::{Finished, Found, ReadError, Transaction, View, Watched};
use rand::RngExt;
use rand::rngs::StdRng;
use std::collections::{HashSet, VecDeque};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::sleep;

/// No transaction of the simulation is too large.
pub(crate) const BYTES_MAX: usize = 1 << 20;

/// What a transaction reads has moved, or was too large for the cache: never so often.
pub(crate) const FETCHES_MAX: usize = 100;

/// It is missed again and again, or not where the index says.
pub(crate) const NOWHERE: &str = "a value is nowhere";

/// A reply that isn't told yet; replies are told in order.
enum Reply {
    Waits { gate: Option<Arc<Gate>>, wrote: bool },
    Known(Outcome),
}

/// What a WATCH holds on to.
struct Watching {
    asked: u64,
    done: u64,
    watched: Vec<(Key, Watched)>,
    reads: Vec<(Key, Seen)>,
    /// What was watched on the tip was given up, or nobody knows: the reads saw less.
    broken: bool,
}

/// One connection.
pub(crate) struct Client {
    pub(crate) number: u32,
    pub(crate) life: u32,
    pub(crate) engine: Arc<Engine>,
    pub(crate) store: SimStore,
    pub(crate) clock: Arc<SimClock>,
    pub(crate) history: Arc<Mutex<History>>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) rng: StdRng,
    /// How many transactions it has under way at most.
    pub(crate) depth: usize,
    pub(crate) think_ms_max: u64,
    pub(crate) mutant: Mutant,
    replies: VecDeque<(TxnId, Reply)>,
    /// The group that the reply of its last WATCH waits for.
    pub(crate) watch_waits_for: Option<Arc<Gate>>,
    /// What it has fetched.
    fetched: HashSet<StoredValue>,
    rounds: Rounds,
}

impl Client {
    #[allow(clippy::too_many_arguments)] // All that a client is made of.
    pub(crate) fn new(
        number: u32,
        life: u32,
        engine: Arc<Engine>,
        store: SimStore,
        clock: Arc<SimClock>,
        history: Arc<Mutex<History>>,
        stop: Arc<AtomicBool>,
        mut rng: StdRng,
    ) -> Self {
        Self {
            number,
            life,
            engine,
            clock,
            history,
            stop,
            depth: rng.random_range(1..=4),
            think_ms_max: [2, 20, 100][rng.random_range(0..3)],
            rng,
            mutant: store.mutant(),
            store,
            replies: VecDeque::new(),
            watch_waits_for: None,
            fetched: HashSet::new(),
            rounds: Rounds::default(),
        }
    }

    /// Asks until it is stopped, then waits for what it has asked.
    pub(crate) async fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            if self.replies.len() < self.depth && self.rng.random_bool(0.7) {
                self.ask().await;
            } else {
                self.tell_next().await;
            }
            self.rounds.look(&self.engine, &self.store);
            if self.rng.random_bool(0.5) {
                let pause = self.rng.random_range(0..=self.think_ms_max);
                sleep(Duration::from_millis(pause)).await;
            }
        }
        self.tell_all().await;
    }

    /// Reads everything once.
    pub(crate) async fn audit(mut self) {
        let mut ops: Vec<Op> = Key::all().map(Op::Get).collect();
        ops.extend((0..DATABASES).map(Op::Count));
        self.execute(ops, None).await;
        self.tell_all().await;
    }

    async fn ask(&mut self) {
        match self.rng.random_range(0..100) {
            0..10 => return self.watch_and_exec().await,
            10..20 => return self.work_inside().await,
            _ => {}
        }
        let ops = random_ops(&mut self.rng);
        self.execute(ops, None).await;
    }

    pub(crate) async fn tell_all(&mut self) {
        while !self.replies.is_empty() {
            self.tell_next().await;
        }
    }

    async fn tell_next(&mut self) {
        let Some((id, reply)) = self.replies.front() else {
            return;
        };
        let outcome = match reply {
            Reply::Known(outcome) => {
                // Nobody hammers a node that refuses.
                sleep(Duration::from_millis(200)).await;
                *outcome
            }
            Reply::Waits { gate: None, .. } => Outcome::Done,
            Reply::Waits { .. } if self.mutant == Mutant::TellsEarly => Outcome::Done,
            Reply::Waits { gate: Some(gate), .. } => {
                match poll_fn(|context| gate.poll(context)).await {
                    gate::Outcome::Durable => Outcome::Done,
                    gate::Outcome::NotCommitted => Outcome::NotCommitted,
                    gate::Outcome::Uncertain | gate::Outcome::Pending => Outcome::Uncertain,
                }
            }
        };
        self.history.lock().unwrap().tell(*id, outcome);
        self.replies.pop_front();
    }

    /// Where a plain read has to run. A reply of this connection that still waits may
    /// have seen more than what is visible: nothing behind it may see less.
    pub(crate) fn view(&self) -> View {
        let waits = self.replies.iter().any(|(_, reply)| match reply {
            Reply::Waits { gate: Some(gate), wrote } => {
                let counts = match self.mutant {
                    Mutant::ForgetsOwnWrites => false,
                    Mutant::ForgetsOwnReads => *wrote,
                    _ => true,
                };
                counts && gate.outcome() == gate::Outcome::Pending
            }
            _ => false,
        });
        let watch_waits = self.watch_waits_for.as_ref().is_some_and(|gate| {
            self.mutant != Mutant::ForgetsOwnReads && gate.outcome() == gate::Outcome::Pending
        });
        if waits || watch_waits { View::Tip } else { View::Visible }
    }

    /// Runs a transaction, until it has all the values it needs.
    async fn execute(&mut self, ops: Vec<Op>, watching: Option<Watching>) -> TxnId {
        let id = (self.history.lock().unwrap()).ask(self.number, self.life, ops.clone());
        let writes = ops.iter().any(|op| op.writes_or_reads_to_write());
        let (mut fetched, mut fetches) = (Vec::new(), 0);
        loop {
            let view = if writes { View::Tip } else { self.view() };
            let finished = self.attempt(id, &ops, view, watching.as_ref(), &fetched);
            let reply = match finished {
                Finished::Done { gate, commit, .. } => {
                    if !writes && view == View::Tip {
                        self.store.hit("pipelined reads on the tip");
                    }
                    let wrote = commit.is_some();
                    Reply::Waits { gate, wrote }
                }
                Finished::Fetch(mut missing) => {
                    self.note_fetch(&missing);
                    let engine = &self.engine;
                    let at_hand = engine.with_core(|core| engine.fetch_at_once(core, &mut missing));
                    if !at_hand.is_empty() {
                        self.store.hit("values that were at hand");
                        fetched.extend(at_hand);
                    }
                    if missing.is_empty() {
                        continue;
                    }
                    if let Ok(values) = self.engine.fetch(&missing).await {
                        if values.is_empty() {
                            self.store.hit("fetched values that had moved");
                        }
                        fetched.extend(values);
                        fetches += 1;
                        if fetches < FETCHES_MAX {
                            continue;
                        }
                        self.complain(NOWHERE);
                    } else {
                        self.could_not_fetch(&missing);
                    }
                    Reply::Known(Outcome::Failed)
                }
                Finished::Refused(_) | Finished::ExpiryUnknown(_) => Reply::Known(Outcome::Refused),
                Finished::TooManyOpen | Finished::TooLarge => {
                    self.complain("TooLarge");
                    Reply::Known(Outcome::Failed)
                }
            };
            if let Some(watching) = &watching {
                self.engine.with_core(|core| {
                    watching
                        .watched
                        .iter()
                        .for_each(|(key, watched)| watched.let_go(core, &key.name()));
                });
            }
            self.replies.push_back((id, reply));
            return id;
        }
    }

    /// Values go to the cache when they have been fetched, and others push them out.
    fn note_fetch(&mut self, missing: &[Missing]) {
        self.store.hit("fetches");
        let caches = self.engine.with_core(|core| core.cached_values() > 0);
        for missing in missing {
            if let Missing::Value { place, .. } = missing
                && !self.fetched.insert(*place)
                && caches
            {
                self.store.hit("values fetched again that the cache had let go");
                if self.store.takes_a_base() {
                    self.store.hit("values fetched again beside a base on its way");
                }
            }
        }
    }

    /// A store may fail to give a value, but it has it.
    pub(crate) fn could_not_fetch(&self, missing: &[Missing]) {
        let objects = self.store.objects();
        let has = |name: ObjectName| objects.contains_key(&name.to_string());
        for missing in missing {
            let Missing::Value { place, .. } = missing else { continue };
            let there = match self.engine.with_core(|core| core.locate(place)) {
                Some(Located::In(name, _)) => has(name),
                Some(Located::Blob(blob)) => blob.objects().all(has),
                None => true,
            };
            if !there {
                self.complain(NOWHERE);
            }
        }
    }

    /// Ends early when the client is to stop.
    pub(crate) async fn pause(&self, mut left_ms: u64) {
        const SLICE_MS: u64 = 500;
        while left_ms > 0 && !self.stop.load(Ordering::Relaxed) {
            let slice = left_ms.min(SLICE_MS);
            sleep(Duration::from_millis(slice)).await;
            left_ms -= slice;
        }
    }

    pub(crate) fn complain(&self, what: &str) {
        let complaint = format!("client {}.{}: {what}", self.life, self.number);
        self.history.lock().unwrap().complaints.push(complaint);
    }

    /// One go: all commands and the commit, with nothing in between.
    fn attempt(
        &self,
        id: TxnId,
        ops: &[Op],
        view: View,
        watching: Option<&Watching>,
        fetched: &[Fetched],
    ) -> Finished {
        let request = id.to_string();
        let meta = Commit { request: Some(request.as_bytes()), ..Commit::default() };
        self.engine.with_core(|core| {
            core.lend(fetched.to_vec());
            let mut transaction = Transaction::begin(core, view, BYTES_MAX);
            let now_ms = transaction.now_ms();
            let held = watching.is_none_or(|watching| {
                !watching.broken
                    && watching.watched.iter().all(|(key, watched)| {
                        transaction.watch_holds(key.database, &key.name(), *watched)
                    })
            });
            let run = if held { ops } else { &[] };
            let mut seen = Vec::new();
            for (at, op) in run.iter().enumerate() {
                match answer(&mut transaction, id, at, *op) {
                    Ok(answered) => seen.push(answered),
                    Err(ReadError::Missing) => seen.push(Seen::Nothing),
                    Err(ReadError::Lost) => {
                        self.complain("a value is lost");
                        seen.push(Seen::Nothing);
                    }
                }
            }
            let mut history = self.history.lock().unwrap();
            let txn = history.txn_mut(id);
            txn.seen = seen;
            txn.now_ms = now_ms;
            txn.wall_ms = self.clock.wall_ms();
            txn.watch = watching.map(|watching| Watch {
                asked: watching.asked,
                done: watching.done,
                reads: watching.reads.clone(),
                held,
            });
            drop(history);
            let finished = transaction.finish(&meta);
            core.keep_lent();
            finished
        })
    }

    /// WATCH, GET, and a MULTI/EXEC that depends on what was read.
    async fn watch_and_exec(&mut self) {
        let mut keys: Vec<Key> =
            (0..self.rng.random_range(1..=2)).map(|_| random_key(&mut self.rng)).collect();
        keys.dedup();
        let asked = self.history.lock().unwrap().tick();
        let view = self.view();
        let (watched, finished) = self.engine.with_core(|core| {
            let mut transaction = Transaction::begin(core, view, BYTES_MAX);
            let watch = |key: &Key| (*key, transaction.watch(key.database, &key.name()));
            let watched: Vec<(Key, Watched)> = keys.iter().map(watch).collect();
            (watched, transaction.finish(&Commit::default()))
        });
        if let Finished::Done { gate, .. } = finished {
            self.watch_waits_for = gate;
        }
        if self.mutant == Mutant::UnwatchesAtOnce {
            self.engine.with_core(|core| {
                watched.iter().for_each(|(key, watched)| watched.let_go(core, &key.name()));
            });
        }
        let done = self.history.lock().unwrap().tick();
        let mut read = Vec::new();
        for key in &keys {
            read.push((*key, self.execute(vec![Op::Get(*key)], None).await));
        }
        self.tell_all().await;
        let reads: Option<Vec<_>> = {
            let history = self.history.lock().unwrap();
            let found = read.iter().map(|(key, id)| {
                let txn = &history.txns[*id as usize];
                match (txn.outcome, txn.seen.first()) {
                    (Outcome::Done, Some(seen)) => Some((*key, seen.clone())),
                    _ => None,
                }
            });
            found.collect()
        };
        // Sometimes so long that much is compacted and expires meanwhile.
        let longest = if self.rng.random_bool(0.5) { 5_000 } else { self.think_ms_max };
        if self.rng.random_bool(0.5) {
            let pause = self.rng.random_range(0..=longest);
            self.pause(pause).await;
        }
        let Some(reads) = reads else {
            self.engine.with_core(|core| {
                watched.iter().for_each(|(key, watched)| watched.let_go(core, &key.name()));
            });
            return;
        };
        // As a session finds out at its next read or at EXEC.
        let broken = self.watch_waits_for.as_ref().is_some_and(|gate| {
            matches!(gate.outcome(), gate::Outcome::NotCommitted | gate::Outcome::Uncertain)
        });
        let watching = Watching { asked, done, watched, reads, broken };
        let length = random_length(&mut self.rng);
        let mut ops: Vec<Op> = keys.iter().map(|key| Op::Put(*key, length, None)).collect();
        ops.push(random_op(&mut self.rng));
        let id = self.execute(ops, Some(watching)).await;
        let broken = self.history.lock().unwrap().txn_mut(id).broken_watch();
        self.store.hit(if broken { "exec: watch broken" } else { "exec: watch held" });
    }
}

fn bytes_of(found: &Found) -> Vec<u8> {
    let Value::String(bytes) = &found.value;
    bytes.to_vec()
}

/// Runs one command.
pub(crate) fn answer(
    transaction: &mut Transaction<'_>,
    id: TxnId,
    at: usize,
    op: Op,
) -> Result<Seen, ReadError> {
    let now_ms = transaction.now_ms();
    let until = |ttl: Option<u64>| ttl.map_or(0, |ttl| now_ms + ttl);
    let string = |bytes: Vec<u8>| Value::String(bytes.into());
    match op {
        Op::Get(key) => {
            let found = transaction.get(key.database, &key.name())?;
            let found = found.map(|found| (bytes_of(&found), found.expires_ms));
            Ok(Seen::Value(found))
        }
        Op::Exists(key) => Ok(Seen::Exists(transaction.exists(key.database, &key.name()))),
        Op::Count(database) => Ok(Seen::Count(transaction.count(database))),
        Op::Put(key, length, ttl) => {
            let value = string(value_of(id, at, length));
            transaction.put(key.database, &key.name(), value, until(ttl));
            Ok(Seen::Nothing)
        }
        Op::Delete(key) => Ok(Seen::Exists(transaction.delete(key.database, &key.name()))),
        Op::Increment(key) => {
            let found = transaction.get(key.database, &key.name())?;
            let found = found.map(|found| (bytes_of(&found), found.expires_ms));
            let (count, expires_ms) =
                found.as_ref().map_or((0, 0), |(value, expires_ms)| (count_of(value), *expires_ms));
            let value = counter_value(id, count + 1);
            let before = found.as_ref().filter(|(before, _)| before.len() <= value.len());
            match before {
                // What both begin with stays: a large value is in pieces then.
                Some((before, _)) => {
                    let pairs = before.iter().zip(&value);
                    let same = pairs.take_while(|(before, now)| before == now).count();
                    let old = transaction.body(key.database, &key.name())?;
                    let old = old.unwrap_or((SmallBytes::empty().into(), 0));
                    let part = (same, value[same..].into());
                    transaction.splice(key.database, &key.name(), old, &[part]);
                }
                None => {
                    transaction.put(key.database, &key.name(), string(value), expires_ms);
                }
            }
            Ok(Seen::Value(found))
        }
        Op::PutIfAbsent(key, length) => {
            let exists = transaction.exists(key.database, &key.name());
            if !exists {
                let value = string(value_of(id, at, length));
                transaction.put(key.database, &key.name(), value, 0);
            }
            Ok(Seen::Exists(exists))
        }
        Op::Expire(key, ttl) => {
            let existed = transaction.expire(key.database, &key.name(), until(ttl));
            Ok(Seen::Exists(existed))
        }
        Op::Flush(database) => {
            transaction.flush(database);
            Ok(Seen::Nothing)
        }
        Op::Mark | Op::TakeBack => Ok(Seen::Nothing),
    }
}

pub(crate) fn random_key(rng: &mut StdRng) -> Key {
    Key { database: u8::from(rng.random_bool(0.3)) % DATABASES, number: rng.random_range(0..KEYS) }
}

/// Inline in the index, inline in the directory, and among the values of a group.
fn random_length(rng: &mut StdRng) -> usize {
    [0, 0, 40, 70, 300][rng.random_range(0..5)]
}

fn random_ttl(rng: &mut StdRng) -> u64 {
    let longest = [20, 500, 10_000, 3_600_000][rng.random_range(0..4)];
    rng.random_range(1..=longest)
}

pub(crate) fn random_op(rng: &mut StdRng) -> Op {
    let key = random_key(rng);
    match rng.random_range(0..100) {
        0..30 => Op::Put(key, random_length(rng), None),
        30..38 => Op::Put(key, random_length(rng), Some(random_ttl(rng))),
        38..48 => Op::Delete(key),
        48..60 => Op::Increment(key),
        60..68 => Op::PutIfAbsent(key, random_length(rng)),
        68..73 => Op::Expire(key, Some(random_ttl(rng))),
        73..75 => Op::Expire(key, None),
        75..77 => Op::Flush(key.database),
        77..92 => Op::Get(key),
        92..97 => Op::Exists(key),
        _ => Op::Count(key.database),
    }
}

fn random_ops(rng: &mut StdRng) -> Vec<Op> {
    match rng.random_range(0..10) {
        // A plain command.
        0..3 => vec![random_op(rng)],
        // Reads only.
        3..6 => (0..rng.random_range(1..=5))
            .map(|_| match rng.random_range(0..12) {
                0 => Op::Exists(random_key(rng)),
                1 => Op::Count(random_key(rng).database),
                _ => Op::Get(random_key(rng)),
            })
            .collect(),
        // Blind writes: what must be seen whole or not at all.
        6..8 => (0..rng.random_range(2..=4))
            .map(|_| Op::Put(random_key(rng), random_length(rng), None))
            .collect(),
        // MULTI/EXEC with anything in it.
        _ => (0..rng.random_range(2..=6)).map(|_| random_op(rng)).collect(),
    }
}
