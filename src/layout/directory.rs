//! The directory of a group: which transactions it holds and what each of them wrote.
//!
//! ```text
//! commit count  u32
//! then each commit
//!   id          time u64, node u32
//!   flags       u8: 1 token, 2 request id, 4 result      (each present one: length, bytes)
//!   writes      varint, then each write
//!     put       1, database, key, type, expiry?, place
//!     delete    2, database, key
//!     meta      3, database, key, predecessor, expiry?            only the expiry changes
//!     patch     4, database, key, predecessor, type, expiry?, place  a change to the older value
//!     flush     5, database                                       a tombstone for all older ids
//!     control   6, which, its fields             closings of logs; what a base replaces
//!     swap      7, number u8, number u8                           their databases are exchanged
//! ```
//! *database* is a byte, the slot of SWAPDB: number and slot are the same until a swap
//! exchanges what two *numbers* mean (from format 2 on). *key* is a length and bytes,
//! *predecessor* a commit id, *expiry* a flag byte and, if that is 1, u64 milliseconds
//! since the Unix epoch. *type* is 1 for a string; hashes, lists, sets and sorted sets take
//! the numbers after it. *place* says where the bytes of the value are:
//! ```text
//!     0, length, bytes                       right here (small values: recovery has them)
//!     1, offset, length, crc u32             in the values of this object
//!     2, node u32, number u64, chunk bytes u32, length, crc u32
//!                                            in blob/<node>/<number> and those behind it
//! ```
//! Blobs are in format 6 and later. `patch` is written by no version yet; it stands here so
//! that the format doesn't change when it is.
//!
//! The directory of a base begins with a commit of controls: what of the logs is replaced,
//! which other bases count, and the swaps that lead to the numbers as they were there. Then
//! come live versions, each put in a commit of its own id, and behind it, if a later commit
//! changed the key's expiry, that meta. What became of an interactive transaction is a commit
//! with its token, request and result, and without writes (from format 4 on).

use super::codec::{FormatError, Reader, put_bytes, put_varint, varint_bytes};
use super::{BlobName, CommitId, NodeId};

/// The version of the key that a meta or patch changes. Where it is missing, the key is
/// reported and never guessed.
pub type Predecessor = CommitId;

/// The type of a value, as it stands in the directory.
pub const TYPE_STRING: u8 = 1;

/// Where the bytes of a value are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// In the directory itself.
    Inline(&'a [u8]),
    /// Among the values of the same object.
    Values {
        /// From the start of the values, in bytes.
        offset: u64,
        /// In bytes.
        length: u64,
        /// CRC-32C of the bytes.
        crc: u32,
    },
    /// In objects of its own.
    Blob {
        /// Which.
        blob: BlobName,
        /// CRC-32C of the bytes.
        crc: u32,
    },
}

/// Facts about logs and bases, recorded by a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// The log of `node` ends after `end`: whatever stands behind was never acknowledged.
    LogClosed {
        /// Whose log.
        node: NodeId,
        /// The last group that counts; 0 for an empty log.
        end: u64,
    },
    /// The log of `node` up to `through`, and all of every log before it, is replaced.
    LogTrimmed {
        /// Whose log.
        node: NodeId,
        /// The last group that is replaced; 0 if none of this log is.
        through: u64,
    },
    /// Beside the base that says so, these bases of `node` count.
    Bases {
        /// Whose bases.
        node: NodeId,
        /// The oldest of them.
        first: u64,
        /// The newest of them.
        last: u64,
    },
}

/// One write of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // The fields are those of the table above.
pub enum Write<'a> {
    Put {
        database: u8,
        key: &'a [u8],
        value_type: u8,
        expires_ms: Option<u64>,
        place: Place<'a>,
    },
    Delete {
        database: u8,
        key: &'a [u8],
    },
    Meta {
        database: u8,
        key: &'a [u8],
        predecessor: Predecessor,
        expires_ms: Option<u64>,
    },
    Patch {
        database: u8,
        key: &'a [u8],
        predecessor: Predecessor,
        value_type: u8,
        expires_ms: Option<u64>,
        place: Place<'a>,
    },
    Flush {
        database: u8,
    },
    Control(Control),
    Swap {
        one: u8,
        other: u8,
    },
}

/// A transaction as it stands in a directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Commit<'a> {
    /// Its place in the order.
    pub id: CommitId,
    /// The token it ran under, if it was interactive.
    pub token: Option<&'a [u8]>,
    /// The request it fulfilled.
    pub request: Option<&'a [u8]>,
    /// What a retry of that request learns.
    pub result: Option<&'a [u8]>,
    /// What it wrote, in order.
    pub writes: Vec<Write<'a>>,
}

const HAS_TOKEN: u8 = 1;
const HAS_REQUEST: u8 = 2;
const HAS_RESULT: u8 = 4;

/// Appends the start of a commit; `writes` writes must follow.
pub fn put_commit(out: &mut Vec<u8>, commit: &Commit<'_>, writes: usize) {
    put_commit_id(out, commit.id);
    let optional =
        [(HAS_TOKEN, commit.token), (HAS_REQUEST, commit.request), (HAS_RESULT, commit.result)];
    out.push(optional.iter().filter(|(_, field)| field.is_some()).map(|(flag, _)| flag).sum());
    for bytes in optional.iter().filter_map(|(_, field)| *field) {
        put_bytes(out, bytes);
    }
    put_varint(out, writes as u64);
}

/// What a commit takes in a directory beside its writes, in bytes, by the lengths of its token,
/// request and result.
pub fn commit_bytes(said: [Option<usize>; 3]) -> usize {
    /// Its id, the flags, and the number of its writes.
    const FIXED_BYTES: usize = 12 + 1 + 1;
    let bytes = |length: usize| varint_bytes(length as u64) + length;
    FIXED_BYTES + said.into_iter().flatten().map(bytes).sum::<usize>()
}

/// Appends one write.
pub fn put_write(out: &mut Vec<u8>, write: &Write<'_>) {
    match *write {
        Write::Put { database, key, value_type, expires_ms, place } => {
            put_key(out, 1, database, key);
            out.push(value_type);
            put_expiry(out, expires_ms);
            put_place(out, &place);
        }
        Write::Delete { database, key } => put_key(out, 2, database, key),
        Write::Meta { database, key, predecessor, expires_ms } => {
            put_key(out, 3, database, key);
            put_commit_id(out, predecessor);
            put_expiry(out, expires_ms);
        }
        Write::Patch { database, key, predecessor, value_type, expires_ms, place } => {
            put_key(out, 4, database, key);
            put_commit_id(out, predecessor);
            out.push(value_type);
            put_expiry(out, expires_ms);
            put_place(out, &place);
        }
        Write::Flush { database } => out.extend_from_slice(&[5, database]),
        Write::Control(control) => put_control(out, control),
        Write::Swap { one, other } => out.extend_from_slice(&[7, one, other]),
    }
}

#[inline]
fn put_key(out: &mut Vec<u8>, kind: u8, database: u8, key: &[u8]) {
    out.extend_from_slice(&[kind, database]);
    put_bytes(out, key);
}

fn put_commit_id(out: &mut Vec<u8>, id: CommitId) {
    out.extend_from_slice(&id.time.to_le_bytes());
    out.extend_from_slice(&id.node.to_le_bytes());
}

fn put_expiry(out: &mut Vec<u8>, expires_ms: Option<u64>) {
    match expires_ms {
        None => out.push(0),
        Some(ms) => {
            out.push(1);
            out.extend_from_slice(&ms.to_le_bytes());
        }
    }
}

fn put_place(out: &mut Vec<u8>, place: &Place<'_>) {
    match *place {
        Place::Inline(bytes) => {
            out.push(0);
            put_bytes(out, bytes);
        }
        Place::Values { offset, length, crc } => {
            out.push(1);
            put_varint(out, offset);
            put_varint(out, length);
            out.extend_from_slice(&crc.to_le_bytes());
        }
        Place::Blob { blob, crc } => {
            out.push(2);
            out.extend_from_slice(&blob.node.to_le_bytes());
            out.extend_from_slice(&blob.number.to_le_bytes());
            out.extend_from_slice(&blob.chunk_bytes.to_le_bytes());
            put_varint(out, blob.length);
            out.extend_from_slice(&crc.to_le_bytes());
        }
    }
}

fn put_control(out: &mut Vec<u8>, control: Control) {
    let (which, node, number) = match control {
        Control::LogClosed { node, end } => (1, node, end),
        Control::LogTrimmed { node, through } => (2, node, through),
        Control::Bases { node, first, .. } => (3, node, first),
    };
    out.extend_from_slice(&[6, which]);
    out.extend_from_slice(&node.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    if let Control::Bases { last, .. } = control {
        out.extend_from_slice(&last.to_le_bytes());
    }
}

/// Reads the commits of a directory, one after the other.
#[derive(Debug, Clone)]
pub struct Directory<'a> {
    reader: Reader<'a>,
    commits_left: u32,
    /// The memory of a commit that was given back.
    writes: Vec<Write<'a>>,
}

impl<'a> Directory<'a> {
    /// Begins to read `bytes`, which must have passed their checksum.
    pub fn new(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(bytes, "directory");
        // An object without commits (a seal, say) has no directory at all.
        let commits_left = if reader.is_empty() { 0 } else { reader.u32()? };
        Ok(Self { reader, commits_left, writes: Vec::new() })
    }

    /// The next commit, or `None` behind the last.
    pub fn next_commit(&mut self) -> Result<Option<Commit<'a>>, FormatError> {
        if self.commits_left == 0 {
            return if self.reader.is_empty() {
                Ok(None)
            } else {
                Err(FormatError::Length("directory"))
            };
        }
        self.commits_left -= 1;
        let reader = &mut self.reader;
        let writes = std::mem::take(&mut self.writes);
        let mut commit = Commit { id: read_commit_id(reader)?, writes, ..Commit::default() };
        let flags = reader.u8()?;
        if flags & !(HAS_TOKEN | HAS_REQUEST | HAS_RESULT) != 0 {
            return Err(FormatError::Field("commit flags"));
        }
        let mut optional = |flag| match flags & flag {
            0 => Ok(None),
            _ => reader.bytes().map(Some),
        };
        commit.token = optional(HAS_TOKEN)?;
        commit.request = optional(HAS_REQUEST)?;
        commit.result = optional(HAS_RESULT)?;
        for _ in 0..self.reader.varint()? {
            commit.writes.push(read_write(&mut self.reader)?);
        }
        Ok(Some(commit))
    }

    /// Takes back a commit: the next one is read into its memory. Bases are full of commits
    /// of a single write.
    pub fn reuse(&mut self, commit: Commit<'a>) {
        self.writes = commit.writes;
        self.writes.clear();
    }
}

#[inline]
fn read_write<'a>(reader: &mut Reader<'a>) -> Result<Write<'a>, FormatError> {
    let kind = reader.u8()?;
    if kind == 6 {
        return read_control(reader).map(Write::Control);
    }
    let database = reader.u8()?;
    if kind == 5 {
        return Ok(Write::Flush { database });
    }
    if kind == 7 {
        return Ok(Write::Swap { one: database, other: reader.u8()? });
    }
    let key = reader.bytes()?;
    match kind {
        1 => Ok(Write::Put {
            database,
            key,
            value_type: read_type(reader)?,
            expires_ms: read_expiry(reader)?,
            place: read_place(reader)?,
        }),
        2 => Ok(Write::Delete { database, key }),
        3 => Ok(Write::Meta {
            database,
            key,
            predecessor: read_commit_id(reader)?,
            expires_ms: read_expiry(reader)?,
        }),
        4 => Ok(Write::Patch {
            database,
            key,
            predecessor: read_commit_id(reader)?,
            value_type: read_type(reader)?,
            expires_ms: read_expiry(reader)?,
            place: read_place(reader)?,
        }),
        _ => Err(FormatError::Field("kind of write")),
    }
}

#[inline]
fn read_commit_id(reader: &mut Reader<'_>) -> Result<CommitId, FormatError> {
    Ok(CommitId { time: reader.u64()?, node: reader.u32()? })
}

#[inline]
fn read_type(reader: &mut Reader<'_>) -> Result<u8, FormatError> {
    match reader.u8()? {
        TYPE_STRING => Ok(TYPE_STRING),
        _ => Err(FormatError::Field("type of value")),
    }
}

#[inline]
fn read_expiry(reader: &mut Reader<'_>) -> Result<Option<u64>, FormatError> {
    match reader.u8()? {
        0 => Ok(None),
        1 => reader.u64().map(Some),
        _ => Err(FormatError::Field("expiry flag")),
    }
}

#[inline]
fn read_place<'a>(reader: &mut Reader<'a>) -> Result<Place<'a>, FormatError> {
    match reader.u8()? {
        0 => reader.bytes().map(Place::Inline),
        1 => Ok(Place::Values {
            offset: reader.varint()?,
            length: reader.varint()?,
            crc: reader.u32()?,
        }),
        2 => read_blob(reader),
        _ => Err(FormatError::Field("place of a value")),
    }
}

fn read_blob<'a>(reader: &mut Reader<'a>) -> Result<Place<'a>, FormatError> {
    let blob = BlobName {
        node: reader.u32()?,
        number: reader.u64()?,
        chunk_bytes: reader.u32()?,
        length: reader.varint()?,
    };
    if blob.chunk_bytes == 0 || blob.number.checked_add(blob.chunks()).is_none() {
        return Err(FormatError::Field("extent of a blob"));
    }
    Ok(Place::Blob { blob, crc: reader.u32()? })
}

fn read_control(reader: &mut Reader<'_>) -> Result<Control, FormatError> {
    let which = reader.u8()?;
    let (node, number) = (reader.u32()?, reader.u64()?);
    match which {
        1 => Ok(Control::LogClosed { node, end: number }),
        2 => Ok(Control::LogTrimmed { node, through: number }),
        3 => Ok(Control::Bases { node, first: number, last: reader.u64()? }),
        _ => Err(FormatError::Field("kind of control")),
    }
}
