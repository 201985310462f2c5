//! What of a segment counts: decided records, the tail that nobody can vouch for, and
//! what is void. Reads only; [`recover`](super::recover) acts on it.
//!
//! ```text
//!   4096          P                     Q            capacity
//!    │ decided    │ tail: whole │ junk  │ zeros
//! ```
//!
//! P is where the last batch that is known to be synced ended: every record carries
//! `synced_through`, and a seal says it for the whole segment. Before P, bodies are not
//! read. Behind P only the longest whole prefix counts: an acknowledged record has only
//! whole ones before it.

use super::disk::DiskFile;
use super::record::{DATA_START, Fence, Kind, SegmentHeader};
use super::scan::{Record, walk};
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// A segment's file, read and judged.
#[derive(Debug)]
pub(super) struct Examined<F> {
    pub(super) header: SegmentHeader,
    /// The number in its file's name: the same, or that of the segment it was before.
    pub(super) named: u64,
    pub(super) file: Arc<F>,
    /// The file's length in bytes; less than the capacity if it has been cut at its end.
    pub(super) length: u64,
    /// The records that count and are known to be synced, in order.
    pub(super) decided: Vec<Record>,
    /// The records that count though nothing says that they are synced.
    pub(super) tail: Vec<Record>,
    /// All fences with a good head, wherever they stand: each states a fact.
    pub(super) fences: Vec<Fence>,
    /// P: all before is decided.
    pub(super) decided_end: u64,
    /// Q: nothing was ever written at or behind it.
    pub(super) written_end: u64,
    /// Whether a younger segment says where this one ends.
    pub(super) sealed: bool,
    /// What should be readable and is not.
    pub(super) damage: Vec<Range<u64>>,
    /// One of the two copies of the header is unreadable.
    pub(super) lost_copy: bool,
}

impl<F> Examined<F> {
    /// Whether nothing was ever written to it.
    pub(super) fn untouched(&self) -> bool {
        self.written_end == DATA_START && !self.sealed
    }

    /// Where what counts ends.
    pub(super) fn tail_end(&self) -> u64 {
        self.tail.last().map_or(self.decided_end, Record::end)
    }

    /// Whether the end needs no decision: nothing behind P, or only a mark.
    pub(super) fn clean(&self) -> bool {
        let only_marks = self.tail.iter().all(|record| record.head.kind == Kind::Mark);
        only_marks && self.tail_end() >= self.written_end
    }
}

/// Reads a segment's records and judges them by the fences known so far, which must be
/// those of all younger segments.
pub(super) fn examine<F: DiskFile>(
    header: SegmentHeader,
    named: u64,
    file: Arc<F>,
    fences: &[Fence],
) -> io::Result<Examined<F>> {
    let about = |fence: &&Fence| fence.segment == header.number;
    let seal = fences.iter().filter(about).filter(|f| f.seals());
    let sealed_end = seal.map(|fence| fence.from).min();

    let length = file.length()?.min(header.capacity);
    let walked = walk(&*file, header.salt, sealed_end.unwrap_or(length))?;
    let own: Vec<Fence> = walked.records.iter().flat_map(Record::fences).collect();
    let void: Vec<Range<u64>> = fences
        .iter()
        .chain(&own)
        .filter(about)
        .filter(|fence| !fence.seals())
        .map(Fence::range)
        .collect();

    let claimed = walked.records.iter().map(|r| r.head.synced_through);
    let synced = claimed.max().unwrap_or(0).max(DATA_START);
    let decided_end = sealed_end.unwrap_or(synced);
    let record_ends = walked.records.iter().map(Record::end);
    let written_end = record_ends.fold(walked.end.max(decided_end), u64::max);

    let counts = |record: &Record| !void.iter().any(|range| range.contains(&record.at));
    let (decided, behind): (Vec<_>, Vec<_>) =
        walked.records.into_iter().filter(counts).partition(|record| record.at < decided_end);
    let tail = whole_prefix(&*file, behind, decided_end, &void)?;
    // A segment has its whole length from its first moment until it is durably sealed.
    let wanted = sealed_end.unwrap_or(header.capacity);
    let cut_off = (length < wanted).then_some(length..u64::MAX);
    let damage = walked
        .gaps
        .into_iter()
        .chain(cut_off)
        .filter(|gap| gap.start < decided_end || gap.end == u64::MAX)
        .filter(|gap| !void.iter().any(|v| v.start <= gap.start && gap.end <= v.end))
        .collect();
    Ok(Examined {
        header,
        named,
        file,
        length,
        decided,
        tail,
        fences: own,
        decided_end,
        written_end,
        sealed: sealed_end.is_some(),
        damage,
        lost_copy: false,
    })
}

/// The records from `from` on that follow each other without a gap and are whole.
fn whole_prefix(
    file: &impl DiskFile,
    records: Vec<Record>,
    from: u64,
    void: &[Range<u64>],
) -> io::Result<Vec<Record>> {
    let mut expected = from;
    let mut prefix = Vec::new();
    for record in records {
        while let Some(range) = void.iter().find(|range| range.contains(&expected)) {
            expected = range.end;
        }
        if record.at != expected || record.read_body(file)?.is_none() {
            break;
        }
        expected = record.end();
        prefix.push(record);
    }
    Ok(prefix)
}
