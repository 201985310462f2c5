//! Users as rules that would make the same user: for ACL LIST, GETUSER and SAVE.

use super::categories::{self, Category};
use super::rules::{allow, allow_all, allow_category};
use crate::command::table;
use crate::server::users::{Rules, Selector, User};

/// `user name rules …`
pub(super) fn user(user: &User) -> Vec<u8> {
    let rules = user.rules();
    let mut words: Vec<Vec<u8>> = vec![b"user".to_vec(), user.name.to_vec()];
    words.extend(flags(&rules).map(|flag| flag.as_bytes().to_vec()));
    words.extend(rules.passwords.iter().map(|hash| [b"#".as_slice(), hash].concat()));
    words.push(selector(&rules.root));
    let others = rules.selectors.iter();
    words.extend(others.map(|other| [b"(", selector(other).as_slice(), b")"].concat()));
    words.join(&b' ')
}

/// Whether it can log in and how.
pub(super) fn flags(rules: &Rules) -> impl Iterator<Item = &'static str> {
    let flags = [
        ("on", rules.enabled),
        ("off", !rules.enabled),
        ("nopass", rules.nopass),
        ("skip-sanitize-payload", rules.sanitize_payload == Some(false)),
        ("sanitize-payload", rules.sanitize_payload == Some(true)),
    ];
    flags.into_iter().filter_map(|(name, set)| set.then_some(name))
}

fn selector(selector: &Selector) -> Vec<u8> {
    let mut words = Vec::new();
    words.extend(Some(keys(selector)).filter(|keys| !keys.is_empty()));
    if !selector.all_channels {
        words.push(b"resetchannels".to_vec());
    }
    words.extend(Some(channels(selector)).filter(|channels| !channels.is_empty()));
    words.push(commands(selector));
    words.join(&b' ')
}

/// The patterns of keys.
pub(super) fn keys(selector: &Selector) -> Vec<u8> {
    if selector.all_keys {
        return b"~*".to_vec();
    }
    let patterns = selector.keys.iter().map(|keys| {
        let access: &[u8] = match (keys.read, keys.write) {
            (true, false) => b"%R~",
            (false, true) => b"%W~",
            _ => b"~",
        };
        [access, &keys.pattern].concat()
    });
    patterns.collect::<Vec<_>>().join(&b' ')
}

/// The patterns of channels.
pub(super) fn channels(selector: &Selector) -> Vec<u8> {
    if selector.all_channels {
        return b"&*".to_vec();
    }
    let patterns = selector.channels.iter().map(|pattern| [b"&", pattern.as_slice()].concat());
    patterns.collect::<Vec<_>>().join(&b' ')
}

/// The commands: all or none, then the categories that fit best, then what is still wrong.
///
/// It begins with all where commands of a later version are allowed, too.
pub(super) fn commands(selector: &Selector) -> Vec<u8> {
    let from_none = !selector.commands.has_future();
    let mut built = Selector::nothing();
    allow_all(&mut built, !from_none);
    let (start, sign) = if from_none { ("-@all", '+') } else { ("+@all", '-') };
    let mut words = vec![start.as_bytes().to_vec()];
    // What has still to be said.
    let mut left = selector.clone();
    let mut said: Vec<&str> = Vec::new();
    while let Some(category) = best_category(&left, from_none, &said) {
        allow_category(&mut built, category, from_none);
        allow_category(&mut left, category, !from_none);
        words.push(format!("{sign}@{}", category.name).into_bytes());
        said.push(category.name);
    }
    for command in table::with_subcommands() {
        let allowed = selector.commands.has(command.number);
        if allowed != built.commands.has(command.number) {
            let sign = if allowed { '+' } else { '-' };
            words.push(format!("{sign}{}", command.name).into_bytes());
            allow(&mut built, command, allowed);
        }
        let first_args = selector.first_args.get(&command.number).filter(|_| !allowed);
        for argument in first_args.into_iter().flatten() {
            let start = format!("+{}|", command.name);
            words.push([start.as_bytes(), argument].concat());
        }
    }
    words.join(&b' ')
}

/// The category that says most of what is left with the least to take back, if it says
/// more than it has taken back.
fn best_category(left: &Selector, from_none: bool, said: &[&str]) -> Option<&'static Category> {
    let mut best = None;
    let (mut wrong_min, mut right_max) = (usize::MAX, 0);
    for category in categories::all() {
        let allowed = category.members.iter().filter(|number| left.commands.has(**number)).count();
        let denied = category.members.len() - allowed;
        let (right, wrong) = if from_none { (allowed, denied) } else { (denied, allowed) };
        let better = wrong < wrong_min || (wrong == wrong_min && right > right_max);
        if right > wrong && better && !said.contains(&category.name) {
            best = Some(category);
            (wrong_min, right_max) = (wrong, right);
        }
    }
    best
}
