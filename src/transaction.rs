//! A transaction: reads of one snapshot, writes held back until all of them commit.
//!
//! A plain command is a transaction of its own, MULTI/EXEC is one around many commands.
//! Both run in one go while the sequencer is held, so nothing comes in between their
//! reads and their commit. A command inside of an interactive transaction (`inside`) reads
//! and writes in that one, which commits later.

mod inside;
mod keyspace;
mod parts;

pub use inside::NotCommitted;
pub use keyspace::Scan;

use crate::engine::body::Body;
use crate::engine::core::{Core, Health, Missing, Refused};
use crate::engine::gate::Gate;
use crate::engine::interactive::TransactionId;
use crate::engine::version::{Position, Snapshot, State, StoredValue, Value, Version};
use crate::engine::writes::{Change, Own, WriteSet};
use crate::layout::{Commit, CommitId};
use crate::small_bytes::SmallKey;
use inside::Inside;
use std::sync::Arc;

/// Which state a transaction reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// What is acknowledged: a read that needs to wait for nobody.
    Visible,
    /// What is sequenced, acknowledged or not: for all that writes or reads to write,
    /// and for connections that have writes of their own on the way.
    Tip,
}

/// A key that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its value.
    pub value: Value,
    /// When it expires, in milliseconds since the Unix epoch; 0 is never.
    pub expires_ms: u64,
}

/// Where the value of a key is.
#[derive(Debug)]
enum Held {
    /// In memory.
    Body(Body),
    /// In the store, and in memory perhaps.
    Stored(StoredValue),
}

/// Why a read has no answer yet, or none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadError {
    /// The value is in the store; it is fetched, then the transaction runs again.
    Missing,
    /// The value is lost in the store.
    Lost,
}

/// What became of a transaction.
#[derive(Debug)]
pub enum Finished {
    /// It is done. What it answers may be told once the gate opens; at once without one.
    Done {
        /// The group that the answer depends on.
        gate: Option<Arc<Gate>>,
        /// The position of that group, and of an earlier one without a gate.
        waits_for: Position,
        /// The commit, if it wrote.
        commit: Option<CommitId>,
    },
    /// Nothing happened: these values have to be fetched first, or to be in the store.
    Fetch(Vec<Missing>),
    /// Nothing happened: the node takes no writes now.
    Refused(Refused),
    /// Nothing happened: a key it read has expired, but a restart might not know that
    /// yet, and the store doesn't answer.
    ExpiryUnknown(Refused),
    /// Nothing happened: it wrote more bytes than one transaction may.
    TooLarge,
    /// Nothing happened: open transactions hold more bytes than they may.
    TooManyOpen,
}

/// A transaction under way.
#[derive(Debug)]
pub struct Transaction<'c> {
    core: &'c mut Core,
    snapshot: Snapshot,
    /// The present time, in milliseconds since the Unix epoch.
    now_ms: u64,
    writes: WriteSet,
    /// The newest unacknowledged group that something it read came from.
    saw: Position,
    /// The latest expiry it has taken for past.
    saw_expired_ms: u64,
    missing: Vec<Missing>,
    /// Large values that it has written are in the store.
    blobs_are_placed: bool,
    bytes_max: usize,
    /// The interactive transaction that it is a part of.
    inside: Option<Box<Inside>>,
}

impl<'c> Transaction<'c> {
    /// Begins on `view`. More than `bytes_max` bytes of writes won't commit.
    #[inline]
    pub fn begin(core: &'c mut Core, view: View, bytes_max: usize) -> Self {
        let snapshot = match view {
            View::Visible => core.visible(),
            View::Tip => core.tip(),
        };
        Self::at(core, snapshot, bytes_max)
    }

    #[inline]
    fn at(core: &'c mut Core, snapshot: Snapshot, bytes_max: usize) -> Self {
        Self {
            core,
            snapshot,
            now_ms: snapshot.now_ms,
            writes: WriteSet::default(),
            saw: 0,
            saw_expired_ms: 0,
            missing: Vec::new(),
            blobs_are_placed: false,
            bytes_max,
            inside: None,
        }
    }

    /// The time it runs at, in milliseconds since the Unix epoch.
    #[inline]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// How many databases there are.
    pub fn databases(&self) -> u8 {
        self.core.databases()
    }

    /// Reads a key with its value.
    pub fn get(&mut self, database: u8, key: &[u8]) -> Result<Option<Found>, ReadError> {
        let (database, hash) = self.place(database, key);
        self.get_at(database, hash, key)
    }

    /// Gives a key the value that `change` makes of the one it has; its expiry stays.
    ///
    /// # Errors
    /// It can't be read, or `change` refuses; nothing is written then.
    #[inline]
    pub fn update<E: From<ReadError>>(
        &mut self,
        database: u8,
        key: &[u8],
        change: impl FnOnce(Option<&Value>) -> Result<Value, E>,
    ) -> Result<(), E> {
        let (database, hash) = self.place(database, key);
        let found = self.get_at(database, hash, key)?;
        let value = change(found.as_ref().map(|found| &found.value))?;
        let expires_ms = found.map_or(0, |found| found.expires_ms);
        let change = Change::Put { value, expires_ms };
        self.writes.record(database, hash, SmallKey::from(key), change);
        Ok(())
    }

    #[inline]
    fn get_at(&mut self, database: u8, hash: u64, key: &[u8]) -> Result<Option<Found>, ReadError> {
        let Some((held, expires_ms)) = self.find(database, hash, key)? else {
            return Ok(None);
        };
        let value = match held {
            Held::Body(Body::Whole(value)) => Value::String(value),
            Held::Body(pieces) => self.join_own(database, hash, key, &pieces),
            Held::Stored(place) => self.value_at(key, place)?,
        };
        Ok(Some(Found { value, expires_ms }))
    }

    /// What a key holds, which may be in the store, and when it expires.
    #[inline]
    fn find(
        &mut self,
        database: u8,
        hash: u64,
        key: &[u8],
    ) -> Result<Option<(Held, u64)>, ReadError> {
        let mut own_expiry = None;
        let own = match self.writes.own(database, hash, key) {
            Own::Written(Change::Put { value: Value::String(value), expires_ms }) => {
                Some((Held::Body(Body::Whole(value.clone())), *expires_ms))
            }
            Own::Written(Change::Pieces { pieces, expires_ms }) => {
                Some((Held::Body(pieces.clone()), *expires_ms))
            }
            Own::Written(Change::Blob { blob, expires_ms }) => {
                Some((Held::Stored(blob.place()), *expires_ms))
            }
            Own::Written(Change::Delete) | Own::Flushed => return Ok(None),
            Own::Written(Change::Expiry { expires_ms, .. }) => {
                own_expiry = Some(*expires_ms);
                None
            }
            Own::Untouched => None,
        };
        if let Some((_, expires_ms)) = own {
            return Ok(own.filter(|_| !self.own_is_expired(expires_ms)));
        }
        let Some(version) = self.read(database, hash, key, own_expiry.is_some()) else {
            return Ok(None);
        };
        let expires_ms = own_expiry.unwrap_or(version.expires_ms);
        let held = match version.state.held() {
            State::Live(Value::String(value)) => Held::Body(Body::Whole(value.clone())),
            State::Stored(place) => Held::Stored(*place),
            State::Lost | State::Inherited(_) => return Err(ReadError::Lost),
            State::Tombstone => return Ok(None),
        };
        Ok((!self.own_is_expired(own_expiry.unwrap_or(0))).then_some((held, expires_ms)))
    }

    /// A value that is in the store.
    fn value_at(&mut self, key: &[u8], place: StoredValue) -> Result<Value, ReadError> {
        if let Some(value) = self.core.value_at(&place).or_else(|| self.core.join(&place)) {
            return Ok(value);
        }
        Err(self.miss(key, place))
    }

    /// It is fetched, then the transaction runs again.
    fn miss(&mut self, key: &[u8], place: StoredValue) -> ReadError {
        self.missing.push(Missing::Value { key: key.into(), place, was_tried: false });
        ReadError::Missing
    }

    /// When a key expires (0 for never), or `None` if it doesn't exist.
    pub fn expires_ms(&mut self, database: u8, key: &[u8]) -> Option<u64> {
        let (database, hash) = self.place(database, key);
        match self.writes.own(database, hash, key) {
            Own::Written(
                Change::Put { expires_ms, .. }
                | Change::Pieces { expires_ms, .. }
                | Change::Blob { expires_ms, .. }
                | Change::Expiry { expires_ms },
            ) => {
                let expires_ms = *expires_ms;
                (!self.own_is_expired(expires_ms)).then_some(expires_ms)
            }
            Own::Written(Change::Delete) | Own::Flushed => None,
            Own::Untouched => self.read(database, hash, key, false).map(|v| v.expires_ms),
        }
    }

    /// Whether a key exists.
    #[inline]
    pub fn exists(&mut self, database: u8, key: &[u8]) -> bool {
        self.expires_ms(database, key).is_some()
    }

    /// How many keys a database has, those it writes itself included.
    pub fn count(&mut self, database: u8) -> u64 {
        let database = self.writes.home(database);
        self.note_look();
        let pinned = self.pinned_count(database);
        let keys = pinned.unwrap_or_else(|| self.core.live_keys(database, self.snapshot));
        let mut count = i64::try_from(keys).unwrap_or(0);
        if self.snapshot.position == Snapshot::TIP {
            // Anyone's pending write may have been counted.
            self.saw = self.saw.max(self.core.newest_pending());
        }
        if self.writes.flushed().contains(&database) {
            count = 0;
        }
        for write in self.writes.writes().iter().filter(|write| write.database == database) {
            let flushed = self.writes.flushed().contains(&database);
            let before = self.core.read(database, write.hash, &write.key, self.snapshot);
            let was_alive = !flushed && before.is_some_and(|version| version.state.is_alive());
            let alive = !matches!(write.change, Change::Delete);
            count += i64::from(alive) - i64::from(was_alive);
        }
        u64::try_from(count).unwrap_or(0)
    }

    /// Gives a key a value and an expiry (milliseconds since the Unix epoch, 0 for never).
    #[inline]
    pub fn put(&mut self, database: u8, key: &[u8], value: Value, expires_ms: u64) {
        let (database, hash) = self.place(database, key);
        let change = Change::Put { value, expires_ms };
        self.writes.record(database, hash, SmallKey::from(key), change);
    }

    /// Deletes a key; `false` if there is none.
    pub fn delete(&mut self, database: u8, key: &[u8]) -> bool {
        let exists = self.exists(database, key);
        if exists {
            let (database, hash) = self.place(database, key);
            self.writes.record(database, hash, SmallKey::from(key), Change::Delete);
        }
        exists
    }

    /// Changes when a key expires (0 for never) and leaves its value alone; `false` if
    /// there is no such key.
    pub fn expire(&mut self, database: u8, key: &[u8], expires_ms: u64) -> bool {
        if !self.exists(database, key) {
            return false;
        }
        let (database, hash) = self.place(database, key);
        let change = match self.writes.own(database, hash, key) {
            Own::Written(Change::Put { value, .. }) => {
                Change::Put { value: value.clone(), expires_ms }
            }
            Own::Written(Change::Pieces { pieces, .. }) => {
                Change::Pieces { pieces: pieces.clone(), expires_ms }
            }
            Own::Written(Change::Blob { blob, .. }) => {
                Change::Blob { blob: Arc::clone(blob), expires_ms }
            }
            _ => Change::Expiry { expires_ms },
        };
        self.writes.record(database, hash, SmallKey::from(key), change);
        true
    }

    /// Deletes every key of a database.
    pub fn flush(&mut self, database: u8) {
        self.writes.flush(self.writes.home(database));
    }

    /// Exchanges what two databases hold.
    pub fn swap(&mut self, one: u8, other: u8) {
        self.writes.swap(one, other);
    }

    /// Whether what a WATCH remembered still holds on the tip. What the answer saw there
    /// counts as read.
    pub fn watch_holds(&mut self, database: u8, key: &[u8], watched: Watched) -> bool {
        let (place, commit, alive) = match watched {
            Watched::Version { place, commit, alive } => (place, commit, alive),
            Watched::Inside { id, revision } => {
                return self.watched_inside_holds(database, key, id, revision);
            }
        };
        let tip = self.core.tip();
        self.saw = self.saw.max(self.core.swapped_at(database));
        // A swap touches all keys, whether or not either of the two databases has them: what
        // was there at that moment can't be told any more.
        if place != Watched::place(self.core, database, tip) {
            return false;
        }
        match self.see_newest(place.0, key, tip) {
            Some((newest, is_alive)) => newest == commit && is_alive == alive,
            // A tombstone that has gone from the index since is no change.
            None => !alive,
        }
    }

    /// The commit that changed a key of a slot last in a snapshot, and whether it is alive there;
    /// what that depends on counts as read.
    fn see_newest(&mut self, slot: u8, key: &[u8], from: Snapshot) -> Option<(CommitId, bool)> {
        let hash = self.core.hash(key);
        let (newest, changed, alive) = self.core.newest(slot, hash, key, from)?;
        self.saw = self.saw.max(newest.position);
        if newest.is_expired(from.now_ms) {
            self.saw_expired_ms = self.saw_expired_ms.max(newest.expires_ms);
        }
        if !alive && from.position == Snapshot::TIP {
            self.saw = self.saw.max(self.core.flushed_in(slot));
        }
        Some((changed, alive))
    }

    /// What WATCH remembers of a key. What shows that it came and went since now is kept
    /// until it is unwatched.
    ///
    /// It counts as read: what is read after a WATCH must not be older than what that holds
    /// on to. Otherwise EXEC would find the key untouched, and not as it was read.
    pub fn watch(&mut self, database: u8, key: &[u8]) -> Watched {
        if let Some(watched) = self.watch_inside(database, key) {
            return watched;
        }
        if self.snapshot.position == Snapshot::TIP {
            self.saw = self.saw.max(self.core.swapped_at(database));
        }
        let place = Watched::place(self.core, database, self.snapshot);
        let newest = self.see_newest(place.0, key, self.snapshot);
        let (commit, alive) = newest.unwrap_or((CommitId::ZERO, false));
        self.core.watch(place.0, key);
        Watched::Version { place, commit, alive }
    }

    /// Lets go of a watched key.
    pub fn unwatch(&mut self, watched: Watched, key: &[u8]) {
        watched.let_go(self.core, key);
    }

    /// The state, for reports about it.
    pub fn core(&self) -> &Core {
        self.core
    }

    /// The state, to begin and to end interactive transactions in it.
    pub fn core_mut(&mut self) -> &mut Core {
        self.core
    }

    /// Whether large values that it has written have to be in the store first; then it has to run
    /// again, as if it had missed what it read. Asked when all is written: by [`Transaction::finish`],
    /// or before by who has more to end than the transaction.
    pub fn misses_blobs(&mut self) -> bool {
        if !self.blobs_are_placed && !is_too_large(&self.writes, self.bytes_max) {
            self.missing = self.core.place_blobs(&mut self.writes);
            self.blobs_are_placed = self.missing.is_empty();
        }
        !self.missing.is_empty()
    }

    /// Commits, if there is anything to commit. It is over then.
    #[inline]
    pub fn finish(&mut self, meta: &Commit<'_>) -> Finished {
        if self.inside.is_some() {
            return self.finish_inside();
        }
        if !self.missing.is_empty() {
            return Finished::Fetch(std::mem::take(&mut self.missing));
        }
        if self.writes.is_empty() {
            return answer(self.core, self.saw, self.saw_expired_ms);
        }
        if is_too_large(&self.writes, self.bytes_max) {
            return Finished::TooLarge;
        }
        if self.misses_blobs() {
            return Finished::Fetch(std::mem::take(&mut self.missing));
        }
        let bytes = self.core.bytes_of(&self.writes);
        if bytes > self.bytes_max.min(self.core.transaction_bytes_max()) {
            return Finished::TooLarge;
        }
        match self.core.commit(&mut self.writes, meta) {
            Ok((id, position)) => {
                let gate = self.core.gate(position);
                Finished::Done { gate, waits_for: position, commit: Some(id) }
            }
            Err(refused) => Finished::Refused(refused),
        }
    }

    /// What a database's number was when the transaction began, and a key's hash.
    #[inline]
    fn place(&self, database: u8, key: &[u8]) -> (u8, u64) {
        (self.writes.home(database), self.core.hash(key))
    }

    fn own_is_expired(&self, expires_ms: u64) -> bool {
        expires_ms != 0 && expires_ms <= self.now_ms
    }

    /// The live version of a key in the snapshot, and a note of what that depends on.
    #[inline]
    fn read(
        &mut self,
        database: u8,
        hash: u64,
        key: &[u8],
        ignore_expiry: bool,
    ) -> Option<&Version> {
        let on_tip = self.snapshot.position == Snapshot::TIP;
        if on_tip {
            self.saw = self.saw.max(self.core.swapped_at(database));
        }
        if self.inside.is_some() {
            self.note(database, key);
        }
        let Some(version) = self.core.read(database, hash, key, self.snapshot) else {
            if on_tip {
                // A flush that is not acknowledged may be why nothing is there.
                self.saw = self.saw.max(self.core.flushed_at(database));
            }
            return None;
        };
        self.saw = self.saw.max(version.position);
        if !version.state.is_alive() {
            return None;
        }
        if !ignore_expiry && version.is_expired(self.snapshot.now_ms) {
            self.saw_expired_ms = self.saw_expired_ms.max(version.expires_ms);
            return None;
        }
        Some(version)
    }
}

/// Whether a transaction has written more than one may, in blobs or not.
fn is_too_large(writes: &WriteSet, bytes_max: usize) -> bool {
    (writes.bytes() as u64).saturating_add(writes.held_blob_bytes()) > bytes_max as u64
}

/// What a transaction answers that has read, as far as `saw` and an expiry, and not written.
#[inline]
fn answer(core: &mut Core, saw: Position, saw_expired_ms: u64) -> Finished {
    let mut waits_for = saw;
    if saw_expired_ms > core.now_through_acked_ms() {
        if let Health::Refusing(why) = core.health() {
            return Finished::ExpiryUnknown(Refused(why.clone()));
        }
        waits_for = core.want_group();
    }
    Finished::Done { gate: core.gate(waits_for), waits_for, commit: None }
}

/// What WATCH remembers of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watched {
    /// What the key was.
    Version {
        /// Where the database was, and how often it had been swapped.
        place: (u8, u64),
        /// The commit that changed it last.
        commit: CommitId,
        /// Whether it was there.
        alive: bool,
    },
    /// What an interactive transaction had made of it.
    Inside {
        /// Which one.
        id: TransactionId,
        /// Its last write to the key.
        revision: u32,
    },
}

impl Watched {
    /// Whether it is of an interactive transaction.
    pub fn is_inside(&self) -> bool {
        matches!(self, Self::Inside { .. })
    }

    /// Lets go of what the state keeps for it.
    pub fn let_go(self, core: &mut Core, key: &[u8]) {
        if let Self::Version { place, .. } = self {
            core.unwatch(place.0, key);
        }
    }

    fn place(core: &Core, database: u8, snapshot: Snapshot) -> (u8, u64) {
        (core.slot(database, snapshot).unwrap_or(database), core.swaps(database))
    }
}
