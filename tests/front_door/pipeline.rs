//! Pipelines: any depth, replies in order.

use std::io::{BufReader, Write};
use std::net::TcpStream;

use crate::common::resp::{Reply, encode, read_reply};
use crate::common::server::{Options, Server};
use crate::common::temp_dir::TempDir;

const COMMANDS: i64 = 100_000;

/// Sends from a thread of its own: with nobody reading, both sides' buffers would fill.
fn pipelined(server: &Server, requests: Vec<u8>, mut see: impl FnMut(&mut BufReader<TcpStream>)) {
    let (mut to, mut from) = server.client().split().expect("a second handle");
    std::thread::scope(|scope| {
        scope.spawn(move || to.write_all(&requests).expect("all is sent"));
        see(&mut from);
    });
}

#[test]
fn a_hundred_thousand_commands_are_answered_in_order() {
    let dir = TempDir::named("pipeline");
    let server = Server::start(&Options::durable(dir.path()));
    let mut requests = Vec::new();
    for n in 0..COMMANDS {
        match n % 4 {
            0 => encode(&["INCR", "count"], &mut requests),
            1 => encode(&["SET", "last", &n.to_string()], &mut requests),
            2 => encode(&["GET", "last"], &mut requests),
            _ => encode(&["ECHO", &n.to_string()], &mut requests),
        }
    }
    pipelined(&server, requests, |from| {
        for n in 0..COMMANDS {
            let expected = match n % 4 {
                0 => Reply::Int(n / 4 + 1),
                1 => Reply::ok(),
                // Its own write, acknowledged or not (P4).
                2 => Reply::bulk((n - 1).to_string()),
                _ => Reply::bulk(n.to_string()),
            };
            assert_eq!(read_reply(from).expect("a reply"), expected, "reply {n}");
        }
    });
    assert_eq!(server.client().cmd("GET count"), Reply::bulk((COMMANDS / 4).to_string()));
}

/// One by one, a client sees it anyway.
#[test]
fn what_follows_in_a_pipeline_sees_new_settings_and_no_killed_connections() {
    let server = Server::start(&Options::memory());
    let mut client = server.client();
    let mut at_once = |lines: &[&str]| -> Vec<Reply> {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        lines.iter().for_each(|line| client.queue(&words(line)));
        client.flush().expect("all is sent");
        lines.iter().map(|_| client.read().expect("a reply")).collect()
    };
    let told = at_once(&["CONFIG SET slowlog-log-slower-than 0", "GET a", "SLOWLOG LEN"]);
    assert_eq!(told, [Reply::ok(), Reply::NullBulk, Reply::Int(2)]);

    let mut other = server.client();
    let kill = format!("CLIENT KILL ID {}", other.cmd("CLIENT ID").int());
    let told = at_once(&[&kill, "CLIENT LIST"]);
    assert_eq!(told[0], Reply::Int(1));
    assert_eq!(told[1].text().expect("lines").lines().count(), 1, "{told:?}");
}

#[test]
fn transactions_interleave_with_commands_in_one_pipeline() {
    let server = Server::start(&Options::memory());
    let rounds = 3_000;
    let mut requests = Vec::new();
    for n in 0..rounds {
        for words in [
            &["MULTI"][..],
            &["INCR", "a"],
            &["INCR", "b"],
            &["EXEC"],
            &["INCR", "a"],
            &["WATCH", "w"],
            // Every second time its own write touches the watch.
            if n % 2 == 0 { &["SET", "w", "x"] } else { &["GET", "w"] },
            &["MULTI"],
            &["INCR", "c"],
            &["EXEC"],
            &["MULTI"],
            &["NOSUCH"],
            &["EXEC"],
        ] {
            encode(words, &mut requests);
        }
    }
    pipelined(&server, requests, |from| {
        let mut next = || read_reply(from).expect("a reply");
        for n in 0..rounds {
            assert_eq!([next(), next(), next()], [Reply::ok(), Reply::queued(), Reply::queued()]);
            let both = Reply::Array(vec![Reply::Int(2 * n + 1), Reply::Int(n + 1)]);
            assert_eq!([next(), next(), next()], [both, Reply::Int(2 * n + 2), Reply::ok()]);
            assert_eq!(next(), if n % 2 == 0 { Reply::ok() } else { Reply::bulk("x") });
            assert_eq!([next(), next()], [Reply::ok(), Reply::queued()]);
            let done = Reply::Array(vec![Reply::Int(n / 2 + 1)]);
            assert_eq!(next(), if n % 2 == 0 { Reply::NullArray } else { done });
            assert_eq!(next(), Reply::ok());
            assert_eq!(next().error_code().as_deref(), Some("ERR"));
            assert_eq!(next().error_code().as_deref(), Some("EXECABORT"));
        }
    });
}

#[test]
fn pipelines_of_many_clients_do_not_mix() {
    let dir = TempDir::named("pipelines");
    let server = Server::start(&Options::durable(dir.path()));
    std::thread::scope(|scope| {
        for client in 0..8 {
            let server = &server;
            scope.spawn(move || {
                let key = format!("k{client}");
                let mut requests = Vec::new();
                for n in 0..2_000 {
                    encode(&["SET", &key, &format!("{client}:{n}")], &mut requests);
                    encode(&["GET", &key], &mut requests);
                    encode(&["INCR", "all"], &mut requests);
                }
                pipelined(server, requests, |from| {
                    let mut last = 0;
                    for n in 0..2_000 {
                        assert_eq!(read_reply(from).expect("a reply"), Reply::ok());
                        let own = Reply::bulk(format!("{client}:{n}"));
                        assert_eq!(read_reply(from).expect("a reply"), own);
                        let all = read_reply(from).expect("a reply").int();
                        assert!(all > last, "{all} after {last}");
                        last = all;
                    }
                });
            });
        }
    });
    assert_eq!(server.client().cmd("GET all"), Reply::bulk("16000"));
}
