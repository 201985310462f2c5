//! A reply may have to wait for the group it depends on: a gate opens when the group's
//! fate is known.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// What became of a group, as far as its clients are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// Not known yet.
    Pending = 0,
    /// Durable and visible.
    Durable = 1,
    /// Certainly not committed, now and for ever.
    NotCommitted = 2,
    /// The store didn't say in time: it may be committed or not.
    Uncertain = 3,
}

/// The outcome of one group and who waits for it.
#[derive(Debug, Default)]
pub struct Gate {
    outcome: AtomicU8,
    waiting: Mutex<Vec<Waker>>,
}

impl Gate {
    /// What became of the group.
    #[inline]
    pub fn outcome(&self) -> Outcome {
        match self.outcome.load(Ordering::Acquire) {
            0 => Outcome::Pending,
            1 => Outcome::Durable,
            2 => Outcome::NotCommitted,
            _ => Outcome::Uncertain,
        }
    }

    /// Opens the gate. The first outcome stands: clients have been answered by it.
    pub(crate) fn open(&self, outcome: Outcome) {
        if self
            .outcome
            .compare_exchange(0, outcome as u8, Ordering::AcqRel, Ordering::Acquire)
            .is_err()
        {
            return;
        }
        let waiting = std::mem::take(&mut *self.waiting());
        for waker in waiting {
            waker.wake();
        }
    }

    /// Waits for the outcome.
    pub fn poll(&self, context: &mut Context<'_>) -> Poll<Outcome> {
        if self.outcome() == Outcome::Pending {
            let mut waiting = self.waiting();
            // Looked at again under the lock: a wake in between would be lost otherwise.
            if self.outcome() == Outcome::Pending {
                if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                    waiting.push(context.waker().clone());
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(self.outcome())
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
