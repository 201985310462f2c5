//! What the words of ACL SETUSER do to a user.

use super::categories::{self, Category};
use crate::command::table::{self, Command};
use crate::server::users::{CommandSet, KeyPattern, PasswordHash, Rules, Selector, hash};

/// Why a word can't be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RuleError {
    Syntax,
    UnknownCommand,
    AfterAllKeys,
    AfterAllChannels,
    NoSuchPassword,
    BadHash,
    FirstArgOfSubcommand,
}

impl RuleError {
    /// As Redis says it.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Syntax => "Syntax error",
            Self::UnknownCommand => "Unknown command or category name in ACL",
            Self::AfterAllKeys => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            Self::AfterAllChannels => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels"
            }
            Self::NoSuchPassword => {
                "The password you are trying to remove from the user does not exist"
            }
            Self::BadHash => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            Self::FirstArgOfSubcommand => "Allowing first-arg of a subcommand is not supported",
        }
    }
}

/// Joins the words of a selector: one that begins with `(` reaches up to one that ends with
/// `)`. With an error names the word that opened it.
pub(super) fn join_selectors<'a>(words: &[&'a [u8]]) -> Result<Vec<Vec<u8>>, &'a [u8]> {
    let mut joined = Vec::with_capacity(words.len());
    let mut open: Option<(&[u8], Vec<u8>)> = None;
    for word in words {
        if word.starts_with(b"(") && !word.ends_with(b")") {
            open = Some((word, word.to_vec()));
        } else if let Some((first, mut selector)) = open.take() {
            selector.push(b' ');
            selector.extend_from_slice(word);
            if word.ends_with(b")") {
                joined.push(selector);
            } else {
                open = Some((first, selector));
            }
        } else {
            joined.push(word.to_vec());
        }
    }
    match open {
        Some((first, _)) => Err(first),
        None => Ok(joined),
    }
}

/// Whether a name or a pattern can't stand between blanks and be read back.
pub(super) fn has_blanks(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b' ' | b'\t'..=b'\r' | 0))
}

/// Applies one word to a user.
pub(super) fn apply(rules: &mut Rules, word: &[u8]) -> Result<(), RuleError> {
    match word.to_ascii_lowercase().as_slice() {
        b"" => {}
        b"on" => rules.enabled = true,
        b"off" => rules.enabled = false,
        b"skip-sanitize-payload" => rules.sanitize_payload = Some(false),
        b"sanitize-payload" => rules.sanitize_payload = Some(true),
        b"nopass" => rules.set_password(None),
        b"resetpass" => {
            rules.nopass = false;
            rules.passwords.clear();
        }
        b"clearselectors" => rules.selectors.clear(),
        b"reset" => *rules = Rules { sanitize_payload: Some(true), ..Rules::new() },
        [b'>' | b'#', ..] => {
            let password = password(word)?;
            if !rules.passwords.contains(&password) {
                rules.passwords.push(password);
            }
            rules.nopass = false;
        }
        [b'<' | b'!', ..] => {
            let password = password(word)?;
            let at = rules.passwords.iter().position(|own| *own == password);
            rules.passwords.remove(at.ok_or(RuleError::NoSuchPassword)?);
        }
        [b'(', .., b')'] => {
            let mut selector = Selector::nothing();
            let inside = word[1..word.len() - 1].split(u8::is_ascii_whitespace);
            for word in inside.filter(|word| !word.is_empty()) {
                apply_to_selector(&mut selector, word)?;
            }
            rules.selectors.push(selector);
        }
        _ => apply_to_selector(&mut rules.root, word)?,
    }
    Ok(())
}

/// A password, or the hash of one.
fn password(word: &[u8]) -> Result<PasswordHash, RuleError> {
    let (kind, text) = (word[0], &word[1..]);
    if matches!(kind, b'>' | b'<') {
        return Ok(hash(text));
    }
    let given = PasswordHash::try_from(text).map_err(|_| RuleError::BadHash)?;
    let right = given.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if right { Ok(given) } else { Err(RuleError::BadHash) }
}

fn apply_to_selector(selector: &mut Selector, word: &[u8]) -> Result<(), RuleError> {
    match word.to_ascii_lowercase().as_slice() {
        b"allkeys" | b"~*" => {
            selector.all_keys = true;
            selector.keys.clear();
        }
        b"resetkeys" => {
            selector.all_keys = false;
            selector.keys.clear();
        }
        b"allchannels" | b"&*" => {
            selector.all_channels = true;
            selector.channels.clear();
        }
        b"resetchannels" => {
            selector.all_channels = false;
            selector.channels.clear();
        }
        b"allcommands" | b"+@all" => allow_all(selector, true),
        b"nocommands" | b"-@all" => allow_all(selector, false),
        [b'~' | b'%', ..] => add_keys(selector, word)?,
        [b'&', pattern @ ..] => {
            if selector.all_channels {
                return Err(RuleError::AfterAllChannels);
            }
            if has_blanks(pattern) {
                return Err(RuleError::Syntax);
            }
            let pattern = word[1..].to_vec();
            if !selector.channels.contains(&pattern) {
                selector.channels.push(pattern);
            }
        }
        [sign @ (b'+' | b'-'), b'@', name @ ..] => {
            let category = categories::find(name).ok_or(RuleError::UnknownCommand)?;
            allow_category(selector, category, *sign == b'+');
        }
        [b'+', ..] => allow_command(selector, &word[1..])?,
        [b'-', ..] => {
            let command = table::by_full_name(&word[1..]).ok_or(RuleError::UnknownCommand)?;
            allow(selector, command, false);
        }
        _ => return Err(RuleError::Syntax),
    }
    Ok(())
}

/// `~pattern`, or `%R~pattern`, `%W~pattern`, `%RW~pattern`.
fn add_keys(selector: &mut Selector, word: &[u8]) -> Result<(), RuleError> {
    if selector.all_keys {
        return Err(RuleError::AfterAllKeys);
    }
    let (mut read, mut write) = (true, true);
    let mut pattern = &word[1..];
    if word[0] == b'%' {
        let tilde = pattern.iter().position(|byte| *byte == b'~').ok_or(RuleError::Syntax)?;
        let letters = pattern[..tilde].to_ascii_lowercase();
        (read, write) = match letters.as_slice() {
            b"r" => (true, false),
            b"w" => (false, true),
            b"rw" | b"wr" => (true, true),
            _ => return Err(RuleError::Syntax),
        };
        pattern = &pattern[tilde + 1..];
    }
    if has_blanks(pattern) {
        return Err(RuleError::Syntax);
    }
    match selector.keys.iter_mut().find(|own| own.pattern == pattern) {
        Some(own) => {
            own.read |= read;
            own.write |= write;
        }
        None => selector.keys.push(KeyPattern { pattern: pattern.to_vec(), read, write }),
    }
    Ok(())
}

/// `command`, `container|subcommand` or `command|first-argument`.
fn allow_command(selector: &mut Selector, name: &[u8]) -> Result<(), RuleError> {
    let Some(bar) = name.iter().rposition(|byte| *byte == b'|') else {
        let command = table::by_full_name(name).ok_or(RuleError::UnknownCommand)?;
        allow(selector, command, true);
        return Ok(());
    };
    let (before, argument) = (&name[..bar], &name[bar + 1..]);
    let command = table::by_full_name(before).ok_or(RuleError::UnknownCommand)?;
    if command.name.contains('|') {
        return Err(RuleError::FirstArgOfSubcommand);
    }
    if argument.is_empty() {
        return Err(RuleError::Syntax);
    }
    if command.subcommands.is_empty() {
        let allowed = selector.first_args.entry(command.number).or_default();
        if !allowed.iter().any(|own| own.eq_ignore_ascii_case(argument)) {
            allowed.push(argument.to_vec());
        }
    } else {
        let subcommand = command.subcommand(argument).ok_or(RuleError::UnknownCommand)?;
        allow(selector, subcommand, true);
    }
    Ok(())
}

pub(super) fn allow_all(selector: &mut Selector, allowed: bool) {
    selector.commands = if allowed { CommandSet::ALL } else { CommandSet::NONE };
    selector.all_commands = allowed;
    selector.first_args.clear();
}

/// A command with its subcommands.
pub(super) fn allow(selector: &mut Selector, command: &Command, allowed: bool) {
    selector.first_args.remove(&command.number);
    let with_subcommands = std::iter::once(command).chain(command.subcommands);
    allow_numbers(selector, with_subcommands.map(|command| command.number), allowed);
}

pub(super) fn allow_category(selector: &mut Selector, category: &Category, allowed: bool) {
    selector.first_args.retain(|number, _| !category.members.contains(number));
    allow_numbers(selector, category.reach.iter().copied(), allowed);
}

fn allow_numbers(selector: &mut Selector, numbers: impl Iterator<Item = u16>, allowed: bool) {
    for number in numbers {
        selector.commands.set(number, allowed);
        selector.all_commands &= allowed;
    }
}
