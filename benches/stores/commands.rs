//! Commands as a server reads them, by aft's own decoder.

use aft::resp::{Decoded, Decoder};
use bytes::{Buf, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::Result;

/// What arrives on a connection.
#[derive(Debug)]
pub(crate) struct Commands {
    decoder: Decoder,
    received: BytesMut,
}

impl Commands {
    pub(crate) fn new() -> Self {
        Self { decoder: Decoder::default(), received: BytesMut::with_capacity(16 << 10) }
    }

    /// Waits for more; whether there is any.
    pub(crate) async fn receive(&mut self, stream: &mut TcpStream) -> Result<bool> {
        Ok(stream.read_buf(&mut self.received).await? > 0)
    }

    /// Has `run` look at the words of the next command that has been received whole, if there is one.
    pub(crate) fn next<T>(&mut self, run: impl FnOnce(&[&[u8]]) -> T) -> Result<Option<T>> {
        loop {
            let decoded = self.decoder.decode(&self.received, true);
            match decoded.map_err(|error| format!("{error:?}"))? {
                Decoded::NeedMore { .. } => return Ok(None),
                Decoded::Empty { consumed } => self.received.advance(consumed),
                Decoded::Request { consumed } => {
                    let done = run(&self.decoder.args(&self.received).to_slices());
                    self.received.advance(consumed);
                    return Ok(Some(done));
                }
            }
        }
    }
}
