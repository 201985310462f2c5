//! Commands against a real redis-server 7.0: the same requests, the same bytes.
//!
//! The scripts of `tests/scripts`, in both protocols; then whatever can be generated: all
//! combinations of options, odd integers, wrong numbers of arguments; then COMMAND's own
//! account of every command. What differs and is meant to is in `docs/differences.md`.
//!
//! Without a redis-server 7.0 in the path the tests pass without anything to compare
//! with; with `AFT_TEST_REDIS=1` they then fail.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod command_support;
mod resp_support;

#[path = "commands_against_redis/bits.rs"]
mod bits;
#[path = "commands_against_redis/floats.rs"]
mod floats;
#[path = "commands_against_redis/keyspace.rs"]
mod keyspace;
#[path = "commands_against_redis/strings.rs"]
mod strings;

use aft::command::table;
use aft::resp::Protocol;
use aft::session::Session;
use command_support::node::{Kept, Node};
use command_support::script::{self, Step, words};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use resp_support::encode_request;
use resp_support::frame::Frame;
use resp_support::redis::Redis;
use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::os::unix::net::UnixStream;

/// The same connection to both.
struct Pair {
    session: Session,
    socket: BufReader<UnixStream>,
}

/// A reply of ours as a client reads it; `None` where there is none.
fn our_reply(node: &Node, session: &mut Session, args: &[impl AsRef<[u8]>]) -> Option<Frame> {
    let reply = node.run(session, args);
    let mut bytes = Vec::new();
    reply.write(session.protocol, &mut bytes);
    (!bytes.is_empty()).then(|| Frame::read(&mut bytes.as_slice()))
}

impl Pair {
    fn connect(node: &Node, redis: &Redis, protocol: Protocol) -> Self {
        let mut pair = Self { session: node.connect(), socket: BufReader::new(redis.connect()) };
        if protocol == Protocol::Resp3 {
            pair.ask(node, &["HELLO", "3"]);
        }
        pair
    }

    /// What both answer; Redis' reply is only waited for if we have one.
    fn ask(&mut self, node: &Node, args: &[impl AsRef<[u8]>]) -> Option<(Frame, Frame)> {
        let request = encode_request(args);
        self.socket.get_mut().write_all(&request).unwrap();
        let ours = our_reply(node, &mut self.session, args)?;
        Some((ours, Frame::read(&mut self.socket)))
    }
}

fn play(name: &str, steps: &[Step], protocol: Protocol, redis: &Redis) -> Vec<String> {
    let node = Node::new(Kept::InLog);
    let mut pairs: BTreeMap<&str, Pair> = BTreeMap::new();
    let mut wrong = Vec::new();
    for step in steps.iter().filter(|step| step.as_redis) {
        let pair =
            pairs.entry(&step.connection).or_insert_with(|| Pair::connect(&node, redis, protocol));
        let replies = pair.ask(&node, &step.args);
        if let Some((ours, theirs)) = replies
            && ours != theirs
            && step.expected != "*"
        {
            let line = step.line;
            wrong.push(format!(
                "{name}:{line} in {protocol:?}\n   ours   {ours:?}\n   Redis' {theirs:?}"
            ));
        }
    }
    wrong
}

#[test]
fn scripts_get_the_replies_of_redis() {
    let mut wrong = Vec::new();
    for (name, steps) in script::all() {
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            let Some(redis) = Redis::start(&format!("script-{name}-{protocol:?}"), &[]) else {
                return;
            };
            wrong.extend(play(&name, &steps, protocol, &redis));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Sends the same requests to both and compares all replies.
fn compare(test: &str, requests: &[Vec<Vec<u8>>]) {
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let Some(redis) = Redis::start(&format!("{test}-{protocol:?}"), &[]) else {
            return;
        };
        let node = Node::new(Kept::Nowhere);
        let mut pair = Pair::connect(&node, &redis, protocol);
        let mut sender = pair.socket.get_ref().try_clone().unwrap();
        let mut wrong = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for request in requests {
                    sender.write_all(&encode_request(request)).unwrap();
                }
            });
            for request in requests {
                let ours = our_reply(&node, &mut pair.session, request);
                let theirs = Frame::read(&mut pair.socket);
                if ours.as_ref() != Some(&theirs) {
                    let shown = request.join(&b' ').escape_ascii().to_string();
                    wrong.push(format!("{shown}\n   ours   {ours:?}\n   Redis' {theirs:?}"));
                }
            }
        });
        let (count, few) = (wrong.len(), wrong.len().min(30));
        assert!(wrong.is_empty(), "{count}:\n{}", wrong[..few].join("\n"));
    }
}

/// Every sequence of up to `length_max` of `options`, joined by blanks.
fn sequences(options: &[&str], length_max: usize) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut longest = all.clone();
    for _ in 0..length_max {
        let longer = longest
            .iter()
            .flat_map(|start| options.iter().map(move |option| format!("{start} {option}")));
        longest = longer.collect();
        all.extend(longest.iter().cloned());
    }
    all
}

/// Requests as they are before, with each of `changes` after each of `states`; and what
/// can be seen of the key `a` then.
fn changes_of_states(states: &[&str], changes: &[String]) -> Vec<Vec<Vec<u8>>> {
    let mut requests = Vec::new();
    for state in states {
        for change in changes {
            for line in [*state, change, "GET a", "PEXPIRETIME a", "EXISTS a"] {
                requests.push(words(line));
            }
        }
    }
    requests
}

/// Times far from now, so that it doesn't matter when exactly something ran.
const STATES: &[&str] =
    &["DEL a", "SET a old", "SET a old PXAT 33177117420000", "SET a old PXAT 1"];

#[test]
fn set_takes_and_refuses_the_options_that_redis_does() {
    let options = [
        "NX",
        "xx",
        "GET",
        "KEEPTTL",
        "EX",
        "EXAT 33177117421",
        "PXAT 33177117422000",
        "PXAT 1",
        "PXAT 0",
        "EXAT -1",
        "EXAT 9223372036854775807",
        "PX x",
        "IFEX",
    ];
    let changes: Vec<String> =
        sequences(&options, 3).iter().map(|options| format!("SET a new{options}")).collect();
    compare("set", &changes_of_states(STATES, &changes));
}

#[test]
fn expire_takes_and_refuses_the_options_that_redis_does() {
    let mut changes = Vec::new();
    for options in sequences(&["NX", "xx", "GT", "lt", "what"], 3) {
        for time in ["33177117419999", "33177117420000", "33177117420001", "0", "-5", "x"] {
            changes.push(format!("PEXPIREAT a {time}{options}"));
        }
    }
    for (command, unit) in [("EXPIREAT", "33177117421"), ("EXPIRE", "-1"), ("PEXPIRE", "-1")] {
        for options in sequences(&["NX", "xx", "GT", "lt"], 2) {
            changes.push(format!("{command} a {unit}{options}"));
        }
    }
    compare("expire", &changes_of_states(STATES, &changes));
}

/// Texts that are an integer, or nearly so.
const ODD_INTEGERS: &[&str] = &[
    "0",
    "-0",
    "+0",
    "00",
    "1",
    "-1",
    "+1",
    "01",
    "-01",
    "\" 1\"",
    "\"1 \"",
    "1x",
    "1.0",
    "1e3",
    "0x10",
    "\"\"",
    "-",
    "--1",
    "\"1\\x00\"",
    "2147483647",
    "2147483648",
    "-2147483648",
    "-2147483649",
    "4294967296",
    "9223372036854775",
    "9223372036854776",
    "9223372036854775806",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775807",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "99999999999999999999999",
    "inf",
    "nan",
    "\"\\xff\"",
];

#[test]
fn integers_are_taken_and_refused_as_by_redis() {
    let mut requests = Vec::new();
    for integer in ODD_INTEGERS {
        for line in [
            format!("SELECT {integer}"),
            "SELECT 0".to_owned(),
            format!("SET n {integer}"),
            "INCR n".to_owned(),
            format!("SET n {integer}"),
            "DECR n".to_owned(),
            format!("SET n {integer} PXAT {integer}"),
            "GET n".to_owned(),
            format!("SET n {integer} EXAT {integer}"),
            "PEXPIRETIME n".to_owned(),
            "SET m 1".to_owned(),
            format!("EXPIREAT m {integer}"),
            "PEXPIRETIME m".to_owned(),
            "SET m 1".to_owned(),
            format!("PEXPIREAT m {integer}"),
            "PEXPIRETIME m".to_owned(),
            format!("HELLO {integer}"),
            format!("CLIENT LIST ID {integer}00000"),
            format!("CLIENT KILL ID {integer}00000"),
        ] {
            // A greeting has the connection's number in it.
            // And nothing follows a quote.
            let odd = line.contains("\"0") || line == "HELLO 2" || line == "HELLO 3";
            if !odd {
                requests.push(words(&line));
            }
        }
        for other in ODD_INTEGERS {
            for line in [
                format!("SET n {other}"),
                format!("INCRBY n {integer}"),
                format!("SET n {other}"),
                format!("DECRBY n {integer}"),
                "GET n".to_owned(),
            ] {
                requests.push(words(&line));
            }
        }
    }
    compare("integers", &requests);
}

/// Subcommands that Redis 7.0 doesn't have, and a container that we don't take apart.
const NOT_IN_REDIS: &[&str] = &["client|no-touch", "client|setinfo"];

fn redis_has(command: &table::Command) -> bool {
    !NOT_IN_REDIS.contains(&command.name) && !command.name.starts_with("aft.")
}

#[test]
fn arguments_are_counted_as_by_redis() {
    let mut requests = Vec::new();
    let commands =
        table::all().iter().flat_map(|command| std::iter::once(command).chain(command.subcommands));
    for command in commands.filter(|command| redis_has(command)) {
        for count in 0..=8 {
            let mut words: Vec<Vec<u8>> =
                command.name.split('|').map(|word| word.as_bytes().to_vec()).collect();
            if words.len() > 1 && count == 0 {
                continue;
            }
            words.extend((0..count).map(|_| b"x".to_vec()));
            // Only what is refused: the rest is compared elsewhere.
            let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let refused = table::find(&args).is_err();
            if refused && args[0] != b"exec" {
                requests.push(words);
            }
        }
    }
    assert!(requests.len() > 200);
    compare("arity", &requests);
}

/// The value of a key of a map.
fn value<'f>(map: &'f Frame, key: &str) -> Option<&'f Frame> {
    let pairs = map.items().as_chunks::<2>().0;
    let found = pairs.iter().find(|[name, _]| name.bytes() == Some(key.as_bytes()));
    found.map(|[_, value]| value)
}

/// Without what `left_out` says yes to, in a map's pairs.
fn without(map: &Frame, left_out: impl Fn(&[u8]) -> bool) -> Vec<[Frame; 2]> {
    let pairs = map.items().as_chunks::<2>().0;
    let kept = pairs.iter().filter(|[name, _]| !left_out(name.bytes().unwrap()));
    kept.cloned().collect()
}

#[test]
fn commands_are_described_as_by_redis() {
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let Some(redis) = Redis::start(&format!("describe-{protocol:?}"), &[]) else {
            return;
        };
        let node = Node::new(Kept::Nowhere);
        let mut pair = Pair::connect(&node, &redis, protocol);
        let commands = table::all()
            .iter()
            .flat_map(|command| std::iter::once(command).chain(command.subcommands));
        for command in commands.filter(|command| redis_has(command)) {
            let name = command.name;
            let (ours, theirs) = pair.ask(&node, &["COMMAND", "INFO", name]).unwrap();
            let (ours, theirs) = (ours.items()[0].items(), theirs.items()[0].items());
            assert_eq!(ours.len(), theirs.len());
            // The last are the subcommands, of which each is looked at by itself.
            assert_eq!(ours[..9], theirs[..9], "{name} in {protocol:?}");
            let (ours, theirs) = pair.ask(&node, &["COMMAND", "DOCS", name]).unwrap();
            compare_docs(name, value(&ours, name).unwrap(), value(&theirs, name).unwrap());
        }
    }
}

/// Where we have other options than Redis 7.0, or other costs.
const OTHER_ARGUMENTS: &[&str] = &["set", "client|kill"];
const OTHER_COMPLEXITY: &[&str] =
    &["del", "unlink", "flushdb", "flushall", "append", "setrange", "setbit", "bitfield", "swapdb"];

fn compare_docs(name: &str, ours: &Frame, theirs: &Frame) {
    let left_out = |key: &[u8]| {
        key == b"history"
            || key == b"subcommands"
            || (key == b"arguments" && OTHER_ARGUMENTS.contains(&name))
            || (key == b"complexity" && OTHER_COMPLEXITY.contains(&name))
    };
    assert_eq!(without(ours, left_out), without(theirs, left_out), "{name}");
}

/// What two connections say at random, so that their transactions get in each other's way.
const MUTTERINGS: &[&str] = &[
    "SET a 1",
    "SET b 2 NX",
    "SET a 3 XX GET",
    "DEL a b",
    "GET a",
    "INCR n",
    "EXISTS a b n",
    "DBSIZE",
    "EXPIRE a 1000 NX",
    "PERSIST a",
    "TTL a",
    "EXPIREAT a 1",
    "FLUSHDB",
    "FLUSHALL",
    "SELECT 0",
    "SELECT 1",
    "SELECT 99",
    "WATCH a",
    "WATCH a b n",
    "UNWATCH",
    "MULTI",
    "MULTI",
    "MULTI",
    "EXEC",
    "EXEC",
    "EXEC",
    "EXEC x",
    "DISCARD",
    "RESET",
    "NOSUCH",
    "GET",
    "WATCH",
    "CLIENT NOSUCH",
    "CLIENT SETNAME x",
    "CLIENT GETNAME",
    "COMMAND GETKEYS GET a",
    "RENAME a b",
    "RENAMENX b a",
    "COPY a b",
    "COPY b a DB 1 REPLACE",
    "MOVE a 1",
    "SWAPDB 0 1",
    "KEYS n",
    "TOUCH a b",
];

#[test]
fn two_connections_get_in_each_others_way_as_in_redis() {
    for (kept, protocol) in [(Kept::Nowhere, Protocol::Resp2), (Kept::InLog, Protocol::Resp3)] {
        let Some(redis) = Redis::start(&format!("two-{protocol:?}"), &[]) else {
            return;
        };
        let node = Node::new(kept);
        let mut pairs = [(); 2].map(|()| Pair::connect(&node, &redis, protocol));
        let mut rng = StdRng::seed_from_u64(11);
        let mut said = Vec::new();
        for _ in 0..20_000 {
            let who = rng.random_range(0..2);
            let line = MUTTERINGS[rng.random_range(0..MUTTERINGS.len())];
            // What comes and goes in one transaction touches no watch of ours, and a swap
            // touches all of them, those of keys that aren't there, too.
            let swap = line.starts_with("SWAPDB");
            if pairs[who].session.multi.is_some() && (line.starts_with("FLUSH") || swap) {
                continue;
            }
            let watched = pairs.iter().any(|pair| !pair.session.watches.is_empty());
            if swap && watched {
                continue;
            }
            said.push(format!("{who}: {line}"));
            let (ours, theirs) = pairs[who].ask(&node, &words(line)).unwrap();
            let last = &said[said.len().saturating_sub(40)..];
            assert_eq!(ours, theirs, "{}", last.join("\n"));
        }
    }
}
