//! Records on their way into a segment: staged together, written together, and
//! answered together after one sync.

use super::disk::{DiskFile, WriteFailed, write_all};
use super::record::{FENCES_MAX, Fence, Head, Kind, record_bytes};
use super::segments::{Done, Room};
use crate::rope::Rope;
use crate::storage::StoreError;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Pieces of bodies from this size on are written from where they are; smaller ones are
/// first gathered, because a copy costs less than a system call.
const GATHER_BYTES_MAX: usize = 16 << 10;

/// So much is gathered for one system call.
const GATHERED_BYTES_MAX: usize = 256 << 10;

/// What the system keeps of a file in memory, or doesn't: a part of one that it has given up is
/// read before a part of it is written.
const PAGE_BYTES: u64 = 4 << 10;

/// A record to be written.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) kind: Kind,
    pub(super) name: Vec<u8>,
    pub(super) body: Rope,
    /// Which of the batch's answers depends on it, if any.
    pub(super) answer: Option<usize>,
    /// Whether a start can't do without it.
    pub(super) for_start: bool,
}

impl Item {
    pub(super) fn new(kind: Kind, name: &[u8], body: Rope, answer: Option<usize>) -> Self {
        Self { kind, name: name.to_vec(), body, answer, for_start: false }
    }

    /// Says nothing but what is durable.
    pub(super) fn mark() -> Self {
        Self::new(Kind::Mark, b"", Rope::default(), None)
    }

    /// Fences, in as few records as they fit in.
    pub(super) fn fences(fences: &[Fence]) -> Vec<Self> {
        fences
            .chunks(FENCES_MAX)
            .map(|chunk| Self::new(Kind::Fence, &Fence::encode(chunk), Rope::default(), None))
            .collect()
    }

    /// Up to where it may go.
    pub(super) fn room(&self) -> Room {
        match self.kind {
            Kind::Object if self.for_start => Room::Start,
            Kind::Object => Room::Ordinary,
            Kind::Delete | Kind::Fence | Kind::Mark => Room::Whole,
        }
    }

    pub(super) fn record_bytes(&self) -> u64 {
        record_bytes(self.name.len(), self.body.len() as u64)
    }

    /// What of it is gathered, and not written from where it is.
    fn gathered_bytes(&self) -> usize {
        let pieces = self.body.pieces().iter().map(Bytes::len);
        let apart: usize = pieces.filter(|&bytes| bytes >= GATHER_BYTES_MAX).sum();
        self.record_bytes() as usize - apart
    }

    /// The object's name; empty for a fence.
    pub(super) fn name(&self) -> &str {
        std::str::from_utf8(&self.name).unwrap_or_default()
    }
}

/// What is staged for the next run, and the answers of the whole batch so far.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) items: Vec<Item>,
    /// The length of `items` on disk.
    pub(super) bytes: u64,
    /// Names that `items` change: true for one that will be there.
    pub(super) changed: BTreeMap<String, bool>,
    /// Answers that hold only if the run succeeds, though no item is theirs.
    pub(super) dependent: Vec<usize>,
    /// What to answer if all goes well, or the error.
    pub(super) answers: Vec<Result<Done, StoreError>>,
    /// Why no further segment could be made for this batch; not tried again in it.
    pub(super) no_segment: Option<StoreError>,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            items: Vec::new(),
            bytes: 0,
            changed: BTreeMap::new(),
            dependent: Vec::new(),
            answers: Vec::new(),
            no_segment: None,
        }
    }

    pub(super) fn push(&mut self, item: Item) {
        self.bytes += item.record_bytes();
        let there = item.kind == Kind::Object;
        self.changed.insert(item.name().to_owned(), there);
        self.items.push(item);
    }

    /// Takes the run out, leaving the answers.
    pub(super) fn take_run(&mut self) -> (Vec<Item>, Vec<usize>) {
        self.bytes = 0;
        self.changed.clear();
        (std::mem::take(&mut self.items), std::mem::take(&mut self.dependent))
    }

    /// Records a failure, unless that answer has failed already.
    pub(super) fn fail(&mut self, answer: usize, error: &StoreError) {
        if self.answers[answer].is_ok() {
            self.answers[answer] = Err(error.clone());
        }
    }
}

/// Where records go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    /// Of the segment.
    pub(super) salt: u64,
    /// Where the first begins.
    pub(super) at: u64,
    /// The end of what is durable.
    pub(super) synced_through: u64,
    /// Nothing stands behind the records up to here: zeros may.
    pub(super) free_through: u64,
}

/// Writes records one behind the other, and says where each body stands. All but the first write
/// begin at a page, and the last page is written to its end, as far as it is free: so each is whole
/// from the first time on, and none of a file that is used again is read for it.
pub(super) fn write_items(
    file: &impl DiskFile,
    target: Target,
    items: &[Item],
) -> Result<Vec<u64>, WriteFailed> {
    let Target { salt, at, synced_through, free_through } = target;
    let gathered: usize = items.iter().map(Item::gathered_bytes).sum();
    // What is gathered for a piece to begin at a page, and what is left behind its last.
    let beside = 2 * PAGE_BYTES as usize;
    let bytes = Vec::with_capacity(gathered.min(GATHERED_BYTES_MAX) + beside);
    let mut gathered = Gathered { file, start: at, at, bytes };
    let mut bodies = Vec::with_capacity(items.len());
    for item in items {
        let head = Head {
            kind: item.kind,
            name: item.name.clone(),
            body_bytes: item.body.len() as u64,
            body_crc: item
                .body
                .pieces()
                .iter()
                .fold(0, |crc, piece| crc32c::crc32c_append(crc, piece)),
            synced_through,
        };
        let record_at = gathered.position();
        head.encode(salt, record_at, &mut gathered.bytes);
        bodies.push(gathered.position());
        item.body.pieces().iter().try_for_each(|piece| gathered.add(piece))?;
        let padding = (record_at + item.record_bytes() - gathered.position()) as usize;
        gathered.bytes.extend_from_slice(&[0; 8][..padding]);
    }
    let end = gathered.position();
    let page_end = end.next_multiple_of(PAGE_BYTES).min(free_through);
    let rest = page_end.saturating_sub(end) as usize;
    gathered.bytes.extend_from_slice(&[0; PAGE_BYTES as usize][..rest]);
    gathered.flush()?;
    Ok(bodies)
}

/// Bytes gathered for one write call.
struct Gathered<'a, F> {
    file: &'a F,
    start: u64,
    at: u64,
    bytes: Vec<u8>,
}

impl<F: DiskFile> Gathered<'_, F> {
    fn position(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }

    fn add(&mut self, piece: &[u8]) -> Result<(), WriteFailed> {
        if piece.len() < GATHER_BYTES_MAX {
            self.bytes.extend_from_slice(piece);
            if self.bytes.len() >= GATHERED_BYTES_MAX {
                let behind_page = (self.position() % PAGE_BYTES) as usize;
                self.write_first(self.bytes.len() - behind_page)?;
            }
            return Ok(());
        }
        let to_page = self.position().next_multiple_of(PAGE_BYTES) - self.position();
        let (first, rest) = piece.split_at(to_page as usize);
        self.bytes.extend_from_slice(first);
        self.flush()?;
        let (pages, last) = rest.split_at(rest.len() - rest.len() % PAGE_BYTES as usize);
        self.write(pages)?;
        self.bytes.extend_from_slice(last);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), WriteFailed> {
        self.write_first(self.bytes.len())
    }

    /// Writes the first of the gathered bytes.
    fn write_first(&mut self, count: usize) -> Result<(), WriteFailed> {
        let mut bytes = std::mem::take(&mut self.bytes);
        self.write(&bytes[..count])?;
        bytes.drain(..count);
        self.bytes = bytes;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteFailed> {
        write_all(self.file, bytes, self.at).map_err(|failure| WriteFailed {
            written: self.at - self.start + failure.written,
            error: failure.error,
        })?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Item, Kind, PAGE_BYTES, Target, write_items};
    use crate::storage::embedded::disk::{DiskFile, SyncPoint};
    use bytes::Bytes;
    use std::io;
    use std::sync::Mutex;

    /// Keeps each write.
    #[derive(Default)]
    struct Written(Mutex<Vec<(u64, Vec<u8>)>>);

    impl DiskFile for Written {
        fn length(&self) -> io::Result<u64> {
            Ok(0)
        }

        fn set_length(&self, _length: u64) -> io::Result<()> {
            Ok(())
        }

        fn read_at(&self, _buffer: &mut [u8], _offset: u64) -> io::Result<usize> {
            Ok(0)
        }

        fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
            self.0.lock().unwrap().push((offset, bytes.to_vec()));
            Ok(bytes.len())
        }

        fn sync(&self, _point: SyncPoint) -> io::Result<()> {
            Ok(())
        }
    }

    fn object(number: usize, bytes: usize) -> Item {
        let body = Bytes::from(vec![(number % 200) as u8 + 1; bytes]);
        Item::new(Kind::Object, format!("log/{number}").as_bytes(), body.into(), None)
    }

    #[test]
    fn all_is_written_in_whole_pages() {
        let sizes = [20_000, 300, 16_384, 4_096, 100_001, 65_536, 1, 0, 40_000];
        for (at, free_through) in [(4_096, 1 << 30), (12_344, 1 << 30), (12_344, 0)] {
            for few in [true, false] {
                let small = (0..if few { 3 } else { 1_000 }).map(|_| 700);
                let items: Vec<_> =
                    small.chain(sizes).enumerate().map(|(n, bytes)| object(n, bytes)).collect();
                let file = Written::default();
                let target = Target { salt: 5, at, synced_through: 0, free_through };
                let bodies = write_items(&file, target, &items).unwrap_or_default();
                assert_eq!(bodies.len(), items.len());

                let writes = file.0.into_inner().unwrap();
                let last = writes.len() - 1;
                let mut all = Vec::new();
                for (number, (offset, bytes)) in writes.iter().enumerate() {
                    let end = offset + bytes.len() as u64;
                    assert_eq!(*offset, at + all.len() as u64, "one behind the other");
                    assert!(number == 0 || offset.is_multiple_of(PAGE_BYTES));
                    let padded = number < last || free_through > 0;
                    assert!(end.is_multiple_of(PAGE_BYTES) || !padded, "{number} of {last}");
                    all.extend_from_slice(bytes);
                }
                for (item, body) in items.iter().zip(bodies) {
                    let expected = item.body.pieces().iter().flat_map(|piece| piece.to_vec());
                    assert!(all[(body - at) as usize..].starts_with(&expected.collect::<Vec<_>>()));
                }
                let records: u64 = items.iter().map(Item::record_bytes).sum();
                assert!(all[records as usize..].iter().all(|&byte| byte == 0));
                assert!(all.len() as u64 - records < PAGE_BYTES);
            }
        }
    }
}
