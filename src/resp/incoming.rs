//! Replies of another server, as its client reads them: version 2 of the protocol.

use super::Reply;
use std::io::{self, BufRead, Error, ErrorKind, Read};

/// The longest byte string that is taken, in bytes: Redis' own limit.
const BULK_BYTES_MAX: u64 = 512 << 20;

/// The longest line, in bytes: an error, say.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// How deep arrays may stand in each other.
const DEPTH_MAX: usize = 8;

/// Reads one reply.
///
/// # Errors
/// The input failed, ended, or is not what a server may say.
pub fn read_reply(from: &mut impl BufRead) -> io::Result<Reply> {
    read_nested(from, DEPTH_MAX)
}

fn read_nested(from: &mut impl BufRead, depth: usize) -> io::Result<Reply> {
    let line = read_line(from)?;
    let Some((&kind, rest)) = line.split_first() else {
        return Err(invalid("an empty line"));
    };
    let text = || String::from_utf8_lossy(rest).into_owned();
    match kind {
        b'+' if rest == b"OK" => Ok(Reply::Ok),
        b'+' => Ok(Reply::simple(text())),
        b'-' => Ok(Reply::error(text())),
        b':' => integer(rest).map(Reply::Integer),
        b'$' => Ok(match length(rest)? {
            Some(length) => Reply::bulk(read_bulk(from, length)?),
            None => Reply::Null,
        }),
        b'*' => match length(rest)? {
            Some(_) if depth == 0 => Err(invalid("arrays in too many arrays")),
            Some(count) => {
                let items = (0..count).map(|_| read_nested(from, depth - 1));
                items.collect::<io::Result<_>>().map(Reply::Array)
            }
            None => Ok(Reply::NullArray),
        },
        _ => Err(invalid("an unknown kind of reply")),
    }
}

fn read_line(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(Error::new(ErrorKind::UnexpectedEof, "the server has closed the connection"));
    }
    if !line.ends_with(b"\r\n") {
        return Err(invalid("a line without an end"));
    }
    line.truncate(line.len() - 2);
    Ok(line)
}

/// Memory is taken as the bytes come.
fn read_bulk(from: &mut impl BufRead, length: u64) -> io::Result<Vec<u8>> {
    /// Most are shorter.
    const FIRST_BYTES: u64 = 1 << 20;
    if length > BULK_BYTES_MAX {
        return Err(invalid("a byte string that is too long"));
    }
    let first = length.min(FIRST_BYTES);
    let mut bytes = Vec::with_capacity(first as usize);
    from.by_ref().take(first).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == first {
        // At once as much as is needed, but not before some of it has come.
        bytes.reserve_exact((length - first) as usize);
        from.by_ref().take(length - first).read_to_end(&mut bytes)?;
    }
    let mut end = [0; 2];
    from.read_exact(&mut end)?;
    if bytes.len() as u64 != length || end != *b"\r\n" {
        return Err(invalid("a byte string of another length"));
    }
    Ok(bytes)
}

fn integer(text: &[u8]) -> io::Result<i64> {
    let parsed = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| invalid("a number that is none"))
}

/// `None` stands for a null.
fn length(text: &[u8]) -> io::Result<Option<u64>> {
    match integer(text)? {
        -1 => Ok(None),
        length => u64::try_from(length).map(Some).map_err(|_| invalid("a negative length")),
    }
}

fn invalid(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("the server does not speak RESP: {what}"))
}

#[cfg(test)]
mod tests {
    use super::super::Protocol;
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> io::Result<Reply> {
        read_reply(&mut &bytes[..])
    }

    #[test]
    fn what_a_server_writes_is_read() {
        let replies = [
            Reply::Ok,
            Reply::simple("QUEUED"),
            Reply::error("ERR no"),
            Reply::Integer(-7),
            Reply::bulk(b"\r\n$5\r\n".to_vec()),
            Reply::bulk(Vec::new()),
            Reply::Null,
            Reply::NullArray,
            Reply::Array(vec![Reply::Integer(1), Reply::Array(vec![Reply::Null])]),
        ];
        for reply in replies {
            let mut bytes = Vec::new();
            reply.write(Protocol::Resp2, &mut bytes);
            assert_eq!(read(&bytes).unwrap(), reply);
            for end in 0..bytes.len() {
                assert!(read(&bytes[..end]).is_err(), "{reply:?} cut at {end}");
            }
        }
    }

    #[test]
    fn what_no_server_may_say_is_refused() {
        for bytes in ["hello\r\n", ":x\r\n", "$-2\r\n", "$3\r\nabcde", "$9999999999\r\n", "\r\n"] {
            assert!(read(bytes.as_bytes()).is_err(), "{bytes:?}");
        }
        assert!(read(&b"*1\r\n".repeat(100_000)).is_err(), "a stack has an end");
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_reader_stumble(bytes in prop::collection::vec(any::<u8>(), 0..50)) {
            let _ = read(&bytes);
        }
    }
}
