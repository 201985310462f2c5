//! Wall time of the simulation: virtual time plus an offset that somebody turns.

use aft::clock::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// Some day in 2033, so that jumps in both directions stay behind 1970.
const EPOCH_MS: i64 = 2_000_000_000_000;

/// Tokio's virtual time.
#[allow(clippy::disallowed_methods)] // Paused time: the seed owns it.
pub(crate) fn virtual_now() -> Instant {
    Instant::now()
}

/// The clock of one process; all clocks of a world share the offset.
pub(crate) struct SimClock {
    world_began: Instant,
    process_began: Instant,
    offset_ms: Arc<AtomicI64>,
}

impl SimClock {
    pub(crate) fn new(world_began: Instant, offset_ms: Arc<AtomicI64>) -> Self {
        Self { world_began, process_began: virtual_now(), offset_ms }
    }
}

impl Clock for SimClock {
    fn wall_ms(&self) -> u64 {
        let passed = (virtual_now() - self.world_began).as_millis() as i64;
        let wall = EPOCH_MS + passed + self.offset_ms.load(Ordering::Relaxed);
        u64::try_from(wall).unwrap_or(0)
    }

    fn monotonic(&self) -> Duration {
        virtual_now() - self.process_began
    }
}
