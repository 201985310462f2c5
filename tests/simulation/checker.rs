//! Holds a history against the order of commits that the store's content gives.
//!
//! The order is a fact, so nothing has to be searched: a transaction that wrote must have
//! seen exactly the state before its own commit; one that only read must have *a* point,
//! between what had been told before it was asked and what was asked after it was told,
//! at which all its answers are right. Points are given out greedily, the earliest that
//! will do, in the order in which transactions were asked: every bound on a later one is
//! a bound from below, so if any assignment exists this finds one.

use crate::history::{Op, Outcome, Seen, Tick, Txn, TxnId};
use crate::model::{Effect, Model, Touched, effects};
use crate::naming;
use crate::order::{Committed, Stored};
use std::collections::BTreeMap;
use std::fmt;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The anomaly.
    pub(crate) name: &'static str,
    /// What happened.
    pub(crate) what: String,
    /// The transactions that show it.
    pub(crate) txns: Vec<TxnId>,
}

impl Violation {
    pub(crate) fn new(name: &'static str, what: impl Into<String>) -> Self {
        Self { name, what: what.into(), txns: Vec::new() }
    }

    pub(crate) fn of(name: &'static str, txn: &Txn, what: impl Into<String>) -> Self {
        Self { txns: vec![txn.id], ..Self::new(name, what) }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.what)
    }
}

/// What a check has to work with.
pub(crate) struct Checker<'h> {
    pub(crate) txns: &'h [Txn],
    pub(crate) commits: &'h [Committed],
    pub(crate) model: Model,
    /// Where each committed transaction stands.
    pub(crate) places: BTreeMap<TxnId, usize>,
    /// The points given to transactions that only read, in the order they were asked.
    points: Vec<(TxnId, usize)>,
    /// Versions that somebody was told had expired, and when.
    expired: BTreeMap<(crate::history::Key, usize), Tick>,
    pub(crate) expired_across_lives: u64,
}

/// Checks everything; the first violation is returned.
pub(crate) fn check<'h>(
    txns: &'h [Txn],
    commits: &'h [Committed],
) -> Result<Checker<'h>, Violation> {
    let mut places = BTreeMap::new();
    for (place, commit) in commits.iter().enumerate() {
        if let Some(first) = places.insert(commit.txn, place) {
            return Err(Violation {
                txns: vec![commit.txn],
                ..Violation::new(
                    "TornTransaction",
                    format!("t{} stands in two commits: {first}, {place}", commit.txn),
                )
            });
        }
    }
    let mut checker = Checker {
        txns,
        commits,
        model: Model::default(),
        places,
        points: Vec::new(),
        expired: BTreeMap::new(),
        expired_across_lives: 0,
    };
    for txn in txns {
        checker.told_right(txn)?;
    }
    checker.model = Model::build(commits)?;
    for commit in commits {
        checker.whole(commit)?;
    }
    checker.requests()?;
    checker.real_time()?;
    for txn in txns {
        checker.answers(txn)?;
    }
    Ok(checker)
}

impl<'h> Checker<'h> {
    pub(crate) fn txn(&self, id: TxnId) -> Option<&'h Txn> {
        self.txns.get(id as usize)
    }

    pub(crate) fn place(&self, txn: &Txn) -> Option<usize> {
        self.places.get(&txn.id).copied()
    }

    /// What was told of a transaction agrees with whether it is in the order.
    fn told_right(&self, txn: &Txn) -> Result<(), Violation> {
        let (flushed, writes) = effects(txn);
        let wrote = !(flushed.is_empty() && writes.is_empty());
        let fault = match (txn.outcome, self.place(txn).is_some()) {
            (Outcome::Done, false) if wrote => "LostAcknowledgedWrite",
            (Outcome::NotCommitted | Outcome::Refused | Outcome::Failed, true) => {
                "RefusedWriteCommitted"
            }
            _ => return Ok(()),
        };
        Err(Violation::of(fault, txn, format!("{txn}")))
    }

    /// A commit holds all writes of its transaction and no others.
    fn whole(&self, commit: &Committed) -> Result<(), Violation> {
        let Some(txn) = self.txn(commit.txn) else {
            let what = format!("commit {} is nobody's", commit.id);
            return Err(Violation::new("UnknownCommit", what));
        };
        let (mut flushed, mut writes) = effects(txn);
        let expected = format!("{flushed:?} {writes:?}");
        let mut same = true;
        for write in &commit.writes {
            same &= match write {
                Stored::Flush(database) => flushed.remove(database),
                Stored::Put(key, value, expires_ms) => match writes.remove(key) {
                    // The value again, with its new expiry.
                    Some(Effect::Expiry(wanted)) => {
                        let before = self.place(txn).and_then(|place| self.model.at(*key, place));
                        let held = before.and_then(|version| version.value.as_ref());
                        wanted == *expires_ms && held == Some(value)
                    }
                    effect => effect == Some(Effect::Put(value.clone(), *expires_ms)),
                },
                Stored::Delete(key) => writes.remove(key) == Some(Effect::Delete),
                Stored::Meta(key, _, expires_ms) => {
                    writes.remove(key) == Some(Effect::Expiry(*expires_ms))
                }
            };
        }
        if same && flushed.is_empty() && writes.is_empty() {
            return Ok(());
        }
        let what = format!("{txn}\n  wanted {expected}\n  stored {:?}", commit.writes);
        Err(Violation::of("TornTransaction", txn, what))
    }

    /// Commits come in an order that agrees with when they were asked and told, with
    /// their client's own order, and with the order of processes.
    fn real_time(&self) -> Result<(), Violation> {
        let wrong = |name, before: &Txn, txn: &Txn| {
            let what = format!("{before}\n  stands behind {txn}");
            Err(Violation::of(name, txn, what))
        };
        // Of the commits behind, the one that was told first.
        let mut first_told: Option<&Txn> = None;
        for txn in self.writers().rev() {
            if let Some(before) = first_told
                && before.done_before(txn.asked)
            {
                return wrong("CommitOrderAgainstRealTime", before, txn);
            }
            let told = |txn: &Txn| (txn.outcome != Outcome::Done, txn.told);
            if first_told.is_none_or(|first| told(txn) < told(first)) {
                first_told = Some(txn);
            }
        }
        // Of the commits in front, the last of each client, and of all.
        let mut last_own: BTreeMap<(u32, u32), &Txn> = BTreeMap::new();
        let mut youngest: Option<&Txn> = None;
        for txn in self.writers() {
            if let Some(after) = last_own.insert((txn.life, txn.client), txn)
                && after.asked > txn.asked
            {
                return wrong("CommitOrderAgainstOwnOrder", txn, after);
            }
            if let Some(after) = youngest
                && after.life > txn.life
            {
                return wrong("CommitOfADeadProcess", txn, after);
            }
            youngest = Some(txn);
        }
        Ok(())
    }

    /// The transactions that wrote, in order.
    fn writers(&self) -> impl DoubleEndedIterator<Item = &'h Txn> {
        self.commits.iter().filter_map(|commit| self.txn(commit.txn))
    }

    /// What a transaction was told, or wrote, is right.
    fn answers(&mut self, txn: &Txn) -> Result<(), Violation> {
        if let Some(inside) = &txn.inside {
            return self.attempt(txn, inside);
        }
        if let Some(place) = self.place(txn) {
            self.wrote_right(txn, place)?;
            if txn.now_ms < txn.wall_ms {
                return Err(Violation::of("NowBehindWall", txn, format!("{txn}")));
            }
            return Ok(());
        }
        if txn.outcome != Outcome::Done {
            return Ok(());
        }
        if txn.broken_watch() {
            return naming::broken_watch(self, txn);
        }
        self.read_right(txn)
    }

    /// A transaction that wrote saw the state just before its commit.
    fn wrote_right(&mut self, txn: &Txn, place: usize) -> Result<(), Violation> {
        let touched = match self.model.replay(txn, place) {
            Ok(touched) => touched,
            Err(op) => return Err(naming::wrote_on_wrong_state(self, txn, op, place)),
        };
        self.not_expired_before(txn, &touched)?;
        let Some(watch) = &txn.watch else {
            return Ok(());
        };
        for (key, seen) in &watch.reads {
            let found = Seen::Value(self.model.found(*key, place, txn.now_ms));
            let behind = self.commits[..place].iter().enumerate();
            let touched = behind.into_iter().find_map(|(at, commit)| {
                let other = self.txn(commit.txn)?;
                // A flush touches what is there, as in Redis.
                let there = self.model.found(*key, at, other.now_ms).is_some();
                let touches = effects_touch(commit, *key)
                    && (there || !commit.writes.contains(&Stored::Flush(key.database)));
                (other.asked > watch.done && touches).then_some(other.id)
            });
            if found != *seen || touched.is_some() {
                let what = format!("{key} was touched by {touched:?}, holds {found:?}: {txn}");
                return Err(Violation::of("WatchIgnored", txn, what));
            }
        }
        Ok(())
    }

    /// The earliest and latest point a transaction that only read may have.
    pub(crate) fn bounds(&self, txn: &Txn) -> Bounds {
        let mut bounds = Bounds { told: 0, own: 0, read: 0, through: self.commits.len() };
        for (place, commit) in self.commits.iter().enumerate() {
            let Some(other) = self.txn(commit.txn) else {
                continue;
            };
            if other.done_before(txn.asked) {
                bounds.told = place + 1;
            }
            if other.outcome == Outcome::Done && own_earlier(other, txn) {
                bounds.own = place + 1;
            }
            let after = txn.sees_until().is_some_and(|until| other.asked > until);
            if after || own_earlier(txn, other) {
                bounds.through = bounds.through.min(place);
            }
        }
        for (other, point) in &self.points {
            let Some(other) = self.txn(*other) else {
                continue;
            };
            if other.done_before(txn.asked) || own_earlier(other, txn) {
                bounds.read = bounds.read.max(*point);
            }
        }
        bounds
    }

    /// A transaction that only read has a point.
    fn read_right(&mut self, txn: &Txn) -> Result<(), Violation> {
        let bounds = self.bounds(txn);
        let mut fits = (bounds.from()..=bounds.through)
            .filter_map(|point| Some((point, self.model.replay(txn, point).ok()?)));
        let Some((point, touched)) = fits.next() else {
            drop(fits);
            return Err(naming::no_point(self, txn, &bounds));
        };
        let sure: Vec<Touched> =
            touched.iter().filter(|version| version.expired).cloned().collect();
        // It has certainly seen an expiry only where no other point explains it.
        let others: Vec<Vec<Touched>> =
            if sure.is_empty() { Vec::new() } else { fits.map(|(_, touched)| touched).collect() };
        for version in sure {
            if others.iter().all(|other| other.contains(&version)) {
                self.saw_expired(txn, &version);
            }
        }
        self.read_at(txn.id, point);
        self.not_expired_before(txn, &touched)
    }

    fn saw_expired(&mut self, txn: &Txn, version: &Touched) {
        let Some(told) = txn.told else { return };
        let writer = version.from.checked_sub(1).map(|at| &self.commits[at]);
        let writer = writer.and_then(|commit| self.txn(commit.txn));
        self.expired_across_lives += u64::from(writer.is_some_and(|by| by.life < txn.life));
        let first = self.expired.entry((version.key, version.from)).or_insert(told);
        *first = told.min(*first);
    }

    /// Nobody who asks later reads what was before.
    pub(crate) fn read_at(&mut self, id: TxnId, point: usize) {
        self.points.push((id, point));
    }

    /// What somebody was told had expired is not read again.
    pub(crate) fn not_expired_before(
        &self,
        txn: &Txn,
        touched: &[Touched],
    ) -> Result<(), Violation> {
        for version in touched.iter().filter(|version| version.alive) {
            if let Some(told) = self.expired.get(&(version.key, version.from))
                && *told < txn.asked
            {
                let what = format!("{} had expired at [{told}]: {txn}", version.key);
                return Err(Violation::of("ResurrectionOfExpired", txn, what));
            }
        }
        Ok(())
    }
}

/// Between which points a transaction may have read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Behind the commits told before it was asked.
    pub(crate) told: usize,
    /// Behind its client's own earlier commits, told or not.
    pub(crate) own: usize,
    /// At or behind what was read before.
    pub(crate) read: usize,
    /// Before the commits asked after it was told.
    pub(crate) through: usize,
}

impl Bounds {
    pub(crate) fn from(&self) -> usize {
        self.told.max(self.own).max(self.read)
    }
}

/// Whether `before` is an earlier transaction on the same connection.
pub(crate) fn own_earlier(before: &Txn, txn: &Txn) -> bool {
    (before.life, before.client) == (txn.life, txn.client) && before.asked < txn.asked
}

/// Whether a commit changes a key.
pub(crate) fn effects_touch(commit: &Committed, key: crate::history::Key) -> bool {
    commit.writes.iter().any(|write| match write {
        Stored::Put(k, ..) | Stored::Delete(k) | Stored::Meta(k, ..) => *k == key,
        Stored::Flush(database) => *database == key.database,
    })
}

/// Which commands answered with a value, and which.
pub(crate) fn values(txn: &Txn) -> impl Iterator<Item = (&Op, &[u8])> {
    txn.ops.iter().zip(&txn.seen).filter_map(|(op, seen)| match seen {
        Seen::Value(Some((value, _))) => Some((op, value.as_slice())),
        _ => None,
    })
}
