//! Reading a segment's records back, from header to header.
//!
//! Bodies are skipped, so the cost follows the number of records and not their bytes.
//! Only where a segment ends without a seal is the rest of the file looked at, for a
//! record that continues behind a bad one and for the last byte that is not zero.

use super::disk::{DiskFile, read_full};
use super::record::{DATA_START, Fence, HEAD_BYTES_MAX, Head, Kind, RECORD_MAGIC};
use std::io;
use std::ops::Range;

/// How much is read at once while skipping from header to header.
const WINDOW_BYTES: usize = 8192;
/// How much is read at once while searching.
const SEARCH_BYTES: usize = 1 << 20;
/// The step in which zeros are skipped while searching.
const ZERO_BLOCK: [u8; 4096] = [0; 4096];

/// A record and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) head: Head,
    pub(super) at: u64,
}

impl Record {
    pub(super) fn end(&self) -> u64 {
        self.at.saturating_add(self.head.record_bytes())
    }

    pub(super) fn body_at(&self) -> u64 {
        self.at + (super::record::HEADER_BYTES + self.head.name.len()) as u64
    }

    /// The object's name. A head with a good checksum has none that isn't UTF-8.
    pub(super) fn name(&self) -> &str {
        std::str::from_utf8(&self.head.name).unwrap_or_default()
    }

    pub(super) fn fences(&self) -> Vec<Fence> {
        match self.head.kind {
            Kind::Fence => Fence::decode(&self.head.name),
            _ => Vec::new(),
        }
    }

    /// Reads the body; None if it isn't the one that was written.
    pub(super) fn read_body(&self, file: &impl DiskFile) -> io::Result<Option<Vec<u8>>> {
        let mut body = vec![0; self.head.body_bytes as usize];
        let filled = read_full(file, &mut body, self.body_at())?;
        let whole = filled == body.len() && crc32c::crc32c(&body) == self.head.body_crc;
        Ok(whole.then_some(body))
    }
}

/// What a walk through a segment found.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Every record with a good head, in order, in void ranges too.
    pub(super) records: Vec<Record>,
    /// Ranges between records where no head could be read.
    pub(super) gaps: Vec<Range<u64>>,
    /// Nothing that was ever written stands at or behind this offset.
    pub(super) end: u64,
}

/// Walks from the first record up to `end`, the segment's sealed end or the file's.
pub(super) fn walk(file: &impl DiskFile, salt: u64, end: u64) -> io::Result<Walk> {
    let mut found = Walk::default();
    let mut reader = HeadReader::new(file, salt, end);
    let mut at = DATA_START;
    while at < end {
        if let Some(head) = reader.head_at(at)? {
            let record = Record { head, at };
            at = record.end();
            found.records.push(record);
            continue;
        }
        match search(&mut reader, at)? {
            Searched::Next(next) => {
                found.gaps.push(at..next);
                at = next;
            }
            Searched::End(last) => {
                if last > at {
                    found.gaps.push(at..last);
                }
                at = at.max(last);
                break;
            }
        }
    }
    found.end = at;
    Ok(found)
}

enum Searched {
    /// The next record begins here.
    Next(u64),
    /// There is none; the last byte that is not zero is before this multiple of 8.
    End(u64),
}

/// Looks for the next record behind `from`, where there is none.
fn search<F: DiskFile>(reader: &mut HeadReader<'_, F>, from: u64) -> io::Result<Searched> {
    let mut last = from;
    let mut at = from;
    let mut buffer = vec![0; SEARCH_BYTES];
    while at < reader.end {
        let want = SEARCH_BYTES.min((reader.end - at) as usize);
        let filled = read_full(reader.file, &mut buffer[..want], at)?;
        if filled == 0 {
            break;
        }
        for (block, bytes) in buffer[..filled].chunks(ZERO_BLOCK.len()).enumerate() {
            if bytes == &ZERO_BLOCK[..bytes.len()] {
                continue;
            }
            let block_at = at + (block * ZERO_BLOCK.len()) as u64;
            for (word, eight) in bytes.chunks(8).enumerate() {
                if eight.iter().all(|&byte| byte == 0) {
                    continue;
                }
                let word_at = block_at + 8 * word as u64;
                last = word_at + 8;
                if eight.starts_with(&RECORD_MAGIC)
                    && word_at > from
                    && reader.head_at(word_at)?.is_some()
                {
                    return Ok(Searched::Next(word_at));
                }
            }
        }
        // Chunks stay at multiples of 8; a shorter read is the end of the file.
        at += filled as u64;
        if filled < want {
            break;
        }
    }
    Ok(Searched::End(last))
}

/// Reads heads through a small window, so that small records cost few reads.
struct HeadReader<'a, F> {
    file: &'a F,
    salt: u64,
    end: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a, F: DiskFile> HeadReader<'a, F> {
    fn new(file: &'a F, salt: u64, end: u64) -> Self {
        Self { file, salt, end, window: Vec::new(), window_at: 0 }
    }

    fn head_at(&mut self, at: u64) -> io::Result<Option<Head>> {
        let behind = at.wrapping_sub(self.window_at);
        let in_window =
            at >= self.window_at && behind + (HEAD_BYTES_MAX as u64) <= self.window.len() as u64;
        if !in_window {
            self.window.resize(WINDOW_BYTES, 0);
            let filled = read_full(self.file, &mut self.window, at)?;
            self.window.truncate(filled);
            self.window_at = at;
        }
        let start = (at - self.window_at) as usize;
        let head = Head::decode(self.salt, at, &self.window[start..]);
        // A head that claims more than there is can't be one of ours.
        Ok(head
            .filter(|head| at.checked_add(head.record_bytes()).is_some_and(|end| end <= self.end)))
    }
}
