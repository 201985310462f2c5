//! Work that needs no place in the commit path: [`Segments`] hands it out, anyone runs
//! it against the disk, and the result is handed back.

use super::disk::{Disk, DiskFile, SyncPoint};
use super::durable::{Point, Syncs};
use super::format::{
    Filling, blank_name, finish_segment, make_segment, reserve_bytes, segment_name, store_error,
};
use super::record::{DATA_START, Fence, SegmentHeader};
use super::segments::Segments;
use crate::storage::StoreError;
use std::io;
use std::sync::Arc;

/// Batches of at least this size on average go into segments that are not filled with
/// zeros first: see the measurements in the module's essay.
const FILL_BATCH_BYTES_MAX: u64 = 512 << 10;

/// So many files of dead segments are kept for the next ones: a step of compaction leaves
/// several at once.
const BLANKS_MAX: usize = 2;

/// A piece of work on the disk.
#[derive(Debug)]
pub struct Chore<F>(Work<F>);

#[derive(Debug)]
enum Work<F> {
    /// Make the next segment, of a blank if there is one.
    Prepare { header: SegmentHeader, filling: Filling, blank: Option<Blank<F>> },
    /// Remove a segment in which nothing lives, or make a blank of it.
    Remove { number: u64, keep: bool },
    /// Give back what lies behind the end of a sealed segment.
    Cut(SealedEnd<F>),
    /// Make durable what a segment holds before `through`.
    Sync { number: u64, file: Arc<F>, syncs: Arc<Syncs>, through: u64 },
}

/// What became of a [`Chore`].
#[derive(Debug)]
pub struct Finished<F>(Outcome<F>);

#[derive(Debug)]
enum Outcome<F> {
    Prepared(SegmentHeader, io::Result<F>),
    Removed(u64, io::Result<Option<Blank<F>>>),
    Cut(u64, u64, io::Result<()>),
    Synced(u64, u64, io::Result<()>),
}

impl<F> Finished<F> {
    /// Whether the work succeeded.
    pub fn is_ok(&self) -> bool {
        match &self.0 {
            Outcome::Prepared(_, result) => result.is_ok(),
            Outcome::Removed(_, result) => result.is_ok(),
            Outcome::Cut(_, _, result) | Outcome::Synced(_, _, result) => result.is_ok(),
        }
    }
}

impl<F: DiskFile> Chore<F> {
    pub(super) fn sync(number: u64, file: Arc<F>, syncs: Arc<Syncs>, through: u64) -> Self {
        Self(Work::Sync { number, file, syncs, through })
    }

    /// Whether it makes room, and needs none.
    pub(super) fn gives_back(&self) -> bool {
        matches!(self.0, Work::Remove { .. } | Work::Cut(_))
    }

    /// Does the work. Takes as long as the disk does.
    pub fn run<D: Disk<File = F>>(self, disk: &D) -> Finished<F> {
        Finished(match self.0 {
            Work::Prepare { header, filling, blank } => {
                Outcome::Prepared(header, make_on(disk, header, filling, blank))
            }
            Work::Remove { number, keep } => {
                Outcome::Removed(number, remove_segment(disk, number, keep))
            }
            // Not synced: if a crash takes it back, there is again what counts for nothing.
            Work::Cut(SealedEnd { number, file, end, .. }) => {
                Outcome::Cut(number, end, file.set_length(end))
            }
            Work::Sync { number, file, syncs, through } => {
                Outcome::Synced(number, through, syncs.sync(&*file, SyncPoint::Batch))
            }
        })
    }
}

/// Removes a segment and makes sure that it stays removed: younger ones hold the deletes
/// of what was in it, and may be removed next. With `keep` its file stays, as a blank, unless
/// another process may be reading it.
fn remove_segment<D: Disk>(
    disk: &D,
    number: u64,
    keep: bool,
) -> io::Result<Option<Blank<D::File>>> {
    let (name, blank) = (segment_name(number), blank_name(number));
    let unless_gone = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    };
    let kept = keep.then(|| disk.reuse(&name, &blank)).transpose().unwrap_or_else(|error| {
        // To remove it needs neither a descriptor nor a lock.
        tracing::debug!(segment = number, %error, "a dead segment's file can't be used again");
        let _ = disk.remove(&blank);
        None
    });
    let kept = kept.flatten();
    if kept.is_none() {
        disk.remove(&name).or_else(unless_gone)?;
    }
    let kept = kept.map(|file| Blank { name: blank, file });
    match disk.sync_directory(SyncPoint::RemovedSegment) {
        Ok(()) => Ok(kept),
        Err(error) => {
            // It is as it is with one that has no file any more: the sync is tried again.
            kept.into_iter().for_each(|blank| blank.discard(disk));
            Err(error)
        }
    }
}

/// The file of a dead segment, to be made the next one: what was written in it doesn't have
/// to be filled with zeros, and nothing has to be given back and taken again. Its bytes are
/// no records any more, since the next segment's salt is another.
#[derive(Debug)]
pub(super) struct Blank<F> {
    name: String,
    file: F,
}

/// Makes an empty segment of a blank, or of nothing.
pub(super) fn make_on<D: Disk>(
    disk: &D,
    header: SegmentHeader,
    filling: Filling,
    blank: Option<Blank<D::File>>,
) -> io::Result<D::File> {
    match blank {
        Some(Blank { name, file }) => finish_segment(disk, header, filling, &name, file),
        None => make_segment(disk, header, filling),
    }
}

impl<F: DiskFile> Blank<F> {
    /// Gives its space back. Should that fail, the next start does it.
    pub(super) fn discard<D: Disk<File = F>>(self, disk: &D) {
        let _ = disk.remove(&self.name);
    }
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

/// Whether what lies behind the end is worth giving back: the system works at that, and where
/// another segment is made of the file it has to be filled again.
pub(super) fn is_worth_cutting(capacity: u64, end: u64) -> bool {
    const SHARE: u64 = 32;
    capacity - end.min(capacity) > capacity / SHARE
}

/// The segment after the head.
#[derive(Debug)]
pub(super) enum Spare<F> {
    /// There is none and nobody makes one. So large were the batches of the last segment, in
    /// bytes and on average.
    Wanted { batch_bytes: u64 },
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
        if let Spare::Wanted { batch_bytes } = self.spare {
            return Some(self.take_preparation(batch_bytes));
        }
        self.take_removal().or_else(|| self.take_cut())
    }

    fn take_preparation(&mut self, batch_bytes: u64) -> Chore<D::File> {
        let filling = match batch_bytes < FILL_BATCH_BYTES_MAX {
            true => Filling::Whole,
            false => Filling::Reserve,
        };
        self.keeps_blanks = batch_bytes >= self.options.reuse_batch_bytes_min;
        let capacity = self.next_capacity();
        let header = self.new_header(capacity);
        self.spare = Spare::Preparing;
        Chore(Work::Prepare { header, filling, blank: self.blanks.pop() })
    }

    fn take_removal(&mut self) -> Option<Chore<D::File>> {
        let number = self.removable()?;
        self.removal_runs = true;
        // It goes, so it need not be cut.
        self.sealed.retain(|sealed| sealed.number != number);
        let capacity = self.next_capacity();
        let keep = self.keeps_blanks
            && self.blanks.len() < BLANKS_MAX
            && self.segments.get(&number).is_some_and(|segment| segment.makes_blank(capacity));
        Some(Chore(Work::Remove { number, keep }))
    }

    /// The oldest segment, if it can go.
    fn removable(&self) -> Option<u64> {
        // Only the oldest: the deletes and fences in a segment are needed as long as
        // there are older ones.
        let (&number, segment) = self.segments.first_key_value()?;
        let is_head = self.newest().is_some_and(|head| head.header.number == number);
        // Fences that wait to be written hold back nothing: what they are about was never
        // acknowledged, and so killed no object. On a full disk they wait for this. But what
        // killed the last object must not be lost: then that object would be the one to keep.
        let dead = segment.live == 0 && self.is_durable(segment.dead_since);
        let goes = dead && !is_head && !self.removal_runs && !self.not_removed;
        goes.then_some(number)
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
        match finished.0 {
            Outcome::Prepared(header, result) => self.prepared(header, result),
            Outcome::Removed(number, result) => self.removed(number, result),
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

    fn removed(&mut self, number: u64, result: io::Result<Option<Blank<D::File>>>) {
        self.removal_runs = false;
        self.removal_owed = false;
        match result {
            Ok(blank) => {
                self.blanks.extend(blank);
                self.segments.remove(&number);
                // An open file would keep its space.
                self.sealed.retain(|sealed| sealed.number != number);
                // Now another is the oldest, and no write may come to look after it.
                if self.in_doubt.is_none() {
                    self.move_last_objects();
                }
            }
            Err(error) => {
                self.not_removed = true;
                tracing::warn!(segment = number, %error, "a dead segment can't be removed");
            }
        }
    }

    fn prepared(&mut self, header: SegmentHeader, result: io::Result<D::File>) {
        self.spare = match result {
            Ok(file) => Spare::Ready { header, file: Arc::new(file) },
            Err(error) => {
                tracing::warn!(%error, "the next segment can't be prepared");
                self.note_full(&store_error("the next segment", &error));
                Spare::Failed
            }
        };
        self.drop_passed_spare();
        self.state_on_full_disk();
    }

    /// Gives up a spare that is older than the head: segments are written in the order
    /// of their numbers.
    pub(super) fn drop_passed_spare(&mut self) {
        let head = self.next_written();
        match &self.spare {
            Spare::Ready { header, .. } if header.number < head => {
                // It is empty: should it come back, the next start removes it.
                let _ = self.disk.remove(&segment_name(header.number));
                self.spare = Spare::Wanted { batch_bytes: 0 };
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
        match make_segment(&*self.disk, header, Filling::Whole) {
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
