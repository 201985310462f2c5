//! Replies as they stand on the wire, taken apart.

use std::fmt;
use std::io::BufRead;

/// One reply: two are equal if their bytes are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Frame {
    /// A kind whose value stands on the line: status, error, number, nil, …
    Line(u8, Vec<u8>),
    /// Bytes, with the kind and their length on the line before.
    Bytes(u8, Vec<u8>),
    /// Several replies; of a map keys and values in turn.
    Many(u8, Vec<Frame>),
}

impl Frame {
    /// The next reply of a stream.
    pub(crate) fn read(stream: &mut impl BufRead) -> Self {
        let mut line = Vec::new();
        stream.read_until(b'\n', &mut line).unwrap();
        let text = line.strip_suffix(b"\r\n").unwrap();
        let (kind, value) = (text[0], &text[1..]);
        let count = || String::from_utf8_lossy(value).parse::<usize>();
        match (kind, count()) {
            (b'$' | b'=', Ok(length)) => {
                let mut bytes = vec![0; length + 2];
                stream.read_exact(&mut bytes).unwrap();
                bytes.truncate(length);
                Self::Bytes(kind, bytes)
            }
            (b'*' | b'~' | b'>', Ok(count)) => Self::many(kind, count, stream),
            (b'%', Ok(count)) => Self::many(kind, 2 * count, stream),
            _ => Self::Line(kind, value.to_vec()),
        }
    }

    fn many(kind: u8, count: usize, stream: &mut impl BufRead) -> Self {
        Self::Many(kind, (0..count).map(|_| Self::read(stream)).collect())
    }

    /// What is in it; nothing in a single value.
    pub(crate) fn items(&self) -> &[Frame] {
        match self {
            Self::Many(_, items) => items,
            _ => &[],
        }
    }

    /// Its bytes, if it is a byte string.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(_, bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(kind, value) => {
                write!(f, "{}{}", *kind as char, value.escape_ascii())
            }
            Self::Bytes(kind, bytes) => {
                write!(f, "{}\"{}\"", *kind as char, bytes.escape_ascii())
            }
            Self::Many(kind, items) => {
                write!(f, "{}", *kind as char)?;
                f.debug_list().entries(items).finish()
            }
        }
    }
}
