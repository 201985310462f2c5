//! The owner's lease on a shared store; see [`lease`](crate::engine::lease).

use super::super::lease::Lease;
use super::Core;
use super::Health;
use std::time::Duration;

impl Core {
    /// The store is shared: what is answered from now on depends on this lease.
    pub fn begin_lease(&mut self, lease: Lease, stale_reads: bool) {
        (self.lease, self.stale_reads) = (Some(lease), stale_reads);
    }

    /// Whether nobody else can serve the store yet.
    #[inline]
    pub fn lease_holds(&self) -> bool {
        self.lease.as_ref().is_none_or(|lease| lease.holds(self.now.monotonic()))
    }

    /// For how long the store has not acknowledged anything, if that is too long to answer: what
    /// is in memory may be old.
    #[inline]
    pub fn silenced_for(&self) -> Option<Duration> {
        if self.lease_holds() || self.stale_reads {
            return None;
        }
        self.lease.as_ref().map(|lease| lease.silent_for(self.now.monotonic()))
    }

    /// The store was found to be ours by a request that was sent then.
    pub fn owns_since(&mut self, sent_at: Duration) {
        if let Some(lease) = &mut self.lease {
            lease.acknowledged(sent_at);
        }
    }

    /// Asks for a group, if nothing has been sent for so long that others might take this node for
    /// dead.
    pub fn show_life(&mut self) {
        let is_due =
            self.lease.as_ref().is_some_and(|lease| lease.sign_is_due(self.now.monotonic()));
        let under_way = self.cut.front().is_some_and(|group| group.sent);
        if is_due && !under_way && self.health == Health::Serving {
            self.want_group();
        }
    }
}
