//! Counts of arguments and of bytes, as decimal text.

/// The count in the line `input` starts with and that line's length, if it is all
/// there, of at most four digits and at most `count_max`. Nearly every one is; of the
/// others this says nothing.
#[inline]
pub(super) fn plain_count(input: &[u8], count_max: u32) -> Option<(u32, usize)> {
    let digit = |byte: u8| u32::from(byte - b'0');
    let (count, length) = match *input {
        [_, a @ b'0'..=b'9', b'\r', _, ..] => (digit(a), 4),
        [_, a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', _, ..] => (digit(a) * 10 + digit(b), 5),
        [_, a @ b'1'..=b'9', ref rest @ ..] => {
            return longer_plain_count(digit(a), rest, count_max);
        }
        _ => return None,
    };
    (count <= count_max).then_some((count, length))
}

/// Goes on behind the first digit.
fn longer_plain_count(first: u32, rest: &[u8], count_max: u32) -> Option<(u32, usize)> {
    let mut count = first;
    // A fourth digit at most, then the line's end: no number too large for 32 bits.
    for (index, &byte) in rest.iter().take(4).enumerate() {
        match byte {
            b'0'..=b'9' => count = count * 10 + u32::from(byte - b'0'),
            b'\r' if rest.len() > index + 1 && count <= count_max => {
                return Some((count, index + 4));
            }
            _ => return None,
        }
    }
    None
}

/// A decimal number as Redis' `string2ll` takes it: no `+`, no leading zero, no `-0`.
pub(super) fn parse_count(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        b"0" if text.len() == 1 => return Some(0),
        [b'1'..=b'9', ..] => {}
        _ => return None,
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}
