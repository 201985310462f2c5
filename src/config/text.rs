//! Numbers, sizes and names as text.

/// A whole number as Redis reads one: no sign but `-`, no leading zero, no spaces.
pub(super) fn parse_integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    let padded = digits.starts_with('0') && text != "0";
    if !plain || padded {
        return None;
    }
    text.parse().ok()
}

/// Why a size could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SizeError {
    NotASize,
    TooLarge,
}

/// A size with one of Redis' suffixes: b, k (1000), kb (1024), m, mb, g, gb, in any case.
///
/// Redis also takes a suffix without a number as 0; here that is an error, since it is a
/// mistake whenever it is written, and 0 may mean "no limit".
pub(super) fn parse_size(text: &str) -> Result<i64, SizeError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    let unit = match suffix.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return Err(SizeError::NotASize),
    };
    if number.is_empty() {
        return Err(SizeError::NotASize);
    }
    // All digits: the only way to fail is to be too large.
    let number: i64 = number.parse().map_err(|_| SizeError::TooLarge)?;
    number.checked_mul(unit).ok_or(SizeError::TooLarge)
}

/// A size with the largest suffix that keeps it exact; [`parse_size`] reads it back.
pub(super) fn show_size(bytes: i64) -> String {
    for (suffix, unit) in [("gb", 1 << 30), ("mb", 1 << 20), ("kb", 1 << 10)] {
        if bytes != 0 && bytes % unit == 0 {
            return format!("{}{suffix}", bytes / unit);
        }
    }
    bytes.to_string()
}

/// The candidate that takes the fewest edits to become `text`, the first one of equals.
pub(super) fn nearest<'a>(
    text: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates.min_by_key(|candidate| edits(text, candidate))
}

/// How many characters must be put in, taken out or replaced to turn `a` into `b`.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    // Row by row of the usual table: the cost of turning what was read of `a` into each
    // prefix of `b`.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (read, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = read + 1;
        for (at, &to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// `text` as a TOML string.
pub(super) fn toml_quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\U{:08X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_redis_reads_them() {
        let cases = [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("007", None),
            ("-0", None),
            ("+5", None),
            (" 5", None),
            ("5s", None),
            ("-", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_integer(text), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes_take_the_suffixes_of_redis() {
        let cases = [
            ("0", Ok(0)),
            ("05kb", Ok(5 << 10)),
            ("7b", Ok(7)),
            ("1k", Ok(1000)),
            ("1kb", Ok(1024)),
            ("1M", Ok(1_000_000)),
            ("1Mb", Ok(1 << 20)),
            ("2g", Ok(2_000_000_000)),
            ("2GB", Ok(2 << 30)),
            ("9223372036854775808", Err(SizeError::TooLarge)),
            ("18014398509481984kb", Err(SizeError::TooLarge)),
            ("1xb", Err(SizeError::NotASize)),
            ("1.5mb", Err(SizeError::NotASize)),
            ("5 kb", Err(SizeError::NotASize)),
            ("+5kb", Err(SizeError::NotASize)),
            ("-1", Err(SizeError::NotASize)),
            ("50%", Err(SizeError::NotASize)),
            ("kb", Err(SizeError::NotASize)),
            ("", Err(SizeError::NotASize)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_size(text), expected, "{text:?}");
        }
        for bytes in [0, 1, 1000, 1023, 1024, 1536, 64 << 20, 3 << 30, i64::MAX] {
            assert_eq!(parse_size(&show_size(bytes)), Ok(bytes));
        }
        assert_eq!(show_size(1536 << 10), "1536kb");
    }

    #[test]
    fn edits_are_counted() {
        let cases = [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("abc", "ac", 1)];
        for (a, b, expected) in cases {
            assert_eq!(edits(a, b), expected);
            assert_eq!(edits(b, a), expected);
        }
    }
}
