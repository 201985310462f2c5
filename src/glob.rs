//! Redis' glob patterns, as KEYS, SCAN MATCH and CONFIG GET take them.
//!
//! `*` any run of bytes, `?` any byte, `[a-c]` and `[^a-c]` a class, `\x` the byte x. What
//! Redis does at the edges is kept, since users' patterns have come to rely on it:
//!
//! - a class that is never closed ends with the pattern: `[ab` is `[ab]`, `[^` any byte
//! - in `[a-]` the `]` is the end of a range, so the class is not closed by it
//! - the ends of a range may stand in either order, and bytes from 0x80 on sort below
//!   0x00, because Redis compares C's `char`, which is signed on the machines it mostly
//!   runs on
//! - inside a class `\x` is compared with its case even where `nocase` is asked for
//! - no pattern but the empty one matches the empty text, not even `*`: commands that
//!   treat a lone `*` as "everything" must do so themselves, as Redis does
//!
//! One thing differs: from 1002 runs of `*` on Redis gives up and says no, to save its stack.
//! Nothing recurses here, so such a pattern simply works.

/// Whether all of `text` matches `pattern`; `nocase` takes ASCII letters of either case
/// as the same.
///
/// Takes at most |pattern| × |text| steps and no memory, whatever the pattern: only the last
/// `*` is ever tried again. That is enough, because if what follows it is nowhere in the
/// rest of the text, an earlier `*` that swallowed more would leave it less to be found in.
pub fn glob_match(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut at, mut position) = (0, 0);
    // What follows the last `*`, and where in the text it was last tried.
    let mut last_star: Option<(usize, usize)> = None;
    while position < text.len() {
        if pattern.get(at) == Some(&b'*') {
            at += pattern[at..].iter().take_while(|&&b| b == b'*').count();
            if at == pattern.len() {
                return true;
            }
            last_star = Some((at, position));
        } else if let Some(used) = match_one(&pattern[at..], text[position], nocase) {
            at += used;
            position += 1;
        } else if let Some((after_star, tried)) = last_star {
            at = after_star;
            position = tried + 1;
            last_star = Some((after_star, position));
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|&b| b == b'*')
}

/// Matches one byte with the first element of `pattern`, which is not a `*`: the length of
/// that element if it matches.
fn match_one(pattern: &[u8], byte: u8, nocase: bool) -> Option<usize> {
    let (matched, used) = match pattern {
        [] => return None,
        [b'?', ..] => (true, 1),
        [b'[', class @ ..] => {
            let (matched, used) = match_class(class, byte, nocase);
            (matched, 1 + used)
        }
        [b'\\', escaped, ..] => (fold(*escaped, nocase) == fold(byte, nocase), 2),
        [literal, ..] => (fold(*literal, nocase) == fold(byte, nocase), 1),
    };
    matched.then_some(used)
}

/// Matches one byte with a class, whose `[` has been read: whether it matches, and the
/// length of the class.
fn match_class(class: &[u8], byte: u8, nocase: bool) -> (bool, usize) {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match &class[at..] {
            [] => break,
            [b'\\', escaped, ..] => {
                found |= *escaped == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [from, b'-', to, ..] => {
                found |= in_range(*from, *to, byte, nocase);
                at += 3;
            }
            [single, ..] => {
                found |= fold(*single, nocase) == fold(byte, nocase);
                at += 1;
            }
        }
    }
    (found != negated, at)
}

fn in_range(from: u8, to: u8, byte: u8, nocase: bool) -> bool {
    // Put in order before the case is folded, and compared as C's signed `char`: both as
    // in Redis, see the head of this file.
    let (low, high) = if from.cast_signed() <= to.cast_signed() { (from, to) } else { (to, from) };
    let [low, high, byte] = [low, high, byte].map(|b| fold(b, nocase).cast_signed());
    low <= byte && byte <= high
}

fn fold(byte: u8, nocase: bool) -> u8 {
    if nocase { byte.to_ascii_lowercase() } else { byte }
}

#[cfg(test)]
mod tests;
