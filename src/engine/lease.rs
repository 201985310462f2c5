//! Who may answer, in time: the rules of the lease, without I/O and without clocks.
//!
//! ```text
//!  owner     sends a sign of life ──┬── it stands in the log ── acknowledged
//!                                   │                               │
//!                                   └── from here a lease ──────────┴──> stops answering
//!  a start                               sees it, for the first time ──── a lease ────> may serve
//! ```
//!
//! The owner counts a lease from when it *sent* the newest group that was acknowledged; a start
//! counts the owner's lease from when it first *knew* of the newest object of the owner's log.
//! The one lies before the object came to be, the other behind it: so by when a start serves,
//! the owner has stopped to answer, whatever its wall clock says, and whether it was halted or
//! can't reach the store. Each uses its own monotonic clock, and nothing but its speed.
//!
//! That no two of them *write* needs no time at all: a start closes the owner's log with a seal
//! before it serves, and the store decides each name once. The lease is for reads, which no store
//! decides.

use crate::layout::NodeId;
use std::time::Duration;

/// Clocks may differ in speed by one part in so many: the owner stops earlier by as much.
const CLOCK_MARGIN: u32 = 20;

/// The owner's side.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    length: Duration,
    /// When the newest acknowledged group was sent.
    shown_at: Duration,
    /// When the newest group was sent.
    sent_at: Duration,
}

impl Lease {
    /// It begins with a group that is acknowledged and was sent then.
    pub fn begin(length: Duration, sent_at: Duration) -> Self {
        Self { length, shown_at: sent_at, sent_at }
    }

    /// A group goes out.
    pub fn sent(&mut self, now: Duration) {
        self.sent_at = self.sent_at.max(now);
    }

    /// A group that was sent then is acknowledged.
    pub fn acknowledged(&mut self, sent_at: Duration) {
        self.shown_at = self.shown_at.max(sent_at);
    }

    /// Whether nobody else can serve yet.
    pub fn holds(&self, now: Duration) -> bool {
        now < self.shown_at + (self.length - self.length / CLOCK_MARGIN)
    }

    /// How often the owner looks whether a sign of life is due.
    pub fn look_every(length: Duration) -> Duration {
        (length / 12).max(Duration::from_millis(1))
    }

    /// Whether a sign of life is due: with the next look it would be more than a third of a lease.
    pub fn sign_is_due(&self, now: Duration) -> bool {
        now + Self::look_every(self.length) >= self.sent_at + self.length / 3
    }

    /// How long it is.
    pub fn length(&self) -> Duration {
        self.length
    }

    /// How long ago the newest acknowledged group was sent.
    pub fn silent_for(&self, now: Duration) -> Duration {
        now.saturating_sub(self.shown_at)
    }
}

/// What a look at a store shows of its owner. Any change is a sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signs {
    /// The newest view.
    pub view: u64,
    /// The newest object of a log, `(0, 0)` if there is none.
    pub newest: (NodeId, u64),
}

/// What a start may conclude.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing yet.
    Wait,
    /// The owner is alive.
    Alive,
    /// It was silent for a whole lease: it may be succeeded.
    Silent,
}

/// A start's side: it watches the owner of a view.
#[derive(Debug, Clone, Copy)]
pub struct Watch {
    /// The owner's lease, not that of the start.
    lease: Duration,
    signs: Signs,
    known_at: Duration,
    changes: u32,
}

impl Watch {
    /// One change may be a group that the owner had sent before it died and that arrived late.
    const CHANGES_OF_THE_LIVING: u32 = 2;

    /// A first look, which has ended at `now`, has shown this.
    pub fn begin(lease: Duration, signs: Signs, now: Duration) -> Self {
        Self { lease, signs, known_at: now, changes: 0 }
    }

    /// A further look has shown this.
    pub fn look(&mut self, signs: Signs, began: Duration, ended: Duration) -> Verdict {
        if signs != self.signs {
            (self.signs, self.known_at) = (signs, ended);
            self.changes += 1;
        } else if began >= self.known_at + self.lease {
            return Verdict::Silent;
        }
        if self.changes >= Self::CHANGES_OF_THE_LIVING { Verdict::Alive } else { Verdict::Wait }
    }

    /// How long to wait until the next look.
    pub fn look_every(&self) -> Duration {
        (self.lease / 50).clamp(Duration::from_millis(5), Duration::from_millis(200))
    }

    /// From when on a start may serve that has closed the owner's logs, given whether it had seen
    /// by the last look all that the owner has ever written there.
    pub fn may_serve_at(&self, had_seen_all: bool, now: Duration) -> Duration {
        let known_at = if had_seen_all { self.known_at } else { now };
        known_at + self.lease
    }
}

#[cfg(test)]
mod tests;
