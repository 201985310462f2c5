//! An index in parts: several threads fill one each, and they are put side by side.

use super::expiries::Expiries;
use super::{CHUNK_ENTRIES, EntryId, Index, Segment, Slab, Slot};

/// The keys whose hashes begin with certain bits.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// Those bits.
    pub number: u64,
    /// How many they are; 0 is every key.
    pub bits: u32,
}

impl Share {
    /// Whether a key of this hash belongs to it.
    #[inline]
    pub fn has(self, hash: u64) -> bool {
        hash.checked_shr(64 - self.bits).unwrap_or(0) == self.number
    }
}

impl Index {
    /// An empty index for keys whose hashes have their first `bits` in common.
    pub fn of_share(seed: u64, bits: u32) -> Self {
        Self {
            seed,
            depth: bits,
            directory: vec![0; 1 << bits],
            segments: vec![Segment { depth: bits, ..Segment::default() }],
            slab: Slab::default(),
            len: 0,
            heap_bytes: 0,
            expiries: Expiries::default(),
        }
    }

    /// Takes in the keys of another share. All shares there are must come together before
    /// keys of any others are looked for. Returns by what the ids of the entries have moved.
    pub fn append(&mut self, other: Self, share: Share) -> EntryId {
        debug_assert_eq!(self.seed, other.seed, "hashes mean the same in both");
        let moved_by = self.slab.append(other.slab);
        let first = self.segments.len() as u32;
        self.segments.extend(other.segments.into_iter().map(|mut segment| {
            segment.table.iter_mut().for_each(|id| *id += moved_by);
            segment
        }));
        let depth = self.depth.max(other.depth);
        let mut directory = deepened(&self.directory, depth - self.depth);
        let others = deepened(&other.directory, depth - other.depth);
        let width = 1usize << (depth - share.bits);
        let range = share.number as usize * width..(share.number as usize + 1) * width;
        for (slot, segment) in directory[range.clone()].iter_mut().zip(&others[range]) {
            *slot = first + segment;
        }
        (self.directory, self.depth) = (directory, depth);
        self.len += other.len;
        self.heap_bytes += other.heap_bytes;
        self.expiries.append(other.expiries, moved_by);
        moved_by
    }

    /// An entry that is likely that of a key with this hash, if there is one.
    #[inline]
    pub fn candidate(&self, hash: u64) -> Option<EntryId> {
        self.segments[self.segment(hash)].table.find(super::table_hash(hash), |_| true).copied()
    }
}

/// A directory for so many more bits.
fn deepened(directory: &[u32], bits: u32) -> Vec<u32> {
    directory.iter().flat_map(|&segment| std::iter::repeat_n(segment, 1 << bits)).collect()
}

impl Slab {
    /// Takes in another's chunks, and says by what their entries' ids have moved.
    fn append(&mut self, mut other: Self) -> EntryId {
        let moved_by = (self.chunks.len() * CHUNK_ENTRIES) as EntryId;
        // What is left of the last chunk is free: only a last one grows.
        while let Some(last) = self.chunks.last_mut().filter(|last| last.len() < CHUNK_ENTRIES) {
            last.push(Slot::Free { next: self.free });
            let chunk = self.chunks.len() - 1;
            self.free = Some((chunk * CHUNK_ENTRIES + self.chunks[chunk].len() - 1) as EntryId);
        }
        let mut at = other.free;
        while let Some(id) = at {
            let Some(Slot::Free { next }) = other.slot_mut(id) else { break };
            at = *next;
            // The last of the other's leads on to ours.
            *next = next.map_or(self.free, |next| Some(next + moved_by));
        }
        self.free = other.free.map_or(self.free, |first| Some(first + moved_by));
        self.chunks.append(&mut other.chunks);
        moved_by
    }
}

#[cfg(test)]
mod tests {
    use super::{Index, Share};
    use crate::engine::version::{RECOVERED, State, Version};
    use crate::layout::CommitId;
    use std::collections::BTreeSet;

    fn version(time: u64) -> Version {
        let commit = CommitId { time, node: 1 };
        Version { commit, position: RECOVERED, expires_ms: 1_000 + time, state: State::Lost }
    }

    fn insert(index: &mut Index, key: u32) {
        let key = key.to_string();
        let hash = index.hash(key.as_bytes());
        index.insert(hash, key.as_bytes().into(), version(key.len() as u64));
    }

    fn find(index: &Index, key: u32) -> bool {
        let key = key.to_string();
        index.find(index.hash(key.as_bytes()), key.as_bytes()).is_some()
    }

    fn remove(index: &mut Index, key: u32) {
        let name = key.to_string();
        let id = index.find(index.hash(name.as_bytes()), name.as_bytes());
        assert!(id.and_then(|id| index.remove(id)).is_some(), "{key}");
    }

    /// Fills an index in shares, each of which has had some more keys for a while.
    fn joined(keys: u32, bits: u32) -> Index {
        let mut shares = (0..1 << bits).map(|number| {
            let share = Share { number, bits };
            let mut index = Index::of_share(7, bits);
            let own: Vec<u32> =
                (0..keys).filter(|key| share.has(index.hash(key.to_string().as_bytes()))).collect();
            own.iter().for_each(|&key| insert(&mut index, key));
            own.iter().filter(|key| key.is_multiple_of(5)).for_each(|&key| remove(&mut index, key));
            (index, share)
        });
        let (mut all, _) = shares.next().unwrap();
        shares.for_each(|(index, share)| _ = all.append(index, share));
        all
    }

    #[test]
    fn shares_side_by_side_are_an_index_like_any_other() {
        for (keys, bits) in [(0, 2), (3, 3), (1_000, 1), (30_000, 0), (30_000, 1), (50_000, 3)] {
            let mut index = joined(keys, bits);
            let there = |key: u32| !key.is_multiple_of(5);
            assert_eq!(index.len(), (0..keys).filter(|&key| there(key)).count());
            assert_eq!(index.expiring(), index.len());
            // Those with one digit or two, wherever they are now.
            let due = index.take_due(1_002, usize::MAX);
            assert_eq!(due.keys.len(), (0..keys.min(100)).filter(|&key| there(key)).count());
            let over = |id| index.get(id).is_some_and(|entry| entry.newest().expires_ms <= 1_002);
            assert!(due.keys.iter().all(|&(_, id)| over(id)));
            assert!((0..keys).all(|key| find(&index, key) == there(key)), "{keys} {bits}");

            // It grows by splits on both sides of a border, and what was free is used again.
            let chunks = index.slab.chunks.len();
            (0..keys).filter(|&key| !there(key)).for_each(|key| insert(&mut index, key));
            assert!(index.slab.chunks.len() <= chunks, "{keys} {bits}");
            (keys..3 * keys).for_each(|key| insert(&mut index, key));
            assert!((0..3 * keys).all(|key| find(&index, key)), "{keys} {bits}");
            let ids: BTreeSet<_> = index.entries().map(|(id, _)| id).collect();
            assert_eq!(ids.len(), index.len());
            (0..3 * keys).for_each(|key| remove(&mut index, key));
            assert!(index.is_empty() && index.heap_bytes == 0 && index.expiring() == 0);
        }
    }
}
