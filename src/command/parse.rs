//! Arguments as numbers, and the errors of arguments that aren't.

use super::Stop;
use crate::resp::Reply;

/// `ERR value is not an integer or out of range`.
pub(super) fn not_an_integer() -> Stop {
    Reply::error("ERR value is not an integer or out of range").into()
}

/// `ERR syntax error`.
pub(super) fn syntax_error() -> Stop {
    Reply::error("ERR syntax error").into()
}

/// `ERR wrong number of arguments for 'x' command`.
pub(super) fn wrong_arity(name: &str) -> Reply {
    Reply::error(format!(
        "ERR wrong number of arguments for '{name}' command"
    ))
}

/// A decimal integer as Redis' `string2ll` takes it: no blanks, no `+`, no leading zeros.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        b"0" => (text.len() == 1).then_some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {
            let magnitude = digits.iter().try_fold(0u64, |value, digit| {
                digit
                    .is_ascii_digit()
                    .then(|| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')))?
            })?;
            if digits.len() == text.len() {
                i64::try_from(magnitude).ok()
            } else {
                0i64.checked_sub_unsigned(magnitude)
            }
        }
        _ => None,
    }
}

/// An argument that has to be an integer.
pub(super) fn integer_arg(text: &[u8]) -> Result<i64, Stop> {
    integer(text).ok_or_else(not_an_integer)
}

#[cfg(test)]
mod tests {
    use super::integer;

    #[test]
    fn integers_are_taken_as_redis_takes_them() {
        for (text, value) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("99999999999999999999", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("+1", None),
            ("01", None),
            (" 1", None),
            ("1 ", None),
            ("1a", None),
        ] {
            assert_eq!(integer(text.as_bytes()), value, "{text}");
        }
    }
}
