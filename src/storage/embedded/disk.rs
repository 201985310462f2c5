//! What the segments need of a disk: a directory of files, and syncs with a label.
//!
//! Two implementations: [`SystemDisk`](super::SystemDisk) and, in the tests, a
//! simulated one that forgets at a power cut whatever was not synced.

use std::io;

/// Why a sync is made. Tests take out any one of them and expect to be noticed, so
/// that each of them is known to carry a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPoint {
    /// The contents of `FORMAT`, before it gets its name. Without it a directory may
    /// hold an empty `FORMAT` and is refused from then on.
    FormatFile,
    /// The name `FORMAT`, before there are segments. Without it segments may stand in
    /// a directory that doesn't say how to read them.
    FormatDirectory,
    /// A new segment's header and zeros, before it gets its name. Without it a segment
    /// may have no readable header, and every later sync has metadata to write. Of one that is
    /// made of a dead one's file the second copy of the header, before anything is acknowledged
    /// in it: without it that would not count.
    NewSegmentFile,
    /// A new segment's name, before anything in it is acknowledged. Without it a whole
    /// segment of acknowledged objects may vanish. And the name of a file that was used again,
    /// before that is: without it a crash may show it under two.
    NewSegmentDirectory,
    /// The first copy of a segment's header over that of a dead one whose file it is made of, and
    /// the zeros it needs, before the second. Without it both may be torn, or the header
    /// may be there and the zeros not.
    OverDeadSegment,
    /// A batch of records, before its creates and deletes are acknowledged.
    Batch,
    /// Zeros over a batch that could only be written in part because the disk is full,
    /// before its creates are answered `Full`, which says "was not written".
    Scrub,
    /// Copies of the records found behind the last point known to be synced, before
    /// the originals are declared void. Without it both may be lost.
    SettleCopies,
    /// The fences that declare the originals void, before the store is opened. Without
    /// it an object that was seen after one restart may be gone after the next.
    SettleFences,
    /// The removal of a segment file, before a younger one is removed. Without it the
    /// older may come back when the deletes in the younger are gone.
    RemovedSegment,
}

impl SyncPoint {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::FormatFile,
        Self::FormatDirectory,
        Self::NewSegmentFile,
        Self::NewSegmentDirectory,
        Self::OverDeadSegment,
        Self::Batch,
        Self::Scrub,
        Self::SettleCopies,
        Self::SettleFences,
        Self::RemovedSegment,
    ];
}

/// One directory, its files known by their bare names. What a call changes is durable
/// only after the sync that covers it.
pub trait Disk: Send + Sync + 'static {
    /// An open file, for reading and writing.
    type File: DiskFile;

    /// Creates a file, or empties the one of that name.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// Opens a file that is there.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Gives a file another name, atomically.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Writes over the beginning of a file, to use it again. `false`, and nothing is changed,
    /// where another process may still want to read what is in it.
    fn write_over(&self, file: &Self::File, bytes: &[u8]) -> io::Result<bool> {
        write_all(file, bytes, 0).map_err(|failure| failure.error)?;
        Ok(true)
    }
    /// Removes a file's name; who has it open may still read it.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// The names in the directory, in any order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes all names durable: creations, renames and removals up to now.
    fn sync_directory(&self, point: SyncPoint) -> io::Result<()>;
}

/// An open file, usable from several threads at once.
pub trait DiskFile: Send + Sync + 'static {
    /// The file's length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Makes the file longer (with a hole) or shorter.
    fn set_length(&self, length: u64) -> io::Result<()>;
    /// Reads some bytes at `offset`; 0 at or behind the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// The same, as far as nothing has to wait for the disk; `WouldBlock` where the system
    /// can't tell.
    fn read_at_once(&self, _buffer: &mut [u8], _offset: u64) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
    /// Writes some of the bytes at `offset` and says how many.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Makes the contents durable (fdatasync). After an error nothing may be assumed
    /// of what was written since the last success: the system may have dropped it and
    /// will not say so again.
    fn sync(&self, point: SyncPoint) -> io::Result<()>;
}

/// A write that ended early.
#[derive(Debug)]
pub(super) struct WriteFailed {
    /// How many bytes had been written by then.
    pub(super) written: u64,
    pub(super) error: io::Error,
}

/// Writes all bytes, or says how far it came.
pub(super) fn write_all(
    file: &impl DiskFile,
    mut bytes: &[u8],
    mut offset: u64,
) -> Result<(), WriteFailed> {
    let start = offset;
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => {
                return Err(WriteFailed {
                    written: offset - start,
                    error: io::ErrorKind::WriteZero.into(),
                });
            }
            Ok(count) => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(WriteFailed { written: offset - start, error });
            }
        }
    }
    Ok(())
}

/// Fills the buffer from `offset`, less where the file ends; says how much it read.
pub(super) fn read_full(file: &impl DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
