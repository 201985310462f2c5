//! RESP2 and RESP3 as a client meets them. `Reply` keeps every distinction that is on the wire
//! (two kinds of null, simple and bulk strings), so equal replies were equal bytes.

use std::fmt;
use std::io::{self, BufRead, ErrorKind, Read};

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Simple(Vec<u8>),
    Error(Vec<u8>),
    Int(i64),
    Bulk(Vec<u8>),
    NullBulk,
    NullArray,
    Array(Vec<Reply>),
    // RESP3 only.
    Null,
    Bool(bool),
    /// Double, big number: the text, since a test compares bytes.
    Number(u8, Vec<u8>),
    Verbatim(Vec<u8>),
    BlobError(Vec<u8>),
    Map(Vec<(Reply, Reply)>),
    Set(Vec<Reply>),
    Push(Vec<Reply>),
}

impl Reply {
    pub(crate) fn ok() -> Self {
        Self::Simple(b"OK".to_vec())
    }

    pub(crate) fn queued() -> Self {
        Self::Simple(b"QUEUED".to_vec())
    }

    pub(crate) fn bulk(text: impl AsRef<[u8]>) -> Self {
        Self::Bulk(text.as_ref().to_vec())
    }

    /// Any of the nulls.
    pub(crate) fn is_nil(&self) -> bool {
        matches!(self, Self::Null | Self::NullBulk | Self::NullArray)
    }

    pub(crate) fn is_error(&self) -> bool {
        matches!(self, Self::Error(_) | Self::BlobError(_))
    }

    /// The first word of an error, which is what client code switches on.
    pub(crate) fn error_code(&self) -> Option<String> {
        let (Self::Error(text) | Self::BlobError(text)) = self else {
            return None;
        };
        let text = String::from_utf8_lossy(text);
        text.split(' ').next().map(str::to_owned)
    }

    pub(crate) fn int(&self) -> i64 {
        match self {
            Self::Int(n) => *n,
            other => panic!("expected an integer, got {other:?}"),
        }
    }

    /// A bulk string, or nothing where the key is missing.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Self::Bulk(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            other if other.is_nil() => None,
            other => panic!("expected a bulk string or nil, got {other:?}"),
        }
    }

    pub(crate) fn items(&self) -> &[Reply] {
        match self {
            Self::Array(items) => items,
            other => panic!("expected an array, got {other:?}"),
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple(text) => write!(f, "+{}", text.escape_ascii()),
            Self::Error(text) => write!(f, "-{}", text.escape_ascii()),
            Self::BlobError(text) => write!(f, "!{}", text.escape_ascii()),
            Self::Int(n) => write!(f, ":{n}"),
            Self::Bulk(bytes) if bytes.len() > 400 => write!(f, "<{} bytes>", bytes.len()),
            Self::Bulk(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Self::Verbatim(bytes) => write!(f, "=\"{}\"", bytes.escape_ascii()),
            Self::NullBulk => f.write_str("$-1"),
            Self::NullArray => f.write_str("*-1"),
            Self::Null => f.write_str("_"),
            Self::Bool(value) => write!(f, "#{value}"),
            Self::Number(kind, text) => write!(f, "{}{}", *kind as char, text.escape_ascii()),
            Self::Array(items) => f.debug_list().entries(items).finish(),
            Self::Map(pairs) => f.debug_map().entries(pairs.iter().map(|(k, v)| (k, v))).finish(),
            Self::Set(items) => write!(f, "~{items:?}"),
            Self::Push(items) => write!(f, ">{items:?}"),
        }
    }
}

/// One request as every client library sends it.
pub(crate) fn encode<A: AsRef<[u8]>>(args: &[A], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        let arg = arg.as_ref();
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// Reads one reply. Anything RESP doesn't allow is `InvalidData` with the offending line.
pub(crate) fn read_reply(from: &mut impl BufRead) -> io::Result<Reply> {
    let line = read_line(from)?;
    let (&kind, rest) = line.split_first().ok_or_else(|| invalid("an empty line", &line))?;
    Ok(match kind {
        b'+' => Reply::Simple(rest.to_vec()),
        b'-' => Reply::Error(rest.to_vec()),
        b':' => Reply::Int(integer(rest)?),
        b'$' if rest == b"-1" => Reply::NullBulk,
        b'*' if rest == b"-1" => Reply::NullArray,
        b'$' => Reply::Bulk(blob(from, rest)?),
        b'=' => Reply::Verbatim(blob(from, rest)?),
        b'!' => Reply::BlobError(blob(from, rest)?),
        b'_' if rest.is_empty() => Reply::Null,
        b'#' if rest == b"t" || rest == b"f" => Reply::Bool(rest == b"t"),
        b',' | b'(' => Reply::Number(kind, rest.to_vec()),
        b'*' => Reply::Array(replies(from, length(rest)?)?),
        b'~' => Reply::Set(replies(from, length(rest)?)?),
        b'>' => Reply::Push(replies(from, length(rest)?)?),
        b'%' => Reply::Map(pairs(from, length(rest)?)?),
        _ => return Err(invalid("an unknown type or a malformed null", &line)),
    })
}

fn replies(from: &mut impl BufRead, count: usize) -> io::Result<Vec<Reply>> {
    (0..count).map(|_| read_reply(from)).collect()
}

fn pairs(from: &mut impl BufRead, count: usize) -> io::Result<Vec<(Reply, Reply)>> {
    (0..count).map(|_| Ok((read_reply(from)?, read_reply(from)?))).collect()
}

fn blob(from: &mut impl BufRead, length_text: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length(length_text)?];
    from.read_exact(&mut bytes)?;
    let mut end = [0; 2];
    from.read_exact(&mut end)?;
    if &end != b"\r\n" {
        return Err(invalid("a blob longer than its length", &end));
    }
    Ok(bytes)
}

fn read_line(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    // Only a monitor is told long lines; without a bound a server that never ends one would
    // fill memory.
    from.by_ref().take(16 << 20).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::Error::new(ErrorKind::UnexpectedEof, "closed by the server"));
    }
    if !line.ends_with(b"\r\n") {
        return Err(invalid("a line without CRLF", &line));
    }
    line.truncate(line.len() - 2);
    if line.contains(&b'\r') {
        return Err(invalid("a CR inside a line", &line));
    }
    Ok(line)
}

fn length(text: &[u8]) -> io::Result<usize> {
    usize::try_from(integer(text)?).map_err(|_| invalid("a negative length", text))
}

/// Only the canonical form: `:+1` and `:01` would compare equal to `:1` and hide a difference.
fn integer(text: &[u8]) -> io::Result<i64> {
    let parsed = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
    match parsed {
        Some(n) if n.to_string().as_bytes() == text => Ok(n),
        _ => Err(invalid("not a canonical integer", text)),
    }
}

fn invalid(what: &str, line: &[u8]) -> io::Error {
    let shown = line.escape_ascii();
    io::Error::new(ErrorKind::InvalidData, format!("{what} in a reply: \"{shown}\""))
}
