//! Readers that stay, and keys whose time is over.

use super::super::index::{Entry, EntryId};
use super::super::version::{Snapshot, State, Version};
use super::{Core, Database, Health, Pin};
use crate::layout::CommitId;
use rand::RngExt;

/// What [`Core::reap`] has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reaped {
    /// How many keys it removed.
    pub keys: usize,
    /// Whether more may be waiting.
    pub more: bool,
}

impl Database {
    /// The version of one of its entries that a snapshot holds, dead or alive.
    #[inline]
    pub fn visible<'e>(&self, entry: &'e Entry, snapshot: Snapshot) -> Option<&'e Version> {
        entry.visible(&self.flushes, snapshot)
    }
}

impl Core {
    /// A snapshot that stays until it is let go of: whoever takes it has a timeout of his own.
    pub fn hold(&mut self) -> Pin {
        let pin = (self.acked, self.now.ms());
        self.pins.hold(pin);
        pin
    }

    /// Lets go of it.
    pub fn let_go(&mut self, pin: Pin) {
        if self.pins.let_go(pin) {
            self.settle_deferred();
        }
    }

    /// Keeps what shows that a key of a slot came and went since now, until it is unwatched.
    pub fn watch(&mut self, slot: u8, key: &[u8]) {
        self.watched.add(slot, key);
    }

    /// Lets go of a watched key.
    pub fn unwatch(&mut self, slot: u8, key: &[u8]) {
        if !self.watched.remove(slot, key) {
            return;
        }
        let found = self.in_slot(slot).and_then(|db| db.index.find(db.index.hash(key), key));
        if let Some(id) = found {
            self.settle(slot, id);
        }
    }

    fn settle_deferred(&mut self) {
        for (number, id) in std::mem::take(&mut self.deferred) {
            self.settle(number, id);
        }
        self.settle_flushes();
        self.slots.settle(self.oldest_reader());
    }

    /// 64 random bits.
    pub fn random(&mut self) -> u64 {
        self.rng.random()
    }

    /// An entry of a slot by chance, dead or alive.
    pub fn draw(&mut self, slot: u8) -> Option<EntryId> {
        let Self { databases, rng, .. } = self;
        databases.get(usize::from(slot))?.index.draw(|| rng.random())
    }

    /// The oldest snapshot.
    pub fn oldest_pin(&self) -> Option<Pin> {
        self.pins.oldest()
    }

    /// The same as headers tell it: as commit time, 0 if there is none.
    pub fn oldest_snapshot(&self) -> u64 {
        self.oldest_pin().map_or(0, |(_, now_ms)| now_ms << CommitId::COUNTER_BITS)
    }

    /// How many keys of a database have been reaped since the start: a snapshot that has counted
    /// its keys counts those no more that go while it is open. All of them had expired before it.
    pub fn reaped_keys(&self, database: u8, snapshot: Snapshot) -> u64 {
        self.database(database, snapshot).map_or(0, |db| db.reaped)
    }

    /// Removes keys that have expired, at most `limit`.
    ///
    /// No tombstone is written: the expiry stands in the log. A key only goes when a
    /// restart, too, would find it expired; until then the group that says so is asked for.
    pub fn reap(&mut self, limit: usize) -> Reaped {
        let (pinned, pinned_ms) = self.oldest_pin().unwrap_or((self.acked, u64::MAX));
        let durable_ms = self.now_through_acked_ms();
        let now_ms = self.now.ms();
        let mut left = limit;
        let (mut wanted, mut keys) = (false, 0);
        let (mut more, mut in_vain) = (false, 0);
        let (watched, values) = (&self.watched, &mut self.values);
        // Another one comes first each time: keys of one that can't go yet hold up no others.
        self.reaps_first = (self.reaps_first + 1) % self.databases.len().max(1);
        let (later, first) = self.databases.split_at_mut(self.reaps_first);
        let numbers = (self.reaps_first..).zip(first).chain((0..).zip(later));
        for (number, db) in numbers {
            let due = db.index.take_due(now_ms, left);
            left = left.saturating_sub(due.keys.len() + due.in_vain);
            more |= due.more;
            in_vain += due.in_vain;
            for (expires_ms, id) in due.keys {
                let Some(entry) = db.index.get(id) else {
                    continue;
                };
                let newest = entry.newest();
                wanted |= expires_ms > durable_ms;
                // What a flush has buried is already counted out: it goes with the flush,
                // or, should that be given up, is counted in again and goes then.
                let buried = db.flushes.iter().any(|f| f.commit > newest.commit);
                let settled = !buried
                    && newest.position <= self.acked.min(pinned)
                    && expires_ms <= pinned_ms
                    && !watched.has(number as u8, entry.key());
                if !settled || expires_ms > durable_ms {
                    continue;
                }
                let alive = db.census_on_tip(entry);
                if let State::Stored(place) = newest.state.held() {
                    values.drop(place);
                }
                db.index.remove(id);
                db.live_tip -= alive;
                db.live_visible -= alive;
                db.reaped += u64::try_from(alive.keys).unwrap_or(0);
                keys += 1;
            }
        }
        if wanted && self.health == Health::Serving {
            self.want_group();
        }
        // Neither those that went are met again, nor those that were looked at in vain.
        Reaped { keys, more: more && keys + in_vain > 0 }
    }
}
