//! Names that a script gives to what a reply holds: `$t`, a bulk string.

use std::collections::BTreeMap;

/// What the names of a script stand for.
#[derive(Default)]
pub(crate) struct Names(BTreeMap<String, String>);

fn name_length(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len())
}

impl Names {
    /// A request with what its names stand for.
    pub(crate) fn fill(&self, args: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let fill = |arg: &Vec<u8>| {
            let mut text = String::from_utf8_lossy(arg).into_owned();
            if !text.contains('$') {
                return arg.clone();
            }
            for (name, value) in self.0.iter().rev() {
                text = text.replace(&format!("${name}"), value);
            }
            text.into_bytes()
        };
        args.iter().map(fill).collect()
    }

    /// Whether a reply is the expected one. Names that are new there stand for what they
    /// stand at.
    pub(crate) fn matches(&mut self, expected: &str, got: &str) -> bool {
        let (mut expected, mut got) = (expected, got);
        while let Some(at) = expected.find('$') {
            let name = &expected[at + 1..][..name_length(&expected[at + 1..])];
            let Some(value) = got
                .strip_prefix(&expected[..at])
                .and_then(|rest| rest.strip_prefix('"'))
                .and_then(|rest| rest.split_once('"'))
                .map(|(value, rest)| {
                    got = rest;
                    value.to_owned()
                })
            else {
                return false;
            };
            if *self.0.entry(name.to_owned()).or_insert_with(|| value.clone()) != value {
                return false;
            }
            expected = &expected[at + 1 + name.len()..];
        }
        expected == got
    }
}
