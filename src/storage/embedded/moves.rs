//! What lives on in an old segment moves on, so that the segment can go.
//!
//! Segments go oldest first, and only when nothing in them lives. The engine moves what is
//! large and alive itself; but one small object that lives for ever (a node's entry) would
//! hold back its segment, and with it all that are younger: the store would only grow.
//!
//! A copy is a record like any other. The later of two records of one name counts, and the
//! older goes with its segment only when the copy is durable.

use super::disk::Disk;
use super::index::Place;
use super::record::{Kind, record_bytes};
use super::run::{Batch, Item};
use super::segments::{Room, Segments};
use crate::storage::StoreError;

/// Of a segment's size, what may be moved for its sake: so little is never much beside
/// what was written before it came to be the oldest.
const SHARE_MAX: u64 = 64;

/// So many bytes may be moved in any case: a segment that was cut short is small itself, and
/// a few small objects must not hold it back either.
const BYTES_FREE: u64 = 4 << 10;

/// But of the head's size only that: if what is moved took more than half of the next segment, it
/// could be moved from each to the next for ever.
const HEAD_SHARE_MAX: u64 = 8;

/// No more objects than that are moved for one segment.
const OBJECTS_MAX: u64 = 1024;

impl<D: Disk> Segments<D> {
    /// Moves what is left in the oldest segment behind everything else, if it is little.
    pub(super) fn move_last_objects(&mut self) {
        // What is dead before it is kept for the next segments.
        let alive = self.segments.iter().find(|(_, segment)| segment.live > 0);
        let Some((&oldest, segment)) = alive else { return };
        let (state, size) = ((oldest, segment.live), segment.bytes);
        let Some(head) = self.head.as_ref().map(|head| head.header) else { return };
        let is_head = head.number == oldest;
        let is_full = segment.live > OBJECTS_MAX;
        if is_head || is_full || self.looked_at == Some(state) {
            return;
        }
        let left = self.index.in_segment(oldest);
        let record =
            |(name, place): &(Box<str>, Place<_>)| record_bytes(name.len(), place.body_bytes);
        let bytes: u64 = left.iter().map(record).sum();
        if bytes <= (size / SHARE_MAX).max(BYTES_FREE.min(head.capacity / HEAD_SHARE_MAX)) {
            self.move_all(left);
            let stayed = self.segments.get(&oldest).map_or(0, |segment| segment.live);
            if stayed > 0 {
                tracing::warn!(
                    segment = oldest,
                    stayed,
                    "objects couldn't be moved out of an old segment"
                );
            }
        }
        // Only now: who begins a segment has it looked at again, but that was ourselves.
        self.looked_at = Some(state);
    }

    fn move_all(&mut self, left: Vec<(Box<str>, Place<D::File>)>) {
        let mut batch = Batch::new();
        for (name, place) in left {
            let moved = place.read(&name, 0, u64::MAX).and_then(|body| {
                let item = Item::new(Kind::Object, name.as_bytes(), body.into(), None);
                self.stage_move(&mut batch, item)
            });
            if let Err(error) = moved {
                return tracing::warn!(%name, %error, "an object in an old segment can't be moved");
            }
        }
        self.flush(&mut batch);
        // The originals are about to go: what replaces them must be durable before. Where
        // that fails, the head is in doubt, and nothing goes until it is resolved.
        if let Err(error) = self.sync_head() {
            tracing::warn!(%error, "what was moved is not known to be durable");
        }
    }

    fn stage_move(&mut self, batch: &mut Batch, item: Item) -> Result<(), StoreError> {
        self.make_room(batch, item.record_bytes(), Room::Ordinary)?;
        batch.push(item);
        Ok(())
    }
}
