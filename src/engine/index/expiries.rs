//! Which keys expire, and when: enough to find those whose time is over.
//!
//! An entry says itself when its key expires. Here is only, for neighbours in the slab
//! together, a time before which none of them does; so an expiry takes less than a byte, and
//! one that is moved forward (a session that is touched) costs a comparison. Whoever looks
//! for expired keys goes through the neighbours whose time may have come.

use super::{EntryId, Index};
use std::collections::BTreeSet;
use std::ops::Bound;

/// How many neighbours share a time. More take less memory, and a look at them longer: these
/// take about as long as the removal of one key.
const NEIGHBOURS: usize = 64;

const _: () = assert!(super::CHUNK_ENTRIES.is_multiple_of(NEIGHBOURS));

/// What a place in the tree takes, which is about two thirds full, in bytes.
const PLACE_BYTES: usize = size_of::<(u64, u32)>() * 3 / 2;

/// No key of the neighbours expires.
const NEVER: u64 = u64::MAX;

/// Neighbours, and a time before which none of them expires.
type Place = (u64, u32);

#[derive(Debug, Default)]
pub(super) struct Expiries {
    /// How many keys expire.
    keys: usize,
    /// When, added up, in milliseconds.
    sum_ms: u128,
    /// Of all neighbours, in their order in the slab: a time before which none expires.
    earliest_ms: Vec<u64>,
    /// The same, by time, without those of which none expires.
    by_time: BTreeSet<Place>,
    /// Where the last look ended.
    looked_at: Place,
}

impl Expiries {
    /// An entry's key expires at another time than before; 0 is never.
    #[inline]
    pub(super) fn change(&mut self, id: EntryId, before_ms: u64, after_ms: u64) {
        if before_ms != after_ms {
            self.moved(id, before_ms, after_ms);
        }
    }

    fn moved(&mut self, id: EntryId, before_ms: u64, after_ms: u64) {
        self.keys = self.keys + usize::from(after_ms != 0) - usize::from(before_ms != 0);
        self.sum_ms = self.sum_ms + u128::from(after_ms) - u128::from(before_ms);
        if after_ms == 0 {
            return; // What is known stays true; the next look at them finds out.
        }
        let neighbours = id as usize / NEIGHBOURS;
        if self.earliest_ms.len() <= neighbours {
            self.earliest_ms.resize(neighbours + 1, NEVER);
        }
        if after_ms < self.earliest_ms[neighbours] {
            self.put(neighbours as u32, after_ms);
        }
    }

    fn put(&mut self, neighbours: u32, earliest_ms: u64) {
        let known = &mut self.earliest_ms[neighbours as usize];
        self.by_time.remove(&(*known, neighbours));
        *known = earliest_ms;
        if earliest_ms != NEVER {
            self.by_time.insert((earliest_ms, neighbours));
        }
    }

    /// Takes in those of entries whose ids move by so many.
    pub(super) fn append(&mut self, other: Self, moved_by: EntryId) {
        let first = moved_by as usize / NEIGHBOURS;
        self.keys += other.keys;
        self.sum_ms += other.sum_ms;
        if !other.earliest_ms.is_empty() {
            self.earliest_ms.resize(first, NEVER);
            self.earliest_ms.extend(other.earliest_ms);
        }
        let places = other.by_time.into_iter();
        self.by_time.extend(places.map(|(ms, neighbours)| (ms, neighbours + first as u32)));
    }

    /// What it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.earliest_ms.len() * size_of::<u64>() + self.by_time.len() * PLACE_BYTES
    }

    /// The next neighbours whose time may have come: behind those of the last look, and then
    /// from the beginning.
    fn next_due(&self, now_ms: u64) -> Option<Place> {
        let over = (now_ms, u32::MAX);
        let looked_at = self.looked_at.min(over);
        let behind = (Bound::Excluded(looked_at), Bound::Included(over));
        let mut due = self.by_time.range(behind).chain(self.by_time.range(..=looked_at));
        due.next().copied()
    }
}

/// What a look for expired keys has found.
#[derive(Debug, Default)]
pub struct Due {
    /// When they expired, and where they are.
    pub keys: Vec<(u64, EntryId)>,
    /// Neighbours of which none had.
    pub in_vain: usize,
    /// Whether it ended before all had been looked at.
    pub more: bool,
}

impl Index {
    /// How many keys expire.
    pub fn expiring(&self) -> usize {
        self.expiries.keys
    }

    /// When they do, added up, in milliseconds since the Unix epoch.
    pub fn expiries_sum_ms(&self) -> u128 {
        self.expiries.sum_ms
    }

    /// The next keys whose time is over: `limit` of them, or as many as are found by looking at
    /// that many neighbourhoods, and a few more. It goes on behind those of the last look, and
    /// then from the beginning: keys that can't go yet hold up no others.
    pub fn take_due(&mut self, now_ms: u64, limit: usize) -> Due {
        let mut due = Due::default();
        let mut first = None;
        let mut looks = 0;
        while let Some(place) = self.expiries.next_due(now_ms) {
            // Those that keep a key whose time is over are met again, once around.
            if first == Some(place) {
                break;
            }
            if due.keys.len() + looks >= limit {
                due.more = true;
                break;
            }
            looks += 1;
            self.expiries.looked_at = place;
            if self.look_at(place.1, now_ms, &mut due.keys) {
                first = first.or(Some(place));
            } else {
                due.in_vain += 1;
            }
        }
        due
    }

    /// Whether any of the neighbours' times is over: those are added to `due`. If none is, the
    /// time before which none will be is known.
    fn look_at(&mut self, neighbours: u32, now_ms: u64, due: &mut Vec<(u64, EntryId)>) -> bool {
        let found = due.len();
        let mut earliest_ms = NEVER;
        let first = neighbours as usize * NEIGHBOURS;
        for id in (first..first + NEIGHBOURS).map(|id| id as EntryId) {
            let expires_ms = self.slab.get(id).map_or(0, |entry| entry.expires_ms());
            if expires_ms != 0 && expires_ms <= now_ms {
                due.push((expires_ms, id));
            } else if expires_ms != 0 {
                earliest_ms = earliest_ms.min(expires_ms);
            }
        }
        let any = due.len() > found;
        if !any {
            self.expiries.put(neighbours, earliest_ms);
        }
        any
    }
}
