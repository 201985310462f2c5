//! What HELP answers: one line for each status reply.

use super::{CommandResult, Context};
use crate::resp::Reply;

/// CLIENT HELP
pub(super) fn client(_: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    help(
        "CLIENT",
        &[
            "GETREDIR",
            "    Return the client ID we are redirecting to when tracking is enabled.",
            "GETNAME",
            "    Return the name of the current connection.",
            "ID",
            "    Return the ID of the current connection.",
            "INFO",
            "    Return information about the current client connection.",
            "KILL <ip:port>",
            "    Kill connection made from <ip:port>.",
            "KILL <option> <value> [<option> <value> [...]]",
            "    Kill connections. Options are:",
            "    * ADDR <ip:port>",
            "      Kill connections made from the specified address",
            "    * LADDR <ip:port>",
            "      Kill connections made to specified local address",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "      Kill connections by type.",
            "    * USER <username>",
            "      Kill connections authenticated by <username>.",
            "    * SKIPME (YES|NO)",
            "      Skip killing current connection (default: yes).",
            "    * ID <client-id>",
            "      Kill connections by client id.",
            "    * MAXAGE <maxage>",
            "      Kill connections older than the specified age in seconds.",
            "LIST [options ...]",
            "    Return information about client connections. Options:",
            "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
            "      Return clients of specified type.",
            "    * ID <client-id> [<client-id> ...]",
            "      Return clients of the specified ids.",
            "REPLY (ON|OFF|SKIP)",
            "    Control the replies sent to the current connection.",
            "SETINFO (LIB-NAME|LIB-VER) <value>",
            "    Tell the name or the version of the client library.",
            "SETNAME <name>",
            "    Assign the name <name> to the current connection.",
            "TRACKINGINFO",
            "    Report tracking status for the current connection.",
            "NO-EVICT (ON|OFF)",
            "    Protect current client connection from eviction.",
            "NO-TOUCH (ON|OFF)",
            "    Accepted: no key's age is kept.",
        ],
    )
}

/// CONFIG HELP
pub(super) fn config(_: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    help(
        "CONFIG",
        &[
            "GET <pattern>",
            "    Return parameters matching the glob-like <pattern> and their values.",
            "SET <directive> <value>",
            "    Set the configuration <directive> to <value>.",
            "RESETSTAT",
            "    Reset statistics reported by the INFO command.",
            "REWRITE",
            "    Rewrite the configuration file.",
        ],
    )
}

/// COMMAND HELP
pub(super) fn command(_: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    help(
        "COMMAND",
        &[
            "(no subcommand)",
            "    Return details about all Redis commands.",
            "COUNT",
            "    Return the total number of commands in this Redis server.",
            "LIST",
            "    Return a list of all commands in this Redis server.",
            "INFO [<command-name> ...]",
            "    Return details about multiple Redis commands.",
            "    If no command names are given, documentation details for all",
            "    commands are returned.",
            "DOCS [<command-name> ...]",
            "    Return documentation details about multiple Redis commands.",
            "    If no command names are given, documentation details for all",
            "    commands are returned.",
            "GETKEYS <full-command>",
            "    Return the keys from a full Redis command.",
            "GETKEYSANDFLAGS <full-command>",
            "    Return the keys and the access flags from a full Redis command.",
        ],
    )
}

/// SLOWLOG HELP
pub(super) fn slowlog(_: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    help(
        "SLOWLOG",
        &[
            "GET [<count>]",
            "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
            "    Entries are made of:",
            "    id, timestamp, time in microseconds, arguments array, client IP and port,",
            "    client name",
            "LEN",
            "    Return the length of the slowlog.",
            "RESET",
            "    Reset the slowlog.",
        ],
    )
}

/// ACL HELP
pub(super) fn acl(_: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    help(
        "ACL",
        &[
            "CAT [<category>]",
            "    List all commands that belong to <category>, or all command categories",
            "    when no category is specified.",
            "DELUSER <username> [<username> ...]",
            "    Delete a list of users.",
            "DRYRUN <username> <command> [<arg> ...]",
            "    Returns whether the user can execute the given command without executing the command.",
            "GETUSER <username>",
            "    Get the user's details.",
            "GENPASS [<bits>]",
            "    Generate a secure 256-bit user password. The optional `bits` argument can",
            "    be used to specify a different size.",
            "LIST",
            "    Show users details in config file format.",
            "LOAD",
            "    Reload users from the ACL file.",
            "LOG [<count> | RESET]",
            "    Show the ACL log entries.",
            "SAVE",
            "    Save the current config to the ACL file.",
            "SETUSER <username> <attribute> [<attribute> ...]",
            "    Create or modify a user with the specified attributes.",
            "USERS",
            "    List all the registered usernames.",
            "WHOAMI",
            "    Return the current connection username.",
        ],
    )
}

/// OBJECT HELP
pub(super) fn object(_: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    help(
        "OBJECT",
        &[
            "ENCODING <key>",
            "    Return the kind of internal representation used in order to store the value",
            "    associated with a <key>.",
            "FREQ <key>",
            "    Return the access frequency index of the <key>. The returned integer is",
            "    proportional to the logarithm of the recent access frequency of the key.",
            "IDLETIME <key>",
            "    Return the idle time of the <key>, that is the approximated number of",
            "    seconds elapsed since the last access to the key.",
            "REFCOUNT <key>",
            "    Return the number of references of the value associated with the specified",
            "    <key>.",
        ],
    )
}

/// MEMORY HELP
pub(super) fn memory(_: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    help(
        "MEMORY",
        &[
            "USAGE <key> [SAMPLES <count>]",
            "    Return memory in bytes used by <key> and its value. Nested values are",
            "    sampled up to <count> times (default: 5, 0 means sample all).",
        ],
    )
}

/// LATENCY HELP
pub(super) fn latency(_: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    help(
        "LATENCY",
        &[
            "DOCTOR",
            "    Return a human readable latency analysis report.",
            "HISTORY <event>",
            "    Return time-latency samples for the <event> class.",
            "LATEST",
            "    Return the latest latency samples for all events.",
            "RESET [<event> ...]",
            "    Reset latency data of one or more <event> classes.",
            "    (default: reset all data for all event classes)",
        ],
    )
}

/// AFT.HELP
pub(super) fn aft(_: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    let lines = [
        "Transactions over many commands, connections and functions:",
        "AFT.BEGIN [REQUEST <id> [STEP <name> [AFTER <name>]] [RESUME]] [SERIALIZABLE] [TIMEOUT <ms>]",
        "    Begin one, and work in it. Returns its token, a state and a result.",
        "    A request commits once: `begun`, or `committed` with its result.",
        "    If an attempt is open it is dropped; with RESUME it goes on: `open`.",
        "    A step is a function of a request: `begun`, or `done` with its result.",
        "    Where nothing has begun commands are refused with NOTXN until AFT.LEAVE.",
        "AFT.JOIN <token>",
        "    Work in it on this connection, too.",
        "AFT.LEAVE",
        "    Work in no transaction on this connection; it stays open.",
        "AFT.DONE [<token>] [RESULT <bytes>]",
        "    End a step.",
        "AFT.COMMIT [<token>] [RESULT <bytes>]",
        "    All its writes happen, at one instant: returns the commit's id.",
        "    Repeating it returns the same. CONFLICT: nothing happened, begin again.",
        "AFT.ABORT [<token>]",
        "    Nothing of it happens.",
        "AFT.STATUS (<token> | REQUEST <id>)",
        "    What is known of it.",
        "AFT.LIST",
        "    All open transactions.",
        "CLIENT SETNAME aft:<token>, or AUTH <user>~<token> <password>",
        "    All that this connection does is done in it.",
        "AFT.HELP",
        "    Prints this help.",
    ];
    Ok(Reply::Array(lines.into_iter().map(Reply::simple).collect()))
}

fn help(container: &str, lines: &[&'static str]) -> CommandResult {
    let usage = format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    let lines = lines.iter().chain(&["HELP", "    Prints this help."]);
    let replies = std::iter::once(Reply::simple(usage));
    let lines = lines.map(|line| Reply::simple(*line));
    Ok(Reply::Array(replies.chain(lines).collect()))
}
