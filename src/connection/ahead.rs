//! What a connection reads ahead, and how long its replies are kept together meanwhile; what it
//! will need is [`crate::command::ahead`]'s to say.

use super::buffers::READ_BYTES;
use super::{Connection, Hearing, request_limits};
use crate::command::ahead::{Ahead, REQUESTS_MAX};
use crate::engine::core::{Core, Fetched};
use crate::resp::{Decoded, Decoder};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};

/// After so many waits that were over at once what is answered is written, and others get their turn.
pub(super) const FETCHES_UNWRITTEN_MAX: u32 = 8;

/// Values on their way.
pub(super) type ReadingAhead = Pin<Box<dyn Future<Output = Vec<Fetched>> + Send>>;

impl<S: AsyncRead + AsyncWrite + Hearing + Unpin> Connection<S> {
    pub(super) fn poll_ahead(&mut self, context: &mut Context<'_>) {
        if let Some(ahead) = &mut self.ahead
            && let Poll::Ready(values) = ahead.as_mut().poll(context)
        {
            self.fetched_ahead.extend(values);
            self.ahead = None;
        }
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

    /// Has what requests behind the one that waits will read read with it.
    pub(super) fn read_ahead(&self, core: &Core, from: usize) -> Option<ReadingAhead> {
        let mut rest = &self.input[from..];
        if rest.is_empty() {
            return None;
        }
        let mut decoder = Decoder::new(request_limits(&self.settings));
        let mut ahead = Ahead::default();
        for _ in 0..REQUESTS_MAX {
            let Ok(Decoded::Request { consumed }) = decoder.decode(rest, true) else {
                break;
            };
            if !ahead.look(core, self.session.database, &decoder.args(rest).to_slices()) {
                break;
            }
            rest = &rest[consumed..];
        }
        let missing = ahead.missing();
        if missing.is_empty() {
            return None;
        }
        let server = Arc::clone(&self.server);
        // What can't be read is told to whom it concerns.
        let read = async move { server.engine.fetch(&missing).await.unwrap_or_default() };
        Some(Box::pin(read))
    }
}
