//! The rows of subcommands, by their container.

use super::arguments as args;
use super::{Command, Flags, Keys, row};
use crate::command::{absent, acl, client, config, help, introspection, latency, object, slowlog};

const NO_KEYS: Keys = Keys::NONE;
const ANY_TIME: Flags = Flags::LOADING.and(Flags::STALE);
const CONTROL: Flags = ANY_TIME.and(Flags::NO_SCRIPT);
const ADMIN: Flags = CONTROL.and(Flags::ADMIN);
const HELP: &str = "Show helpful text about the different subcommands";

const SELF: Flags = CONTROL.and(Flags::CONNECTION);
const OTHERS: Flags = ADMIN.and(Flags::CONNECTION);
const ABOUT: Flags = ANY_TIME.and(Flags::CONNECTION);
const SCRIPTS: Flags = Flags::NO_SCRIPT.and(Flags::SCRIPTING);

const VARIES: &[&str] = &["nondeterministic_output"];
const ORDER_VARIES: &[&str] = &["nondeterministic_output_order"];
const SHARDS_ALL: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];
const SHARDS_AND: &[&str] = &["request_policy:all_shards", "response_policy:agg_logical_and"];
const NODES_VARY: &[&str] = &["request_policy:all_nodes", "nondeterministic_output"];
const NODES_SUM: &[&str] =
    &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"];
const NODES_ALL: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

#[rustfmt::skip] // One row, one command.
pub(super) static CLIENT: &[Command] = &[
    row("client|getname", 2, SELF, NO_KEYS, "connection", "2.6.9", "O(1)", "Get the current connection name", client::getname),
    row("client|getredir", 2, SELF, NO_KEYS, "connection", "6.0.0", "O(1)", "Get tracking notifications redirection client ID if any", client::getredir),
    row("client|help", 2, ABOUT, NO_KEYS, "connection", "5.0.0", "O(1)", HELP, help::client),
    row("client|id", 2, SELF, NO_KEYS, "connection", "5.0.0", "O(1)", "Returns the client ID for the current connection", client::id),
    row("client|info", 2, SELF, NO_KEYS, "connection", "6.2.0", "O(1)", "Returns information about the current client connection.", client::info).tips(VARIES),
    row("client|kill", -3, OTHERS, NO_KEYS, "connection", "2.4.0", "O(N) where N is the number of client connections", "Kill the connection of a client", client::kill).args(args::CLIENT_KILL),
    row("client|list", -2, OTHERS, NO_KEYS, "connection", "2.4.0", "O(N) where N is the number of client connections", "Get the list of client connections", client::list).args(args::CLIENT_LIST).tips(VARIES),
    row("client|no-evict", 3, OTHERS, NO_KEYS, "connection", "7.0.0", "O(1)", "Set client eviction mode for the current connection", client::no_evict).args(args::ENABLED),
    row("client|no-touch", 3, SELF, NO_KEYS, "connection", "7.2.0", "O(1)", "Controls whether commands sent by the client affect the LRU/LFU of accessed keys.", client::no_touch).args(args::ENABLED),
    row("client|reply", 3, SELF, NO_KEYS, "connection", "3.2.0", "O(1)", "Instruct the server whether to reply to commands", client::reply).args(args::CLIENT_REPLY),
    row("client|setinfo", 4, SELF, NO_KEYS, "connection", "7.2.0", "O(1)", "Sets information specific to the client or connection.", client::setinfo).args(args::CLIENT_SETINFO),
    row("client|setname", 3, SELF, NO_KEYS, "connection", "2.6.9", "O(1)", "Set the current connection name", client::setname).args(args::CLIENT_SETNAME),
    row("client|trackinginfo", 2, SELF, NO_KEYS, "connection", "6.2.0", "O(1)", "Return information about server assisted client side caching for the current connection", client::trackinginfo),
];

#[rustfmt::skip] // One row, one command.
pub(super) static CONFIG: &[Command] = &[
    row("config|get", -3, ADMIN, NO_KEYS, "server", "2.0.0", "O(N) when N is the number of configuration parameters provided", "Get the values of configuration parameters", config::get).args(args::CONFIG_GET),
    row("config|help", 2, ANY_TIME, NO_KEYS, "server", "5.0.0", "O(1)", HELP, help::config),
    row("config|resetstat", 2, ADMIN, NO_KEYS, "server", "2.0.0", "O(1)", "Reset the stats returned by INFO", config::resetstat),
    row("config|rewrite", 2, ADMIN, NO_KEYS, "server", "2.8.0", "O(1)", "Rewrite the configuration file with the in memory configuration", config::rewrite),
    row("config|set", -4, ADMIN, NO_KEYS, "server", "2.0.0", "O(N) when N is the number of configuration parameters provided", "Set configuration parameters to the given values", config::set).args(args::CONFIG_SET).tips(NODES_ALL),
];

#[rustfmt::skip] // One row, one command.
pub(super) static COMMAND: &[Command] = &[
    row("command|count", 2, ABOUT, NO_KEYS, "server", "2.8.13", "O(1)", "Get total number of Redis commands", introspection::count),
    row("command|docs", -2, ABOUT, NO_KEYS, "server", "7.0.0", "O(N) where N is the number of commands to look up", "Get array of specific Redis command documentation", introspection::docs).args(args::COMMAND_NAMES).tips(ORDER_VARIES),
    row("command|getkeys", -4, ABOUT, NO_KEYS, "server", "2.8.13", "O(N) where N is the number of arguments to the command", "Extract keys given a full Redis command", introspection::getkeys),
    row("command|getkeysandflags", -4, ABOUT, NO_KEYS, "server", "7.0.0", "O(N) where N is the number of arguments to the command", "Extract keys and access flags given a full Redis command", introspection::getkeysandflags),
    row("command|help", 2, ABOUT, NO_KEYS, "server", "5.0.0", "O(1)", HELP, help::command),
    row("command|info", -2, ABOUT, NO_KEYS, "server", "2.8.13", "O(N) where N is the number of commands to look up", "Get array of specific Redis command details, or all when no argument is given.", introspection::info).args(args::COMMAND_NAMES).tips(ORDER_VARIES),
    row("command|list", -2, ABOUT, NO_KEYS, "server", "7.0.0", "O(N) where N is the total number of Redis commands", "Get an array of Redis command names", introspection::list).args(args::COMMAND_LIST).tips(ORDER_VARIES),
];

const LOOK_BACK: Flags = ANY_TIME.and(Flags::ADMIN);

#[rustfmt::skip] // One row, one command.
pub(super) static SLOWLOG: &[Command] = &[
    row("slowlog|get", -2, LOOK_BACK, NO_KEYS, "server", "2.2.12", "O(N) where N is the number of entries returned", "Get the slow log's entries", slowlog::get).args(args::OPTIONAL_COUNT).tips(NODES_VARY),
    row("slowlog|help", 2, ANY_TIME, NO_KEYS, "server", "6.2.0", "O(1)", HELP, help::slowlog),
    row("slowlog|len", 2, LOOK_BACK, NO_KEYS, "server", "2.2.12", "O(1)", "Get the slow log's length", slowlog::len).tips(NODES_SUM),
    row("slowlog|reset", 2, LOOK_BACK, NO_KEYS, "server", "2.2.12", "O(N) where N is the number of entries in the slowlog", "Clear all entries from the slow log", slowlog::reset).tips(NODES_ALL),
];

#[rustfmt::skip] // One row, one command.
pub(super) static MODULE: &[Command] = &[
    row("module|list", 2, Flags::ADMIN.and(Flags::NO_SCRIPT), NO_KEYS, "server", "4.0.0", "O(N) where N is the number of loaded modules.", "List all modules loaded by the server", absent::empty_array).tips(ORDER_VARIES),
];

const KEYSPACE_READ: Flags = Flags::READ.and(Flags::KEYSPACE);
const SECOND: Keys = Keys::at(2, 2, 1, &["RO"]);
const NODES_SPECIAL: &[&str] =
    &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"];

#[rustfmt::skip] // One row, one command.
pub(super) static OBJECT: &[Command] = &[
    row("object|encoding", 3, KEYSPACE_READ, SECOND, "generic", "2.2.3", "O(1)", "Inspect the internal encoding of a Redis object", object::encoding).args(args::KEY).tips(VARIES),
    row("object|freq", 3, KEYSPACE_READ, SECOND, "generic", "4.0.0", "O(1)", "Get the logarithmic access frequency counter of a Redis object", object::freq).args(args::KEY).tips(VARIES),
    row("object|help", 2, ANY_TIME.and(Flags::KEYSPACE), NO_KEYS, "generic", "6.2.0", "O(1)", HELP, help::object),
    row("object|idletime", 3, KEYSPACE_READ, SECOND, "generic", "2.2.3", "O(1)", "Get the time since a Redis object was last accessed", object::idletime).args(args::KEY).tips(VARIES),
    row("object|refcount", 3, KEYSPACE_READ, SECOND, "generic", "2.2.3", "O(1)", "Get the number of references to the value of the key", object::refcount).args(args::KEY).tips(VARIES),
];

#[rustfmt::skip] // One row, one command.
pub(super) static MEMORY: &[Command] = &[
    row("memory|help", 2, ANY_TIME, NO_KEYS, "server", "4.0.0", "O(1)", HELP, help::memory),
    row("memory|usage", -3, Flags::READ, SECOND, "server", "4.0.0", "O(N) where N is the number of samples.", "Estimate the memory usage of a key", object::memory_usage).args(args::MEMORY_USAGE),
];

#[rustfmt::skip] // One row, one command.
pub(super) static LATENCY: &[Command] = &[
    row("latency|doctor", 2, ADMIN, NO_KEYS, "server", "2.8.13", "O(1)", "Return a human readable latency analysis report.", latency::doctor).tips(NODES_SPECIAL),
    row("latency|help", 2, ANY_TIME, NO_KEYS, "server", "2.8.13", "O(1)", "Show helpful text about the different subcommands.", help::latency),
    row("latency|history", 3, ADMIN, NO_KEYS, "server", "2.8.13", "O(1)", "Return timestamp-latency samples for the event.", latency::no_samples).args(args::EVENT).tips(NODES_SPECIAL),
    row("latency|latest", 2, ADMIN, NO_KEYS, "server", "2.8.13", "O(1)", "Return the latest latency samples for all events.", latency::no_samples).tips(NODES_SPECIAL),
    row("latency|reset", -2, ADMIN, NO_KEYS, "server", "2.8.13", "O(1)", "Reset latency data for one or more events.", latency::reset).args(args::EVENTS).tips(NODES_ALL),
];

#[rustfmt::skip] // One row, one command.
pub(super) static ACL: &[Command] = &[
    row("acl|cat", -2, CONTROL, NO_KEYS, "server", "6.0.0", "O(1) since the categories and commands are a fixed set.", "List the ACL categories or the commands inside a category", acl::cat).args(args::ACL_CAT),
    row("acl|deluser", -3, ADMIN, NO_KEYS, "server", "6.0.0", "O(1) amortized time considering the typical user.", "Remove the specified ACL users and the associated rules", acl::deluser).args(args::USERNAMES),
    row("acl|dryrun", -4, ADMIN, NO_KEYS, "server", "7.0.0", "O(1).", "Returns whether the user can execute the given command without executing the command.", acl::dryrun).args(args::ACL_DRYRUN),
    row("acl|genpass", -2, CONTROL, NO_KEYS, "server", "6.0.0", "O(1)", "Generate a pseudorandom secure password to use for ACL users", acl::genpass).args(args::ACL_GENPASS),
    row("acl|getuser", 3, ADMIN, NO_KEYS, "server", "6.0.0", "O(N). Where N is the number of password, command and pattern rules that the user has.", "Get the rules for a specific ACL user", acl::getuser).args(args::USERNAME),
    row("acl|help", 2, ANY_TIME, NO_KEYS, "server", "6.0.0", "O(1)", HELP, help::acl),
    row("acl|list", 2, ADMIN, NO_KEYS, "server", "6.0.0", "O(N). Where N is the number of configured users.", "List the current ACL rules in ACL config file format", acl::list),
    row("acl|load", 2, ADMIN, NO_KEYS, "server", "6.0.0", "O(N). Where N is the number of configured users.", "Reload the ACLs from the configured ACL file", acl::load),
    row("acl|log", -2, ADMIN, NO_KEYS, "server", "6.0.0", "O(N) with N being the number of entries shown.", "List latest events denied because of ACLs in place", acl::log).args(args::ACL_LOG),
    row("acl|save", 2, ADMIN, NO_KEYS, "server", "6.0.0", "O(N). Where N is the number of configured users.", "Save the current ACL rules in the configured ACL file", acl::save),
    row("acl|setuser", -3, ADMIN, NO_KEYS, "server", "6.0.0", "O(N). Where N is the number of rules provided.", "Modify or create the rules for a specific ACL user", acl::setuser).args(args::ACL_SETUSER),
    row("acl|users", 2, ADMIN, NO_KEYS, "server", "6.0.0", "O(N). Where N is the number of configured users.", "List the username of all the configured ACL rules", acl::users),
    row("acl|whoami", 2, CONTROL, NO_KEYS, "server", "6.0.0", "O(1)", "Return the name of the user associated to the current connection", acl::whoami),
];

#[rustfmt::skip] // One row, one command.
pub(super) static FUNCTION: &[Command] = &[
    row("function|flush", -2, SCRIPTS.and(Flags::WRITE), NO_KEYS, "scripting", "7.0.0", "O(N) where N is the number of functions deleted", "Deleting all functions", absent::function_flush).args(args::FUNCTION_FLUSH).tips(SHARDS_ALL),
    row("function|list", -2, SCRIPTS, NO_KEYS, "scripting", "7.0.0", "O(N) where N is the number of functions", "List information about all the functions", absent::function_list).args(args::FUNCTION_LIST).tips(ORDER_VARIES),
];

#[rustfmt::skip] // One row, one command.
pub(super) static SCRIPT: &[Command] = &[
    row("script|exists", -3, SCRIPTS, NO_KEYS, "scripting", "2.6.0", "O(N) with N being the number of scripts to check (so checking a single script is an O(1) operation).", "Check existence of scripts in the script cache.", absent::script_exists).args(args::SHA1S).tips(SHARDS_AND),
    row("script|flush", -2, SCRIPTS, NO_KEYS, "scripting", "2.6.0", "O(N) with N being the number of scripts in cache", "Remove all the scripts from the script cache.", absent::script_flush).args(args::SCRIPT_FLUSH).tips(NODES_ALL),
];
