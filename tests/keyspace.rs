//! What is promised of all keys together, against models too simple to be wrong: the
//! guarantee of SCAN, the fairness of RANDOMKEY, and databases that are swapped through
//! transactions, restarts and values that are in the store only.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod command_support;

use aft::resp::Reply;
use aft::session::Session;
use command_support::node::{Kept, Node};
use command_support::script::{show, words};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

fn run(node: &Node, session: &mut Session, line: &str) -> Reply {
    node.run(session, &words(line))
}

fn texts(reply: &Reply) -> Vec<String> {
    let Reply::Array(items) = reply else {
        panic!("{reply:?}");
    };
    let text = |item: &Reply| match item {
        Reply::Bulk(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    };
    items.iter().map(text).collect()
}

/// The cursor and the keys of a reply of SCAN.
fn scanned(reply: &Reply) -> (String, Vec<String>) {
    match reply {
        Reply::Array(parts) => match &parts[..] {
            [Reply::Bulk(cursor), keys] => {
                (String::from_utf8(cursor.to_vec()).unwrap(), texts(keys))
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// Keys that come and go while a SCAN is under way.
struct Traffic<'n> {
    node: &'n Node,
    session: Session,
    rng: StdRng,
    keys: BTreeSet<String>,
    next: u64,
}

impl Traffic<'_> {
    fn add(&mut self, count: usize) {
        for _ in 0..count {
            self.next += 1;
            let key = format!("key:{}", self.next);
            run(self.node, &mut self.session, &format!("SET {key} v"));
            self.keys.insert(key);
        }
    }

    /// Deletes about one in `of`.
    fn delete(&mut self, of: u32) {
        let rng = &mut self.rng;
        let gone = self.keys.extract_if(.., |_| rng.random_range(0..of) == 0);
        let gone: Vec<String> = gone.collect();
        for chunk in gone.chunks(100) {
            run(self.node, &mut self.session, &format!("DEL {}", chunk.join(" ")));
        }
    }

    /// What happens between two steps.
    fn happen(&mut self) {
        match self.rng.random_range(0..40) {
            0 => {
                let count = self.rng.random_range(1..1500);
                self.add(count);
            }
            1..8 => {
                let count = self.rng.random_range(1..20);
                self.add(count);
            }
            8 => self.delete(3),
            9..12 => self.delete(50),
            12 if self.keys.len() < 200 => {
                run(self.node, &mut self.session, "FLUSHDB");
                self.keys.clear();
            }
            13 => {
                // An index of another database is another one, in the same order.
                run(self.node, &mut self.session, "SWAPDB 0 1");
                run(self.node, &mut self.session, "SWAPDB 1 0");
            }
            _ => {}
        }
    }
}

fn a_key_that_stays_is_met(kept: Kept, seed: u64) {
    let node = Node::new(kept);
    let mut session = node.connect();
    let mut traffic = Traffic {
        node: &node,
        session: node.connect(),
        rng: StdRng::seed_from_u64(seed),
        keys: BTreeSet::new(),
        next: 0,
    };
    for round in 0..12 {
        let size = [0, 5, 3000][round % 3];
        traffic.add(size);
        let mut stayed = traffic.keys.clone();
        let mut ever = stayed.clone();
        let mut met = BTreeSet::new();
        let mut cursor = "0".to_owned();
        loop {
            let count = [1, 2, 10, 100, 700][traffic.rng.random_range(0..5)];
            let reply = run(&node, &mut session, &format!("SCAN {cursor} COUNT {count}"));
            let (next, keys) = scanned(&reply);
            assert!(keys.len() <= count, "{} keys, {count} asked for", keys.len());
            for key in &keys {
                assert!(traffic.keys.contains(key), "{key} doesn't exist (seed {seed})");
            }
            met.extend(keys);
            cursor = next;
            if cursor == "0" {
                break;
            }
            traffic.happen();
            stayed = &stayed & &traffic.keys;
            ever.extend(traffic.keys.iter().cloned());
        }
        let missed: Vec<_> = stayed.difference(&met).collect();
        assert!(missed.is_empty(), "{missed:?} stayed and were not met (seed {seed})");
        assert!(met.is_subset(&ever));
    }
}

#[test]
fn scan_meets_every_key_that_stays_in_memory() {
    for seed in 0..6 {
        a_key_that_stays_is_met(Kept::Nowhere, seed);
    }
}

#[test]
fn scan_meets_every_key_that_stays_through_the_log() {
    a_key_that_stays_is_met(Kept::InLog, 7);
}

#[test]
fn scan_meets_what_its_transaction_has_written() {
    let node = Node::new(Kept::InLog);
    let mut session = node.connect();
    for n in 0..3000 {
        run(&node, &mut session, &format!("SET old:{n} v"));
    }
    run(&node, &mut session, "MULTI");
    for n in 0..500 {
        run(&node, &mut session, &format!("SET new:{n} v"));
        run(&node, &mut session, &format!("DEL old:{n}"));
    }
    run(&node, &mut session, "SCAN 0 COUNT 100000");
    run(&node, &mut session, "SCAN 0 COUNT 7");
    run(&node, &mut session, "KEYS *");
    run(&node, &mut session, "FLUSHDB");
    run(&node, &mut session, "SCAN 0 COUNT 100000");
    run(&node, &mut session, "SET last v");
    run(&node, &mut session, "RANDOMKEY");
    run(&node, &mut session, "SWAPDB 0 9");
    run(&node, &mut session, "KEYS *");
    run(&node, &mut session, "SELECT 9");
    run(&node, &mut session, "KEYS *");
    let Reply::Array(replies) = run(&node, &mut session, "EXEC") else {
        panic!("an EXEC without an array");
    };
    let replies = &replies[1000..];
    let new = (0..500).map(|n| format!("new:{n}"));
    let expected: BTreeSet<String> = (500..3000).map(|n| format!("old:{n}")).chain(new).collect();
    let (cursor, keys) = scanned(&replies[0]);
    assert_eq!((cursor.as_str(), keys.len()), ("0", expected.len()));
    assert_eq!(keys.into_iter().collect::<BTreeSet<_>>(), expected);
    let (cursor, keys) = scanned(&replies[1]);
    assert!(cursor != "0" && keys.len() <= 14);
    assert_eq!(texts(&replies[2]).into_iter().collect::<BTreeSet<_>>(), expected);
    assert_eq!(show(&replies[4]), r#"["0", []]"#);
    assert_eq!(show(&replies[6]), "\"last\"");
    assert_eq!([show(&replies[8]), show(&replies[10])], ["[]", r#"["last"]"#]);
    assert_eq!(show(&run(&node, &mut session, "SCAN 0")), r#"["0", ["last"]]"#);
}

#[test]
fn a_cursor_from_elsewhere_does_no_harm() {
    let node = Node::new(Kept::InLog);
    let mut session = node.connect();
    for n in 0..5000 {
        run(&node, &mut session, &format!("SET key:{n} v"));
    }
    let (cursor, _) = scanned(&run(&node, &mut session, "SCAN 0 COUNT 100"));
    let node = node.restart();
    let mut session = node.connect();
    let mut rng = StdRng::seed_from_u64(1);
    let cursors = (0..200).map(|bit| match bit {
        0..64 => 1u64 << bit,
        64..128 => u64::MAX >> (bit - 64),
        _ => rng.random(),
    });
    for mut cursor in cursors.map(|cursor| cursor.to_string()).chain([cursor]) {
        let mut steps = 0;
        while cursor != "0" {
            let reply = run(&node, &mut session, &format!("SCAN {cursor} COUNT 1000"));
            cursor = scanned(&reply).0;
            steps += 1;
            assert!(steps <= 6, "{cursor}");
        }
    }
}

#[test]
fn each_key_is_as_likely_to_be_drawn() {
    for (kept, size) in [(Kept::Nowhere, 7), (Kept::Nowhere, 4000), (Kept::InLog, 100)] {
        let node = Node::new(kept);
        let mut session = node.connect();
        for n in 0..size * 10 {
            run(&node, &mut session, &format!("SET key:{n} v"));
        }
        // Most are gone, some have expired.
        for n in size..size * 10 {
            let line =
                if n % 10 == 0 { format!("PEXPIREAT key:{n} 1") } else { format!("DEL key:{n}") };
            run(&node, &mut session, &line);
        }
        let mut drawn: BTreeMap<String, u64> = BTreeMap::new();
        let each = 50;
        for _ in 0..size * each {
            let Reply::Bulk(key) = run(&node, &mut session, "RANDOMKEY") else {
                panic!("no key");
            };
            *drawn.entry(String::from_utf8(key.to_vec()).unwrap()).or_default() += 1;
        }
        assert_eq!(drawn.len(), size);
        let most = drawn.values().max().unwrap();
        let least = drawn.values().min().unwrap();
        assert!(*least >= 15 && *most <= 100, "{least} to {most} of {each}");
        run(&node, &mut session, "FLUSHDB");
        assert_eq!(run(&node, &mut session, "RANDOMKEY"), Reply::Null);
    }
}

/// A flush is on its way to the store, or has arrived: that is no change to who watches
/// behind it. And what comes and goes meanwhile is one.
#[test]
fn who_watches_behind_a_flush_is_not_touched_by_it() {
    for (between, expected) in
        [(&[][..], "[]"), (&["SET a 2", "FLUSHDB"], "nil[]"), (&["FLUSHDB"], "[]")]
    {
        for first in ["FLUSHDB", "DEL a"] {
            let node = Node::new(Kept::InLog);
            let (mut one, mut other) = (node.connect(), node.connect());
            run(&node, &mut one, "SET a 1");
            for line in [first, "FLUSHALL", "WATCH a"] {
                node.send(&mut one, line);
            }
            for line in between {
                node.send(&mut other, line);
            }
            // Everything arrives.
            run(&node, &mut other, "SET b 1");
            run(&node, &mut other, "SET b 2");
            run(&node, &mut one, "MULTI");
            let reply = show(&run(&node, &mut one, "EXEC"));
            assert_eq!(reply, expected, "{first}, {between:?}");
        }
    }
}

/// All keys in the order of SCAN, which is that of their places in the index.
fn in_order(node: &Node, session: &mut Session) -> Vec<String> {
    let mut all = Vec::new();
    let mut cursor = "0".to_owned();
    loop {
        let (next, keys) = scanned(&run(node, session, &format!("SCAN {cursor} COUNT 1")));
        all.extend(keys);
        cursor = next;
        if cursor == "0" {
            return all;
        }
    }
}

/// What is left where: crowded in one part of the index, and far apart in all others.
#[test]
fn a_lonely_key_is_as_likely_to_be_drawn_as_one_in_a_crowd() {
    for (crowd, lonely) in [(1000, 100), (0, 400), (0, 1000)] {
        let node = Node::new(Kept::Nowhere);
        let mut session = node.connect();
        for n in 0..8000 {
            run(&node, &mut session, &format!("SET key:{n} v"));
        }
        let keys = in_order(&node, &mut session);
        let (apart, together) = keys.split_at(keys.len() - crowd);
        let mut left: BTreeSet<&String> = together.iter().collect();
        for (at, key) in apart.iter().enumerate() {
            if at % lonely == 0 {
                left.insert(key);
            } else {
                run(&node, &mut session, &format!("DEL {key}"));
            }
        }
        let lonely_count = left.len() - crowd;
        let draws = left.len() * 100;
        let mut drawn: BTreeMap<String, u64> = BTreeMap::new();
        for _ in 0..draws {
            let Reply::Bulk(key) = run(&node, &mut session, "RANDOMKEY") else {
                panic!("no key");
            };
            *drawn.entry(String::from_utf8(key.to_vec()).unwrap()).or_default() += 1;
        }
        let (least, most) = (drawn.values().min().unwrap(), drawn.values().max().unwrap());
        assert_eq!(drawn.len(), left.len());
        assert!(*least >= 50 && *most <= 170, "{least} to {most} of 100 each");
        let of_lonely: u64 =
            drawn.iter().filter(|(key, _)| !together.contains(key)).map(|(_, times)| times).sum();
        let expected = lonely_count as u64 * 100;
        assert!(of_lonely.abs_diff(expected) * 10 <= expected * 2, "{of_lonely}, not {expected}");
    }
}

/// A cursor says where to go on, and what is exactly there is still to come. (It stands one
/// behind the last key, so there it is met by going back by one.)
#[test]
fn a_step_of_scan_meets_the_key_at_its_cursor() {
    let node = Node::new(Kept::Nowhere);
    let mut session = node.connect();
    for n in 0..3000 {
        run(&node, &mut session, &format!("SET key:{n} v"));
    }
    let (mut steps, mut met) = (0, 0);
    let mut cursor = "0".to_owned();
    loop {
        let (next, keys) = scanned(&run(&node, &mut session, &format!("SCAN {cursor} COUNT 1")));
        cursor = next;
        if cursor == "0" {
            break;
        }
        let back = cursor.parse::<u64>().unwrap() - 1;
        let (_, again) = scanned(&run(&node, &mut session, &format!("SCAN {back} COUNT 1")));
        steps += 1;
        met += u64::from(keys == again);
    }
    // At the end of a part of the index the cursor stands further on.
    assert!(steps > 2900 && met * 10 > steps * 9, "{met} of {steps}");
}

/// The settings may know fewer databases than there were: what is out of their reach stays.
#[test]
fn databases_out_of_reach_are_there_when_they_are_known_again() {
    for other in ["SET b 9", "GET b"] {
        let node = Node::new(Kept::InLog);
        let mut session = node.connect();
        let say = |node: &Node, session: &mut Session, lines: &[(&str, &str)]| {
            for (line, reply) in lines {
                assert_eq!(show(&run(node, session, line)), *reply, "{line}, after {other}");
            }
        };
        run(&node, &mut session, "SET a 0");
        run(&node, &mut session, "SELECT 9");
        run(&node, &mut session, other);
        let (there, count) = if other == "SET b 9" { ("\"9\"", 1) } else { ("nil", 0) };
        let (empty, full) = (format!(":{count}"), format!(":{}", count + 2));
        say(&node, &mut session, &[("SWAPDB 0 9", "OK"), ("GET a", "\"0\"")]);
        // Now 0 means what 9 did, which is behind the count.
        let node = node.restart_with_databases(4);
        let mut session = node.connect();
        let before = [("GET b", there), ("DBSIZE", empty.as_str()), ("GET a", "nil")];
        say(&node, &mut session, &before);
        say(&node, &mut session, &[("SET c 1", "OK"), ("SET d 1", "OK"), ("DBSIZE", &full)]);
        let node = node.restart_with_databases(4);
        let mut session = node.connect();
        say(&node, &mut session, &[("DBSIZE", &full), ("GET b", there), ("GET c", "\"1\"")]);
        let node = node.restart();
        let mut session = node.connect();
        say(&node, &mut session, &[("DBSIZE", &full), ("SELECT 9", "OK"), ("GET a", "\"0\"")]);
        let back = [("SWAPDB 9 0", "OK"), ("DBSIZE", &full), ("GET b", there)];
        say(&node, &mut session, &back);
        let node = node.restart_with_databases(1);
        let mut session = node.connect();
        say(&node, &mut session, &[("GET a", "\"0\""), ("DBSIZE", ":1"), ("KEYS *", r#"["a"]"#)]);
    }
}

#[test]
fn a_key_is_drawn_among_many_that_expired() {
    let node = Node::new(Kept::InLog);
    let mut session = node.connect();
    // A snapshot that stays keeps them all.
    let pin = node.server.engine.with_core(|core| core.hold());
    for n in 0..3000 {
        run(&node, &mut session, &format!("SET key:{n} v PXAT 1"));
    }
    run(&node, &mut session, "SET key v");
    for _ in 0..20 {
        assert_eq!(show(&run(&node, &mut session, "RANDOMKEY")), "\"key\"");
    }
    run(&node, &mut session, "DEL key");
    assert_eq!(run(&node, &mut session, "RANDOMKEY"), Reply::Null);
    assert_eq!(show(&run(&node, &mut session, "SCAN 0 COUNT 100000")), r#"["0", []]"#);
    node.server.engine.with_core(|core| core.let_go(pin));
}

/// A swap that may still be given up is seen by nobody but those whose replies wait for it.
#[test]
fn what_a_swap_on_its_way_shows_waits_for_it() {
    let node = Node::new(Kept::InLog);
    let (mut one, mut other) = (node.connect(), node.connect());
    run(&node, &mut one, "SELECT 1");
    run(&node, &mut one, "SET a 1");
    let (reply, swapped) = node.send(&mut one, "SWAPDB 0 1");
    let swapped = swapped.unwrap();
    assert_eq!(reply, Reply::Ok);
    // Reads run on what is acknowledged: before the swap.
    for (line, expected) in
        [("GET a", "nil"), ("KEYS *", "[]"), ("DBSIZE", ":0"), ("RANDOMKEY", "nil")]
    {
        let (reply, gate) = node.send(&mut other, line);
        assert_eq!((show(&reply).as_str(), gate.is_some()), (expected, false), "{line}");
    }
    // What reads to write runs behind it, and so does the connection that swapped.
    for (who, line, expected) in [
        (2, "SET a 2 NX", "nil"),
        (1, "GET a", "nil"),
        (1, "SCAN 0", r#"["0", []]"#),
        (2, "GET a", "\"1\""),
    ] {
        let session = if who == 1 { &mut one } else { &mut other };
        let (reply, gate) = node.send(session, line);
        assert_eq!(show(&reply), expected, "{line}");
        let gate = gate.unwrap_or_else(|| panic!("{line} waits for nothing"));
        assert!(Arc::ptr_eq(&gate, &swapped), "{line}");
    }
    let mut third = node.connect();
    run(&node, &mut third, "PING");
    let settled = run(&node, &mut third, "SET b 1");
    assert_eq!(settled, Reply::Ok);
    assert_eq!(show(&run(&node, &mut third, "GET a")), "\"1\"");
}

const DATABASES: usize = 4;

/// Databases as maps of values.
#[derive(Default)]
struct Model([BTreeMap<String, String>; DATABASES]);

impl Model {
    /// Does one random thing here and as a request, which it returns.
    fn change(&mut self, rng: &mut StdRng) -> (usize, String) {
        let (at, to) = (rng.random_range(0..DATABASES), rng.random_range(0..DATABASES));
        let key = format!("k{}", rng.random_range(0..6));
        let new_key = format!("k{}", rng.random_range(0..6));
        let long = if rng.random() { 100 } else { 1 };
        let request = match rng.random_range(0..20) {
            0..6 => {
                let value = format!("{:0long$}", rng.random_range(0..1_000_000));
                self.0[at].insert(key.clone(), value.clone());
                format!("SET {key} {value}")
            }
            6..8 => {
                self.0[at].remove(&key);
                format!("DEL {key}")
            }
            8 => {
                self.0[at].clear();
                "FLUSHDB".to_owned()
            }
            9..13 => {
                self.0.swap(at, to);
                format!("SWAPDB {at} {to}")
            }
            13..15 => {
                if let Some(value) = self.0[at].remove(&key) {
                    self.0[at].insert(new_key.clone(), value);
                }
                format!("RENAME {key} {new_key}")
            }
            15..17 => {
                if at != to
                    && !self.0[to].contains_key(&key)
                    && let Some(value) = self.0[at].remove(&key)
                {
                    self.0[to].insert(key.clone(), value);
                }
                format!("MOVE {key} {to}")
            }
            17..19 => {
                if (at, &key) != (to, &new_key)
                    && let Some(value) = self.0[at].get(&key).cloned()
                {
                    self.0[to].insert(new_key.clone(), value);
                }
                format!("COPY {key} {new_key} DB {to} REPLACE")
            }
            _ => format!("PEXPIREAT {key} 33177117420000"),
        };
        (at, request)
    }

    fn check(&self, node: &Node, session: &mut Session) {
        for (database, model) in self.0.iter().enumerate() {
            run(node, session, &format!("SELECT {database}"));
            let mut keys = texts(&run(node, session, "KEYS *"));
            keys.sort();
            assert!(keys.iter().eq(model.keys()), "{database}: {keys:?} and {model:?}");
            assert_eq!(run(node, session, "DBSIZE"), Reply::Integer(model.len() as i64));
            for (key, value) in model {
                let reply = run(node, session, &format!("GET {key}"));
                assert_eq!(reply, Reply::bulk(value.as_str()), "{database}: {key}");
            }
        }
    }
}

#[test]
fn databases_that_are_swapped_survive_restarts() {
    for seed in 0..10 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut node = Node::new(Kept::InLog);
        let mut model = Model::default();
        for _ in 0..8 {
            let mut session = node.connect();
            for _ in 0..rng.random_range(0..30) {
                let transaction = rng.random_range(0..3) == 0;
                if transaction {
                    run(&node, &mut session, "MULTI");
                }
                for _ in 0..if transaction { rng.random_range(0..8) } else { 1 } {
                    let (database, request) = model.change(&mut rng);
                    run(&node, &mut session, &format!("SELECT {database}"));
                    run(&node, &mut session, &request);
                }
                if transaction {
                    run(&node, &mut session, "EXEC");
                }
            }
            model.check(&node, &mut session);
            node.disconnect(session);
            node = node.restart();
            let mut session = node.connect();
            model.check(&node, &mut session);
            node.disconnect(session);
        }
    }
}
