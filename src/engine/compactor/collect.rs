//! What is alive of objects that are to be replaced is read and put into a base.

use super::super::Engine;
use super::super::blob::Blob;
use super::super::core::LookAhead;
use super::super::core::compaction::{Alive, Plan};
use super::super::in_order::InOrder;
use super::super::read::{Object, ReadAhead};
use super::{Failed, SLICE_WRITES};
use crate::layout::group::checked_directory;
use crate::layout::{
    BlobName, Commit, CommitId, FormatError, GroupBuilder, Header, ObjectName, Place, Write,
};
use crate::small_bytes::SmallBytes;
use crate::storage::StoreError;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// Parts of objects that are read at a time at the most: of a step all that there are on a store
/// that is good at small parts.
const PARTS_IN_FLIGHT: usize = 32;

/// A value that moves to the base.
pub(super) struct Moved {
    pub(super) slot: u8,
    pub(super) key: SmallBytes,
    pub(super) put: CommitId,
    pub(super) to: MovedTo,
}

/// Where a value is from now on.
pub(super) enum MovedTo {
    /// Among the values of the base.
    Base { offset: u64, length: u64, crc: u32 },
    /// In another blob.
    Blob(Arc<Blob>),
}

/// A base while it is being collected.
#[derive(Default)]
pub(super) struct Collection {
    pub(super) base: GroupBuilder,
    pub(super) moved: Vec<Moved>,
    /// Blobs that nothing names when the objects have been replaced.
    pub(super) dead_blobs: Vec<BlobName>,
    /// Blobs that the base names, in bytes.
    pub(super) blob_bytes: u64,
    /// Those of them that are copies.
    pub(super) copied_bytes: u64,
}

/// A write that has to be moved.
struct Found<'a> {
    commit: CommitId,
    write: Write<'a>,
    alive: Alive,
    /// Its value, if it was in memory.
    value: Option<Bytes>,
    /// Its value has been written once more.
    copy: Option<Arc<Blob>>,
}

/// Parts of an object, in order.
struct Parts(Vec<(u64, Bytes)>);

/// An object of which header and directory have been read at least.
struct Source {
    name: ObjectName,
    header: Header,
    bytes: Bytes,
}

/// Step 2, as far as the reading goes: all directories, and then all parts, so that it takes the
/// time of two reads, however many there are.
pub(super) async fn collect(
    engine: &Engine,
    plan: &Plan,
    controls: &[Write<'_>],
) -> Result<Collection, Failed> {
    let mut collection = Collection::default();
    let first = Commit { id: plan.largest_commit, ..Commit::default() };
    collection.base.begin_commit(&first, controls.len());
    controls.iter().for_each(|control| collection.base.write(control));
    let sources = read_sources(engine, plan).await?;
    let mut alive = Vec::with_capacity(sources.len());
    for source in &sources {
        let found = collection.find_alive(engine, source).await;
        let mut found = found.map_err(|error| Failed::damaged(source.name, error))?;
        for found in found.iter_mut().filter(|_| engine.store.limits().frees_in_order) {
            if let Some(blob) = blob_of(&found.write) {
                found.copy = engine.copy_blob(&blob).await.map_err(Failed::Store)?;
            }
        }
        alive.push(found);
    }
    let parts = read_parts(engine, &sources, &alive).await?;
    for ((source, found), parts) in sources.iter().zip(&alive).zip(&parts) {
        for found in found {
            collection
                .take(&source.header, parts, found)
                .map_err(|error| Failed::damaged(source.name, error))?;
        }
    }
    Ok(collection)
}

async fn read_sources(engine: &Engine, plan: &Plan) -> Result<Vec<Source>, Failed> {
    let mut sources = Vec::with_capacity(plan.names.len());
    let mut objects = ReadAhead::for_moving(engine, plan.names.iter().copied());
    while let Some((name, object)) = objects.next().await? {
        match object {
            Object::Sound(header, bytes) => sources.push(Source { name, header, bytes }),
            Object::Damaged(error) => return Err(Failed::damaged(name, error)),
        }
    }
    Ok(sources)
}

/// What is alive of each object and is neither in memory nor read with its directory.
async fn read_parts(
    engine: &Engine,
    sources: &[Source],
    alive: &[Vec<Found<'_>>],
) -> Result<Vec<Parts>, Failed> {
    let gap = engine.store.limits().read_gap_bytes;
    let read = sources.iter().map(|source| Parts(vec![(0, source.bytes.clone())]));
    let mut parts: Vec<Parts> = read.collect();
    let missing = sources.iter().zip(alive).enumerate().flat_map(|(at, (source, found))| {
        let missing = missing_parts(found, &source.header, source.bytes.len() as u64, gap);
        missing.into_iter().map(move |range| (at, source.name, range))
    });
    // Not an iterator, whose closures would be held while it is waited.
    let mut missing = missing.collect::<Vec<_>>().into_iter();
    let mut reading = InOrder::default();
    loop {
        while reading.len() < PARTS_IN_FLIGHT
            && let Some((at, name, Range { start, end })) = missing.next()
        {
            reading.push(async move {
                let read = engine.store.read(&name.text(), start, end - start).await;
                (at, name, start, read)
            });
        }
        match reading.next().await {
            Some((at, _, start, Ok(part))) => {
                if let Some(parts) = parts.get_mut(at) {
                    parts.0.push((start, part));
                }
            }
            Some((_, name, _, Err(StoreError::NotFound))) => {
                return Err(Failed::damaged(name, FormatError::Missing));
            }
            Some((_, _, _, Err(error))) => return Err(Failed::Store(error.to_string())),
            None => return Ok(parts),
        }
    }
}

impl Collection {
    /// The writes in an object that have to be moved. An outcome is moved at once.
    async fn find_alive<'a>(
        &mut self,
        engine: &Engine,
        source: &'a Source,
    ) -> Result<Vec<Found<'a>>, FormatError> {
        let mut directory = checked_directory(&source.header, &source.bytes)?;
        let mut slice: Vec<(CommitId, Write<'a>)> = Vec::with_capacity(SLICE_WRITES);
        let mut found = Vec::new();
        let mut ahead = LookAhead::default();
        let oldest_outcome = engine.with_core(|core| core.interactive().outcomes.oldest());
        let put = |(_, write): &(CommitId, Write<'a>)| match *write {
            Write::Put { database, key, .. } => Some((database, key)),
            _ => None,
        };
        loop {
            let commit = directory.next_commit()?;
            let over = commit.is_none();
            if let Some(commit) = commit {
                // All that have committed since are kept.
                let is_kept = oldest_outcome.is_some_and(|oldest| commit.id >= oldest);
                if commit.token.is_some() && is_kept {
                    self.base.begin_commit(&commit, 0);
                }
                slice.extend(commit.writes.iter().map(|write| (commit.id, *write)));
                directory.reuse(commit);
            }
            if slice.len() < SLICE_WRITES && !over {
                continue;
            }
            for part in slice.chunks(SLICE_WRITES) {
                engine.with_core(|core| {
                    core.look_ahead(&mut ahead, part.iter().filter_map(put));
                    found.extend(part.iter().filter_map(|&(commit, write)| {
                        let (alive, value) = match write {
                            Write::Put { database, key, .. } => {
                                core.put_is_alive(database, key, commit)
                            }
                            Write::Meta { database, key, .. } => {
                                (core.expiry_is_alive(database, key, commit), None)
                            }
                            _ => (Alive::Nothing, None),
                        };
                        if let (Some(blob), Alive::Nothing) = (blob_of(&write), alive) {
                            self.dead_blobs.push(blob);
                        }
                        (alive != Alive::Nothing).then_some(Found {
                            commit,
                            write,
                            alive,
                            value,
                            copy: None,
                        })
                    }));
                });
                tokio::task::yield_now().await;
            }
            slice.clear();
            if over {
                return Ok(found);
            }
        }
    }

    /// The name of a blob moves, and the value where the store needs that.
    fn take_blob(&mut self, blob: BlobName, crc: u32, copy: Option<&Arc<Blob>>) -> Place<'static> {
        self.blob_bytes += blob.bytes();
        let Some(copy) = copy else { return Place::Blob { blob, crc } };
        self.copied_bytes += blob.bytes();
        self.dead_blobs.push(blob);
        Place::Blob { blob: copy.name(), crc }
    }

    /// Moves a write.
    fn take(
        &mut self,
        header: &Header,
        parts: &Parts,
        found: &Found<'_>,
    ) -> Result<(), FormatError> {
        let Found { commit: id, write, alive, ref value, ref copy } = *found;
        self.base.begin_commit(&Commit { id, ..Commit::default() }, 1);
        let Write::Put { database, key, value_type, expires_ms, place } = write else {
            self.base.write(&write);
            return Ok(());
        };
        let place = match place {
            Place::Values { offset, length, crc } => {
                let value = match value {
                    Some(value) => value.clone(),
                    None => parts.find(header.values_offset() + offset, length)?,
                };
                // As it stands there: should it have rotted, whoever reads it is told.
                let place = self.base.value(value, crc);
                if let Place::Values { offset, .. } = place {
                    let to = MovedTo::Base { offset, length, crc };
                    self.moved.push(Moved { slot: database, key: key.into(), put: id, to });
                }
                place
            }
            Place::Blob { blob, crc } => {
                if let Some(copy) = copy {
                    let to = MovedTo::Blob(Arc::clone(copy));
                    self.moved.push(Moved { slot: database, key: key.into(), put: id, to });
                }
                self.take_blob(blob, crc, copy.as_ref())
            }
            place @ Place::Inline(_) => place,
        };
        self.base.write(&Write::Put { database, key, value_type, expires_ms, place });
        if let Alive::WithExpiry(commit, expires_ms) = alive {
            self.base.begin_commit(&Commit { id: commit, ..Commit::default() }, 1);
            let expires_ms = (expires_ms != 0).then_some(expires_ms);
            self.base.write(&Write::Meta { database, key, predecessor: id, expires_ms });
        }
        Ok(())
    }
}

fn blob_of(write: &Write<'_>) -> Option<BlobName> {
    match write {
        Write::Put { place: Place::Blob { blob, .. }, .. } => Some(*blob),
        _ => None,
    }
}

/// Where the values lie that are neither in memory nor read: less than `gap` between two is read, too.
fn missing_parts(found: &[Found<'_>], header: &Header, read: u64, gap: u64) -> Vec<Range<u64>> {
    let mut missing: Vec<Range<u64>> = Vec::new();
    for found in found.iter().filter(|found| found.value.is_none()) {
        let Write::Put { place: Place::Values { offset, length, .. }, .. } = found.write else {
            continue;
        };
        let start = header.values_offset().saturating_add(offset);
        let end = start.saturating_add(length);
        match missing.last_mut() {
            _ if end <= read => {}
            Some(last) if last.start <= start && start <= last.end.saturating_add(gap) => {
                last.end = last.end.max(end);
            }
            _ => missing.push(start..end),
        }
    }
    missing
}

impl Parts {
    /// A value at its place in the object.
    fn find(&self, start: u64, length: u64) -> Result<Bytes, FormatError> {
        let cut = FormatError::Length("values");
        // The first part is what was read with the directory.
        let (first, others) = self.0.split_first().ok_or(cut)?;
        let behind = others.partition_point(|(at, _)| *at <= start);
        let other = behind.checked_sub(1).map(|at| &others[at]);
        let whole = |(at, bytes): &(u64, Bytes)| {
            let start = usize::try_from(start.checked_sub(*at)?).ok()?;
            let end = start.checked_add(usize::try_from(length).ok()?)?;
            (end <= bytes.len()).then(|| bytes.slice(start..end))
        };
        whole(first).or_else(|| whole(other?)).ok_or(cut)
    }
}
