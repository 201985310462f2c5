//! What a client has heard of its replies, as far as TCP tells, and what becomes of the rest on a
//! connection that is bound to a transaction ([`crate::engine::interactive::resend`]).
//!
//! ```text
//!   the connection ends …                            its tail
//!   reset by the peer                                all that is not known to be read
//!   in another way, all replies acknowledged         nothing: an orderly close
//!   by its end of input, some written and not yet    what is not: taken back once it is, after all
//!   by us, all written                               what is not acknowledged soon
//!   with replies that can't be written               what is not acknowledged
//! ```
//! A peer resets when it closes with bytes unread, so what its TCP had acknowledged may be lost
//! then. A peer that closed in order had read whatever had reached it.

use super::Connection;
use crate::command::resend;
use crate::engine::core::Core;
use crate::server::Client;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A stream that knows what of its bytes has arrived.
pub(super) trait Hearing {
    /// So many of `written` bytes have reached the peer, at the least. `flushed`: the stream holds
    /// none of them itself.
    fn heard(&self, written: u64, flushed: bool) -> u64;

    /// Nothing more will reach the peer, which has reset the connection.
    fn is_reset(&self) -> bool;
}

/// What the system says of the bytes of a stream.
struct Sent {
    /// So many have been acknowledged.
    acknowledged: u64,
    /// None is on its way, or waits for it.
    all: bool,
    /// The connection is no more.
    reset: bool,
}

impl Sent {
    #[cfg(target_os = "linux")]
    fn of(stream: &TcpStream) -> Option<Self> {
        use std::os::fd::AsRawFd;
        /// `TCP_CLOSE`, which is not that of a connection that waits for its last packets.
        const CLOSED: u8 = 7;
        /// `struct tcp_info`, of which newer systems fill more: where they stand in it.
        const UNACKED: usize = 24;
        const BYTES_ACKED: usize = 120;
        const NOTSENT_BYTES: usize = 144;
        let mut info = [0u8; 192];
        let (level, option) = (uapi::c::IPPROTO_TCP, uapi::c::TCP_INFO);
        let filled = uapi::getsockopt(stream.as_raw_fd(), level, option, &mut info[..]).ok()?;
        let number = |at: usize| info[at..at + 4].try_into().map_or(0, u32::from_ne_bytes);
        let acknowledged = info[BYTES_ACKED..BYTES_ACKED + 8].try_into();
        (filled >= NOTSENT_BYTES + 4).then(|| Self {
            acknowledged: acknowledged.map_or(0, u64::from_ne_bytes),
            all: number(UNACKED) == 0 && number(NOTSENT_BYTES) == 0,
            reset: info[0] == CLOSED,
        })
    }

    /// Elsewhere what was written counts as heard: only a reset loses it.
    #[cfg(not(target_os = "linux"))]
    fn of(_: &TcpStream) -> Option<Self> {
        None
    }
}

impl Hearing for TcpStream {
    fn heard(&self, written: u64, _: bool) -> u64 {
        Sent::of(self).map_or(written, |sent| sent.acknowledged.min(written))
    }

    fn is_reset(&self) -> bool {
        Sent::of(self).is_some_and(|sent| sent.reset)
    }
}

/// Its bytes are others than those written into it: all have been heard, or it is not known.
impl Hearing for &mut TlsStream<TcpStream> {
    fn heard(&self, written: u64, flushed: bool) -> u64 {
        let sent = Sent::of(self.get_ref().0);
        if flushed && sent.is_none_or(|sent| sent.all) { written } else { 0 }
    }

    fn is_reset(&self) -> bool {
        self.get_ref().0.is_reset()
    }
}

impl<S: AsyncRead + AsyncWrite + Hearing + Unpin> Connection<S> {
    /// So much of the replies has reached the client.
    fn heard(&self) -> u64 {
        self.stream.heard(self.written, !self.unflushed)
    }

    /// The client says something more: what had reached it by now, it has read.
    #[inline]
    pub(super) fn hear(&mut self) {
        if self.session.resends.as_ref().is_some_and(|resends| resends.unread.end().is_some()) {
            let heard = self.heard();
            if let Some(resends) = &mut self.session.resends {
                resends.unread.read_through(heard);
            }
        }
    }

    /// At its end: what the client may not have read stays with its transaction.
    pub(super) async fn leave_unheard(&mut self, client: &Client, ended: io::Result<()>) {
        let Some(resends) = &self.session.resends else { return };
        let (token, end) = (resends.token, resends.unread.end().unwrap_or(0));
        let all_written = ended.is_ok() && !self.unflushed && self.output.waiting_bytes() == 0;
        let reset = ended.is_err_and(|error| is_reset(&error)) && !self.input_ended;
        if !reset {
            if self.heard() >= end {
                return;
            }
            // Of an end that comes from here it hears behind all replies.
            if all_written && !self.input_ended && self.is_heard_soon(end).await {
                return;
            }
            self.hear();
        }
        let (server, session) = (Arc::clone(&self.server), &mut self.session);
        let settings = server.settings();
        let leave = |core: &mut Core| resend::leave(&settings, session, core, client);
        let left = server.engine.with_core(leave);
        // It has ended its own side, and may have ended all: then it may come again at once.
        if left && all_written && self.input_ended && self.is_heard_soon(end).await {
            server.engine.with_core(|core| core.take_tail_back(token, client.id));
        }
    }

    /// Whether the client hears all after all: one that has ended its own side only, as `nc` does.
    async fn is_heard_soon(&mut self, end: u64) -> bool {
        /// As long as the last words of TLS may take.
        const PATIENCE: Duration = Duration::from_secs(1);
        let mut pause = Duration::from_millis(1);
        let mut waited = Duration::ZERO;
        let _ = self.stream.shutdown().await;
        while waited < PATIENCE && !self.stream.is_reset() {
            if self.heard() >= end {
                return true;
            }
            tokio::time::sleep(pause).await;
            waited += pause;
            pause *= 2;
        }
        self.heard() >= end
    }
}

fn is_reset(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe)
}
