//! Large values on their way to blobs, and back.
//!
//! A value that is too large for a group is written before the transaction that puts it is
//! sequenced, while nobody waits but who sent it: a command whose values are not in the store
//! yet is run again when they are, like one that misses values
//! ([`Engine::fetch`](super::Engine::fetch)). An interactive transaction leaves its large values
//! in the store in the same way as they come (AFT's write buffer, section 3.3 of the paper), so
//! it may hold more than memory allows (`transaction-bytes-max` bounds it).
//!
//! ```text
//!   SET k <4 MB+>  --> run: misses a blob --> chunks are written, four at a time
//!                 \--> run again: the put names the blob, and is sequenced
//!                                             |
//!                         its group is acknowledged: named, compaction keeps it
//!                         refused, aborted, hung up, conflict: let go, and deleted
//! ```
//! A crash leaves chunks that no commit names; the next start deletes them, or its sweep.

use super::Engine;
use super::body::Body;
use super::core::Core;
use super::in_order::InOrder;
use super::sweep;
use super::version::{ObjectId, StoredValue};
use crate::layout::blob::{CHUNK_BYTES, ValueCrc, decode_chunk, encode_chunk};
use crate::layout::{BlobName, FormatError, Header, Kind, ObjectName};
use crate::storage::StoreError;
use crate::storage::resilient::{Decided, time_to_carry};
use bytes::{Bytes, BytesMut};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Chunks of one value that are under way at a time: what hides a store's latency. Those of a
/// value to be written are shared with who holds it; those read are held until it is their turn.
const CHUNKS_IN_FLIGHT: usize = 4;

/// What was let go of is deleted after so long: a create that was given up may arrive late. One
/// that takes longer leaves a chunk that is swept later.
const DELETE_AFTER: Duration = Duration::from_secs(5);

/// Blobs that nothing names and nobody wants any more.
pub(super) type LetGo = Arc<Mutex<Vec<BlobName>>>;

/// A value that is in the store, and that no commit names yet. Whoever has it last and has not
/// committed it lets go of it.
#[derive(Debug)]
pub struct Blob {
    name: BlobName,
    id: ObjectId,
    crc: u32,
    named: AtomicBool,
    let_go: LetGo,
}

impl Blob {
    /// Which it is.
    pub fn name(&self) -> BlobName {
        self.name
    }

    /// Where the value can be read.
    pub fn place(&self) -> StoredValue {
        let length = u32::try_from(self.name.length).unwrap_or(u32::MAX);
        StoredValue { object: self.id, offset: 0, length, crc: self.crc }
    }

    /// A commit that counts names it: it is compaction's from now on.
    pub fn keep(&self) {
        self.named.store(true, Ordering::Relaxed);
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        if !*self.named.get_mut() {
            self.let_go.lock().unwrap_or_else(PoisonError::into_inner).push(self.name);
        }
    }
}

/// Why a command could not get what it needs of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchFailed {
    /// A value could not be read.
    Read(String),
    /// A large value could not be written: nothing names it, so nothing has happened.
    Write(String),
    /// The same, since the object was there: somebody else writes to this store.
    Taken(String),
}

impl fmt::Display for FetchFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Read(why) | Self::Write(why) | Self::Taken(why)) = self;
        f.write_str(why)
    }
}

impl Engine {
    /// A blob of which nothing is written yet. Whatever becomes of it, it is let go of.
    fn begin_blob(&self, begin: impl FnOnce(&mut Core) -> (BlobName, ObjectId)) -> Blob {
        let (name, id) = self.with_core(begin);
        let let_go = Arc::clone(&self.let_go);
        Blob { name, id, crc: 0, named: AtomicBool::new(false), let_go }
    }

    /// Writes a large value, which a command may put when this returns.
    pub(super) async fn write_blob(&self, value: &Body) -> Result<Arc<Blob>, FetchFailed> {
        let rope = value.rope();
        let mut blob = self.begin_blob(|core| core.begin_blob(rope.len() as u64));
        let name = blob.name;
        let mut crc = ValueCrc::default();
        let mut chunks = rope.chunks(name.chunk_bytes as usize).zip(name.number..);
        let mut writing = InOrder::default();
        loop {
            while writing.len() < CHUNKS_IN_FLIGHT
                && let Some((chunk, number)) = chunks.next()
            {
                let header = Header::new(Kind::Blob, self.nonce(), name.node, number);
                let deadline = self.commit_deadline() + time_to_carry(CHUNK_BYTES.into());
                writing.push(self.write_chunk(header, chunk, deadline));
            }
            match writing.next().await {
                Some((Err(failed @ FetchFailed::Taken(_)), _)) => {
                    // It is not ours to delete.
                    blob.keep();
                    return Err(failed);
                }
                Some((chunk_crc, length)) => crc.append(chunk_crc?, length),
                None => break,
            }
        }
        blob.crc = crc.of_value();
        Ok(Arc::new(blob))
    }

    /// The checksum of what was written, and its length.
    async fn write_chunk(
        &self,
        mut header: Header,
        chunk: Bytes,
        deadline: Duration,
    ) -> (Result<u32, FetchFailed>, usize) {
        let name = ObjectName::Blob(header.node, header.number);
        let length = chunk.len();
        // Groups, which everybody waits for, share the way to the store with them.
        let _turn = self.chunk_turns.acquire().await;
        header.wall_ms = self.clock.wall_ms();
        let nonce = header.nonce;
        let (object, crc) = encode_chunk(header, chunk);
        let text = name.to_string();
        let created = self.store.create(&text, object, nonce);
        let failed = |why: String| Err(FetchFailed::Write(format!("{name}: {why}")));
        let written = match tokio::time::timeout(deadline, created).await {
            Ok(Decided::Ours) => Ok(crc),
            Ok(Decided::Theirs(_)) => Err(FetchFailed::Taken(format!("{name} was there before"))),
            Ok(Decided::Rejected(why) | Decided::Fatal(why)) => failed(why),
            Err(_) => failed(self.store.last_failure().unwrap_or_else(|| "no answer".to_owned())),
        };
        (written, length)
    }

    /// Writes the value of a blob once more, piece by piece. `None`: not all of it can be trusted,
    /// and it is better left where it is, for whoever reads it to be told.
    pub(super) async fn copy_blob(&self, old: &BlobName) -> Result<Option<Arc<Blob>>, String> {
        let mut blob = self.begin_blob(|core| core.begin_blob_like(old.length, old.chunk_bytes));
        let name = blob.name;
        let mut crc = ValueCrc::default();
        let mut chunks = old.objects().zip(name.number..);
        let mut copying = InOrder::default();
        loop {
            while copying.len() < CHUNKS_IN_FLIGHT
                && let Some((from, number)) = chunks.next()
            {
                let header = Header::new(Kind::Blob, self.nonce(), name.node, number);
                copying.push(self.copy_chunk(from, header));
            }
            match copying.next().await {
                Some(Ok(Some((chunk_crc, length)))) => crc.append(chunk_crc, length),
                Some(Ok(None)) => return Ok(None),
                Some(Err(why)) => return Err(why),
                None => break,
            }
        }
        blob.crc = crc.of_value();
        Ok(Some(Arc::new(blob)))
    }

    async fn copy_chunk(
        &self,
        from: ObjectName,
        header: Header,
    ) -> Result<Option<(u32, usize)>, String> {
        let read = self.store.read(&from.to_string(), 0, u64::MAX).await;
        let object = match read {
            Err(StoreError::NotFound) => return Ok(None),
            read => read.map_err(|error| format!("{from}: {error}"))?,
        };
        let Ok((chunk, _)) = decode_chunk(from, &object) else { return Ok(None) };
        // Nobody waits: it is tried for as long as it takes, as a base is.
        let (written, length) = self.write_chunk(header, chunk, Duration::MAX).await;
        let crc = written.map_err(|failed| failed.to_string())?;
        Ok(Some((crc, length)))
    }

    /// Those objects of blobs that hold what their names say. Any other may hold what is missed under
    /// another name. One that isn't there is not waited for: it may be what is damaged.
    pub(super) async fn sound_chunks(&self, blobs: &[BlobName]) -> Vec<ObjectName> {
        let mut objects = blobs.iter().flat_map(BlobName::objects);
        let mut reading = InOrder::default();
        let mut sound = Vec::new();
        loop {
            while reading.len() < CHUNKS_IN_FLIGHT
                && let Some(name) = objects.next()
            {
                reading.push(async move {
                    let read = self.store.try_read(&name.to_string(), 0, u64::MAX).await;
                    (name, read.is_ok_and(|object| decode_chunk(name, &object).is_ok()))
                });
            }
            match reading.next().await {
                Some((name, is_sound)) => sound.extend(is_sound.then_some(name)),
                None => return sound,
            }
        }
    }

    /// Reads a value from its blob. `None`: it is gone, the index knows better.
    pub(super) async fn read_blob(
        &self,
        blob: BlobName,
        place: &StoredValue,
    ) -> Result<Option<Bytes>, String> {
        let mut value = BytesMut::with_capacity(place.length as usize);
        let mut crc = ValueCrc::default();
        let mut objects = blob.objects();
        let mut reading = InOrder::default();
        loop {
            while reading.len() < CHUNKS_IN_FLIGHT
                && let Some(name) = objects.next()
            {
                reading.push(async move { (name, self.read_chunk(name, place).await) });
            }
            let Some((name, read)) = reading.next().await else { break };
            let object = match read {
                Err(StoreError::NotFound) if self.is_gone(place) => return Ok(None),
                read => read.map_err(|error| format!("{name}: {error}"))?,
            };
            let chunk = decode_chunk(name, &object);
            let (chunk, chunk_crc) = chunk.map_err(|error| format!("{name}: {error}"))?;
            crc.append(chunk_crc, chunk.len());
            value.extend_from_slice(&chunk);
        }
        if value.len() as u64 != blob.length || crc.of_value() != place.crc {
            let first = ObjectName::Blob(blob.node, blob.number);
            return Err(format!("{first}: {}", FormatError::Checksum("value")));
        }
        Ok(Some(value.freeze()))
    }

    async fn read_chunk(&self, name: ObjectName, place: &StoredValue) -> Result<Bytes, StoreError> {
        let text = name.to_string();
        match self.store.try_read(&text, 0, u64::MAX).await {
            // It shows late, or was deleted on our way.
            Err(StoreError::NotFound) if !self.is_gone(place) => {
                self.store.read(&text, 0, u64::MAX).await
            }
            read => read,
        }
    }

    fn is_gone(&self, place: &StoredValue) -> bool {
        self.with_core(|core| core.locate(place).is_none())
    }

    /// Deletes what was let go of, for ever.
    pub(super) async fn delete_let_go(&self) -> ! {
        /// How often it is asked whether there is something.
        const LOOK_EVERY: Duration = Duration::from_secs(1);
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let some =
                std::mem::take(&mut *self.let_go.lock().unwrap_or_else(PoisonError::into_inner));
            if some.is_empty() {
                continue;
            }
            tokio::time::sleep(DELETE_AFTER).await;
            // First this: who finds nothing there asks the index, and not the store again.
            self.with_core(|core| core.forget_blobs(&some));
            let names = some.iter().flat_map(BlobName::objects).collect();
            match sweep::delete(self, names).await {
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(%error, "values that nobody has committed could not be deleted yet");
                    self.let_go.lock().unwrap_or_else(PoisonError::into_inner).extend(some);
                }
            }
        }
    }
}
