//! The categories of commands.

use crate::command::table;
use std::sync::LazyLock;

/// Those of Redis, in its order. Some are empty here.
#[rustfmt::skip] // As many as fit into a line.
const NAMES: [&str; 21] = [
    "keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap",
    "hyperloglog", "geo", "stream", "pubsub", "admin", "fast", "slow", "blocking", "dangerous",
    "connection", "transaction", "scripting",
];

/// A category.
#[derive(Debug)]
pub(super) struct Category {
    pub(super) name: &'static str,
    /// The numbers of the commands and subcommands that belong to it.
    pub(super) members: Vec<u16>,
    /// And those of all subcommands of the containers that do, which are allowed and
    /// forbidden with it.
    pub(super) reach: Vec<u16>,
}

static CATEGORIES: LazyLock<Vec<Category>> = LazyLock::new(|| {
    let of_name = |name: &'static str| {
        let belongs = |command: &&'static table::Command| {
            command.flags.categories().any(|category| category == name)
        };
        let members = table::with_subcommands().filter(belongs).map(|command| command.number);
        let containers = table::all().iter().filter(|command| belongs(command));
        let below = containers.flat_map(|command| command.subcommands);
        let mut reach: Vec<u16> = below.map(|command| command.number).collect();
        let members: Vec<u16> = members.collect();
        reach.extend(&members);
        Category { name, members, reach }
    };
    NAMES.into_iter().map(of_name).collect()
});

/// All categories.
pub(super) fn all() -> &'static [Category] {
    &CATEGORIES
}

/// A category by its name in any case.
pub(super) fn find(name: &[u8]) -> Option<&'static Category> {
    all().iter().find(|category| category.name.as_bytes().eq_ignore_ascii_case(name))
}
