//! How long a connection's commands take.
//!
//! Reading the clock costs as much as a tenth of a GET. So commands that can't take long
//! are timed together, a run of them at a time, and each gets its share (an EXEC of few such
//! commands that of what it has run, too); all others are timed one by one. A turn's first reading is the one that the engine made anyway.

use crate::server::Server;
use crate::server::statistics::Call;
use smallvec::SmallVec;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// So many commands are timed together, and what an EXEC that comes last has run.
const RUN_MAX: usize = 16;

/// An EXEC with more commands is timed by itself.
pub const EXEC_MAX: usize = 8;

/// A run of commands that have run and whose time is not known yet.
#[derive(Debug, Default)]
pub struct Meter {
    since: Duration,
    run: SmallVec<[Call; RUN_MAX + EXEC_MAX]>,
}

impl Meter {
    /// What runs from now on begins at this monotonic time.
    #[inline]
    pub fn begin(&mut self, now: Duration) {
        self.since = now;
    }

    /// When the clock was last read.
    #[inline]
    pub fn since(&self) -> Duration {
        self.since
    }

    /// A command has run.
    #[inline]
    pub fn add(&mut self, call: Call) {
        self.run.push(call);
    }

    /// Whether nothing has run since the last reading of the clock.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.run.is_empty()
    }

    /// Whether it is time to read the clock.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.run.len() >= RUN_MAX
    }

    /// Counts what has run, now that the time is known; says how long each took.
    #[inline]
    pub fn end(&mut self, server: &Server, now: Duration) -> Duration {
        let took = now.saturating_sub(self.since);
        self.since = now;
        let Ok(calls @ 1..) = u32::try_from(self.run.len()) else {
            return took;
        };
        let took_each = if calls == 1 { took } else { took / calls };
        server.statistics().ran(&self.run, took_each);
        server.counters.commands.fetch_add(u64::from(calls), Ordering::Relaxed);
        self.run.clear();
        took_each
    }
}
