//! Every command, as scripted sessions on a node in memory: `tests/scripts`, whose format is
//! told in `tests/command_support/script.rs`.
//!
//! `commands_against_redis.rs` plays the same scripts to a real redis-server.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod command_support;

use aft::command::{self, table};
use aft::resp::Reply;
use command_support::node::{Kept, Node};
use command_support::script::{self, Step, show, words};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

fn play(name: &str, steps: &[Step], kept: Kept) -> Vec<String> {
    let node = Node::new(kept);
    let mut sessions = BTreeMap::new();
    let mut wrong = Vec::new();
    for step in steps {
        let connection = step.connection.as_str();
        let session = sessions.entry(connection).or_insert_with(|| node.connect());
        let got = show(&node.run(session, &step.args));
        if step.expected != "*" && got != step.expected {
            wrong.push(script::complaint(name, step, &got));
        }
    }
    wrong
}

fn play_all(kept: Kept) {
    let scripts = script::all();
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

#[test]
fn every_command_is_in_some_script() {
    let mut left: BTreeSet<&str> = table::all()
        .iter()
        .flat_map(|command| std::iter::once(command).chain(command.subcommands))
        .map(|command| command.name)
        .collect();
    for (_, steps) in script::all().into_iter().chain(script::only_ours()) {
        for step in &steps {
            let args: Vec<&[u8]> = step.args.iter().map(Vec::as_slice).collect();
            if let Ok(command) = table::find(&args) {
                left.remove(command.name);
            }
        }
    }
    // A container's name alone is an error, which `find` doesn't find.
    left.retain(|name| table::find(&[name.as_bytes()]).is_ok() || name.contains('|'));
    assert!(left.is_empty(), "in no script: {left:?}");
}

/// A text reply.
fn text(reply: Reply) -> String {
    match reply {
        Reply::Verbatim { text, .. } => String::from_utf8_lossy(&text).into_owned(),
        other => panic!("{other:?}"),
    }
}

fn field<'t>(text: &'t str, name: &str) -> &'t str {
    text.split(|c: char| c.is_whitespace())
        .find_map(|word| word.strip_prefix(name)?.strip_prefix([':', '=']))
        .unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[test]
fn clients_see_each_other() {
    let node = Node::new(Kept::Nowhere);
    let (mut one, mut two) = (node.connect(), node.connect());
    let run = |session: &mut _, line: &str| node.run(session, &words(line));
    run(&mut two, "SELECT 3");
    run(&mut two, "CLIENT SETNAME second");
    run(&mut two, "CLIENT SETINFO lib-name mine");
    run(&mut two, "CLIENT SETINFO LIB-VER 1.0");
    run(&mut two, "CLIENT NO-TOUCH on");
    run(&mut two, "HELLO 3");
    run(&mut two, "WATCH a b");
    run(&mut two, "MULTI");
    run(&mut two, "SET a 1");
    two.publish(0);
    let list = text(run(&mut one, "CLIENT LIST"));
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 2, "{list}");
    for (name, value) in [
        ("id", "1"),
        ("addr", "10.0.0.1:40000"),
        ("laddr", "10.0.0.2:6379"),
        ("name", ""),
        ("flags", "N"),
        ("db", "0"),
        ("multi", "-1"),
        ("cmd", "client|list"),
        ("user", "default"),
        ("resp", "2"),
        ("lib-name", ""),
    ] {
        assert_eq!(field(lines[0], name), value, "{name}");
    }
    for (name, value) in [
        ("id", "2"),
        ("name", "second"),
        ("flags", "xT"),
        ("db", "3"),
        ("multi", "1"),
        ("cmd", "set"),
        ("resp", "3"),
        ("lib-name", "mine"),
        ("lib-ver", "1.0"),
    ] {
        assert_eq!(field(lines[1], name), value, "{name}");
    }
    assert_eq!(text(run(&mut one, "CLIENT LIST ID 2 9 1 2")).lines().count(), 3);
    assert_eq!(text(run(&mut one, "CLIENT LIST TYPE Normal")), list);
    assert_eq!(text(run(&mut one, "CLIENT LIST TYPE pubsub")), "");
    assert_eq!(text(run(&mut one, "CLIENT INFO")).lines().count(), 1);
    node.disconnect(two);
    assert_eq!(text(run(&mut one, "CLIENT LIST")).lines().count(), 1);
}

#[test]
fn kill_ends_those_it_means() {
    let node = Node::new(Kept::Nowhere);
    let mut me = node.connect();
    let others = [node.connect(), node.connect(), node.connect()];
    let killed = || {
        others
            .iter()
            .map(|session| session.client.killed.load(std::sync::atomic::Ordering::Acquire))
            .collect::<Vec<_>>()
    };
    let mut run = |line: &str| show(&node.run(&mut me, &words(line)));
    assert_eq!(run("CLIENT KILL ID 2 ADDR 10.0.0.1:40002"), ":0");
    assert_eq!(run("CLIENT KILL TYPE pubsub"), ":0");
    assert_eq!(run("CLIENT KILL MAXAGE 1000"), ":0");
    assert_eq!(killed(), [false, false, false]);
    assert_eq!(run("CLIENT KILL 10.0.0.1:40001"), "OK");
    assert_eq!(run("CLIENT KILL 10.0.0.1:40001"), "-ERR No such client");
    assert_eq!(killed(), [true, false, false]);
    assert_eq!(
        run("CLIENT KILL ID 3 ADDR 10.0.0.1:40002 LADDR 10.0.0.2:6379 USER default TYPE normal"),
        ":1"
    );
    assert_eq!(killed(), [true, true, false]);
    assert_eq!(run("CLIENT KILL SKIPME yes USER default"), ":1");
    assert_eq!(killed(), [true, true, true]);
    assert_eq!(run("CLIENT KILL SKIPME no ID 1"), ":1");
    assert!(me.closing);
    assert!(!me.client.killed.load(std::sync::atomic::Ordering::Acquire));
}

#[test]
fn info_has_what_clients_and_monitoring_read() {
    let node = Node::new(Kept::InLog);
    let mut session = node.connect();
    let mut run = |line: &str| node.run(&mut session, &words(line));
    run("SET a 1");
    run("SET b 1 EX 100");
    run("MGET a b c");
    run("EXISTS a zz");
    run("TTL zz");
    run("FOO");
    run("SET a b c");
    run("SELECT 2");
    run("SET a 1");
    run("MULTI");
    run("INCR n");
    run("AUTH x y");
    run("EXEC");
    let all = text(run("INFO everything"));
    for (name, value) in [
        ("redis_version", "7.0.15"),
        ("aft_version", env!("CARGO_PKG_VERSION")),
        ("redis_mode", "standalone"),
        ("tcp_port", "6379"),
        ("connected_clients", "1"),
        ("maxclients", "10000"),
        ("loading", "0"),
        ("role", "master"),
        ("connected_slaves", "0"),
        ("cluster_enabled", "0"),
        ("instantaneous_ops_per_sec", "0"),
        ("instantaneous_input_kbps", "0.00"),
        ("instantaneous_output_kbps", "0.00"),
        ("keyspace_hits", "3"),
        ("keyspace_misses", "3"),
        ("total_error_replies", "3"),
        ("errorstat_ERR", "count=2"),
        ("errorstat_WRONGPASS", "count=1"),
        ("db2", "keys=2,expires=0,avg_ttl=0"),
        ("health", "serving"),
        ("pending_bytes", "0"),
        ("store_failures", "0"),
        ("damages", "0"),
        ("oldest_pin_age_ms", "0"),
    ] {
        assert_eq!(field(&all, name), value, "{name}");
    }
    // What is left of 100 s, milliseconds after they began.
    let ttl_ms = field(&all, "db0").strip_prefix("keys=2,expires=1,avg_ttl=").map(str::parse);
    assert!(matches!(ttl_ms, Some(Ok(50_000..=100_000))), "{}", field(&all, "db0"));
    assert_eq!(field(&all, "run_id").len(), 40);
    assert_ne!(field(&all, "used_memory"), "0");
    // All but those of single commands.
    assert_eq!(text(run("INFO")).matches("\r\n# ").count() + 2, all.matches("\r\n# ").count());
    assert_eq!(text(run("INFO Replication")).lines().next(), Some("# Replication"));
    run("CONFIG RESETSTAT");
    let stats = text(run("INFO stats errorstats"));
    assert_eq!(field(&stats, "keyspace_hits"), "0");
    assert!(!stats.contains("errorstat_"));
}

#[test]
fn a_request_over_http_is_known() {
    for (line, attack) in
        [("POST / HTTP/1.1", true), ("host: a", true), ("GET post", false), ("HOST a", false)]
    {
        let words = words(line);
        let args: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        assert_eq!(command::is_cross_protocol_attack(&args), attack, "{line}");
    }
}

#[test]
fn a_plain_read_waits_for_nobody_elses_write() {
    let node = Node::new(Kept::InLog);
    let (mut writer, mut reader) = (node.connect(), node.connect());
    let (reply, gate) = node.send(&mut writer, "SET k 1");
    assert_eq!(reply, Reply::Ok);
    assert!(gate.is_some(), "told once it is durable");
    let (reply, gate) = node.send(&mut reader, "GET k");
    assert_eq!(reply, Reply::Null);
    assert!(gate.is_none(), "what is visible is told at once");
    let (reply, gate) = node.send(&mut writer, "GET k");
    assert_eq!(reply, Reply::bulk("1"), "its own write");
    assert!(gate.is_some());
}

#[test]
fn what_a_connection_was_answered_from_the_tip_it_does_not_unsee() {
    let node = Node::new(Kept::InLog);
    let (mut writer, mut reader) = (node.connect(), node.connect());
    node.send(&mut writer, "SET k 1");
    let (reply, gate) = node.send(&mut reader, "SET k 2 NX");
    assert_eq!(reply, Reply::Null, "it is there, on the tip");
    assert!(gate.is_some());
    let (reply, gate) = node.send(&mut reader, "GET k");
    assert_eq!(reply, Reply::bulk("1"), "as the reply before has said");
    assert!(gate.is_some());
}

#[test]
fn expire_writes_its_time_and_not_the_value() {
    let node = Node::new(Kept::InLog);
    let mut client = node.connect();
    let value = vec![b'x'; 1 << 20];
    assert_eq!(node.run(&mut client, &[b"SET".as_slice(), b"k", &value]), Reply::Ok);
    let written = || node.server.engine.store().metrics().bytes_created.load(Ordering::Relaxed);
    let before = written();
    assert!(before > value.len() as u64);
    for line in ["EXPIRE k 100", "PEXPIRE k 200000 GT", "PERSIST k"] {
        let args: Vec<&str> = line.split(' ').collect();
        assert_eq!(node.run(&mut client, &args), Reply::Integer(1), "{line}");
    }
    assert!(written() - before < 2_000, "{} bytes for three times", written() - before);
    assert_eq!(node.run(&mut client, &["GET", "k"]), Reply::bulk(value.as_slice()));
}
