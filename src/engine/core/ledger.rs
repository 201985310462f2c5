//! The objects that recovery would read, and the order in which compaction takes them.
//!
//! ```text
//!      replaced by base 3       still needed
//!   |------------------------|------------------------------------------------------|
//!   base 1   7/41   7/42       base 2   7/43   7/44   base 3   7/45   7/46
//!                                                     ^ where its collection began
//! ```
//! Compaction takes the oldest objects, whatever is in them, and moves what is alive to a
//! new base. The place of a base in that order is where its collection *began*: a key that
//! is deleted while the base is being written has its tombstone behind the base, not before
//! it. So everything that a tombstone hides lies before it, and when compaction arrives at
//! a tombstone, nothing of that is left: tombstones are never moved, and nothing comes
//! back (P8). What has to be moved again and again, since it never dies, costs a constant
//! factor: the ratio of all bytes to live ones at which compaction begins.

use super::super::version::ObjectId;
use super::blobs::Blobs;
use crate::layout::{NodeId, ObjectName};
use std::collections::{BTreeMap, VecDeque};

/// A place in the order of all groups: a log, and a number in it.
pub type Place = (NodeId, u64);

/// An object that counts, or has been replaced and not yet been deleted.
#[derive(Debug, Clone)]
pub struct Held {
    /// Its name.
    pub name: ObjectName,
    /// A group's own place; for a base, that of the last group that was visible when its
    /// collection began.
    pub place: Place,
    /// Its size in bytes.
    pub bytes: u64,
    /// That of the blobs that it names.
    pub blob_bytes: u64,
    /// Where its values begin, in bytes.
    pub values_offset: u64,
    /// The swaps in it, in order.
    pub swaps: Vec<(u8, u8)>,
}

/// Objects of one kind, oldest first, which is the order of their names; each has a number
/// that it keeps.
#[derive(Debug, Default)]
struct Queue {
    held: VecDeque<Held>,
    /// The number of the oldest; numbers wrap around.
    first: u32,
    /// How many of the oldest have been replaced.
    replaced: usize,
}

/// How many bits of an [`ObjectId`] say of what kind it is; the others are a number.
pub(super) const KIND_BITS: u32 = 2;

/// Numbers wrap around behind this one.
pub(super) const NUMBER_MAX: u32 = u32::MAX >> KIND_BITS;

const GROUP: ObjectId = 0;
const BASE: ObjectId = 1;
/// Of a value in a blob; the others name what is taken in order.
pub(super) const BLOB: ObjectId = 2;

impl Queue {
    fn push(&mut self, held: Held) -> u32 {
        debug_assert!(self.held.back().is_none_or(|newest| newest.name < held.name));
        self.held.push_back(held);
        self.first.wrapping_add(self.held.len() as u32 - 1) & NUMBER_MAX
    }

    fn get(&self, number: u32) -> Option<&Held> {
        self.held.get((number.wrapping_sub(self.first) & NUMBER_MAX) as usize)
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut Held> {
        self.held.get_mut((number.wrapping_sub(self.first) & NUMBER_MAX) as usize)
    }

    fn has(&self, name: ObjectName) -> bool {
        self.held.binary_search_by_key(&name, |held| held.name).is_ok()
    }

    fn current(&self) -> impl Iterator<Item = &Held> {
        self.held.range(self.replaced..)
    }

    fn forget(&mut self, count: usize) {
        let count = count.min(self.replaced);
        self.held.drain(..count);
        self.first = self.first.wrapping_add(count as u32) & NUMBER_MAX;
        self.replaced -= count;
    }
}

/// How many groups and bases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Groups, seals and holes.
    pub groups: usize,
    /// Bases.
    pub bases: usize,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Ledger {
    groups: Queue,
    bases: Queue,
    blobs: Blobs,
    /// What those that count take, in bytes.
    bytes: u64,
    /// How many objects of each log count.
    logs: BTreeMap<NodeId, usize>,
    /// The last group that was replaced; all logs before its own are, too.
    trimmed: Place,
}

impl Ledger {
    /// Adds the newest group or base.
    pub fn push(&mut self, held: Held) -> ObjectId {
        self.bytes += held.bytes;
        match held.name {
            ObjectName::Base(..) => self.bases.push(held) << KIND_BITS | BASE,
            _ => {
                *self.logs.entry(held.place.0).or_default() += 1;
                self.groups.push(held) << KIND_BITS | GROUP
            }
        }
    }

    /// A group or base, unless it has been deleted.
    pub fn get(&self, id: ObjectId) -> Option<&Held> {
        let number = id >> KIND_BITS;
        match id & ((1 << KIND_BITS) - 1) {
            GROUP => self.groups.get(number),
            BASE => self.bases.get(number),
            _ => None,
        }
    }

    /// Values in objects of their own.
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// The same, to change what is known of them.
    pub fn blobs_mut(&mut self) -> &mut Blobs {
        &mut self.blobs
    }

    /// The swaps that were found in an object.
    pub fn set_swaps(&mut self, id: ObjectId, swaps: Vec<(u8, u8)>) {
        let queue = if id & BASE == 0 { &mut self.groups } else { &mut self.bases };
        if let Some(held) = queue.get_mut(id >> KIND_BITS) {
            held.swaps = swaps;
        }
    }

    /// Blobs of so many bytes were found to be named by an object.
    pub fn add_blob_bytes(&mut self, id: ObjectId, bytes: u64) {
        let queue = if id & BASE == 0 { &mut self.groups } else { &mut self.bases };
        if let Some(held) = queue.get_mut(id >> KIND_BITS) {
            held.blob_bytes += bytes;
        }
    }

    /// Those that count, in the order in which compaction takes them.
    pub fn current(&self) -> impl Iterator<Item = &Held> {
        let mut groups = self.groups.current().peekable();
        let mut bases = self.bases.current().peekable();
        std::iter::from_fn(move || match (groups.peek(), bases.peek()) {
            // A base lies behind the last group that was visible when it was begun.
            (Some(group), Some(base)) if group.place <= base.place => groups.next(),
            (_, Some(_)) => bases.next(),
            (_, None) => groups.next(),
        })
    }

    /// Whether an object counts, or has been replaced and not yet been deleted.
    pub fn holds(&self, name: ObjectName) -> bool {
        match name {
            ObjectName::Base(..) => self.bases.has(name),
            ObjectName::Blob(node, number) => self.blobs.hold(node, number),
            _ => self.groups.has(name),
        }
    }

    /// The bases that count, oldest first.
    pub fn bases(&self) -> impl Iterator<Item = &Held> {
        self.bases.current()
    }

    /// How many count.
    pub fn count(&self) -> Count {
        let of = |queue: &Queue| queue.held.len() - queue.replaced;
        Count { groups: of(&self.groups), bases: of(&self.bases) }
    }

    /// How many have been replaced and not yet been deleted.
    pub fn replaced(&self) -> usize {
        self.groups.replaced + self.bases.replaced
    }

    /// How many there are, those that have been replaced among them.
    pub fn objects(&self) -> usize {
        self.groups.held.len() + self.bases.held.len()
    }

    /// How many logs have groups that count.
    pub fn logs(&self) -> usize {
        self.logs.len()
    }

    /// What those that count take, in bytes, with the blobs that they name.
    pub fn bytes(&self) -> u64 {
        self.bytes + self.blobs.bytes()
    }

    /// The last group that was replaced.
    pub fn trimmed(&self) -> Place {
        self.trimmed
    }

    /// What recovery has found to be replaced.
    pub fn recover_trimmed(&mut self, trimmed: Place) {
        self.trimmed = trimmed;
    }

    /// The oldest that count are replaced from now on. They can still be read.
    pub fn replace(&mut self, count: Count) {
        for held in self.bases.current().take(count.bases) {
            self.bytes -= held.bytes;
        }
        for held in self.groups.current().take(count.groups) {
            self.bytes -= held.bytes;
            self.trimmed = held.place;
            let Some(left) = self.logs.get_mut(&held.place.0) else { continue };
            *left -= 1;
            if *left == 0 {
                self.logs.remove(&held.place.0);
            }
        }
        self.groups.replaced += count.groups;
        self.bases.replaced += count.bases;
    }

    /// The oldest, which have been replaced, are deleted.
    pub fn forget(&mut self, count: Count) {
        self.groups.forget(count.groups);
        self.bases.forget(count.bases);
    }
}
