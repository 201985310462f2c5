//! The header every object begins with.

use super::codec::{FormatError, Reader};
use super::{CommitId, FORMAT_VERSION, NodeId};

/// What every object of aft begins with. The line ends show a transfer that "mended" them.
const MAGIC: [u8; 8] = *b"\x89aft\r\n\x1a\n";

/// Bytes of a header without positions of other logs.
const FIXED_BYTES: usize =
    8 + 2 + 1 + 1 + 4 + 16 + 4 + 8 + 4 + 8 + 4 + 8 + 4 + 8 + 4 + 8 + 8 + 8 + 2 + 4;

/// Bytes of the newest base, which format 3 has added.
const BASE_BYTES: usize = 4 + 8;

/// Bytes of one position.
const POSITION_BYTES: usize = 4 + 8;

/// The longest header, in bytes: one position for each log it can name.
pub const HEADER_BYTES_MAX: usize = FIXED_BYTES + BASE_BYTES + POSITION_BYTES * u16::MAX as usize;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Commits.
    Group = 1,
    /// The end of a log: nothing at or behind it was ever acknowledged.
    Seal = 2,
    /// A group that was acknowledged and is lost; the log goes on behind it.
    Hole = 3,
    /// Live versions out of old groups, under their own commit ids.
    Base = 4,
    /// A piece of a large value.
    Blob = 5,
    /// A process start.
    Node = 6,
    /// Who may write.
    View = 7,
}

impl Kind {
    fn from_u8(byte: u8) -> Result<Self, FormatError> {
        [Self::Group, Self::Seal, Self::Hole, Self::Base, Self::Blob, Self::Node, Self::View]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
            .ok_or(FormatError::Field("kind"))
    }
}

/// The header of an object. Every later format keeps the magic, the number of the format, the
/// length and, at the end of the header, the checksum: so a newer format can be told from a
/// flipped bit.
///
/// ```text
/// magic 8 | format u16 | kind u8 | 0 u8 | header length u32 | nonce u128
/// | node u32 | number u64 | directory length u32 | values length u64 | directory crc u32
/// | acked_through u64 | window u32 | largest commit: time u64, node u32
/// | wall_ms u64 | now_through_ms u64 | oldest_snapshot u64
/// | newest base: node u32, number u64                                (from format 3 on)
/// | positions: count u16, then (node u32, number u64) each | header crc u32
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The version of the format it is written in.
    pub format: u16,
    /// What the object is.
    pub kind: Kind,
    /// Drawn for this object: tells a repeated create of ours from somebody else's.
    pub nonce: u128,
    /// With `number`, the object's own name: two objects that were swapped show it.
    pub node: NodeId,
    /// The sequence number in the log, or the number of a base or blob.
    pub number: u64,
    /// Length of the directory in bytes.
    pub directory_bytes: u32,
    /// Length of the values in bytes.
    pub values_bytes: u64,
    /// CRC-32C of the directory.
    pub directory_crc: u32,
    /// Every group of this log up to this number was acknowledged when this was written.
    pub acked_through: u64,
    /// How many creates the writer had under way at most: behind a seal, so many groups
    /// can exist that were never acknowledged.
    pub window: u32,
    /// The largest commit id in this log so far, so that no clock restarts below it.
    pub largest_commit: CommitId,
    /// The writer's wall clock in milliseconds since the Unix epoch.
    pub wall_ms: u64,
    /// No reply that this object was awaited for used a later time; milliseconds.
    pub now_through_ms: u64,
    /// The oldest open snapshot of the writer, as commit time; 0 where none is open.
    pub oldest_snapshot: u64,
    /// The newest base that counts, and with it all that it says; `(0, 0)` if there is none.
    pub base: (NodeId, u64),
    /// The groups of other logs that the writer had applied.
    pub positions: Vec<(NodeId, u64)>,
}

/// What the entry of a node id says of the process that has drawn it.
///
/// It stands in fields of the header that an entry has no other use for; earlier versions left
/// them 0, and look at none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Start {
    /// When its recovery began, in milliseconds since the Unix epoch by its own clock, as
    /// `acked_through`; 0 if there was none.
    pub began_ms: u64,
    /// How long that took, in milliseconds and at least 1, as `window`. 0 in the entry that a start
    /// begins with, which can't know; those of further logs of the same process do.
    pub recovery_ms: u32,
}

impl Header {
    /// The header of an entry, which is all of it.
    pub fn of_entry(nonce: u128, node: NodeId, start: Start) -> Self {
        let mut header = Self::new(Kind::Node, nonce, node, 0);
        (header.acked_through, header.window) = (start.began_ms, start.recovery_ms);
        header
    }

    /// What an entry says.
    pub fn start(&self) -> Start {
        Start { began_ms: self.acked_through, recovery_ms: self.window }
    }

    /// A header of an object without directory and values.
    pub fn new(kind: Kind, nonce: u128, node: NodeId, number: u64) -> Self {
        Self {
            format: FORMAT_VERSION,
            kind,
            nonce,
            node,
            number,
            directory_bytes: 0,
            values_bytes: 0,
            directory_crc: crc32c::crc32c(&[]),
            acked_through: 0,
            window: 0,
            largest_commit: CommitId::ZERO,
            wall_ms: 0,
            now_through_ms: 0,
            oldest_snapshot: 0,
            base: (0, 0),
            positions: Vec::new(),
        }
    }

    /// Length of this header in bytes: where the directory begins.
    pub fn encoded_bytes(&self) -> usize {
        let base_bytes = if self.format >= 3 { BASE_BYTES } else { 0 };
        FIXED_BYTES + base_bytes + POSITION_BYTES * self.positions.len()
    }

    /// Length of the whole object in bytes.
    pub fn object_bytes(&self) -> u64 {
        self.values_offset().saturating_add(self.values_bytes)
    }

    /// Where the values begin in the object.
    pub fn values_offset(&self) -> u64 {
        self.encoded_bytes() as u64 + u64::from(self.directory_bytes)
    }

    /// Appends the header.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.format.to_le_bytes());
        out.push(self.kind as u8);
        out.push(0);
        out.extend_from_slice(&(self.encoded_bytes() as u32).to_le_bytes());
        out.extend_from_slice(&self.nonce.to_le_bytes());
        out.extend_from_slice(&self.node.to_le_bytes());
        out.extend_from_slice(&self.number.to_le_bytes());
        out.extend_from_slice(&self.directory_bytes.to_le_bytes());
        out.extend_from_slice(&self.values_bytes.to_le_bytes());
        out.extend_from_slice(&self.directory_crc.to_le_bytes());
        out.extend_from_slice(&self.acked_through.to_le_bytes());
        out.extend_from_slice(&self.window.to_le_bytes());
        out.extend_from_slice(&self.largest_commit.time.to_le_bytes());
        out.extend_from_slice(&self.largest_commit.node.to_le_bytes());
        out.extend_from_slice(&self.wall_ms.to_le_bytes());
        out.extend_from_slice(&self.now_through_ms.to_le_bytes());
        out.extend_from_slice(&self.oldest_snapshot.to_le_bytes());
        if self.format >= 3 {
            out.extend_from_slice(&self.base.0.to_le_bytes());
            out.extend_from_slice(&self.base.1.to_le_bytes());
        }
        out.extend_from_slice(&(self.positions.len() as u16).to_le_bytes());
        for (node, number) in &self.positions {
            out.extend_from_slice(&node.to_le_bytes());
            out.extend_from_slice(&number.to_le_bytes());
        }
        let crc = crc32c::crc32c(&out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
    }

    /// How many bytes the header at the start of `object` takes, if that can be told.
    /// A reader that fetched less of the object fetches again.
    pub fn peek_bytes(object: &[u8]) -> Result<usize, FormatError> {
        let mut reader = Reader::new(object, "header");
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(FormatError::Magic);
        }
        reader.take(4)?;
        let length = reader.u32()? as usize;
        if (FIXED_BYTES..=HEADER_BYTES_MAX).contains(&length) {
            Ok(length)
        } else {
            Err(FormatError::Length("header"))
        }
    }

    /// Reads the header at the start of `object`.
    pub fn decode(object: &[u8]) -> Result<Self, FormatError> {
        let length = Self::peek_bytes(object)?;
        let header = object.get(..length).ok_or(FormatError::Length("header"))?;
        let (fields, crc) = header.split_at(length - 4);
        if crc32c::crc32c(fields).to_le_bytes() != crc {
            return Err(FormatError::Checksum("header"));
        }
        let mut reader = Reader::new(fields, "header");
        reader.take(MAGIC.len())?;
        let format = reader.u16()?;
        if format > FORMAT_VERSION {
            return Err(FormatError::Newer(format));
        }
        if format == 0 {
            return Err(FormatError::Field("format"));
        }
        let kind = Kind::from_u8(reader.u8()?)?;
        if reader.u8()? != 0 {
            return Err(FormatError::Field("reserved byte"));
        }
        reader.u32()?;
        let nonce = u128::from(reader.u64()?) | u128::from(reader.u64()?) << 64;
        let mut decoded = Self::new(kind, nonce, reader.u32()?, reader.u64()?);
        decoded.format = format;
        decoded.directory_bytes = reader.u32()?;
        decoded.values_bytes = reader.u64()?;
        decoded.directory_crc = reader.u32()?;
        decoded.acked_through = reader.u64()?;
        decoded.window = reader.u32()?;
        decoded.largest_commit = CommitId { time: reader.u64()?, node: reader.u32()? };
        decoded.wall_ms = reader.u64()?;
        decoded.now_through_ms = reader.u64()?;
        decoded.oldest_snapshot = reader.u64()?;
        if format >= 3 {
            decoded.base = (reader.u32()?, reader.u64()?);
        }
        for _ in 0..reader.u16()? {
            decoded.positions.push((reader.u32()?, reader.u64()?));
        }
        if !reader.is_empty() {
            return Err(FormatError::Length("header"));
        }
        Ok(decoded)
    }
}
