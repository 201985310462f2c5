//! Moves bytes between a connection's buffers and its stream.

use super::heard::Hearing;
use super::{Connection, Pause};
use bytes::BufMut;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

impl<S: AsyncRead + AsyncWrite + Hearing + Unpin> Connection<S> {
    /// Writes what may be written, as far as to the system; `true` if that was the last of it.
    pub(super) fn poll_write(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        loop {
            let stream = Pin::new(&mut self.stream);
            let (length, written) = match self.output.sendable().as_slice() {
                [] => break,
                [piece] => (piece.len(), stream.poll_write(context, piece)),
                pieces => {
                    let length = pieces.iter().map(|piece| piece.len()).sum();
                    (length, stream.poll_write_vectored(context, pieces))
                }
            };
            match written {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    // Usually all goes at once, right after it was asked for.
                    let takes_long = count < length || self.output.is_partly_written();
                    self.output.wrote(count);
                    self.written += count as u64;
                    self.server.counters.bytes_out.fetch_add(count as u64, Ordering::Relaxed);
                    if takes_long {
                        let now_ms = self.server.uptime_ms();
                        self.session.client.last_ms.store(now_ms, Ordering::Relaxed);
                    }
                    self.unflushed = true;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(false),
            }
        }
        if !self.unflushed {
            return Ok(false);
        }
        match Pin::new(&mut self.stream).poll_flush(context)? {
            Poll::Pending => Ok(false),
            Poll::Ready(()) => {
                self.unflushed = false;
                Ok(self.input_ended || self.session.closing)
            }
        }
    }

    /// Reads once; `true` if that brought bytes or the end.
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        let (buffer, room) = self.input.lend(self.missing);
        let mut buffer = buffer.limit(room);
        let read = pin!(self.stream.read_buf(&mut buffer)).poll(context);
        if !matches!(read, Poll::Ready(Ok(1..))) {
            self.input.take_back();
        }
        match read {
            Poll::Pending => Ok(false),
            // A TLS client that hangs up without a word. Requests tell their own lengths, so
            // nothing can be cut off unnoticed: it is an end like any other.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.input_ended = true;
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(0)) => {
                self.input_ended = true;
                Ok(true)
            }
            Poll::Ready(Ok(count)) => {
                self.hear();
                self.missing.bytes = self.missing.bytes.saturating_sub(count);
                // Otherwise its turn comes at once, and says when that was.
                if !matches!(self.pause, Pause::No) {
                    let now_ms = self.server.uptime_ms();
                    self.session.client.last_ms.store(now_ms, Ordering::Relaxed);
                }
                self.server.counters.bytes_in.fetch_add(count as u64, Ordering::Relaxed);
                Ok(true)
            }
        }
    }
}
