//! When two replies to a request are the same: if their bytes are, but for what depends on
//! the time or on the server's identity. Those few replies are brought into a common form
//! first, by the list in [`common_form`]; what then differs must stand in `differences.rs`.

use crate::common::resp::Reply;
use crate::differences;
use crate::script::Request;
use aft::command::table;
use std::collections::BTreeSet;

/// What else a comparison depends on.
pub(crate) struct Circumstances<'a> {
    /// Between MULTI and EXEC: what EXEC will answer to.
    pub(crate) queue: &'a [Request],
    /// Why a transaction may be aborted by one server only.
    pub(crate) doubt: Option<&'static str>,
    /// The time of some key is over, and nobody may have noticed.
    pub(crate) expired: bool,
    /// SLOWLOG need not have the same entries.
    pub(crate) slowlog_differs: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Same,
    Different,
    /// They differ, may do so, and from now on the servers have different data.
    Parts,
}

pub(crate) fn verdict(
    request: &Request,
    theirs: &Reply,
    ours: &Reply,
    circumstances: &Circumstances<'_>,
) -> Verdict {
    let name = full_name(request);
    if name == "exec" {
        match (theirs, ours) {
            (Reply::Array(theirs), Reply::Array(ours)) if theirs.len() == ours.len() => {
                let queue = circumstances.queue;
                // What has run before in this EXEC stands there from its end on.
                let circumstances = &Circumstances { slowlog_differs: true, ..*circumstances };
                let greets = queue.iter().any(|request| request[0].is("hello"));
                let mut items = queue.iter().zip(theirs).zip(ours);
                let same = items.all(|((request, theirs), ours)| {
                    verdict(request, theirs, ours, circumstances) == Verdict::Same
                });
                // A HELLO changes the protocol for the rest of the array, or for all of it.
                return if same || greets { Verdict::Same } else { Verdict::Different };
            }
            (Reply::Array(_), nil) | (nil, Reply::Array(_))
                if nil.is_nil() && circumstances.doubt.is_some() =>
            {
                return Verdict::Parts;
            }
            _ => {}
        }
    }
    let same = theirs == ours
        || common_form(&name, request, theirs) == common_form(&name, request, ours)
        || (is_a_time(&name) && about_the_same_time(theirs, ours, tolerance(&name)))
        || (counts_what_is_over(&name) && circumstances.expired && is_a_number(theirs))
        || (shows_the_slowlog(&name) && circumstances.slowlog_differs && !theirs.is_error())
        || differences::is_meant(&name, request, theirs, ours);
    if same { Verdict::Same } else { Verdict::Different }
}

/// The command's name in the table, with its subcommand's; what isn't there as it was sent.
pub(crate) fn full_name(request: &Request) -> String {
    let args: Vec<&[u8]> = request.iter().map(|word| word.bytes()).collect();
    let sent = || String::from_utf8_lossy(args[0]).to_lowercase();
    table::asked_for(&args).map_or_else(sent, |command| command.name.to_owned())
}

fn is_a_time(name: &str) -> bool {
    ["ttl", "pttl", "expiretime", "pexpiretime"].contains(&name)
}

fn tolerance(name: &str) -> u64 {
    if name.starts_with('p') { 2000 } else { 2 }
}

/// Times count down while the test runs.
pub(crate) fn about_the_same_time(one: &Reply, other: &Reply, tolerance: u64) -> bool {
    match (one, other) {
        (Reply::Int(one), Reply::Int(other)) if *one > 0 && *other > 0 => {
            one.abs_diff(*other) <= tolerance
        }
        _ => one == other,
    }
}

/// Where Redis counts keys whose time is over, until somebody looks at them.
fn counts_what_is_over(name: &str) -> bool {
    ["dbsize", "memory|usage"].contains(&name)
}

fn shows_the_slowlog(name: &str) -> bool {
    ["slowlog|get", "slowlog|len"].contains(&name)
}

/// Whether it makes SLOWLOG differ for good inside EXEC, which notes what has run at its end.
pub(crate) fn changes_the_slowlog(request: &Request) -> bool {
    ["slowlog|reset", "config|set"].contains(&full_name(request).as_str())
}

fn is_a_number(reply: &Reply) -> bool {
    matches!(reply, Reply::Int(_))
}

/// SET with a time that is over leaves a key that counts until somebody looks at it.
pub(crate) fn sets_what_is_over(request: &Request) -> bool {
    let over = |pair: &[crate::script::Word]| {
        (pair[0].is("exat") || pair[0].is("pxat")) && pair[1].is("1")
    };
    request[0].is("set") && request.windows(2).any(over)
}

/// Whether a request is answered at once by the connection that it leaves as it is.
pub(crate) fn keeps_the_connection(request: &Request) -> bool {
    let name = full_name(request);
    let changing = [
        "multi",
        "exec",
        "discard",
        "reset",
        "quit",
        "hello",
        "auth",
        "monitor",
        "client|reply",
        "client|kill",
        "watch",
        "unwatch",
        "select",
    ];
    !changing.contains(&name.as_str()) && !is_foreign(request) && !name.starts_with("acl|")
}

/// Whether only one of the servers knows it, or it leads to a known difference in MULTI.
pub(crate) fn is_foreign(request: &Request) -> bool {
    let name = full_name(request);
    let container = table::asked_for(&[request[0].bytes()]);
    let unknown_word = container.is_some_and(|container| !container.subcommands.is_empty());
    NOT_IN_REDIS.contains(&name.as_str())
        || name == "client|reply"
        || (unknown_word && !name.contains('|') && request.len() > 1)
}

/// Of newer versions of Redis.
pub(crate) const NOT_IN_REDIS: &[&str] = &["client|no-touch", "client|setinfo"];

/// Why what has run may touch a watched key on one server and not on the other.
pub(crate) fn touches_perhaps(request: &Request, in_exec: bool) -> Option<&'static str> {
    match full_name(request).as_str() {
        "swapdb" => Some("| WATCH | SWAPDB touches"),
        "bitfield" => Some("| WATCH | a BITFIELD"),
        "flushall" | "flushdb" if in_exec => Some("| WATCH | any command"),
        _ => None,
    }
}

/// What of a reply depends neither on the time nor on who answers. The whole list of
/// replies that are not compared byte for byte.
fn common_form(name: &str, request: &Request, reply: &Reply) -> Reply {
    let asked = |at: usize| request.get(at).is_some();
    match (name, reply) {
        // Numbers of connections, times, and what chance has drawn.
        ("client|id", Reply::Int(_)) => Reply::Null,
        ("hello", _) => without(reply, &["id"]),
        ("time", Reply::Array(parts)) => Reply::Int(parts.len() as i64),
        ("randomkey", Reply::Bulk(_)) => Reply::bulk("some key"),
        ("acl|genpass", Reply::Bulk(drawn)) => Reply::Int(drawn.len() as i64),
        ("acl|log", Reply::Array(entries)) => {
            let entry = |entry| without(entry, &["age-seconds", "client-info"]);
            Reply::Array(entries.iter().map(entry).collect())
        }
        // Rules of single commands come in the order of a hash table, and only Redis has some.
        ("acl|list", Reply::Array(users)) => Reply::Array(users.iter().map(words).collect()),
        ("acl|getuser", _) if !reply.is_nil() => {
            let words = |(key, value)| pair((key, words(&value)));
            Reply::Array(pairs(reply).into_iter().map(words).collect())
        }
        // Without its number, its time, how long it took, and the address.
        ("slowlog|get", Reply::Array(entries)) => {
            let entry = |entry: &Reply| match entry {
                // A password in a HELLO or an AUTH is never shown by aft.
                Reply::Array(fields) if is_greeting(&fields[3]) => Reply::Null,
                Reply::Array(fields) if fields.len() == 6 => {
                    Reply::Array(vec![fields[3].clone(), fields[5].clone()])
                }
                other => other.clone(),
            };
            Reply::Array(entries.iter().map(entry).collect())
        }
        ("client|info" | "client|list", Reply::Bulk(text) | Reply::Verbatim(text)) => {
            Reply::bulk(connections(text))
        }
        ("info", Reply::Bulk(text) | Reply::Verbatim(text)) => Reply::bulk(titles(text)),
        // Sets, in the order of a hash table.
        ("keys", Reply::Array(keys)) => sorted(keys.clone()),
        ("config|get", _) => Reply::Array(pairs(reply).into_iter().map(pair).collect()),
        ("scan", Reply::Array(step)) if step.first() == Some(&Reply::bulk("0")) => {
            sorted(step.get(1).map(|keys| keys.items().to_vec()).unwrap_or_default())
        }
        // Lists of all commands: those that aft has.
        ("command", Reply::Array(commands)) => described(commands),
        ("command|info", Reply::Array(commands)) if !asked(2) => described(commands),
        ("command|info", Reply::Array(commands)) => {
            Reply::Array(commands.iter().map(description).collect())
        }
        ("command|docs", _) => docs(reply),
        ("command|list", Reply::Array(names)) => known(names),
        ("acl|cat", Reply::Array(names)) if asked(2) => known(names),
        _ => reply.clone(),
    }
}

/// Of an array, or a set.
fn items(reply: &Reply) -> &[Reply] {
    match reply {
        Reply::Array(items) | Reply::Set(items) => items,
        _ => &[],
    }
}

fn sorted(mut replies: Vec<Reply>) -> Reply {
    replies.sort_by_key(|reply| format!("{reply:?}"));
    Reply::Array(replies)
}

fn names_a_password(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"hello") || name.eq_ignore_ascii_case(b"auth")
}

fn is_greeting(args: &Reply) -> bool {
    matches!(items(args), [Reply::Bulk(name), ..] if names_a_password(name))
}

/// The words of a user's rules, without those about commands that aft doesn't have.
fn words(rules: &Reply) -> Reply {
    let Reply::Bulk(rules) = rules else { return rules.clone() };
    let words = rules.split(|byte| *byte == b' ');
    sorted(words.filter(|word| !is_of_unknown_command(word)).map(Reply::bulk).collect())
}

/// Whether a rule allows or denies such a command.
fn is_of_unknown_command(rule: &[u8]) -> bool {
    match rule {
        [b'+' | b'-', b'@', ..] => false,
        [b'+' | b'-', name @ ..] => {
            let name = name.strip_suffix(b")").unwrap_or(name);
            table::by_full_name(name).is_none()
        }
        _ => false,
    }
}

/// A map, or what stands for one in RESP2.
fn pairs(reply: &Reply) -> Vec<(Reply, Reply)> {
    let mut pairs = match reply {
        Reply::Map(pairs) => pairs.clone(),
        Reply::Array(flat) => {
            flat.as_chunks::<2>().0.iter().map(|[k, v]| (k.clone(), v.clone())).collect()
        }
        other => vec![(Reply::Null, other.clone())],
    };
    pairs.sort_by_key(|(key, _)| format!("{key:?}"));
    pairs
}

fn pair((key, value): (Reply, Reply)) -> Reply {
    Reply::Array(vec![key, value])
}

/// A map without some keys.
fn without(reply: &Reply, left_out: &[&str]) -> Reply {
    let kept = pairs(reply)
        .into_iter()
        .filter(|(key, _)| !left_out.iter().any(|name| *key == Reply::bulk(name)));
    Reply::Array(kept.map(pair).collect())
}

fn is_known(name: &Reply) -> bool {
    let Reply::Bulk(name) = name else { return false };
    table::by_full_name(name).is_some()
        && !name.starts_with(b"aft.")
        && !NOT_IN_REDIS.iter().any(|own| own.as_bytes() == name.as_slice())
}

fn known(names: &[Reply]) -> Reply {
    sorted(names.iter().filter(|name| is_known(name)).cloned().collect())
}

fn described(commands: &[Reply]) -> Reply {
    let known = commands.iter().filter(|command| match command {
        Reply::Array(parts) => is_known(&parts[0]),
        _ => true,
    });
    sorted(known.map(description).collect())
}

/// An element of COMMAND INFO; its last part are its subcommands.
fn description(command: &Reply) -> Reply {
    match command {
        Reply::Array(parts) if parts.len() == 10 => {
            let mut parts = parts.clone();
            parts[9] = described(items(&parts[9]));
            Reply::Array(parts)
        }
        other => other.clone(),
    }
}

/// COMMAND DOCS without what aft has none of, or its own of.
fn docs(reply: &Reply) -> Reply {
    let command = |(name, docs): (Reply, Reply)| {
        let mut left_out = vec!["history", "complexity", "subcommands"];
        if name == Reply::bulk("set") || name == Reply::bulk("client|kill") {
            left_out.push("arguments");
        }
        let all = pairs(&docs);
        let subcommands = all.iter().find(|(key, _)| *key == Reply::bulk("subcommands"));
        let subcommands =
            subcommands.map_or(Reply::Array(Vec::new()), |(_, inner)| self::docs(inner));
        Reply::Array(vec![name, without(&docs, &left_out), subcommands])
    };
    Reply::Array(pairs(reply).into_iter().filter(|(name, _)| is_known(name)).map(command).collect())
}

/// Of the lines about connections the fields that both count alike.
fn connections(text: &[u8]) -> String {
    let compared =
        ["name", "flags", "db", "sub", "psub", "ssub", "multi", "cmd", "user", "redir", "resp"];
    let text = String::from_utf8_lossy(text);
    let field = |field: &str| match field.split_once('=') {
        // `d`: its transaction will be aborted, which aft finds out at EXEC. `T`: NO-TOUCH,
        // which Redis 7.0 doesn't have.
        Some(("flags", flags)) => {
            let flags = flags.replace(['d', 'T', 'N'], "");
            Some(format!("flags={flags}"))
        }
        // Redis has no name for what it doesn't know.
        Some(("cmd", command)) if NOT_IN_REDIS.contains(&command) => Some("cmd=NULL".to_owned()),
        // Subcommands of CLUSTER are all one to aft.
        Some(("cmd", command)) if command.starts_with("cluster|") => Some("cmd=cluster".to_owned()),
        // Of a transaction that will be aborted aft keeps no commands.
        Some(("multi", count)) => Some(format!("multi={}", count == "-1")),
        Some((name, _)) if !compared.contains(&name) => None,
        _ => Some(field.to_owned()),
    };
    let line = |line: &str| line.split(' ').filter_map(field).collect::<Vec<_>>().join(" ") + "\n";
    text.lines().map(line).collect()
}

/// The titles of INFO's sections.
fn titles(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let titles: BTreeSet<&str> =
        text.lines().filter(|line| line.starts_with("# ") && *line != "# Aft").collect();
    titles.into_iter().collect::<Vec<_>>().join(" ")
}
