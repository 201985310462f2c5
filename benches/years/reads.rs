//! What the disk reads by itself: pieces of some bytes at random places of a file. And what a server
//! answers that does nothing but read such a piece for each request.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};

use rustix::fs::{Advice, fadvise};

use crate::Result;
use crate::clock::now;
use crate::options::BareServer;
use crate::requests::Dice;

/// A file to read from.
#[derive(Debug)]
pub(crate) struct Data {
    file: File,
    bytes: u64,
}

impl Data {
    /// A file of at least so many bytes.
    pub(crate) fn create(path: &Path, bytes: u64) -> Result<Self> {
        let piece = vec![b'x'; 1 << 20];
        let pieces = bytes.div_ceil(piece.len() as u64);
        let mut file = File::options().read(true).write(true).create_new(true).open(path)?;
        for _ in 0..pieces {
            file.write_all(&piece)?;
        }
        file.sync_all()?;
        Ok(Self { file, bytes: pieces * piece.len() as u64 })
    }

    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { file, bytes })
    }

    /// Reads a second of so many bytes each, by so many threads, of which each makes so many.
    pub(crate) fn reads_per_second(
        &self,
        bytes: usize,
        threads: usize,
        reads: u64,
        seed: u64,
    ) -> Result<f64> {
        let began = now();
        std::thread::scope(|scope| -> Result<()> {
            let read = |thread: usize| {
                let seed = seed + thread as u64;
                scope.spawn(move || self.read(bytes, reads, seed))
            };
            let running: Vec<_> = (0..threads).map(read).collect();
            running.into_iter().try_for_each(joined)
        })?;
        Ok((reads * threads as u64) as f64 / began.elapsed().as_secs_f64())
    }

    fn read(&self, bytes: usize, reads: u64, seed: u64) -> Result<()> {
        let (mut dice, mut buffer) = (Dice::new(seed), vec![0; bytes]);
        (0..reads).try_for_each(|_| self.read_one(&mut buffer, &mut dice))
    }

    fn read_one(&self, buffer: &mut [u8], dice: &mut Dice) -> Result<()> {
        let place = dice.below(self.bytes - buffer.len() as u64);
        Ok(self.file.read_exact_at(buffer, place)?)
    }

    /// Answers every request of one connection with so many bytes. Every request is taken for a GET
    /// of one key, and no key for a line's end.
    fn answer(&self, mut stream: TcpStream, bytes: usize, seed: u64) -> Result<()> {
        const LINES_A_GET: usize = 5;
        let (mut dice, mut input, mut out) = (Dice::new(seed), vec![0; 64 << 10], Vec::new());
        let mut lines = 0;
        stream.set_nodelay(true)?;
        loop {
            let received = stream.read(&mut input)?;
            if received == 0 {
                return Ok(());
            }
            lines += input[..received].iter().filter(|&&byte| byte == b'\n').count();
            out.clear();
            for _ in 0..lines / LINES_A_GET {
                write!(out, "${bytes}\r\n")?;
                let value_at = out.len();
                out.resize(value_at + bytes, 0);
                self.read_one(&mut out[value_at..], &mut dice)?;
                out.extend_from_slice(b"\r\n");
            }
            lines %= LINES_A_GET;
            stream.write_all(&out)?;
        }
    }
}

/// The least that a server can do which reads the value of each GET: one thread for each
/// connection, no key, no index, no cache.
pub(crate) fn serve(plan: &BareServer) -> Result<()> {
    /// Other places than those of the program that only reads.
    const SEED: u64 = 1_000_000;
    let data = Arc::new(Data::open(&plan.file)?);
    let bytes = plan.value_bytes;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("listening {}", listener.local_addr()?);
    for (number, stream) in listener.incoming().flatten().enumerate() {
        let data = Arc::clone(&data);
        // A client that is not answered says so.
        thread::spawn(move || data.answer(stream, bytes, SEED + number as u64));
    }
    Ok(())
}

fn joined(thread: ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    thread.join().map_err(|_| "a reading thread panicked")?
}

/// Has the next read of any place of the files below a directory come from the device.
pub(crate) fn drop_from_page_cache(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            drop_from_page_cache(&path)?;
        } else {
            let file = File::open(path)?;
            file.sync_data()?;
            fadvise(&file, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}
