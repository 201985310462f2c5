//! Values that are in the store: which of them are in memory, too.
//!
//! Small values live in the index. What is too large for a group's directory stays in
//! memory until its group is acknowledged; then the index only says where it is, and the
//! value goes to a cache of so many bytes. Whoever needs one that is not there fetches it
//! ([`Engine::fetch`](super::super::Engine::fetch)) and lends it to the state while his
//! command runs again: the cache may be too small to keep it until then.

use super::super::blob::Blob;
use super::super::body::Body;
use super::super::index::EntryId;
use super::super::version::{ObjectId, StoredValue, Value};
use super::Core;
use crate::layout::{BlobName, CommitId, ObjectName};
use crate::small_bytes::SmallBytes;
use foldhash::fast::FixedState;
use quick_cache::unsync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// A place names one value for ever: nothing in the store is overwritten.
type Key = StoredValue;

/// What an entry of the cache takes beside the value: its key, its node, the hash table.
const OVERHEAD_BYTES: u64 = 64;

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<Key, Body> for Bytes {
    fn weight(&self, _: &Key, value: &Body) -> u64 {
        // Of one in pieces that may be more than it is long.
        value.held_bytes() as u64 + OVERHEAD_BYTES
    }
}

type ValueCache = Cache<Key, Body, Bytes, FixedState, DefaultLifecycle<Key, Body>>;

type ByPlace = HashMap<Key, SmallBytes, FixedState>;

/// All of them; a table that is small is used again.
fn take_all(values: &mut ByPlace) -> Vec<Fetched> {
    const KEPT_CAPACITY_MAX: usize = 64;
    if values.is_empty() {
        return Vec::new();
    }
    let fetched = values.drain().map(|(place, value)| Fetched::Value(place, value)).collect();
    if values.capacity() > KEPT_CAPACITY_MAX {
        values.shrink_to(KEPT_CAPACITY_MAX);
    }
    fetched
}

/// What a command needs of the store before it can go on.
#[derive(Debug, Clone)]
pub enum Missing {
    /// A value is to be read.
    Value {
        /// The key, for messages.
        key: SmallBytes,
        /// Where it is.
        place: StoredValue,
        /// The store was asked whether it has it at hand, and has not.
        was_tried: bool,
    },
    /// A large value is to be written before the command puts it.
    Blob {
        /// The value.
        value: Body,
    },
}

impl Missing {
    /// Where the value is that is to be read.
    pub fn place(&self) -> Option<&StoredValue> {
        match self {
            Self::Value { place, .. } => Some(place),
            Self::Blob { .. } => None,
        }
    }
}

/// What was missing.
#[derive(Debug, Clone)]
pub enum Fetched {
    /// A value that was found at a place.
    Value(StoredValue, SmallBytes),
    /// A blob that holds a value.
    Blob(Arc<Blob>, Body),
}

impl Fetched {
    /// Where the value was read from.
    pub fn place(&self) -> Option<&StoredValue> {
        match self {
            Self::Value(place, _) => Some(place),
            Self::Blob(..) => None,
        }
    }

    /// How long the value is, in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Value(_, value) => value.len(),
            Self::Blob(_, value) => value.len(),
        }
    }
}

/// Where in the store a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Located {
    /// In an object, from so many bytes on.
    In(ObjectName, u64),
    /// In objects of its own.
    Blob(BlobName),
}

/// A value of a group under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    pub(super) slot: u8,
    pub(super) id: EntryId,
    pub(super) commit: CommitId,
    pub(super) offset: u32,
    pub(super) length: u32,
    pub(super) crc: u32,
}

/// One byte of the cache in so many is for notes of what has lately been in it: whoever is asked
/// for again while there is a note stays longer. Values of a KiB have then nearly as many notes as
/// there are values. With few, what is asked for in turn after other things never gets in.
const NOTES_SHARE: u64 = 16;
/// A node without a value and its place in the hash table, and some of what these have to spare.
const NOTE_BYTES: u64 = 80;

/// How many notes a cache of so many bytes has.
fn notes(cache_bytes: u64) -> usize {
    (cache_bytes / NOTES_SHARE / NOTE_BYTES) as usize
}

/// Values in memory that are in the store.
#[derive(Debug)]
pub(super) struct Values {
    cache: ValueCache,
    /// Of the cache, with its notes.
    bytes: u64,
    /// The most it has been since it was made: its tables stay as large as they have been.
    most_bytes: u64,
    /// How many notes it may have now.
    notes: usize,
    hash_seed: u64,
    /// There may be as many as a command has keys.
    lent: ByPlace,
    /// Values for commands behind it.
    ahead: ByPlace,
    /// What the command may put.
    lent_blobs: VecDeque<(Arc<Blob>, Body)>,
}

impl Values {
    pub(super) fn new(cache_bytes: u64, hash_seed: u64) -> Self {
        let none = || HashMap::with_hasher(FixedState::with_seed(hash_seed));
        Self {
            cache: Self::cache(cache_bytes, hash_seed),
            bytes: cache_bytes,
            most_bytes: cache_bytes,
            notes: notes(cache_bytes),
            hash_seed,
            lent: none(),
            ahead: none(),
            lent_blobs: VecDeque::new(),
        }
    }

    /// One with nothing in it.
    fn cache(bytes: u64, hash_seed: u64) -> ValueCache {
        let options = OptionsBuilder::new()
            // Only the number of notes follows from it: the tables grow from nothing.
            .estimated_items_capacity(notes(bytes))
            .ghost_allocation(1.0)
            .weight_capacity(bytes - bytes / NOTES_SHARE)
            .build()
            .unwrap_or_else(|_| unreachable!("both capacities are given"));
        let hasher = FixedState::with_seed(hash_seed);
        Cache::with_options(options, Bytes, hasher, DefaultLifecycle::default())
    }

    fn lent(&self, place: &Key) -> Option<&SmallBytes> {
        self.lent.get(place).or_else(|| self.ahead.get(place))
    }

    pub(super) fn keep(&mut self, place: &StoredValue, value: Body) {
        self.cache.insert(*place, value);
    }

    pub(super) fn has_lent_blobs(&self) -> bool {
        !self.lent_blobs.is_empty()
    }

    pub(super) fn capacity(&self) -> u64 {
        self.bytes
    }

    pub(super) fn set_capacity(&mut self, bytes: u64) {
        if self.bytes == bytes {
            return;
        }
        let before = self.cache.capacity();
        self.bytes = bytes;
        self.cache.set_capacity(bytes - bytes / NOTES_SHARE);
        // It changes the number of its notes by the same factor, and rounds down: where there have
        // been none there are none.
        let factor = self.cache.capacity() as f64 / before.max(1) as f64;
        self.notes = (self.notes as f64 * factor) as usize;
        self.most_bytes = self.most_bytes.max(bytes);
        if self.notes < notes(bytes) / 2 || bytes < self.most_bytes / 2 {
            self.make_anew();
        }
    }

    /// With all its values, all its notes to come and tables of the size that is needed.
    fn make_anew(&mut self) {
        let old = std::mem::replace(&mut self.cache, Self::cache(self.bytes, self.hash_seed));
        old.iter().for_each(|(place, value)| self.cache.insert(*place, value.clone()));
        self.notes = notes(self.bytes);
        self.most_bytes = self.bytes;
    }

    /// A value in one piece for who moves it, which is no use of it: the cache keeps what is read.
    pub(super) fn peek(&self, place: &StoredValue) -> Option<bytes::Bytes> {
        match self.cache.peek(place)? {
            Body::Whole(value) => Some(value.to_bytes()),
            Body::InPieces(_) => None,
        }
    }

    /// Nobody can see a value any more: its room is for others.
    pub(super) fn drop(&mut self, place: &StoredValue) {
        self.cache.remove(place);
    }

    /// A value moves to another place.
    pub(super) fn moved(&mut self, from: &StoredValue, to: &StoredValue) {
        if let Some((_, value)) = self.cache.remove(from) {
            self.keep(to, value);
        }
    }
}

impl Core {
    /// A stored value, if it is in memory.
    #[inline]
    pub fn value_at(&self, place: &StoredValue) -> Option<Value> {
        let cached = self.values.cache.get(place).and_then(|cached| match cached {
            Body::Whole(value) => Some(value),
            Body::InPieces(_) => None,
        });
        cached.or_else(|| self.values.lent(place)).cloned().map(Value::String)
    }

    /// The same, for who needs it in one piece no more than it is.
    pub fn body_at(&self, place: &StoredValue) -> Option<Body> {
        let lent = || self.values.lent(place).cloned().map(Body::Whole);
        self.values.cache.get(place).cloned().or_else(lent)
    }

    /// For who reads all of it: brings a value together that is in memory in pieces, or lets go of the pieces of one that
    /// would be there twice meanwhile: it is read back then.
    pub fn join(&mut self, place: &StoredValue) -> Option<Value> {
        /// Whoever reads may hold so much for a moment, in bytes.
        const JOINED_BYTES_MAX: usize = 64 << 20;
        let body = self.values.cache.get(place)?.clone();
        self.values.drop(place);
        if body.len() > JOINED_BYTES_MAX {
            return None;
        }
        let value = body.to_whole();
        self.keep(place, value.clone().into());
        Some(Value::String(value))
    }

    /// Keeps a value for whoever asks next, as far as there is room.
    fn keep(&mut self, place: &StoredValue, value: Body) {
        if self.locate(place).is_some() {
            self.fit_cache();
            self.values.keep(place, value);
        }
    }

    /// These are there whatever the cache does, until [`Core::take_back`].
    pub fn lend(&mut self, fetched: Vec<Fetched>) {
        for fetched in fetched {
            match fetched {
                Fetched::Value(place, value) => {
                    self.values.lent.insert(place, value);
                }
                Fetched::Blob(blob, value) => self.values.lent_blobs.push_back((blob, value)),
            }
        }
    }

    /// One of the values that were lent with their blobs.
    pub fn lent_value(&self, is_it: impl Fn(&Body) -> bool) -> Option<Body> {
        let mut lent = self.values.lent_blobs.iter().map(|(_, value)| value);
        lent.find(|value| is_it(value)).cloned()
    }

    /// A blob that was lent for this value. It is the command's then: nobody else may put it.
    pub(super) fn take_lent_blob(&mut self, value: &Body) -> Option<Arc<Blob>> {
        // They come in the order in which the command has asked for them.
        let lent = &mut self.values.lent_blobs;
        let at = lent.iter().position(|(_, lent)| lent.is_same(value))?;
        let (blob, value) = lent.remove(at)?;
        if value.may_stay() {
            self.keep(&blob.place(), value);
        }
        Some(blob)
    }

    /// It could not be put yet.
    pub(super) fn give_blob_back(&mut self, blob: Arc<Blob>, value: Body) {
        self.values.lent_blobs.push_back((blob, value));
    }

    /// Ends [`Core::lend`]: the command has run, and whoever asks next may find them. Not
    /// before, or they push out what the command has found in the cache, and it misses that.
    #[inline]
    pub fn keep_lent(&mut self) {
        if self.is_lent() {
            self.keep_all_lent();
        }
    }

    fn is_lent(&self) -> bool {
        !self.values.lent.is_empty() || self.values.has_lent_blobs()
    }

    /// A blob that the command has not put after all is let go of.
    fn keep_all_lent(&mut self) {
        for lent in self.take_back() {
            if let Fetched::Value(place, value) = lent {
                self.keep(&place, value.into());
            }
        }
    }

    /// Ends [`Core::lend`] of a command that has to run again.
    pub fn take_back(&mut self) -> Vec<Fetched> {
        if !self.is_lent() {
            return Vec::new();
        }
        let mut lent = take_all(&mut self.values.lent);
        let blobs = self.values.lent_blobs.drain(..);
        lent.extend(blobs.map(|(blob, value)| Fetched::Blob(blob, value)));
        lent
    }

    /// Lends what commands behind this one will read, until [`Core::take_ahead`].
    #[inline]
    pub fn lend_ahead(&mut self, fetched: Vec<Fetched>) {
        for fetched in fetched {
            if let Fetched::Value(place, value) = fetched {
                self.values.ahead.insert(place, value);
            }
        }
    }

    /// How many are lent that way.
    pub fn lent_ahead(&self) -> usize {
        self.values.ahead.len()
    }

    /// Those commands have run: others may find the values.
    #[inline]
    pub fn keep_ahead(&mut self) {
        for fetched in self.take_ahead() {
            if let Fetched::Value(place, value) = fetched {
                self.keep(&place, value.into());
            }
        }
    }

    /// Ends [`Core::lend_ahead`] for now.
    #[inline]
    pub fn take_ahead(&mut self) -> Vec<Fetched> {
        take_all(&mut self.values.ahead)
    }

    /// What the cache takes, in bytes.
    pub fn cached_bytes(&self) -> u64 {
        self.values.cache.weight()
    }

    /// How many values are cached.
    pub fn cached_values(&self) -> usize {
        self.values.cache.len()
    }

    /// Where a value is; `None` if the object is gone: then the index has the value's new place.
    pub fn locate(&self, place: &StoredValue) -> Option<Located> {
        if let Some(held) = self.ledger.get(place.object) {
            return Some(Located::In(held.name, held.values_offset + u64::from(place.offset)));
        }
        self.ledger.blobs().get(place.object).map(Located::Blob)
    }

    /// A group is in the store: its large values are found there from now on.
    pub(super) fn store_values(&mut self, object: ObjectId, placed: &[Placed]) {
        self.fit_cache();
        for &Placed { slot, id, commit, offset, length, crc } in placed {
            let place = StoredValue { object, offset, length, crc };
            let db = &mut self.databases[usize::from(slot)];
            if let Some(Value::String(value)) = db.index.store(id, commit, place) {
                self.values.keep(&place, value.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::body::Body;
    use super::super::super::version::{ObjectId, StoredValue};
    use super::{NOTES_SHARE, OVERHEAD_BYTES, Values};
    use std::ops::Range;

    fn place(object: ObjectId, length: usize) -> StoredValue {
        StoredValue { object, offset: 0, length: length as u32, crc: 0 }
    }

    #[test]
    fn a_value_in_pieces_weighs_what_it_keeps_alive() {
        const LENGTH: usize = 1 << 20;
        let whole = Body::Whole(vec![b'v'; LENGTH].into());
        let changed = whole.splice(&[(0, vec![b'n'; LENGTH / 4].into())], LENGTH);
        assert!(changed.may_stay() && changed.len() == LENGTH);
        let weight = (LENGTH / 4 * 5) as u64 + OVERHEAD_BYTES;
        // Four have room by their length.
        let room = 4 * (LENGTH as u64 + OVERHEAD_BYTES);
        let mut values = Values::new(room + room / (NOTES_SHARE - 1) + 1, 7);
        values.keep(&place(1, LENGTH), changed.clone());
        assert_eq!(values.cache.weight(), weight);
        for object in 2..=4 {
            values.keep(&place(object, LENGTH), changed.clone());
        }
        assert!(values.cache.len() <= 3, "{} of them", values.cache.len());
    }

    const KIB: usize = 1 << 10;
    const MANY: u64 = 4 << 20;

    /// Asks for so many values of a length, and keeps those that are not there: how many that were.
    fn ask(values: &mut Values, length: usize, objects: Range<ObjectId>) -> usize {
        let missed = |object: &ObjectId| {
            let place = place(*object, length);
            let misses = values.cache.get(&place).is_none();
            if misses {
                values.keep(&place, Body::Whole(vec![b'v'; length].into()));
            }
            misses
        };
        objects.filter(missed).count()
    }

    /// What is asked for in turn takes the place of what was asked for before. `share`: of what fits.
    fn others_get_in(values: &mut Values, length: usize, share: u64) {
        let fit = values.capacity() / (length as u64 + OVERHEAD_BYTES);
        let (fit, few) = (fit as ObjectId, (fit / share) as ObjectId);
        for _ in 0..3 {
            ask(values, length, 0..fit / 2);
        }
        for _ in 0..3 {
            ask(values, length, fit / 2..fit);
        }
        let others = 10 * fit..10 * fit + few;
        assert_eq!(ask(values, length, others.clone()), few as usize);
        for _ in 0..2 {
            ask(values, length, others.clone());
        }
        assert_eq!(ask(values, length, others), 0, "of {few}");
    }

    #[test]
    fn what_many_ask_for_gets_into_a_full_cache() {
        // There are fewer notes for small ones: they take as much as a small value.
        for (length, share) in [(64 * KIB, 2), (4 * KIB, 2), (KIB, 2), (600, 2), (300, 4), (128, 8)]
        {
            others_get_in(&mut Values::new(MANY, 7), length, share);
        }
    }

    /// Where memory was short for a while the cache has had hardly a byte.
    #[test]
    fn a_cache_that_was_small_works_as_one_that_was_not() {
        for small in [0, 1, 64 << 10] {
            let mut values = Values::new(MANY, 7);
            ask(&mut values, KIB, 0..10_000);
            values.set_capacity(small);
            assert!(values.cache.weight() <= small);
            values.set_capacity(MANY);
            others_get_in(&mut values, KIB, 2);
            // In steps, of which each loses the part of a note.
            for step in (0..20_000).chain((0..20_000).rev()) {
                values.set_capacity(MANY - step * 64);
            }
            others_get_in(&mut values, KIB, 2);
        }
    }

    /// All that it holds beside the values themselves.
    fn tables(values: &Values) -> u64 {
        values.cache.memory_used().total() as u64
    }

    #[test]
    fn the_notes_are_within_the_cache_s_bytes() {
        let mut values = Values::new(MANY, 7);
        ask(&mut values, KIB, 0..50_000);
        let held = values.cache.weight() - values.cache.len() as u64 * OVERHEAD_BYTES;
        let tables = tables(&values);
        assert!(held + tables <= MANY, "{held} of values, {tables} beside");
    }

    #[test]
    fn a_cache_that_is_much_smaller_gives_its_tables_back_and_keeps_its_values() {
        let mut values = Values::new(MANY, 7);
        ask(&mut values, 100, 0..50_000);
        let before = tables(&values);
        values.set_capacity(MANY / 2);
        let (weight, kept) = (values.cache.weight(), values.cache.len());
        assert_eq!(tables(&values), before, "they stay as they are");
        values.make_anew();
        assert_eq!((values.cache.weight(), values.cache.len()), (weight, kept));
        values.set_capacity(MANY / 8);
        assert!(tables(&values) < before / 4, "{} of {before}", tables(&values));
        assert!(values.cache.weight() > MANY / 10);
    }
}
