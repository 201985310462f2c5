//! The directory's own files: `FORMAT`, the segments' names, and how a segment is made.

use super::disk::{Disk, DiskFile, SyncPoint, write_all};
use super::record::{DATA_START, HEADER_COPY, SegmentHeader};
use crate::storage::StoreError;
use std::io;
use std::ops::Range;

/// The format this code writes, and the newest that it reads. In the first a segment's number was
/// that in its file's name; now it is the one in its header.
const FORMAT_VERSION: u64 = 2;
const OLDEST_FORMAT_VERSION: u64 = 1;
pub(super) const FORMAT_FILE: &str = "FORMAT";
const FORMAT_PREFIX: &str = "aft embedded store, format ";
/// Files of this ending never count; they are removed at the next start.
const UNFINISHED: &str = ".tmp";
/// How much is written at once while filling a segment with zeros.
const ZERO_BYTES: usize = 1 << 20;

/// Maps an I/O error to what the caller should do about it.
pub(super) fn store_error(doing: &str, error: &io::Error) -> StoreError {
    let why = format!("{doing}: {error}");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            StoreError::Full(why)
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            StoreError::Fatal(why)
        }
        _ => StoreError::Unavailable(why),
    }
}

/// The format that the contents of a `FORMAT` file name, if it is ours to read.
pub(super) fn check_format(contents: &[u8]) -> Result<u64, StoreError> {
    let version = std::str::from_utf8(contents)
        .ok()
        .and_then(|text| text.strip_prefix(FORMAT_PREFIX))
        .and_then(|text| text.trim_end().parse::<u64>().ok());
    match version {
        Some(known @ OLDEST_FORMAT_VERSION..=FORMAT_VERSION) => Ok(known),
        Some(other) => Err(StoreError::Fatal(format!(
            "the store was written in format {other}; this aft reads formats \
             {OLDEST_FORMAT_VERSION} to {FORMAT_VERSION}"
        ))),
        None => Err(StoreError::Fatal(
            "the file FORMAT is not one of aft's: is this the right directory?".to_owned(),
        )),
    }
}

/// Checks `FORMAT`, or writes it in a directory that is new.
pub(super) fn check_or_write_format<D: Disk>(disk: &D, names: &[String]) -> Result<(), StoreError> {
    let failed = |error: io::Error| store_error("FORMAT", &error);
    let segment = names.iter().find(|name| segment_number(name).is_some());
    if names.iter().any(|name| name == FORMAT_FILE) {
        let mut contents = vec![0; 256];
        let file = disk.open(FORMAT_FILE).map_err(failed)?;
        let filled = super::disk::read_full(&file, &mut contents, 0).map_err(failed)?;
        if check_format(&contents[..filled])? < FORMAT_VERSION {
            // In its place: whoever looks at the directory holds a lock on this very file.
            write_all(&file, format_contents().as_bytes(), 0)
                .map_err(|failure| failed(failure.error))?;
            file.sync(SyncPoint::FormatFile).map_err(failed)?;
        }
        if segment.is_some() {
            return Ok(());
        }
        // Whoever wrote it may have died before its name was durable.
        return disk.sync_directory(SyncPoint::FormatDirectory).map_err(failed);
    }
    if let Some(segment) = segment {
        return Err(StoreError::Fatal(format!("the directory holds {segment} but no file FORMAT")));
    }
    // 1. The contents first: a name without them would be refused for ever.
    let unfinished = format!("{FORMAT_FILE}{UNFINISHED}");
    let file = disk.create(&unfinished).map_err(failed)?;
    write_all(&file, format_contents().as_bytes(), 0).map_err(|failure| failed(failure.error))?;
    file.sync(SyncPoint::FormatFile).map_err(failed)?;
    // 2. The name, before a segment can have one.
    disk.rename(&unfinished, FORMAT_FILE).map_err(failed)?;
    disk.sync_directory(SyncPoint::FormatDirectory).map_err(failed)
}

fn format_contents() -> String {
    format!("{FORMAT_PREFIX}{FORMAT_VERSION}\n")
}

/// The file name of a segment.
pub(super) fn segment_name(number: u64) -> String {
    format!("segment-{number}")
}

/// The segment a file name stands for.
pub(super) fn segment_number(name: &str) -> Option<u64> {
    name.strip_prefix("segment-")?.parse().ok()
}

/// The segment that was being made under this name when its process ended.
pub(super) fn unfinished_number(name: &str) -> Option<u64> {
    segment_number(name.strip_suffix(UNFINISHED)?)
}

/// Whether a file is left over from making another.
pub(super) fn is_unfinished(name: &str) -> bool {
    name.ends_with(UNFINISHED)
}

/// The end of a segment that deletes may use, so that room can be made on a full disk: about
/// one delete for every four KiB, and never less than a few. Half of it is for starts, too.
pub(super) fn reserve_bytes(capacity: u64) -> u64 {
    (capacity / 64).max(1024).next_multiple_of(8)
}

/// What is written into a new segment before it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filling {
    /// Zeros all over: a later sync of data in it has no metadata to write (a third of the
    /// time for small batches).
    Whole,
    /// Its reserve, so that it is there when the disk is full.
    Reserve,
}

/// Makes an empty segment, durable with its name.
pub(super) fn make_segment<D: Disk>(
    disk: &D,
    header: SegmentHeader,
    filling: Filling,
) -> io::Result<D::File> {
    let name = segment_name(header.number);
    let unfinished = name.clone() + UNFINISHED;
    let file = disk.create(&unfinished)?;
    let made = write_all(&file, &header.encode(), 0)
        .map_err(|failure| failure.error)
        .and_then(|()| fill(&file, header, filling))
        .and_then(|()| file.sync(SyncPoint::NewSegmentFile))
        // The name only now: a segment has a readable header from its first moment.
        .and_then(|()| disk.rename(&unfinished, &name))
        // And durable before anything is acknowledged in it.
        .and_then(|()| disk.sync_directory(SyncPoint::NewSegmentDirectory));
    if made.is_err() {
        // Gives the space back at once; what stays is removed at the next start.
        let _ = disk.remove(&unfinished);
        let _ = disk.remove(&name);
    }
    made.map(|()| file)
}

/// Makes an empty segment of the file of a dead one, of which nothing is left then. `None`, and
/// nothing is changed, where another process may still want to read that.
///
/// The new name is not durable, and need not be: a start goes by the header. After an error the
/// file is neither the one nor the other: it has to be removed, by the dead one's name.
pub(super) fn make_of_dead<D: Disk>(
    disk: &D,
    header: SegmentHeader,
    filling: Filling,
    dead: u64,
) -> io::Result<Option<D::File>> {
    let old_name = segment_name(dead);
    let file = disk.open(&old_name)?;
    let copy = header.encode_half();
    // 1. The first copy and all else: while the second is another one's neither counts. What is
    //    filled lies behind the dead one's end: should the copy be lost or torn, that is whole.
    if !disk.write_over(&file, &copy)? {
        return Ok(None);
    }
    fill(&file, header, filling)?;
    file.sync(SyncPoint::OverDeadSegment)?;
    // 2. The second. From now on one may be torn, or rot.
    write_all(&file, &copy, HEADER_COPY).map_err(|failure| failure.error)?;
    file.sync(SyncPoint::NewSegmentFile)?;
    disk.rename(&old_name, &segment_name(header.number))?;
    Ok(Some(file))
}

/// Whether what [`make_of_dead`] writes lies behind `end`, where a dead segment ends.
pub(super) fn fills_behind(end: u64, capacity: u64) -> bool {
    end <= capacity.saturating_sub(reserve_bytes(capacity))
}

/// Gives a segment its length, and what stands in it behind its header.
fn fill(file: &impl DiskFile, header: SegmentHeader, filling: Filling) -> io::Result<()> {
    // What a reused file has: bytes that nobody takes for records, since their salt was another.
    let length = file.length()?;
    let there = length.clamp(DATA_START, header.capacity);
    if length != header.capacity {
        file.set_length(header.capacity)?;
    }
    // The reserve in any case: in a file that was not filled a hole may be there, and a start on a
    // full disk has to see where in it something was written.
    let reserve = header.capacity - reserve_bytes(header.capacity);
    let zeros_from = match filling {
        Filling::Whole => there.min(reserve),
        Filling::Reserve => reserve,
    };
    write_zeros(file, zeros_from..header.capacity)
}

/// Writes zeros: if there are some already, it is sure then that the disk has room there.
pub(super) fn write_zeros(file: &impl DiskFile, place: Range<u64>) -> io::Result<()> {
    let zeros = vec![0; ZERO_BYTES.min((place.end - place.start) as usize)];
    let mut at = place.start;
    while at < place.end {
        let count = zeros.len().min((place.end - at) as usize);
        write_all(file, &zeros[..count], at).map_err(|failure| failure.error)?;
        at += count as u64;
    }
    Ok(())
}
