//! RESP2 replies, read just far enough to count them and to notice errors.

use super::Result;

/// One whole reply at the front of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// Its length on the wire.
    pub(crate) bytes: usize,
    /// The first error in it, at any depth (EXEC answers errors inside its array).
    pub(crate) error: Option<String>,
    pub(crate) nil: bool,
    /// The integers in it, added up.
    pub(crate) sum: i64,
}

/// EXEC of commands that answer arrays is the deepest that the workloads ask for.
const DEPTH_MAX: usize = 4;

/// The reply at the front of `buffer`; none if it is not all there yet.
pub(crate) fn first_reply(buffer: &[u8]) -> Result<Option<Reply>> {
    reply_at(buffer, 0, DEPTH_MAX)
}

fn reply_at(buffer: &[u8], start: usize, depth: usize) -> Result<Option<Reply>> {
    let Some(line) = line_at(buffer, start) else {
        return Ok(None);
    };
    let mut reply = Reply { bytes: line.len() + 2, error: None, nil: false, sum: 0 };
    let Some((kind, rest)) = line.split_first() else {
        return Err("the server sent an empty line instead of a reply".into());
    };
    match kind {
        b'+' => {}
        b'-' => reply.error = Some(String::from_utf8_lossy(rest).into_owned()),
        b':' => reply.sum = number(rest)?,
        b'$' => match usize::try_from(number(rest)?) {
            Err(_) => reply.nil = true,
            Ok(length) => {
                let from = start + reply.bytes;
                reply.bytes += length + 2;
                let Some(bulk) = buffer.get(from..from + length + 2) else {
                    return Ok(None);
                };
                // GET of a counter: the sum is what a caller may want to know.
                if length <= 18 {
                    reply.sum = number(&bulk[..length]).unwrap_or(0);
                }
            }
        },
        b'*' if depth > 0 => match usize::try_from(number(rest)?) {
            Err(_) => reply.nil = true,
            Ok(count) => {
                for _ in 0..count {
                    let Some(item) = reply_at(buffer, start + reply.bytes, depth - 1)? else {
                        return Ok(None);
                    };
                    reply.bytes += item.bytes;
                    reply.sum += item.sum;
                    reply.error = reply.error.or(item.error);
                }
            }
        },
        _ => return Err(format!("not a reply: {}", String::from_utf8_lossy(line)).into()),
    }
    Ok(Some(reply))
}

/// Skips replies at the front of `buffer`: as many as are there of `missing`, which counts
/// those inside arrays, too. Says how many bytes that were; any error is one. As fast as a
/// client has to be that isn't to hold up the server.
pub(crate) fn skip_replies(buffer: &[u8], missing: &mut usize) -> Result<usize> {
    let mut at = 0;
    while *missing > 0 {
        let rest = &buffer[at..];
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
            break;
        };
        let line = &rest[..end.saturating_sub(1)];
        let mut length = end + 1;
        match line {
            [b'+' | b':', ..] => {}
            [b'$', digits @ ..] if digits != b"-1" => {
                length += usize::try_from(number(digits)?)? + 2;
                if length > rest.len() {
                    break;
                }
            }
            [b'*', digits @ ..] if digits != b"-1" => *missing += usize::try_from(number(digits)?)?,
            [b'$' | b'*', ..] => {}
            line => return Err(format!("the server answered: {}", line.escape_ascii()).into()),
        }
        at += length;
        *missing -= 1;
    }
    Ok(at)
}

/// The bytes up to the next CRLF.
fn line_at(buffer: &[u8], start: usize) -> Option<&[u8]> {
    let rest = buffer.get(start..)?;
    let end = rest.iter().position(|&byte| byte == b'\n')?;
    rest[..end].strip_suffix(b"\r")
}

/// By hand, since replies are read as fast as servers send them.
fn number(text: &[u8]) -> Result<i64> {
    let not_a_number = || format!("not a number: {}", String::from_utf8_lossy(text));
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        digits => (1, digits),
    };
    if digits.is_empty() || digits.len() > 18 {
        return Err(not_a_number().into());
    }
    let mut value = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(not_a_number().into());
        }
        value = value * 10 + i64::from(digit - b'0');
    }
    Ok(sign * value)
}
