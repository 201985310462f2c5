//! Differential sessions: one script of several connections, run on redis-server and on the
//! server under test, and every reply compared to the byte.
//!
//! A script is steps between bars, `connection: command | connection: command`; words may be
//! quoted, with `\r \n \\ \" \xHH`:
//!
//! ```text
//! a: WATCH k                   sends, and reads the reply
//! ?a: CLIENT ID                integers may differ (ids, clocks), the rest may not
//! a: !send "*1\r\n$4\r\nPING"  raw bytes, no reply read
//! a: !read                     one more reply, or "closed"
//! a: !closed                   reads to the end of the connection
//! a: !until :0 EXISTS clock    repeats a command until it answers so
//! ```
//!
//! Both servers are empty and every connection is new when a script begins.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::client::{Client, is_closed};
use super::differences;
use super::resp::Reply;
use super::server::{Options, Peer, Server};
use super::wait;

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) script: &'static str,
}

/// Runs the scenarios on both servers; panics with a table of everything that differs.
pub(crate) fn same_replies(scenarios: &[Scenario]) {
    same_replies_with(scenarios, |_| ());
}

/// The same with settings, given to both servers alike.
pub(crate) fn same_replies_with(scenarios: &[Scenario], configure: impl Fn(&mut Options)) {
    let start = |peer| {
        let mut options = Options::new(peer);
        configure(&mut options);
        Server::start(&options)
    };
    let redis = start(Peer::Redis);
    let tested = start(Peer::under_test());
    let mut deviations = Vec::new();
    for scenario in scenarios {
        // With short times to live a busy machine can change what happens: only what stays counts.
        let tries = if scenario.script.contains(" PX ") { 10 } else { 1 };
        let failed = (0..tries).map_while(|_| compare(scenario, &redis, &tested).err());
        let failed: Vec<String> = failed.collect();
        deviations.extend(failed.into_iter().nth(tries - 1));
    }
    let (bad, all) = (deviations.len(), scenarios.len());
    assert!(bad == 0, "{bad} of {all} scenarios differ\n\n{}", deviations.join("\n\n"));
}

fn compare(scenario: &Scenario, redis: &Server, tested: &Server) -> Result<(), String> {
    let steps = parse(scenario.script);
    let password = redis.options().requirepass;
    let expected = run(&steps, redis.addr(), password);
    let got = run(&steps, tested.addr(), password);
    let mut lines = Vec::new();
    let mut differs = false;
    for ((step, expected), got) in steps.iter().zip(&expected).zip(&got) {
        let command = step.text.split_once(": ").map_or("", |(_, command)| command);
        let allowed = differences::expected(command, expected, got).is_some()
            || (command.starts_with("TTL") && seconds_apart(expected, got) <= 2);
        lines.push(format!("    {:<46} {}", step.text, shortened(expected)));
        if expected != got && !allowed {
            differs = true;
            lines.push(format!("  ≠ {:<46} {}", "under test:", shortened(got)));
            break;
        }
    }
    let shown = format!("{}:\n{}", scenario.name, lines.join("\n"));
    // A step that redis-server never answers is a mistake in the script.
    assert!(!expected.iter().any(|outcome| outcome.starts_with("nothing")), "{shown}");
    println!("{shown}");
    if differs { Err(shown) } else { Ok(()) }
}

/// A TTL counts down while the test runs.
fn seconds_apart(expected: &str, got: &str) -> u64 {
    let seconds = |text: &str| text.strip_prefix(':')?.parse::<i64>().ok().filter(|n| *n > 0);
    match (seconds(expected), seconds(got)) {
        (Some(expected), Some(got)) => expected.abs_diff(got),
        _ => u64::MAX,
    }
}

fn shortened(text: &str) -> String {
    let shown: String = text.chars().take(600).collect();
    if shown.len() < text.len() { format!("{shown} … ({} bytes)", text.len()) } else { shown }
}

struct Step {
    text: String,
    connection: String,
    any_integers: bool,
    action: Action,
}

enum Action {
    Command(Vec<Vec<u8>>),
    Send(Vec<u8>),
    Read,
    Closed,
    Until(String, Vec<Vec<u8>>),
}

fn parse(script: &str) -> Vec<Step> {
    script.split('|').map(str::trim).map(parse_step).collect()
}

fn parse_step(line: &str) -> Step {
    let (connection, rest) = line.split_once(": ").unwrap_or_else(|| panic!("no step: {line}"));
    let mut words = words(rest);
    let action = match words[0].as_slice() {
        b"!send" => Action::Send(words.split_off(1).concat()),
        b"!read" => Action::Read,
        b"!closed" => Action::Closed,
        b"!until" => {
            let command = words.split_off(2);
            Action::Until(String::from_utf8_lossy(&words[1]).into_owned(), command)
        }
        word if word.starts_with(b"!") => panic!("an unknown step: {line}"),
        _ => Action::Command(words),
    };
    Step {
        text: line.to_owned(),
        connection: connection.trim_start_matches('?').to_owned(),
        any_integers: connection.starts_with('?'),
        action,
    }
}

/// Splits at spaces, with double quotes and escapes as `escape_ascii` prints them.
fn words(text: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_word(quoted),
            None => {
                let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
                (word.as_bytes().to_vec(), after)
            }
        };
        words.push(word);
        rest = after.trim_start();
    }
    words
}

fn quoted_word(text: &str) -> (Vec<u8>, &str) {
    let mut word = Vec::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (word, &text[at + 1..]),
            '\\' => word.push(match chars.next().map(|(_, escaped)| escaped) {
                Some('r') => b'\r',
                Some('n') => b'\n',
                Some('x') => {
                    let hex = &text[at + 2..at + 4];
                    chars.nth(1);
                    u8::from_str_radix(hex, 16).expect("two hex digits")
                }
                Some(other) => u8::try_from(other).expect("an ASCII escape"),
                None => panic!("a dangling escape: {text}"),
            }),
            _ => word.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    panic!("an open quote: {text}");
}

/// What each step showed, as text. Runs to the end whatever happens, so both sides have all steps.
fn run(steps: &[Step], addr: SocketAddr, password: Option<&str>) -> Vec<String> {
    clean(addr, password);
    let mut connections = HashMap::new();
    let mut outcomes = Vec::new();
    for step in steps {
        let client = connections.entry(step.connection.as_str()).or_insert_with(|| {
            let client = Client::connect(addr).expect("a connection");
            client.stream().set_read_timeout(Some(Duration::from_secs(4))).expect("a timeout");
            client
        });
        outcomes.push(match take(client, &step.action) {
            Ok(None) => String::new(),
            Ok(Some(reply)) if step.any_integers => format!("{:?}", without_integers(reply)),
            Ok(Some(reply)) => format!("{reply:?}"),
            Err(error) if is_closed(&error) => "closed".to_owned(),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => format!("{error}"),
            Err(error) => format!("nothing ({})", error.kind()),
        });
    }
    outcomes
}

fn take(client: &mut Client, action: &Action) -> io::Result<Option<Reply>> {
    match action {
        Action::Command(args) => client.call(args).map(Some),
        Action::Send(bytes) => client.send_raw(bytes).map(|()| None),
        Action::Read => client.read().map(Some),
        Action::Closed => match client.read_to_close()? {
            rest if rest.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            rest => Ok(Some(Reply::Bulk(rest))),
        },
        Action::Until(wanted, args) => {
            let poll = || match client.call(args) {
                Ok(reply) if format!("{reply:?}") != *wanted => None,
                outcome => Some(outcome),
            };
            wait::until(&format!("{wanted} from a polled command"), wait::PATIENCE, poll).map(Some)
        }
    }
}

fn clean(addr: SocketAddr, password: Option<&str>) {
    let mut client = Client::connect(addr).expect("a connection");
    if let Some(password) = password {
        assert_eq!(client.run(&["AUTH", password]), Reply::ok());
    }
    assert_eq!(client.cmd("FLUSHALL"), Reply::ok());
}

fn without_integers(reply: Reply) -> Reply {
    let all = |items: Vec<Reply>| items.into_iter().map(without_integers).collect();
    match reply {
        Reply::Int(_) => Reply::Int(0),
        Reply::Array(items) => Reply::Array(all(items)),
        Reply::Set(items) => Reply::Set(all(items)),
        Reply::Map(pairs) => Reply::Map(
            pairs.into_iter().map(|(k, v)| (without_integers(k), without_integers(v))).collect(),
        ),
        other => other,
    }
}
