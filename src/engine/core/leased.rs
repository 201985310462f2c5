//! The owner's lease on a shared store; see [`lease`](crate::engine::lease).

use super::super::lease::Lease;
use super::{Core, Health};
use std::time::Duration;

/// On what terms the state is answered from.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) lease: Lease,
    /// Whether reads go on when it is over.
    stale_reads: bool,
}

impl Core {
    /// The store is shared: what is answered from now on depends on this lease.
    pub fn begin_lease(&mut self, lease: Lease, stale_reads: bool) {
        self.lease = Some(Terms { lease, stale_reads });
    }

    /// Whether nobody else can serve the store yet.
    #[inline]
    pub fn lease_holds(&self) -> bool {
        self.lease.as_ref().is_none_or(|terms| terms.lease.holds(self.now.monotonic()))
    }

    /// For how long the store has not acknowledged anything, if that is too long to answer: what
    /// is in memory may be old.
    #[inline]
    pub fn silenced_for(&self) -> Option<Duration> {
        let now = self.now.monotonic();
        let terms = self.lease.as_ref()?;
        (!terms.stale_reads && !terms.lease.holds(now)).then(|| terms.lease.silent_for(now))
    }

    /// The store was found to be ours by a request that was sent then.
    pub fn owns_since(&mut self, sent_at: Duration) {
        if let Some(terms) = &mut self.lease {
            terms.lease.acknowledged(sent_at);
        }
    }

    /// Asks for a group, if nothing has been sent for so long that others might take this node for
    /// dead.
    pub fn show_life(&mut self) {
        let now = self.now.monotonic();
        let is_due = self.lease.as_ref().is_some_and(|terms| terms.lease.sign_is_due(now));
        let under_way = self.cut.front().is_some_and(|group| group.sent);
        if is_due && !under_way && self.health == Health::Serving {
            self.want_group();
        }
    }
}
