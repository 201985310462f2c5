//! SCAN, KEYS, RANDOMKEY: which keys there are.

use super::parse::{integer_arg, syntax_error};
use super::{CommandResult, Context, Stop};
use crate::glob::glob_match;
use crate::resp::Reply;
use crate::small_bytes::SmallBytes;

/// How many keys a step of SCAN looks at, unless COUNT says otherwise.
const COUNT_DEFAULT: usize = 10;

/// A cursor as C's `strtoul` reads it, which is how Redis does: a sign may stand in front,
/// no digits at all are 0, and nothing is read from a NUL on.
fn cursor(text: &[u8]) -> Option<u64> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let (negative, digits) = match text {
        [] => return Some(0),
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let value = digits.iter().try_fold(0u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })?;
    Some(if negative { value.wrapping_neg() } else { value })
}

/// The options of SCAN.
struct Options<'a> {
    count: usize,
    pattern: Option<&'a [u8]>,
    value_type: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(args: &[&'a [u8]]) -> Result<Self, Stop> {
        let mut options = Self { count: COUNT_DEFAULT, pattern: None, value_type: None };
        for pair in args.chunks(2) {
            let [name, value] = pair else {
                return Err(syntax_error());
            };
            match name.to_ascii_lowercase().as_slice() {
                b"count" => {
                    let count = integer_arg(value)?;
                    if count < 1 {
                        return Err(syntax_error());
                    }
                    options.count = usize::try_from(count).unwrap_or(usize::MAX);
                }
                b"match" => options.pattern = Some(value),
                b"type" => options.value_type = Some(value),
                _ => return Err(syntax_error()),
            }
        }
        Ok(options)
    }

    fn wants(&self, key: &[u8]) -> bool {
        // So far all values are strings.
        self.value_type.is_none_or(|name| name.eq_ignore_ascii_case(b"string"))
            && self.pattern.is_none_or(|pattern| matches(pattern, key))
    }
}

/// Whether a key matches; a lone `*` matches the empty key, too.
fn matches(pattern: &[u8], key: &[u8]) -> bool {
    pattern == b"*" || glob_match(pattern, key, false)
}

/// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]
pub(super) fn scan(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let from = cursor(args[1]).ok_or_else(|| Reply::error("ERR invalid cursor"))?;
    let options = Options::parse(&args[2..])?;
    let mut scan = context.transaction.scan(context.session.database, from, options.count);
    scan.keys.retain(|key| options.wants(key));
    let next = scan.next.unwrap_or(0).to_string();
    Ok(Reply::Array(vec![Reply::bulk(next.as_str()), bulks(scan.keys)]))
}

/// KEYS pattern
pub(super) fn keys(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let pattern = args[1];
    let wanted = |key: &[u8]| matches(pattern, key);
    Ok(bulks(context.transaction.keys(context.session.database, wanted)))
}

/// RANDOMKEY
pub(super) fn randomkey(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    let key = context.transaction.random_key(context.session.database);
    Ok(key.map_or(Reply::Null, Reply::Bulk))
}

fn bulks(keys: Vec<SmallBytes>) -> Reply {
    Reply::Array(keys.into_iter().map(Reply::Bulk).collect())
}

#[cfg(test)]
mod tests {
    use super::cursor;

    #[test]
    fn cursors_are_read_as_strtoul_does() {
        for (text, value) in [
            ("", Some(0)),
            ("0", Some(0)),
            ("007", Some(7)),
            ("+7", Some(7)),
            ("-1", Some(u64::MAX)),
            ("-0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("-18446744073709551616", None),
            ("0\x001", Some(0)),
            ("-", None),
            ("--1", None),
            ("+-1", None),
            (" 1", None),
            ("1 ", None),
            ("0x1", None),
        ] {
            assert_eq!(cursor(text.as_bytes()), value, "{text}");
        }
    }
}
