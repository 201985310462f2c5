//! Interactive transactions, as scripted sessions on a node in memory: `tests/scripts/aft`, whose
//! format is told in `tests/command_support/script.rs`. Those called `anomaly_…` show what each
//! isolation level keeps from happening, and what it allows. What becomes of requests at once,
//! before they are answered, is shown without scripts.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod command_support;

use aft::command::Execution;
use aft::engine::core::compaction::CompactionLimits;
use aft::resp::Reply;
use command_support::names::Names;
use command_support::node::{Kept, Node};
use command_support::script::{self, Step, show};
use std::collections::BTreeMap;

fn play(name: &str, steps: &[Step], kept: Kept) -> Vec<String> {
    let mut node = Node::new(kept);
    let mut sessions = BTreeMap::new();
    let mut names = Names::default();
    let mut wrong = Vec::new();
    for step in steps {
        if step.args[0] == b"!restart" {
            if matches!(kept, Kept::Nowhere) {
                // Nothing that follows can be true.
                break;
            }
            sessions.clear();
            node = node.restart();
            continue;
        }
        let connection = step.connection.as_str();
        let session = sessions.entry(connection).or_insert_with(|| node.connect());
        let args = names.fill(&step.args);
        let got = show(&node.run(session, &args));
        if step.expected != "*" && !names.matches(&step.expected, &got) {
            wrong.push(script::complaint(name, step, &got));
        }
    }
    wrong
}

fn play_all(kept: Kept) {
    let scripts = script::only_ours();
    let wrong = scripts.iter().flat_map(|(name, steps)| play(name, steps, kept));
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{kept:?}\n{}", wrong.join("\n"));
}

#[test]
fn scripts_get_the_replies_they_expect_in_memory() {
    play_all(Kept::Nowhere);
}

#[test]
fn scripts_get_the_replies_they_expect_through_the_log() {
    play_all(Kept::InLog);
}

/// As if compaction could not keep up, until it is said that it has.
fn fall_behind(node: &Node) {
    let limits = CompactionLimits {
        store_percent_max: 0,
        store_bytes_min: 0,
        groups_max: 1,
        logs_max: 1,
        debt_percent_max: 1,
        step_bytes: 0,
    };
    node.server.engine.with_core(|core| core.pace_writes(&limits, 0));
}

#[test]
fn inside_nothing_waits_for_compaction_but_the_commit() {
    let node = Node::new(Kept::InLog);
    let (mut inside, mut outside) = (node.connect(), node.connect());
    node.run(&mut outside, &["SET", "k", "v"]);
    node.run(&mut inside, &["AFT.BEGIN"]);
    fall_behind(&node);
    assert!(matches!(node.execute(&mut outside, "SET k w"), Execution::NoRoom));
    for free in ["SET k inside", "APPEND n 1", "MULTI", "SET k again", "EXEC", "GET k"] {
        let execution = node.execute(&mut inside, free);
        assert!(matches!(execution, Execution::Reply(..)), "{free}: {execution:?}");
    }
    assert!(matches!(node.execute(&mut inside, "AFT.COMMIT"), Execution::NoRoom));
    node.server.engine.with_core(|core| core.let_writes_go());
    let committed = node.execute(&mut inside, "AFT.COMMIT");
    assert!(matches!(committed, Execution::Reply(Reply::Bulk(_), Some(_))), "{committed:?}");
}

/// A snapshot counts keys that have expired and are still there, as DBSIZE does anywhere. One that
/// goes while the snapshot is open, and is written inside, is one key.
#[test]
fn a_key_that_goes_while_it_is_counted_is_not_counted_twice() {
    const TRIES: usize = 10_000_000;
    let node = Node::new(Kept::InLog);
    let (mut inside, mut outside) = (node.connect(), node.connect());
    node.run(&mut outside, &["SET", "k", "v", "PX", "1"]);
    // Nothing is reaped meanwhile: the node's tasks run only while somebody waits.
    let expired = |_: &usize| matches!(node.send(&mut outside, "EXISTS k").0, Reply::Integer(0));
    assert!((0..TRIES).find(expired).is_some());
    node.send(&mut inside, "AFT.BEGIN");
    assert!(matches!(node.send(&mut inside, "DBSIZE").0, Reply::Integer(1)));

    let reaped = |_: &usize| {
        // With it the time is durable at which the key had expired.
        node.run(&mut outside, &["SET", "other", "v"]);
        node.server.engine.with_core(|core| core.reap(usize::MAX));
        matches!(node.send(&mut outside, "DBSIZE").0, Reply::Integer(1))
    };
    assert!((0..TRIES).find(reaped).is_some());
    assert!(matches!(node.send(&mut inside, "DBSIZE").0, Reply::Integer(0)));
    node.send(&mut inside, "SET k again");
    assert!(matches!(node.send(&mut inside, "DBSIZE").0, Reply::Integer(1)));
}

/// Of each item of the reply of an EXEC that is a byte string: where that is in memory.
fn places(reply: &Reply) -> Vec<*const u8> {
    match reply {
        Reply::Bulk(bytes) => vec![bytes.as_ptr()],
        Reply::Array(items) => items.iter().flat_map(places).collect(),
        _ => Vec::new(),
    }
}

/// A value that a transaction has changed in parts is brought together for the first who reads it, and
/// shared by all others: replies are held until EXEC.
#[test]
fn a_value_of_its_own_is_brought_together_once() {
    let node = Node::new(Kept::InLog);
    let mut session = node.connect();
    let large = "v".repeat(4 << 20);
    node.run(&mut session, &["SET", "k", &large, "EX", "1000"]);
    node.run(&mut session, &["MULTI"]);
    for queued in ["APPEND k tail", "STRLEN k", "GET k", "MGET k k", "GETRANGE k 0 -1", "GET k"] {
        assert_eq!(node.send(&mut session, queued).0, Reply::Queued);
    }
    let reply = node.run(&mut session, &["EXEC"]);
    let places = places(&reply);
    assert_eq!(places.len(), 5);
    assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
    assert_eq!(node.run(&mut session, &["GET", "k"]), Reply::bulk(large + "tail"));
    assert_eq!(node.run(&mut session, &["TTL", "k"]), Reply::Integer(1000));
}

/// It is in memory in pieces and may not be there twice: who looks at a little of it needs no more.
#[test]
fn a_look_at_a_very_large_value_in_pieces_reads_nothing_back() {
    let node = Node::new(Kept::InLog);
    let mut session = node.connect();
    let length = 65 << 20;
    let offset = (length - 1).to_string();
    let made = node.run(&mut session, &["SETRANGE", "k", &offset, "x"]);
    assert_eq!(made, Reply::Integer(length));
    let range = format!("k {} -1", length - 3);
    let bit = length * 8 - 4;
    for inside in [false, true] {
        if inside {
            node.run(&mut session, &["AFT.BEGIN"]);
        }
        // Each answered at once.
        let mut tell = |request: String| node.send(&mut session, &request).0;
        assert_eq!(tell("STRLEN k".to_owned()), Reply::Integer(length));
        assert_eq!(tell(format!("GETRANGE {range}")), Reply::bulk(b"\0\0x"));
        assert_eq!(tell(format!("SUBSTR {range}")), Reply::bulk(b"\0\0x"));
        assert_eq!(tell(format!("GETBIT k {bit}")), Reply::Integer(1));
        assert_eq!(tell(format!("GETBIT k {}", bit + 3)), Reply::Integer(0));
    }
    assert!(matches!(node.execute(&mut session, "GET k"), Execution::Fetch(_)));
}
