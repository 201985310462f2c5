//! From a store to a dump.

use super::BackupError;
use super::format::DumpWriter;
use super::newest::{Live, NewestVersions, Part};
use super::snapshot::{Failed, Snapshot, damaged, read_directory, read_range};
use crate::layout::blob::{ValueCrc, decode_chunk};
use crate::layout::group::checked_directory;
use crate::layout::{BlobName, FormatError, Header, ObjectName, Place, Write};
use crate::storage::{Store, StoreError};
use bytes::Bytes;
use std::io;

/// Keys that are held at once: as many as a table of 60 MB takes.
const KEYS_MAX: usize = 900_000;

/// How much is read of an object's values at once, in bytes.
const WINDOW_BYTES: u64 = 4 << 20;

/// A store that is compacted faster than it can be read as often as that is not to be dumped.
const TRIES_MAX: usize = 10;

/// What a dump holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dumped {
    /// Keys.
    pub keys: u64,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Writes what is in a store at one moment. `open` gives the store, and once more, as it is
/// then, when an object had been compacted away before it was read. What has expired at
/// `now_ms` is left out. `progress` is told how many objects of how many have been read.
///
/// # Errors
/// The store can't be read or is damaged, or the output failed. The dump has no end then, and
/// nobody takes it for whole.
pub async fn dump(
    mut open: impl AsyncFnMut() -> Result<Box<dyn Store>, StoreError>,
    out: impl io::Write,
    about: &str,
    now_ms: u64,
    mut progress: impl FnMut(u64, u64),
) -> Result<Dumped, BackupError> {
    let mut out = DumpWriter::new(out, about)?;
    let mut vanished = Vec::new();
    for attempt in 0..TRIES_MAX {
        if attempt > 0 {
            out.again()?;
        }
        let store = open().await?;
        if let Some(damage) = store.damage().into_iter().next() {
            return Err(BackupError::Damaged(damage));
        }
        match dump_in_parts(&*store, &mut out, now_ms, KEYS_MAX, &mut progress).await {
            Ok(()) => {
                let keys = out.keys();
                let (_, bytes) = out.end()?;
                return Ok(Dumped { keys, bytes });
            }
            Err(Failed::Vanished(name)) => vanished.push(name.to_string()),
            Err(Failed::For(error)) => return Err(error),
        }
    }
    Err(gave_up(vanished))
}

/// What each attempt missed: the same each time is lost, others each time have been compacted away.
fn gave_up(mut vanished: Vec<String>) -> BackupError {
    let last = vanished.last().cloned().unwrap_or_default();
    vanished.dedup();
    match vanished.len() {
        0 | 1 => BackupError::Damaged(format!("{last}: is missing")),
        _ => BackupError::Refused(format!(
            "{last}: a node has compacted it away, and others before it: dump while it writes less"
        )),
    }
}

/// How many keys a store holds.
pub(super) async fn count_keys(
    store: &dyn Store,
    snapshot: &Snapshot,
    now_ms: u64,
) -> Result<u64, Failed> {
    let mut parts = vec![Part::default()];
    let mut keys = 0;
    while let Some(part) = parts.pop() {
        let mut versions = NewestVersions::new(part, KEYS_MAX, &snapshot.swaps);
        for &name in &snapshot.objects {
            let (header, bytes) =
                read_directory(store, name).await?.ok_or(Failed::Vanished(name))?;
            versions.read(name, &header, &bytes)?;
        }
        parts.append(&mut versions.others);
        keys += versions.alive(now_ms.max(snapshot.now_through_ms));
    }
    Ok(keys)
}

/// Writes what is in a store, as many keys at a time as are allowed.
pub(super) async fn dump_in_parts(
    store: &dyn Store,
    out: &mut DumpWriter<impl io::Write>,
    now_ms: u64,
    keys_max: usize,
    mut progress: impl FnMut(u64, u64),
) -> Result<(), Failed> {
    let snapshot = Snapshot::of(store).await?;
    let now_ms = now_ms.max(snapshot.now_through_ms);
    let mut dump = Dump { store, out, now_ms, read: 0 };
    let objects = snapshot.objects.len() as u64;
    let mut parts = vec![Part::default()];
    // Twice all objects for each part; how many parts it will be shows as they are cut.
    let mut all = 2 * objects;
    while let Some(part) = parts.pop() {
        let mut versions = NewestVersions::new(part, keys_max, &snapshot.swaps);
        for &name in &snapshot.objects {
            progress(dump.read, all);
            let (header, bytes) = dump.directory(name).await?;
            versions.read(name, &header, &bytes)?;
        }
        all += 2 * objects * versions.others.len() as u64;
        parts.append(&mut versions.others);
        for &name in &snapshot.objects {
            progress(dump.read, all);
            dump.write(name, &mut versions).await?;
        }
        let missed = versions.missed(now_ms);
        if missed > 0 {
            let what =
                format!("the values of {missed} keys are missing: aft store verify names them");
            return Err(BackupError::Damaged(what).into());
        }
    }
    Ok(())
}

struct Dump<'a, W> {
    store: &'a dyn Store,
    out: &'a mut DumpWriter<W>,
    now_ms: u64,
    read: u64,
}

impl<W: io::Write> Dump<'_, W> {
    async fn directory(&mut self, name: ObjectName) -> Result<(Header, Bytes), Failed> {
        self.read += 1;
        read_directory(self.store, name).await?.ok_or(Failed::Vanished(name))
    }

    /// Writes what is alive of an object.
    async fn write(
        &mut self,
        name: ObjectName,
        versions: &mut NewestVersions,
    ) -> Result<(), Failed> {
        let (header, bytes) = self.directory(name).await?;
        let bad = |error| damaged(name, error);
        let mut values = Values { name, header: &header, window: Bytes::new(), window_at: 0 };
        let mut directory = checked_directory(&header, &bytes).map_err(bad)?;
        while let Some(commit) = directory.next_commit().map_err(bad)? {
            for write in commit.writes {
                let Write::Put { database, key, place, .. } = write else { continue };
                let Some(live) = versions.take(database, key, commit.id, self.now_ms) else {
                    continue;
                };
                match place {
                    Place::Inline(value) => self.inline(key, live, value)?,
                    Place::Values { offset, length, crc } => {
                        let value = ValuePlace { offset, length, crc };
                        self.copy(key, live, &mut values, value).await?;
                    }
                    Place::Blob { blob, crc } => self.copy_blob(key, live, &blob, crc).await?,
                }
            }
        }
        Ok(())
    }

    fn inline(&mut self, key: &[u8], live: Live, value: &[u8]) -> Result<(), BackupError> {
        self.out.key((live.database, key), live.expires_ms, value.len() as u64)?;
        Ok(self.out.value(value)?)
    }

    /// Writes a value as it is read. What turns out damaged at its end has spoiled the dump.
    async fn copy(
        &mut self,
        key: &[u8],
        live: Live,
        values: &mut Values<'_>,
        place: ValuePlace,
    ) -> Result<(), Failed> {
        let written = self.out.key((live.database, key), live.expires_ms, place.length);
        written.map_err(BackupError::from)?;
        let mut crc = 0;
        let mut done = 0;
        while done < place.length {
            let part = values.read(self.store, place.offset + done, place.length - done).await?;
            crc = crc32c::crc32c_append(crc, &part);
            done += part.len() as u64;
            self.out.value(&part).map_err(BackupError::from)?;
        }
        if crc != place.crc {
            return Err(bad_value(values.name, key, live));
        }
        Ok(())
    }

    /// The same of a value in a blob.
    async fn copy_blob(
        &mut self,
        key: &[u8],
        live: Live,
        blob: &BlobName,
        wanted: u32,
    ) -> Result<(), Failed> {
        let written = self.out.key((live.database, key), live.expires_ms, blob.length);
        written.map_err(BackupError::from)?;
        let mut crc = ValueCrc::default();
        for name in blob.objects() {
            let object = read_range(self.store, name, 0, u64::MAX).await?;
            let object = object.ok_or(Failed::Vanished(name))?;
            let decoded = decode_chunk(name, &object);
            let (chunk, chunk_crc) = decoded.map_err(|error| damaged(name, error))?;
            crc.append(chunk_crc, chunk.len());
            self.out.value(&chunk).map_err(BackupError::from)?;
        }
        if crc.of_value() != wanted {
            return Err(bad_value(ObjectName::Blob(blob.node, blob.number), key, live));
        }
        Ok(())
    }
}

fn bad_value(name: ObjectName, key: &[u8], live: Live) -> Failed {
    let (database, key) = (live.database, key.escape_ascii());
    damaged(name, format!("bad checksum of its values: that of key {database}:{key}"))
}

#[derive(Clone, Copy)]
struct ValuePlace {
    offset: u64,
    length: u64,
    crc: u32,
}

/// The values of an object, read in windows: they are asked for in the order in which they
/// stand there.
struct Values<'h> {
    name: ObjectName,
    header: &'h Header,
    window: Bytes,
    window_at: u64,
}

impl Values<'_> {
    /// Some of the values from `offset` on, `length` bytes at most.
    async fn read(&mut self, store: &dyn Store, offset: u64, length: u64) -> Result<Bytes, Failed> {
        let inside = offset.checked_sub(self.window_at).filter(|at| *at < self.window.len() as u64);
        let at = match inside {
            Some(at) => at,
            None => {
                let from = self.header.values_offset() + offset;
                let read = read_range(store, self.name, from, WINDOW_BYTES).await?;
                self.window = read.ok_or(Failed::Vanished(self.name))?;
                self.window_at = offset;
                0
            }
        };
        let end = (at + length).min(self.window.len() as u64);
        if end <= at {
            return Err(damaged(self.name, FormatError::Length("values")));
        }
        Ok(self.window.slice(at as usize..end as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::gave_up;
    use crate::backup::BackupError;

    #[test]
    fn what_is_missing_each_time_is_damage_and_what_goes_meanwhile_is_none() {
        let missed = |names: [&str; 3]| gave_up(names.map(str::to_owned).to_vec());
        assert!(
            matches!(missed(["log/1/2"; 3]), BackupError::Damaged(why) if why.contains("log/1/2"))
        );
        let busy = missed(["log/1/2", "log/1/7", "base/1/3"]);
        assert!(matches!(busy, BackupError::Refused(why) if why.contains("base/1/3")));
    }
}
