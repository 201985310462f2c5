//! What a transaction's commit depends on: keys that nobody else may have changed.

use crate::small_bytes::SmallKey;
use std::collections::BTreeSet;

/// Keys that were read to write, WATCHed, or read by a serializable transaction; by database
/// and key.
#[derive(Debug, Default)]
pub struct Checks {
    keys: BTreeSet<(u8, SmallKey)>,
    bytes: usize,
}

/// What one takes beside the bytes of its key.
const CHECK_BYTES: usize = 48;

impl Checks {
    /// The commit depends on this key, too.
    pub fn add(&mut self, database: u8, key: &[u8]) {
        let added = (database, SmallKey::from(key));
        let bytes = CHECK_BYTES + added.1.heap_bytes();
        if self.keys.insert(added) {
            self.bytes += bytes;
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &SmallKey)> {
        self.keys.iter().map(|(database, key)| (*database, key))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// What they take, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
