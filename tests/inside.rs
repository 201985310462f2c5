//! Every command does inside of an interactive transaction what it does outside: the scripts of
//! `tests/scripts` that are about keys get the same replies there, whether a command meets the
//! transaction's own writes or its snapshot. And SCAN, which walks over both.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod command_support;

use aft::command::table;
use aft::resp::Reply;
use aft::session::Session;
use command_support::node::{Kept, Node};
use command_support::script::{self, Step, show};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};

/// Those whose commands are about keys, of one connection each.
const SCRIPTS: [&str; 8] =
    ["strings", "string_parts", "bits", "expiry", "keys", "moves", "scan", "object"];

/// When a transaction is committed, and the next begun.
#[derive(Debug, Clone, Copy)]
enum Ends {
    /// At the end of the script: every command meets own writes.
    Never,
    /// After each command: every command meets the snapshot.
    Always,
    Sometimes,
}

fn say(node: &Node, session: &mut Session, line: &str) -> Reply {
    node.run(session, &line.split(' ').collect::<Vec<_>>())
}

fn begin(node: &Node, session: &mut Session) {
    let begun = show(&say(node, session, "AFT.BEGIN"));
    assert!(begun.contains("\"begun\""), "{begun}");
}

fn commit(node: &Node, session: &mut Session) {
    let committed = show(&say(node, session, "AFT.COMMIT"));
    assert!(committed.starts_with('"'), "{committed}");
}

/// What no transaction can do is done between two.
fn is_refused(step: &Step) -> bool {
    let name = step.args[0].to_ascii_lowercase();
    [&b"flushall"[..], b"flushdb", b"swapdb"].contains(&name.as_slice())
}

fn play(name: &str, steps: &[Step], kept: Kept, ends: Ends) -> Vec<String> {
    let node = Node::new(kept);
    let mut session = node.connect();
    let mut rng = StdRng::seed_from_u64(steps.len() as u64);
    let mut wrong = Vec::new();
    begin(&node, &mut session);
    for step in steps {
        let outside = is_refused(step);
        let ends = match ends {
            Ends::Never => false,
            Ends::Always => true,
            Ends::Sometimes => rng.random_bool(0.3),
        };
        // A WATCH is of its transaction.
        let ends = ends && session.multi.is_none() && session.watches.is_empty();
        if outside || ends {
            commit(&node, &mut session);
        }
        if ends && !outside {
            begin(&node, &mut session);
        }
        let got = show(&node.run(&mut session, &step.args));
        if outside {
            begin(&node, &mut session);
        }
        if step.expected != "*" && step.expected != got {
            wrong.push(script::complaint(name, step, &got));
        }
    }
    // What it had become in there, it is for everybody.
    let here = contents(&node, &mut session);
    commit(&node, &mut session);
    let there = contents(&node, &mut session);
    if here != there {
        wrong.push(format!("{name}: {here:?} became {there:?}"));
    }
    wrong
}

/// All keys of the selected database and what they hold, but for those that are about to expire.
fn contents(node: &Node, session: &mut Session) -> BTreeMap<String, (String, bool)> {
    const SOON_MS: i64 = 10_000;
    let Reply::Array(keys) = say(node, session, "KEYS *") else { panic!("no keys") };
    let mut contents = BTreeMap::new();
    for key in &keys {
        let Reply::Bulk(name) = key else { panic!("{key:?}") };
        let left = node.run(session, &[&b"PTTL"[..], name.as_slice()]);
        let Reply::Integer(left) = left else { panic!("{left:?}") };
        if !(0..SOON_MS).contains(&left) {
            let value = node.run(session, &[&b"GET"[..], name.as_slice()]);
            contents.insert(show(key), (show(&value), left > 0));
        }
    }
    contents
}

fn scripts() -> Vec<(String, Vec<Step>)> {
    let mut scripts = script::all();
    scripts.retain(|(name, _)| SCRIPTS.contains(&name.as_str()));
    assert_eq!(scripts.len(), SCRIPTS.len());
    scripts
}

#[test]
fn scripts_get_the_same_replies_inside() {
    for (kept, ends) in [
        (Kept::Nowhere, Ends::Never),
        (Kept::InLog, Ends::Never),
        (Kept::InLog, Ends::Always),
        (Kept::Nowhere, Ends::Sometimes),
    ] {
        let scripts = scripts();
        let wrong = scripts.iter().flat_map(|(name, steps)| play(name, steps, kept, ends));
        let wrong: Vec<String> = wrong.collect();
        assert!(wrong.is_empty(), "{kept:?}, {ends:?}\n{}", wrong.join("\n"));
    }
}

/// Or a command could come that is tried nowhere inside.
#[test]
fn the_scripts_have_all_commands_that_are_about_keys() {
    let scripts = scripts();
    let said: BTreeSet<String> = scripts
        .iter()
        .flat_map(|(_, steps)| steps.iter().filter(|step| !step.expected.starts_with('-')))
        .map(|step| String::from_utf8_lossy(&step.args[0]).to_lowercase())
        .collect();
    let about_keys = table::all().iter().filter(|command| !command.keys.is_none());
    let missing: Vec<&str> = about_keys
        .map(|command| command.name)
        .filter(|name| *name != "watch" && !said.contains(*name))
        .collect();
    assert_eq!(missing, [""; 0]);
}

/// A cursor and keys.
fn scan(node: &Node, session: &mut Session, cursor: &str, options: &str) -> (String, Vec<String>) {
    let text = |reply: &Reply| match reply {
        Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("{other:?}"),
    };
    match say(node, session, &format!("SCAN {cursor} {options}")) {
        Reply::Array(items) => match items.as_slice() {
            [next, Reply::Array(keys)] => (text(next), keys.iter().map(text).collect()),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// A walk inside, while the transaction and others write: each key that is there from its beginning to
/// its end is found, as what it was in the snapshot or was made in here; none that others make, and
/// none that was gone all the time.
#[test]
fn scan_walks_over_the_snapshot_and_own_writes() {
    for seed in 0..50 {
        walk(seed);
    }
}

fn walk(seed: u64) {
    let node = Node::new(Kept::InLog);
    let (mut inside, mut outside) = (node.connect(), node.connect());
    let mut rng = StdRng::seed_from_u64(seed);
    let key = |number: u32| format!("key:{number}");
    for number in 0..200 {
        say(&node, &mut outside, &format!("SET {} outside", key(number)));
    }
    begin(&node, &mut inside);
    // The snapshot is taken here.
    assert_eq!(show(&say(&node, &mut inside, "DBSIZE")), ":200");
    let mut there: BTreeMap<String, bool> = (0..200).map(|n| (key(n), true)).collect();
    let mut change = |rng: &mut StdRng,
                      inside: &mut Session,
                      there: &mut BTreeMap<String, bool>| {
        let own = key(rng.random_range(0..300));
        let put = rng.random_bool(0.5);
        say(&node, inside, &if put { format!("SET {own} inside") } else { format!("DEL {own}") });
        there.insert(own, put);
        let foreign = key(rng.random_range(0..400));
        let line = match rng.random_range(0..3) {
            0 => format!("DEL {foreign}"),
            _ => format!("SET {foreign} later"),
        };
        say(&node, &mut outside, &line);
    };
    for _ in 0..100 {
        change(&mut rng, &mut inside, &mut there);
    }
    let alive = |there: &BTreeMap<String, bool>| -> BTreeSet<String> {
        there.iter().filter(|(_, alive)| **alive).map(|(key, _)| key.clone()).collect()
    };
    let (mut always, mut ever) = (alive(&there), alive(&there));
    let (mut found, mut cursor) = (BTreeSet::new(), "0".to_owned());
    let changes = seed % 3;
    loop {
        let (next, keys) = scan(&node, &mut inside, &cursor, "COUNT 7");
        found.extend(keys);
        cursor = next;
        if cursor == "0" {
            break;
        }
        for _ in 0..changes {
            change(&mut rng, &mut inside, &mut there);
            let now = alive(&there);
            always.retain(|key| now.contains(key));
            ever.extend(now);
        }
    }
    assert!(always.is_subset(&found), "seed {seed}: {:?}", always.difference(&found));
    assert!(found.is_subset(&ever), "seed {seed}: {:?}", found.difference(&ever));
    let all = alive(&there).len();
    assert_eq!(show(&say(&node, &mut inside, "DBSIZE")), format!(":{all}"), "seed {seed}");
    let (end, keys) = scan(&node, &mut inside, "0", "COUNT 1000 MATCH key:1?");
    let right: BTreeSet<String> =
        alive(&there).into_iter().filter(|k| k.len() == 6 && k.starts_with("key:1")).collect();
    assert_eq!((end.as_str(), keys.into_iter().collect()), ("0", right), "seed {seed}");
}
