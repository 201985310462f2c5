//! Real time, for tests of real processes. Nothing here waits for "long enough": a test names the
//! condition, and the deadline only bounds a failure.

#![allow(clippy::disallowed_methods, reason = "real processes live in real time")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a condition may take before the test fails. Generous: CI machines are busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

const POLL_PAUSE: Duration = Duration::from_millis(2);

pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The wall clock as the server sees it, in milliseconds: expiries are absolute times on it.
pub(crate) fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("milliseconds fit")
}

/// Polls until `condition` gives a value; panics with `what` at the deadline.
pub(crate) fn until<T>(what: &str, deadline: Duration, condition: impl FnMut() -> Option<T>) -> T {
    poll(deadline, condition).unwrap_or_else(|| panic!("not within {deadline:?}: {what}"))
}

/// The same for whoever has more to say when it never comes to that.
pub(crate) fn poll<T>(deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let start = now();
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if start.elapsed() >= deadline {
            return None;
        }
        pause(POLL_PAUSE);
    }
}

/// Lets load run for a while. The one place where a test means the time itself (how long a
/// server is under load before it is killed), not a stand-in for a condition.
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
