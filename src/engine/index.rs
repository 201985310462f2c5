//! The index: every key of a database and its versions, newest first.
//!
//! A hash table by extendible hashing (Fagin et al., 1979): a directory of segments by
//! the first bits of the key's hash, each segment a small table that splits in two when
//! it is full. So growing never stops the server for longer than one split, and the
//! order by hash survives growth, which a cursor needs. Entries live in a slab whose
//! chunks never move: a group remembers what it touched by [`EntryId`].

pub mod scan;

use super::version::{
    Flush, Position, Snapshot, State, StoredValue, Value, Version, visible_version,
};
use crate::layout::CommitId;
use crate::small_bytes::SmallBytes;
use hashbrown::HashTable;
use std::hash::{BuildHasher, Hasher};
use std::ops::Range;

/// A segment with more keys than this splits: 7/8 of 2,048 slots, so that it splits
/// instead of growing its own table, and a split takes some 100 µs at the most.
const SEGMENT_KEYS_MAX: usize = 1792;

/// Entries in a chunk of the slab.
const CHUNK_ENTRIES: usize = 512;

/// An entry's place in the slab; stable until the entry is removed, then used again.
pub type EntryId = u32;

/// A key and its versions.
#[derive(Debug)]
pub struct Entry {
    key: SmallBytes,
    newest: Version,
    older: Option<Box<Older>>,
}

/// A version that a newer one hides from the tip, but not yet from every reader.
#[derive(Debug)]
struct Older {
    version: Version,
    older: Option<Box<Older>>,
}

impl Entry {
    /// The key.
    pub fn key(&self) -> &SmallBytes {
        &self.key
    }

    /// The version with the largest commit id.
    pub fn newest(&self) -> &Version {
        &self.newest
    }

    /// All versions, newest first.
    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        let mut older = self.older.as_deref();
        std::iter::once(&self.newest).chain(std::iter::from_fn(move || {
            let current = older?;
            older = current.older.as_deref();
            Some(&current.version)
        }))
    }

    fn for_each_mut(&mut self, mut each: impl FnMut(&mut Version)) {
        each(&mut self.newest);
        let mut older = self.older.as_deref_mut();
        while let Some(current) = older {
            each(&mut current.version);
            older = current.older.as_deref_mut();
        }
    }

    fn version_mut(&mut self, commit: CommitId) -> Option<&mut Version> {
        if self.newest.commit == commit {
            return Some(&mut self.newest);
        }
        let mut older = self.older.as_deref_mut();
        while let Some(current) = older {
            if current.version.commit == commit {
                return Some(&mut current.version);
            }
            older = current.older.as_deref_mut();
        }
        None
    }

    /// The version a reader of `snapshot` sees, see [`visible_version`].
    #[inline]
    pub fn visible(&self, flushes: &[Flush], snapshot: Snapshot) -> Option<&Version> {
        if snapshot.position >= self.newest.position && flushes.is_empty() {
            return Some(&self.newest);
        }
        visible_version(self.versions(), flushes, snapshot)
    }

    /// Puts a newer version in the place of the newest: both belong to one group, so
    /// nobody can see the older of them any more, whatever becomes of the group.
    fn overwrite(&mut self, version: Version) {
        debug_assert!(version.position == self.newest.position);
        self.newest = version;
    }

    /// Puts a newer version on top.
    fn push(&mut self, version: Version) {
        debug_assert!(version.commit > self.newest.commit);
        let hidden = std::mem::replace(&mut self.newest, version);
        let older = self.older.take();
        self.older = Some(Box::new(Older { version: hidden, older }));
    }

    /// Drops what nobody can see any more. That leaves the versions after `acked`, the one
    /// that is visible there, and of the older ones those that somebody reads who stays:
    /// `is_read` tells of a range of positions whether anybody is in it.
    ///
    /// What lies between two such readers goes as well: a key that is overwritten a
    /// million times while somebody sleeps on a snapshot has two versions, not a million.
    pub fn prune(&mut self, acked: Position, is_read: impl Fn(Range<Position>) -> bool) {
        let mut newer = self.newest.position;
        let mut visible_seen = newer <= acked;
        let mut current = &mut self.older;
        while let Some(mut older) = current.take() {
            let position = older.version.position;
            let keep = !visible_seen || is_read(position..newer);
            visible_seen |= position <= acked;
            newer = position;
            if keep {
                current = &mut current.insert(older).older;
            } else {
                *current = older.older.take();
            }
        }
    }

    /// Drops every version before `commit`; `false` if none is left.
    fn bury(&mut self, commit: CommitId) -> bool {
        if self.newest.commit < commit {
            return false;
        }
        let mut current = &mut self.older;
        while current.as_ref().is_some_and(|older| older.version.commit >= commit) {
            let Some(older) = current else { break };
            current = &mut older.older;
        }
        *current = None;
        true
    }

    /// Takes back every version after `position`; `false` if none is left.
    fn fall_back(&mut self, position: Position) -> bool {
        while self.newest.position > position {
            let Some(older) = self.older.take() else {
                return false;
            };
            self.newest = older.version;
            self.older = older.older;
        }
        true
    }
}

#[derive(Debug)]
enum Slot {
    Taken(Entry),
    Free { next: Option<EntryId> },
}

#[derive(Debug, Default)]
struct Slab {
    chunks: Vec<Vec<Slot>>,
    free: Option<EntryId>,
}

impl Slab {
    #[inline]
    fn get(&self, id: EntryId) -> Option<&Entry> {
        let id = id as usize;
        match self.chunks.get(id / CHUNK_ENTRIES)?.get(id % CHUNK_ENTRIES)? {
            Slot::Taken(entry) => Some(entry),
            Slot::Free { .. } => None,
        }
    }

    #[inline]
    fn get_mut(&mut self, id: EntryId) -> Option<&mut Entry> {
        match self.slot_mut(id)? {
            Slot::Taken(entry) => Some(entry),
            Slot::Free { .. } => None,
        }
    }

    fn slot_mut(&mut self, id: EntryId) -> Option<&mut Slot> {
        let id = id as usize;
        self.chunks.get_mut(id / CHUNK_ENTRIES)?.get_mut(id % CHUNK_ENTRIES)
    }

    fn insert(&mut self, entry: Entry) -> EntryId {
        if let Some(id) = self.free
            && let Some(slot) = self.slot_mut(id)
            && let Slot::Free { next } = *slot
        {
            *slot = Slot::Taken(entry);
            self.free = next;
            return id;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK_ENTRIES) {
            // The first chunk grows by itself: most databases hold little.
            let whole = if self.chunks.is_empty() { 0 } else { CHUNK_ENTRIES };
            self.chunks.push(Vec::with_capacity(whole));
        }
        let chunks = self.chunks.len();
        let Some(last) = self.chunks.last_mut() else { unreachable!("a chunk was pushed above") };
        last.push(Slot::Taken(entry));
        ((chunks - 1) * CHUNK_ENTRIES + last.len() - 1) as EntryId
    }

    fn remove(&mut self, id: EntryId) -> Option<Entry> {
        let next = self.free;
        let slot = self.slot_mut(id)?;
        if let Slot::Free { .. } = slot {
            return None;
        }
        let Slot::Taken(entry) = std::mem::replace(slot, Slot::Free { next }) else {
            return None;
        };
        self.free = Some(id);
        Some(entry)
    }
}

#[derive(Debug, Default)]
struct Segment {
    /// How many first bits of the hash its keys share.
    depth: u32,
    table: HashTable<EntryId>,
}

/// The keys of one database.
#[derive(Debug)]
pub struct Index {
    seed: u64,
    depth: u32,
    directory: Vec<u32>,
    segments: Vec<Segment>,
    slab: Slab,
    len: usize,
}

impl Index {
    /// An empty index. The seed keeps clients from choosing keys that collide.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            depth: 0,
            directory: vec![0],
            segments: vec![Segment::default()],
            slab: Slab::default(),
            len: 0,
        }
    }

    /// The hash of a key in this index.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        hash_key(self.seed, key)
    }

    /// How many keys have an entry, alive or not.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no key has an entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    fn segment(&self, hash: u64) -> usize {
        // A shift by 64 is none: at depth 0 there is one segment.
        self.directory[hash.checked_shr(64 - self.depth).unwrap_or(0) as usize] as usize
    }

    /// The entry of a key.
    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<EntryId> {
        self.segments[self.segment(hash)]
            .table
            .find(table_hash(hash), |&id| self.slab.get(id).is_some_and(|e| *e.key == *key))
            .copied()
    }

    /// An entry by its place.
    #[inline]
    pub fn get(&self, id: EntryId) -> Option<&Entry> {
        self.slab.get(id)
    }

    /// An entry by its place, to be pruned or filled.
    #[inline]
    pub fn get_mut(&mut self, id: EntryId) -> Option<&mut Entry> {
        self.slab.get_mut(id)
    }

    /// Puts a version on top of an entry's versions. With `keep` the version it hides
    /// stays readable; without, nobody can see it any more and it goes.
    #[inline]
    pub fn replace(&mut self, id: EntryId, version: Version, keep: bool) {
        let Some(entry) = self.slab.get_mut(id) else {
            return;
        };
        if entry.newest.position == version.position {
            entry.overwrite(version);
        } else if keep {
            entry.push(version);
        } else {
            entry.newest = version;
            entry.older = None;
        }
    }

    /// Makes an entry for a key that has none.
    pub fn insert(&mut self, hash: u64, key: SmallBytes, version: Version) -> EntryId {
        debug_assert!(self.find(hash, &key).is_none(), "one key, one entry");
        let id = self.slab.insert(Entry { key, newest: version, older: None });
        self.link(hash, id);
        self.len += 1;
        id
    }

    /// Changes what a version says of its key.
    pub fn fill(&mut self, id: EntryId, commit: CommitId, state: State) {
        let version = self.slab.get_mut(id).and_then(|entry| entry.version_mut(commit));
        if let Some(version) = version {
            version.state = state;
        }
    }

    /// A version's value is in the store from now on; the value, if there was one.
    pub fn store(&mut self, id: EntryId, commit: CommitId, place: StoredValue) -> Option<Value> {
        let version = self.slab.get_mut(id)?.version_mut(commit)?;
        if !matches!(version.state, State::Live(_)) {
            return None;
        }
        match std::mem::replace(&mut version.state, State::Stored(place)) {
            State::Live(value) => Some(value),
            _ => None,
        }
    }

    /// The value that `put` has put is at `place` from now on, for all versions that hold it.
    pub fn relocate(&mut self, id: EntryId, put: CommitId, place: StoredValue) {
        let Some(entry) = self.slab.get_mut(id) else {
            return;
        };
        entry.for_each_mut(|version| match &mut version.state {
            State::Stored(at) if version.commit == put => *at = place,
            State::Inherited(inherited) if inherited.put == put => {
                inherited.state = State::Stored(place);
            }
            _ => {}
        });
    }

    /// Takes back every version of an entry after `position`; an entry without versions goes.
    pub fn fall_back(&mut self, id: EntryId, position: Position) {
        if let Some(entry) = self.slab.get_mut(id)
            && !entry.fall_back(position)
        {
            self.remove(id);
        }
    }

    /// Drops every version before `commit`; the entries that have none left are returned,
    /// to be removed.
    pub fn bury(&mut self, commit: CommitId) -> Vec<EntryId> {
        let mut buried = Vec::new();
        for (chunk, slots) in self.slab.chunks.iter_mut().enumerate() {
            for (at, slot) in slots.iter_mut().enumerate() {
                if let Slot::Taken(entry) = slot
                    && !entry.bury(commit)
                {
                    buried.push((chunk * CHUNK_ENTRIES + at) as EntryId);
                }
            }
        }
        buried
    }

    /// Removes an entry with all its versions.
    pub fn remove(&mut self, id: EntryId) -> Option<Entry> {
        let hash = self.hash(&self.slab.get(id)?.key);
        let segment = self.segment(hash);
        if let Ok(found) =
            self.segments[segment].table.find_entry(table_hash(hash), |&other| other == id)
        {
            found.remove();
            self.len -= 1;
        }
        self.slab.remove(id)
    }

    /// All entries, in no order.
    pub fn entries(&self) -> impl Iterator<Item = (EntryId, &Entry)> {
        self.slab.chunks.iter().enumerate().flat_map(|(chunk, slots)| {
            slots.iter().enumerate().filter_map(move |(at, slot)| match slot {
                Slot::Taken(entry) => Some(((chunk * CHUNK_ENTRIES + at) as EntryId, entry)),
                Slot::Free { .. } => None,
            })
        })
    }

    fn link(&mut self, hash: u64, id: EntryId) {
        let mut segment = self.segment(hash);
        // Keys that share all 64 bits can't be told apart by splitting.
        while self.segments[segment].table.len() >= SEGMENT_KEYS_MAX
            && self.segments[segment].depth < MAX_DEPTH
        {
            self.split(segment, hash);
            segment = self.segment(hash);
        }
        let Self { segments, slab, seed, .. } = self;
        segments[segment].table.insert_unique(table_hash(hash), id, |&other| {
            table_hash(hash_in_slab(*seed, slab, other))
        });
    }

    /// Splits the segment of `hash` by the next bit of its keys' hashes.
    fn split(&mut self, segment: usize, hash: u64) {
        let depth = self.segments[segment].depth + 1;
        if depth > self.depth {
            self.directory = self.directory.iter().flat_map(|&s| [s, s]).collect();
            self.depth = depth;
        }
        let mut halves = [HashTable::new(), HashTable::new()];
        for id in std::mem::take(&mut self.segments[segment].table) {
            let hash = hash_in_slab(self.seed, &self.slab, id);
            let half = (hash >> (64 - depth) & 1) as usize;
            halves[half].insert_unique(table_hash(hash), id, |&other| {
                table_hash(hash_in_slab(self.seed, &self.slab, other))
            });
        }
        let [low, high] = halves;
        self.segments[segment] = Segment { depth, table: low };
        let added = self.segments.len() as u32;
        self.segments.push(Segment { depth, table: high });
        // The directory's slots of this segment are neighbours; the upper half moves.
        let width = 1usize << (self.depth - depth);
        let first_high = (hash >> (64 - depth) | 1) as usize * width;
        self.directory[first_high..first_high + width].fill(added);
    }
}

/// Deeper than this nothing splits: 2^24 segments hold more keys than an [`EntryId`] counts.
const MAX_DEPTH: u32 = 24;

/// The directory uses the first bits of a hash, so a segment's own table, which tells
/// keys apart by the first and the last bits, gets them turned around.
#[inline]
fn table_hash(hash: u64) -> u64 {
    hash.rotate_left(32)
}

/// The hash of a key under a seed.
#[inline]
pub fn hash_key(seed: u64, key: &[u8]) -> u64 {
    let mut hasher = foldhash::quality::FixedState::with_seed(seed).build_hasher();
    hasher.write(key);
    hasher.finish()
}

fn hash_in_slab(seed: u64, slab: &Slab, id: EntryId) -> u64 {
    hash_key(seed, slab.get(id).map_or(&[], |entry| &entry.key))
}

#[cfg(test)]
mod tests;
