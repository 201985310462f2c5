//! Long streams of requests and replies: nothing stays behind in a buffer, whoever waits for whom.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use crate::client::TlsClient;
use crate::common::resp::Reply;
use crate::common::server::{Options, Peer};
use crate::common::temp_dir::TempDir;
use crate::common::wait;
use crate::world::{TlsServer, is_aft};

const COMMANDS: i64 = 100_000;
const VALUE_BYTES: usize = 200_000;
/// Far above the limit and what the kernel's socket buffers hold, far below what all the replies
/// would take.
const GROWTH_MAX: u64 = 120 << 20;

fn queue_pipeline(client: &mut TlsClient, commands: std::ops::Range<i64>) {
    for n in commands {
        match n % 4 {
            0 => client.queue(&["INCR", "count"]),
            1 => client.queue(&["SET", "last", &n.to_string()]),
            2 => client.queue(&["GET", "last"]),
            _ => client.queue(&["ECHO", &n.to_string()]),
        }
    }
}

fn expect_replies(client: &mut TlsClient, commands: std::ops::Range<i64>) {
    for n in commands {
        let expected = match n % 4 {
            0 => Reply::Int(n / 4 + 1),
            1 => Reply::ok(),
            2 => Reply::bulk((n - 1).to_string()),
            _ => Reply::bulk(n.to_string()),
        };
        assert_eq!(client.read().expect("a reply"), expected, "reply {n}");
    }
}

/// All is sent before anything is read, so the replies back up into every buffer on the way.
#[test]
fn a_hundred_thousand_commands_are_answered_in_order() {
    let dir = TempDir::named("tls-pipeline");
    let server = TlsServer::start_with("yes", Options::durable(dir.path()));
    let mut client = server.client();
    queue_pipeline(&mut client, 0..COMMANDS);
    client.flush().expect("an open connection");
    expect_replies(&mut client, 0..COMMANDS);
    let count = server.server.client().cmd("GET count");
    assert_eq!(count, Reply::bulk((COMMANDS / 4).to_string()));
}

/// Sizes around those of TLS records and buffers: the last byte of each reply has to come without
/// another request behind it.
#[test]
fn replies_of_every_size_arrive_whole_and_at_once() {
    let server = TlsServer::start("yes");
    let mut client = server.client();
    let records = [1, 2, 4].map(|records| records << 14);
    let edges = records.iter().flat_map(|&size: &usize| size - 24..size + 24).step_by(3);
    for size in edges.chain([0, 1, 1 << 20, (8 << 20) + 1]) {
        let value: Vec<u8> =
            (0..size).map(|at| b'a' + u8::try_from(at % 23).unwrap_or(0)).collect();
        assert_eq!(client.run(&[b"SET", b"k".as_slice(), &value]), Reply::ok());
        let got = client.run(&["GET", "k"]);
        assert!(got == Reply::Bulk(value), "a value of {size} bytes");
    }
}

#[test]
fn a_client_that_reads_late_gets_everything() {
    let server = TlsServer::start("yes");
    let mut client = server.client();
    let value = vec![b'v'; VALUE_BYTES];
    assert_eq!(client.run(&[b"SET", b"big".as_slice(), &value]), Reply::ok());
    (0..200).for_each(|_| client.queue(&["GET", "big"]));
    client.flush().expect("an open connection");
    let mut other = server.client();
    for n in 1..=500 {
        assert_eq!(other.cmd("INCR n"), Reply::Int(n));
    }
    for _ in 0..200 {
        assert_eq!(client.read().expect("a reply"), Reply::Bulk(value.clone()));
    }
}

#[test]
fn a_client_that_never_reads_is_closed_and_stalls_nobody() {
    let limited = Options { output_buffer_bytes_max: Some("1mb"), ..Options::memory() };
    let server = TlsServer::start_with("yes", limited);
    let mut other = server.client();
    let value = vec![b'v'; VALUE_BYTES];
    assert_eq!(other.run(&[b"SET", b"big".as_slice(), &value]), Reply::ok());
    let before = server.server.memory_bytes("VmHWM");
    let mut never_reads = server.client();
    assert_eq!(never_reads.cmd("PING"), Reply::Simple(b"PONG".to_vec()));
    let mut slowest = Duration::ZERO;
    let error = std::thread::scope(|scope| {
        let closed = scope.spawn(|| {
            let ask = |_| {
                (0..100).for_each(|_| never_reads.queue(&["GET", "big"]));
                never_reads.flush().err()
            };
            (0..100_000).find_map(ask).expect("closed")
        });
        while !closed.is_finished() {
            let start = wait::now();
            assert_eq!(other.cmd("PING"), Reply::Simple(b"PONG".to_vec()));
            slowest = slowest.max(start.elapsed());
        }
        closed.join().expect("no panic")
    });
    println!("closed with {error}; the slowest PING meanwhile took {slowest:?}");
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    assert!(slowest < Duration::from_secs(2), "another client waited {slowest:?}");
    let grown = server.server.memory_bytes("VmHWM").saturating_sub(before);
    assert!(grown < GROWTH_MAX, "{grown} bytes for one slow reader");
    assert_eq!(other.run(&["GET", "big"]), Reply::Bulk(value));
}

#[test]
fn quit_is_answered_and_then_comes_a_goodbye() {
    let server = TlsServer::start("yes");
    let mut client = server.client();
    assert_eq!(client.cmd("QUIT"), Reply::ok());
    let rest = client.read_to_goodbye();
    // Redis closes without one.
    assert!(rest.is_ok_and(|rest| rest.is_empty()) || !is_aft());
}

/// With or without a goodbye: what was asked for is answered.
#[test]
fn an_end_of_requests_is_no_end_of_replies() {
    if Peer::under_test() == Peer::Redis {
        return; // It closes at once.
    }
    let dir = TempDir::named("tls-half-closed");
    let server = TlsServer::start_with("yes", Options::durable(dir.path()));
    let ends: [fn(&mut TlsClient); 2] = [TlsClient::say_goodbye, TlsClient::hang_up];
    for end in ends {
        let mut client = server.client();
        assert_eq!(client.cmd("FLUSHALL"), Reply::ok());
        queue_pipeline(&mut client, 0..10_000);
        client.flush().expect("an open connection");
        end(&mut client);
        expect_replies(&mut client, 0..10_000);
        assert_eq!(client.read_to_goodbye().expect("a goodbye"), b"");
    }
}

#[test]
fn a_broken_record_ends_that_connection_only() {
    let server = TlsServer::start("yes");
    let mut client = server.client();
    assert_eq!(client.cmd("SET k v"), Reply::ok());
    let record = [&[23, 3, 3, 0, 32][..], &[7; 32]].concat();
    (&mut client.socket()).write_all(&record).expect("an open connection");
    assert!(client.call(&["SET", "k", "w"]).is_err());
    assert_eq!(server.client().cmd("GET k"), Reply::bulk("v"));
}

#[test]
fn a_reply_that_was_lost_is_told_again() {
    if !is_aft() {
        return;
    }
    let server = TlsServer::start("yes");
    let begun = server.client().cmd("AFT.BEGIN");
    let bind = format!("CLIENT SETNAME aft:{}", begun.items()[0].text().expect("a token"));
    let bound = || {
        let mut client = server.client();
        assert_eq!(client.cmd(&bind), Reply::ok());
        client
    };
    let mut first = bound();
    assert_eq!(first.cmd("INCR n"), Reply::Int(1));
    let id = first.cmd("CLIENT ID").int();
    first.queue(&["INCR", "n"]);
    first.flush().expect("an open connection");
    assert!(first.socket().peek(&mut [0]).expect("bytes") > 0);
    // With bytes unread this is a reset.
    drop(first);
    let mut plain = server.client();
    wait::until("the connection is gone", wait::PATIENCE, || {
        let list = plain.cmd("CLIENT LIST").text().expect("a list");
        (!list.contains(&format!("id={id} "))).then_some(())
    });
    let mut again = bound();
    assert_eq!(again.cmd("INCR n"), Reply::Int(2));
    assert_eq!(again.cmd("INCR n"), Reply::Int(3));
    // Closed in order, what comes next is meant.
    drop(again);
    assert_eq!(bound().cmd("INCR n"), Reply::Int(4));
}
