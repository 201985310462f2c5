//! The engine's one `now`.

use std::time::Duration;

/// Time as readers and the sequencer see it: monotone, following wall time.
///
/// Where wall time is behind it (the clock was set back, or the last start had gone
/// further than this one's wall clock says) it moves on with the monotonic clock at half
/// speed, until wall time has caught up: nothing expires late for long, and what a
/// reader has seen expire stays expired.
#[derive(Debug)]
pub struct Now {
    now_ms: u64,
    monotonic: Duration,
    ahead_since: Option<Ahead>,
}

#[derive(Debug, Clone, Copy)]
struct Ahead {
    from_ms: u64,
    at: Duration,
}

impl Now {
    /// Begins not before `at_least_ms`.
    pub fn new(at_least_ms: u64) -> Self {
        Self { now_ms: at_least_ms, monotonic: Duration::ZERO, ahead_since: None }
    }

    /// The time last told, in milliseconds since the Unix epoch.
    #[inline]
    pub fn ms(&self) -> u64 {
        self.now_ms
    }

    /// The monotonic time at which it moved on last.
    #[inline]
    pub fn monotonic(&self) -> Duration {
        self.monotonic
    }

    /// Moves on.
    #[inline]
    pub fn advance(&mut self, wall_ms: u64, monotonic: Duration) {
        self.monotonic = monotonic;
        if wall_ms >= self.now_ms {
            self.now_ms = wall_ms;
            self.ahead_since = None;
            return;
        }
        let ahead = *self.ahead_since.get_or_insert(Ahead { from_ms: self.now_ms, at: monotonic });
        let passed = monotonic.saturating_sub(ahead.at).as_millis() as u64;
        self.now_ms = self.now_ms.max(ahead.from_ms + passed / 2);
    }

    /// Never tells a time before `at_least_ms` again.
    pub fn raise(&mut self, at_least_ms: u64) {
        self.now_ms = self.now_ms.max(at_least_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_wall_time_and_never_goes_back() {
        let mut now = Now::new(0);
        now.advance(1_000, Duration::from_secs(1));
        assert_eq!(now.ms(), 1_000);
        // Set back by 500 ms: half speed, until wall time is level again.
        now.advance(500, Duration::from_millis(1_000));
        assert_eq!(now.ms(), 1_000);
        now.advance(900, Duration::from_millis(1_400));
        assert_eq!(now.ms(), 1_200);
        now.advance(1_500, Duration::from_millis(2_000));
        assert_eq!(now.ms(), 1_500, "level after twice the distance");
        now.advance(2_000, Duration::from_secs(9));
        assert_eq!(now.ms(), 2_000);
    }
}
