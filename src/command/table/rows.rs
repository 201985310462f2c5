//! The rows: one row, one command. Texts, flags, tips and arguments are those of Redis 7.0,
//! where it has the command.

use super::arguments as args;
use super::containers::{
    ACL, CLIENT, COMMAND, CONFIG, FUNCTION, LATENCY, MEMORY, MODULE, OBJECT, SCRIPT, SLOWLOG,
};
use super::{Command, Flags, Keys, container, row};
use crate::command::bits::{self, field};
use crate::command::strings::{self, exchange, float, lcs, ranges};
use crate::command::{
    absent, connection, expiry, help, info, interactive, introspection, keys, latency, monitor,
    moves, scan, transactions,
};

const STRING_READ: Flags = Flags::READ.and(Flags::FAST).and(Flags::STRING);
const STRING_WRITE: Flags = Flags::WRITE.and(Flags::DENY_OOM).and(Flags::STRING);
const STRING_CHANGE: Flags = STRING_WRITE.and(Flags::FAST);
const STRING_TAKE: Flags = Flags::WRITE.and(Flags::FAST).and(Flags::STRING);
const STRING_SCAN: Flags = Flags::READ.and(Flags::STRING);
const BIT_READ: Flags = Flags::READ.and(Flags::BITMAP);
const BIT_WRITE: Flags = Flags::WRITE.and(Flags::DENY_OOM).and(Flags::BITMAP);
const KEY_READ: Flags = Flags::READ.and(Flags::FAST).and(Flags::KEYSPACE);
const KEYSPACE_READ: Flags = Flags::READ.and(Flags::KEYSPACE);
const KEY_WRITE: Flags = Flags::WRITE.and(Flags::KEYSPACE);
const KEY_CHANGE: Flags = KEY_WRITE.and(Flags::FAST);
const FLUSH: Flags = KEY_WRITE.and(Flags::DANGEROUS);
const ANY_TIME: Flags = Flags::LOADING.and(Flags::STALE);
const FAST: Flags = ANY_TIME.and(Flags::FAST).and(Flags::CONNECTION);
const CONTROL: Flags = ANY_TIME.and(Flags::NO_SCRIPT);
const BUSY: Flags = CONTROL.and(Flags::FAST).and(Flags::ALLOW_BUSY);
const UNWATCH: Flags = BUSY.and(Flags::TRANSACTION);
const MULTI: Flags = UNWATCH.and(Flags::RUNS_IN_MULTI);
const EXEC: Flags = CONTROL
    .and(Flags::SKIP_SLOWLOG)
    .and(Flags::TRANSACTION)
    .and(Flags::RUNS_IN_MULTI)
    .and(Flags::EXEC);
const INTERACTIVE: Flags = CONTROL.and(Flags::FAST).and(Flags::TRANSACTION).and(Flags::NO_MULTI);
const COMMIT: Flags = INTERACTIVE.and(Flags::COMMIT);
const LOOK_AT_ALL: Flags = CONTROL.and(Flags::ADMIN).and(Flags::TRANSACTION).and(Flags::NO_MULTI);
const OPEN: Flags = BUSY.and(Flags::NO_AUTH).and(Flags::CONNECTION);
const LEAVE: Flags = OPEN.and(Flags::RUNS_IN_MULTI);

const READ: Keys = Keys::one(&["RO", "access"]);
const READ_ALL: Keys = Keys::all(&["RO", "access"]);
const LOOK: Keys = Keys::one(&["RO"]);
const LOOK_ALL: Keys = Keys::all(&["RO"]);
const SET: Keys = Keys::one(&["RW", "access", "update", "variable_flags"])
    .notes("RW and ACCESS due to the optional `GET` argument");
const CHANGE: Keys = Keys::one(&["RW", "access", "update"]);
const UPDATE: Keys = Keys::one(&["RW", "update"]);
const OVERWRITE: Keys = Keys::pairs(&["OW", "update"]);
const OVERWRITE_ONE: Keys = Keys::one(&["OW", "update"]);
const INSERT: Keys = Keys::one(&["OW", "insert"]);
const INSERT_PAIRS: Keys = Keys::pairs(&["OW", "insert"]);
const APPEND: Keys = Keys::one(&["RW", "insert"]);
const TAKE: Keys = Keys::one(&["RW", "access", "delete"]);
const READ_TWO: Keys = Keys::at(1, 2, 1, &["RO", "access"]);
const GETEX: Keys = CHANGE.notes("RW and UPDATE because it changes the TTL");
const BITFIELD: Keys = Keys::one(&["RW", "access", "update", "variable_flags"])
    .notes("This command allows both access and modification of the key");
const BITOP: Keys = Keys::at(2, -1, 1, &[])
    .parts(&[Keys::at(2, 2, 1, &["OW", "update"]), Keys::at(3, -1, 1, &["RO", "access"])]);
const REMOVE: Keys = Keys::all(&["RM", "delete"]);
const RENAMED: Keys = Keys::one(&["RW", "access", "delete"]);
const RENAME: Keys = Keys::at(1, 2, 1, &[]).parts(&[RENAMED, Keys::at(2, 2, 1, &["OW", "update"])]);
const RENAME_NX: Keys =
    Keys::at(1, 2, 1, &[]).parts(&[RENAMED, Keys::at(2, 2, 1, &["OW", "insert"])]);
const COPY: Keys = Keys::at(1, 2, 1, &[]).parts(&[READ, Keys::at(2, 2, 1, &["OW", "update"])]);
const NO_KEYS: Keys = Keys::NONE;

const BY_KEY: &[&str] = &["request_policy:multi_shard"];
const BY_KEY_ALL: &[&str] = &["request_policy:multi_shard", "response_policy:all_succeeded"];
const BY_KEY_SUM: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];
const BY_KEY_MIN: &[&str] = &["request_policy:multi_shard", "response_policy:agg_min"];
const SHARDS_ALL: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];
const SHARDS_SUM: &[&str] = &["request_policy:all_shards", "response_policy:agg_sum"];
const SHARDS_VARY: &[&str] =
    &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];
const SHARDS_ORDER: &[&str] = &["request_policy:all_shards", "nondeterministic_output_order"];
const SHARDS_RANDOM: &[&str] = &["request_policy:all_shards", "nondeterministic_output"];
const SHARDS_MIN: &[&str] = &["request_policy:all_shards", "response_policy:agg_min"];
const SPECIAL: &[&str] = &["nondeterministic_output", "request_policy:special"];
const VARIES: &[&str] = &["nondeterministic_output"];
const ORDER_VARIES: &[&str] = &["nondeterministic_output_order"];

const ALL_OF_IT: &str = "O(N) where N is the length of the value, all of which is written anew.";
const PART_OF_IT: &str = "O(N) where N is the length of the returned string. The complexity is ultimately determined by the returned length, but because creating a substring from an existing string is very cheap, it can be considered O(1) for small strings.";

#[rustfmt::skip] // One row, one command.
pub(super) static COMMANDS: &[Command] = &[
    row("get", 2, STRING_READ, READ, "string", "1.0.0", "O(1)", "Get the value of a key", strings::get).args(args::KEY),
    row("set", -3, STRING_WRITE, SET, "string", "1.0.0", "O(1)", "Set the string value of a key", strings::set).args(args::SET),
    row("mget", -2, STRING_READ, READ_ALL, "string", "1.0.0", "O(N) where N is the number of keys to retrieve.", "Get the values of all the given keys", strings::mget).args(args::KEYS).tips(BY_KEY),
    row("mset", -3, STRING_WRITE, OVERWRITE, "string", "1.0.1", "O(N) where N is the number of keys to set.", "Set multiple keys to multiple values", strings::mset).args(args::PAIRS).tips(BY_KEY_ALL),
    row("incr", 2, STRING_CHANGE, CHANGE, "string", "1.0.0", "O(1)", "Increment the integer value of a key by one", strings::incr).args(args::KEY),
    row("decr", 2, STRING_CHANGE, CHANGE, "string", "1.0.0", "O(1)", "Decrement the integer value of a key by one", strings::decr).args(args::KEY),
    row("incrby", 3, STRING_CHANGE, CHANGE, "string", "1.0.0", "O(1)", "Increment the integer value of a key by the given amount", strings::incrby).args(args::KEY_INCREMENT),
    row("decrby", 3, STRING_CHANGE, CHANGE, "string", "1.0.0", "O(1)", "Decrement the integer value of a key by the given number", strings::decrby).args(args::KEY_DECREMENT),

    row("msetnx", -3, STRING_WRITE, INSERT_PAIRS, "string", "1.0.1", "O(N) where N is the number of keys to set.", "Set multiple keys to multiple values, only if none of the keys exist", exchange::msetnx).args(args::PAIRS).tips(BY_KEY_MIN),
    row("setex", 4, STRING_WRITE, OVERWRITE_ONE, "string", "2.0.0", "O(1)", "Set the value and expiration of a key", exchange::setex).args(args::SETEX),
    row("psetex", 4, STRING_WRITE, OVERWRITE_ONE, "string", "2.6.0", "O(1)", "Set the value and expiration in milliseconds of a key", exchange::psetex).args(args::PSETEX),
    row("setnx", 3, STRING_CHANGE, INSERT, "string", "1.0.0", "O(1)", "Set the value of a key, only if the key does not exist", exchange::setnx).args(args::KEY_VALUE),
    row("getset", 3, STRING_CHANGE, CHANGE, "string", "1.0.0", "O(1)", "Set the string value of a key and return its old value", exchange::getset).args(args::KEY_VALUE).deprecated("6.2.0", "`SET` with the `!GET` argument"),
    row("getdel", 2, STRING_TAKE, TAKE, "string", "6.2.0", "O(1)", "Get the value of a key and delete the key", exchange::getdel).args(args::KEY),
    row("getex", -2, STRING_TAKE, GETEX, "string", "6.2.0", "O(1)", "Get the value of a key and optionally set its expiration", exchange::getex).args(args::GETEX),
    row("append", 3, STRING_CHANGE, APPEND, "string", "2.0.0", ALL_OF_IT, "Append a value to a key", ranges::append).args(args::KEY_VALUE),
    row("strlen", 2, STRING_READ, LOOK, "string", "2.2.0", "O(1)", "Get the length of the value stored in a key", ranges::strlen).args(args::KEY),
    row("getrange", 4, STRING_SCAN, READ, "string", "2.4.0", PART_OF_IT, "Get a substring of the string stored at a key", ranges::getrange).args(args::KEY_RANGE),
    row("substr", 4, STRING_SCAN, READ, "string", "1.0.0", PART_OF_IT, "Get a substring of the string stored at a key", ranges::getrange).args(args::KEY_RANGE).deprecated("2.0.0", "`GETRANGE`"),
    row("setrange", 4, STRING_WRITE, UPDATE, "string", "2.2.0", ALL_OF_IT, "Overwrite part of a string at key starting at the specified offset", ranges::setrange).args(args::SETRANGE),
    row("incrbyfloat", 3, STRING_CHANGE, CHANGE, "string", "2.6.0", "O(1)", "Increment the float value of a key by the given amount", float::incrbyfloat).args(args::INCRBYFLOAT),
    row("lcs", -3, STRING_SCAN, READ_TWO, "string", "7.0.0", "O(N*M) where N and M are the lengths of s1 and s2, respectively", "Find longest common substring", lcs::lcs).args(args::LCS),
    row("setbit", 4, BIT_WRITE, CHANGE, "bitmap", "2.2.0", ALL_OF_IT, "Sets or clears the bit at offset in the string value stored at key", bits::setbit).args(args::SETBIT),
    row("getbit", 3, BIT_READ.and(Flags::FAST), READ, "bitmap", "2.2.0", "O(1)", "Returns the bit value at offset in the string value stored at key", bits::getbit).args(args::GETBIT),
    row("bitcount", -2, BIT_READ, READ, "bitmap", "2.6.0", "O(N)", "Count set bits in a string", bits::bitcount).args(args::BITCOUNT),
    row("bitop", -4, BIT_WRITE, BITOP, "bitmap", "2.6.0", "O(N)", "Perform bitwise operations between strings", bits::operation::bitop).args(args::BITOP),
    row("bitpos", -3, BIT_READ, READ, "bitmap", "2.8.7", "O(N)", "Find first bit set or clear in a string", bits::bitpos).args(args::BITPOS),
    row("bitfield", -2, BIT_WRITE, BITFIELD, "bitmap", "3.2.0", ALL_OF_IT, "Perform arbitrary bitfield integer operations on strings", field::bitfield).args(args::BITFIELD),
    row("bitfield_ro", -2, BIT_READ.and(Flags::FAST), READ, "bitmap", "6.0.0", "O(1) for each subcommand specified", "Perform arbitrary bitfield integer operations on strings. Read-only variant of BITFIELD", field::bitfield_ro).args(args::BITFIELD_RO),

    row("del", -2, KEY_WRITE, REMOVE, "generic", "1.0.0", "O(N) where N is the number of keys that will be removed.", "Delete a key", keys::del).args(args::KEYS).tips(BY_KEY_SUM),
    row("unlink", -2, KEY_CHANGE, REMOVE, "generic", "4.0.0", "O(1) for each key removed.", "Delete a key asynchronously in another thread. Otherwise it is just as DEL, but non blocking.", keys::del).args(args::KEYS).tips(BY_KEY_SUM),
    row("exists", -2, KEY_READ, LOOK_ALL, "generic", "1.0.0", "O(N) where N is the number of keys to check.", "Determine if a key exists", keys::exists).args(args::KEYS).tips(BY_KEY_SUM),
    row("type", 2, KEY_READ, LOOK, "generic", "1.0.0", "O(1)", "Determine the type stored at key", keys::type_of).args(args::KEY),
    row("expire", -3, KEY_CHANGE, UPDATE, "generic", "1.0.0", "O(1)", "Set a key's time to live in seconds", expiry::expire).args(args::EXPIRE),
    row("pexpire", -3, KEY_CHANGE, UPDATE, "generic", "2.6.0", "O(1)", "Set a key's time to live in milliseconds", expiry::pexpire).args(args::PEXPIRE),
    row("expireat", -3, KEY_CHANGE, UPDATE, "generic", "1.2.0", "O(1)", "Set the expiration for a key as a UNIX timestamp", expiry::expireat).args(args::EXPIREAT),
    row("pexpireat", -3, KEY_CHANGE, UPDATE, "generic", "2.6.0", "O(1)", "Set the expiration for a key as a UNIX timestamp specified in milliseconds", expiry::pexpireat).args(args::PEXPIREAT),
    row("persist", 2, KEY_CHANGE, UPDATE, "generic", "2.2.0", "O(1)", "Remove the expiration from a key", expiry::persist).args(args::KEY),
    row("ttl", 2, KEY_READ, READ, "generic", "1.0.0", "O(1)", "Get the time to live for a key in seconds", expiry::ttl).args(args::KEY).tips(VARIES),
    row("pttl", 2, KEY_READ, READ, "generic", "2.6.0", "O(1)", "Get the time to live for a key in milliseconds", expiry::pttl).args(args::KEY).tips(VARIES),
    row("expiretime", 2, KEY_READ, READ, "generic", "7.0.0", "O(1)", "Get the expiration Unix timestamp for a key", expiry::expiretime).args(args::KEY),
    row("pexpiretime", 2, KEY_READ, READ, "generic", "7.0.0", "O(1)", "Get the expiration Unix timestamp for a key in milliseconds", expiry::pexpiretime).args(args::KEY),

    row("rename", 3, KEY_WRITE, RENAME, "generic", "1.0.0", "O(1)", "Rename a key", moves::rename).args(args::RENAME),
    row("renamenx", 3, KEY_CHANGE, RENAME_NX, "generic", "1.0.0", "O(1)", "Rename a key, only if the new key does not exist", moves::renamenx).args(args::RENAME),
    row("copy", -3, KEY_WRITE.and(Flags::DENY_OOM), COPY, "generic", "6.2.0", "O(N) worst case for collections, where N is the number of nested items. O(1) for string values.", "Copy a key", moves::copy).args(args::COPY),
    row("move", 3, KEY_CHANGE, CHANGE, "generic", "1.0.0", "O(1)", "Move a key to another database", moves::move_key).args(args::MOVE),
    row("swapdb", 3, FLUSH.and(Flags::FAST), NO_KEYS, "server", "4.0.0", "O(1)", "Swaps two Redis databases", moves::swapdb).args(args::SWAPDB),
    row("touch", -2, KEY_READ, LOOK_ALL, "generic", "3.2.1", "O(N) where N is the number of keys that will be touched.", "Alters the last access time of a key(s). Returns the number of existing keys specified.", keys::exists).args(args::KEYS).tips(BY_KEY_SUM),
    row("keys", 2, KEYSPACE_READ.and(Flags::DANGEROUS), NO_KEYS, "generic", "1.0.0", "O(N) with N being the number of keys in the database, under the assumption that the key names in the database and the given pattern have limited length.", "Find all keys matching the given pattern", scan::keys).args(args::PATTERN).tips(SHARDS_ORDER),
    row("scan", -2, KEYSPACE_READ, NO_KEYS, "generic", "2.8.0", "O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.", "Incrementally iterate the keys space", scan::scan).args(args::SCAN).tips(SPECIAL),
    row("randomkey", 1, KEYSPACE_READ, NO_KEYS, "generic", "1.0.0", "O(1)", "Return a random key from the keyspace", scan::randomkey).tips(SHARDS_RANDOM),
    container("object", "generic", "2.2.3", "A container for object introspection commands", OBJECT),
    row("wait", 3, Flags::NO_SCRIPT.and(Flags::CONNECTION), NO_KEYS, "generic", "3.0.0", "O(1)", "Wait for the synchronous replication of all the write commands sent in the context of the current connection", latency::wait).args(args::WAIT).tips(SHARDS_MIN),
    row("time", 1, ANY_TIME.and(Flags::FAST), NO_KEYS, "server", "2.6.0", "O(1)", "Return the current server time", latency::time).tips(VARIES),
    row("debug", -2, CONTROL.and(Flags::ADMIN), NO_KEYS, "server", "1.0.0", "Depends on subcommand.", "A container for debugging commands", latency::debug).system(),
    container("memory", "server", "4.0.0", "A container for memory diagnostics commands", MEMORY),
    container("latency", "server", "2.8.13", "A container for latency diagnostics commands", LATENCY),

    row("dbsize", 1, KEY_READ, NO_KEYS, "server", "1.0.0", "O(1)", "Return the number of keys in the selected database", keys::dbsize).tips(SHARDS_SUM),
    row("flushdb", -1, FLUSH, NO_KEYS, "server", "1.0.0", "O(1) for the answer; the memory of N keys is freed at the commit.", "Remove all keys from the current database", keys::flushdb).args(args::FLUSH).tips(SHARDS_ALL),
    row("flushall", -1, FLUSH, NO_KEYS, "server", "1.0.0", "O(1) for the answer; the memory of N keys is freed at the commit.", "Remove all keys from all databases", keys::flushall).args(args::FLUSH).tips(SHARDS_ALL),
    row("info", -1, ANY_TIME.and(Flags::DANGEROUS), NO_KEYS, "server", "1.0.0", "O(1)", "Get information and statistics about the server", info::info).args(args::SECTIONS).tips(SHARDS_VARY),
    container("config", "server", "2.0.0", "A container for server configuration commands", CONFIG),
    container("command", "server", "2.8.13", "Get array of Redis command details", COMMAND).alone(ANY_TIME.and(Flags::CONNECTION), "O(N) where N is the total number of Redis commands", introspection::command).tips(ORDER_VARIES),
    row("monitor", 1, CONTROL.and(Flags::ADMIN), NO_KEYS, "server", "1.0.0", "", "Listen for all requests received by the server in real time", monitor::monitor),
    container("slowlog", "server", "2.2.12", "A container for slow log commands", SLOWLOG),
    container("module", "server", "4.0.0", "A container for module commands", MODULE),
    container("acl", "server", "6.0.0", "A container for Access List Control commands ", ACL),

    row("multi", 1, MULTI, NO_KEYS, "transactions", "1.2.0", "O(1)", "Mark the start of a transaction block", transactions::multi),
    row("exec", 1, EXEC, NO_KEYS, "transactions", "1.2.0", "Depends on commands in the transaction", "Execute all commands issued after MULTI", transactions::exec),
    row("discard", 1, MULTI, NO_KEYS, "transactions", "2.0.0", "O(N), when N is the number of queued commands", "Discard all commands issued after MULTI", transactions::discard),
    row("watch", -2, MULTI, LOOK_ALL, "transactions", "2.2.0", "O(1) for every key.", "Watch the given keys to determine execution of the MULTI/EXEC block", transactions::watch).args(args::KEYS),
    row("unwatch", 1, UNWATCH, NO_KEYS, "transactions", "2.2.0", "O(1)", "Forget about all watched keys", transactions::unwatch),

    row("aft.begin", -1, INTERACTIVE, NO_KEYS, "transactions", "0.1.0", "O(1)", "Begin a transaction over many commands, connections and functions, or go on with that of a request", interactive::begin).args(args::AFT_BEGIN).tips(VARIES),
    row("aft.join", 2, INTERACTIVE, NO_KEYS, "transactions", "0.1.0", "O(1)", "Work in an open transaction on this connection, too", interactive::join).args(args::TOKEN),
    row("aft.leave", 1, INTERACTIVE, NO_KEYS, "transactions", "0.1.0", "O(1)", "Work in no transaction on this connection", interactive::leave),
    row("aft.done", -1, INTERACTIVE, NO_KEYS, "transactions", "0.1.0", "O(1)", "End a step of a request", interactive::done).args(args::AFT_ENDING),
    row("aft.commit", -1, COMMIT, NO_KEYS, "transactions", "0.1.0", "O(N) where N is the number of keys written or checked", "Make all writes of a transaction visible at one instant, or none", interactive::commit).args(args::AFT_ENDING).tips(VARIES),
    row("aft.abort", -1, INTERACTIVE, NO_KEYS, "transactions", "0.1.0", "O(N) where N is the number of keys written", "Drop a transaction and all its writes", interactive::abort).args(args::OPTIONAL_TOKEN),
    row("aft.status", -2, INTERACTIVE, NO_KEYS, "transactions", "0.1.0", "O(N) where N is the number of client connections", "What is known of a transaction or a request", interactive::status).args(args::AFT_STATUS).tips(VARIES),
    row("aft.list", 1, LOOK_AT_ALL, NO_KEYS, "transactions", "0.1.0", "O(N*M) where N is the number of open transactions and M that of client connections", "All open transactions", interactive::list).tips(VARIES),
    row("aft.help", 1, ANY_TIME, NO_KEYS, "transactions", "0.1.0", "O(1)", "Show helpful text about the commands of transactions", help::aft),

    row("ping", -1, Flags::FAST.and(Flags::CONNECTION), NO_KEYS, "connection", "1.0.0", "O(1)", "Ping the server", connection::ping).args(args::OPTIONAL_MESSAGE).tips(SHARDS_ALL),
    row("echo", 2, FAST, NO_KEYS, "connection", "1.0.0", "O(1)", "Echo the given string", connection::echo).args(args::MESSAGE),
    row("select", 2, FAST, NO_KEYS, "connection", "1.0.0", "O(1)", "Change the selected database for the current connection", connection::select).args(args::INDEX),
    row("auth", -2, OPEN, NO_KEYS, "connection", "1.0.0", "O(N) where N is the number of passwords defined for the user", "Authenticate to the server", connection::auth).args(args::AUTH),
    row("hello", -1, OPEN, NO_KEYS, "connection", "6.0.0", "O(1)", "Handshake with Redis", connection::hello).args(args::HELLO),
    row("quit", -1, LEAVE, NO_KEYS, "connection", "1.0.0", "O(1)", "Close the connection", connection::quit),
    row("reset", 1, LEAVE, NO_KEYS, "connection", "6.2.0", "O(1)", "Reset the connection", connection::reset),
    container("client", "connection", "2.4.0", "A container for client connection commands", CLIENT),

    row("asking", 1, Flags::FAST.and(Flags::CONNECTION), NO_KEYS, "cluster", "3.0.0", "O(1)", "Sent by cluster clients after an -ASK redirect", absent::no_cluster),
    row("readonly", 1, FAST, NO_KEYS, "cluster", "3.0.0", "O(1)", "Enables read queries for a connection to a cluster replica node", absent::no_cluster),
    row("readwrite", 1, FAST, NO_KEYS, "cluster", "3.0.0", "O(1)", "Disables read queries for a connection to a cluster replica node", absent::no_cluster),
    row("cluster", -2, Flags::NONE, NO_KEYS, "cluster", "3.0.0", "Depends on subcommand.", "A container for cluster commands", absent::no_cluster),
    container("function", "scripting", "7.0.0", "A container for function commands", FUNCTION),
    container("script", "scripting", "2.6.0", "A container for Lua scripts management commands", SCRIPT),
];
