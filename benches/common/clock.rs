//! The one place of the benchmarks that looks at a clock.

use std::time::Instant;

/// The present moment.
#[allow(clippy::disallowed_methods)] // A benchmark measures real time; nothing here is simulated.
pub(crate) fn now() -> Instant {
    Instant::now()
}
