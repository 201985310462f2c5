//! Objects in a map: the store of a server that keeps nothing, and the model every
//! other store is held against in tests.

use super::{Created, Limits, Store, StoreError, StoreFuture};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A store in this process's memory, gone with it.
#[derive(Debug, Default)]
pub struct MemoryStore {
    objects: Mutex<BTreeMap<String, Bytes>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        // A map is whole between two calls, whatever thread died in between.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn limits(&self) -> Limits {
        Limits {
            object_bytes_max: u64::MAX,
            group_bytes_useful: 1 << 20,
            creates_in_flight: 4,
            read_gap_bytes: 0,
            frees_in_order: false,
            shows_at_once: true,
            survives_process: false,
        }
    }

    fn create<'a>(&'a self, name: &'a str, object: Bytes) -> StoreFuture<'a, Created> {
        Box::pin(async move {
            let mut objects = self.objects();
            if objects.contains_key(name) {
                return Ok(Created::AlreadyExists);
            }
            objects.insert(name.to_owned(), object);
            Ok(Created::Created)
        })
    }

    fn read<'a>(&'a self, name: &'a str, offset: u64, length: u64) -> StoreFuture<'a, Bytes> {
        Box::pin(async move {
            let objects = self.objects();
            let object = objects.get(name).ok_or(StoreError::NotFound)?;
            let size = object.len() as u64;
            let start = offset.min(size);
            let end = offset.saturating_add(length).min(size);
            Ok(object.slice(start as usize..end as usize))
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<String>> {
        Box::pin(async move {
            let from =
                if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
            Ok(self
                .objects()
                .range::<str, _>((from, Bound::Unbounded))
                .map(|(name, _)| name)
                .take_while(|name| name.starts_with(prefix))
                .take(limit)
                .cloned()
                .collect())
        })
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let mut objects = self.objects();
            for name in names {
                objects.remove(name);
            }
            Ok(())
        })
    }
}
