//! The bytes: segment headers and records. Integers are little endian.
//!
//! ```text
//! segment   0     header copy 1 ┐ magic "aftsegm1" | number u64 | salt u64 | capacity u64 | crc u32
//!           2048  header copy 2 ┘ (twice, in two blocks: without its salt a segment is unreadable)
//!                 while they differ the first is being written over a dead segment's, and holds no record
//!           4096  records, each at a multiple of 8, zeros (or a dead segment's bytes) behind the last
//!
//! record    0  magic u32
//!           4  crc u32 of (salt, own offset, bytes 8..32, name)
//!           8  kind u8 | 0 u8 | length of name u16 | crc of body u32
//!           16 length of body u64
//!           24 synced_through u64: all of this segment before that offset is durable
//!           32 name | body | zeros up to a multiple of 8
//! ```
//!
//! The salt and the offset in the checksum keep bytes that only look like a record (a
//! stored copy of a segment, say) from being taken for one.

use std::ops::Range;

/// Where the records of a segment begin.
pub(super) const DATA_START: u64 = 4096;
/// Where the second copy of a segment's header stands.
pub(super) const HEADER_COPY: u64 = 2048;
const SEGMENT_HEADER_BYTES: usize = 36;
const SEGMENT_MAGIC: &[u8; 8] = b"aftsegm1";

/// The fixed part of a record.
pub(super) const HEADER_BYTES: usize = 32;
/// The first four bytes of a record.
pub(super) const RECORD_MAGIC: [u8; 4] = [0xaf, 0x70, 0x5e, 0xc1];
/// The longest name of an object, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 255;
/// Enough for any record's header and name.
pub(super) const HEAD_BYTES_MAX: usize = HEADER_BYTES + FENCES_MAX * FENCE_BYTES;
/// The most fences that one record can hold.
pub(super) const FENCES_MAX: usize = 32;
const FENCE_BYTES: usize = 24;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Here is an object.
    Object,
    /// The object of this name is gone.
    Delete,
    /// Ranges of segments are void, all of them or none; see [`Fence`].
    Fence,
    /// Nothing but its `synced_through`; written when the store is closed, and when the disk is full.
    Mark,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Object,
            2 => Self::Delete,
            3 => Self::Fence,
            4 => Self::Mark,
            _ => return None,
        })
    }

    fn byte(self) -> u8 {
        match self {
            Self::Object => 1,
            Self::Delete => 2,
            Self::Fence => 3,
            Self::Mark => 4,
        }
    }
}

/// "Whatever stands in this range of this segment counts for nothing." A fence to the
/// end also says that all before it is decided: the segment is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fence {
    pub(super) segment: u64,
    pub(super) from: u64,
    /// `u64::MAX`: to the end.
    pub(super) to: u64,
}

impl Fence {
    /// The most bytes that a fence adds to a run.
    pub(super) const RECORD_BYTES: u64 = record_bytes(FENCE_BYTES, 0);

    pub(super) fn range(&self) -> Range<u64> {
        self.from..self.to
    }

    pub(super) fn seals(&self) -> bool {
        self.to == u64::MAX
    }

    /// The bytes of fences, which stand where an object has its name: covered by the
    /// header's checksum, so that all of a record's fences are there or none.
    pub(super) fn encode(fences: &[Self]) -> Vec<u8> {
        fences
            .iter()
            .flat_map(|fence| [fence.segment, fence.from, fence.to])
            .flat_map(u64::to_le_bytes)
            .collect()
    }

    pub(super) fn decode(bytes: &[u8]) -> Vec<Self> {
        let fences = bytes.chunks_exact(FENCE_BYTES).map(|fence| Self {
            segment: u64_at(fence, 0),
            from: u64_at(fence, 8),
            to: u64_at(fence, 16),
        });
        fences.collect()
    }
}

/// The checked head of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) name: Vec<u8>,
    pub(super) body_bytes: u64,
    pub(super) body_crc: u32,
    pub(super) synced_through: u64,
}

impl Head {
    /// The whole record's length.
    pub(super) fn record_bytes(&self) -> u64 {
        record_bytes(self.name.len(), self.body_bytes)
    }

    /// Appends header and name of a record that stands at `offset`.
    pub(super) fn encode(&self, salt: u64, offset: u64, out: &mut Vec<u8>) {
        let mut fixed = [0u8; HEADER_BYTES];
        fixed[..4].copy_from_slice(&RECORD_MAGIC);
        fixed[8] = self.kind.byte();
        fixed[10..12].copy_from_slice(&(self.name.len() as u16).to_le_bytes());
        fixed[12..16].copy_from_slice(&self.body_crc.to_le_bytes());
        fixed[16..24].copy_from_slice(&self.body_bytes.to_le_bytes());
        fixed[24..32].copy_from_slice(&self.synced_through.to_le_bytes());
        let crc = head_crc(salt, offset, &fixed[8..], &self.name);
        fixed[4..8].copy_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&fixed);
        out.extend_from_slice(&self.name);
    }

    /// Reads the head of a record at `offset` from its first bytes (as many as
    /// [`HEAD_BYTES_MAX`] where the file has them). None: there is no record here.
    pub(super) fn decode(salt: u64, offset: u64, bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEADER_BYTES || bytes[..4] != RECORD_MAGIC {
            return None;
        }
        let name_bytes = usize::from(u16::from_le_bytes([bytes[10], bytes[11]]));
        let name = bytes.get(HEADER_BYTES..HEADER_BYTES + name_bytes)?;
        if u32_at(bytes, 4) != head_crc(salt, offset, &bytes[8..HEADER_BYTES], name) {
            return None;
        }
        Some(Self {
            kind: Kind::from_byte(bytes[8])?,
            name: name.to_vec(),
            body_bytes: u64_at(bytes, 16),
            body_crc: u32_at(bytes, 12),
            synced_through: u64_at(bytes, 24),
        })
    }
}

/// A record's length on disk.
pub(super) const fn record_bytes(name_bytes: usize, body_bytes: u64) -> u64 {
    (HEADER_BYTES as u64 + name_bytes as u64 + body_bytes).next_multiple_of(8)
}

fn head_crc(salt: u64, offset: u64, fixed: &[u8], name: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&salt.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &offset.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, fixed);
    crc32c::crc32c_append(crc, name)
}

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) number: u64,
    pub(super) salt: u64,
    /// The segment's length in bytes, this header included.
    pub(super) capacity: u64,
}

impl SegmentHeader {
    /// The first [`DATA_START`] bytes of the file.
    pub(super) fn encode(&self) -> Vec<u8> {
        let copy = self.encode_half();
        [copy.clone(), copy].concat()
    }

    /// What stands before the second copy, and from there on.
    pub(super) fn encode_half(&self) -> Vec<u8> {
        let mut copy = SEGMENT_MAGIC.to_vec();
        for number in [self.number, self.salt, self.capacity] {
            copy.extend_from_slice(&number.to_le_bytes());
        }
        copy.extend_from_slice(&crc32c::crc32c(&copy).to_le_bytes());
        copy.resize(HEADER_COPY as usize, 0);
        copy
    }

    /// Reads whichever copy is whole.
    pub(super) fn decode(bytes: &[u8]) -> Beginning {
        let copies = [0, HEADER_COPY as usize].map(|at| Self::decode_copy(bytes.get(at..)?));
        match copies {
            [Some(one), Some(other)] if one != other => Beginning::Unfinished(one.number),
            [None, None] => Beginning::Lost,
            [Some(header), other] | [other @ None, Some(header)] => {
                Beginning::Of { header, lost_copy: other.is_none() }
            }
        }
    }

    fn decode_copy(bytes: &[u8]) -> Option<Self> {
        let copy = bytes.get(..SEGMENT_HEADER_BYTES)?;
        let whole = &copy[..8] == SEGMENT_MAGIC
            && u32_at(copy, 32) == crc32c::crc32c(&copy[..SEGMENT_HEADER_BYTES - 4]);
        whole.then(|| Self {
            number: u64_at(copy, 8),
            salt: u64_at(copy, 16),
            capacity: u64_at(copy, 24),
        })
    }
}

/// What the first [`DATA_START`] bytes of a segment's file say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// Nothing that can be read.
    Lost,
    /// A segment of this number was being made of a dead one's file: neither counts.
    Unfinished(u64),
    /// A segment.
    Of {
        /// What it is.
        header: SegmentHeader,
        /// One of the two copies is unreadable.
        lost_copy: bool,
    },
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}
