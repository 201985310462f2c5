//! Counting what is alive.

use super::super::index::Entry;
use super::super::version::{Snapshot, State, Version};
use super::{Core, Database};
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

impl Core {
    /// How many keys a database has; expired ones count until they are reaped.
    pub fn live_keys(&self, database: u8, snapshot: Snapshot) -> u64 {
        let keys = self.database(database, snapshot).map_or(0, |db| {
            // Without a log everything is visible at once, and only the tip is counted.
            if snapshot.position == Snapshot::TIP || !self.options.logged {
                db.live_tip.keys
            } else {
                db.live_visible.keys
            }
        });
        u64::try_from(keys).unwrap_or(0)
    }

    /// How long keys that expire have to live on average, in milliseconds; 0 if there are none.
    pub fn mean_ttl_ms(&self, database: u8, snapshot: Snapshot) -> u64 {
        let mean = self
            .database(database, snapshot)
            .map(Database::index)
            .and_then(|index| index.expiries_sum_ms().checked_div(index.expiring() as u128));
        let mean = mean.map_or(0, |mean| u64::try_from(mean).unwrap_or(u64::MAX));
        mean.saturating_sub(self.now.ms())
    }

    /// How many keys of a database have an expiry, once all that is on its way has arrived.
    pub fn expiring_keys(&self, database: u8, snapshot: Snapshot) -> u64 {
        self.database(database, snapshot).map_or(0, |db| db.index.expiring() as u64)
    }
}
