//! The table of all commands.

mod arguments;
mod containers;
mod flags;
mod rows;

pub use arguments::{Argument, Kind};
pub use flags::{Flags, Keys};

use super::parse::{unknown_command, unknown_subcommand, wrong_arity};
use super::{CommandResult, Context};
use crate::resp::Reply;
use std::sync::LazyLock;

/// A function that carries a command out.
pub type Run = fn(&mut Context<'_, '_>, &[&[u8]]) -> CommandResult;

/// One command, or one subcommand.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    /// Its place among all commands and subcommands, from 0: what counters and permissions
    /// are indexed by. Given when the table is first used.
    pub number: u16,
    /// It never takes long if its arguments are short, so it is timed with its neighbours.
    pub brief: bool,
    /// In lower case; a subcommand's is `container|word`.
    pub name: &'static str,
    /// How many arguments with the name; negative is at least so many. Of a subcommand
    /// the name of its container counts, too.
    pub arity: i32,
    /// What is true of it.
    pub flags: Flags,
    /// Which arguments are keys.
    pub keys: Keys,
    /// The group in the documentation of Redis.
    pub group: &'static str,
    /// The version of Redis that brought it.
    pub since: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// The version of Redis that advised against it, and what for.
    pub deprecated: Option<(&'static str, &'static str)>,
    /// It is for tests of the server, not for applications.
    pub system: bool,
    /// What it costs.
    pub complexity: &'static str,
    /// What clients in front of many servers should know, see COMMAND TIPS.
    pub tips: &'static [&'static str],
    /// Its arguments.
    pub arguments: &'static [Argument],
    /// What carries it out; of a container, what answers to its name alone.
    pub run: Run,
    /// Subcommands, if it is a container.
    pub subcommands: &'static [Command],
}

impl Command {
    /// Whether so many arguments, its name included, are right.
    pub fn takes(&self, count: usize) -> bool {
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        if self.arity >= 0 { count == self.arity } else { count >= -self.arity }
    }

    /// Its subcommand by the word that comes second, in any case.
    pub fn subcommand(&self, word: &[u8]) -> Option<&'static Command> {
        self.subcommands.iter().find(|sub| {
            let own = sub.name.as_bytes().get(self.name.len() + 1..);
            own.is_some_and(|own| own.eq_ignore_ascii_case(word))
        })
    }

    const fn args(mut self, arguments: &'static [Argument]) -> Self {
        self.arguments = arguments;
        self
    }

    const fn deprecated(mut self, since: &'static str, replaced_by: &'static str) -> Self {
        self.deprecated = Some((since, replaced_by));
        self
    }

    const fn system(mut self) -> Self {
        self.system = true;
        self
    }

    const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.tips = tips;
        self
    }

    /// Makes a container answer to its name alone, too.
    const fn alone(mut self, flags: Flags, complexity: &'static str, run: Run) -> Self {
        self.arity = -1;
        self.flags = flags;
        self.complexity = complexity;
        self.run = run;
        self
    }
}

#[allow(clippy::too_many_arguments)] // It is a row of a table.
const fn row(
    name: &'static str,
    arity: i32,
    flags: Flags,
    keys: Keys,
    group: &'static str,
    since: &'static str,
    complexity: &'static str,
    summary: &'static str,
    run: Run,
) -> Command {
    Command {
        number: 0,
        brief: false,
        name,
        arity,
        flags,
        keys,
        group,
        since,
        summary,
        deprecated: None,
        system: false,
        complexity,
        tips: &[],
        arguments: &[],
        run,
        subcommands: &[],
    }
}

const fn container(
    name: &'static str,
    group: &'static str,
    since: &'static str,
    summary: &'static str,
    subcommands: &'static [Command],
) -> Command {
    let complexity = "Depends on subcommand.";
    let (flags, keys) = (Flags::NONE, Keys::NONE);
    let mut container = row(name, -2, flags, keys, group, since, complexity, summary, no_word);
    container.subcommands = subcommands;
    container
}

/// A container without a word after it has too few arguments and is refused before.
fn no_word(_: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    Err(unknown_command(args).into())
}

/// Finds a command by its name. Every request asks it, so it is made for short names: the
/// slot comes from the first four bytes, the last four and the length.
struct Names {
    /// A name stands at its slot, or behind it where others took that.
    slots: Box<[Option<Name>; Names::SLOTS]>,
}

/// A command's name as a request's is compared with it.
#[derive(Clone, Copy)]
struct Name {
    word: u64,
    /// A name with the same word and length is the same, in another case at most.
    told_by_word: bool,
    command: &'static Command,
}

impl Names {
    /// Several times as many as commands: most names stand at their own slot.
    const SLOTS: usize = 1024;

    fn new(commands: &'static [Command]) -> Self {
        let mut slots = Box::new([None; Self::SLOTS]);
        for command in commands {
            let name = command.name.as_bytes();
            let word = Self::word(name);
            let mut slot = Self::slot(word);
            while slots[slot].is_some() {
                slot = (slot + 1) % Self::SLOTS;
            }
            let told_by_word = name.len() <= 8 && name.iter().all(u8::is_ascii_lowercase);
            slots[slot] = Some(Name { word, told_by_word, command });
        }
        Self { slots }
    }

    #[inline]
    fn find(&self, name: &[u8]) -> Option<&'static Command> {
        let word = Self::word(name);
        let mut slot = Self::slot(word);
        while let Some(Name { word: own, told_by_word, command }) = self.slots[slot] {
            if own == word
                && command.name.len() == name.len()
                && (told_by_word || command.name.as_bytes().eq_ignore_ascii_case(name))
            {
                return Some(command);
            }
            slot = (slot + 1) % Self::SLOTS;
        }
        None
    }

    /// All of a name of up to eight bytes, and the ends of a longer one; the same in any case:
    /// setting a bit makes letters small, and makes nothing else a letter.
    #[inline]
    fn word(name: &[u8]) -> u64 {
        const SMALL: u64 = u64::from_ne_bytes([0x20; 8]);
        let word = match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
            (Some(first), Some(last)) => {
                u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
            }
            _ => name.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
        };
        word | SMALL
    }

    #[inline]
    fn slot(word: u64) -> usize {
        (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize
    }
}

static BY_NAME: LazyLock<Names> = LazyLock::new(|| Names::new(all()));

/// Commands whose time can't depend on anything but the length of their arguments.
#[rustfmt::skip] // As many as fit into a line.
const BRIEF: &[&str] = &[
    "get", "set", "setnx", "setex", "psetex", "getset", "getdel", "getex", "mget", "mset",
    "msetnx", "incr", "decr", "incrby", "decrby", "strlen", "exists", "del", "unlink", "type",
    "touch", "expire", "pexpire", "expireat", "pexpireat", "persist", "ttl", "pttl",
    "expiretime", "pexpiretime", "multi", "watch", "unwatch", "ping", "echo", "select",
];

/// The rows with their numbers.
static ALL: LazyLock<&'static [Command]> = LazyLock::new(|| numbered(rows::COMMANDS, &mut 0));

/// A copy of rows with numbers from `next` on; it lives as long as the process, as they do.
fn numbered(rows: &[Command], next: &mut u16) -> &'static [Command] {
    let number = |row: &Command| {
        let mut command = *row;
        command.number = *next;
        command.brief = BRIEF.contains(&row.name);
        *next += 1;
        command.subcommands = numbered(row.subcommands, next);
        command
    };
    rows.iter().map(number).collect::<Vec<_>>().leak()
}

/// All commands.
pub fn all() -> &'static [Command] {
    *ALL
}

/// All commands, each followed by its subcommands: in the order of their numbers.
pub fn with_subcommands() -> impl Iterator<Item = &'static Command> {
    all().iter().flat_map(|command| std::iter::once(command).chain(command.subcommands))
}

static BY_NUMBER: LazyLock<Vec<&'static Command>> = LazyLock::new(|| with_subcommands().collect());

/// A command or subcommand by its number.
///
/// # Panics
/// The number isn't one of the table's.
#[inline]
pub fn by_number(number: u16) -> &'static Command {
    BY_NUMBER[usize::from(number)]
}

/// A command (not a subcommand) by its name in any case.
#[inline]
pub fn by_name(name: &[u8]) -> Option<&'static Command> {
    BY_NAME.find(name)
}

/// A command by its name, or a subcommand by `container|word`.
pub fn by_full_name(name: &[u8]) -> Option<&'static Command> {
    let Some(bar) = name.iter().position(|byte| *byte == b'|') else {
        return by_name(name);
    };
    by_name(&name[..bar])?.subcommand(&name[bar + 1..])
}

/// The command or subcommand that a request asks for, whatever the number of arguments.
#[inline]
pub fn asked_for(args: &[&[u8]]) -> Option<&'static Command> {
    let command = by_name(args.first()?)?;
    match args.get(1) {
        Some(word) if !command.subcommands.is_empty() => command.subcommand(word),
        _ => Some(command),
    }
}

/// The command or subcommand that a request asks for, with the right number of
/// arguments; or the error that Redis gives.
#[inline]
pub fn find(args: &[&[u8]]) -> Result<&'static Command, Reply> {
    match asked_for(args) {
        Some(command) if command.takes(args.len()) => Ok(command),
        asked_for => Err(not_found(args, asked_for)),
    }
}

#[cold]
fn not_found(args: &[&[u8]], asked_for: Option<&Command>) -> Reply {
    match asked_for {
        Some(command) => wrong_arity(command.name),
        None => match args {
            [container, word, ..] if by_name(container).is_some() => {
                unknown_subcommand(container, word)
            }
            _ => unknown_command(args),
        },
    }
}
