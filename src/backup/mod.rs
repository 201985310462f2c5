//! Backups: what is in a store as one stream of bytes, and back.
//!
//! ```text
//!   store ── snapshot ── newest ── dump ──> format ──> file ──> format ──> restore ── store
//!            which        which    values                                   bases, then one
//!            objects      version                                           group names them
//! ```
//! A dump is read from the store and not asked of a node: objects never change, so whoever
//! knows which of them count at some moment has that moment's data, whatever a node writes,
//! compacts and deletes meanwhile. An object that is gone before it was read means that the
//! moment has passed: all is begun again, with a newer one. Nothing is ever put together from
//! two of them.
//!
//! A restore writes bases that nothing names, and in the end one group that does. Before that
//! group is in the store nothing has been restored; with it, all has.
//!
//! | module     | what                                                        |
//! |------------|-------------------------------------------------------------|
//! | [`mod@format`] | the bytes of a dump; documented in `docs/dump-format.md`     |
//! | `snapshot` | which objects make up the data of one moment                 |
//! | `newest`   | the newest version of each key, in bounded memory            |
//! | `dump`     | from a store to a stream                                     |
//! | `restore`  | entries into a store, all or none                            |

mod dump;
pub mod format;
mod newest;
mod restore;
mod snapshot;

pub use dump::{Dumped, dump};
pub use restore::{Published, Restore, Restored};

use crate::small_bytes::SmallBytes;
use crate::storage::StoreError;
use std::fmt;
use std::io;

/// A node has so many databases at most; their numbers begin at 0.
pub const DATABASES_MAX: u32 = 255;

/// One key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The number of its database.
    pub database: u8,
    /// Its name.
    pub key: Vec<u8>,
    /// When it expires, in milliseconds since the Unix epoch; 0 if it doesn't.
    pub expires_ms: u64,
    /// Its value, a string.
    pub value: SmallBytes,
}

impl Entry {
    /// Whether its time is over.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms != 0 && self.expires_ms <= now_ms
    }
}

/// Why a dump or a restore was not finished. What it was to make is not there then.
#[derive(Debug)]
pub enum BackupError {
    /// The store failed.
    Store(StoreError),
    /// What is read is damaged: a store, or a dump. Where, and how.
    Damaged(String),
    /// A file or a pipe failed.
    Io(io::Error),
    /// It is not done, since somebody would be sorry.
    Refused(String),
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Damaged(what) | Self::Refused(what) => f.write_str(what),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for BackupError {}

impl From<StoreError> for BackupError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for BackupError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

#[cfg(test)]
mod tests;
