//! Building and checking a whole group.

use super::blob::chunk_crc;
use super::codec::FormatError;
use super::directory::{Commit, Directory, Place, Write, put_commit, put_write};
use super::header::{Header, Kind};
use super::view::View;
use crate::rope::Rope;
use crate::small_bytes::SmallBytes;
use bytes::Bytes;

/// Values up to this many bytes stand in the directory, so that recovery has them
/// without a further read; larger ones would make it read what nobody may ask for.
pub const INLINE_VALUE_BYTES_MAX: usize = 64;

/// Values from this size on are shared with whoever else has them; smaller ones are gathered,
/// since a copy of one costs less than a piece of its own does on the way to the store.
const PIECE_BYTES_MIN: usize = 4 << 10;

/// A group while transactions are appended to it.
#[derive(Debug, Default)]
pub struct GroupBuilder {
    directory: Vec<u8>,
    values: Rope,
    /// The values behind those.
    gathered: Vec<u8>,
    commits: u32,
}

impl GroupBuilder {
    /// Bytes of directory and values so far.
    pub fn len(&self) -> usize {
        self.directory.len() + self.values_bytes()
    }

    fn values_bytes(&self) -> usize {
        self.values.len() + self.gathered.len()
    }

    /// Whether no commit was appended.
    pub fn is_empty(&self) -> bool {
        self.commits == 0
    }

    /// Begins a commit (its `writes` field is ignored); exactly `writes` writes follow.
    pub fn begin_commit(&mut self, commit: &Commit<'_>, writes: usize) {
        if self.commits == 0 {
            self.directory.extend_from_slice(&[0; 4]);
        }
        self.commits += 1;
        put_commit(&mut self.directory, commit, writes);
    }

    /// Appends a write that carries no value.
    pub fn write(&mut self, write: &Write<'_>) {
        put_write(&mut self.directory, write);
    }

    /// Appends a put, the value wherever its size says it belongs; where that is.
    pub fn put<'v>(
        &mut self,
        database: u8,
        key: &[u8],
        value_type: u8,
        expires_ms: Option<u64>,
        value: &'v SmallBytes,
    ) -> Place<'v> {
        let place = if value.len() <= INLINE_VALUE_BYTES_MAX {
            Place::Inline(value)
        } else {
            self.append(value, crc32c::crc32c(value), || value.to_bytes())
        };
        self.write(&Write::Put { database, key, value_type, expires_ms, place });
        place
    }

    /// Appends a value without its put, with the checksum that it is known by.
    pub fn value(&mut self, value: Bytes, crc: u32) -> Place<'static> {
        self.append(&value, crc, || value.clone())
    }

    fn append(&mut self, value: &[u8], crc: u32, shared: impl FnOnce() -> Bytes) -> Place<'static> {
        let offset = self.values_bytes() as u64;
        if value.len() < PIECE_BYTES_MIN {
            self.gathered.extend_from_slice(value);
        } else {
            self.values.push(std::mem::take(&mut self.gathered).into());
            self.values.push(shared());
        }
        Place::Values { offset, length: value.len() as u64, crc }
    }

    /// Where the values will begin in an object that begins with `header`, and how long the
    /// object will be, in bytes.
    pub fn extent(&self, header: &Header) -> (u64, u64) {
        let values_offset = (header.encoded_bytes() + self.directory.len()) as u64;
        (values_offset, values_offset + self.values_bytes() as u64)
    }

    /// The whole object. `header` comes with everything but lengths and checksum.
    pub fn finish(mut self, mut header: Header) -> (Header, Rope) {
        if let Some(count) = self.directory.first_chunk_mut() {
            *count = self.commits.to_le_bytes();
        }
        header.directory_bytes = self.directory.len() as u32;
        header.directory_crc = crc32c::crc32c(&self.directory);
        header.values_bytes = self.values_bytes() as u64;
        let mut encoded = Vec::with_capacity(header.encoded_bytes());
        header.encode(&mut encoded);
        let mut object = Rope::from(Bytes::from(encoded));
        object.push(self.directory.into());
        object.append(self.values);
        object.push(self.gathered.into());
        (header, object)
    }
}

/// The directory of an object, checked; `object` may end behind it.
pub fn checked_directory<'a>(
    header: &Header,
    object: &'a [u8],
) -> Result<Directory<'a>, FormatError> {
    let start = header.encoded_bytes();
    let directory = object
        .get(start..start + header.directory_bytes as usize)
        .ok_or(FormatError::Length("directory"))?;
    if crc32c::crc32c(directory) != header.directory_crc {
        return Err(FormatError::Checksum("directory"));
    }
    Directory::new(directory)
}

/// Checks every byte of a whole object: lengths, all checksums, and that its values are
/// covered without gap or overlap. This is what a verifier calls; readers check what
/// they read.
pub fn verify_object(object: &[u8]) -> Result<Header, FormatError> {
    let header = Header::decode(object)?;
    if header.object_bytes() != object.len() as u64 {
        return Err(FormatError::Length("object"));
    }
    match header.kind {
        Kind::View => return View::of_object(&header, object).map(|_| header),
        Kind::Blob => {
            let crc = chunk_crc(&header, object)?;
            let sound = crc32c::crc32c(&object[header.values_offset() as usize..]) == crc;
            return if sound { Ok(header) } else { Err(FormatError::Checksum("values")) };
        }
        _ => {}
    }
    let mut directory = checked_directory(&header, object)?;
    let values = &object[header.values_offset() as usize..];
    let mut covered = 0;
    while let Some(commit) = directory.next_commit()? {
        for write in commit.writes {
            let (Write::Put { place, .. } | Write::Patch { place, .. }) = write else {
                continue;
            };
            let Place::Values { offset, length, crc } = place else {
                continue;
            };
            if offset != covered {
                return Err(FormatError::Field("offset of a value"));
            }
            covered = offset.checked_add(length).ok_or(FormatError::Length("values"))?;
            let bytes = values
                .get(offset as usize..covered as usize)
                .ok_or(FormatError::Length("values"))?;
            if crc32c::crc32c(bytes) != crc {
                return Err(FormatError::Checksum("values"));
            }
        }
    }
    if covered == header.values_bytes { Ok(header) } else { Err(FormatError::Length("values")) }
}
