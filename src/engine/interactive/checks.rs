//! What a transaction's commit depends on: keys that nobody else may have changed.

use crate::small_bytes::SmallKey;
use std::collections::BTreeSet;

/// Keys that were read to write, WATCHed, or read by a serializable transaction; by database
/// and key.
#[derive(Debug, Default)]
pub struct Checks {
    keys: BTreeSet<(u8, SmallKey)>,
    /// Those that the command under way has added.
    newest: Vec<(u8, SmallKey)>,
    bytes: usize,
}

/// What one takes beside the bytes of its key.
const CHECK_BYTES: usize = 48;

fn check_bytes(key: &SmallKey) -> usize {
    CHECK_BYTES + key.heap_bytes()
}

impl Checks {
    /// The commit depends on this key, too.
    pub fn add(&mut self, database: u8, key: &[u8]) {
        let added = (database, SmallKey::from(key));
        if self.keys.insert(added.clone()) {
            self.bytes += check_bytes(&added.1);
            self.newest.push(added);
        }
    }

    /// What was added so far stands.
    pub fn stand(&mut self) {
        self.newest = Vec::new();
    }

    /// What was added since then never was: the command that has read it runs again, or has failed.
    pub fn take_back(&mut self) {
        for added in std::mem::take(&mut self.newest) {
            self.bytes -= check_bytes(&added.1);
            self.keys.remove(&added);
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

#[cfg(test)]
mod tests {
    use super::Checks;

    #[test]
    fn what_a_command_read_that_runs_again_was_not_read() {
        let mut checks = Checks::default();
        checks.add(0, b"one");
        checks.stand();
        let bytes = checks.bytes();
        for key in [b"one", b"two"] {
            checks.add(0, key);
        }
        checks.take_back();
        assert_eq!((checks.len(), checks.bytes()), (1, bytes));
        assert!(checks.iter().all(|(_, key)| **key == b"one"[..]));
    }
}
