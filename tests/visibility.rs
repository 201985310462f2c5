//! The rule of visibility, and the whole sequencer, against models too simple to be wrong.

// A test may fail loudly.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use aft::engine::core::{Core, CoreOptions, Health};
use aft::engine::version::{Flush, Position, Snapshot, State, Value, Version, visible_version};
use aft::layout::{Commit, CommitId};
use aft::transaction::{Finished, Transaction, View};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

const DATABASES: u8 = 3;
const KEYS: u8 = 4;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    /// Of the versions in the snapshot the newest, unless a flush in it is newer still.
    #[test]
    fn the_rule_is_the_naive_one(
        mut versions in vec((0u64..20, 0u64..8), 0..6),
        flushes in vec((0u64..20, 0u64..8), 0..3),
        position in prop_oneof![0u64..9, Just(Snapshot::TIP)],
    ) {
        versions.sort_by(|a, b| b.cmp(a));
        versions.dedup_by_key(|version| version.0);
        let id = |time| CommitId { time, node: 1 };
        let versions: Vec<Version> = versions
            .iter()
            // Even times are versions, odd ones flushes: no id is drawn twice.
            .map(|&(time, position)| Version {
                commit: id(time * 2),
                position,
                expires_ms: 0,
                state: State::Tombstone,
            })
            .collect();
        let flushes: Vec<Flush> = flushes
            .iter()
            .map(|&(time, position)| Flush { commit: id(time * 2 + 1), position })
            .collect();
        let newest = versions
            .iter()
            .filter(|version| version.position <= position)
            .max_by_key(|version| version.commit);
        let flushed = flushes
            .iter()
            .filter(|flush| flush.position <= position)
            .map(|flush| flush.commit)
            .max();
        let expected = newest.filter(|version| flushed.is_none_or(|at| at < version.commit));
        let snapshot = Snapshot { position, now_ms: 0 };
        prop_assert_eq!(visible_version(&versions, &flushes, snapshot), expected);
    }
}

/// One thing that happens to a sequencer.
#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Do>),
    Depart,
    Acknowledge,
    Refuse,
    Serve,
    Restart,
    Pin,
    Unpin(usize),
    Reap(usize),
    Want,
    /// So many milliseconds pass.
    Pass(u64),
}

/// One thing a transaction does.
#[derive(Debug, Clone, Copy)]
enum Do {
    Put(u8, u8, Option<u64>),
    Delete(u8, u8),
    Expire(u8, u8, Option<u64>),
    Flush(u8),
    Swap(u8, u8),
}

fn a_do() -> impl Strategy<Value = Do> {
    let key = || (0..DATABASES, 0..KEYS);
    let ttl = || prop_oneof![3 => Just(None), 1 => (1u64..30).prop_map(Some)];
    prop_oneof![
        6 => (key(), ttl()).prop_map(|((db, key), ttl)| Do::Put(db, key, ttl)),
        3 => key().prop_map(|(db, key)| Do::Delete(db, key)),
        2 => (key(), ttl()).prop_map(|((db, key), ttl)| Do::Expire(db, key, ttl)),
        1 => (0..DATABASES).prop_map(Do::Flush),
        1 => (0..DATABASES, 0..DATABASES).prop_map(|(one, other)| Do::Swap(one, other)),
    ]
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => vec(a_do(), 1..4).prop_map(Step::Commit),
        6 => Just(Step::Depart),
        6 => Just(Step::Acknowledge),
        1 => Just(Step::Refuse),
        2 => Just(Step::Serve),
        1 => Just(Step::Restart),
        2 => Just(Step::Pin),
        2 => any::<usize>().prop_map(Step::Unpin),
        2 => prop_oneof![Just(1usize), Just(100)].prop_map(Step::Reap),
        1 => Just(Step::Want),
        3 => (1u64..40).prop_map(Step::Pass),
    ]
}

/// What a transaction left behind, as the model sees it.
#[derive(Debug, Clone)]
enum Left {
    /// The value is the id of the step that put it.
    Put(u8, u8, u64, u64),
    Delete(u8, u8),
    Expire(u8, u8, u64),
    Flush(u8),
    Swap(u8, u8),
}

/// A value and its expiry, or nothing.
type Seen = Option<(Vec<u8>, u64)>;

/// Every transaction that has not been given up, in order; state is recomputed each time.
#[derive(Debug, Default)]
struct Model {
    done: Vec<(Position, Vec<Left>)>,
}

impl Model {
    /// All keys that have a value, expired or not.
    fn state(&self, position: Position) -> BTreeMap<(u8, u8), (u64, u64)> {
        let mut state = BTreeMap::new();
        for (_, left) in self.done.iter().filter(|(at, _)| *at <= position) {
            for write in left {
                match *write {
                    Left::Put(db, key, value, expires) => {
                        state.insert((db, key), (value, expires));
                    }
                    Left::Delete(db, key) => {
                        state.remove(&(db, key));
                    }
                    Left::Expire(db, key, expires) => {
                        state.entry((db, key)).and_modify(|(_, e)| *e = expires);
                    }
                    Left::Flush(db) => state.retain(|(other, _), _| *other != db),
                    Left::Swap(one, other) => {
                        let before = std::mem::take(&mut state);
                        let swapped = |db| match db {
                            db if db == one => other,
                            db if db == other => one,
                            db => db,
                        };
                        state.extend(before.into_iter().map(|((db, k), v)| ((swapped(db), k), v)));
                    }
                }
            }
        }
        state
    }

    fn seen(&self, position: Position, now_ms: u64, db: u8, key: u8) -> Seen {
        let (value, expires) = *self.state(position).get(&(db, key))?;
        (expires == 0 || expires > now_ms).then(|| (value.to_string().into_bytes(), expires))
    }
}

/// Whether something differs after a transaction: not if its swaps lead back.
fn leaves_something(left: &[Left]) -> bool {
    let mut databases = [0, 1, 2];
    let mut others = 0;
    for write in left {
        match *write {
            Left::Swap(one, other) => databases.swap(usize::from(one), usize::from(other)),
            _ => others += 1,
        }
    }
    others > 0 || databases != [0, 1, 2]
}

struct World {
    core: Core,
    model: Model,
    pins: Vec<(Position, u64)>,
    sent: u64,
    acked: u64,
    wall_ms: u64,
    node: u32,
    values: u64,
    logged: bool,
}

fn name(key: u8) -> Vec<u8> {
    vec![b'k', key]
}

impl World {
    fn new(logged: bool, group_bytes_max: usize) -> Self {
        let mut core = Core::new(CoreOptions {
            object_bytes_max: u64::MAX,
            databases: usize::from(DATABASES),
            group_bytes_max,
            blob_bytes_min: usize::MAX,
            blob_chunk_bytes: u32::MAX,
            blobs_move: false,
            step_bytes_min: 256 << 10,
            logged,
            hash_seed: 7,
            cache_bytes: 0,
        });
        core.advance(1_000, Duration::ZERO);
        core.begin(1, CommitId::ZERO, 0);
        Self {
            core,
            model: Model::default(),
            pins: Vec::new(),
            sent: 0,
            acked: 0,
            wall_ms: 1_000,
            node: 1,
            values: 0,
            logged,
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Commit(dos) => self.commit(dos)?,
            Step::Depart => self.sent += u64::from(self.core.depart().is_some()),
            Step::Acknowledge if self.sent > self.acked => {
                self.core.acknowledge();
                self.acked += 1;
            }
            Step::Acknowledge => {}
            Step::Refuse => {
                self.core.refuse("a test".to_owned());
                let sent = self.sent;
                self.model.done.retain(|(at, _)| *at <= sent || !self.logged);
            }
            Step::Serve => self.core.serve(),
            Step::Restart => self.restart(),
            Step::Pin => {
                let pin = self.core.hold();
                self.pins.push(pin);
            }
            Step::Unpin(which) if !self.pins.is_empty() => {
                let pin = self.pins.swap_remove(which % self.pins.len());
                self.core.let_go(pin);
            }
            Step::Unpin(_) => {}
            Step::Reap(limit) => {
                self.core.reap(*limit);
            }
            Step::Want => {
                self.core.want_group();
            }
            Step::Pass(ms) => {
                self.wall_ms += ms;
                self.core.advance(self.wall_ms, Duration::ZERO);
            }
        }
        self.check()
    }

    /// What the flusher does once it has sealed its own log.
    fn restart(&mut self) {
        if !self.logged {
            return;
        }
        self.node += 1;
        self.core.restart_as(self.node);
        self.core.serve();
        let acked = self.acked;
        self.sent = acked;
        self.model.done.retain(|(at, _)| *at <= acked);
    }

    fn commit(&mut self, dos: &[Do]) -> Result<(), TestCaseError> {
        let serving = *self.core.health() == Health::Serving;
        let position = self.core.open_position();
        let now_ms = self.core.now_ms();
        let tip = self.model.done.len();
        let until = |ttl: Option<u64>| ttl.map_or(0, |ttl| now_ms + ttl);
        self.model.done.push((position, Vec::new()));
        let mut transaction = Transaction::begin(&mut self.core, View::Tip, 1 << 20);
        for one in dos {
            // The model sees the transaction's own writes too: it is the last one done.
            let exists = |model: &Model, db, key| model.seen(u64::MAX, now_ms, db, key).is_some();
            let left = match *one {
                Do::Put(db, key, ttl) => {
                    self.values += 1;
                    let value = Value::String(self.values.to_string().into_bytes().into());
                    transaction.put(db, &name(key), value, until(ttl));
                    Some(Left::Put(db, key, self.values, until(ttl)))
                }
                Do::Delete(db, key) => {
                    let expected = exists(&self.model, db, key);
                    prop_assert_eq!(transaction.delete(db, &name(key)), expected);
                    expected.then_some(Left::Delete(db, key))
                }
                Do::Expire(db, key, ttl) => {
                    let expected = exists(&self.model, db, key);
                    prop_assert_eq!(transaction.expire(db, &name(key), until(ttl)), expected);
                    expected.then_some(Left::Expire(db, key, until(ttl)))
                }
                Do::Flush(db) => {
                    transaction.flush(db);
                    Some(Left::Flush(db))
                }
                Do::Swap(one, other) => {
                    transaction.swap(one, other);
                    Some(Left::Swap(one, other))
                }
            };
            self.model.done[tip].1.extend(left);
        }
        for db in 0..DATABASES {
            let mut keys: Vec<_> = transaction.keys(db, |_| true);
            keys.sort();
            let alive =
                (0..KEYS).filter(|key| self.model.seen(u64::MAX, now_ms, db, *key).is_some());
            prop_assert!(keys.iter().map(|key| key.to_vec()).eq(alive.map(name)), "{keys:?}");
        }
        let wrote = leaves_something(&self.model.done[tip].1);
        match transaction.finish(&Commit::default()) {
            Finished::Done { commit, .. } => {
                prop_assert_eq!(commit.is_some(), wrote && serving);
                if wrote {
                    // It may have opened a group of its own, or filled the one it went to.
                    self.model.done[tip].0 = self.core.newest_pending();
                }
            }
            Finished::Refused(_) => {
                prop_assert!(!serving);
                self.model.done.pop();
            }
            Finished::ExpiryUnknown(_) => prop_assert!(!wrote),
            other => prop_assert!(false, "{other:?}"),
        }
        Ok(())
    }

    fn read(&self, snapshot: Snapshot, db: u8, key: u8) -> Seen {
        let hash = self.core.hash(&name(key));
        let version = self.core.read(db, hash, &name(key), snapshot)?;
        match &version.state {
            State::Live(Value::String(bytes)) if !version.is_expired(snapshot.now_ms) => {
                Some((bytes.to_vec(), version.expires_ms))
            }
            _ => None,
        }
    }

    /// Every snapshot that is promised reads as the model says, and the counts fit.
    fn check(&self) -> Result<(), TestCaseError> {
        let pinned = self.pins.iter().map(|&(position, now_ms)| Snapshot { position, now_ms });
        let now = [self.core.visible(), self.core.tip()];
        for snapshot in now.into_iter().chain(pinned) {
            for db in 0..DATABASES {
                for key in 0..KEYS {
                    prop_assert_eq!(
                        self.read(snapshot, db, key),
                        self.model.seen(snapshot.position, snapshot.now_ms, db, key),
                        "{}/{} in {:?}",
                        db,
                        key,
                        snapshot
                    );
                }
            }
        }
        for snapshot in now {
            for db in 0..DATABASES {
                let index = self.core.database(db, snapshot).unwrap().index();
                let alive = index.entries().filter(|(_, entry)| {
                    let key = entry.key();
                    self.core
                        .read(db, index.hash(key), key, snapshot)
                        .is_some_and(|version| version.state.is_alive())
                });
                let alive = alive.count() as u64;
                let count = self.core.live_keys(db, snapshot);
                prop_assert_eq!(count, alive, "of {} in {:?}", db, snapshot);
            }
        }
        Ok(())
    }

    /// When nobody needs an old version any more, nothing of it is left.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        self.core.serve();
        for pin in std::mem::take(&mut self.pins) {
            self.core.let_go(pin);
        }
        for _ in 0..2 {
            // The second round is for the group that reaping asks for.
            while self.core.depart().is_some() {
                self.sent += 1;
            }
            while self.sent > self.acked {
                self.core.acknowledge();
                self.acked += 1;
            }
            while self.core.reap(100).more {}
        }
        self.check()?;
        for db in 0..DATABASES {
            let index = self.core.database(db, self.core.tip()).unwrap().index();
            let model = self.model.state(u64::MAX);
            let now_ms = self.core.now_ms();
            let alive = model
                .iter()
                .filter(|((of, _), (_, expires))| *of == db && (*expires == 0 || *expires > now_ms))
                .count();
            prop_assert_eq!(index.len(), alive, "entries left in {}", db);
            prop_assert_eq!(self.core.live_keys(db, self.core.tip()), alive as u64);
            for (_, entry) in index.entries() {
                prop_assert_eq!(entry.versions().count(), 1);
            }
            let expiring =
                model.iter().filter(|((of, _), (_, expires))| *of == db && *expires > now_ms);
            prop_assert_eq!(self.core.expiring_keys(db, self.core.tip()), expiring.count() as u64);
        }
        prop_assert_eq!(self.core.pending_bytes(), 0);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    #[test]
    fn the_sequencer_is_its_model(
        steps in vec(a_step(), 1..60),
        logged in prop_oneof![4 => Just(true), 1 => Just(false)],
        group_bytes_max in prop_oneof![Just(40usize), Just(1 << 20)],
    ) {
        let mut world = World::new(logged, group_bytes_max);
        for step in &steps {
            world.step(step)?;
        }
        world.settle()?;
    }
}

#[test]
fn expired_keys_that_a_pin_holds_do_not_hold_up_others() {
    let mut world = World::new(false, 1 << 20);
    let put = |core: &mut Core, key: u8, expires_ms: u64| {
        let mut transaction = Transaction::begin(core, View::Tip, 1 << 20);
        transaction.put(0, &name(key), Value::String("v".into()), expires_ms);
        let finished = transaction.finish(&Commit::default());
        assert!(matches!(finished, Finished::Done { commit: Some(_), .. }));
    };
    put(&mut world.core, 0, 1_500);
    world.core.advance(2_000, Duration::ZERO);
    let pin = world.core.hold();
    // Behind the pin, and due before the first one; also where others are between them.
    (1..=2).for_each(|key| put(&mut world.core, key, 1_200));
    (100..250).for_each(|key| put(&mut world.core, key, 9_000));
    (3..=5).for_each(|key| put(&mut world.core, key, 1_200));
    (0..12).for_each(|_| {
        world.core.reap(1);
    });
    assert_eq!(world.core.live_keys(0, world.core.visible()), 155, "the first one is gone");
    world.core.let_go(pin);
    while world.core.reap(1).more {}
    assert_eq!(world.core.live_keys(0, world.core.visible()), 150);
}

#[test]
fn a_hot_key_has_few_versions_however_long_somebody_stays() {
    for logged in [true, false] {
        let mut world = World::new(logged, 1 << 20);
        let write = |world: &mut World| {
            let puts = [Do::Put(0, 0, None)];
            world.commit(&puts).unwrap();
            world.step(&Step::Depart).unwrap();
            world.step(&Step::Acknowledge).unwrap();
        };
        write(&mut world);
        let snapshot = world.core.hold();
        world.core.watch(0, &name(0));
        (0..100).for_each(|_| write(&mut world));
        let index = world.core.database(0, world.core.tip()).unwrap().index();
        let versions: usize = index.entries().map(|(_, entry)| entry.versions().count()).sum();
        assert_eq!(versions, 2, "the newest, and the one that the snapshot reads");
        world.core.let_go(snapshot);
        world.core.unwatch(0, &name(0));
        let index = world.core.database(0, world.core.tip()).unwrap().index();
        let versions: usize = index.entries().map(|(_, entry)| entry.versions().count()).sum();
        assert_eq!(versions, 1);
    }
}

#[test]
fn a_key_that_is_written_often_in_one_group_has_one_version_there() {
    let mut world = World::new(true, 1 << 20);
    for _ in 0..1000 {
        world.commit(&[Do::Put(0, 0, None)]).unwrap();
    }
    let index = world.core.database(0, world.core.tip()).unwrap().index();
    let versions: usize = index.entries().map(|(_, entry)| entry.versions().count()).sum();
    assert_eq!(versions, 1);
}

#[test]
fn a_watch_keeps_its_own_key_and_no_other() {
    for logged in [true, false] {
        let mut world = World::new(logged, 1 << 20);
        let write = |world: &mut World, what: Do| {
            world.commit(&[what]).unwrap();
            world.step(&Step::Depart).unwrap();
            world.step(&Step::Acknowledge).unwrap();
        };
        world.core.watch(0, &name(0));
        for key in 0..3 {
            write(&mut world, Do::Put(0, key, None));
            write(&mut world, Do::Delete(0, key));
        }
        assert_eq!(
            world.core.database(0, world.core.tip()).unwrap().index().len(),
            1,
            "the watched tombstone"
        );
        world.core.unwatch(0, &name(0));
        assert_eq!(world.core.database(0, world.core.tip()).unwrap().index().len(), 0);
    }
}

#[test]
fn a_flush_touches_a_watched_key_that_was_alive_and_none_that_had_expired() {
    for (logged, ttl, holds) in
        [(true, 5, true), (false, 5, true), (true, 50, false), (false, 50, false)]
    {
        let mut world = World::new(logged, 1 << 20);
        let write = |world: &mut World, what: Do| {
            world.commit(&[what]).unwrap();
            world.step(&Step::Depart).unwrap();
            world.step(&Step::Acknowledge).unwrap();
        };
        write(&mut world, Do::Put(0, 0, Some(ttl)));
        world.step(&Step::Pass(10)).unwrap();
        let mut transaction = Transaction::begin(&mut world.core, View::Visible, 1 << 20);
        let watched = transaction.watch(0, &name(0));
        write(&mut world, Do::Flush(0));
        let mut transaction = Transaction::begin(&mut world.core, View::Tip, 1 << 20);
        assert_eq!(transaction.watch_holds(0, &name(0), watched), holds, "{logged} {ttl}");
        transaction.unwatch(watched, &name(0));
        drop(transaction);
        world.step(&Step::Pass(100)).unwrap();
        while world.core.reap(10).more {}
        assert_eq!(world.core.live_keys(0, world.core.tip()), 0);
        assert_eq!(world.core.database(0, world.core.tip()).unwrap().index().len(), 0);
    }
}

/// A seal that says that all before it was acknowledged would be wrong about such a group: the next
/// start would take it for lost.
#[test]
fn a_group_under_way_that_holds_nothing_is_under_way() {
    let mut world = World::new(true, 1 << 20);
    assert!(world.core.is_drained());
    world.core.want_group();
    assert!(world.core.depart().is_some());
    assert_eq!(world.core.pending_bytes(), 0);
    assert!(!world.core.is_drained());
    world.core.acknowledge();
    assert!(world.core.is_drained());
}
