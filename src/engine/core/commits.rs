//! A transaction enters: one short step, which draws its commit id, appends it to the open
//! group and puts its versions on top of the index.

use super::super::blob::Blob;
use super::super::index::Entry;
use super::super::version::{Flush, Inherited, Position, Snapshot, State, Value, Version};
use super::super::writes::{Change, KeyWrite, WriteSet};
use super::census::Census;
use super::{Core, Keep, Refused};
use crate::layout::directory::TYPE_STRING;
use crate::layout::{Commit, CommitId, GroupBuilder, Place, Write};

/// Appends to the open group what a key becomes; where a value went that is too large for
/// the directory.
fn log_version<'v>(
    builder: &mut GroupBuilder,
    slot: u8,
    key: &[u8],
    version: &'v Version,
    blob: Option<&Blob>,
    newest: Option<CommitId>,
) -> Option<Place<'v>> {
    let expires_ms = (version.expires_ms != 0).then_some(version.expires_ms);
    if let Some(blob) = blob {
        let place = Place::Blob { blob: blob.name(), crc: blob.place().crc };
        let (database, value_type) = (slot, TYPE_STRING);
        builder.write(&Write::Put { database, key, value_type, expires_ms, place });
        return None;
    }
    let predecessor = match &version.state {
        State::Live(Value::String(bytes)) => {
            return Some(builder.put(slot, key, TYPE_STRING, expires_ms, bytes));
        }
        State::Tombstone => {
            builder.write(&Write::Delete { database: slot, key });
            return None;
        }
        State::Inherited(inherited) => inherited.put,
        State::Stored(_) | State::Lost => newest.unwrap_or(CommitId::ZERO),
    };
    builder.write(&Write::Meta { database: slot, key, predecessor, expires_ms });
    None
}

/// What a version that only changes the expiry of `newest` holds. A value that is in memory
/// anyway is written again, with its new expiry; one in the store stays where it is.
fn inherit(newest: &Version) -> State {
    match &newest.state {
        State::Live(value) => State::Live(value.clone()),
        State::Stored(_) => {
            let inherited = Inherited { put: newest.commit, state: newest.state.clone() };
            State::Inherited(Box::new(inherited))
        }
        State::Inherited(inherited) => State::Inherited(inherited.clone()),
        State::Tombstone | State::Lost => State::Lost,
    }
}

impl Core {
    /// At least the bytes that a transaction takes in a group, and in a base that all of it moves
    /// to: its own, and the values in memory that are written again with a new expiry.
    pub fn bytes_of(&self, writes: &WriteSet) -> usize {
        let tip = Snapshot { position: Snapshot::TIP, now_ms: 0 };
        let changed = writes.writes().iter().filter(|w| matches!(w.change, Change::Expiry { .. }));
        let again = changed.map(|write| {
            match self.read(write.database, write.hash, &write.key, tip).map(|found| &found.state) {
                Some(State::Live(Value::String(bytes))) => bytes.len(),
                _ => 0,
            }
        });
        writes.bytes() + again.sum::<usize>()
    }

    /// Commits a transaction: all of its writes, at one position. `Ok` is that position, and
    /// they are taken out; refused, they stay.
    pub fn commit(
        &mut self,
        writes: &mut WriteSet,
        meta: &Commit<'_>,
    ) -> Result<(CommitId, Position), Refused> {
        if let Some(why) = self.takes_no_writes() {
            return Err(Refused(why));
        }
        // A large transaction goes alone: together they might be more than the store takes.
        let together = self.open.builder.len() + self.bytes_of(writes);
        if self.options.logged
            && !self.open.builder.is_empty()
            && together > self.options.group_bytes_max
        {
            self.close_open_group();
        }
        let id = self.draw_commit_id();
        let position = self.open_position();
        let before = self.open.builder.len();
        let (swaps, blob_bytes) = (writes.swaps(), writes.blob_bytes());
        if self.options.logged {
            let commit = Commit { id, ..meta.clone() };
            let count = writes.flushed().len() + writes.writes().len() + swaps.len();
            self.open.builder.begin_commit(&commit, count);
            self.open.largest_commit = id;
            self.open.now_through_ms = self.now.ms();
        }
        for &database in writes.flushed() {
            self.apply_flush(database, Flush { commit: id, position });
        }
        for write in writes.drain() {
            self.apply(write, id, position);
        }
        for (one, other) in swaps {
            self.apply_swap(one, other, position);
        }
        let bytes = self.open.builder.len() - before;
        self.pending_bytes += bytes;
        self.spend(bytes + usize::try_from(blob_bytes).unwrap_or(usize::MAX));
        if !self.options.logged {
            self.acknowledge_unlogged();
        } else if self.open.builder.len() >= self.options.group_bytes_max {
            self.close_open_group();
        }
        Ok((id, position))
    }

    pub(super) fn draw_commit_id(&mut self) -> CommitId {
        let from_clock = self.now.ms() << CommitId::COUNTER_BITS;
        self.last_commit_time = from_clock.max(self.last_commit_time + 1);
        CommitId { time: self.last_commit_time, node: self.node }
    }

    fn apply(&mut self, write: KeyWrite, commit: CommitId, position: Position) {
        let KeyWrite { database: number, hash, key, change, .. } = write;
        let Some(slot) = self.slots.on_tip(number) else {
            return;
        };
        let versions = self.options.logged || !self.pins.is_empty();
        let keep = Keep { versions, tombstones: versions || self.watched.has(slot, &key) };
        let Some(db) = self.databases.get_mut(usize::from(slot)) else {
            return;
        };
        let found = db.index.find(hash, &key);
        let entry = found.and_then(|id| db.index.get(id));
        let before = entry.map_or(Census::default(), |entry| db.census_on_tip(entry));
        let newest = entry.map(Entry::newest);
        let first_in_group = newest.is_none_or(|newest| newest.position != position);
        let mut blob = None;
        let (state, expires_ms) = match change {
            Change::Put { value, expires_ms } => (State::Live(value), expires_ms),
            Change::Pieces { pieces, expires_ms } => {
                (State::Live(Value::String(pieces.to_whole())), expires_ms)
            }
            Change::Blob { blob: stored, expires_ms } => {
                let place = stored.place();
                blob = Some(stored);
                (State::Stored(place), expires_ms)
            }
            Change::Delete => (State::Tombstone, 0),
            Change::Expiry { expires_ms } => (newest.map_or(State::Lost, inherit), expires_ms),
        };
        let mut delta = -before;
        if state.is_alive() {
            delta += Census::of(&key, &state);
        }
        db.live_tip += delta;
        db.written = position;
        let version = Version { commit, position, expires_ms, state };
        let logged = self.options.logged.then(|| {
            let newest = newest.map(|newest| newest.commit);
            log_version(&mut self.open.builder, slot, &key, &version, blob.as_deref(), newest)
        });
        self.open.blobs.extend(blob);
        // The place alone: the version moves on.
        let place = logged.flatten().and_then(|place| match place {
            Place::Values { offset, length, crc } => Some((offset, length, crc)),
            _ => None,
        });
        let Some(id) = db.put_version(found, hash, key, version, keep) else {
            return;
        };
        if let Some((offset, length, crc)) = place {
            self.open.place(slot, id, commit, (offset, length, crc));
        }
        if keep.tombstones {
            if first_in_group {
                self.open.touched.push((slot, id));
            }
            if delta != Census::default() {
                *self.open.live_delta.entry(slot).or_default() += delta;
            }
        }
    }

    fn apply_flush(&mut self, number: u8, flush: Flush) {
        let Some((slot, db)) = self.on_tip(number) else {
            return;
        };
        let dead = std::mem::take(&mut db.live_tip);
        db.flushes.insert(0, flush);
        *self.open.live_delta.entry(slot).or_default() -= dead;
        if self.options.logged {
            self.open.builder.write(&Write::Flush { database: slot });
        }
    }

    /// Without a log, a transaction is acknowledged when it is sequenced.
    fn acknowledge_unlogged(&mut self) {
        self.acked += 1;
        if !self.open.touched.is_empty() || !self.open.live_delta.is_empty() {
            let group = std::mem::take(&mut self.open);
            self.settle_group(&group);
        }
        if !self.slots.are_settled() {
            self.slots.settle(self.oldest_reader());
        }
    }

    pub(super) fn close_open_group(&mut self) {
        self.cut.push_back(std::mem::take(&mut self.open));
    }
}
