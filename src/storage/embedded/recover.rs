//! Opening: reading the segments, and deciding for good what a crash left undecided.
//!
//! Behind the last point known to be synced, an object may be there because it was
//! acknowledged, or because the disk happened to keep it, or only because the system
//! still has in memory what it failed to write. Whatever of it we are going to show
//! must be there at every later start too, and what we are not going to show must
//! never come back. So what counts is copied, synced, and the originals are fenced off.

use super::chores::{SealedEnd, Spare, is_worth_cutting};
use super::disk::{Disk, DiskFile, SyncPoint, read_full, write_all};
use super::durable::Point;
use super::examine::{Examined, examine};
use super::format::{
    check_or_write_format, is_unfinished, segment_name, segment_number, store_error,
    unfinished_number, write_zeros,
};
use super::index::{Index, Place};
use super::record::{Beginning, DATA_START, FENCES_MAX, Fence, Kind, SegmentHeader};
use super::run::{Item, write_items};
use super::scan::Record;
use super::segments::{Head, Room, START_OBJECTS, Segment, Segments};
use super::{EmbeddedOptions, SEGMENT_BYTES_MIN};
use crate::storage::StoreError;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// A part of a segment that can't be read, though it was durable once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment's number.
    pub segment: u64,
    /// Offsets in its file; all of it if its header is lost.
    pub bytes: Range<u64>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = segment_name(self.segment);
        match self.bytes {
            Range { start: 0, .. } => write!(f, "{name} has no readable header"),
            Range { start, end: u64::MAX } => {
                write!(f, "{name} has been cut off at byte {start}, or the file behind it is gone")
            }
            Range { start, end } => write!(f, "{name} is unreadable from byte {start} to {end}"),
        }
    }
}

/// Segments, and the numbers in the names of files that count for nothing.
type Files<F> = (Vec<Examined<F>>, Vec<u64>);

impl<D: Disk> Segments<D> {
    /// Opens the directory, or begins a new one. Who calls must be its only user.
    ///
    /// Writes only where a crash has left something undecided; on a full disk that may
    /// answer `Full`. `Fatal`: the directory is not ours to use.
    pub fn open(disk: Arc<D>, options: EmbeddedOptions) -> Result<Self, StoreError> {
        let options = EmbeddedOptions {
            segment_bytes: options.segment_bytes.max(SEGMENT_BYTES_MIN).next_multiple_of(8),
            ..options
        };
        let names = disk.list().map_err(|error| store_error("the directory", &error))?;
        check_or_write_format(&*disk, &names)?;
        let mut opened = Self::unread(disk, options, &names);
        // What was being made when the process ended never counted.
        for name in names.iter().filter(|name| is_unfinished(name)) {
            let _ = opened.disk.remove(name);
        }
        let (examined, unfinished) = opened.examine_all(&names)?;
        // The power may bring back a dead segment that they were made of, whose deletes are gone then.
        for name in unfinished.iter().map(|&number| segment_name(number)) {
            match opened.disk.remove(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(store_error(&name, &error));
                }
                _ => {}
            }
        }
        opened.give_names(&examined)?;
        Self::write_lost_copies(&examined);
        // Whoever made the newest may have died, or failed, before its name was durable.
        if !examined.is_empty() || !unfinished.is_empty() {
            let failed = |error| store_error("the directory", &error);
            opened.disk.sync_directory(SyncPoint::NewSegmentDirectory).map_err(failed)?;
        }
        let examined = opened.set_spare_aside(examined);
        opened.replay(&examined);
        opened.decide(examined)?;
        if opened.head.is_none() && !matches!(opened.spare, Spare::Ready { .. }) {
            opened.prepare_first()?;
        }
        Ok(opened)
    }

    /// Reads the directory as a start would, and changes nothing in it: what a crash left
    /// undecided is told as the next start is going to decide it.
    pub(super) fn look_at(disk: Arc<D>) -> Result<Self, StoreError> {
        Self::look(disk, false)
    }

    /// The same while another process may be writing: what it has written up to some moment.
    /// Records go behind one another, so what is read is a state that a crash could have
    /// left; and it is durable when this returns, so it can't be lost any more.
    pub(super) fn look_beside(disk: Arc<D>) -> Result<Self, StoreError> {
        Self::look(disk, true)
    }

    fn look(disk: Arc<D>, beside: bool) -> Result<Self, StoreError> {
        let names = disk.list().map_err(|error| store_error("the directory", &error))?;
        let mut read = Self::unread(disk, EmbeddedOptions::default(), &names);
        let (examined, _) = read.examine_all(&names)?;
        for segment in examined.iter().filter(|segment| beside && !segment.sealed) {
            let failed = |error| store_error(&segment_name(segment.header.number), &error);
            segment.file.sync(SyncPoint::Batch).map_err(failed)?;
        }
        read.replay(&examined);
        // What nobody needs may have been left so by a crash that came while the next was made of it.
        let is_needed = |number: u64| read.segments.get(&number).is_some_and(|s| s.live > 0);
        let lost = |s: &&Examined<_>| s.lost_copy && is_needed(s.header.number);
        read.lost_copies = examined.iter().filter(lost).map(|segment| segment.named).collect();
        Ok(read)
    }

    fn unread(disk: Arc<D>, options: EmbeddedOptions, names: &[String]) -> Self {
        let numbers = names
            .iter()
            .filter_map(|name| segment_number(name).or_else(|| unfinished_number(name)));
        Self {
            disk,
            options,
            index: Arc::new(Index::new()),
            segments: BTreeMap::new(),
            head: None,
            spare: Spare::Wanted { batch_bytes: 0 },
            fences: Vec::new(),
            in_doubt: None,
            sealed: Vec::new(),
            cutting: false,
            start_objects_left: START_OBJECTS,
            next_number: numbers.max().map_or(1, |last| last + 1),
            largest: 0,
            removal_runs: false,
            removal_owed: false,
            keeps_dead: false,
            unsynced_names: Vec::new(),
            not_removed: false,
            looked_at: None,
            damage: Vec::new(),
            lost_copies: Vec::new(),
        }
    }

    /// Reads all segments, youngest first: each knows where the older ones end. The
    /// result is oldest first, and beside it are the names' numbers of those that were being made
    /// of dead ones' files.
    fn examine_all(&mut self, names: &[String]) -> Result<Files<D::File>, StoreError> {
        let numbers: BTreeSet<u64> = names.iter().filter_map(|n| segment_number(n)).collect();
        // All are opened before any is read: an open file stays, whoever removes its name.
        let mut files = Vec::new();
        for &number in &numbers {
            let failed = |error| store_error(&segment_name(number), &error);
            files.push((number, self.disk.open(&segment_name(number)).map_err(failed)?));
        }
        let (mut found, mut unfinished) = (BTreeMap::new(), Vec::new());
        for (named, file) in files {
            let failed = |error| store_error(&segment_name(named), &error);
            let mut start = vec![0; DATA_START as usize];
            let filled = read_full(&file, &mut start, 0).map_err(failed)?;
            let beginning = SegmentHeader::decode(&start[..filled]);
            let number = match beginning {
                Beginning::Lost => named,
                Beginning::Unfinished(number) => number,
                Beginning::Of { header, .. } => header.number,
            };
            self.next_number = self.next_number.max(number.saturating_add(1));
            match beginning {
                Beginning::Unfinished(_) => unfinished.push(named),
                // A file that was another segment's before may still have that one's name.
                Beginning::Of { header, lost_copy }
                    if number == named || (number > named && !numbers.contains(&number)) =>
                {
                    // A second one of that number is a copy that somebody has made.
                    if found.insert(number, (named, header, lost_copy, file)).is_some() {
                        self.report(named, 0..u64::MAX);
                    }
                }
                _ => self.report(named, 0..u64::MAX),
            }
        }
        let mut fences: Vec<Fence> = Vec::new();
        let mut examined = Vec::new();
        for (named, header, lost_copy, file) in found.into_values().rev() {
            let failed = |error| store_error(&segment_name(named), &error);
            let segment = examine(header, named, Arc::new(file), &fences).map_err(failed)?;
            let segment = Examined { lost_copy, ..segment };
            for range in &segment.damage {
                self.report(header.number, range.clone());
            }
            fences.extend_from_slice(&segment.fences);
            examined.push(segment);
        }
        examined.reverse();
        Ok((examined, unfinished))
    }

    /// Names each file by its segment's number. What still has the name of the segment that it was
    /// before may have been left with one copy of its header only, or with one that the system
    /// failed to write: before anything is written behind it both are durable.
    fn give_names(&self, examined: &[Examined<D::File>]) -> Result<(), StoreError> {
        for segment in examined.iter().filter(|segment| segment.named != segment.header.number) {
            let (from, to) = (segment_name(segment.named), segment_name(segment.header.number));
            write_header(segment)
                .and_then(|()| self.disk.rename(&from, &to))
                .map_err(|error| store_error(&from, &error))?;
        }
        Ok(())
    }

    /// Writes a copy of a header anew that has rotted: without both the segment is lost. Where that
    /// fails it stays as it is.
    fn write_lost_copies(examined: &[Examined<D::File>]) {
        // What still had another name has had both written.
        let is_old = |segment: &&Examined<D::File>| segment.named == segment.header.number;
        for segment in examined.iter().filter(is_old).filter(|segment| segment.lost_copy) {
            let name = segment_name(segment.named);
            match write_header(segment) {
                Ok(()) => tracing::warn!("{name}: a damaged copy of its header is written anew"),
                Err(error) => tracing::warn!(%error, "{name}: a copy of its header is damaged"),
            }
        }
    }

    fn report(&mut self, segment: u64, bytes: Range<u64>) {
        let damage = Damage { segment, bytes };
        tracing::error!("{damage}: acknowledged objects may be lost");
        self.damage.push(damage);
    }

    /// Takes the untouched segment behind the last written one as the spare, and
    /// removes other untouched ones: they must not be written out of order.
    fn set_spare_aside(&mut self, examined: Vec<Examined<D::File>>) -> Vec<Examined<D::File>> {
        let (untouched, written): (Vec<_>, Vec<_>) =
            examined.into_iter().partition(Examined::untouched);
        let last = written.last().map_or(0, |segment| segment.header.number);
        for segment in untouched {
            let header = segment.header;
            if header.number > last && !matches!(self.spare, Spare::Ready { .. }) {
                self.spare = Spare::Ready { header, file: segment.file };
            } else {
                let _ = self.disk.remove(&segment_name(header.number));
            }
        }
        written
    }

    /// Builds the index from all that counts; a later record wins over an earlier one.
    fn replay(&mut self, examined: &[Examined<D::File>]) {
        for segment in examined {
            let number = segment.header.number;
            let mut known = Segment::new(segment.length, &segment.file);
            known.end = segment.sealed.then_some(segment.decided_end);
            self.segments.insert(number, known);
            // Only what was never cut: a look beside the process before may still read what
            // is void since this one began.
            let whole = segment.length == segment.header.capacity;
            if segment.sealed && whole && is_worth_cutting(segment.length, segment.decided_end) {
                self.sealed.push(sealed_end(segment));
            }
            for record in segment.decided.iter().chain(&segment.tail) {
                let before = match record.head.kind {
                    Kind::Object => {
                        if let Some(segment) = self.segments.get_mut(&number) {
                            segment.live += 1;
                        }
                        self.index.insert(record.name(), place(segment, record))
                    }
                    Kind::Delete => self.index.remove(record.name()),
                    Kind::Fence | Kind::Mark => None,
                };
                if let Some(old) = before.and_then(|old| self.segments.get_mut(&old.segment)) {
                    old.live -= 1;
                }
            }
        }
    }

    /// Chooses the head and decides what is undecided.
    fn decide(&mut self, examined: Vec<Examined<D::File>>) -> Result<(), StoreError> {
        let mut undecided: Vec<_> = examined.into_iter().filter(|e| !e.sealed).collect();
        let last = self.segments.last_key_value().map(|(&number, _)| number);
        let Some(newest) = undecided.pop_if(|e| Some(e.header.number) == last) else {
            return self.settle(undecided, None);
        };
        let mut head = Head::new(newest.header, Arc::clone(&newest.file));
        head.synced = newest.decided_end;
        head.written = newest.decided_end;
        head.stated = newest.decided_end;
        head.inherited = true;
        if undecided.is_empty() && newest.clean() {
            // Behind the mark: should the next record be torn, that still says what is durable.
            head.position = newest.tail_end();
            self.head = Some(head);
            return Ok(());
        }
        head.position = newest.written_end;
        undecided.push(newest);
        self.settle(undecided, Some(head))
    }

    /// Copies what counts in the tails of these segments, and fences the tails off.
    /// The copies go behind the tail of `head` if they fit there, else into a new
    /// segment. Nothing is changed in the index before both are durable.
    pub(super) fn settle(
        &mut self,
        undecided: Vec<Examined<D::File>>,
        head: Option<Head<D::File>>,
    ) -> Result<(), StoreError> {
        if undecided.is_empty() {
            return Ok(());
        }
        debug_assert!(self.head.is_none(), "a head would be forgotten");
        let copies = self.copies(&undecided)?;
        let mut fences = self.fences_around(&undecided);
        let bytes: u64 = copies.iter().map(Item::record_bytes).sum();
        let bytes = bytes + fences.len() as u64 * Fence::RECORD_BYTES;
        let one_record = fences.len() <= FENCES_MAX;
        let head = head.map(|head| on_full_disk_in_reserve(head, bytes));
        self.head = head.filter(|h| one_record && h.position + bytes <= h.header.capacity);
        if let Some(head) = &self.head {
            // The head goes on behind its tail.
            let own = |fence: &&mut Fence| fence.segment == head.header.number && fence.seals();
            let own = fences.iter_mut().filter(own);
            own.for_each(|fence| fence.to = head.position);
        }
        let gap = self.begin_settled(bytes)?;
        // 1. The copies, durable: without them, fences would void the only ones.
        let bodies = self.write_settled(&copies, SyncPoint::SettleCopies)?;
        // 2. In a new segment: the copies count from now on, all of them at once. Some of
        //    them alone are a state that never was: an object that was deleted later is
        //    not copied, but what was deleted because of it would be gone.
        //    Should this fail nothing in the segment counts, so it says of nothing that it is
        //    decided.
        if let Some(gap) = gap {
            self.write_settled(&Item::fences(&[gap]), SyncPoint::SettleFences)?;
        }
        // 3. The fences, durable before anyone is shown anything. In a head that goes on
        //    they stand in one record: copies behind a torn tail count only with the
        //    fence around that tail, so without it no other original may be void. That
        //    record is also the first to say that all before it is decided.
        if let Some(head) = &mut self.head {
            head.synced = head.position;
        }
        self.write_settled(&Item::fences(&fences), SyncPoint::SettleFences)?;
        // 4. The originals may be forgotten.
        self.install(&copies, &bodies);
        let mut head_number = None;
        if let Some(head) = &mut self.head {
            head.written = head.position;
            head.synced = head.position;
            head_number = Some(head.header.number);
        }
        // They are cut behind their tails: who read a place before has it in the old one.
        let left = undecided.iter().filter(|segment| Some(segment.header.number) != head_number);
        self.sealed.extend(left.map(sealed_end));
        Ok(())
    }

    /// Begins a new segment for copies of so many bytes, if they need one: with a gap at its
    /// beginning, so that none of them counts before there is a fence around that.
    fn begin_settled(&mut self, bytes: u64) -> Result<Option<Fence>, StoreError> {
        /// Records stand at multiples of it.
        const GAP_BYTES: u64 = 8;
        if self.head.is_some() {
            return Ok(None);
        }
        self.roll(GAP_BYTES + bytes + Fence::RECORD_BYTES)?;
        Ok(self.head.as_mut().map(|head| {
            let from = head.position;
            head.position += GAP_BYTES;
            Fence { segment: head.header.number, from, to: head.position }
        }))
    }

    /// The records to be copied: objects that live in a tail, and deletes of what is
    /// gone.
    fn copies(&self, undecided: &[Examined<D::File>]) -> Result<Vec<Item>, StoreError> {
        let mut copies = Vec::new();
        for segment in undecided {
            let number = segment.header.number;
            let failed = |error| store_error(&segment_name(number), &error);
            for record in &segment.tail {
                let current = self.index.get(record.name());
                let body = match (record.head.kind, current) {
                    (Kind::Object, Some(place))
                        if place.segment == number && place.body_at == record.body_at() =>
                    {
                        // Read a moment ago; if it has changed since, that's the disk.
                        record.read_body(&*segment.file).map_err(failed)?.ok_or_else(|| {
                            StoreError::Unavailable(format!(
                                "{} changes while it is read",
                                record.name()
                            ))
                        })?
                    }
                    (Kind::Delete, None) => Vec::new(),
                    _ => continue,
                };
                copies.push(Item::new(
                    record.head.kind,
                    &record.head.name,
                    Bytes::from(body).into(),
                    None,
                ));
            }
        }
        Ok(copies)
    }

    /// A seal for each of these segments, and again every fence in them that stands
    /// where it may be lost.
    fn fences_around(&self, undecided: &[Examined<D::File>]) -> Vec<Fence> {
        let mut fences: Vec<Fence> = undecided
            .iter()
            .map(|segment| Fence {
                segment: segment.header.number,
                from: segment.decided_end,
                to: u64::MAX,
            })
            .collect();
        for fence in undecided.iter().flat_map(|segment| &segment.fences) {
            let known = self.segments.contains_key(&fence.segment);
            let said = |other: &Fence| {
                other == fence || (other.segment == fence.segment && other.seals() && fence.seals())
            };
            if known && !fences.iter().any(said) {
                fences.push(*fence);
            }
        }
        fences
    }

    /// Writes items and syncs them; says where their bodies are.
    fn write_settled(&mut self, items: &[Item], point: SyncPoint) -> Result<Vec<u64>, StoreError> {
        let Some(head) = &mut self.head else {
            return Err(StoreError::Unavailable("no segment to write to".to_owned()));
        };
        let written = write_items(&*head.file, head.target(), items)
            .map_err(|failure| failure.error)
            .and_then(|bodies| head.sync(point).map(|()| bodies));
        let inherited = head.inherited;
        head.stated = head.synced;
        head.position += items.iter().map(Item::record_bytes).sum::<u64>();
        head.batches += 1;
        written.map_err(|error| {
            // A head that was there before is left as it is, to be examined again.
            match inherited {
                true => self.head = None,
                false => self.abandon(),
            }
            store_error("deciding what a crash left", &error)
        })
    }
}

/// Where the disk has no room behind the tail of a head it goes on in the part that is kept for
/// such need. The fence around the tail reaches up to there.
fn on_full_disk_in_reserve<F: DiskFile>(mut head: Head<F>, bytes: u64) -> Head<F> {
    let end = (head.position + bytes).min(head.header.capacity);
    // Nothing that counts is there: zeros, nothing, or what another segment's file held.
    let written = write_zeros(&*head.file, head.position.min(end)..end);
    let failed = written.map_err(|error| store_error("room for what a crash left", &error));
    if matches!(failed, Err(StoreError::Full(_))) {
        head.position = head.position.max(head.limit(Room::Ordinary));
    }
    head
}

/// Of a segment whose seal is durable.
fn sealed_end<F>(segment: &Examined<F>) -> SealedEnd<F> {
    SealedEnd {
        number: segment.header.number,
        file: Arc::clone(&segment.file),
        end: segment.tail_end(),
        seal: Some(Point::default()),
    }
}

fn place<F>(segment: &Examined<F>, record: &Record) -> Place<F> {
    Place {
        segment: segment.header.number,
        file: Arc::clone(&segment.file),
        body_at: record.body_at(),
        body_bytes: record.head.body_bytes,
    }
}

/// Writes both copies of a segment's header, durably.
fn write_header<F: DiskFile>(segment: &Examined<F>) -> io::Result<()> {
    write_all(&*segment.file, &segment.header.encode(), 0).map_err(|failure| failure.error)?;
    segment.file.sync(SyncPoint::NewSegmentFile)
}
