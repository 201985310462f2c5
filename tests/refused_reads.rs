//! Reads that a store can't serve: the client is told, in words that docs/differences.md
//! promises, and all the rest is served.
#![allow(clippy::expect_used)] // A failed step of a test is a failed test.

mod common;

use common::client::Client;
use common::resp::Reply;
use common::server::{Options, Peer, Server};
use common::small_disk::SmallDisk;
use common::temp_dir::TempDir;
use common::wait::{self, PATIENCE};
use std::path::Path;

/// Values of which no copy stays in memory.
fn cold(dir: &Path) -> Options {
    let extra = ["--cache-bytes", "0"].map(str::to_owned).to_vec();
    Options { dir: Some(dir.to_owned()), extra, ..Options::new(Peer::Aft) }
}

/// Changes one byte of the first segment: of the last place where these bytes are.
fn flip(dir: &Path, at: &[u8]) {
    let segment = dir.join("segment-1");
    let mut bytes = std::fs::read(&segment).expect("the first segment");
    let place = bytes.windows(at.len()).rposition(|window| window == at).expect("it is there");
    bytes[place] ^= 1;
    std::fs::write(&segment, bytes).expect("written back");
}

fn error(reply: Reply) -> String {
    let Reply::Error(line) = reply else { panic!("no error: {reply:?}") };
    String::from_utf8(line).expect("a line of text")
}

#[test]
fn a_value_that_the_store_does_not_give_is_no_nil() {
    let dir = TempDir::named("damaged-value");
    let mut server = Server::start(&cold(dir.path()));
    let mut client = server.client();
    let value = "x".repeat(3000);
    assert_eq!(client.run(&["SET", "large", &value]), Reply::ok());
    assert_eq!(client.cmd("SET small s"), Reply::ok());
    assert_eq!(client.cmd("GET large"), Reply::bulk(&value));
    flip(dir.path(), &value.as_bytes()[..100]);

    let look = |client: &mut Client| {
        for asked in ["GET large", "MGET small large", "APPEND large y", "GETRANGE large 0 1"] {
            let line = error(client.cmd(asked));
            let promised = "ERR a value could not be read from the store: ";
            assert!(line.starts_with(promised) && line.ends_with("\"large\""), "{asked}: {line}");
        }
        client.cmd("MULTI");
        client.cmd("SET small t");
        client.cmd("GET large");
        assert!(error(client.cmd("EXEC")).starts_with("ERR a value could not be read"));
        // Nothing of it has happened, and others are served.
        assert_eq!(
            client.cmd("MGET small none"),
            Reply::Array(vec![Reply::bulk("s"), Reply::NullBulk])
        );
    };
    look(&mut client);
    server.kill_9();
    server.restart();
    look(&mut server.client());
    // Whoever needs no old value may go on.
    let mut client = server.client();
    assert_eq!(client.cmd("SET large new"), Reply::ok());
    assert_eq!(client.cmd("GET large"), Reply::bulk("new"));
}

#[test]
fn a_value_that_is_lost_is_reported_and_not_guessed() {
    let dir = TempDir::named("lost-value");
    let mut server = Server::start(&cold(dir.path()));
    let mut client = server.client();
    // Too large to be repeated with the expiry, which is of another transaction: that one will
    // be known, and the value not.
    assert_eq!(client.run(&["SET", "a-key-to-be-lost", &"x".repeat(3000)]), Reply::ok());
    assert_eq!(client.cmd("EXPIRE a-key-to-be-lost 1000"), Reply::Int(1));
    assert_eq!(client.cmd("SET other 2"), Reply::ok());
    server.kill_9();
    let segment = std::fs::read(dir.path().join("segment-1")).expect("the first segment");
    let written = segment.windows(16).filter(|bytes| bytes == b"a-key-to-be-lost").count();
    assert_eq!(written, 2);
    let first = segment.windows(16).position(|bytes| bytes == b"a-key-to-be-lost");
    let mut damaged = segment;
    damaged[first.expect("twice")] ^= 1;
    std::fs::write(dir.path().join("segment-1"), damaged).expect("written back");

    server.restart();
    let mut client = server.client();
    let lost = "ERR the value of this key is lost in the store, see the server's log";
    assert_eq!(error(client.cmd("GET a-key-to-be-lost")), lost);
    assert_eq!(error(client.cmd("INCR a-key-to-be-lost")), lost);
    assert_eq!(client.cmd("GET other"), Reply::bulk("2"));
    assert!(server.said().contains("a-key-to-be-lost"), "{}", server.said());
    assert_eq!(client.cmd("SET a-key-to-be-lost 3"), Reply::ok());
    assert_eq!(client.cmd("GET a-key-to-be-lost"), Reply::bulk("3"));
}

/// That its time is over is nowhere in the store yet, and can't be brought there: a restart with
/// a clock behind ours might find the key alive again.
#[test]
fn a_key_that_expires_while_the_store_is_full_is_neither_there_nor_gone() {
    let disk = SmallDisk::new("size=32m");
    let dir = disk.path().join("data");
    std::fs::create_dir(disk.seen_from_outside().join("data")).expect("a directory");
    let extra = ["--store-attempt-timeout-ms", "200"].map(str::to_owned).to_vec();
    let options = Options {
        through: disk.through(),
        commit_deadline_ms: Some(500),
        extra,
        dir: Some(dir),
        ..Options::new(Peer::Aft)
    };
    let ballast = disk.seen_from_outside().join("ballast");
    std::fs::write(&ballast, vec![1; 8 << 20]).expect("room for the ballast");
    let server = Server::start(&options);
    let mut client = server.client();
    let filler = "x".repeat(1 << 20);
    assert_eq!(client.cmd("SET soon v PX 8000"), Reply::ok());
    let mut number = 0;
    let mut is_refused = |client: &mut Client| {
        number += 1;
        client.run(&["SET", &format!("filler{number}"), &filler]).is_error().then_some(())
    };
    wait::until("the disk is full", PATIENCE, || is_refused(&mut client));
    assert_eq!(client.cmd("GET soon"), Reply::bulk("v"), "its time was over too early");
    let over = wait::until("its time is over", PATIENCE, || {
        let reply = client.cmd("GET soon");
        (reply != Reply::bulk("v")).then_some(reply)
    });
    let promised = "ERR a key has just expired and the store does not answer: ";
    assert!(error(over).starts_with(promised));
    assert_eq!(client.cmd("PING"), Reply::Simple(b"PONG".to_vec()));
    assert_eq!(client.cmd("STRLEN filler1"), Reply::Int(1 << 20));

    std::fs::remove_file(&ballast).expect("the ballast");
    wait::until("the store answers again", PATIENCE, || {
        (client.cmd("GET soon") == Reply::NullBulk).then_some(())
    });
}
