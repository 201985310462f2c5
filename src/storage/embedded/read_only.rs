//! A directory for a look: what a start would find, and nothing changed in it.
//!
//! While a node writes, it can be looked at, too ([`ReadOnlyStore::open_beside`]). A look is a
//! list of files, then their records in order; the node meanwhile appends, and removes old
//! files. A file that vanished before it was opened, and a batch that was half written when it
//! was read, are met again by nobody who looks once more.

use super::format::segment_name;
use super::index::Index;
use super::segments::Segments;
use super::{OBJECT_BYTES_MAX, READ_GAP_BYTES, SystemDisk};
use crate::storage::{Created, Limits, Store, StoreError, StoreFuture};
use bytes::Bytes;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// A store in a directory of this machine that can only be read: one moment of it.
#[derive(Debug)]
pub struct ReadOnlyStore {
    index: Arc<Index<File>>,
    damage: Vec<String>,
    lost_copies: Vec<String>,
    /// Holds the lock, if there is one.
    _disk: Arc<SystemDisk>,
}

impl ReadOnlyStore {
    /// Opens the store in a directory and holds its lock, so that no node changes it
    /// meanwhile. Blocks while it reads the records' headers.
    ///
    /// # Errors
    /// `Fatal` if there is none, another process has it, or it was written in another format.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let disk = Arc::new(SystemDisk::open_read_only(path)?);
        let segments = Segments::look_at(Arc::clone(&disk))?;
        Ok(Self::of(&segments, disk))
    }

    /// Opens it beside the node that may be serving it. What it holds at this moment can be
    /// read from now on, whatever the node removes; the space is free when this is dropped.
    ///
    /// # Errors
    /// `Fatal` if there is no store or it was written in another format; others if the files
    /// can't be read.
    pub fn open_beside(path: &Path) -> Result<Self, StoreError> {
        /// A node removes and begins a file in as many milliseconds as a look takes, or more.
        const LOOKS_MAX: usize = 20;
        let disk = Arc::new(SystemDisk::open_beside(path)?);
        let mut looked = Segments::look_beside(Arc::clone(&disk));
        for _ in 1..LOOKS_MAX {
            if looked.as_ref().is_ok_and(|segments| segments.damage().is_empty()) {
                break;
            }
            let again = Segments::look_beside(Arc::clone(&disk));
            // What shows twice in the same place is no batch under way.
            let same = matches!((&looked, &again), (Ok(before), Ok(after)) if before.damage() == after.damage());
            looked = again;
            if same {
                break;
            }
        }
        Ok(Self::of(&looked?, disk))
    }

    fn of(segments: &Segments<SystemDisk>, disk: Arc<SystemDisk>) -> Self {
        let header = |named: &u64| format!("one of the two headers of {}", segment_name(*named));
        Self {
            index: Arc::clone(&segments.index),
            damage: segments.damage().iter().map(ToString::to_string).collect(),
            lost_copies: segments.lost_copies.iter().map(header).collect(),
            _disk: disk,
        }
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
            read_gap_bytes: READ_GAP_BYTES,
            frees_in_order: true,
            shows_at_once: true,
            survives_process: true,
        }
    }

    fn damage(&self) -> Vec<String> {
        self.damage.clone()
    }

    fn lost_copies(&self) -> Vec<String> {
        self.lost_copies.clone()
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
