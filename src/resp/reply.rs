//! Replies: what a command answers, as a value, and its bytes in either protocol.
//!
//! A command returns a [`Reply`] and knows nothing of the protocol's version; only
//! [`Reply::write`] does. Byte for byte what redis-server 7.0 writes, down to the
//! seventeen digits of a double.

mod number;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use crate::small_bytes::{LARGE_BYTES_MIN, SmallBytes};

/// The protocol's version a connection speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// What every connection starts with.
    #[default]
    Resp2,
    /// What `HELLO 3` asks for.
    Resp3,
}

impl Protocol {
    /// Its number, as HELLO takes it.
    pub const fn version(self) -> u8 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// What a command answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Nothing at all: `CLIENT REPLY OFF`, or a reply that is written elsewhere.
    None,
    /// `OK`.
    Ok,
    /// `QUEUED`, of a command inside MULTI.
    Queued,
    /// `PONG`.
    Pong,
    /// A status word.
    Simple(Line),
    /// An error: its code in capitals, a blank, a sentence.
    Error(Line),
    /// A whole number.
    Integer(i64),
    /// A byte string.
    Bulk(SmallBytes),
    /// The absence of a value.
    Null,
    /// The absence of an array, such as an EXEC that a touched WATCH aborted.
    NullArray,
    /// Several replies in order.
    Array(Vec<Reply>),
    /// Pairs of key and value.
    Map(Vec<(Reply, Reply)>),
    /// Several replies in no order.
    Set(Vec<Reply>),
    /// A floating point number.
    Double(f64),
    /// True or false.
    Boolean(bool),
    /// Text to be shown to a person as it is, such as that of INFO.
    Verbatim {
        /// `txt` or `mkd`.
        format: [u8; 3],
        /// The text itself.
        text: SmallBytes,
    },
    /// A whole number of any size, as its decimal digits.
    BigNumber(SmallBytes),
    /// Something that answers no request, such as a message of a subscription.
    Push(Vec<Reply>),
}

/// Where the bytes of replies go.
pub trait Sink {
    /// What is made up here is appended to this.
    fn bytes(&mut self) -> &mut Vec<u8>;

    /// A large value comes next. It may be sent from where it is.
    fn insert(&mut self, value: &SmallBytes);
}

impl Sink for Vec<u8> {
    fn bytes(&mut self) -> &mut Vec<u8> {
        self
    }

    fn insert(&mut self, value: &SmallBytes) {
        self.extend_from_slice(value);
    }
}

// Every command moves a few of these.
const _: () = assert!(size_of::<Reply>() <= 32);

impl Reply {
    /// An error; `text` starts with its code, as in `ERR syntax error`.
    pub fn error(text: impl Into<Line>) -> Self {
        Self::Error(text.into())
    }

    /// A status word that isn't OK.
    pub fn simple(text: impl Into<Line>) -> Self {
        Self::Simple(text.into())
    }

    /// A byte string.
    pub fn bulk(bytes: impl Into<SmallBytes>) -> Self {
        Self::Bulk(bytes.into())
    }

    /// Text for a person.
    pub fn text(text: impl Into<SmallBytes>) -> Self {
        Self::Verbatim { format: *b"txt", text: text.into() }
    }

    /// What it takes in memory beside its place, in bytes; a value that it shares counts, too.
    pub fn heap_bytes(&self) -> usize {
        let of_all = |items: &[Self]| {
            items.iter().map(|item| size_of::<Self>() + item.heap_bytes()).sum::<usize>()
        };
        match self {
            Self::Simple(line) | Self::Error(line) => line.as_bytes().len(),
            Self::Bulk(bytes) | Self::BigNumber(bytes) | Self::Verbatim { text: bytes, .. } => {
                bytes.heap_bytes()
            }
            Self::Array(items) | Self::Set(items) | Self::Push(items) => of_all(items),
            Self::Map(pairs) => {
                let of = |(key, value): &(Self, Self)| {
                    2 * size_of::<Self>() + key.heap_bytes() + value.heap_bytes()
                };
                pairs.iter().map(of).sum()
            }
            _ => 0,
        }
    }

    /// Appends the reply's bytes to `out`.
    #[inline]
    pub fn write(&self, protocol: Protocol, out: &mut impl Sink) {
        match self {
            Self::Ok => out.bytes().extend_from_slice(b"+OK\r\n"),
            Self::Bulk(value) if value.len() >= LARGE_BYTES_MIN => write_large(value, out),
            Self::Bulk(bytes) => write_bulk(bytes, out.bytes()),
            Self::Integer(value) => write_count(b':', *value, out.bytes()),
            Self::Queued => out.bytes().extend_from_slice(b"+QUEUED\r\n"),
            Self::Null => out.bytes().extend_from_slice(match protocol {
                Protocol::Resp2 => b"$-1\r\n",
                Protocol::Resp3 => b"_\r\n",
            }),
            other => other.write_rare(protocol, out),
        }
    }

    /// The kinds that are not on the path of nearly every command.
    fn write_rare(&self, protocol: Protocol, out: &mut impl Sink) {
        let resp3 = protocol == Protocol::Resp3;
        match self {
            Self::Ok | Self::Bulk(_) | Self::Integer(_) | Self::Null | Self::Queued => {
                self.write(protocol, out);
            }
            Self::None => {}
            Self::Pong => out.bytes().extend_from_slice(b"+PONG\r\n"),
            Self::Simple(line) => write_one_line(b'+', line.as_bytes(), out.bytes()),
            Self::Error(line) => write_one_line(b'-', line.trimmed(), out.bytes()),
            Self::NullArray => {
                out.bytes().extend_from_slice(if resp3 { b"_\r\n" } else { b"*-1\r\n" })
            }
            Self::Array(items) => write_items(b'*', items, protocol, out),
            Self::Set(items) => write_items(if resp3 { b'~' } else { b'*' }, items, protocol, out),
            Self::Push(items) => write_items(if resp3 { b'>' } else { b'*' }, items, protocol, out),
            Self::Map(pairs) => write_pairs(pairs, protocol, out),
            Self::Double(value) => write_double(*value, protocol, out.bytes()),
            Self::Boolean(value) => out.bytes().extend_from_slice(match (resp3, value) {
                (true, true) => b"#t\r\n",
                (true, false) => b"#f\r\n",
                (false, true) => b":1\r\n",
                (false, false) => b":0\r\n",
            }),
            Self::Verbatim { format, text } if resp3 => write_verbatim(*format, text, out.bytes()),
            Self::BigNumber(digits) if resp3 => write_line(b'(', digits, out.bytes()),
            Self::Verbatim { text: bytes, .. } | Self::BigNumber(bytes) => {
                write_bulk(bytes, out.bytes())
            }
        }
    }
}

/// Appends a byte string.
#[inline]
fn write_bulk(bytes: &[u8], out: &mut Vec<u8>) {
    // One growth at most: the kind, up to 20 digits and two ends of a line.
    out.reserve(bytes.len() + 25);
    write_count(b'$', bytes.len() as i64, out);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Appends a byte string that needn't be copied.
fn write_large(value: &SmallBytes, out: &mut impl Sink) {
    write_count(b'$', value.len() as i64, out.bytes());
    out.insert(value);
    out.bytes().extend_from_slice(b"\r\n");
}

/// Appends a kind and a number.
#[inline]
fn write_count(kind: u8, value: i64, out: &mut Vec<u8>) {
    let digit = |value: i64| b'0' + value as u8;
    match value {
        0..=9 => out.extend_from_slice(&[kind, digit(value), b'\r', b'\n']),
        10..=99 => {
            let (tens, ones) = (digit(value / 10), digit(value % 10));
            out.extend_from_slice(&[kind, tens, ones, b'\r', b'\n']);
        }
        _ => number::write_integer(kind, value, out),
    }
}

fn write_line(kind: u8, text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len() + 3);
    out.push(kind);
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

/// Appends text that may hold line ends.
fn write_one_line(kind: u8, text: &[u8], out: &mut Vec<u8>) {
    let text_at = out.len() + 1;
    write_line(kind, text, out);
    for byte in &mut out[text_at..text_at + text.len()] {
        if is_line_end(byte) {
            *byte = b' ';
        }
    }
}

fn write_items(kind: u8, items: &[Reply], protocol: Protocol, out: &mut impl Sink) {
    write_count(kind, items.len() as i64, out.bytes());
    for item in items {
        item.write(protocol, out);
    }
}

fn write_pairs(pairs: &[(Reply, Reply)], protocol: Protocol, out: &mut impl Sink) {
    match protocol {
        Protocol::Resp2 => write_count(b'*', 2 * pairs.len() as i64, out.bytes()),
        Protocol::Resp3 => write_count(b'%', pairs.len() as i64, out.bytes()),
    }
    for (key, value) in pairs {
        key.write(protocol, out);
        value.write(protocol, out);
    }
}

fn write_double(value: f64, protocol: Protocol, out: &mut Vec<u8>) {
    let text = number::format_double(value);
    match protocol {
        Protocol::Resp2 => write_bulk(text.as_bytes(), out),
        Protocol::Resp3 => write_line(b',', text.as_bytes(), out),
    }
}

fn write_verbatim(format: [u8; 3], text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len() + 29);
    write_count(b'=', text.len() as i64 + 4, out);
    out.extend_from_slice(&format);
    out.push(b':');
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

/// What stands on one line of the wire, of a status or an error. Bytes rather than
/// text, since errors repeat what the client sent. It may hold line ends, which
/// are written as blanks.
#[derive(Clone, PartialEq, Eq)]
pub struct Line(Cow<'static, [u8]>);

impl Line {
    /// The bytes as they were given.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Without the line ends at either end, as Redis treats errors but not statuses.
    fn trimmed(&self) -> &[u8] {
        let start = self.0.iter().position(|byte| !is_line_end(byte)).unwrap_or(self.0.len());
        let end = self.0.iter().rposition(|byte| !is_line_end(byte)).map_or(start, |last| last + 1);
        &self.0[start..end]
    }
}

fn is_line_end(byte: &u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

impl From<&'static str> for Line {
    fn from(text: &'static str) -> Self {
        Self(Cow::Borrowed(text.as_bytes()))
    }
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text.into_bytes()))
    }
}

impl From<Cow<'static, str>> for Line {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::from(text),
            Cow::Owned(text) => Self::from(text),
        }
    }
}

impl From<Vec<u8>> for Line {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Cow::Owned(bytes))
    }
}

impl PartialEq<str> for Line {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other.as_bytes()
    }
}

impl PartialEq<&str> for Line {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}
