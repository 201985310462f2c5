//! Whether what answers is still what a start has seen. A service behind a pool of connections may
//! be emptied, restarted without its disk, or become another one, and nothing breaks on our side:
//! a node that goes on would put its log into a stranger's store.
//!
//! What it looks for is what says what the store is, see [`claim`](super::claim).

use super::fault::Fault;
use crate::clock::{Clock, SystemClock};
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Connections that were quiet for so long may have been replaced without our knowing.
const QUIET: Duration = Duration::from_secs(5);

/// Remembers whether to look again.
#[derive(Debug)]
pub(super) struct Landmark {
    /// What the start has found.
    format: Bytes,
    /// What the store is in, for a person: `bucket`.
    place: &'static str,
    clock: SystemClock,
    /// Requests that had no good answer. The first look is yet to come.
    doubts: AtomicU64,
    /// So many of them came before the last look.
    cleared: AtomicU64,
    /// When something was answered, in milliseconds of the clock.
    heard_ms: AtomicU64,
}

/// Counts as a doubt, unless it is told that all went well.
struct Doubt<'l>(&'l Landmark);

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        self.0.doubts.fetch_add(1, Ordering::AcqRel);
    }
}

impl Landmark {
    pub(super) fn new(format: Bytes, place: &'static str) -> Self {
        let (doubts, cleared) = (AtomicU64::new(0), AtomicU64::new(0));
        let (clock, heard_ms) = (SystemClock::new(), AtomicU64::new(0));
        Self { format, place, clock, doubts, cleared, heard_ms }
    }

    /// Sends a request, if there is a doubt after a look at what says now what the store is. An
    /// answer that nobody waits for any more is one, too.
    pub(super) async fn behind<T>(
        &self,
        look: impl Future<Output = Result<Option<Bytes>, Fault>>,
        request: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let doubt = Doubt(self);
        let doubts = self.doubts.load(Ordering::Acquire);
        if doubts > self.cleared.load(Ordering::Acquire) || self.was_quiet() {
            if look.await?.as_ref() != Some(&self.format) {
                return Err(Fault::Foreign(format!(
                    "this {} does not hold the data that this node has written: it was emptied, or \
                     is another one",
                    self.place
                )));
            }
            self.cleared.fetch_max(doubts, Ordering::AcqRel);
        }
        let answer = request.await;
        if !matches!(answer, Err(Fault::Passing(_) | Fault::Refused(_) | Fault::Foreign(_))) {
            std::mem::forget(doubt);
            self.heard_ms.store(self.now_ms(), Ordering::Release);
        }
        answer
    }

    fn was_quiet(&self) -> bool {
        let heard = Duration::from_millis(self.heard_ms.load(Ordering::Acquire));
        self.clock.monotonic() > heard + QUIET
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::claim;
    use std::cell::Cell;

    fn landmark() -> (Landmark, Bytes) {
        let format = claim::new(7);
        (Landmark::new(format.clone(), "bucket"), format)
    }

    #[tokio::test]
    async fn a_look_comes_after_what_failed_or_was_given_up_and_only_then() {
        let ((landmark, format), looks) = (landmark(), Cell::new(0));
        let ask = async |answer: Result<u8, Fault>| {
            let look = async {
                looks.set(looks.get() + 1);
                Ok(Some(format.clone()))
            };
            landmark.behind(look, async { answer }).await
        };
        let lost = || Err(Fault::Passing("lost".to_owned()));
        assert_eq!(ask(Ok(1)).await, Ok(1));
        assert_eq!((ask(lost()).await, looks.get()), (lost(), 0));
        assert_eq!((ask(Ok(2)).await, looks.get()), (Ok(2), 1));
        assert_eq!((ask(Ok(3)).await, looks.get()), (Ok(3), 1));
        let never =
            landmark.behind(async { Ok(None) }, std::future::pending::<Result<u8, Fault>>());
        assert!(tokio::time::timeout(Duration::from_millis(1), never).await.is_err());
        assert_eq!((ask(Ok(4)).await, looks.get()), (Ok(4), 2));
    }

    #[tokio::test]
    async fn nothing_is_sent_where_the_look_finds_something_else() {
        let (landmark, _) = landmark();
        let lost = Err::<u8, _>(Fault::Passing("lost".to_owned()));
        landmark.behind(async { Ok(None) }, async { lost }).await.unwrap_err();
        let refused = Err(Fault::Refused("no".to_owned()));
        for (found, word) in
            [(Ok(None), "emptied"), (Ok(Some(claim::new(8))), "bucket"), (refused, "no")]
        {
            let sent = Cell::new(false);
            let request = async {
                sent.set(true);
                Ok(1)
            };
            let fault = landmark.behind(async { found }, request).await.unwrap_err();
            assert!(format!("{fault:?}").contains(word), "{fault:?}");
            assert!(!sent.get());
        }
    }
}
