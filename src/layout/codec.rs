//! Reading and writing the primitive fields of the formats.

use std::fmt;

/// Why bytes are not what they should be. Whoever meets one names the object: it is
/// corrupt, foreign, or written by a newer aft; it is never data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormatError {
    /// It doesn't begin with aft's magic.
    Magic,
    /// It was written in a newer format than this binary knows.
    Newer(u16),
    /// A checksum doesn't fit.
    Checksum(&'static str),
    /// It ends too early, or goes on too long.
    Length(&'static str),
    /// A field holds what it may not.
    Field(&'static str),
    /// Another object says that it is there, and it isn't.
    Missing,
    /// It isn't the name of an object of ours.
    Name,
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("not an object of aft"),
            Self::Newer(version) => write!(
                f,
                "written in format {version}, newer than this aft reads (up to {})",
                super::FORMAT_VERSION
            ),
            Self::Checksum(part) => write!(f, "bad checksum of its {part}"),
            Self::Length(part) => write!(f, "wrong length of its {part}"),
            Self::Field(field) => write!(f, "impossible {field}"),
            Self::Missing => f.write_str("is missing"),
            Self::Name => f.write_str("not a name of aft"),
        }
    }
}

impl std::error::Error for FormatError {}

/// Appends an unsigned integer in LEB128: seven bits a byte, the low ones first.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes that takes.
pub fn varint_bytes(value: u64) -> usize {
    const BITS_A_BYTE: u32 = 7;
    (u64::BITS - value.leading_zeros()).div_ceil(BITS_A_BYTE).max(1) as usize
}

/// Appends a length and the bytes.
#[inline]
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads fields from the front of some bytes; every short read is an error that says
/// which part was cut.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    part: &'static str,
}

impl<'a> Reader<'a> {
    /// A reader of `bytes`, which are the `part` of an object.
    pub fn new(bytes: &'a [u8], part: &'static str) -> Self {
        Self { rest: bytes, part }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// All that is left.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `length` bytes.
    #[inline]
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], FormatError> {
        let (taken, rest) =
            self.rest.split_at_checked(length).ok_or(FormatError::Length(self.part))?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(FormatError::Length(self.part))?;
        self.rest = rest;
        Ok(*taken)
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, FormatError> {
        Ok(self.array::<1>()?[0])
    }

    /// Two bytes, little-endian.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, FormatError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// Four bytes, little-endian.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Eight bytes, little-endian.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// An unsigned integer in its shortest LEB128 form.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, FormatError> {
        match *self.rest {
            // Nearly all are short.
            [byte, ref rest @ ..] if byte < 0x80 => {
                self.rest = rest;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, FormatError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(FormatError::Field("varint"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                // One value, one spelling: a padded form is not ours.
                if byte == 0 && shift > 0 {
                    return Err(FormatError::Field("varint"));
                }
                return Ok(value);
            }
        }
        Err(FormatError::Field("varint"))
    }

    /// A length and that many bytes.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], FormatError> {
        let length = self.varint()?;
        let length = usize::try_from(length).map_err(|_| FormatError::Length(self.part))?;
        self.take(length)
    }
}
