//! Work that needs no place in the commit path: [`Segments`] hands it out, anyone runs
//! it against the disk, and the result is handed back.

use super::disk::{Disk, DiskFile, SyncPoint};
use super::format::{make_segment, segment_name, store_error};
use super::record::{DATA_START, Fence, SegmentHeader};
use super::segments::{Point, Segments};
use super::{Durability, format::reserve_bytes};
use crate::storage::StoreError;
use std::io;
use std::sync::Arc;

/// A piece of work on the disk.
#[derive(Debug)]
pub struct Chore<F>(Work<F>);

#[derive(Debug)]
enum Work<F> {
    /// Make the next segment.
    Prepare { header: SegmentHeader, fill: bool },
    /// Remove a segment in which nothing lives.
    Remove { number: u64 },
    /// Give back what lies behind the end of a sealed segment.
    Cut(SealedEnd<F>),
    /// Make durable what a segment holds before `through`.
    Sync { number: u64, file: Arc<F>, through: u64 },
}

/// What became of a [`Chore`].
#[derive(Debug)]
pub struct Finished<F>(Outcome<F>);

#[derive(Debug)]
enum Outcome<F> {
    Prepared(SegmentHeader, io::Result<F>),
    Removed(u64, io::Result<()>),
    Cut(u64, u64, io::Result<()>),
    Synced(u64, u64, io::Result<()>),
}

impl<F> Finished<F> {
    /// Whether the work succeeded.
    pub fn is_ok(&self) -> bool {
        match &self.0 {
            Outcome::Prepared(_, result) => result.is_ok(),
            Outcome::Removed(_, result)
            | Outcome::Cut(_, _, result)
            | Outcome::Synced(_, _, result) => result.is_ok(),
        }
    }
}

impl<F: DiskFile> Chore<F> {
    /// Whether it makes room, and needs none.
    pub(super) fn gives_back(&self) -> bool {
        matches!(self.0, Work::Remove { .. } | Work::Cut(_))
    }

    /// Does the work. Takes as long as the disk does.
    pub fn run<D: Disk<File = F>>(self, disk: &D) -> Finished<F> {
        Finished(match self.0 {
            Work::Prepare { header, fill } => {
                Outcome::Prepared(header, make_segment(disk, header, fill))
            }
            Work::Remove { number } => Outcome::Removed(number, remove_segment(disk, number)),
            // Not synced: if a crash takes it back, there is again what counts for nothing.
            Work::Cut(SealedEnd { number, file, end, .. }) => {
                Outcome::Cut(number, end, file.set_length(end))
            }
            Work::Sync { number, file, through } => {
                Outcome::Synced(number, through, file.sync(SyncPoint::Batch))
            }
        })
    }
}

/// Removes a segment and makes sure that it stays removed: younger ones hold the deletes
/// of what was in it, and may be removed next.
fn remove_segment<D: Disk>(disk: &D, number: u64) -> io::Result<()> {
    match disk.remove(&segment_name(number)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    disk.sync_directory(SyncPoint::RemovedSegment)
}

/// A segment that is written no more, and where it ends.
#[derive(Debug)]
pub(super) struct SealedEnd<F> {
    pub(super) number: u64,
    pub(super) file: Arc<F>,
    pub(super) end: u64,
    /// Behind the seal that says so, once that is written.
    pub(super) seal: Option<Point>,
}

/// The segment after the head.
#[derive(Debug)]
pub(super) enum Spare<F> {
    /// There is none and nobody makes one.
    Wanted { fill: bool },
    /// It is being made.
    Preparing,
    /// It is there, durable and empty.
    Ready { header: SegmentHeader, file: Arc<F> },
    /// It couldn't be made; not tried again before the head needs it.
    Failed,
}

impl<D: Disk> Segments<D> {
    /// The next piece of work that should be done, if any. Each is handed out once and
    /// must come back through [`Self::finish_chore`].
    pub fn take_chore(&mut self) -> Option<Chore<D::File>> {
        if let Spare::Wanted { fill } = self.spare {
            let capacity = self.next_capacity();
            let header = self.new_header(capacity);
            self.spare = Spare::Preparing;
            return Some(Chore(Work::Prepare { header, fill }));
        }
        self.take_removal().or_else(|| self.take_cut())
    }

    fn take_removal(&mut self) -> Option<Chore<D::File>> {
        // Only the oldest: the deletes and fences in a segment are needed as long as
        // there are older ones.
        let (&number, segment) = self.segments.first_key_value()?;
        let is_head = self.head.as_ref().is_some_and(|h| h.header.number == number);
        // Fences that wait to be written hold back nothing: what they are about was never
        // acknowledged, and so killed no object. On a full disk they wait for this. But what
        // killed the last object must not be lost: then that object would be the one to keep.
        let dead = segment.live == 0 && self.is_durable(segment.dead_since);
        if !dead || is_head || self.removing.is_some() {
            return None;
        }
        self.removing = Some(number);
        self.removal_runs = true;
        Some(Chore(Work::Remove { number }))
    }

    /// A sealed segment needs nothing behind its end: not its reserve, nor the room in which
    /// the next object didn't fit. Only when the seal is durable, though: a start that doesn't
    /// find it takes the segment for damaged.
    fn take_cut(&mut self) -> Option<Chore<D::File>> {
        if self.cutting {
            // One by one: a start on an old directory has many, and other chores wait behind.
            return None;
        }
        let durable = |sealed: &SealedEnd<_>| sealed.seal.is_some_and(|at| self.is_durable(at));
        let next = self.sealed.iter().position(durable)?;
        self.cutting = true;
        Some(Chore(Work::Cut(self.sealed.swap_remove(next))))
    }

    /// With [`Durability::EverySecond`], the sync that is due each second.
    pub fn take_sync(&mut self) -> Option<Chore<D::File>> {
        let head = self.head.as_ref()?;
        if self.options.durability == Durability::Always || head.written == head.synced {
            return None;
        }
        Some(Chore(Work::Sync {
            number: head.header.number,
            file: Arc::clone(&head.file),
            through: head.written,
        }))
    }

    /// A segment has been begun while several were to be removed: the next one that is removed
    /// stands for it. Until then whoever writes should wait, or a slow disk would never catch
    /// up. Where removals fail, or none is under way, there is nothing to wait for.
    pub fn awaits_removal(&self) -> bool {
        self.removal_owed && self.removal_runs
    }

    /// Whether more segments are dead than can be on their way.
    pub(super) fn removals_lag(&self) -> bool {
        const DEAD_MAX: usize = 2;
        self.segments.values().take_while(|segment| segment.live == 0).nth(DEAD_MAX).is_some()
    }

    /// Takes the result of a chore.
    pub fn finish_chore(&mut self, finished: Finished<D::File>) {
        if let Outcome::Removed(..) = finished.0 {
            self.removal_runs = false;
            self.removal_owed = false;
        }
        match finished.0 {
            Outcome::Prepared(header, result) => self.prepared(header, result),
            Outcome::Removed(number, Ok(())) => {
                self.segments.remove(&number);
                // An open file would keep its space.
                self.sealed.retain(|sealed| sealed.number != number);
                self.removing = None;
                // Now another is the oldest, and no write may come to look after it.
                if self.in_doubt.is_none() {
                    self.move_last_objects();
                }
            }
            Outcome::Removed(number, Err(error)) => {
                tracing::warn!(segment = number, %error, "a dead segment can't be removed");
            }
            Outcome::Cut(number, end, Ok(())) => {
                self.cutting = false;
                if let Some(segment) = self.segments.get_mut(&number) {
                    segment.bytes = end;
                }
            }
            // It is as good as it was; the next start tries again.
            Outcome::Cut(number, _, Err(error)) => {
                self.cutting = false;
                tracing::warn!(segment = number, %error, "a segment can't be cut at its end");
            }
            Outcome::Synced(number, through, result) => self.synced(number, through, result),
        }
    }

    fn prepared(&mut self, header: SegmentHeader, result: io::Result<D::File>) {
        self.spare = match result {
            Ok(file) => Spare::Ready { header, file: Arc::new(file) },
            Err(error) => {
                tracing::warn!(%error, "the next segment can't be prepared");
                Spare::Failed
            }
        };
        self.drop_passed_spare(true);
    }

    fn synced(&mut self, number: u64, through: u64, result: io::Result<()>) {
        let head = self.head.as_mut().filter(|h| h.header.number == number);
        match (result, head) {
            (Ok(()), Some(head)) => head.synced = head.synced.max(through),
            (Ok(()), None) => {}
            (Err(error), head) => {
                tracing::error!(segment = number, %error, "what was written in the last second may not be durable");
                if head.is_some() {
                    self.abandon();
                }
            }
        }
    }

    /// Gives up a spare that is older than the head: segments are written in the order
    /// of their numbers.
    pub(super) fn drop_passed_spare(&mut self, fill: bool) {
        let head = self.next_written();
        match &self.spare {
            Spare::Ready { header, .. } if header.number < head => {
                // It is empty: should it come back, the next start removes it.
                let _ = self.disk.remove(&segment_name(header.number));
                self.spare = Spare::Wanted { fill };
            }
            _ => {}
        }
    }

    /// The least number a segment may have to come after all written ones.
    fn next_written(&self) -> u64 {
        self.segments.last_key_value().map_or(0, |(&last, _)| last + 1)
    }

    /// Takes the prepared segment if records up to `least` fit in.
    pub(super) fn take_spare(&mut self, least: u64) -> Option<(SegmentHeader, Arc<D::File>)> {
        match &self.spare {
            Spare::Ready { header, .. }
                if header.capacity.saturating_sub(reserve_bytes(header.capacity)) >= least => {}
            _ => return None,
        }
        match std::mem::replace(&mut self.spare, Spare::Failed) {
            Spare::Ready { header, file } => Some((header, file)),
            _ => None,
        }
    }

    /// How large the next segment should be. Space comes back a whole segment at a time, and
    /// some are never full of what lives: they must be small beside all that there is.
    pub(super) fn next_capacity(&self) -> u64 {
        const SHARE: u64 = 32;
        let most = self.options.segment_bytes;
        // Their last 1/64 is kept for deletes on a full disk: of smaller ones that is too little.
        const LEAST: u64 = 64 << 10;
        let least = (most / SHARE).max(LEAST).min(most);
        let there: u64 = self.segments.values().map(|segment| segment.bytes).sum();
        // A record that doesn't fit needs a segment made on the spot, while writers wait.
        let room = DATA_START + self.largest + Fence::RECORD_BYTES;
        let room = room + reserve_bytes(room) + reserve_bytes(0);
        (there / SHARE).max(room).clamp(least, most).next_multiple_of(8)
    }

    /// Makes the first segment of a new directory, so that it is filled at once.
    pub(super) fn prepare_first(&mut self) -> Result<(), StoreError> {
        let capacity = self.next_capacity();
        let header = self.new_header(capacity);
        match make_segment(&*self.disk, header, true) {
            Ok(file) => {
                self.prepared(header, Ok(file));
                Ok(())
            }
            Err(error) => match store_error("the first segment", &error) {
                // Creates will say so; reading and deleting work.
                StoreError::Full(_) => Ok(()),
                error => Err(error),
            },
        }
    }
}
