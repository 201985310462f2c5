//! Commands about all keys: what they find is compared as a set, since Redis' order is
//! that of its own table.

use super::{ODD_INTEGERS, Pair, STATES, changes_of_states, compare, sequences, strings::any};
use crate::command_support::node::{Kept, Node};
use crate::command_support::script::words;
use crate::resp_support::frame::Frame;
use crate::resp_support::redis::Redis;
use aft::resp::Protocol;
use rand::SeedableRng;
use rand::rngs::StdRng;

#[test]
fn copy_and_rename_take_and_refuse_what_redis_does() {
    let options = ["REPLACE", "replace", "DB 0", "db 1", "DB 16", "DB x", "DB", "NX"];
    let mut changes: Vec<String> =
        sequences(&options, 3).iter().map(|options| format!("COPY a b{options}")).collect();
    changes.extend(sequences(&options, 2).iter().map(|options| format!("COPY b a{options}")));
    for change in ["RENAME a b", "RENAME b a", "RENAME a a", "RENAMENX a b", "RENAMENX b a"] {
        changes.push(change.to_owned());
    }
    for change in
        ["RENAMENX a a", "MOVE a 1", "MOVE a 0", "MOVE b 1", "DEL b", "SET b 2 PXAT 33177117420000"]
    {
        changes.push(change.to_owned());
    }
    compare("copy", &changes_of_states(STATES, &changes));
}

#[test]
fn scan_takes_and_refuses_the_options_that_redis_does() {
    let options = [
        "MATCH *",
        "match n",
        "MATCH [n",
        "COUNT 500",
        "count 1000",
        "COUNT 0",
        "COUNT x",
        "TYPE string",
        "TYPE list",
        "type",
        "NOSUCH",
    ];
    let mut requests = vec![words("SET n 1")];
    for cursor in ["0", "x"] {
        for options in sequences(&options, 3) {
            requests.push(words(&format!("SCAN {cursor}{options}")));
        }
    }
    compare("scan", &requests);
}

#[test]
fn numbers_of_databases_cursors_and_times_are_those_of_redis() {
    let mut requests = Vec::new();
    for integer in ODD_INTEGERS {
        for line in [
            format!("COPY a b DB {integer}"),
            format!("MOVE a {integer}"),
            format!("SWAPDB {integer} 2"),
            format!("SWAPDB 2 {integer}"),
            format!("SCAN {integer}"),
            format!("SCAN 0 COUNT {integer}"),
            format!("MEMORY USAGE a SAMPLES {integer}"),
            format!("WAIT {integer} x"),
            format!("WAIT 0 {integer}"),
        ] {
            requests.push(words(&line));
        }
        // Whatever the encoding is called, it follows from the value.
        requests.push(words(&format!("SET n {integer}")));
        requests.push(words("OBJECT ENCODING n"));
        requests.push(words("OBJECT REFCOUNT n"));
        requests.push(words("DEL n"));
    }
    compare("places", &requests);
}

/// The keys that both have, found in two ways.
fn all_keys(pair: &mut Pair, node: &Node) -> [[Vec<Frame>; 2]; 2] {
    let sorted = |keys: &Frame| {
        let mut keys = keys.items().to_vec();
        keys.sort();
        keys
    };
    let (ours, theirs) = pair.ask(node, &words("KEYS *")).unwrap();
    let listed = [ours, theirs].map(|keys| sorted(&keys));
    let (ours, theirs) = pair.ask(node, &words("SCAN 0 COUNT 1000")).unwrap();
    [listed, [ours, theirs].map(|step| sorted(&step.items()[1]))]
}

/// What one connection says at random; the keys are spread over a few databases.
fn a_line(rng: &mut StdRng) -> String {
    let keys = ["a", "b", "long-enough-for-no-inline-key", "\"\""];
    let (key, other) = (any(rng, &keys), any(rng, &keys));
    let (one, two) = (any(rng, &["0", "1", "2"]), any(rng, &["0", "1", "2"]));
    let lines = [
        format!("SET {key} {one}"),
        format!(
            "SET {key} a-value-that-is-longer-than-sixty-four-bytes-{one}-and-is-kept-elsewhere-then"
        ),
        format!("SET {key} x PXAT 33177117420000"),
        format!("DEL {key}"),
        format!("RENAME {key} {other}"),
        format!("RENAMENX {key} {other}"),
        format!("COPY {key} {other} DB {two}"),
        format!("COPY {key} {other} DB {two} REPLACE"),
        format!("MOVE {key} {one}"),
        format!("SWAPDB {one} {two}"),
        format!("SWAPDB {one} {two}"),
        format!("SELECT {one}"),
        format!("SELECT {one}"),
        format!("TOUCH {key} {other}"),
        format!("GET {key}"),
        format!("PEXPIRETIME {key}"),
        format!("OBJECT ENCODING {key}"),
        "DBSIZE".to_owned(),
        "MULTI".to_owned(),
        "EXEC".to_owned(),
        "EXEC".to_owned(),
        "FLUSHDB".to_owned(),
    ];
    any(rng, &lines).clone()
}

#[test]
fn keys_wander_as_in_redis() {
    for (kept, protocol) in [(Kept::Nowhere, Protocol::Resp2), (Kept::InLog, Protocol::Resp3)] {
        let Some(redis) = Redis::start(&format!("wander-{protocol:?}"), &[]) else {
            return;
        };
        let node = Node::new(kept);
        let mut pair = Pair::connect(&node, &redis, protocol);
        let mut rng = StdRng::seed_from_u64(5);
        let mut said = Vec::new();
        for at in 0..20_000 {
            said.push(a_line(&mut rng));
            let line = &said[at];
            let last = &said[at.saturating_sub(30)..];
            let (ours, theirs) = pair.ask(&node, &words(line)).unwrap();
            assert_eq!(ours, theirs, "{}", last.join("\n"));
            if pair.session.multi.is_none() && at % 10 == 0 {
                let [[ours, theirs], scanned] = all_keys(&mut pair, &node);
                assert_eq!(ours, theirs, "{}", last.join("\n"));
                assert_eq!(scanned, [ours, theirs], "{}", last.join("\n"));
            }
        }
    }
}
