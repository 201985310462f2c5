//! Imports from real servers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::common::client::Client;
use crate::common::resp::Reply;
use crate::common::server::{Options, Peer, Server};
use crate::common::temp_dir::TempDir;
use crate::common::wait;
use crate::tool::{assert_same, command, data_in, expect, fill, serve, store_of, verified_keys};

fn redis(extra: &[&str]) -> Server {
    let extra = extra.iter().map(|word| (*word).to_owned()).collect();
    Server::start(&Options { extra, ..Options::new(Peer::Redis) })
}

fn address(server: &Server) -> String {
    format!("redis://{}", server.addr())
}

/// Hashes and others, in two databases.
fn add_other_types(client: &mut Client) {
    for words in
        ["HSET hash a 1", "LPUSH list 1", "SADD set 1", "ZADD zset 1 a", "XADD stream * a 1"]
    {
        assert!(!client.cmd(words).is_error());
    }
    client.cmd("SELECT 5");
    for n in 0..25 {
        client.run(&["HSET", &format!("hash:{n}"), "a", "1"]);
    }
    client.cmd("SELECT 0");
}

#[test]
fn all_strings_come_over_and_all_others_are_named() {
    let redis = redis(&[]);
    let mut source = redis.client();
    fill(&mut source);
    let data = data_in(&mut source, 0..6);
    add_other_types(&mut source);
    let directory = TempDir::named("import");
    let store = store_of(directory.path());
    let said = expect(1, &["import", &address(&redis), "--store", &store]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], format!("imported {} keys of 3 databases", data.len()));
    assert_eq!(lines[1], "aft: 30 keys were left out, since they are no strings:");
    assert!(lines[2].starts_with("  26 of type hash: ") && lines[2].ends_with(", …"), "{said}");
    assert_eq!(
        lines[3..],
        [
            "  1 of type list: 0:list",
            "  1 of type set: 0:set",
            "  1 of type stream: 0:stream",
            "  1 of type zset: 0:zset",
        ]
    );
    assert_eq!(verified_keys(directory.path()), data.len() as u64);
    let (mut server, mut client) = serve(directory.path());
    assert_same(&data_in(&mut client, 0..6), &data);
    assert!(server.terminate().success());

    // What is there is not lost by a second run.
    let refused = expect(2, &["import", &address(&redis), "--store", &store]);
    assert!(refused.contains("--replace"), "{refused}");
    source.cmd("SELECT 5");
    let only = format!("{}/5", address(&redis));
    let said = expect(1, &["import", &only, "--store", &store, "--replace"]);
    assert!(said.starts_with("imported 1 keys of 1 database\n"), "{said}");
    let (_server, mut client) = serve(directory.path());
    assert_eq!(data_in(&mut client, 0..6).len(), 1);
    client.cmd("SELECT 5");
    assert_eq!(client.cmd("GET here").text().as_deref(), Some("5"));
}

#[test]
fn a_running_node_takes_an_import_and_gives_one() {
    let redis = redis(&[]);
    let mut source = redis.client();
    fill(&mut source);
    let directory = TempDir::named("running");
    let (server, mut client) = serve(directory.path());
    client.cmd("SET mine 1");
    client.cmd("SELECT 3");
    client.cmd("SET renamed before");
    expect(0, &["import", &address(&redis), "--to", &address(&server)]);
    let mut data = data_in(&mut source, 0..6);
    // Over those of the same name; the others stay.
    data.insert((0, b"mine".to_vec()), (0, b"1".to_vec()));
    assert_same(&data_in(&mut client, 0..6), &data);
    // And back: any server that speaks the protocol.
    source.cmd("FLUSHALL");
    let said = expect(0, &["import", &address(&server), "--to", &address(&redis)]);
    assert_eq!(said, format!("imported {} keys of 3 databases\n", data.len()));
    assert_same(&data_in(&mut source, 0..6), &data);
}

#[test]
fn who_we_are_is_asked_and_refusals_are_told() {
    let redis = redis(&["--requirepass", "p@ss word"]);
    let mut client = redis.client();
    client.run(&["AUTH", "p@ss word"]);
    client.cmd("ACL SETUSER reader on >secret ~* +@all");
    client.cmd("ACL SETUSER poor on >secret ~* +@read +select +info -get");
    client.cmd("SET a 1");
    let place = redis.addr();
    let directory = TempDir::named("who");
    let store = store_of(directory.path());
    let import = |login: &str, code| {
        let source = format!("redis://{login}{place}");
        let said = expect(code, &["import", &source, "--store", &store, "--replace"]);
        assert!(!said.contains("secret") && !said.contains("p@ss"), "{said}");
        said
    };
    assert!(import("", 2).contains("NOAUTH"), "no password");
    assert!(import(":wrong@", 2).contains("WRONGPASS"));
    assert!(import("reader@", 2).contains("without a password"));
    assert!(import("poor:secret@", 2).contains("NOPERM"));
    import(":p%40ss%20word@", 0);
    import("reader:secret@", 0);
    let source = format!("redis://{place}");
    let mut command = command(&["import", &source, "--store", &store, "--replace"]);
    let output = command.env("AFT_IMPORT_PASSWORD", "p@ss word").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(verified_keys(directory.path()), 1);
}

#[test]
fn expiries_are_exact_where_the_server_does_not_tell_them() {
    let redis = redis(&["--rename-command", "PEXPIRETIME", ""]);
    let mut source = redis.client();
    source.cmd("SET expires 1 PXAT 4000000000123");
    source.cmd("SET stays 1");
    let target = Server::start(&Options { peer: Peer::Aft, ..Options::memory() });
    expect(0, &["import", &address(&redis), "--to", &address(&target)]);
    let mut client = target.client();
    // A server reads its clock in microseconds and lives in milliseconds.
    let expires = client.cmd("PEXPIRETIME expires").int();
    assert!((4_000_000_000_122..=4_000_000_000_124).contains(&expires), "{expires}");
    assert_eq!(client.cmd("PEXPIRETIME stays").int(), -1);
}

#[test]
fn a_target_that_refuses_a_key_ends_an_import() {
    let redis = redis(&[]);
    for key in ["one", "other"] {
        redis.client().run(&["SET", key, &"x".repeat(2_000_000)]);
    }
    let mut options = Options { peer: Peer::Aft, ..Options::memory() };
    options.extra = vec!["--memory-bytes-max".to_owned(), "1mb".to_owned()];
    let target = Server::start(&options);
    let said = expect(2, &["import", &address(&redis), "--to", &address(&target)]);
    assert!(said.contains("SET: OOM") && said.contains(&address(&target)), "{said}");
}

#[test]
fn value_and_expiry_belong_together_while_they_change() {
    const KEYS: u64 = 2_000;
    let redis = redis(&[]);
    let set = |client: &mut Client, n: u64, round: u64| {
        let expires_ms = 4_000_000_000_000 + round;
        let words = format!("SET key:{n} {expires_ms} PXAT {expires_ms}");
        assert_eq!(client.cmd(&words), Reply::ok());
    };
    let mut client = redis.client();
    (0..KEYS).for_each(|n| set(&mut client, n, 0));
    let stop = AtomicBool::new(false);
    let rounds = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut round = 0;
            while !stop.load(Ordering::Relaxed) {
                round += 1;
                set(&mut client, round * 7 % KEYS, round);
            }
            round
        });
        let target = Server::start(&Options { peer: Peer::Aft, ..Options::memory() });
        let mut imported = target.client();
        let mut changed = 0;
        wait::until("imports that met changes", wait::PATIENCE, || {
            expect(0, &["import", &address(&redis), "--to", &address(&target)]);
            let data = data_in(&mut imported, 0..1);
            assert_eq!(data.len() as u64, KEYS);
            for (expires_ms, value) in data.values() {
                assert_eq!(value, expires_ms.to_string().as_bytes());
                changed += u64::from(*expires_ms > 4_000_000_000_000);
            }
            (changed > KEYS).then_some(())
        });
        stop.store(true, Ordering::Relaxed);
        writer.join().unwrap()
    });
    assert!(rounds > 0);
}

/// What an aft still has of a damaged store comes over, and the rest is named.
#[test]
fn what_is_left_of_a_damaged_store_is_imported() {
    const KEYS: usize = 30;
    let directory = TempDir::named("damaged");
    let (mut server, mut client) = serve(directory.path());
    for key in 0..KEYS {
        let value = format!("{key:03}").repeat(500);
        assert_eq!(client.run(&["SET", &format!("key{key}"), &value]), Reply::ok());
    }
    assert!(server.terminate().success());
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        for lost in ["007", "021"] {
            let text = lost.repeat(10);
            if let Some(at) = bytes.windows(30).position(|window| window == text.as_bytes()) {
                bytes[at + 600] ^= 1;
            }
        }
        std::fs::write(&path, bytes).unwrap();
    }
    let (server, _) = serve(directory.path());
    let copy = TempDir::named("left");
    let said = expect(1, &["import", &address(&server), "--store", &store_of(copy.path())]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], format!("imported {} keys of 1 database", KEYS - 2));
    assert_eq!(lines[1], "aft: 2 keys were left out, since the source can't read them:");
    let mut named: Vec<&str> = lines[2].trim().split(", ").collect();
    named.sort_unstable();
    assert_eq!(named, ["0:key21", "0:key7"]);
    let (_server, mut client) = serve(copy.path());
    assert_eq!(client.cmd("EXISTS key7 key21"), Reply::Int(0));
    assert_eq!(client.cmd("DBSIZE"), Reply::Int(KEYS as i64 - 2));
    assert_eq!(client.cmd("GET key8").text(), Some("008".repeat(500)));
}
