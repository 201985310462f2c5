//! Blobs: values too large for a group, each in objects of its own.
//!
//! A blob is cut into chunks of one size, the last of what is left: so a value of 512 MB is
//! written, sent again where that has to be, and read in pieces that any store takes, and never
//! stands in memory a second time. Chunk *i* of the blob `(node, number)` is the object
//! `blob/<node>/<number + i>`; a node gives no number twice.
//!
//! ```text
//! +--------+---------+-------+
//! | header | crc u32 | value |      crc: CRC-32C of this chunk of the value; it stands where
//! +--------+---------+-------+      other objects have their directory, and is covered likewise
//! ```
//! The commit that puts the value names its blob ([`Place::Blob`](super::Place::Blob)). Chunks
//! are there before, so nobody ever finds a commit without them; what no commit came to name
//! is deleted by who wrote it, or swept by a later start.

use super::codec::FormatError;
use super::header::{Header, Kind};
use super::{NodeId, ObjectName};
use crate::rope::Rope;
use bytes::Bytes;

/// How large chunks are, in bytes: large enough that a store's latency is little beside the time
/// that the bytes take, and so small that some of them on their way are no burden on memory.
pub const CHUNK_BYTES: u32 = 8 << 20;

/// Of the checksum in a chunk.
const CRC_BYTES: usize = 4;

/// Where a large value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobName {
    /// Whose it is.
    pub node: NodeId,
    /// The number of its first chunk.
    pub number: u64,
    /// How much of the value a chunk holds, in bytes; never 0.
    pub chunk_bytes: u32,
    /// How long the value is, in bytes.
    pub length: u64,
}

impl BlobName {
    /// How many chunks it has: the next blob's number is larger by so many.
    pub fn chunks(&self) -> u64 {
        self.length.div_ceil(u64::from(self.chunk_bytes.max(1)))
    }

    /// Its objects, in order.
    pub fn objects(&self) -> impl Iterator<Item = ObjectName> + use<> {
        let Self { node, number, .. } = *self;
        (0..self.chunks()).map(move |at| ObjectName::Blob(node, number.saturating_add(at)))
    }

    /// How long its objects are together, in bytes.
    pub fn bytes(&self) -> u64 {
        let beside = Header::new(Kind::Blob, 0, 0, 0).encoded_bytes() + CRC_BYTES;
        self.length + self.chunks() * beside as u64
    }

    /// Which bytes of the value chunk `at` holds: where they begin, and how many they are.
    pub fn extent(&self, at: u64) -> (u64, u64) {
        let start = at.saturating_mul(u64::from(self.chunk_bytes)).min(self.length);
        (start, (self.length - start).min(u64::from(self.chunk_bytes)))
    }
}

/// The object that holds a chunk of a value, which is shared and not copied; and its checksum.
/// `header` is that of a blob, with the object's own name.
pub fn encode_chunk(mut header: Header, chunk: Bytes) -> (Rope, u32) {
    let crc = crc32c::crc32c(&chunk);
    header.directory_bytes = CRC_BYTES as u32;
    header.directory_crc = crc32c::crc32c(&crc.to_le_bytes());
    header.values_bytes = chunk.len() as u64;
    let mut encoded = Vec::with_capacity(header.encoded_bytes() + CRC_BYTES);
    header.encode(&mut encoded);
    encoded.extend_from_slice(&crc.to_le_bytes());
    let mut object = Rope::from(Bytes::from(encoded));
    object.push(chunk);
    (object, crc)
}

/// The chunk that the object of that name holds, and its checksum.
///
/// # Errors
/// It is not what was written.
pub fn decode_chunk(name: ObjectName, object: &Bytes) -> Result<(Bytes, u32), FormatError> {
    let header = Header::decode(object)?;
    header.check_name(name)?;
    if header.object_bytes() != object.len() as u64 {
        return Err(FormatError::Length("object"));
    }
    let crc = chunk_crc(&header, object)?;
    let chunk = object.slice(header.values_offset() as usize..);
    if crc32c::crc32c(&chunk) == crc {
        Ok((chunk, crc))
    } else {
        Err(FormatError::Checksum("values"))
    }
}

/// The checksum that stands in an object; that may end behind it.
///
/// # Errors
/// It can't be trusted.
pub fn chunk_crc(header: &Header, object: &[u8]) -> Result<u32, FormatError> {
    let start = header.encoded_bytes();
    let crc = object.get(start..start + CRC_BYTES).and_then(|crc| crc.first_chunk().copied());
    let crc: [u8; CRC_BYTES] = crc.ok_or(FormatError::Length("checksum of a blob"))?;
    if header.directory_bytes as usize != CRC_BYTES {
        return Err(FormatError::Length("checksum of a blob"));
    }
    if crc32c::crc32c(&crc) != header.directory_crc {
        return Err(FormatError::Checksum("checksum of a blob"));
    }
    Ok(u32::from_le_bytes(crc))
}

/// The checksum of a value whose chunks come in order, from those of the chunks.
#[derive(Debug, Clone, Copy, Default)]
pub struct ValueCrc(u32);

impl ValueCrc {
    /// Takes in the next chunk.
    pub fn append(&mut self, crc: u32, length: usize) {
        self.0 = crc32c::crc32c_combine(self.0, crc, length);
    }

    /// Of all of them.
    pub fn of_value(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{BlobName, ValueCrc, decode_chunk, encode_chunk};
    use crate::layout::group::verify_object;
    use crate::layout::{FormatError, Header, Kind, ObjectName};
    use bytes::Bytes;

    fn chunks_of(blob: &BlobName, value: &Bytes) -> (Vec<(ObjectName, Bytes)>, u32) {
        let mut all = ValueCrc::default();
        let encode = |(at, name): (usize, ObjectName)| {
            let (start, length) = blob.extent(at as u64);
            let header = Header::new(Kind::Blob, 7, blob.node, blob.number + at as u64);
            let chunk = value.slice(start as usize..(start + length) as usize);
            let (object, crc) = encode_chunk(header, chunk);
            all.append(crc, length as usize);
            (name, object.to_bytes())
        };
        let objects = blob.objects().enumerate().map(encode).collect();
        (objects, all.of_value())
    }

    #[test]
    fn a_value_comes_back_from_its_chunks() {
        let value: Bytes = (0..=255u8).cycle().take(1000).collect();
        for chunk_bytes in [1, 7, 999, 1000, 1001] {
            let blob = BlobName { node: 3, number: 40, chunk_bytes, length: 1000 };
            let (objects, crc) = chunks_of(&blob, &value);
            assert_eq!(objects.len() as u64, blob.chunks());
            assert_eq!(
                objects.iter().map(|(_, object)| object.len() as u64).sum::<u64>(),
                blob.bytes()
            );
            assert_eq!(crc, crc32c::crc32c(&value));
            let mut read = Vec::new();
            for (name, object) in &objects {
                assert_eq!(verify_object(object).map(|header| header.kind), Ok(Kind::Blob));
                read.extend_from_slice(&decode_chunk(*name, object).unwrap().0);
            }
            assert_eq!(read, value);
        }
    }

    #[test]
    fn no_flipped_cut_or_swapped_chunk_is_taken_for_whole() {
        let blob = BlobName { node: 1, number: 1, chunk_bytes: 20, length: 40 };
        let (objects, _) = chunks_of(&blob, &Bytes::from(vec![b'v'; 40]));
        let (name, object) = &objects[0];
        for at in 0..object.len() {
            let mut flipped = object.to_vec();
            flipped[at] ^= 1;
            assert!(verify_object(&flipped).is_err(), "byte {at}");
            assert!(decode_chunk(*name, &flipped.into()).is_err(), "byte {at}");
            assert!(decode_chunk(*name, &object.slice(..at)).is_err(), "cut at {at}");
        }
        let swapped = decode_chunk(*name, &objects[1].1);
        assert_eq!(swapped, Err(FormatError::Field("name in the header")));
    }
}
