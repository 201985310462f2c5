use super::glob_match;
use proptest::prelude::*;

/// The definition, written for clarity: every `*` tries every length.
fn naive(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', rest @ ..] => (0..=text.len()).any(|skip| naive(rest, &text[skip..], nocase)),
        _ => {
            let length = element_length(pattern);
            !text.is_empty()
                && naive_element(&pattern[..length], text[0], nocase)
                && naive(&pattern[length..], &text[1..], nocase)
        }
    }
}

fn element_length(pattern: &[u8]) -> usize {
    match pattern[0] {
        b'\\' => pattern.len().min(2),
        b'[' => {
            let mut at = 1 + usize::from(pattern.get(1) == Some(&b'^'));
            while at < pattern.len() && pattern[at] != b']' {
                let escape = pattern[at] == b'\\' && at + 1 < pattern.len();
                let range = !escape && pattern.get(at + 1) == Some(&b'-');
                at += match (escape, range && at + 2 < pattern.len()) {
                    (true, _) => 2,
                    (_, true) => 3,
                    _ => 1,
                };
            }
            (at + 1).min(pattern.len())
        }
        _ => 1,
    }
}

fn naive_element(element: &[u8], byte: u8, nocase: bool) -> bool {
    let same = |a: u8, b: u8| a == b || (nocase && a.eq_ignore_ascii_case(&b));
    match element[0] {
        b'?' => true,
        b'\\' if element.len() == 2 => same(element[1], byte),
        b'[' => {
            let negated = element.get(1) == Some(&b'^');
            let mut rest = &element[1 + usize::from(negated)..];
            let mut members: Vec<u8> = Vec::new();
            let mut exact = false;
            while let Some(&first) = rest.first() {
                if first == b'\\' && rest.len() >= 2 {
                    exact |= rest[1] == byte;
                    rest = &rest[2..];
                } else if first == b']' {
                    break;
                } else if rest.len() >= 3 && rest[1] == b'-' {
                    let (a, b) = (first as i8, rest[2] as i8);
                    let lower = |c: i8| {
                        if nocase { (c as u8).to_ascii_lowercase() as i8 } else { c }
                    };
                    let range = lower(a.min(b))..=lower(a.max(b));
                    exact |= range.contains(&lower(byte as i8));
                    rest = &rest[3..];
                } else {
                    members.push(first);
                    rest = &rest[1..];
                }
            }
            negated != (exact || members.iter().any(|&m| same(m, byte)))
        }
        literal => same(literal, byte),
    }
}

fn bytes_of(alphabet: &'static [u8], length_max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(alphabet), 0..=length_max)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn agrees_with_the_definition(
        pattern in bytes_of(b"*?[]^-\\aAbcZ\x80\xff", 10),
        text in bytes_of(b"aAbcZ]-\\^[\x80\xff", 8),
        nocase: bool,
    ) {
        // The one place where Redis departs from the definition.
        let expected = if text.is_empty() { pattern.is_empty() } else { naive(&pattern, &text, nocase) };
        prop_assert_eq!(glob_match(&pattern, &text, nocase), expected);
    }

    #[test]
    fn an_escaped_text_matches_itself_and_nothing_else(
        text in prop::collection::vec(any::<u8>(), 0..40),
        other in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let pattern: Vec<u8> = text.iter().flat_map(|&b| [b'\\', b]).collect();
        prop_assert!(glob_match(&pattern, &text, false));
        prop_assert_eq!(glob_match(&pattern, &other, false), text == other);
    }
}

/// Each verdict is redis-server 7.0.15's own: SET text, KEYS pattern.
#[test]
fn edges_are_as_redis_has_them() {
    let recorded: &[(&[u8], &[u8], bool)] = &[
        (b"**", b"", false),
        (b"", b"", true),
        (b"", b"a", false),
        (b"[", b"a", false),
        (b"[^", b"a", true),
        (b"[a", b"a", true),
        (b"[]", b"a", false),
        (b"[]", b"]", false),
        (b"[]a]", b"a]", false),
        (b"[^]", b"a", true),
        (b"[a-", b"-", true),
        (b"[a-", b"a", true),
        (b"[a-]", b"-", false),
        (b"[a-]", b"a", true),
        (b"[a-]x", b"]x", false),
        (b"[a-]x]", b"b", false),
        (b"[z-a]", b"m", true),
        (b"[\\", b"\\", true),
        (b"[\\", b"a", false),
        (b"[^\\", b"a", true),
        (b"[a\\", b"a", true),
        (b"[\\]", b"\\", false),
        (b"[\\]", b"]", true),
        (b"[\\]]", b"]", true),
        (b"\\", b"\\", true),
        (b"\\a", b"a", true),
        (b"a\\", b"a\\", true),
        (b"a\\", b"a", false),
        (b"[\x00-\xff]", b"a", false),
        (b"[\x00-\xff]", b"\xff", true),
        (b"[a-\xff]", b"b", false),
        (b"[a-\xff]", b"A", true),
        (b"[\x80-\xff]", b"\x90", true),
        (b"a\0b", b"a\0b", true),
        (b"a*\0", b"a", false),
        (b"a*[", b"ab", false),
        (b"a?", b"a", false),
        (b"a*?", b"a", false),
        (b"?*", b"a", true),
        (b"a**", b"a", true),
        (b"[\\a-c]", b"b", false),
        (b"[a-\\c]", b"\\", true),
        (b"[a-\\]]", b"b", false),
        (b"[--0]", b".", true),
        (b"[a^b]", b"^", true),
        (b"[!a]", b"b", false),
    ];
    for (pattern, text, expected) in recorded {
        assert_eq!(
            glob_match(pattern, text, false),
            *expected,
            "{} against {}",
            pattern.escape_ascii(),
            text.escape_ascii()
        );
    }
}

/// With a matcher that tries every `*` at every length this would outlive the universe.
#[test]
fn a_hostile_pattern_is_cheap() {
    let text = vec![b'a'; 20_000];
    let pattern = [b"a*".repeat(500).as_slice(), b"b"].concat();
    assert!(!glob_match(&pattern, &text, false));
    let deep = b"a*".repeat(5_000);
    assert!(glob_match(&deep, &text, false));
}
