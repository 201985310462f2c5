//! Where each object is: name to place, shared by the writer and all readers.

use super::disk::{DiskFile, read_full};
use crate::storage::StoreError;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where an object's bytes are.
#[derive(Debug)]
pub(super) struct Place<F> {
    pub(super) segment: u64,
    /// The segment's file: a reader needs nothing else, even when its name is gone.
    pub(super) file: Arc<F>,
    /// Offset of the object's first byte in the file.
    pub(super) body_at: u64,
    pub(super) body_bytes: u64,
}

impl<F> Clone for Place<F> {
    fn clone(&self) -> Self {
        Self {
            segment: self.segment,
            file: Arc::clone(&self.file),
            body_at: self.body_at,
            body_bytes: self.body_bytes,
        }
    }
}

impl<F: DiskFile> Place<F> {
    /// Reads part of the object, if it is short and the system has it in memory.
    pub(super) fn read_at_once(&self, offset: u64, length: u64) -> Option<Bytes> {
        /// Copied in less time than it takes to wake a thread up, and that one us.
        const SHORT_BYTES: u64 = 16 << 10;
        let start = offset.min(self.body_bytes);
        let length = length.min(self.body_bytes - start);
        if length > SHORT_BYTES {
            return None;
        }
        let mut bytes = vec![0; length as usize];
        let filled = self.file.read_at_once(&mut bytes, self.body_at + start).ok()?;
        (filled == bytes.len()).then(|| Bytes::from(bytes))
    }

    /// Reads part of the object, as it stands on the disk: the engine has its own
    /// checksums, and can name what it misses. Errors name the object.
    pub(super) fn read(&self, name: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        let start = offset.min(self.body_bytes);
        let end = offset.saturating_add(length).min(self.body_bytes);
        let mut bytes = vec![0; (end - start) as usize];
        let failed = |why: String| {
            StoreError::Unavailable(format!("{name} in segment {}: {why}", self.segment))
        };
        match read_full(&*self.file, &mut bytes, self.body_at + start) {
            // Where the file has been cut off, that is all there is.
            Ok(filled) => {
                bytes.truncate(filled);
                Ok(Bytes::from(bytes))
            }
            Err(error) => Err(failed(error.to_string())),
        }
    }
}

/// All acknowledged objects. The lock is held for a look or a change, never for I/O.
#[derive(Debug)]
pub(super) struct Index<F> {
    places: Mutex<BTreeMap<Box<str>, Place<F>>>,
}

impl<F> Index<F> {
    pub(super) fn new() -> Self {
        Self { places: Mutex::new(BTreeMap::new()) }
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Place<F>>> {
        // The map is whole between two calls, whatever thread died in between.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, name: &str) -> Option<Place<F>> {
        self.places().get(name).cloned()
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.places().contains_key(name)
    }

    pub(super) fn insert(&self, name: &str, place: Place<F>) -> Option<Place<F>> {
        self.places().insert(name.into(), place)
    }

    pub(super) fn remove(&self, name: &str) -> Option<Place<F>> {
        self.places().remove(name)
    }

    /// All objects in a segment; looks at every object there is.
    pub(super) fn in_segment(&self, segment: u64) -> Vec<(Box<str>, Place<F>)> {
        let places = self.places();
        let inside = places.iter().filter(|(_, place)| place.segment == segment);
        inside.map(|(name, place)| (name.clone(), place.clone())).collect()
    }

    /// As [`Store::list`](crate::storage::Store::list).
    pub(super) fn list(&self, prefix: &str, after: &str, limit: usize) -> Vec<String> {
        let from = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
        self.places()
            .range::<str, _>((from, Bound::Unbounded))
            .map(|(name, _)| name)
            .take_while(|name| name.starts_with(prefix))
            .take(limit)
            .map(|name| name.to_string())
            .collect()
    }
}
