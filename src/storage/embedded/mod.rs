//! The embedded store: objects in files of our own, in one directory.
//!
//! Objects are written once and trimmed from the old end, so the store is a log: a row
//! of segment files, each a row of records, and a map in memory that says where each
//! object is. There is next to nothing to compact, and one sync makes a batch of any size
//! durable.
//!
//! ```text
//!   segment-7          segment-8          segment-9 (head)      segment-10 (spare)
//!  ┌──────────────┐   ┌──────────────┐   ┌────────────────┐    ┌────────────────┐
//!  │ r r r r r r  │ ◄─┤seal r r d r  │ ◄─┤seal r r r 0 0 0│    │ 0 0 0 0 0 0 0 0│
//!  └──────────────┘   └──────────────┘   └────────────────┘    └────────────────┘
//!      r: object   d: delete   seal: "segment-8 ends at byte E"   0: zeros
//! ```
//!
//! # Why zeros
//!
//! A sync of a file that grew, or that has a hole where the data went, must also write
//! the file system's metadata through its journal. So the next segment is made ahead,
//! in the background, full of zeros and synced: then a commit is one write and one sync
//! of data alone (p50 of 4 KiB: appended 484 µs, in zeros 126 µs; 64 KiB: 365 and 143).
//! That writes each byte twice, which still pays while syncs are what limits us: with
//! the next segment being filled at the same time, batches of 32 KiB came to 1.7 to 2.0
//! times the throughput of an unfilled segment, 128 KiB to 1.2 to 1.4, 512 KiB to 0.9
//! to 1.1, 2 MiB to 0.8 with twice the p99. So where the last segment's batches were
//! 512 KiB or more on average, the next one is left unfilled.
//!
//! # Files that are used again
//!
//! In a store that is compacted one segment dies for each that is begun. From batches of
//! 32 KiB on the next one is made of the dead one's file, in its place: its header is written over
//! the old one, and what it has to hold beside that is filled behind the old one's end. That is
//! two syncs, and mostly none of the directory. A header stands there twice:
//!
//! ```text
//!   copy 1, copy 2           after a crash
//!   old,    old              the dead segment: the next start removes it
//!   new,    old    synced    neither: nothing has been written in it; the next start removes the file
//!   new,    new    synced    the next segment
//! ```
//! So one torn copy is never the only one; one that has rotted is written anew by the next start.
//! A segment's number is the one in its header: the file's
//! new name is not synced, and a start that finds an old one names it anew. Its old bytes are no
//! records any more, since each segment has a salt of its own; to a start they are junk
//! behind a tail, so it goes on in another segment: where batches are small that is not worth it.
//! Two dead segments are kept for the next ones, unless the disk is full. Who writes waits for the
//! next segment where it is being made and soon there: another one would take about as long, and the
//! first would be made in vain.
//!
//! A batch is written in whole pages, the last one with zeros to its
//! end: where a part of a page is written that the system doesn't have in memory, it has to
//! be read first. While another process looks at the directory no file is used again: it has
//! them open, and may read them later. It holds a lock on `FORMAT` for that.
//!
//! # What is decided, and when
//!
//! A batch is acknowledged after its sync. After a crash, its records may be whole,
//! torn or missing, sector by sector, and the reader can't tell an acknowledged batch
//! from one that was lucky. So:
//! - Every record says up to where its segment was synced when it was written, and a
//!   segment's successor begins with a seal that says where it ended. Before that point
//!   all is decided, and a bad checksum is damage, which is reported. Bodies there are
//!   not read when the store is opened.
//! - Behind that point, the longest prefix of whole records counts. They are copied
//!   behind everything that was ever written to the segment, or behind a gap in a new
//!   one, and the originals, with all the torn rest, are fenced off; both are synced before
//!   the store opens. What was dropped can't come back (P8), and what was shown can't go.
//!   A fence around the gap makes all copies count at once: some of them alone may be
//!   a state that never was.
//! - After a failed sync the kernel may have dropped the pages and marked them clean:
//!   another sync would succeed and mean nothing. So the segment is never written
//!   again; the next one begins with a seal that voids what that sync was to cover.
//!   The creates in it are answered `Unavailable`, and a repeated one writes again.
//!
//! Assumed of the disk: a write changes no byte outside of it and none it leaves equal
//! (powersafe overwrite); what a sync covered stays.
//!
//! Not covered: what was written in the last half second before a crash rots on the disk before
//! the next start. It looks torn and is dropped; nothing tells the two apart. A store that is
//! closed, or to which nothing was written for so long, ends with a mark, so there it is told.
//!
//! # Damage
//!
//! An object whose header can be read is listed, and read as it stands: the engine has
//! checksums over all it stores and names what it misses. A part of a segment in which
//! no header can be read is reported with its place, and the walk goes on at the next
//! good one.
//!
//! # Space
//!
//! A segment goes when nothing in it lives and no older one is left, removed or made the next: younger ones
//! hold the deletes and seals of older ones. The last 1/64 of a segment is for deletes,
//! so that a full disk can be relieved; half of it also for the few small objects without which
//! a start on a full disk would not serve reads, and, if need be, all of it for what a crash has
//! left undecided. Mostly that is little: on a disk that was found full a mark behind each large
//! batch says that it is durable. Where it is more (a kill between a large batch and its mark, or a
//! second of writes that were not synced), a start ends with "no space left". A sealed segment's
//! file is cut at its end when the seal is durable, if more than a 32nd is free: the room in which
//! the next object didn't fit is given back. The few
//! small objects that outlive all others of the oldest segment are copied to the head, so
//! that they don't hold it back.
//!
//! | file          | what                                              |
//! |---------------|---------------------------------------------------|
//! | `threads`     | a writer, two for chores, a syncer, two readers   |
//! | `segments`    | the core: a batch in, its answers out             |
//! | `run`         | records staged and written together               |
//! | `durable`     | what is synced, and what follows when that fails  |
//! | `recover`     | opening: what a crash left is decided             |
//! | `examine`     | what of a segment counts                          |
//! | `scan`        | from header to header                             |
//! | `read_only`   | the directory for a look, nothing changed         |
//! | `chores`      | the next segment, dead and sealed ones, syncs     |
//! | `moves`       | what outlives its segment                         |
//! | `index`       | name to place                                     |
//! | `record`      | the bytes                                         |
//! | `format`      | the directory's files                             |
//! | `disk`        | what a disk must do; `system_disk`: a real one    |

mod chores;
mod disk;
mod durable;
mod examine;
mod format;
mod index;
mod moves;
mod read_only;
mod record;
mod recover;
mod run;
mod scan;
mod segments;
mod system_disk;
mod threads;

pub use chores::{Chore, Finished};
pub use disk::{Disk, DiskFile, SyncPoint};
pub use read_only::ReadOnlyStore;
pub use recover::Damage;
pub use segments::{Done, Segments, Write};
pub use system_disk::SystemDisk;

use super::{Created, Limits, Store, StoreError, StoreFuture};
use crate::rope::Rope;
use bytes::Bytes;
use index::Index;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use threads::{ReadJob, Threads, WriteJob};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// The largest object, in bytes.
pub const OBJECT_BYTES_MAX: u64 = 1 << 30;
/// The smallest segments that [`EmbeddedOptions::segment_bytes`] can ask for.
pub const SEGMENT_BYTES_MIN: u64 = 8 << 10;
/// As long as a system call and its way through our queue take, so many bytes are copied.
const READ_GAP_BYTES: u64 = 8 << 10;
/// How many writes, and how many reads, may be queued; more wait.
const QUEUE_MAX: usize = 1024;

/// When a write is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// When it is durable.
    Always,
    /// When it is written; a second later its sync begins. A power cut or a crash of the
    /// system takes what wasn't synced yet, newest first; a crash of this process takes
    /// none.
    EverySecond,
}

/// How the store is to work.
#[derive(Debug, Clone, Copy)]
pub struct EmbeddedOptions {
    /// The greatest length of a segment file in bytes. A store that is small has smaller ones,
    /// down to a thirty-second.
    pub segment_bytes: u64,
    /// When a write is acknowledged.
    pub durability: Durability,
    /// From batches of this size on, in bytes and on average, the next segment is made of the
    /// file of a dead one. A start can't tell where in such a file it ended, and begins another:
    /// with small batches it rather goes on in the same, also on a full disk.
    pub reuse_batch_bytes_min: u64,
    /// Any number that others can't guess: the segments' salts are drawn from it. A
    /// stored copy of one of our own segments can't then pass for records of another.
    pub entropy: u64,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            durability: Durability::Always,
            reuse_batch_bytes_min: 32 << 10,
            entropy: 0,
        }
    }
}

/// A store in a directory of this machine.
#[derive(Debug)]
pub struct EmbeddedStore<F: DiskFile = File> {
    index: Arc<Index<F>>,
    threads: Threads<F>,
    writes: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    damage: Vec<Damage>,
}

impl EmbeddedStore {
    /// Opens the store in a directory, or begins one there. Blocks while it reads the
    /// records' headers (20,000 take about a tenth of a second).
    ///
    /// Errors: `Fatal` if another process has the directory, it can't be written, or
    /// was written in another format (it is left untouched then); `Full` if there is no
    /// space to settle what a crash left.
    pub fn open(path: &Path, options: EmbeddedOptions) -> Result<Self, StoreError> {
        Self::open_on(Arc::new(SystemDisk::open(path)?), options)
    }
}

impl<F: DiskFile> EmbeddedStore<F> {
    /// The same on any disk.
    pub fn open_on<D>(disk: Arc<D>, options: EmbeddedOptions) -> Result<Self, StoreError>
    where
        D: Disk<File = F>,
    {
        let segments = Segments::open(Arc::clone(&disk), options)?;
        let index = Arc::clone(&segments.index);
        let damage = segments.damage().to_vec();
        let every_second = options.durability == Durability::EverySecond;
        let threads = Threads::start(segments, disk, every_second)
            .map_err(|error| StoreError::Fatal(format!("starting a thread: {error}")))?;
        Ok(Self {
            index,
            threads,
            writes: Arc::new(Semaphore::new(QUEUE_MAX)),
            reads: Arc::new(Semaphore::new(QUEUE_MAX)),
            damage,
        })
    }

    /// What was found unreadable when the store was opened; see the module's essay.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    async fn write(&self, write: Write) -> Result<Done, StoreError> {
        let (answer, answered) = oneshot::channel();
        let permit = place_in(&self.writes).await?;
        self.threads.write(WriteJob { write, answer, permit });
        answered.await.map_err(|_| stopped())?
    }
}

async fn place_in(queue: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, StoreError> {
    Arc::clone(queue).acquire_owned().await.map_err(|_| stopped())
}

fn stopped() -> StoreError {
    StoreError::Fatal("a thread of the embedded store has stopped".to_owned())
}

impl<F: DiskFile> Store for EmbeddedStore<F> {
    fn limits(&self) -> Limits {
        Limits {
            object_bytes_max: OBJECT_BYTES_MAX,
            group_bytes_useful: 1 << 20,
            creates_in_flight: 4,
            read_gap_bytes: READ_GAP_BYTES,
            frees_in_order: true,
            shows_at_once: true,
            survives_process: true,
        }
    }

    fn damage(&self) -> Vec<String> {
        self.damage.iter().map(ToString::to_string).collect()
    }

    fn create<'a>(&'a self, name: &'a str, object: Bytes) -> StoreFuture<'a, Created> {
        self.create_in_pieces(name, object.into())
    }

    fn create_in_pieces<'a>(&'a self, name: &'a str, object: Rope) -> StoreFuture<'a, Created> {
        Box::pin(async move {
            let create = Write::Create { name: name.to_owned(), body: object };
            Ok(match self.write(create).await? {
                Done::AlreadyExists => Created::AlreadyExists,
                Done::Created | Done::Deleted => Created::Created,
            })
        })
    }

    fn read<'a>(&'a self, name: &'a str, offset: u64, length: u64) -> StoreFuture<'a, Bytes> {
        Box::pin(async move {
            let place = self.index.get(name).ok_or(StoreError::NotFound)?;
            let (answer, answered) = oneshot::channel();
            let permit = place_in(&self.reads).await?;
            let name = name.to_owned();
            let job = ReadJob { name, place, offset, length, answer, permit };
            self.threads.read(job).await;
            answered.await.map_err(|_| stopped())?
        })
    }

    /// Most values that are not in our memory are in the system's.
    fn read_at_once(&self, name: &str, offset: u64, length: u64) -> Option<Bytes> {
        self.index.get(name)?.read_at_once(offset, length)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<String>> {
        Box::pin(async move { Ok(self.index.list(prefix, after, limit)) })
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let names = names.to_vec();
            self.write(Write::Delete { names }).await.map(|_| ())
        })
    }
}
