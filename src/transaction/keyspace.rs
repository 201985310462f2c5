//! All keys of a database as a transaction sees them: its snapshot, and its own writes
//! on top.

use super::Transaction;
use crate::engine::core::Database;
use crate::engine::index::Entry;
use crate::engine::index::scan::{ENTRY_BYTES, Place, below, next_place, place_of};
use crate::engine::version::{Snapshot, Value};
use crate::engine::writes::{Change, KeyWrite, Own};
use crate::small_bytes::{INLINE_BYTES_MAX, SmallBytes};

/// What a step through a database has found.
#[derive(Debug, Default)]
pub struct Scan {
    /// Keys that exist, in no order.
    pub keys: Vec<SmallBytes>,
    /// Where the next step begins; `None` at the end.
    pub next: Option<Place>,
}

/// What an entry of the index is to a transaction.
enum Seen {
    /// A key that exists.
    Key,
    /// None; or the transaction has written it, and its own writes are looked at.
    Nothing,
    /// A key that existed until then.
    Expired(u64),
}

impl Transaction<'_> {
    /// The next keys of a database from `from` on. It looks at about `count`, and returns
    /// those that exist. A key that exists from the first step to the last is returned at
    /// least once, see [`crate::engine::index::scan`].
    pub fn scan(&mut self, database: u8, from: Place, count: usize) -> Scan {
        let database = self.writes.home(database);
        let mut found: Vec<(Place, SmallBytes)> = Vec::new();
        let mut next = None;
        let mut expired_ms = 0;
        if let Some(db) = self.in_snapshot(database) {
            let step = db.index().step(from, count);
            next = step.next;
            for (place, id) in step.met {
                let Some(entry) = db.index().get(id) else {
                    continue;
                };
                match self.see(db, database, entry) {
                    Seen::Key => found.push((place, entry.key().as_slice().into())),
                    Seen::Expired(at_ms) => expired_ms = expired_ms.max(at_ms),
                    Seen::Nothing => {}
                }
            }
        }
        let in_step = |place: Place| place >= from && next.is_none_or(|next| place < next);
        let own = self.own_keys(database).map(|write| (place_of(write.hash), &write.key));
        let mut own: Vec<_> = own.filter(|(place, _)| in_step(*place)).collect();
        if own.len() > count.max(1) {
            // Too many for one step: it ends where `count` of them are found.
            let (_, (last, _), _) = own.select_nth_unstable_by_key(count.max(1) - 1, |own| own.0);
            let last = *last;
            own.retain(|(place, _)| *place <= last);
            found.retain(|(place, _)| *place <= last);
            next = next_place(last + 1);
        }
        found.extend(own.into_iter().map(|(place, key)| (place, key.as_slice().into())));
        self.saw_all(expired_ms);
        Scan { keys: found.into_iter().map(|(_, key)| key).collect(), next }
    }

    /// The keys of a database that `wanted` says yes to, in no order.
    pub fn keys(&mut self, database: u8, wanted: impl Fn(&[u8]) -> bool) -> Vec<SmallBytes> {
        let database = self.writes.home(database);
        let own = self.own_keys(database).map(|write| &write.key).filter(|key| wanted(key));
        let mut keys: Vec<SmallBytes> = own.map(|key| key.as_slice().into()).collect();
        let mut expired_ms = 0;
        if let Some(db) = self.in_snapshot(database) {
            for (_, entry) in db.index().entries().filter(|(_, entry)| wanted(entry.key())) {
                match self.see(db, database, entry) {
                    Seen::Key => keys.push(entry.key().as_slice().into()),
                    Seen::Expired(at_ms) => expired_ms = expired_ms.max(at_ms),
                    Seen::Nothing => {}
                }
            }
        }
        self.saw_all(expired_ms);
        keys
    }

    /// A key of a database by chance, each as likely as any other; `None` if it has none.
    pub fn random_key(&mut self, database: u8) -> Option<SmallBytes> {
        /// As many as in Redis. Only if nearly all entries are deleted or expired, and not
        /// yet removed, are there more to try.
        const TRIES: usize = 100;
        for _ in 0..TRIES {
            if let Some(key) = self.draw_key(self.writes.home(database)) {
                self.saw_all(0);
                return Some(key);
            }
        }
        /// How many entries are looked at before it is asked whether that was enough.
        const COUNT: usize = 1000;
        let from = place_of(self.core.random());
        let mut at = Some(from);
        while let Some(place) = at {
            let scan = self.scan(database, place, COUNT);
            if !scan.keys.is_empty() {
                let which = below(self.core.random(), scan.keys.len());
                return scan.keys.into_iter().nth(which);
            }
            at = scan.next;
        }
        let mut at = Some(0);
        while let Some(place) = at.filter(|place| *place < from) {
            let scan = self.scan(database, place, COUNT);
            if let Some(key) = scan.keys.into_iter().next() {
                return Some(key);
            }
            at = scan.next;
        }
        None
    }

    /// An entry, or a write of one's own, by chance: `None` if there is no key in it.
    fn draw_key(&mut self, database: u8) -> Option<SmallBytes> {
        let snapshot = self.snapshot;
        let own = self.own_keys(database).count();
        let entries = self.in_snapshot(database).map_or(0, |db| db.index().len());
        if own + entries == 0 {
            return None;
        }
        let which = below(self.core.random(), own + entries);
        if which < own {
            return self.own_keys(database).nth(which).map(|write| write.key.as_slice().into());
        }
        let slot = self.core.slot(database, snapshot)?;
        let id = self.core.draw(slot)?;
        let db = self.core.database(database, snapshot)?;
        let entry = db.index().get(id)?;
        matches!(self.see(db, database, entry), Seen::Key).then(|| entry.key().as_slice().into())
    }

    /// What a key and its value take in memory, in bytes; `None` if there is none.
    pub fn memory(&mut self, database: u8, key: &[u8]) -> Option<usize> {
        self.expires_ms(database, key)?;
        let (database, hash) = self.place(database, key);
        let value_bytes = match self.writes.own(database, hash, key) {
            Own::Written(Change::Put { value: Value::String(bytes), .. }) => bytes.len(),
            Own::Written(Change::Pieces { pieces, .. }) => pieces.len(),
            Own::Written(Change::Blob { blob, .. }) => blob.name().length as usize,
            // Not always in memory now, but it will be when it is read.
            _ => self.core.read(database, hash, key, self.snapshot)?.state.value_bytes(),
        };
        /// The counts of who shares it stand before a long string.
        const COUNTS_BYTES: usize = 16;
        let long = |bytes| if bytes > INLINE_BYTES_MAX { bytes + COUNTS_BYTES } else { 0 };
        // An expiry stands in the entry, and less than a byte beside it.
        Some(ENTRY_BYTES + long(key.len()) + long(value_bytes))
    }

    /// A database of the snapshot, unless this transaction has flushed it.
    fn in_snapshot(&self, database: u8) -> Option<&Database> {
        let flushed = self.writes.flushed().contains(&database);
        self.core.database(database, self.snapshot).filter(|_| !flushed)
    }

    fn see(&self, db: &Database, database: u8, entry: &Entry) -> Seen {
        if !self.writes.is_empty() {
            let hash = self.core.hash(entry.key());
            if !matches!(self.writes.own(database, hash, entry.key()), Own::Untouched) {
                return Seen::Nothing;
            }
        }
        match db.visible(entry, self.snapshot) {
            Some(version) if !version.state.is_alive() => Seen::Nothing,
            Some(version) if version.is_expired(self.snapshot.now_ms) => {
                Seen::Expired(version.expires_ms)
            }
            Some(_) => Seen::Key,
            None => Seen::Nothing,
        }
    }

    /// The keys that this transaction has written and that exist.
    fn own_keys(&self, database: u8) -> impl Iterator<Item = &KeyWrite> {
        self.writes.writes().iter().filter(move |write| {
            let exists = match write.change {
                Change::Put { expires_ms, .. }
                | Change::Pieces { expires_ms, .. }
                | Change::Blob { expires_ms, .. }
                | Change::Expiry { expires_ms } => !self.own_is_expired(expires_ms),
                Change::Delete => false,
            };
            exists && write.database == database
        })
    }

    /// Notes that a reply depends on all keys, and on some that expired until then.
    fn saw_all(&mut self, expired_ms: u64) {
        self.note_look();
        self.saw_expired_ms = self.saw_expired_ms.max(expired_ms);
        if self.snapshot.position == Snapshot::TIP {
            self.saw = self.saw.max(self.core.newest_pending());
        }
    }
}
