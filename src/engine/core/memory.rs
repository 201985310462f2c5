//! What the data takes in memory, and what of it gives way when that is bounded.
//!
//! The cache gives way first: it has what the rest leaves of
//! [`Core::set_space`]'s bound. Keys, small values and what is on its way to the store can't
//! be let go; when they alone take more, commands that would need more are refused.

use super::Core;
use super::ledger::Held;

/// The cache's bound moves in such steps, so that it doesn't at every write.
const STEP_BYTES: u64 = 64 << 10;

impl Core {
    /// What can't be let go, in bytes: the index, what is known of objects in the store,
    /// what is on its way there, open transactions and the outcomes of others.
    pub fn data_bytes(&self) -> u64 {
        let index: usize = self.databases.iter().map(|db| db.index.bytes()).sum();
        let objects =
            self.ledger.objects() * size_of::<Held>() + self.ledger.blobs().memory_bytes();
        let interactive = &self.interactive;
        let transactions = interactive.registry.bytes() + interactive.outcomes.bytes();
        (index + objects + self.pending_bytes + transactions) as u64
    }

    /// That, and the cached values.
    pub fn used_bytes(&self) -> u64 {
        self.data_bytes() + self.cached_bytes()
    }

    /// Changes how much may be used: by the cache, and by all together, where 0 is no limit.
    pub fn set_space(&mut self, cache_bytes: u64, memory_bytes_max: u64) {
        self.cache_bytes = cache_bytes;
        self.memory_bytes_max = memory_bytes_max;
        self.fit_cache();
    }

    /// What the cache may take now.
    pub fn cache_bytes_max(&self) -> u64 {
        self.values.capacity()
    }

    /// Whether more is used than may be, even without any cached value; 0 is no limit.
    #[inline]
    pub fn is_out_of_memory(&self, memory_bytes_max: u64) -> bool {
        memory_bytes_max > 0 && self.data_bytes() > memory_bytes_max
    }

    /// Leaves the cache what the data leaves.
    pub(super) fn fit_cache(&mut self) {
        let mut bytes = self.cache_bytes;
        if self.memory_bytes_max > 0 {
            let left = self.memory_bytes_max.saturating_sub(self.data_bytes());
            bytes = bytes.min(left - left % STEP_BYTES);
        }
        self.values.set_capacity(bytes);
    }
}
