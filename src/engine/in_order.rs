//! Several futures under way at once, whose results come in the order of their beginning.
//!
//! Polled by who waits, one after the other, and not spawned: a seed of the simulation
//! replays exactly.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

enum Running<'f, T> {
    Pending(Pin<Box<dyn Future<Output = T> + Send + 'f>>),
    Done(T),
}

/// See the module.
pub(super) struct InOrder<'f, T>(VecDeque<Running<'f, T>>);

impl<T> Default for InOrder<'_, T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<'f, T> InOrder<'f, T> {
    /// Begins one more.
    pub(super) fn push(&mut self, future: impl Future<Output = T> + Send + 'f) {
        self.0.push_back(Running::Pending(Box::pin(future)));
    }

    /// How many are under way, or wait to be taken.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The result of the oldest; `None` if there is none.
    pub(super) async fn next(&mut self) -> Option<T> {
        poll_fn(|context| {
            for running in &mut self.0 {
                if let Running::Pending(future) = running
                    && let Poll::Ready(result) = future.as_mut().poll(context)
                {
                    *running = Running::Done(result);
                }
            }
            match self.0.pop_front() {
                Some(Running::Done(result)) => Poll::Ready(Some(result)),
                Some(pending) => {
                    self.0.push_front(pending);
                    Poll::Pending
                }
                None => Poll::Ready(None),
            }
        })
        .await
    }
}
