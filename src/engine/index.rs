//! The index: every key of a database and its versions, newest first.
//!
//! A hash table by extendible hashing (Fagin et al., 1979): a directory of segments by
//! the first bits of the key's hash, each segment a small table that splits in two when
//! it is full. So growing never stops the server for longer than one split, and the
//! order by hash survives growth, which a cursor needs. Entries live in a slab whose
//! chunks never move: a group remembers what it touched by [`EntryId`].

mod entry;
mod expiries;
pub mod scan;
mod share;

pub use entry::Entry;
pub use expiries::Due;
pub use share::Share;

use super::version::{Position, State, StoredValue, Value, Version};
use crate::layout::CommitId;
use crate::small_bytes::SmallKey;
use expiries::Expiries;
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
    /// What entries hold outside of themselves.
    heap_bytes: usize,
    expiries: Expiries,
}

/// What a key takes in the index beside what its entry holds outside of itself: its place in
/// the slab, and in a table that is half full to full.
const ENTRY_BYTES: usize = size_of::<Slot>() + 8;

// A key whose value is in the store; a long key's own bytes come on top, and nothing else.
const _: () = assert!(ENTRY_BYTES <= 100);

impl Index {
    /// An empty index. The seed keeps clients from choosing keys that collide.
    pub fn new(seed: u64) -> Self {
        Self::of_share(seed, 0)
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

    /// What all entries take, in bytes: keys, versions, and the values in them.
    pub fn bytes(&self) -> usize {
        self.len * ENTRY_BYTES + self.heap_bytes + self.expiries.bytes()
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
            .find(table_hash(hash), |&id| self.slab.get(id).is_some_and(|e| **e.key() == *key))
            .copied()
    }

    /// An entry by its place.
    #[inline]
    pub fn get(&self, id: EntryId) -> Option<&Entry> {
        self.slab.get(id)
    }

    /// Changes an entry, and what is known of its size and its expiry with it.
    #[inline]
    fn change<R>(&mut self, id: EntryId, change: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        let entry = self.slab.get_mut(id)?;
        let (before, expired_ms) = (entry.heap_bytes(), entry.expires_ms());
        let result = change(entry);
        self.heap_bytes = self.heap_bytes + entry.heap_bytes() - before;
        self.expiries.change(id, expired_ms, entry.expires_ms());
        Some(result)
    }

    /// Drops what nobody can see of an entry any more, see [`Entry::prune`].
    pub fn prune(
        &mut self,
        id: EntryId,
        acked: Position,
        is_read: impl Fn(Range<Position>) -> bool,
        gone: impl FnMut(&StoredValue),
    ) {
        self.change(id, |entry| entry.prune(acked, is_read, gone));
    }

    /// Puts a version on top of an entry's versions. With `keep` the version it hides
    /// stays readable; without, nobody can see it any more and it goes.
    #[inline]
    pub fn replace(&mut self, id: EntryId, version: Version, keep: bool) {
        self.change(id, |entry| {
            if entry.newest().position == version.position {
                entry.overwrite(version);
            } else if keep {
                entry.push(version);
            } else {
                entry.set(version);
            }
        });
    }

    /// Puts a string in the place of an entry's only one, where that is in memory, if it is
    /// as long and nobody reads it; `false` if that can't be.
    #[inline]
    pub fn overwrite(&mut self, id: EntryId, commit: CommitId, bytes: &[u8]) -> bool {
        let Some(entry) = self.slab.get_mut(id) else { return false };
        entry.overwrite_value(commit, bytes)
    }

    /// Makes an entry for a key that has none.
    pub fn insert(&mut self, hash: u64, key: SmallKey, version: Version) -> EntryId {
        debug_assert!(self.find(hash, &key).is_none(), "one key, one entry");
        let entry = Entry::new(key, version);
        self.heap_bytes += entry.heap_bytes();
        let expires_ms = entry.expires_ms();
        let id = self.slab.insert(entry);
        self.expiries.change(id, 0, expires_ms);
        self.link(hash, id);
        self.len += 1;
        id
    }

    /// Changes what a version says of its key.
    pub fn fill(&mut self, id: EntryId, commit: CommitId, state: State) {
        self.change(id, |entry| {
            if let Some(version) = entry.version_mut(commit) {
                version.state = state;
            }
        });
    }

    /// A version's value is in the store from now on; the value, if there was one.
    pub fn store(&mut self, id: EntryId, commit: CommitId, place: StoredValue) -> Option<Value> {
        self.change(id, |entry| {
            let version = entry.version_mut(commit)?;
            if !matches!(version.state, State::Live(_)) {
                return None;
            }
            match std::mem::replace(&mut version.state, State::Stored(place)) {
                State::Live(value) => Some(value),
                _ => None,
            }
        })?
    }

    /// The value that `put` has put is at `place` from now on, for all versions that hold it.
    pub fn relocate(&mut self, id: EntryId, put: CommitId, place: StoredValue) {
        self.change(id, |entry| {
            entry.for_each_mut(|version| match &mut version.state {
                State::Stored(at) if version.commit == put => *at = place,
                State::Inherited(inherited) if inherited.put == put => {
                    inherited.state = State::Stored(place);
                }
                _ => {}
            });
        });
    }

    /// Takes back every version of an entry after `position`; an entry without versions goes.
    pub fn fall_back(&mut self, id: EntryId, position: Position) {
        if self.change(id, |entry| entry.fall_back(position)) == Some(false) {
            self.remove(id);
        }
    }

    /// Drops every version before `commit`; the entries that have none left are returned,
    /// to be removed.
    pub fn bury(&mut self, commit: CommitId) -> Vec<EntryId> {
        let mut buried = Vec::new();
        for (chunk, slots) in self.slab.chunks.iter_mut().enumerate() {
            for (at, slot) in slots.iter_mut().enumerate() {
                let Slot::Taken(entry) = slot else { continue };
                let before = entry.heap_bytes();
                if !entry.bury(commit) {
                    buried.push((chunk * CHUNK_ENTRIES + at) as EntryId);
                }
                self.heap_bytes = self.heap_bytes + entry.heap_bytes() - before;
            }
        }
        buried
    }

    /// Removes an entry with all its versions.
    pub fn remove(&mut self, id: EntryId) -> Option<Entry> {
        let hash = self.hash(self.slab.get(id)?.key());
        let segment = self.segment(hash);
        if let Ok(found) =
            self.segments[segment].table.find_entry(table_hash(hash), |&other| other == id)
        {
            found.remove();
            self.len -= 1;
        }
        let removed = self.slab.remove(id)?;
        self.heap_bytes -= removed.heap_bytes();
        self.expiries.change(id, removed.expires_ms(), 0);
        Some(removed)
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
    hash_key(seed, slab.get(id).map_or(&[], |entry| entry.key()))
}

#[cfg(test)]
mod tests;
