//! What every key held at every point of the order: the naive model that the history is
//! held against. Point `p` is the state after the first `p` commits.

use crate::checker::Violation;
use crate::history::{Found, Key, Op, Seen, Txn, count_of, counter_value, value_of};
use crate::order::{Committed, Stored};
use aft::layout::CommitId;
use std::collections::{BTreeMap, BTreeSet};

/// What made a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Written,
    Deleted,
    Flushed,
}

/// A version of a key, from point `from` on.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) from: usize,
    pub(crate) cause: Cause,
    /// The commit that put the value.
    pub(crate) put: CommitId,
    /// `None` for a tombstone.
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) expires_ms: u64,
}

/// All versions of all keys.
#[derive(Debug, Default)]
pub(crate) struct Model {
    keys: BTreeMap<Key, Vec<Version>>,
}

/// What a transaction makes of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    Put(Vec<u8>, u64),
    Delete,
    Expiry(u64),
}

/// A version that a transaction read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Touched {
    pub(crate) key: Key,
    /// Where the version begins.
    pub(crate) from: usize,
    pub(crate) alive: bool,
    pub(crate) expired: bool,
    /// The commit of an interactive transaction depends on it.
    pub(crate) binds: bool,
}

impl Model {
    /// Carries out all commits.
    pub(crate) fn build(commits: &[Committed]) -> Result<Self, Violation> {
        let mut model = Self::default();
        for (at, commit) in commits.iter().enumerate() {
            for write in &commit.writes {
                model.apply(at + 1, commit.id, write)?;
            }
        }
        Ok(model)
    }

    fn apply(&mut self, from: usize, commit: CommitId, write: &Stored) -> Result<(), Violation> {
        let version =
            |cause, value, expires_ms| Version { from, cause, put: commit, value, expires_ms };
        let (key, version) = match write {
            Stored::Put(key, value, expires_ms) => {
                let value = Some(value.clone());
                (*key, version(Cause::Written, value, *expires_ms))
            }
            Stored::Delete(key) => (*key, version(Cause::Deleted, None, 0)),
            Stored::Meta(key, predecessor, expires_ms) => {
                let older = self.keys.get(key).and_then(|versions| versions.last());
                match older {
                    Some(older) if older.put == *predecessor && older.value.is_some() => {
                        let version = version(Cause::Written, older.value.clone(), *expires_ms);
                        (*key, Version { put: older.put, ..version })
                    }
                    other => {
                        return Err(Violation::new(
                            "MetaWithoutPredecessor",
                            format!("{commit} changes {key} of {predecessor}, which is {other:?}"),
                        ));
                    }
                }
            }
            Stored::Flush(database) => {
                for key in Key::all().filter(|key| key.database == *database) {
                    let flushed = version(Cause::Flushed, None, 0);
                    self.keys.entry(key).or_default().push(flushed);
                }
                return Ok(());
            }
        };
        self.keys.entry(key).or_default().push(version);
        Ok(())
    }

    /// The version of a key at a point.
    pub(crate) fn at(&self, key: Key, point: usize) -> Option<&Version> {
        let versions = self.keys.get(&key)?;
        let behind = versions.partition_point(|version| version.from <= point);
        versions[..behind].last()
    }

    /// The versions of a key behind a point.
    pub(crate) fn after(&self, key: Key, point: usize) -> &[Version] {
        let versions = self.keys.get(&key).map_or(&[][..], Vec::as_slice);
        let behind = versions.partition_point(|version| version.from <= point);
        &versions[behind..]
    }

    /// What a reader of a key finds at a point and a time.
    pub(crate) fn found(&self, key: Key, point: usize, now_ms: u64) -> Found {
        let version = self.at(key, point)?;
        let value = version.value.clone()?;
        (version.expires_ms == 0 || version.expires_ms > now_ms)
            .then_some((value, version.expires_ms))
    }

    /// Runs a transaction at a point: the versions it reads there, or the first command
    /// that would have answered something else.
    pub(crate) fn replay(&self, txn: &Txn, point: usize) -> Result<Vec<Touched>, usize> {
        let mut run = Run {
            model: self,
            point,
            snapshot_ms: txn.now_ms,
            now_ms: txn.now_ms,
            flushed: BTreeSet::new(),
            own: BTreeMap::new(),
            marked: BTreeMap::new(),
            touched: Vec::new(),
            binds: false,
        };
        let inside = txn.inside.as_ref();
        for (at, (op, seen)) in txn.ops.iter().zip(&txn.seen).enumerate() {
            run.now_ms = txn.now_at(at);
            run.binds = inside.is_some_and(|i| i.serializable || op.writes_or_reads_to_write());
            if !run.answers(txn.id, at, *op, seen) {
                return Err(at);
            }
        }
        Ok(run.touched)
    }

    /// Whether one command alone could have answered that.
    pub(crate) fn single(&self, txn: &Txn, op: usize, point: usize) -> bool {
        let mut single = txn.clone();
        single.ops = vec![txn.ops[op]];
        single.seen = vec![txn.seen[op].clone()];
        if let Some(inside) = &mut single.inside {
            inside.nows_ms = vec![txn.now_at(op)];
        }
        self.replay(&single, point).is_ok()
    }
}

/// A transaction being replayed.
struct Run<'m> {
    model: &'m Model,
    point: usize,
    /// When what others wrote is looked at, and what it wrote itself.
    snapshot_ms: u64,
    now_ms: u64,
    flushed: BTreeSet<u8>,
    own: BTreeMap<Key, Found>,
    /// What it had written when its newest step began.
    marked: BTreeMap<Key, Found>,
    touched: Vec<Touched>,
    binds: bool,
}

impl Run<'_> {
    fn get(&mut self, key: Key) -> Found {
        if let Some(own) = self.own.get(&key) {
            return self.unless_expired(own).cloned();
        }
        if self.flushed.contains(&key.database) {
            return None;
        }
        let found = self.model.found(key, self.point, self.snapshot_ms);
        let version = self.model.at(key, self.point);
        self.touched.push(Touched {
            key,
            from: version.map_or(0, |version| version.from),
            alive: found.is_some(),
            expired: found.is_none() && version.is_some_and(|version| version.value.is_some()),
            binds: self.binds,
        });
        found
    }

    /// What it wrote itself expires by the clock: an interactive one may outlive it.
    fn unless_expired<'f>(&self, own: &'f Found) -> Option<&'f (Vec<u8>, u64)> {
        own.as_ref().filter(|(_, expires_ms)| *expires_ms == 0 || *expires_ms > self.now_ms)
    }

    /// How many keys there are: expired ones may count until they are reaped.
    fn counts(&self, database: u8) -> std::ops::RangeInclusive<u64> {
        let (mut sure, mut perhaps) = (0, 0);
        for key in Key::all().filter(|key| key.database == database) {
            let own = self.own.get(&key);
            let flushed = self.flushed.contains(&database);
            let found = match own {
                Some(own) => self.unless_expired(own).cloned(),
                None if flushed => None,
                None => self.model.found(key, self.point, self.snapshot_ms),
            };
            let expired = own.is_some_and(Option::is_some)
                || !flushed
                    && self.model.at(key, self.point).is_some_and(|version| {
                        version.value.is_some()
                            && version.expires_ms != 0
                            && version.expires_ms <= self.snapshot_ms
                    });
            sure += u64::from(found.is_some());
            perhaps += u64::from(found.is_some() || expired);
        }
        sure..=perhaps
    }

    fn answers(&mut self, id: u64, at: usize, op: Op, seen: &Seen) -> bool {
        let until = |ttl: Option<u64>, now_ms: u64| ttl.map_or(0, |ttl| now_ms + ttl);
        match op {
            Op::Get(key) => *seen == Seen::Value(self.get(key)),
            Op::Exists(key) => *seen == Seen::Exists(self.get(key).is_some()),
            Op::Count(database) => {
                matches!(seen, Seen::Count(count) if self.counts(database).contains(count))
            }
            Op::Put(key, length, ttl) => {
                let put = (value_of(id, at, length), until(ttl, self.now_ms));
                self.own.insert(key, Some(put));
                *seen == Seen::Nothing
            }
            Op::Delete(key) => {
                let existed = self.get(key).is_some();
                // What has expired is left as it is, and may count until it is reaped.
                if existed {
                    self.own.insert(key, None);
                }
                *seen == Seen::Exists(existed)
            }
            Op::Increment(key) => {
                let found = self.get(key);
                let (count, expires_ms) = found
                    .as_ref()
                    .map_or((0, 0), |(value, expires_ms)| (count_of(value), *expires_ms));
                let put = (counter_value(id, count + 1), expires_ms);
                self.own.insert(key, Some(put));
                *seen == Seen::Value(found)
            }
            Op::PutIfAbsent(key, length) => {
                let existed = self.get(key).is_some();
                if !existed {
                    self.own.insert(key, Some((value_of(id, at, length), 0)));
                }
                *seen == Seen::Exists(existed)
            }
            Op::Expire(key, ttl) => {
                let found = self.get(key);
                let existed = found.is_some();
                if let Some((value, _)) = found {
                    self.own.insert(key, Some((value, until(ttl, self.now_ms))));
                }
                *seen == Seen::Exists(existed)
            }
            Op::Flush(database) => {
                self.own.retain(|key, _| key.database != database);
                self.flushed.insert(database);
                *seen == Seen::Nothing
            }
            Op::Mark => {
                self.marked.clone_from(&self.own);
                true
            }
            Op::TakeBack => {
                self.own.clone_from(&self.marked);
                true
            }
        }
    }
}

/// What a transaction writes, given what its commands answered.
pub(crate) fn effects(txn: &Txn) -> (BTreeSet<u8>, BTreeMap<Key, Effect>) {
    let mut flushed = BTreeSet::new();
    let mut writes: BTreeMap<Key, Effect> = BTreeMap::new();
    let mut marked = BTreeMap::new();
    for (at, (op, seen)) in txn.ops.iter().zip(&txn.seen).enumerate() {
        let until = |ttl: Option<u64>| ttl.map_or(0, |ttl| txn.now_at(at) + ttl);
        match (*op, seen) {
            (Op::Put(key, length, ttl), _) => {
                let value = value_of(txn.id, at, length);
                writes.insert(key, Effect::Put(value, until(ttl)));
            }
            (Op::Delete(key), Seen::Exists(true)) => {
                writes.insert(key, Effect::Delete);
            }
            (Op::Increment(key), Seen::Value(found)) => {
                let (count, expires_ms) = found
                    .as_ref()
                    .map_or((0, 0), |(value, expires_ms)| (count_of(value), *expires_ms));
                let value = counter_value(txn.id, count + 1);
                writes.insert(key, Effect::Put(value, expires_ms));
            }
            (Op::PutIfAbsent(key, length), Seen::Exists(false)) => {
                writes.insert(key, Effect::Put(value_of(txn.id, at, length), 0));
            }
            (Op::Expire(key, ttl), Seen::Exists(true)) => {
                let effect = match writes.remove(&key) {
                    Some(Effect::Put(value, _)) => Effect::Put(value, until(ttl)),
                    _ => Effect::Expiry(until(ttl)),
                };
                writes.insert(key, effect);
            }
            (Op::Flush(database), _) => {
                writes.retain(|key, _| key.database != database);
                flushed.insert(database);
            }
            (Op::Mark, _) => marked.clone_from(&writes),
            (Op::TakeBack, _) => writes.clone_from(&marked),
            _ => {}
        }
    }
    (flushed, writes)
}
