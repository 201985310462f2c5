//! Reading objects and judging their bytes.

use super::Depth;
use crate::layout::group::{checked_directory, verify_object};
use crate::layout::{CommitId, FormatError, Header, ObjectName, Place, Write};
use crate::storage::{Store, StoreError};
use bytes::Bytes;

/// A put, whose value may not be what was written.
#[derive(Debug, Clone)]
pub(super) struct BadValue {
    pub(super) slot: u8,
    pub(super) key: Vec<u8>,
    pub(super) put: CommitId,
}

/// An object, and what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Examined {
    /// Present if it can be trusted.
    pub(super) header: Option<Header>,
    pub(super) bytes: Bytes,
    pub(super) fault: Option<FormatError>,
    /// Where the directory is whole and values are not: which.
    pub(super) bad_values: Vec<BadValue>,
}

impl Examined {
    /// It has to hold a chunk of so many bytes of this value.
    pub(super) fn hold_chunk(&mut self, value: BadValue, length: u64) {
        let held = self.header.as_ref().map(|header| header.values_bytes);
        if self.fault.is_none() && held != Some(length) {
            self.fault = Some(FormatError::Length("values"));
        }
        if self.fault.is_some() {
            self.bad_values = vec![value];
        }
    }
}

/// Reads an object and judges it, as deep as is asked for.
pub(super) async fn examine(
    store: &dyn Store,
    name: ObjectName,
    depth: Depth,
) -> Result<Examined, StoreError> {
    let read = match depth {
        Depth::Whole => store.read(&name.to_string(), 0, u64::MAX).await,
        Depth::Directories => read_directory(store, &name.to_string()).await,
    };
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(StoreError::NotFound) => {
            return Ok(Examined { fault: Some(FormatError::Missing), ..Examined::default() });
        }
        Err(error) => return Err(error),
    };
    let header = Header::decode(&bytes).and_then(|header| {
        header.check_name(name)?;
        Ok(header)
    });
    let header = match header {
        Ok(header) => header,
        Err(error) => return Ok(Examined { bytes, fault: Some(error), ..Examined::default() }),
    };
    let fault = match depth {
        Depth::Whole => verify_object(&bytes).err(),
        Depth::Directories => checked_directory(&header, &bytes).err(),
    };
    let bad_values = match fault {
        Some(_) if depth == Depth::Whole => bad_values(&header, &bytes).unwrap_or_default(),
        _ => Vec::new(),
    };
    Ok(Examined { header: Some(header), bytes, fault, bad_values })
}

/// Header and directory, as far as the first can be trusted to say where the second ends.
pub(super) async fn read_directory(store: &dyn Store, name: &str) -> Result<Bytes, StoreError> {
    /// Covers header and directory of most groups.
    const FIRST_READ: u64 = 64 << 10;
    let mut bytes = store.read(name, 0, FIRST_READ).await?;
    if let Ok(length) = Header::peek_bytes(&bytes)
        && length > bytes.len()
    {
        bytes = store.read(name, 0, length as u64).await?;
    }
    match Header::decode(&bytes) {
        Ok(header) if header.values_offset() > bytes.len() as u64 => {
            store.read(name, 0, header.values_offset()).await
        }
        _ => Ok(bytes),
    }
}

fn bad_values(header: &Header, bytes: &[u8]) -> Result<Vec<BadValue>, FormatError> {
    let values = bytes.get(header.values_offset() as usize..).unwrap_or_default();
    let mut bad = Vec::new();
    let mut directory = checked_directory(header, bytes)?;
    while let Some(commit) = directory.next_commit()? {
        for write in commit.writes {
            if let Write::Put { database, key, place, .. } = write
                && let Place::Values { offset, length, crc } = place
            {
                let value = values.get(offset as usize..offset.saturating_add(length) as usize);
                if value.is_none_or(|value| crc32c::crc32c(value) != crc) {
                    bad.push(BadValue { slot: database, key: key.to_vec(), put: commit.id });
                }
            }
        }
    }
    Ok(bad)
}
