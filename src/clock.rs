//! Time as a parameter.
//!
//! Nothing in aft asks the machine for the time by itself (clippy bans it): whoever
//! needs it takes a [`Clock`]. The server passes [`SystemClock`]; the simulation passes
//! one that runs on virtual time and can jump backwards between two starts.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where time comes from.
pub trait Clock: Send + Sync + 'static {
    /// Wall time in milliseconds since the Unix epoch. May jump in both directions.
    fn wall_ms(&self) -> u64;

    /// The same in microseconds, as far as the clock knows them.
    fn wall_us(&self) -> u64 {
        self.wall_ms().saturating_mul(1000)
    }

    /// Time since some fixed moment of this process; never goes backwards.
    fn monotonic(&self) -> Duration;
}

/// The machine's own clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[allow(clippy::disallowed_methods)] // The one place where ambient time comes in.
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // The one place where ambient time comes in.
    fn wall_ms(&self) -> u64 {
        // A clock before 1970 reads as 0; the engine's own clock never goes back anyway.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    #[allow(clippy::disallowed_methods)] // The one place where ambient time comes in.
    fn wall_us(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}
