//! A directory for a look: what a start would find, and nothing changed in it.

use super::index::Index;
use super::segments::Segments;
use super::{OBJECT_BYTES_MAX, SystemDisk};
use crate::storage::{Created, Limits, Store, StoreError, StoreFuture};
use bytes::Bytes;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// A store in a directory of this machine that can only be read. It holds the directory's
/// lock, so that no node changes it meanwhile.
#[derive(Debug)]
pub struct ReadOnlyStore {
    index: Arc<Index<File>>,
    damage: Vec<String>,
    /// Holds the lock.
    _disk: Arc<SystemDisk>,
}

impl ReadOnlyStore {
    /// Opens the store in a directory. Blocks while it reads the records' headers.
    ///
    /// # Errors
    /// `Fatal` if there is none, another process has it, or it was written in another format.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let disk = Arc::new(SystemDisk::open_read_only(path)?);
        let segments = Segments::look_at(Arc::clone(&disk))?;
        let damage = segments.damage().iter().map(ToString::to_string).collect();
        Ok(Self { index: Arc::clone(&segments.index), damage, _disk: disk })
    }
}

fn refused<T>() -> Result<T, StoreError> {
    Err(StoreError::Rejected("the store is open for reading only".to_owned()))
}

impl Store for ReadOnlyStore {
    fn limits(&self) -> Limits {
        Limits {
            object_bytes_max: OBJECT_BYTES_MAX,
            group_bytes_useful: 0,
            creates_in_flight: 0,
            survives_process: true,
        }
    }

    fn damage(&self) -> Vec<String> {
        self.damage.clone()
    }

    fn create<'a>(&'a self, _: &'a str, _: Bytes) -> StoreFuture<'a, Created> {
        Box::pin(async { refused() })
    }

    fn read<'a>(&'a self, name: &'a str, offset: u64, length: u64) -> StoreFuture<'a, Bytes> {
        Box::pin(async move {
            let place = self.index.get(name).ok_or(StoreError::NotFound)?;
            place.read(name, offset, length)
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<String>> {
        Box::pin(async move { Ok(self.index.list(prefix, after, limit)) })
    }

    fn delete<'a>(&'a self, _: &'a [String]) -> StoreFuture<'a, ()> {
        Box::pin(async { refused() })
    }
}
