//! A view: who may write to a store that several machines can reach.

use super::codec::{FormatError, Reader, put_bytes, put_varint};
use super::header::{Header, Kind};
use super::{NodeId, ObjectName};
use std::fmt;

/// A process that owns a view, in words for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owner {
    /// Where it listens.
    pub address: String,
    /// Its machine.
    pub host: String,
    /// Its number there.
    pub process: u32,
    /// When it was started: milliseconds since the Unix epoch, by its own clock.
    pub started_ms: u64,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, host, process, .. } = self;
        write!(f, "the aft that listens on {address} (process {process} on {host})")
    }
}

/// What `view/<n>` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// The process that owns the store from here on, or that owned it last.
    pub owner: Owner,
    /// Its newest log; 0 if it had none yet.
    pub node: NodeId,
    /// After so many milliseconds without a sign of life it no longer answers.
    pub lease_ms: u64,
    /// Nobody owns the store: the last owner has ended in order, its log is sealed.
    pub released: bool,
}

impl View {
    /// The bytes of the object: a header and this, as its values.
    ///
    /// ```text
    /// released u8 | node | lease_ms | process | started_ms (varints)
    /// | address, host (length and bytes) | crc u32
    /// ```
    pub fn encode(&self, number: u64, nonce: u128, wall_ms: u64) -> Vec<u8> {
        let mut body = vec![u8::from(self.released)];
        put_varint(&mut body, u64::from(self.node));
        put_varint(&mut body, self.lease_ms);
        put_varint(&mut body, u64::from(self.owner.process));
        put_varint(&mut body, self.owner.started_ms);
        put_bytes(&mut body, self.owner.address.as_bytes());
        put_bytes(&mut body, self.owner.host.as_bytes());
        let crc = crc32c::crc32c(&body);
        body.extend_from_slice(&crc.to_le_bytes());
        let mut header = Header::new(Kind::View, nonce, 0, number);
        header.wall_ms = wall_ms;
        header.values_bytes = body.len() as u64;
        let mut object = Vec::new();
        header.encode(&mut object);
        object.extend_from_slice(&body);
        object
    }

    /// Reads the whole object of that number.
    ///
    /// # Errors
    /// It can't be trusted, or is of a newer format.
    pub fn decode(number: u64, object: &[u8]) -> Result<Self, FormatError> {
        let header = Header::decode(object)?;
        header.check_name(ObjectName::View(number))?;
        Self::of_object(&header, object)
    }

    /// What an object says whose header this is.
    pub(super) fn of_object(header: &Header, object: &[u8]) -> Result<Self, FormatError> {
        let body = object.get(header.values_offset() as usize..).unwrap_or_default();
        let (fields, crc) = body.split_last_chunk().ok_or(FormatError::Length("values"))?;
        if crc32c::crc32c(fields) != u32::from_le_bytes(*crc) {
            return Err(FormatError::Checksum("values"));
        }
        let mut reader = Reader::new(fields, "values");
        let released = reader.u8()? != 0;
        let node = u32::try_from(reader.varint()?).map_err(|_| FormatError::Field("node"))?;
        let lease_ms = reader.varint()?;
        let process = u32::try_from(reader.varint()?).map_err(|_| FormatError::Field("process"))?;
        let started_ms = reader.varint()?;
        let mut text = || Ok(String::from_utf8_lossy(reader.bytes()?).into_owned());
        let (address, host) = (text()?, text()?);
        if !reader.is_empty() {
            return Err(FormatError::Length("values"));
        }
        let owner = Owner { address, host, process, started_ms };
        Ok(Self { owner, node, lease_ms, released })
    }
}
