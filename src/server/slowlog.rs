//! The slow log: the commands that took longest of late, for SLOWLOG.

use std::collections::VecDeque;
use std::time::Duration;

/// Of more arguments only the first ones are kept, and how many followed.
const ARGS_MAX: usize = 32;
/// Of a longer argument only the beginning is kept, and how many bytes followed.
const ARG_BYTES_MAX: usize = 128;

/// A command that took long.
#[derive(Debug, Clone)]
pub struct SlowCommand {
    /// Rising, never used again.
    pub id: u64,
    /// When it ran, in seconds since the Unix epoch.
    pub wall_s: u64,
    /// How long it took.
    pub took: Duration,
    /// Its arguments, cut.
    pub args: Vec<Vec<u8>>,
    /// Who sent it.
    pub address: String,
    /// The name that connection had given itself.
    pub name: Vec<u8>,
}

/// The newest slow commands.
#[derive(Debug, Default)]
pub struct Slowlog {
    newest_first: VecDeque<SlowCommand>,
    next_id: u64,
}

impl Slowlog {
    /// Keeps a command, and no more than `entries_max` in all.
    pub fn push(&mut self, mut command: SlowCommand, entries_max: u64) {
        command.id = self.next_id;
        self.next_id += 1;
        self.newest_first.push_front(command);
        self.trim(entries_max);
    }

    /// Forgets the oldest ones.
    pub fn trim(&mut self, entries_max: u64) {
        self.newest_first.truncate(usize::try_from(entries_max).unwrap_or(usize::MAX));
    }

    /// All that are kept, the newest first.
    pub fn newest_first(&self) -> &VecDeque<SlowCommand> {
        &self.newest_first
    }

    /// Forgets all; ids go on.
    pub fn clear(&mut self) {
        self.newest_first.clear();
    }
}

/// What is kept of a command's arguments.
pub fn cut(args: &[&[u8]]) -> Vec<Vec<u8>> {
    let shown = if args.len() > ARGS_MAX { ARGS_MAX - 1 } else { args.len() };
    let mut kept: Vec<Vec<u8>> = args[..shown].iter().map(|arg| cut_one(arg)).collect();
    if shown < args.len() {
        kept.push(format!("... ({} more arguments)", args.len() - shown).into_bytes());
    }
    kept
}

fn cut_one(arg: &[u8]) -> Vec<u8> {
    if arg.len() <= ARG_BYTES_MAX {
        return arg.to_vec();
    }
    let (start, rest) = arg.split_at(ARG_BYTES_MAX);
    [start, format!("... ({} more bytes)", rest.len()).as_bytes()].concat()
}
