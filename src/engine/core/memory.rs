//! What the data takes in memory, and what of it gives way when that is bounded.
//!
//! The cache gives way first: it has what the rest leaves of
//! [`Core::set_space`]'s bound. Keys, small values and what is on its way to the store can't
//! be let go; when they alone take more, commands that would need more are refused.

use super::Core;
use super::ledger::Held;

/// The cache's bound moves in steps of so many bytes at least, or of one part in so many of its room: what is
/// on its way to the store comes and goes with each group, and each step costs notes of what has been in the
/// cache.
const STEP_BYTES_MIN: u64 = 64 << 10;
const STEPS: u64 = 64;

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
        let left = match self.memory_bytes_max {
            0 => u64::MAX,
            all => all.saturating_sub(self.data_bytes()),
        };
        if let Some(bytes) = fitting(self.values.capacity(), self.cache_bytes, left) {
            self.values.set_capacity(bytes);
        }
    }
}

/// What the cache's bound moves to, if it does: at once where it is too much, and not back before there
/// is room for more than a step. `cache_bytes`: the most it may be; `left`: what the data leaves.
fn fitting(now: u64, cache_bytes: u64, left: u64) -> Option<u64> {
    let room = left.min(cache_bytes);
    let step = (room / STEPS).max(STEP_BYTES_MIN);
    let is_free = left.saturating_sub(cache_bytes) >= step;
    let bytes = if is_free { cache_bytes } else { room - room % step };
    let moves = is_free || room < now || bytes > now.saturating_add(step);
    (moves && bytes != now).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{STEP_BYTES_MIN, STEPS, fitting};

    const CACHE: u64 = 256 << 20;

    #[test]
    fn the_cache_has_what_the_data_leaves_and_moves_seldom() {
        let unlimited = |now, cache_bytes| fitting(now, cache_bytes, u64::MAX);
        assert_eq!(unlimited(CACHE, CACHE), None);
        assert_eq!(unlimited(0, CACHE), Some(CACHE), "as it was set");
        assert_eq!(unlimited(CACHE, CACHE / 2), Some(CACHE / 2), "as it was set");
        assert_eq!(unlimited(CACHE, 0), Some(0));
        assert_eq!(fitting(CACHE, CACHE, 0), Some(0));
        // A cache of less than a step.
        assert_eq!(unlimited(0, 1_000), Some(1_000));
        assert_eq!(fitting(1_000, 1_000, 999), Some(0));

        let mut now = CACHE;
        let mut moves = 0;
        let mut leave = |left: u64| {
            if let Some(bytes) = fitting(now, CACHE, left) {
                assert_ne!(bytes, now);
                (now, moves) = (bytes, moves + 1);
            }
            assert!(now <= left && now <= CACHE, "{now} where {left} are left");
            let room = left.min(CACHE);
            let step = (room / STEPS).max(STEP_BYTES_MIN);
            assert!(now + 2 * step > room, "{now} where {left} are left");
            moves
        };
        // Around any size, little and the whole one too, nothing moves for less than a step.
        for size in [CACHE, CACHE / 2, CACHE / 7, 8 << 20, 1 << 20, 3 << 16, 1 << 16, CACHE] {
            let step = (size / STEPS).max(STEP_BYTES_MIN);
            leave(size);
            let before = leave(size - step / 2);
            for _ in 0..100 {
                leave(size + step / 2 - 1);
                assert!(leave(size - step / 2) <= before + 1, "around {size}");
            }
        }
        leave(CACHE + CACHE / STEPS);
        assert_eq!(now, CACHE);
    }
}
