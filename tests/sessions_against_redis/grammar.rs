//! How requests are written down to be generated: a command's arguments in one line.
//!
//! | written | meant |
//! |---|---|
//! | `WORD` | itself |
//! | `<key>` | one of a class of words, see `words.rs` |
//! | `(a\|b c)` | one of these |
//! | `[a\|b c]` | one of these, or nothing |
//! | `[…]*`, `(…)+` | up to three times, at least once |

use crate::script::{Request, Word};
use crate::words;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::Union;

/// The arguments that `line` describes.
pub(crate) fn arguments(line: &str) -> BoxedStrategy<Request> {
    let spaced = line.replace('|', " | ");
    let spaced =
        ['(', '['].iter().fold(spaced, |line, open| line.replace(*open, &format!("{open} ")));
    let spaced =
        [')', ']'].iter().fold(spaced, |line, shut| line.replace(*shut, &format!(" {shut}")));
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = tokens.as_slice();
    let strategy = alternatives(&mut rest);
    assert!(rest.is_empty(), "unbalanced: {line}");
    strategy
}

/// Up to a closing bracket or the end.
fn alternatives(rest: &mut &[&str]) -> BoxedStrategy<Request> {
    let mut all = vec![Vec::new()];
    while let [token, after @ ..] = *rest {
        if token.starts_with([')', ']']) {
            break;
        }
        *rest = after;
        if *token == "|" {
            all.push(Vec::new());
        } else {
            let item = item(token, rest);
            all.last_mut().expect("one was put in").push(item);
        }
    }
    let all: Vec<_> = all.into_iter().map(one_after_the_other).collect();
    if all.len() == 1 { all[0].clone() } else { Union::new(all).boxed() }
}

fn item(token: &str, rest: &mut &[&str]) -> BoxedStrategy<Request> {
    if token == "(" || token == "[" {
        let inner = alternatives(rest);
        let (shut, after) = rest.split_first().expect("a closing bracket");
        *rest = after;
        let least = usize::from(token == "(");
        let most = if shut.len() > 1 { 3 } else { 1 };
        if (least, most) == (1, 1) {
            return inner;
        }
        return vec(inner, least..=most).prop_map(|parts| parts.concat()).boxed();
    }
    match token.strip_prefix('<').and_then(|class| class.strip_suffix('>')) {
        Some(class) => words::class(class).prop_map(|word| vec![word]).boxed(),
        None => Just(vec![Word::from(token)]).boxed(),
    }
}

fn one_after_the_other(parts: Vec<BoxedStrategy<Request>>) -> BoxedStrategy<Request> {
    parts.prop_map(|parts| parts.concat()).boxed()
}
