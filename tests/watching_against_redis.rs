//! SLOWLOG, INFO commandstats, MONITOR and ACL against a real redis-server 7.0: what holds
//! times, addresses or the commands of Redis that aft doesn't have, and so can't be
//! compared byte for byte.
//!
//! Without a redis-server 7.0 in the path the tests pass without anything to compare
//! with; with `AFT_TEST_REDIS=1` they then fail.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod command_support;
mod resp_support;

use aft::command::table;
use aft::resp::Protocol;
use aft::session::Session;
use command_support::node::{Kept, Node};
use command_support::script::words;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use resp_support::encode_request;
use resp_support::frame::Frame;
use resp_support::redis::Redis;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

/// The same connection to both.
struct Pair<'n> {
    node: &'n Node,
    session: Session,
    socket: BufReader<UnixStream>,
}

impl<'n> Pair<'n> {
    fn connect(node: &'n Node, redis: &Redis) -> Self {
        let socket = BufReader::new(redis.connect());
        Self { node, session: node.connect(), socket }
    }

    /// What both answer.
    fn ask_words(&mut self, words: &[Vec<u8>]) -> (Frame, Frame) {
        self.socket.get_mut().write_all(&encode_request(words)).unwrap();
        let theirs = Frame::read(&mut self.socket);
        let mut bytes = Vec::new();
        self.node.run(&mut self.session, words).write(self.session.protocol, &mut bytes);
        (Frame::read(&mut bytes.as_slice()), theirs)
    }

    fn ask(&mut self, line: &str) -> (Frame, Frame) {
        self.ask_words(&words(line))
    }

    /// Both must answer the same.
    fn agree(&mut self, line: &str) {
        let (ours, theirs) = self.ask(line);
        assert_eq!(ours, theirs, "{line}");
    }
}

/// A node and a Redis, unless there is none.
fn both(test: &str) -> Option<(Node, Redis)> {
    Some((Node::new(Kept::Nowhere), Redis::start(test, &[])?))
}

fn text(frame: &Frame) -> String {
    String::from_utf8_lossy(frame.bytes().unwrap()).into_owned()
}

/// Some of every kind: short and long, right and wrong, in and out of MULTI, with secrets.
fn a_day() -> Vec<String> {
    let many: Vec<String> = (0..40).map(|n| format!("k{n}")).collect();
    let mut lines: Vec<String> = [
        "SET a 1",
        "set \"q\\\"\\\\\\n\\r\\t\\a\\b\\x00\\xff ~\" \"it's\"",
        "CLIENT SETNAME me",
        "GET a",
        "GET",
        "NOSUCH x",
        "INCR a",
        "INCR a b",
        "SET a x",
        "INCR a",
        "SELECT 3",
        "SET b 2",
        "AUTH default secret",
        "AUTH nobody secret",
        "AUTH secret",
        "HELLO 2 AUTH nobody secret SETNAME y",
        "HELLO 2 SETNAME z AUTH nobody secret",
        "ACL SETUSER bob on >secret ~*",
        "ACL GETUSER bob",
        "ACL DELUSER bob",
        "CONFIG GET timeout",
        "CONFIG SET timeout 0",
        "CONFIG SET requirepass secret timeout 0",
        "CONFIG SET requirepass \"\"",
        "MULTI",
        "SET a 1",
        "SELECT 0",
        "INCR a",
        "INCR q",
        "AUTH nobody secret",
        "CONFIG GET timeout",
        "EXEC",
        "MULTI",
        "GET",
        "EXEC",
        "MULTI",
        "GET a",
        "DISCARD",
        "EXEC",
        "WATCH a",
        "PING",
        "ECHO \"a b\"",
        "COMMAND COUNT x",
        "EXEC x",
        "CLIENT NOSUCH",
        "RESET",
    ]
    .map(str::to_owned)
    .to_vec();
    lines.push(format!("MGET {}", many.join(" ")));
    lines.push(format!("DEL {}", many[..31].join(" ")));
    lines.push(format!("DEL {}", many[..32].join(" ")));
    lines.push(format!("SET long {}", "x".repeat(128)));
    lines.push(format!("SET longer {}", "x".repeat(1000)));
    lines
}

#[test]
fn slowlog_keeps_what_redis_keeps() {
    let Some((node, redis)) = both("slowlog") else { return };
    let mut pair = Pair::connect(&node, &redis);
    pair.agree("CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 1000");
    for line in a_day() {
        pair.ask(&line);
    }
    // Number, arguments and name; neither the times nor the address.
    let kept = |entry: &Frame| {
        let fields = entry.items();
        (fields[0].clone(), fields[3].clone(), fields[5].clone())
    };
    let (ours, theirs) = pair.ask("SLOWLOG GET -1");
    assert!(ours.items().len() > 40);
    for (ours, theirs) in ours.items().iter().zip(theirs.items()) {
        assert_eq!(ours.items().len(), theirs.items().len());
        assert_eq!(kept(ours), kept(theirs));
    }
    assert_eq!(ours.items().len(), theirs.items().len());
    assert_eq!(pair.ask("SLOWLOG GET").0.items().len(), 10);
}

/// What is told of each command, without the times.
fn statistics(info: &str, section: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let lines = info.lines().filter_map(|line| line.strip_prefix(section)?.split_once(':'));
    let counts = |counts: &str| {
        let counts = counts.split(',').filter_map(|count| count.split_once('='));
        let shown = counts.filter(|(name, _)| !name.contains("usec"));
        shown.map(|(name, count)| (name.to_owned(), count.to_owned())).collect()
    };
    lines.map(|(name, rest)| (name.to_owned(), counts(rest))).collect()
}

#[test]
fn commands_are_counted_as_by_redis() {
    let Some((node, redis)) = both("commandstats") else { return };
    let mut pair = Pair::connect(&node, &redis);
    pair.agree("CONFIG RESETSTAT");
    for line in a_day() {
        pair.ask(&line);
    }
    for (section, prefix) in [("commandstats", "cmdstat_"), ("errorstats", "errorstat_")] {
        let (ours, theirs) = pair.ask(&format!("INFO {section}"));
        let theirs = statistics(&text(&theirs), prefix);
        assert!(!theirs.is_empty());
        assert_eq!(statistics(&text(&ours), prefix), theirs, "{section}");
    }
    // Those that have percentiles are those that ran.
    let (ours, theirs) = pair.ask("INFO latencystats");
    let names = |info: &Frame| -> BTreeSet<String> {
        let text = text(info);
        let names = text.lines().filter_map(|line| Some(line.split_once(":p50=")?.0.to_owned()));
        names.collect()
    };
    assert!(names(&ours).len() > 10);
    assert_eq!(names(&ours), names(&theirs));
    pair.agree("CONFIG RESETSTAT");
    let (ours, _) = pair.ask("INFO commandstats");
    assert_eq!(statistics(&text(&ours), "cmdstat_").len(), 1);
}

/// A line of MONITOR without its time and address: the database, and what was said.
fn told(line: &str) -> String {
    let (time, rest) = line.strip_prefix('+').unwrap().split_once(" [").unwrap();
    let (seconds, us) = time.split_once('.').unwrap();
    assert!(seconds.len() == 10 && us.len() == 6, "{line}");
    let (place, said) = rest.split_once("] ").unwrap();
    format!("{} {}", place.split(' ').next().unwrap(), said.trim_end())
}

#[test]
fn monitor_is_told_what_redis_tells() {
    let Some((node, redis)) = both("monitor") else { return };
    let mut watching = Pair::connect(&node, &redis);
    let mut pair = Pair::connect(&node, &redis);
    watching.agree("MONITOR");
    for line in a_day() {
        pair.ask(&line);
    }
    pair.agree("ECHO last");
    let ours = String::from_utf8(watching.session.client.take_feed()).unwrap();
    let ours: Vec<String> = ours.lines().map(told).collect();
    let mut theirs = Vec::new();
    while theirs.last().is_none_or(|line: &String| !line.contains("\"last\"")) {
        let mut line = String::new();
        watching.socket.read_line(&mut line).unwrap();
        theirs.push(told(&line));
    }
    assert!(theirs.len() > 20);
    assert_eq!(ours, theirs);
    // Who watches may not touch keys, and may stop.
    for line in ["GET a", "SET a 1", "SELECT 99"] {
        let request = encode_request(&words(line));
        watching.socket.get_mut().write_all(&request).unwrap();
    }
    let mut answers = Vec::new();
    while answers.len() < 3 {
        let mut line = String::new();
        watching.socket.read_line(&mut line).unwrap();
        answers.extend(line.starts_with('-').then(|| line.trim_end().to_owned()));
    }
    let mut ours = Vec::new();
    for line in ["GET a", "SET a 1", "SELECT 99"] {
        let reply = node.run(&mut watching.session, &words(line));
        reply.write(Protocol::Resp2, &mut ours);
    }
    assert_eq!(String::from_utf8(ours).unwrap(), answers.join("\r\n") + "\r\n");
    let again = node.run(&mut watching.session, &["MONITOR"]);
    assert_eq!(again, aft::resp::Reply::None);
    assert!(!watching.session.monitored);
    node.run(&mut watching.session, &["RESET"]);
    assert!(watching.session.monitored && !watching.session.client.take_feed().is_empty());
    pair.ask("PING");
    assert!(watching.session.client.take_feed().is_empty());
    assert!(!node.server.monitors.any());
}

#[test]
fn who_watches_and_does_not_read_is_ended() {
    let node = Node::new(Kept::Nowhere);
    let (mut watching, mut other) = (node.connect(), node.connect());
    node.run(&mut other, &words("CONFIG SET aft-output-buffer-bytes-max 1000"));
    node.run(&mut watching, &["MONITOR"]);
    for _ in 0..100 {
        node.run(&mut other, &["PING"]);
    }
    assert!(watching.client.killed.load(std::sync::atomic::Ordering::Acquire));
    let fed = watching.client.take_feed().len();
    assert!((900..=1000).contains(&fed), "{fed}");
}

/// Not in Redis 7.0, or there a container of commands that we don't take apart.
const OWN: &[&str] = &["client|no-touch", "client|setinfo", "cluster"];

fn redis_has(name: &str) -> bool {
    !OWN.contains(&name) && !name.starts_with("aft.")
}

/// Every command with a number of arguments that suits it.
fn requests(args: &[&str]) -> Vec<String> {
    let commands = table::with_subcommands().filter(|command| redis_has(command.name));
    let request = |command: &table::Command| {
        let own: Vec<&str> = command.name.split('|').collect();
        let more = (command.arity.unsigned_abs() as usize).saturating_sub(own.len());
        let more = args.iter().cycle().take(more);
        own.into_iter().chain(more.copied()).collect::<Vec<_>>().join(" ")
    };
    commands.map(request).collect()
}

/// Words of ACL SETUSER.
const RULES: &[&str] = &[
    "+@all",
    "-@all",
    "+@read",
    "-@read",
    "+@write",
    "-@write",
    "+@string",
    "-@fast",
    "+@slow",
    "-@slow",
    "-@dangerous",
    "+@admin",
    "+@connection",
    "-@transaction",
    "+get",
    "-get",
    "+set",
    "-set",
    "+config",
    "-config",
    "+config|get",
    "-config|get",
    "-acl|list",
    "+select|x",
    "-select",
    "+select",
    "+echo|X",
    "-echo",
    "+nosuch",
    "allkeys",
    "resetkeys",
    "resetkeys ~x",
    "resetkeys ~y*",
    "resetkeys %R~x ~y",
    "resetkeys %W~x %R~y",
    "(+get ~y)",
    "(+@write %W~x)",
    "(+@all ~y)",
    "clearselectors",
];

#[test]
fn rules_allow_what_they_allow_in_redis() {
    let Some((node, redis)) = both("dryrun") else { return };
    let mut pair = Pair::connect(&node, &redis);
    let requests = [requests(&["x"]), requests(&["x", "y"]), requests(&["y", "x", "get"])].concat();
    let mut rng = StdRng::seed_from_u64(5);
    for round in 0..120 {
        pair.agree("ACL SETUSER bob reset");
        let mut said = Vec::new();
        for _ in 0..rng.random_range(1..8) {
            let rule = RULES[rng.random_range(0..RULES.len())];
            pair.agree(&format!("ACL SETUSER bob {rule}"));
            said.push(rule);
        }
        for request in &requests {
            let (ours, theirs) = pair.ask(&format!("ACL DRYRUN bob {request}"));
            assert_eq!(ours, theirs, "{round}: {said:?}: {request}");
        }
        // What is told of a user makes the same user.
        let shown = |pair: &mut Pair<'_>, name: &str| {
            let users = node.run(&mut pair.session, &words("ACL LIST"));
            let aft::resp::Reply::Array(users) = users else { panic!("{users:?}") };
            let start = format!("user {name} ");
            let rules = users.iter().find_map(|user| match user {
                aft::resp::Reply::Bulk(user) => {
                    String::from_utf8_lossy(user).strip_prefix(&start).map(str::to_owned)
                }
                _ => None,
            });
            rules.unwrap()
        };
        let bob = node.server.users.get(b"bob").unwrap().rules();
        let told = shown(&mut pair, "bob");
        node.run(&mut pair.session, &words("ACL SETUSER ben reset"));
        node.run(&mut pair.session, &words(&format!("ACL SETUSER ben {told}")));
        let ben = node.server.users.get(b"ben").unwrap().rules();
        assert_eq!(told, shown(&mut pair, "ben"));
        for (bob, ben) in bob.all_selectors().zip(ben.all_selectors()) {
            assert_eq!(bob.commands, ben.commands, "{said:?}: {told}");
            assert_eq!((&bob.keys, &bob.channels), (&ben.keys, &ben.channels));
        }
    }
}

#[test]
fn categories_hold_what_they_hold_in_redis() {
    let Some((node, redis)) = both("categories") else { return };
    let mut pair = Pair::connect(&node, &redis);
    let known: BTreeSet<&str> = table::with_subcommands()
        .map(|command| command.name)
        .filter(|name| redis_has(name))
        .collect();
    let names = |frame: &Frame| -> BTreeSet<String> {
        frame.items().iter().map(text).filter(|name| known.contains(name.as_str())).collect()
    };
    let (categories, _) = pair.ask("ACL CAT");
    for category in categories.items() {
        let (ours, theirs) = pair.ask(&format!("ACL CAT {}", text(category)));
        assert_eq!(names(&ours), names(&theirs), "{}", text(category));
    }
}

#[test]
fn denials_are_noted_as_by_redis() {
    let Some((node, redis)) = both("acl-log") else { return };
    let (mut admin, mut bob) = (Pair::connect(&node, &redis), Pair::connect(&node, &redis));
    admin.agree("ACL SETUSER bob on >p ~a +@all -config");
    for line in [
        "AUTH bob wrong",
        "AUTH nobody p",
        "HELLO 2 AUTH bob wrong",
        "AUTH bob p",
        "GET b",
        "GET b",
        "CONFIG GET x",
        "GET c",
        "GET b",
        "MULTI",
        "GET b",
        "EXEC",
        "MULTI",
        "AUTH bob wrong",
        "EXEC",
        "MULTI",
        "GET a",
    ] {
        bob.agree(line);
    }
    admin.agree("ACL SETUSER bob -get");
    bob.agree("EXEC");
    for count in ["", "3", "0", "-5", "1000"] {
        let (ours, theirs) = admin.ask(&format!("ACL LOG {count}"));
        assert_eq!(ours.items().len(), theirs.items().len());
        for (ours, theirs) in ours.items().iter().zip(theirs.items()) {
            // All but the age and the connection.
            assert_eq!(ours.items()[..11], theirs.items()[..11]);
            assert_eq!(ours.items()[12], theirs.items()[12]);
            let client = text(&ours.items()[13]);
            assert!(client.starts_with("id=2 addr=10.0.0.1:40001 ") && !client.ends_with('\n'));
        }
    }
    admin.agree("ACL LOG RESET");
    admin.agree("ACL LOG");
}

#[test]
fn connections_of_a_removed_user_end() {
    let node = Node::new(Kept::Nowhere);
    let (mut admin, mut bob, mut eve) = (node.connect(), node.connect(), node.connect());
    let run = |session: &mut Session, line: &str| node.run(session, &words(line));
    run(&mut admin, "ACL SETUSER bob on nopass ~* +@all");
    run(&mut admin, "ACL SETUSER eve on nopass ~* +@all");
    run(&mut bob, "AUTH bob any");
    run(&mut eve, "AUTH eve any");
    let list = format!("{:?}", run(&mut admin, "CLIENT LIST"));
    assert!(list.contains(" user=bob ") && list.contains(" user=eve "), "{list}");
    let killed =
        |session: &Session| session.client.killed.load(std::sync::atomic::Ordering::Acquire);
    run(&mut admin, "ACL DELUSER bob");
    assert_eq!((killed(&admin), killed(&bob), killed(&eve)), (false, true, false));
    // Should it still run something, it may not.
    let refused = format!("{:?}", run(&mut bob, "GET a"));
    assert!(refused.contains("NOPERM"), "{refused}");
    run(&mut eve, "ACL DELUSER eve");
    assert!(eve.closing && !eve.authenticated);
    run(&mut admin, "ACL SETUSER fay on nopass ~* +@all");
    let mut fay = node.connect();
    run(&mut fay, "AUTH fay any");
    run(&mut admin, "CLIENT KILL USER fay");
    assert!(killed(&fay));
}
