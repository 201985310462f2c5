//! What a connection reads ahead, and how long its replies are kept together meanwhile; what it
//! will need is [`crate::command::ahead`]'s to say.

use super::buffers::READ_BYTES;
use super::{Connection, Hearing, request_limits};
use crate::command::Execution;
use crate::command::ahead::{Ahead, REQUESTS_MAX, VALUES_MAX};
use crate::engine::core::{Core, Fetched, Missing};
use crate::engine::version::StoredValue;
use crate::resp::{Decoded, Decoder};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};

/// After so many waits that were over at once what is answered is written, and others get their turn.
pub(super) const FETCHES_UNWRITTEN_MAX: u32 = 8;

/// A value that is at hand is read in the time of so many commands whose values are in memory, and of
/// one more for so many bytes. It counts for as many in a turn.
const AT_HAND_COMMANDS: u64 = 4;
const AT_HAND_COMMAND_BYTES: u64 = 1024;

/// A value on its way.
pub(super) struct ReadingAhead {
    pub(super) place: StoredValue,
    value: Pin<Box<dyn Future<Output = Option<Fetched>> + Send>>,
}

impl<S: AsyncRead + AsyncWrite + Hearing + Unpin> Connection<S> {
    pub(super) fn poll_ahead(&mut self, context: &mut Context<'_>) {
        self.ahead.retain_mut(|reading| match reading.value.as_mut().poll(context) {
            Poll::Ready(value) => {
                self.fetched_ahead.extend(value);
                false
            }
            Poll::Pending => true,
        });
    }

    /// Lends what a command misses and the store has at hand. If that is all, the command runs
    /// again at once: for how many it counts that had to be read.
    #[inline]
    pub(super) fn lend_at_hand(&self, core: &mut Core, execution: &mut Execution) -> Option<u64> {
        match execution {
            Execution::Fetch(missing) => self.lend_missing(core, missing),
            _ => None,
        }
    }

    #[inline(never)]
    fn lend_missing(&self, core: &mut Core, missing: &mut Vec<Missing>) -> Option<u64> {
        // What is on its way isn't asked for again.
        if !self.under_way(missing).is_empty() {
            return None;
        }
        let fetched = self.server.engine.fetch_at_once(core, missing);
        let bytes: usize = fetched.iter().map(Fetched::bytes).sum();
        let reads = fetched.len() as u64 * AT_HAND_COMMANDS + bytes as u64 / AT_HAND_COMMAND_BYTES;
        core.lend(fetched);
        // An EXEC begins anew, from the first of its commands on.
        let again = self.session.multi.as_ref().map_or(0, |multi| multi.queue.len() as u64);
        missing.is_empty().then_some(reads + again)
    }

    /// Lends what was waited for.
    #[inline]
    pub(super) fn lend_fetched(&mut self, core: &mut Core) {
        if !self.fetched.is_empty() {
            core.lend(std::mem::take(&mut self.fetched));
        }
    }

    /// Those of some places whose values are on their way.
    pub(super) fn under_way(&self, missing: &[Missing]) -> Vec<StoredValue> {
        let is_read = |place: &&StoredValue| self.ahead.iter().any(|r| r.place == **place);
        missing.iter().filter_map(Missing::place).filter(is_read).copied().collect()
    }

    /// Whether the request whose values have just come runs before the replies so far are written:
    /// in a pipeline each miss would cost a write of its own.
    pub(super) fn goes_on_unwritten(&mut self) -> bool {
        let has_come = !self.fetched.is_empty() || !self.fetched_ahead.is_empty();
        let goes_on = has_come
            && self.fetches_unwritten < FETCHES_UNWRITTEN_MAX
            && self.output.waiting_bytes() < READ_BYTES;
        self.fetches_unwritten += u32::from(goes_on);
        goes_on
    }

    /// Has what requests from here on will read read with what one misses that waits.
    pub(super) fn read_ahead(&mut self, core: &mut Core, from: usize, missing: &[Missing]) {
        let mut rest = &self.input[from..];
        if rest.is_empty() {
            return;
        }
        if core.lent_ahead() > VALUES_MAX {
            // Some of it has been guessed wrong.
            core.keep_ahead();
        }
        let under_way = self.ahead.iter().map(|reading| &reading.place);
        let asked = under_way.chain(missing.iter().filter_map(Missing::place)).copied().collect();
        let mut ahead = Ahead::new(asked, self.ahead.len());
        let mut decoder = Decoder::new(request_limits(&self.settings));
        for _ in 0..REQUESTS_MAX {
            let Ok(Decoded::Request { consumed }) = decoder.decode(rest, true) else {
                break;
            };
            if !ahead.look(core, self.session.database, &decoder.args(rest).to_slices()) {
                break;
            }
            rest = &rest[consumed..];
        }
        let mut missing = ahead.missing();
        core.lend_ahead(self.server.engine.fetch_at_once(core, &mut missing));
        for missing in missing {
            let Some(place) = missing.place().copied() else { continue };
            let server = Arc::clone(&self.server);
            // What can't be read is told to whom it concerns.
            let value = Box::pin(async move { server.engine.try_fetch(&missing).await });
            self.ahead.push(ReadingAhead { place, value });
        }
    }
}
