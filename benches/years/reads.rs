//! What the disk reads by itself: pieces of some bytes at random places of a file.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread::ScopedJoinHandle;

use rustix::fs::{Advice, fadvise};

use crate::Result;
use crate::clock::now;
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
        for _ in 0..reads {
            self.file.read_exact_at(&mut buffer, dice.below(self.bytes - bytes as u64))?;
        }
        Ok(())
    }
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
