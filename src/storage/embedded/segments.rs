//! The core: batches of writes in, answers out. No threads, no clock, no randomness;
//! what may be done beside it (making the next segment, removing a dead one) it hands
//! out as a [`Chore`](super::chores::Chore).

use super::chores::{SealedEnd, Spare, is_worth_cutting};
use super::disk::{Disk, DiskFile, SyncPoint, write_all};
use super::durable::{Point, Syncs, unknown_outcome};
use super::format::{reserve_bytes, store_error};
use super::index::{Index, Place};
use super::record::{DATA_START, Fence, Kind, NAME_BYTES_MAX, SegmentHeader, record_bytes};
use super::recover::Damage;
use super::run::{Batch, Item, Target, write_items};
use super::{Durability, EmbeddedOptions, OBJECT_BYTES_MAX};
use crate::rope::Rope;
use crate::storage::StoreError;
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Weak};

/// Something to be written.
#[derive(Debug, Clone)]
pub enum Write {
    /// A new object.
    Create {
        /// Its name.
        name: String,
        /// Its bytes.
        body: Rope,
    },
    /// Objects to be gone.
    Delete {
        /// Their names; one that isn't there is no error.
        names: Vec<String>,
    },
}

impl Write {
    /// How many bytes of objects it adds to a segment, with their headers.
    pub fn record_bytes(&self) -> u64 {
        match self {
            Self::Create { name, body } => record_bytes(name.len(), body.len() as u64),
            Self::Delete { .. } => 0,
        }
    }
}

/// What became of a [`Write`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// The object is there with these bytes.
    Created,
    /// The name was taken.
    AlreadyExists,
    /// The names are free of objects.
    Deleted,
}

/// A segment that holds records.
#[derive(Debug)]
pub(super) struct Segment<F> {
    /// How many objects in it are in the index.
    pub(super) live: u64,
    /// Its length in bytes.
    pub(super) bytes: u64,
    /// Where its records end, once a seal says so.
    pub(super) end: Option<u64>,
    /// Where the record stands that killed the last of them.
    pub(super) dead_since: Point,
    /// Who reads in it holds its file.
    pub(super) file: Weak<F>,
}

impl<F> Segment<F> {
    pub(super) fn new(bytes: u64, file: &Arc<F>) -> Self {
        let dead_since = Point::default();
        Self { live: 0, bytes, end: None, dead_since, file: Arc::downgrade(file) }
    }
}

/// The segment that is written to.
#[derive(Debug)]
pub(super) struct Head<F> {
    pub(super) header: SegmentHeader,
    pub(super) file: Arc<F>,
    pub(super) syncs: Arc<Syncs>,
    /// Where the next record goes.
    pub(super) position: u64,
    /// Where the last record that was written ends: `position`, unless that has been
    /// moved to the reserve.
    pub(super) written: u64,
    /// All before this is durable, or void.
    pub(super) synced: u64,
    /// As far as a record in it says so: what stands behind is undecided for the next start.
    pub(super) stated: u64,
    /// There is no room for another segment, as was found since this one began.
    pub(super) disk_is_full: bool,
    /// How many batches went into it.
    pub(super) batches: u64,
    /// Whether it held records when the store was opened.
    pub(super) inherited: bool,
}

impl<F: DiskFile> Head<F> {
    pub(super) fn new(header: SegmentHeader, file: Arc<F>) -> Self {
        Self {
            header,
            file,
            syncs: Arc::default(),
            position: DATA_START,
            written: DATA_START,
            synced: DATA_START,
            stated: DATA_START,
            disk_is_full: false,
            batches: 0,
            inherited: false,
        }
    }

    pub(super) fn sync(&self, point: SyncPoint) -> io::Result<()> {
        self.syncs.sync(&*self.file, point)
    }

    /// Where the next records go. Nothing ever stands behind them.
    pub(super) fn target(&self) -> Target {
        Target {
            salt: self.header.salt,
            at: self.position,
            synced_through: self.synced,
            free_through: self.header.capacity,
        }
    }

    /// Where records must end that may go so far.
    pub(super) fn limit(&self, room: Room) -> u64 {
        let reserve = reserve_bytes(self.header.capacity);
        match room {
            Room::Ordinary => self.header.capacity - reserve,
            Room::Start => self.header.capacity - reserve / 2,
            Room::Whole => self.header.capacity,
        }
    }
}

/// Up to where in a segment a record may go: its end is kept for what must be possible on a full
/// disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Room {
    /// Objects.
    Ordinary,
    /// The small objects without which a start serves nobody, reads neither.
    Start,
    /// Deletes, which make room, and what they need.
    Whole,
}

/// How many objects a start creates before it serves, at the most: its entry, the seal of the log
/// before, the first group of its own; one more, should a start before have died.
pub(super) const START_OBJECTS: usize = 4;

/// What each of them takes at the most, in bytes: names and a header.
const START_OBJECT_BYTES_MAX: u64 = 1 << 10;

/// Segment files and the index over them. See the [module's essay](super).
#[derive(Debug)]
pub struct Segments<D: Disk> {
    pub(super) disk: Arc<D>,
    pub(super) options: EmbeddedOptions,
    pub(super) index: Arc<Index<D::File>>,
    /// Every segment with records, the head too.
    pub(super) segments: BTreeMap<u64, Segment<D::File>>,
    pub(super) head: Option<Head<D::File>>,
    pub(super) spare: Spare<D::File>,
    /// Fences to be written before anything else; their ranges may still hold records
    /// that would count at the next start.
    pub(super) fences: Vec<Fence>,
    /// A segment with acknowledged records that a failed sync has put in doubt
    /// ([`Durability::EverySecond`]): nothing is acknowledged until they are copied.
    pub(super) in_doubt: Option<Head<D::File>>,
    /// Segments to be cut at their ends, as soon as their seals are durable.
    pub(super) sealed: Vec<SealedEnd<D::File>>,
    /// Whether one of them is being cut.
    pub(super) cutting: bool,
    /// How many creates a start may still have to do.
    pub(super) start_objects_left: usize,
    pub(super) next_number: u64,
    /// The largest record of late, in bytes: the next segment should have room for such.
    pub(super) largest: u64,
    /// Whether a removal is under way.
    pub(super) removal_runs: bool,
    /// A segment was begun that one has to go for, since removals lag behind.
    pub(super) removal_owed: bool,
    /// Whether dead segments are kept for the next ones.
    pub(super) keeps_dead: bool,
    /// Segments whose files were those of dead ones, and may still have their names after a
    /// crash.
    pub(super) unsynced_names: Vec<u64>,
    /// Whether a removal has failed. It is tried again when a new segment is wanted.
    pub(super) not_removed: bool,
    /// The oldest segment and what lived in it when it was last seen that it has to stay.
    pub(super) looked_at: Option<(u64, u64)>,
    pub(super) damage: Vec<Damage>,
    /// Of headers of segments that are needed, by the numbers in the files' names.
    pub(super) lost_copies: Vec<u64>,
}

impl<D: Disk> Segments<D> {
    /// Writes a batch and answers each of its writes, in their order.
    ///
    /// With [`Durability::Always`] the answers are given after a sync. Errors: `Full`
    /// and `Rejected` were certainly not written; of `Unavailable` nobody knows until
    /// the same name is created again or the store is opened again.
    pub fn commit(&mut self, writes: Vec<Write>) -> Vec<Result<Done, StoreError>> {
        if let Err(error) = self.resolve_doubt() {
            return writes.iter().map(|_| Err(error.clone())).collect();
        }
        let mut batch = Batch::new();
        for write in writes {
            match write {
                Write::Create { name, body } => self.stage_create(&mut batch, name, body),
                Write::Delete { names } => self.stage_delete(&mut batch, &names),
            }
        }
        self.flush(&mut batch);
        self.move_last_objects();
        self.state_on_full_disk();
        batch.answers
    }

    /// Reads part of an object: as [`Store::read`](crate::storage::Store::read).
    pub fn read(&self, name: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        let place = self.index.get(name).ok_or(StoreError::NotFound)?;
        place.read(name, offset, length)
    }

    /// Lists names: as [`Store::list`](crate::storage::Store::list).
    pub fn list(&self, prefix: &str, after: &str, limit: usize) -> Vec<String> {
        self.index.list(prefix, after, limit)
    }

    /// What was found unreadable when the store was opened: acknowledged objects may
    /// be missing from these places.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Notes in the segment that all of it is durable, so that the next start has
    /// nothing to check, unless it is made of a dead one's file. Call it last; losing it loses
    /// nothing.
    pub fn close(&mut self) {
        if self.sync_head().is_err() || self.in_doubt.is_some() {
            self.settle_doubt();
        }
        if !self.fences.is_empty() {
            return;
        }
        let Some(head) = &self.head else { return };
        let mark = Item::mark();
        let fits = head.position + mark.record_bytes() <= head.header.capacity;
        if fits && head.synced > head.stated {
            let _ = write_items(&*head.file, head.target(), &[mark]);
        }
    }

    fn stage_create(&mut self, batch: &mut Batch, name: String, body: Rope) {
        let answer = batch.answers.len();
        batch.answers.push(Ok(Done::Created));
        if let Err(error) = check_create(&name, &body) {
            batch.fail(answer, &error);
            return;
        }
        let staged = batch.changed.get(&name).copied();
        if staged.unwrap_or_else(|| self.index.contains(&name)) {
            batch.answers[answer] = Ok(Done::AlreadyExists);
            if staged.is_some() {
                batch.dependent.push(answer);
            }
            return;
        }
        let mut item = Item::new(Kind::Object, name.as_bytes(), body, Some(answer));
        if self.start_objects_left > 0 {
            self.start_objects_left -= 1;
            item.for_start = item.record_bytes() <= START_OBJECT_BYTES_MAX;
        }
        match self.make_room(batch, item.record_bytes(), item.room()) {
            Ok(()) => batch.push(item),
            Err(error) => batch.fail(answer, &error),
        }
    }

    fn stage_delete(&mut self, batch: &mut Batch, names: &[String]) {
        let answer = batch.answers.len();
        batch.answers.push(Ok(Done::Deleted));
        for name in names {
            let staged = batch.changed.get(name).copied();
            if !staged.unwrap_or_else(|| self.index.contains(name)) {
                if staged.is_some() {
                    // Gone once the delete before us in this run is durable.
                    batch.dependent.push(answer);
                }
                continue;
            }
            let item = Item::new(Kind::Delete, name.as_bytes(), Rope::default(), Some(answer));
            match self.make_room(batch, item.record_bytes(), Room::Whole) {
                Ok(()) => batch.push(item),
                Err(error) => batch.fail(answer, &error),
            }
        }
        // A name may be missing only because its create failed with an unknown outcome:
        // "it is gone" is true once the fence around that create is durable.
        if !self.fences.is_empty() || self.in_doubt.is_some() {
            match self.make_room(batch, 0, Room::Whole) {
                Ok(()) => batch.dependent.push(answer),
                Err(error) => batch.fail(answer, &error),
            }
        }
    }

    /// Sees to it that `more` bytes fit behind what is staged, in a new segment if
    /// need be; then what was staged has been written before.
    pub(super) fn make_room(
        &mut self,
        batch: &mut Batch,
        more: u64,
        room: Room,
    ) -> Result<(), StoreError> {
        if self.fits(batch.bytes + more, room) {
            return Ok(());
        }
        self.flush(batch);
        if self.fits(more, room) {
            return Ok(());
        }
        if let Some(error) = &batch.no_segment {
            return Err(error.clone());
        }
        let rolled = match self.in_doubt {
            // What was acknowledged comes first: the next segment is for its copies.
            Some(_) => Err(StoreError::Unavailable("what was written is in doubt".to_owned())),
            None => self.roll(more),
        };
        rolled.inspect_err(|error| {
            self.note_full(error);
            batch.no_segment = Some(error.clone());
        })
    }

    pub(super) fn fits(&self, bytes: u64, room: Room) -> bool {
        let bytes = bytes + self.fences.len() as u64 * Fence::RECORD_BYTES;
        self.head.as_ref().is_some_and(|head| head.position + bytes <= head.limit(room))
    }

    /// Goes on in the next segment, which can take `more` bytes. On an error the old
    /// one stays the head: smaller records may still fit.
    pub(super) fn roll(&mut self, more: u64) -> Result<(), StoreError> {
        // 1. All of the old segment is durable: its seal is going to say so.
        self.sync_head()?;
        // What couldn't be removed or moved may go now, and its space is needed.
        self.not_removed = false;
        self.looked_at = None;
        // 2. The next one is there, and durable.
        let fences = (self.fences.len() as u64 + 1) * Fence::RECORD_BYTES;
        let next = self.next_head(more + fences)?;
        // 3. The seal is the first thing in it, in one sync with what follows.
        let segment = Segment::new(next.header.capacity, &next.file);
        self.segments.insert(next.header.number, segment);
        self.removal_owed = self.removals_lag();
        self.largest /= 2;
        if let Some(old) = self.head.replace(next) {
            self.seal(&old);
        }
        self.drop_passed_spare();
        Ok(())
    }

    /// Declares all void that stands behind a segment's synced part.
    pub(super) fn seal(&mut self, head: &Head<D::File>) {
        let segment = head.header.number;
        if is_worth_cutting(head.header.capacity, head.synced) {
            let file = Arc::clone(&head.file);
            self.sealed.push(SealedEnd { number: segment, file, end: head.synced, seal: None });
        }
        // Fences inside of it that aren't written yet lie in that range.
        self.fences.retain(|fence| fence.segment != segment);
        self.fences.push(Fence { segment, from: head.synced, to: u64::MAX });
    }

    /// The prepared segment if it is large enough, or one made on the spot.
    fn next_head(&mut self, more: u64) -> Result<Head<D::File>, StoreError> {
        let batch_bytes = self.head.as_ref().map_or(0, |head| head.position / head.batches.max(1));
        if let Some((header, file)) = self.take_spare(DATA_START + more) {
            self.spare = Spare::Wanted { batch_bytes };
            return Ok(Head::new(header, file));
        }
        let least = DATA_START + more;
        let least = least + reserve_bytes(least) + reserve_bytes(0);
        let capacity = self.next_capacity().max(least.next_multiple_of(8));
        let mut made = self.make_next(capacity);
        if made.is_err() && self.not_removed {
            // A dead one was of no use, and can't be removed either: without it, then.
            made = self.make_next(capacity);
        }
        let (header, made) = made.map_err(|error| store_error("a new segment", &error))?;
        if !matches!(self.spare, Spare::Ready { .. } | Spare::Preparing { .. }) {
            self.spare = Spare::Wanted { batch_bytes };
        }
        Ok(Head::new(header, Arc::new(made)))
    }

    /// Draws the next segment's number and salt.
    pub(super) fn new_header(&mut self, capacity: u64) -> SegmentHeader {
        let number = self.next_number;
        self.next_number += 1;
        debug_assert!(capacity.is_multiple_of(8), "records stand at multiples of 8");
        SegmentHeader { number, salt: mix(self.options.entropy, number), capacity }
    }

    /// Writes and syncs what is staged, and takes it into the index.
    pub(super) fn flush(&mut self, batch: &mut Batch) {
        let (mut items, mut dependent) = batch.take_run();
        if items.is_empty() && dependent.is_empty() {
            return;
        }
        let mut result = self.write_run(&items);
        if let Err(error @ StoreError::Full(_)) = &result {
            // Deletes make room, so there is some kept for them, and for fences that one of a
            // name that isn't there waits for; and for the little that a start writes.
            for item in items.iter().filter(|item| item.room() == Room::Ordinary) {
                item.answer.iter().for_each(|&answer| batch.fail(answer, error));
            }
            items.retain(|item| item.room() != Room::Ordinary);
            dependent.retain(|&answer| {
                let deleted = batch.answers[answer] == Ok(Done::Deleted);
                if !deleted {
                    batch.fail(answer, error);
                }
                deleted
            });
            let bytes = items.iter().map(Item::record_bytes).sum();
            let some = !items.is_empty() || !dependent.is_empty();
            let room = items.iter().map(Item::room).min().unwrap_or(Room::Whole);
            // More than it holds would stand behind the end of the segment, where no start looks.
            if some && self.skip_to_reserve() && self.fits(bytes, room) {
                result = self.write_run(&items);
            }
        }
        if let Err(error) = result {
            let answers = items.iter().filter_map(|item| item.answer);
            answers.chain(dependent).for_each(|answer| batch.fail(answer, &error));
        }
    }

    /// Writes the pending fences and these items, syncs, and takes them into the index.
    fn write_run(&mut self, items: &[Item]) -> Result<(), StoreError> {
        let Some(head) = &mut self.head else {
            return Err(StoreError::Unavailable("no segment to write to".to_owned()));
        };
        let mut run = Cow::Borrowed(items);
        if !self.fences.is_empty() {
            run = [&Item::fences(&self.fences), items].concat().into();
        }
        let fences = run.len() - items.len();
        let bytes: u64 = run.iter().map(Item::record_bytes).sum();
        let largest = run.iter().map(Item::record_bytes).max();
        self.largest = self.largest.max(largest.unwrap_or(0));

        let bodies = match write_items(&*head.file, head.target(), &run) {
            Ok(bodies) => bodies,
            Err(failure) => return Err(self.write_failed(failure.written, &failure.error)),
        };
        if self.options.durability == Durability::Always
            && let Err(error) = head.sync(SyncPoint::Batch)
        {
            self.abandon();
            return Err(unknown_outcome(&error));
        }
        head.stated = head.synced;
        head.position += bytes;
        head.written = head.position;
        head.batches += 1;
        if self.options.durability == Durability::Always {
            head.synced = head.written;
        }
        let here = Point { segment: head.header.number, position: head.written };
        for seal in self.fences.drain(..).filter(Fence::seals) {
            if let Some(segment) = self.segments.get_mut(&seal.segment) {
                segment.end = Some(seal.from);
                // Without its seal a start would take for damage what is done to it then.
                segment.dead_since = here;
            }
        }
        for sealed in &mut self.sealed {
            sealed.seal.get_or_insert(here);
        }
        self.install(items, &bodies[fences..]);
        Ok(())
    }

    /// Takes written records into the index.
    pub(super) fn install(&mut self, items: &[Item], bodies: &[u64]) {
        let Some(head) = &self.head else { return };
        let segment = head.header.number;
        let here = Point { segment, position: head.written };
        for (item, &body_at) in items.iter().zip(bodies) {
            let before = match item.kind {
                Kind::Object => {
                    let place = Place {
                        segment,
                        file: Arc::clone(&head.file),
                        body_at,
                        body_bytes: item.body.len() as u64,
                    };
                    if let Some(segment) = self.segments.get_mut(&segment) {
                        segment.live += 1;
                    }
                    self.index.insert(item.name(), place)
                }
                Kind::Delete => self.index.remove(item.name()),
                Kind::Fence | Kind::Mark => None,
            };
            if let Some(segment) = before.and_then(|old| self.segments.get_mut(&old.segment)) {
                segment.live -= 1;
                segment.dead_since = here;
            }
        }
    }

    /// A write ended early, `written` bytes into the run and the rest of its last page.
    fn write_failed(&mut self, written: u64, error: &io::Error) -> StoreError {
        let failure = store_error("writing a segment", error);
        if !matches!(failure, StoreError::Full(_)) {
            self.abandon();
            return unknown_outcome(error);
        }
        // "Full" says "was not written". What was, goes: or it would count at the next
        // start, or continue behind a shorter run that is written over its beginning.
        if written > 0
            && let Err(error) = self.scrub(written)
        {
            self.abandon();
            return unknown_outcome(&error);
        }
        self.note_full(&failure);
        failure
    }

    fn scrub(&self, bytes: u64) -> io::Result<()> {
        let Some(head) = &self.head else {
            return Ok(());
        };
        let zeros = vec![0; bytes as usize];
        write_all(&*head.file, &zeros, head.position).map_err(|failure| failure.error)?;
        head.sync(SyncPoint::Scrub)
    }

    /// Moves the head's position to the part that is kept for deletes; false if it is
    /// there already.
    fn skip_to_reserve(&mut self) -> bool {
        let Some(head) = &mut self.head else {
            return false;
        };
        let reserve = head.limit(Room::Ordinary);
        if head.position >= reserve {
            return false;
        }
        self.fences.push(Fence { segment: head.header.number, from: head.position, to: reserve });
        head.position = reserve;
        true
    }
}

fn check_create(name: &str, body: &Rope) -> Result<(), StoreError> {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'/');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(allowed) {
        return Err(StoreError::Rejected(format!(
            "the name {name:?} is not 1 to {NAME_BYTES_MAX} of the bytes a-z 0-9 /"
        )));
    }
    if body.len() as u64 > OBJECT_BYTES_MAX {
        return Err(StoreError::Rejected(format!(
            "{name} has {} bytes; the most is {OBJECT_BYTES_MAX}",
            body.len()
        )));
    }
    Ok(())
}

/// A salt per segment: one step of splitmix64.
fn mix(entropy: u64, number: u64) -> u64 {
    let mut mixed = entropy.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
