//! The table of all commands.

use super::{CommandResult, Context, connection, expiry, keys, strings, transactions};
use crate::resp::Reply;
use std::collections::HashMap;
use std::sync::LazyLock;

/// What is true of a command, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// It writes, or reads to write: it runs on the tip.
    pub const WRITE: Self = Self(1);
    /// It reads data.
    pub const READ: Self = Self(2);
    /// It reads or writes data.
    pub const DATA: Self = Self(3);
    /// It may come before AUTH.
    pub const NO_AUTH: Self = Self(4);
    /// It runs at once inside MULTI instead of being queued.
    pub const RUNS_IN_MULTI: Self = Self(8);
    /// Its cost doesn't grow with the data.
    pub const FAST: Self = Self(16);
    /// It is EXEC.
    pub const EXEC: Self = Self(32);
    /// It may need memory that it doesn't free.
    pub const DENY_OOM: Self = Self(64);
    /// It is about the server and not its data.
    pub const ADMIN: Self = Self(128);

    /// Both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any of `other` is set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Which arguments are keys: the first and the last (negative from the end), and the step
/// from one to the next. All 0 where none are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    /// Index of the first key.
    pub first: i32,
    /// Index of the last key.
    pub last: i32,
    /// From one to the next.
    pub step: i32,
}

const NO_KEYS: Keys = Keys {
    first: 0,
    last: 0,
    step: 0,
};
const ONE_KEY: Keys = Keys {
    first: 1,
    last: 1,
    step: 1,
};
const ALL_KEYS: Keys = Keys {
    first: 1,
    last: -1,
    step: 1,
};
const PAIRS: Keys = Keys {
    first: 1,
    last: -1,
    step: 2,
};

/// A function that carries a command out.
pub type Run = fn(&mut Context<'_, '_>, &[&[u8]]) -> CommandResult;

/// One command, or one subcommand.
#[derive(Debug)]
pub struct Command {
    /// In lower case; of a subcommand only its own word.
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
    /// What it costs.
    pub complexity: &'static str,
    /// What carries it out; of a container, what answers an unknown subcommand.
    pub run: Run,
    /// Subcommands, if it is a container.
    pub subcommands: &'static [Command],
}

impl Command {
    /// Whether so many arguments, its name included, are right.
    fn takes(&self, count: usize) -> bool {
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        if self.arity >= 0 {
            count == self.arity
        } else {
            count >= -self.arity
        }
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
        name,
        arity,
        flags,
        keys,
        group,
        since,
        summary,
        complexity,
        run,
        subcommands: &[],
    }
}

const RF: Flags = Flags::READ.and(Flags::FAST);
const W: Flags = Flags::WRITE;
const WF: Flags = Flags::WRITE.and(Flags::FAST);
const WM: Flags = Flags::WRITE.and(Flags::DENY_OOM);
const WFM: Flags = WF.and(Flags::DENY_OOM);
const F: Flags = Flags::FAST;
const NOW: Flags = Flags::FAST.and(Flags::RUNS_IN_MULTI);
const OPEN: Flags = Flags::FAST.and(Flags::NO_AUTH);

#[rustfmt::skip] // One row, one command.
static COMMANDS: &[Command] = &[
    row("get", 2, RF, ONE_KEY, "string", "1.0.0", "O(1)", "Get the value of a key", strings::get),
    row("set", -3, WM, ONE_KEY, "string", "1.0.0", "O(1)", "Set the string value of a key", strings::set),
    row("mget", -2, RF, ALL_KEYS, "string", "1.0.0", "O(N) where N is the number of keys to retrieve.", "Get the values of all the given keys", strings::mget),
    row("mset", -3, WM, PAIRS, "string", "1.0.1", "O(N) where N is the number of keys to set.", "Set multiple keys to multiple values", strings::mset),
    row("incr", 2, WFM, ONE_KEY, "string", "1.0.0", "O(1)", "Increment the integer value of a key by one", strings::incr),
    row("decr", 2, WFM, ONE_KEY, "string", "1.0.0", "O(1)", "Decrement the integer value of a key by one", strings::decr),
    row("incrby", 3, WFM, ONE_KEY, "string", "1.0.0", "O(1)", "Increment the integer value of a key by the given amount", strings::incrby),
    row("decrby", 3, WFM, ONE_KEY, "string", "1.0.0", "O(1)", "Decrement the integer value of a key by the given number", strings::decrby),
    row("del", -2, W, ALL_KEYS, "generic", "1.0.0", "O(N) where N is the number of keys that will be removed.", "Delete a key", keys::del),
    row("unlink", -2, WF, ALL_KEYS, "generic", "4.0.0", "O(1) for each key removed.", "Delete a key asynchronously in another thread. Otherwise it is just as DEL, but non blocking.", keys::del),
    row("exists", -2, RF, ALL_KEYS, "generic", "1.0.0", "O(N) where N is the number of keys to check.", "Determine if a key exists", keys::exists),
    row("type", 2, RF, ONE_KEY, "generic", "1.0.0", "O(1)", "Determine the type stored at key", keys::type_of),
    row("expire", -3, WF, ONE_KEY, "generic", "1.0.0", "O(1)", "Set a key's time to live in seconds", expiry::expire),
    row("pexpire", -3, WF, ONE_KEY, "generic", "2.6.0", "O(1)", "Set a key's time to live in milliseconds", expiry::pexpire),
    row("expireat", -3, WF, ONE_KEY, "generic", "1.2.0", "O(1)", "Set the expiration for a key as a UNIX timestamp", expiry::expireat),
    row("pexpireat", -3, WF, ONE_KEY, "generic", "2.6.0", "O(1)", "Set the expiration for a key as a UNIX timestamp specified in milliseconds", expiry::pexpireat),
    row("persist", 2, WF, ONE_KEY, "generic", "2.2.0", "O(1)", "Remove the expiration from a key", expiry::persist),
    row("ttl", 2, RF, ONE_KEY, "generic", "1.0.0", "O(1)", "Get the time to live for a key in seconds", expiry::ttl),
    row("pttl", 2, RF, ONE_KEY, "generic", "2.6.0", "O(1)", "Get the time to live for a key in milliseconds", expiry::pttl),
    row("expiretime", 2, RF, ONE_KEY, "generic", "7.0.0", "O(1)", "Get the expiration Unix timestamp for a key", expiry::expiretime),
    row("pexpiretime", 2, RF, ONE_KEY, "generic", "7.0.0", "O(1)", "Get the expiration Unix timestamp for a key in milliseconds", expiry::pexpiretime),
    row("dbsize", 1, RF, NO_KEYS, "server", "1.0.0", "O(1)", "Return the number of keys in the selected database", keys::dbsize),
    row("flushdb", -1, W, NO_KEYS, "server", "1.0.0", "O(1) for the answer; the memory of N keys is freed at the commit.", "Remove all keys from the current database", keys::flushdb),
    row("flushall", -1, W, NO_KEYS, "server", "1.0.0", "O(1) for the answer; the memory of N keys is freed at the commit.", "Remove all keys from all databases", keys::flushall),
    row("multi", 1, NOW, NO_KEYS, "transactions", "1.2.0", "O(1)", "Mark the start of a transaction block", transactions::multi),
    row("exec", 1, Flags::RUNS_IN_MULTI.and(Flags::EXEC), NO_KEYS, "transactions", "1.2.0", "Depends on commands in the transaction", "Execute all commands issued after MULTI", transactions::exec),
    row("discard", 1, NOW, NO_KEYS, "transactions", "2.0.0", "O(N), when N is the number of queued commands", "Discard all commands issued after MULTI", transactions::discard),
    row("watch", -2, NOW, ALL_KEYS, "transactions", "2.2.0", "O(1) for every key.", "Watch the given keys to determine execution of the MULTI/EXEC block", transactions::watch),
    row("unwatch", 1, F, NO_KEYS, "transactions", "2.2.0", "O(1)", "Forget about all watched keys", transactions::unwatch),
    row("ping", -1, F, NO_KEYS, "connection", "1.0.0", "O(1)", "Ping the server", connection::ping),
    row("echo", 2, F, NO_KEYS, "connection", "1.0.0", "O(1)", "Echo the given string", connection::echo),
    row("select", 2, F, NO_KEYS, "connection", "1.0.0", "O(1)", "Change the selected database for the current connection", connection::select),
    row("auth", -2, OPEN, NO_KEYS, "connection", "1.0.0", "O(N) where N is the number of passwords defined for the user", "Authenticate to the server", connection::auth),
    row("hello", -1, OPEN, NO_KEYS, "connection", "6.0.0", "O(1)", "Handshake with Redis", connection::hello),
    row("quit", -1, OPEN.and(Flags::RUNS_IN_MULTI), NO_KEYS, "connection", "1.0.0", "O(1)", "Close the connection", connection::quit),
    row("reset", 1, OPEN.and(Flags::RUNS_IN_MULTI), NO_KEYS, "connection", "6.2.0", "O(1)", "Reset the connection", connection::reset),
];

/// Longer names than this are no commands.
const NAME_BYTES_MAX: usize = 32;

static BY_NAME: LazyLock<HashMap<&'static [u8], &'static Command, foldhash::fast::FixedState>> =
    LazyLock::new(|| {
        COMMANDS
            .iter()
            .map(|command| (command.name.as_bytes(), command))
            .collect()
    });

/// All commands.
pub fn all() -> &'static [Command] {
    COMMANDS
}

/// A command (not a subcommand) by its name in any case.
pub fn by_name(name: &[u8]) -> Option<&'static Command> {
    let mut lower = [0; NAME_BYTES_MAX];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    BY_NAME.get(&*lower).copied()
}

/// The command or subcommand that a request asks for, with the right number of
/// arguments; or the error that Redis gives.
pub fn find(args: &[&[u8]]) -> Result<&'static Command, Reply> {
    let Some(command) = args.first().and_then(|name| by_name(name)) else {
        return Err(unknown_command(args));
    };
    if !command.subcommands.is_empty()
        && let Some(word) = args.get(1)
    {
        let of_word = |sub: &&Command| sub.name.as_bytes().eq_ignore_ascii_case(word);
        return match command.subcommands.iter().find(of_word) {
            Some(sub) if sub.takes(args.len()) => Ok(sub),
            Some(sub) => Err(wrong_arity(&format!("{}|{}", command.name, sub.name))),
            None => Err(unknown_subcommand(command.name, word)),
        };
    }
    if command.takes(args.len()) {
        Ok(command)
    } else {
        Err(wrong_arity(command.name))
    }
}

fn wrong_arity(name: &str) -> Reply {
    super::parse::wrong_arity(name)
}

/// Longer words are cut in errors, so that these stay short.
const SHOWN_BYTES_MAX: usize = 128;

fn shown(word: &[u8]) -> String {
    String::from_utf8_lossy(&word[..word.len().min(SHOWN_BYTES_MAX)]).into_owned()
}

fn unknown_command(args: &[&[u8]]) -> Reply {
    let mut beginning = String::new();
    for arg in args.iter().skip(1) {
        if beginning.len() >= SHOWN_BYTES_MAX {
            break;
        }
        let left = SHOWN_BYTES_MAX - beginning.len();
        let arg = &arg[..arg.len().min(left)];
        beginning.push_str(&format!("'{}' ", String::from_utf8_lossy(arg)));
    }
    let name = args.first().map_or(String::new(), |name| shown(name));
    Reply::error(format!(
        "ERR unknown command '{name}', with args beginning with: {beginning}"
    ))
}

fn unknown_subcommand(container: &str, word: &[u8]) -> Reply {
    let container = container.to_ascii_uppercase();
    Reply::error(format!(
        "ERR unknown subcommand '{}'. Try {container} HELP.",
        shown(word)
    ))
}
