//! Work that needs no place in the commit path: [`Segments`] hands it out, anyone runs
//! it against the disk, and the result is handed back.

use super::disk::{Disk, DiskFile, SyncPoint};
use super::durable::{Point, Syncs};
use super::format::{
    Filling, fills_behind, make_of_dead, make_segment, reserve_bytes, segment_name, store_error,
};
use super::record::{DATA_START, Fence, SegmentHeader};
use super::segments::{Room, Segment, Segments};
use crate::storage::StoreError;
use std::io;
use std::sync::Arc;

/// Batches of at least this size on average go into segments that are not filled with
/// zeros first: see the measurements in the module's essay.
const FILL_BATCH_BYTES_MAX: u64 = 512 << 10;

/// To fill so much with zeros takes about as long as the syncs of a new file.
const QUICKLY_FILLED_BYTES_MAX: u64 = 4 << 20;

/// So many dead segments are kept for the next ones: a step of compaction leaves several at
/// once.
const DEAD_KEPT_MAX: usize = 2;

/// A piece of work on the disk.
#[derive(Debug)]
pub struct Chore<F>(Work<F>);

#[derive(Debug)]
enum Work<F> {
    /// Make the next segment, of a dead one if there is one.
    Prepare { header: SegmentHeader, filling: Filling, dead: Option<Dead> },
    /// Remove a segment in which nothing lives.
    Remove { number: u64 },
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
    Prepared(SegmentHeader, io::Result<F>, Option<Gone>),
    Removed(u64, io::Result<()>),
    Cut(u64, u64, io::Result<()>),
    Synced(u64, u64, io::Result<()>),
}

impl<F> Finished<F> {
    /// Whether the work succeeded.
    pub fn is_ok(&self) -> bool {
        match &self.0 {
            Outcome::Prepared(_, result, _) => result.is_ok(),
            Outcome::Removed(_, result)
            | Outcome::Cut(_, _, result)
            | Outcome::Synced(_, _, result) => result.is_ok(),
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
            Work::Prepare { header, filling, dead } => {
                let (made, gone) = make_of(disk, header, filling, dead);
                Outcome::Prepared(header, made, gone)
            }
            Work::Remove { number } => Outcome::Removed(number, remove_segment(disk, number)),
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
/// of what was in it, and may be removed next.
fn remove_segment<D: Disk>(disk: &D, number: u64) -> io::Result<()> {
    match disk.remove(&segment_name(number)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => disk.sync_directory(SyncPoint::RemovedSegment),
    }
}

/// A dead segment whose file is to become the next one's. What was written in that doesn't have
/// to be filled with zeros, and nothing has to be given back and taken again. Its bytes are
/// no records any more, since the next segment's salt is another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dead {
    number: u64,
    /// How many names of such files to make durable before, this one's among them.
    unsynced_names: usize,
}

/// What became of a dead segment: it is gone, or it may be there again after a crash.
#[derive(Debug)]
pub(super) struct Gone {
    dead: Dead,
    removed: io::Result<()>,
}

impl<F> Segment<F> {
    /// The capacity of a segment that is made of its file, where one of about so much is wanted.
    /// `None`: somebody reads it, or another file is better.
    pub(super) fn capacity_of_next(&self, wanted: u64) -> Option<u64> {
        let end = self.end.filter(|_| self.file.strong_count() == 0)?;
        let most = (wanted + wanted / 4) & !7;
        // As it is, if it can be: to change its length is work for the file system.
        let capacity = self.bytes.clamp(wanted, most);
        let room = (end + reserve_bytes(end) + reserve_bytes(0)).next_multiple_of(8);
        let capacity = capacity.max(room.min(most));
        (self.bytes >= wanted / 2 && fills_behind(end, capacity)).then_some(capacity)
    }
}

/// Makes an empty segment of a dead one, or of nothing.
fn make_of<D: Disk>(
    disk: &D,
    header: SegmentHeader,
    filling: Filling,
    dead: Option<Dead>,
) -> (io::Result<D::File>, Option<Gone>) {
    let Some(dead) = dead else { return (make_segment(disk, header, filling), None) };
    // Its name may be that of the one before: then a crash could show it under both.
    let named = match dead.unsynced_names {
        0 => Ok(()),
        _ => disk.sync_directory(SyncPoint::NewSegmentDirectory),
    };
    let made = named.and_then(|()| make_of_dead(disk, header, filling, dead.number));
    if let Ok(Some(file)) = made {
        return (Ok(file), Some(Gone { dead, removed: Ok(()) }));
    }
    if let Err(error) = &made {
        // What can be done without it is done: who opens a file needs a descriptor, and a lock.
        tracing::debug!(segment = dead.number, %error, "a dead segment's file can't be used again");
    }
    let removed = remove_segment(disk, dead.number);
    let made = match (made, &removed) {
        (Err(error), Err(_)) => Err(error),
        _ => make_segment(disk, header, filling),
    };
    (made, Some(Gone { dead, removed }))
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
    Preparing {
        capacity: u64,
        /// That takes no longer than to make another one on the spot, or little longer.
        is_quick: bool,
    },
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
        self.keeps_dead = batch_bytes >= self.options.reuse_batch_bytes_min;
        let (header, dead) = self.plan_next(self.next_capacity());
        let is_quick = dead.is_some()
            || filling == Filling::Reserve
            || header.capacity <= QUICKLY_FILLED_BYTES_MAX;
        self.spare = Spare::Preparing { capacity: header.capacity, is_quick };
        Chore(Work::Prepare { header, filling, dead })
    }

    /// Makes a segment on the spot.
    pub(super) fn make_next(&mut self, capacity: u64) -> io::Result<(SegmentHeader, D::File)> {
        let (header, dead) = self.plan_next(capacity);
        let (made, gone) = make_of(&*self.disk, header, Filling::Reserve, dead);
        gone.into_iter().for_each(|gone| self.note_gone(gone, header.number));
        made.map(|made| (header, made))
    }

    /// The next segment, of about that capacity, and what it is to be made of.
    fn plan_next(&mut self, capacity: u64) -> (SegmentHeader, Option<Dead>) {
        let oldest = self.removable();
        let of_use = oldest.and_then(|number| Some((number, self.of_use(number, capacity)?)));
        let Some((number, capacity)) = of_use else { return (self.new_header(capacity), None) };
        self.removal_runs = true;
        let is_named = !self.unsynced_names.contains(&number);
        let unsynced_names = if is_named { 0 } else { self.unsynced_names.len() };
        (self.new_header(capacity), Some(Dead { number, unsynced_names }))
    }

    fn take_removal(&mut self) -> Option<Chore<D::File>> {
        let number = self.removable()?;
        // Where there is no room, or none is being used, it is not kept.
        let is_full = self.head.as_ref().is_some_and(|head| head.disk_is_full);
        let keeps = !is_full && !matches!(self.spare, Spare::Failed);
        let is_of_use = self.of_use(number, self.next_capacity()).is_some();
        if keeps && is_of_use && self.dead() <= DEAD_KEPT_MAX {
            return None;
        }
        self.removal_runs = true;
        Some(Chore(Work::Remove { number }))
    }

    /// The capacity of the next segment, if it should be made of a dead one: about as large as is
    /// wanted.
    fn of_use(&self, number: u64, capacity: u64) -> Option<u64> {
        let segment = self.segments.get(&number).filter(|_| self.keeps_dead)?;
        segment.capacity_of_next(capacity)
    }

    /// How many segments are dead and have only dead ones before them.
    fn dead(&self) -> usize {
        self.segments.values().take_while(|segment| segment.live == 0).count()
    }

    /// The oldest segment, if it can go.
    fn removable(&mut self) -> Option<u64> {
        // Only the oldest: the deletes and fences in a segment are needed as long as
        // there are older ones.
        let (&number, segment) = self.segments.first_key_value()?;
        let is_head = self.newest().is_some_and(|head| head.header.number == number);
        // Fences that wait to be written hold back nothing: what they are about was never
        // acknowledged, and so killed no object. On a full disk they wait for this. But what
        // killed the last object must not be lost: then that object would be the one to keep.
        let dead = segment.live == 0 && self.is_durable(segment.dead_since);
        let goes = dead && !is_head && !self.removal_runs && !self.not_removed;
        let number = goes.then_some(number)?;
        // So it need not be cut.
        self.sealed.retain(|sealed| sealed.number != number);
        Some(number)
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

    /// The next segment is under way and soon there, and records of objects, of so many bytes
    /// together and each, don't fit without it, but with it. To make another one on the
    /// spot would take about as long, and the one that comes late would be of no use.
    pub fn awaits_next(&self, bytes: u64, largest: u64) -> bool {
        let Spare::Preparing { capacity, is_quick: true } = self.spare else { return false };
        let least = DATA_START + Fence::RECORD_BYTES * (self.fences.len() as u64 + 1) + largest;
        let holds = least + reserve_bytes(capacity) <= capacity;
        holds && bytes > 0 && !self.fits(bytes, Room::Ordinary)
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
        let kept = if self.keeps_dead { DEAD_KEPT_MAX } else { 0 };
        self.dead() > DEAD_MAX + kept
    }

    /// Takes the result of a chore.
    pub fn finish_chore(&mut self, finished: Finished<D::File>) {
        match finished.0 {
            Outcome::Prepared(header, result, gone) => {
                let oldest_is_gone = gone.is_some();
                gone.into_iter().for_each(|gone| self.note_gone(gone, header.number));
                self.prepared(header, result);
                if oldest_is_gone {
                    self.look_for_last_objects();
                }
            }
            Outcome::Removed(number, result) => {
                self.removed(number, result);
                self.look_for_last_objects();
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

    /// Takes note of what became of a dead segment of which `next` was to be made.
    fn note_gone(&mut self, gone: Gone, next: u64) {
        let Gone { dead, removed } = gone;
        if removed.is_ok() {
            self.unsynced_names.drain(..dead.unsynced_names);
            self.unsynced_names.push(next);
        }
        self.removed(dead.number, removed);
    }

    fn removed(&mut self, number: u64, result: io::Result<()>) {
        self.removal_runs = false;
        self.removal_owed = false;
        match result {
            Ok(()) => {
                self.segments.remove(&number);
                self.unsynced_names.retain(|&other| other != number);
                // An open file would keep its space.
                self.sealed.retain(|sealed| sealed.number != number);
            }
            Err(error) => {
                self.not_removed = true;
                tracing::warn!(segment = number, %error, "a dead segment can't be removed");
            }
        }
    }

    /// Another segment is the oldest, and no write may come to look after it.
    fn look_for_last_objects(&mut self) {
        if self.in_doubt.is_none() {
            self.move_last_objects();
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
                // Nothing has been written in it: should it come back, the next start removes it, or
                // finds nothing that counts.
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

#[cfg(test)]
mod tests {
    use super::super::format::fills_behind;
    use super::super::segments::Segment;
    use std::sync::Arc;

    /// Records stand at multiples of 8, from the end of the segment, too.
    #[test]
    fn what_is_made_of_a_dead_segment_has_room_behind_its_end_and_ends_at_a_multiple_of_8() {
        let mut of_use = 0;
        for wanted in (8_192..20_000).step_by(8 * 61) {
            for bytes in (4_096..30_000).step_by(8 * 67) {
                for end in (4_096..=bytes).step_by(8 * 71) {
                    let mut segment = Segment::new(bytes, &Arc::new(()));
                    segment.end = Some(end);
                    let Some(capacity) = segment.capacity_of_next(wanted) else { continue };
                    of_use += 1;
                    assert!(capacity.is_multiple_of(8), "{wanted} of {bytes}, end {end}");
                    assert!((wanted..=wanted / 4 * 5).contains(&capacity));
                    assert!(fills_behind(end, capacity) && bytes >= wanted / 2);
                }
            }
        }
        assert!(of_use > 1_000);
    }

    #[test]
    fn what_somebody_reads_or_no_seal_ends_is_not_used_again() {
        let file = Arc::new(());
        let mut segment = Segment::new(10_000, &file);
        segment.end = Some(5_000);
        assert_eq!(segment.capacity_of_next(10_000), None);
        drop(file);
        assert_eq!(segment.capacity_of_next(10_000), Some(10_000));
        segment.end = None;
        assert_eq!(segment.capacity_of_next(10_000), None);
    }
}
