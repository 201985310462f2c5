//! Arguments as numbers, and the errors of arguments that aren't.

use super::{Context, Stop};
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
    Reply::error(format!("ERR wrong number of arguments for '{name}' command"))
}

/// Longer words are cut in errors, so that these stay short.
const SHOWN_BYTES_MAX: usize = 128;

/// What C's `%.*s` shows of a word: nothing from a NUL on, and no more than `bytes_max`.
fn shown(word: &[u8], bytes_max: usize) -> &[u8] {
    let end = word.iter().position(|byte| *byte == 0);
    &word[..end.unwrap_or(word.len()).min(bytes_max)]
}

/// `ERR unknown command 'x', with args beginning with: 'a' 'b' `.
pub(super) fn unknown_command(args: &[&[u8]]) -> Reply {
    let name = args.first().copied().unwrap_or_default();
    let rest = args.get(1..).unwrap_or_default();
    let mut beginning = Vec::new();
    for arg in rest {
        if beginning.len() >= SHOWN_BYTES_MAX {
            break;
        }
        let arg = shown(arg, SHOWN_BYTES_MAX - beginning.len());
        beginning.extend([b"'", arg, b"' "].concat());
    }
    let name = shown(name, SHOWN_BYTES_MAX);
    let text = [b"ERR unknown command '", name, b"', with args beginning with: ", &beginning];
    Reply::error(text.concat())
}

/// `ERR unknown subcommand 'x'. Try CONTAINER HELP.`
pub(super) fn unknown_subcommand(container: &[u8], word: &[u8]) -> Reply {
    let container = container.to_ascii_uppercase();
    let word = shown(word, SHOWN_BYTES_MAX);
    let after = [b"'. Try ", container.as_slice(), b" HELP."].concat();
    repeating("ERR unknown subcommand '", word, &after)
}

/// `ERR unknown subcommand or wrong number of arguments for 'X'. Try CONTAINER HELP.`
pub(super) fn subcommand_syntax(container: &str, word: &[u8]) -> Stop {
    let before = "ERR unknown subcommand or wrong number of arguments for '";
    let word = shown(word, SHOWN_BYTES_MAX);
    repeating(before, word, format!("'. Try {container} HELP.").as_bytes()).into()
}

/// An error that repeats a word of the request, which may be any bytes.
pub(super) fn repeating(before: &str, word: &[u8], after: &[u8]) -> Reply {
    let word = shown(word, usize::MAX);
    Reply::error([before.as_bytes(), word, after].concat())
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

/// An argument that has to be the number of a database.
pub(super) fn database_arg(context: &Context<'_, '_>, text: &[u8]) -> Result<u8, Stop> {
    let index = integer_arg(text)?;
    // Redis reads it as a C int, and says so in just these words.
    let index = i32::try_from(index).map_err(|_| {
        let text = "ERR value is out of range, value must between -2147483648 and 2147483647";
        Reply::error(text)
    })?;
    let database = u8::try_from(index).ok().filter(|db| *db < context.transaction.databases());
    database.ok_or_else(|| Reply::error("ERR DB index is out of range").into())
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
