//! Counting what is alive.

use super::super::index::Entry;
use super::super::version::{State, Version};
use crate::layout::RECORD_BYTES;
use std::ops::{AddAssign, Neg, SubAssign};

/// So many keys, and what they would take in a base.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Census {
    /// How many keys.
    pub keys: i64,
    /// In bytes: an estimate that is a little high for short keys.
    pub bytes: i64,
}

impl Census {
    /// One key.
    pub fn of(key: &[u8], state: &State) -> Self {
        let bytes = RECORD_BYTES + key.len() + state.value_bytes();
        Self { keys: 1, bytes: bytes as i64 }
    }

    /// The newest version of an entry, if that is alive.
    pub(super) fn of_newest(entry: &Entry) -> Self {
        Self::of_version(entry.key(), entry.newest())
    }

    fn of_version(key: &[u8], version: &Version) -> Self {
        if version.state.is_alive() { Self::of(key, &version.state) } else { Self::default() }
    }
}

impl AddAssign for Census {
    fn add_assign(&mut self, other: Self) {
        self.keys += other.keys;
        self.bytes += other.bytes;
    }
}

impl SubAssign for Census {
    fn sub_assign(&mut self, other: Self) {
        self.keys -= other.keys;
        self.bytes -= other.bytes;
    }
}

impl Neg for Census {
    type Output = Self;

    fn neg(self) -> Self {
        Self { keys: -self.keys, bytes: -self.bytes }
    }
}
