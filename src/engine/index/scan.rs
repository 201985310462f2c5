//! Going through an index a few entries at a time, and drawing one by chance.
//!
//! A cursor is a place in the order of hashes. That order doesn't change when segments
//! split, when keys come and go, or when everything is flushed, so an entry that stays
//! is met exactly once, whatever else happens in between.

use super::{EntryId, Index, SEGMENT_KEYS_MAX, Slot, hash_in_slab};

/// A place in the order of hashes: as many of their first bits as a client surely keeps.
/// Some read a cursor as a floating point number, which is exact up to 53 bits.
pub type Place = u64;

/// The bits of a hash that make a [`Place`].
const PLACE_BITS: u32 = 48;

/// What an entry takes in memory beside what its key and its values take elsewhere.
pub const ENTRY_BYTES: usize = size_of::<Slot>() + size_of::<EntryId>() + 1;

/// The place of a hash.
#[inline]
pub fn place_of(hash: u64) -> Place {
    hash >> (64 - PLACE_BITS)
}

/// What a step through an index has met.
#[derive(Debug, Default)]
pub struct Step {
    /// Entries and their places, in no order.
    pub met: Vec<(Place, EntryId)>,
    /// Where the next step begins; `None` at the end.
    pub next: Option<Place>,
}

impl Index {
    /// The next entries from `from` on: about `count`, more only if some have the same
    /// place, fewer where much has been removed. What one step costs is bounded by `count`
    /// and by the size of a segment.
    pub fn step(&self, from: Place, count: usize) -> Step {
        let count = count.max(1);
        let mut step = Step { met: Vec::new(), next: (from >> PLACE_BITS == 0).then_some(from) };
        // As in Redis, so many empty parts of the table are worth a step, too.
        for _ in 0..count.saturating_mul(10) {
            let Some(from) = step.next.filter(|_| step.met.len() < count) else {
                break;
            };
            step.next = self.step_in_segment(from, count, &mut step.met);
        }
        step
    }

    /// Meets entries of one segment; where to go on.
    fn step_in_segment(
        &self,
        from: Place,
        count: usize,
        met: &mut Vec<(Place, EntryId)>,
    ) -> Option<Place> {
        let segment = &self.segments[self.segment(from << (64 - PLACE_BITS))];
        let before = met.len();
        let left = count - before;
        let places = segment.table.iter().map(|&id| {
            let hash = hash_in_slab(self.seed, &self.slab, id);
            (place_of(hash), id)
        });
        met.extend(places.filter(|(place, _)| *place >= from));
        if met.len() - before > left {
            let (_, last, _) = met[before..].select_nth_unstable(left - 1);
            let last = last.0;
            // Those with the same place can't be told apart by a cursor: they go together.
            met.retain(|(place, _)| *place <= last);
            return next_place(last + 1);
        }
        let depth = segment.depth;
        next_place((from >> (PLACE_BITS - depth)).wrapping_add(1) << (PLACE_BITS - depth))
    }

    /// An entry by chance, each as likely as any other. `random` gives 64 random bits.
    pub fn draw(&self, mut random: impl FnMut() -> u64) -> Option<EntryId> {
        /// A segment is on average more than half full, unless much has been removed.
        const TRIES: usize = 32;
        if self.is_empty() {
            return None;
        }
        for _ in 0..TRIES {
            let segment = &self.segments[below(random(), self.segments.len())].table;
            // A fuller segment has to be taken more often.
            let at = below(random(), segment.len().max(SEGMENT_KEYS_MAX));
            if at < segment.len() {
                return segment.iter().nth(at).copied();
            }
        }
        let mut rank = below(random(), self.len());
        for segment in &self.segments {
            match segment.table.iter().nth(rank) {
                Some(id) => return Some(*id),
                None => rank -= segment.table.len(),
            }
        }
        None
    }
}

/// The place at `at`, if it is one.
pub fn next_place(at: u64) -> Option<Place> {
    (at >> PLACE_BITS == 0).then_some(at)
}

/// A number below `end` from 64 random bits.
pub fn below(random: u64, end: usize) -> usize {
    ((u128::from(random) * end as u128) >> 64) as usize
}
