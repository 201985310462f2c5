//! What of the log is durable, and what follows when a sync fails.
//!
//! The system says of what it couldn't write once that it couldn't, to one of those who
//! sync the file; to the others their sync succeeds. The writer's syncs of the head and
//! those of each second may meet. So they come one after the other, and behind one that
//! failed all fail.

use super::Durability;
use super::chores::Chore;
use super::disk::{Disk, DiskFile, SyncPoint};
use super::examine::examine;
use super::format::{reserve_bytes, segment_name, store_error};
use super::record::DATA_START;
use super::run::{Batch, Item};
use super::segments::{Head, Room, Segments};
use crate::storage::StoreError;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// A place in the log, behind a record. The default is before everything.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Point {
    pub(super) segment: u64,
    pub(super) position: u64,
}

/// The syncs of one segment's file, whoever makes them.
#[derive(Debug, Default)]
pub(super) struct Syncs {
    failed: Mutex<bool>,
}

impl Syncs {
    /// Syncs the file, if no sync before has failed.
    pub(super) fn sync(&self, file: &impl DiskFile, point: SyncPoint) -> io::Result<()> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if *failed {
            return Err(io::Error::other("a sync of this segment has failed before"));
        }
        let result = file.sync(point);
        *failed = result.is_err();
        result
    }
}

impl<D: Disk> Segments<D> {
    /// Whether all before this point is durable.
    pub(super) fn is_durable(&self, point: Point) -> bool {
        self.newest().is_none_or(|head| {
            head.header.number > point.segment
                || (head.header.number == point.segment && head.synced >= point.position)
        })
    }

    /// The last segment that was written to. All before it are durable: a head is left behind
    /// only when all of it is, or is in doubt; and while one is in doubt there is no other.
    pub(super) fn newest(&self) -> Option<&Head<D::File>> {
        self.in_doubt.as_ref().or(self.head.as_ref())
    }

    /// Makes all of the head durable, if it isn't.
    pub(super) fn sync_head(&mut self) -> Result<(), StoreError> {
        let Some(head) = &mut self.head else {
            return Ok(());
        };
        if self.options.durability == Durability::Always || head.synced == head.written {
            return Ok(());
        }
        if let Err(error) = head.sync(SyncPoint::Batch) {
            self.abandon();
            return Err(unknown_outcome(&error));
        }
        head.synced = head.written;
        Ok(())
    }

    /// With [`Durability::EverySecond`], the sync that is due each second.
    pub fn take_sync(&mut self) -> Option<Chore<D::File>> {
        self.settle_doubt();
        let head = self.head.as_ref()?;
        if self.options.durability == Durability::Always || head.written == head.synced {
            return None;
        }
        let (file, syncs) = (Arc::clone(&head.file), Arc::clone(&head.syncs));
        Some(Chore::sync(head.header.number, file, syncs, head.written))
    }

    /// Takes the result of that sync.
    pub(super) fn synced(&mut self, number: u64, through: u64, result: io::Result<()>) {
        let head = self.head.as_mut().filter(|head| head.header.number == number);
        match (result, head) {
            (Ok(()), Some(head)) => {
                head.synced = head.synced.max(through);
                self.state_on_full_disk();
            }
            (Err(error), Some(_)) => {
                tracing::error!(segment = number, %error, "what was written in the last second may not be durable");
                self.abandon();
                self.settle_doubt();
            }
            // It was left behind when all of it was durable, or known to be in doubt.
            (_, None) => {}
        }
    }

    /// Takes note of a write, or of a new segment, for which there was no room.
    pub(super) fn note_full(&mut self, error: &StoreError) {
        if let (StoreError::Full(_), Some(head)) = (error, &mut self.head) {
            head.disk_is_full = true;
        }
    }

    /// On a full disk, writes down what is durable, if nothing says so of much: the next start would have
    /// to copy that, and have no room for it. Should the power go before this is durable it is as if it had
    /// not been written.
    pub(super) fn state_on_full_disk(&mut self) {
        /// Of what is kept for copies. It holds as many copies of less, whatever deletes have left of it.
        const RESERVE_SHARE: u64 = 8;
        let Some(head) = self.head.as_ref().filter(|head| head.disk_is_full) else { return };
        let much = reserve_bytes(head.header.capacity) / RESERVE_SHARE;
        if head.synced == head.written && head.synced - head.stated > much {
            self.state();
        }
    }

    /// Whether more is durable than what says so, and there is room to say it: what is kept for
    /// deletes is not for that.
    pub(super) fn has_something_to_state(&self) -> bool {
        let mark = Item::mark().record_bytes();
        let unstated =
            |head: &Head<D::File>| head.synced == head.written && head.synced - head.stated > mark;
        self.in_doubt.is_none()
            && self.head.as_ref().is_some_and(unstated)
            && self.fits(mark, Room::Ordinary)
    }

    /// Writes down what is durable.
    pub(super) fn state(&mut self) {
        let mark = Item::mark();
        if self.fits(mark.record_bytes(), Room::Whole) {
            let mut batch = Batch::new();
            batch.push(mark);
            self.flush(&mut batch);
        }
    }

    /// Never writes to the head again: what its last sync was to cover may be on disk,
    /// may be only in memory, and no further sync would tell.
    pub(super) fn abandon(&mut self) {
        let Some(head) = self.head.take() else { return };
        let acknowledged = head.written > head.synced;
        if self.options.durability == Durability::EverySecond && acknowledged {
            debug_assert!(self.in_doubt.is_none(), "one doubt would be forgotten");
            self.in_doubt = Some(head);
            return;
        }
        // A segment without one durable record needn't stay, nor be fenced: on a disk
        // that fails every sync they would pile up.
        if head.synced == DATA_START
            && !head.inherited
            && self.disk.remove(&segment_name(head.header.number)).is_ok()
            && self.disk.sync_directory(SyncPoint::RemovedSegment).is_ok()
        {
            self.segments.remove(&head.header.number);
            self.sealed.retain(|sealed| sealed.number != head.header.number);
            self.fences.retain(|fence| fence.segment != head.header.number);
            return;
        }
        self.seal(&head);
    }

    /// Copies what a failed background sync has put in doubt. Until that is done,
    /// nothing may be acknowledged.
    pub(super) fn resolve_doubt(&mut self) -> Result<(), StoreError> {
        let Some(head) = &self.in_doubt else {
            return Ok(());
        };
        let number = head.header.number;
        let failed = |error| store_error(&segment_name(number), &error);
        let examined = examine(head.header, number, Arc::clone(&head.file), &[]).map_err(failed)?;
        if examined.tail_end() < head.written {
            return Err(StoreError::Fatal(format!(
                "{}: what was acknowledged in the last second can't be read back",
                segment_name(number)
            )));
        }
        self.settle(vec![examined], None)?;
        self.in_doubt = None;
        Ok(())
    }

    /// Does that when nobody waits for it. What was acknowledged is only in memory that the system
    /// may give up: with luck it is still there now, and a next write may never come.
    pub(super) fn settle_doubt(&mut self) {
        if let Err(error) = self.resolve_doubt() {
            tracing::error!(%error, "what was written in the last second is still not durable");
        }
    }
}

pub(super) fn unknown_outcome(error: &io::Error) -> StoreError {
    StoreError::Unavailable(format!("a write may or may not be durable: {error}"))
}
