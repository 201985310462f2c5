//! What interactive transactions owe: each attempt at a request is held against the order and
//! against all that was told of it.
//!
//! An attempt that committed read from one point and wrote at another. Between the two nobody may
//! have changed what it read to write. Of all attempts at a request one commits at most, and what
//! was said of one (it has committed, it never will) stands whatever happens afterwards.

use crate::checker::{Checker, Violation};
use crate::history::{Inside, Outcome, Told, Txn, TxnId};
use crate::model::Touched;
use crate::naming;
use std::collections::BTreeMap;

impl Checker<'_> {
    /// No request has committed twice, and what was told of attempts is so.
    pub(crate) fn requests(&self) -> Result<(), Violation> {
        let mut committed: BTreeMap<usize, TxnId> = BTreeMap::new();
        let attempts = || self.txns.iter().filter_map(|txn| Some((txn, txn.inside.as_ref()?)));
        for (txn, inside) in attempts().filter(|(txn, _)| self.place(txn).is_some()) {
            let Some(request) = inside.request else { continue };
            if let Some(first) = committed.insert(request, txn.id) {
                let what = format!("t{first} and t{} are both of request {request}", txn.id);
                return Err(Violation::of("RequestCommittedTwice", txn, what));
            }
        }
        for (txn, inside) in attempts() {
            let id = self.place(txn).map(|place| self.commits[place].id);
            let name = match (inside.told, id) {
                (Some(Told::Never), Some(_)) => "RuledOutYetCommitted",
                (Some(Told::Committed(told)), id) if id != Some(told) => "LostOutcome",
                _ => continue,
            };
            let what = format!("{:?}, but it stands as {id:?}: {txn}", inside.told);
            return Err(Violation::of(name, txn, what));
        }
        let of = |place: usize| (place, self.txn(self.commits[place].txn));
        for (place, txn) in (0..self.commits.len()).map(of) {
            let wanted = txn.and_then(|txn| txn.inside.as_ref()?.request);
            let stored = self.commits[place].request;
            if stored != wanted {
                let what = format!("{:?} stands as request {stored:?}", txn);
                return Err(Violation::new("WrongRequest", what));
            }
        }
        Ok(())
    }

    /// All that an attempt was told is so at one point; its commit depends on nothing that has
    /// changed since.
    pub(crate) fn attempt(&mut self, txn: &Txn, inside: &Inside) -> Result<(), Violation> {
        let place = self.place(txn);
        if place.is_none() && inside.unsure {
            return Ok(());
        }
        let mut bounds = self.bounds(txn);
        bounds.through = bounds.through.min(place.unwrap_or(bounds.through));
        let fits: Vec<(usize, Vec<Touched>)> = (bounds.from()..=bounds.through)
            .filter_map(|point| Some((point, self.model.replay(txn, point).ok()?)))
            .collect();
        let Some((first, _)) = fits.first() else {
            return Err(naming::no_point(self, txn, &bounds));
        };
        let unchanged = |touched: &[Touched], until: usize| {
            let mut bound = touched.iter().filter(|version| version.binds);
            bound.all(|version| self.is_unchanged(version, until, inside.commit_ms))
        };
        let chosen = match place {
            Some(place) => fits.iter().find(|(_, touched)| unchanged(touched, place)),
            None => fits.first(),
        };
        let Some((point, touched)) = chosen else {
            let what = format!("read at {first} or later: {txn}");
            return Err(Violation::of("ConflictIgnored", txn, what));
        };
        if inside.conflict && txn.outcome == Outcome::NotCommitted && inside.told.is_some() {
            let untouched = |(point, touched): &(usize, Vec<Touched>)| {
                let mut bound = touched.iter().filter(|version| version.binds);
                unchanged(touched, *point)
                    && bound.all(|version| self.model.after(version.key, *point).is_empty())
            };
            if fits.iter().all(untouched) {
                return Err(Violation::of("ConflictWithNobody", txn, format!("{txn}")));
            }
        }
        let (point, touched) = (*point, touched.clone());
        if touched.is_empty() {
            return Ok(());
        }
        self.read_at(txn.id, point);
        self.not_expired_before(txn, &touched)
    }

    /// Whether a key is still what somebody has read, at a point and a time.
    fn is_unchanged(&self, read: &Touched, point: usize, now_ms: u64) -> bool {
        let alive = self.model.found(read.key, point, now_ms).is_some();
        let from = self.model.at(read.key, point).map_or(0, |version| version.from);
        alive == read.alive && (!alive || from == read.from)
    }
}
