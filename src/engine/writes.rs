//! The writes of a transaction, buffered until it commits.

mod homes;
mod journal;

use super::blob::Blob;
use super::body::Body;
use super::version::Value;
use crate::small_bytes::SmallKey;
use hashbrown::HashTable;
use homes::Homes;
use journal::{Journal, Undo};
use smallvec::SmallVec;
use std::sync::Arc;

/// One buffered write.
#[derive(Debug, Clone)]
pub struct KeyWrite {
    /// The database of the key.
    pub database: u8,
    /// The key's hash in that database's index.
    pub hash: u64,
    /// The key.
    pub key: SmallKey,
    /// What becomes of it.
    pub change: Change,
    /// Which of all writes of its transaction it was: WATCH inside of one compares it.
    pub revision: u32,
}

/// What a transaction makes of a key.
#[derive(Debug, Clone)]
pub enum Change {
    /// It has a new value.
    Put {
        /// The value.
        value: Value,
        /// Milliseconds since the Unix epoch; 0 is never.
        expires_ms: u64,
    },
    /// It has a new value, which is large and in pieces.
    Pieces {
        /// The value.
        pieces: Body,
        /// Milliseconds since the Unix epoch; 0 is never.
        expires_ms: u64,
    },
    /// It has a new value, which is in the store.
    Blob {
        /// Where.
        blob: Arc<Blob>,
        /// Milliseconds since the Unix epoch; 0 is never.
        expires_ms: u64,
    },
    /// It is gone.
    Delete,
    /// Its value stays, its expiry changes.
    Expiry {
        /// Milliseconds since the Unix epoch; 0 is never.
        expires_ms: u64,
    },
}

/// What a transaction's own writes say of a key.
#[derive(Debug)]
pub enum Own<'w> {
    /// Nothing.
    Untouched,
    /// It was flushed with its database, and not written since.
    Flushed,
    /// This was its last write.
    Written(&'w Change),
}

/// The writes of one transaction: at most one for each key, the databases it flushed
/// before them, and those it swaps after them.
///
/// Databases have the numbers here that they had when the transaction began, see
/// [`WriteSet::home`].
#[derive(Debug, Default)]
pub struct WriteSet {
    writes: SmallVec<[KeyWrite; 1]>,
    /// Finds a key's write once there are too many to look through.
    places: Option<Box<HashTable<u32>>>,
    /// What it does to databases; few do anything.
    databases: Option<Box<Databases>>,
    bytes: usize,
    /// What is in blobs, in bytes.
    blob_bytes: u64,
    /// No value outside of blobs is longer, in bytes.
    longest: usize,
    /// How many writes there were.
    revision: u32,
    /// What can be taken back, once that is asked for.
    journal: Option<Box<Journal>>,
}

#[derive(Debug, Default)]
struct Databases {
    flushed: Vec<u8>,
    homes: Homes,
}

/// What a write takes beside its key and value, in bytes, at most, in a group or in a base:
/// so that a transaction's size bounds that of both.
const WRITE_BYTES: usize = 128;

/// A base may name a key twice: with its value, and with the later change of its expiry.
fn key_bytes(key: &[u8]) -> usize {
    2 * key.len() + WRITE_BYTES
}

/// More writes than this are found by hash.
const SCAN_MAX: usize = 8;

impl WriteSet {
    /// Whether nothing was written.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
            && self
                .databases
                .as_ref()
                .is_none_or(|databases| databases.flushed.is_empty() && databases.homes.is_empty())
    }

    /// At least the bytes that it takes in a group, and in a base that all of it moves to, but for
    /// values that are there already and written again.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The values in blobs, in bytes.
    pub fn blob_bytes(&self) -> u64 {
        self.blob_bytes
    }

    /// The same, with those that it could take back.
    pub fn held_blob_bytes(&self) -> u64 {
        self.blob_bytes + self.journal.as_ref().map_or(0, |journal| journal.blob_bytes())
    }

    /// No value outside of blobs is longer, in bytes.
    #[inline]
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The values outside of blobs of so many bytes or more, and where in [`WriteSet::writes`] each is.
    pub fn large(&self, bytes_min: usize) -> impl Iterator<Item = (usize, Body)> {
        let body = |change: &Change| match change {
            Change::Put { value: Value::String(value), .. } => Some(Body::Whole(value.clone())),
            Change::Pieces { pieces, .. } => Some(pieces.clone()),
            Change::Blob { .. } | Change::Delete | Change::Expiry { .. } => None,
        };
        let large = self.writes.iter().enumerate();
        let large = large.filter(move |(_, write)| change_bytes(&write.change) >= bytes_min);
        large.filter_map(move |(at, write)| Some((at, body(&write.change)?)))
    }

    /// Puts blobs into the place of the values that they hold.
    pub fn move_to_blobs(&mut self, blobs: impl Iterator<Item = (usize, Arc<Blob>)>) {
        for (at, blob) in blobs {
            let change = &mut self.writes[at].change;
            let (Change::Put { expires_ms, .. } | Change::Pieces { expires_ms, .. }) = *change
            else {
                continue;
            };
            self.bytes -= change_bytes(change);
            self.blob_bytes += blob.name().length;
            *change = Change::Blob { blob, expires_ms };
        }
        self.longest = self.writes.iter().map(|w| change_bytes(&w.change)).max().unwrap_or(0);
    }

    /// Brings the value of a key together that it has written in pieces: whoever reads it next shares
    /// that. It is the same write as before, so there is nothing to take back.
    pub fn join(&mut self, database: u8, hash: u64, key: &[u8]) -> Option<Value> {
        let place = self.place(database, hash, key)?;
        let change = &mut self.writes[place].change;
        let Change::Pieces { pieces, expires_ms } = change else { return None };
        let (value, expires_ms) = (Value::String(pieces.to_whole()), *expires_ms);
        *change = Change::Put { value: value.clone(), expires_ms };
        Some(value)
    }

    /// The databases it flushed, before all writes.
    #[inline]
    pub fn flushed(&self) -> &[u8] {
        self.databases.as_ref().map_or(&[], |databases| &databases.flushed)
    }

    /// The number that a database had when the transaction began, for all other functions.
    #[inline]
    pub fn home(&self, database: u8) -> u8 {
        self.databases.as_ref().map_or(database, |databases| databases.homes.of(database))
    }

    /// Records that two databases, by their present numbers, exchange what they hold.
    pub fn swap(&mut self, one: u8, other: u8) {
        self.databases.get_or_insert_default().homes.swap(one, other);
    }

    /// The swaps that lead to the present numbers, after all writes.
    #[inline]
    pub fn swaps(&self) -> Vec<(u8, u8)> {
        self.databases.as_ref().map_or_else(Vec::new, |databases| databases.homes.swaps())
    }

    /// What it wrote to keys.
    pub fn writes(&self) -> &[KeyWrite] {
        &self.writes
    }

    /// What it says of a key.
    #[inline]
    pub fn own(&self, database: u8, hash: u64, key: &[u8]) -> Own<'_> {
        if self.is_empty() {
            return Own::Untouched;
        }
        match self.place(database, hash, key) {
            Some(place) => Own::Written(&self.writes[place].change),
            None if self.flushed().contains(&database) => Own::Flushed,
            None => Own::Untouched,
        }
    }

    /// Records a write; an earlier one to the same key is replaced.
    pub fn record(&mut self, database: u8, hash: u64, key: SmallKey, change: Change) {
        self.bytes += change_bytes(&change);
        self.blob_bytes += change_blob_bytes(&change);
        self.longest = self.longest.max(change_bytes(&change));
        self.revision = self.revision.wrapping_add(1);
        let revision = self.revision;
        if let Some(place) = self.place(database, hash, &key) {
            let write = &mut self.writes[place];
            let replaced = std::mem::replace(&mut write.change, change);
            let before = std::mem::replace(&mut write.revision, revision);
            self.bytes -= change_bytes(&replaced);
            self.blob_bytes -= change_blob_bytes(&replaced);
            if let Some(journal) = &mut self.journal {
                journal.push(Undo::Replaced { place: place as u32, revision: before, replaced });
            }
            return;
        }
        self.bytes += key_bytes(&key);
        if let Some(journal) = &mut self.journal {
            journal.push(Undo::Added);
        }
        self.writes.push(KeyWrite { database, hash, key, change, revision });
        if let Some(places) = &mut self.places {
            let writes = &self.writes;
            let hash_of = |&at: &u32| writes[at as usize].hash;
            places.insert_unique(hash, (writes.len() - 1) as u32, hash_of);
        } else if self.writes.len() > SCAN_MAX {
            self.rebuild_places();
        }
    }

    /// Records a flush: what this transaction wrote to the database before is moot.
    pub fn flush(&mut self, database: u8) {
        self.writes.retain(|write| write.database != database);
        let bytes = |w: &KeyWrite| key_bytes(&w.key) + change_bytes(&w.change);
        self.bytes = self.writes.iter().map(bytes).sum();
        self.blob_bytes = self.writes.iter().map(|w| change_blob_bytes(&w.change)).sum();
        if self.places.is_some() {
            self.rebuild_places();
        }
        let flushed = &mut self.databases.get_or_insert_default().flushed;
        if !flushed.contains(&database) {
            flushed.push(database);
        }
    }

    /// The revision of its last write to a key; 0 if there is none.
    pub fn revision(&self, database: u8, hash: u64, key: &[u8]) -> u32 {
        self.place(database, hash, key).map_or(0, |place| self.writes[place].revision)
    }

    /// Takes the writes to keys out, to be committed: what is left is of no use.
    pub fn drain(&mut self) -> impl Iterator<Item = KeyWrite> {
        self.writes.drain(..)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn place(&self, database: u8, hash: u64, key: &[u8]) -> Option<usize> {
        let same = |w: &KeyWrite| w.hash == hash && w.database == database && *w.key == *key;
        match &self.places {
            None => self.writes.iter().position(same),
            Some(places) => {
                places.find(hash, |&at| same(&self.writes[at as usize])).map(|&at| at as usize)
            }
        }
    }

    fn rebuild_places(&mut self) {
        let mut places = HashTable::with_capacity(self.writes.len());
        for (at, write) in self.writes.iter().enumerate() {
            places.insert_unique(write.hash, at as u32, |&at| self.writes[at as usize].hash);
        }
        self.places = Some(Box::new(places));
    }
}

fn change_bytes(change: &Change) -> usize {
    match change {
        Change::Put { value: Value::String(bytes), .. } => bytes.len(),
        Change::Pieces { pieces, .. } => pieces.len(),
        Change::Blob { .. } | Change::Delete | Change::Expiry { .. } => 0,
    }
}

fn change_blob_bytes(change: &Change) -> u64 {
    match change {
        Change::Blob { blob, .. } => blob.name().length,
        Change::Put { .. } | Change::Pieces { .. } | Change::Delete | Change::Expiry { .. } => 0,
    }
}
