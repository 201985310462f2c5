//! The bytes of a dump: `docs/dump-format.md` says the same for who has no Rust.
//!
//! ```text
//! start   "aftdump\n", format u16, 0 u16, crc u32 of those 12 bytes
//! record  length u32 of the payload, payload, crc u32 of both
//! payload kind u8, then
//!   about   1, text: lines of name=value, for people
//!   key     2, database u8, type u8, expiry u64 or 0, key, length of the value, its first bytes
//!   part    3, the next bytes of the value before
//!   again   4, whatever came before does not count
//!   end     5, keys u64, bytes before this record u64, crc u32 of all those bytes
//! ```
//! Integers are little-endian, a key is a varint (LEB128) and so many bytes, the length of a
//! value a varint; checksums are CRC-32C. Nothing follows the end. So a reader notices a flipped
//! bit at once, a record that is missing, twice there or in another's place at the end, and
//! has not read a dump before it has seen that.

use super::{BackupError, Entry};
use crate::layout::FormatError;
use crate::layout::codec::{Reader, put_bytes, put_varint};
use crate::layout::directory::TYPE_STRING;
use std::io::{self, Read, Write};

const MAGIC: &[u8; 8] = b"aftdump\n";

/// The version that is written, and the highest that is read.
pub const DUMP_VERSION: u16 = 1;

const START_BYTES: usize = 16;

/// What of a value stands in one record, in bytes.
const PART_BYTES: usize = 1 << 20;

/// The longest key and the longest value, in bytes: Redis' own limit.
const STRING_BYTES_MAX: u64 = 512 << 20;

/// Beside a key and a part of a value, in bytes.
const RECORD_EXTRA_BYTES_MAX: u64 = 64;

const ABOUT: u8 = 1;
const KEY: u8 = 2;
const PART: u8 = 3;
const AGAIN: u8 = 4;
const END: u8 = 5;

/// Writes a dump.
#[derive(Debug)]
pub struct DumpWriter<W> {
    out: W,
    payload: Vec<u8>,
    bytes: u64,
    crc: u32,
    keys: u64,
    /// What is still to come of a value, in bytes.
    rest: u64,
}

impl<W: Write> DumpWriter<W> {
    /// Begins a dump. `about` are lines of `name=value` for people.
    ///
    /// # Errors
    /// The output failed, here and below.
    pub fn new(out: W, about: &str) -> io::Result<Self> {
        let mut writer = Self { out, payload: Vec::new(), bytes: 0, crc: 0, keys: 0, rest: 0 };
        let mut start = MAGIC.to_vec();
        start.extend_from_slice(&DUMP_VERSION.to_le_bytes());
        start.extend_from_slice(&[0; 2]);
        let crc = crc32c::crc32c(&start);
        start.extend_from_slice(&crc.to_le_bytes());
        writer.write(&start)?;
        writer.payload.push(ABOUT);
        writer.payload.extend_from_slice(about.as_bytes());
        writer.record()?;
        Ok(writer)
    }

    /// A key, whose value of `value_bytes` bytes follows in as many [`Self::value`] as one likes.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn key(
        &mut self,
        (database, key): (u8, &[u8]),
        expires_ms: u64,
        value_bytes: u64,
    ) -> io::Result<()> {
        self.payload.extend_from_slice(&[KEY, database, TYPE_STRING]);
        self.payload.extend_from_slice(&expires_ms.to_le_bytes());
        put_bytes(&mut self.payload, key);
        put_varint(&mut self.payload, value_bytes);
        self.keys += 1;
        self.rest = value_bytes;
        if value_bytes == 0 { self.record() } else { Ok(()) }
    }

    /// More of the value; with its last byte the entry is written.
    ///
    /// # Errors
    /// As for [`Self::new`]. More than was announced is invalid input.
    pub fn value(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if bytes.len() as u64 > self.rest {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a value is too long"));
        }
        while !bytes.is_empty() {
            if self.payload.is_empty() {
                self.payload.push(PART);
            }
            let (part, behind) = bytes.split_at(bytes.len().min(PART_BYTES));
            self.payload.extend_from_slice(part);
            self.rest -= part.len() as u64;
            bytes = behind;
            self.record()?;
        }
        Ok(())
    }

    /// What was written so far does not count.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn again(&mut self) -> io::Result<()> {
        self.keys = 0;
        self.rest = 0;
        self.payload.clear();
        self.payload.push(AGAIN);
        self.record()
    }

    /// Ends the dump: gives the output back, and the dump's size in bytes.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn end(mut self) -> io::Result<(W, u64)> {
        self.payload.push(END);
        self.payload.extend_from_slice(&self.keys.to_le_bytes());
        self.payload.extend_from_slice(&self.bytes.to_le_bytes());
        self.payload.extend_from_slice(&self.crc.to_le_bytes());
        self.record()?;
        self.out.flush()?;
        Ok((self.out, self.bytes))
    }

    /// Keys that count so far.
    pub fn keys(&self) -> u64 {
        self.keys
    }

    fn record(&mut self) -> io::Result<()> {
        let payload = std::mem::take(&mut self.payload);
        let length = (payload.len() as u32).to_le_bytes();
        let crc = crc32c::crc32c_append(crc32c::crc32c(&length), &payload);
        self.write(&length)?;
        self.write(&payload)?;
        self.write(&crc.to_le_bytes())?;
        self.payload = payload;
        self.payload.clear();
        // One long key is no reason to hold so much for ever.
        self.payload.shrink_to(2 * PART_BYTES);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

/// What comes next in a dump.
#[derive(Debug, PartialEq, Eq)]
pub enum Item {
    /// A key with its value.
    Entry(Entry),
    /// What came before does not count.
    Again,
    /// The dump is whole, and has so many keys.
    End(u64),
}

/// Reads a dump.
#[derive(Debug)]
pub struct DumpReader<R> {
    input: R,
    bytes: u64,
    crc: u32,
    keys: u64,
    about: String,
}

impl<R: Read> DumpReader<R> {
    /// Reads the start of a dump.
    ///
    /// # Errors
    /// The input failed, or it is no dump that this version reads.
    pub fn new(input: R) -> Result<Self, BackupError> {
        let about = String::new();
        let mut reader = Self { input, bytes: 0, crc: 0, keys: 0, about };
        let start = reader.take(START_BYTES as u64)?;
        if start.get(..MAGIC.len()) != Some(MAGIC) {
            return Err(BackupError::Damaged("this is no dump of aft".to_owned()));
        }
        let (fields, crc) = start.split_at(START_BYTES - 4);
        if crc32c::crc32c(fields).to_le_bytes() != crc {
            return Err(damaged(0, "a bad checksum of its start"));
        }
        let version = u16::from_le_bytes([fields[8], fields[9]]);
        if version > DUMP_VERSION {
            return Err(BackupError::Refused(format!(
                "the dump is written in format {version}, newer than this aft reads (up to {DUMP_VERSION})"
            )));
        }
        let at = reader.bytes;
        match reader.record()? {
            (ABOUT, text) => reader.about = String::from_utf8_lossy(&text[1..]).into_owned(),
            _ => return Err(damaged(at, "a record that does not belong there")),
        }
        Ok(reader)
    }

    /// What it says about itself, in lines of `name=value`.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next item; behind [`Item::End`] there is none.
    ///
    /// # Errors
    /// The input failed, or the dump is damaged or cut off: the message says where.
    pub fn next_item(&mut self) -> Result<Item, BackupError> {
        let (at, crc) = (self.bytes, self.crc);
        let (kind, payload) = self.record()?;
        match kind {
            KEY => self.entry(at, payload),
            AGAIN if payload.len() == 1 => Ok(self.again()),
            END => self.end(at, crc, &payload),
            _ => Err(damaged(at, "a record that does not belong there")),
        }
    }

    fn again(&mut self) -> Item {
        self.keys = 0;
        Item::Again
    }

    fn entry(&mut self, at: u64, payload: Vec<u8>) -> Result<Item, BackupError> {
        let bad = |error: FormatError| damaged(at, &error.to_string());
        let mut reader = Reader::new(&payload, "record");
        let mut fields = || -> Result<_, FormatError> {
            reader.u8()?;
            let database = reader.u8()?;
            if reader.u8()? != TYPE_STRING {
                return Err(FormatError::Field("type of value"));
            }
            Ok((database, reader.u64()?, reader.bytes()?.to_vec(), reader.varint()?))
        };
        let (database, expires_ms, key, value_bytes) = fields().map_err(bad)?;
        if key.len() as u64 > STRING_BYTES_MAX || value_bytes > STRING_BYTES_MAX {
            return Err(bad(FormatError::Length("record")));
        }
        let mut value = reader.rest().to_vec();
        drop(payload);
        while (value.len() as u64) < value_bytes {
            let at = self.bytes;
            match self.record()? {
                (PART, part) if part.len() > 1 => {
                    // At once as much as is needed, but not before some of it has come.
                    value.reserve_exact((value_bytes as usize).saturating_sub(value.len()));
                    value.extend_from_slice(&part[1..]);
                }
                // It was begun for nothing, like all before it.
                (AGAIN, payload) if payload.len() == 1 => return Ok(self.again()),
                _ => return Err(damaged(at, "a part of a value is missing")),
            }
        }
        if value.len() as u64 > value_bytes {
            return Err(bad(FormatError::Length("value")));
        }
        self.keys += 1;
        Ok(Item::Entry(Entry { database, key, expires_ms, value: value.into() }))
    }

    fn end(&mut self, at: u64, crc: u32, payload: &[u8]) -> Result<Item, BackupError> {
        let mut reader = Reader::new(payload, "end");
        let mut fields = || -> Result<_, FormatError> {
            reader.u8()?;
            Ok((reader.u64()?, reader.u64()?, reader.u32()?))
        };
        let said = fields().map_err(|error| damaged(at, &error.to_string()))?;
        if said != (self.keys, at, crc) {
            return Err(damaged(
                at,
                "the end of another dump: records are missing, or not where they were written",
            ));
        }
        let mut behind = [0];
        match self.input.read(&mut behind) {
            Ok(0) => Ok(Item::End(self.keys)),
            Ok(_) => Err(damaged(self.bytes, "something behind the end")),
            Err(error) => Err(error.into()),
        }
    }

    /// The next record, with its kind.
    fn record(&mut self) -> Result<(u8, Vec<u8>), BackupError> {
        let at = self.bytes;
        let length = self.take(4)?;
        let mut prefix = [0; 4];
        prefix.copy_from_slice(&length);
        let payload_bytes = u64::from(u32::from_le_bytes(prefix));
        let most = STRING_BYTES_MAX + PART_BYTES as u64 + RECORD_EXTRA_BYTES_MAX;
        if !(1..=most).contains(&payload_bytes) {
            return Err(damaged(at, "an impossible length"));
        }
        let payload = self.take(payload_bytes)?;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&length), &payload);
        if self.take(4)? != crc.to_le_bytes() {
            return Err(damaged(at, "a bad checksum"));
        }
        Ok((payload[0], payload))
    }

    /// The next bytes. Memory is taken as they come: a length can be a lie.
    fn take(&mut self, count: u64) -> Result<Vec<u8>, BackupError> {
        let at = self.bytes;
        let mut bytes = Vec::with_capacity(count.min(2 * PART_BYTES as u64) as usize);
        let read = (&mut self.input).take(count).read_to_end(&mut bytes)?;
        self.crc = crc32c::crc32c_append(self.crc, &bytes);
        self.bytes += read as u64;
        if read as u64 == count {
            Ok(bytes)
        } else if at == 0 {
            Err(BackupError::Damaged("this is no dump of aft: it ends too early".to_owned()))
        } else {
            Err(BackupError::Damaged(format!(
                "the dump has been cut off: it ends at byte {}, before its end was written",
                self.bytes
            )))
        }
    }
}

fn damaged(at: u64, what: &str) -> BackupError {
    BackupError::Damaged(format!("the dump is damaged at byte {at}: {what}"))
}

#[cfg(test)]
mod tests;
