//! What the machine would allow: a server that does nothing, and the disk alone.

use std::fs::File;
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Result;
use crate::clock::now;
use crate::figures::Spread;

/// A tokio loop on one thread that finds the end of every command and answers +OK: no
/// command table, no data. No server on this runtime can be faster.
pub(crate) async fn serve_bare_loop() -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("listening  {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            // A client that goes away, or sends what is no command, ends only itself.
            let _ = serve(stream).await;
        });
    }
}

async fn serve(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut received = BytesMut::with_capacity(64 << 10);
    let mut out = Vec::new();
    while stream.read_buf(&mut received).await? > 0 {
        out.clear();
        let mut done = 0;
        while let Some(length) = command_length(&received[done..]) {
            done += length;
            out.extend_from_slice(b"+OK\r\n");
        }
        received.advance(done);
        stream.write_all(&out).await?;
    }
    Ok(())
}

/// The length of the command at the front; none if it is not all there.
fn command_length(buffer: &[u8]) -> Option<usize> {
    let (count, mut at) = prefixed_number(buffer)?;
    for _ in 0..count {
        let (length, digits) = prefixed_number(buffer.get(at..)?)?;
        at += digits + length + 2;
    }
    (at <= buffer.len()).then_some(at)
}

/// `*3\r\n` or `$16\r\n`: the number, and the length of all that.
fn prefixed_number(buffer: &[u8]) -> Option<(usize, usize)> {
    let mut number = 0;
    for (index, byte) in buffer.iter().enumerate().skip(1) {
        match byte {
            b'0'..=b'9' => number = number * 10 + usize::from(byte - b'0'),
            _ => return (index + 2 <= buffer.len()).then_some((number, index + 2)),
        }
    }
    None
}

/// How long the disk takes to make 4 KB durable, in milliseconds, and how much it makes
/// durable in a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Disk {
    /// Overwriting a block that exists: nothing but the data has to be written.
    pub(crate) preallocated: Spread,
    /// Appending to a file: its new length has to be written too.
    pub(crate) append: Spread,
    /// Appending pieces of 1 MB, each made durable before the next.
    pub(crate) synced_mb_per_second: f64,
}

const BLOCK: [u8; 4096] = [b'x'; 4096];
const BLOCKS: u64 = 256;
const PIECE_BYTES: usize = 1 << 20;

/// Syncs blocks for `limit` each way.
pub(crate) fn measure_disk(directory: &Path, limit: Duration) -> Result<Disk> {
    let mut file = File::create(directory.join("preallocated"))?;
    for _ in 0..BLOCKS {
        file.write_all(&[0; BLOCK.len()])?;
    }
    file.sync_all()?;
    let offsets = (0..BLOCKS).cycle().map(|block| block * BLOCK.len() as u64);
    let preallocated = time_syncs(&file, &BLOCK, offsets, limit)?;
    let append = time_appends(directory, &BLOCK, limit)?;
    let piece_ms = time_appends(directory, &vec![b'x'; PIECE_BYTES], limit)?.median;
    Ok(Disk { preallocated, append, synced_mb_per_second: PIECE_BYTES as f64 / 1e3 / piece_ms })
}

fn time_appends(directory: &Path, block: &[u8], limit: Duration) -> Result<Spread> {
    let file = File::create(directory.join("append"))?;
    let offsets = (0..).map(|number| number * block.len() as u64);
    time_syncs(&file, block, offsets, limit)
}

fn time_syncs(
    file: &File,
    block: &[u8],
    offsets: impl Iterator<Item = u64>,
    limit: Duration,
) -> Result<Spread> {
    let start = now();
    let mut times_ms = Vec::new();
    for offset in offsets {
        let before = now();
        file.write_all_at(block, offset)?;
        file.sync_data()?;
        times_ms.push(before.elapsed().as_secs_f64() * 1e3);
        if start.elapsed() > limit {
            break;
        }
    }
    Spread::of(times_ms).ok_or_else(|| "no sync was timed".into())
}
