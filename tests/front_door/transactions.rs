//! MULTI, EXEC, DISCARD and WATCH, exactly as redis-server has them.

use std::io::BufRead;

use crate::common::resp::Reply;
use crate::common::server::{Options, Server};
use crate::common::session::{Scenario, same_replies};
use crate::common::temp_dir::TempDir;

const fn scenario(name: &'static str, script: &'static str) -> Scenario {
    Scenario { name, script }
}

#[test]
fn multi_is_as_in_redis() {
    same_replies(MULTI);
}

#[test]
fn watch_is_as_in_redis() {
    same_replies(WATCH);
}

#[test]
fn watch_and_time_are_as_in_redis() {
    same_replies(EXPIRY);
}

#[test]
fn a_multi_that_comes_with_its_exec_is_answered_in_one_piece() {
    let dir = TempDir::named("one_piece");
    let server = Server::start(&Options::durable(dir.path()));
    let mut client = server.client();
    for round in 1..=20 {
        // The EXEC waits for the disk; what stands before it is of no use without it, and
        // would wake the client twice.
        client.send_raw(b"MULTI\r\nINCR k\r\nEXEC\r\n").expect("sent");
        let received = client.reader().fill_buf().expect("an answer").to_vec();
        client.reader().consume(received.len());
        let expected = format!("+OK\r\n+QUEUED\r\n*1\r\n:{round}\r\n");
        assert_eq!(String::from_utf8_lossy(&received), expected);
    }
    // What comes before its EXEC is answered at once.
    assert_eq!(client.cmd("MULTI"), Reply::ok());
    assert_eq!(client.cmd("INCR k"), Reply::queued());
    assert_eq!(client.cmd("EXEC"), Reply::Array(vec![Reply::Int(21)]));
}

/// Beyond them a client gets an error at once, EXEC carries out nothing, and it can go on.
#[test]
fn what_a_client_may_queue_and_watch_is_bounded() {
    let mut options = Options::memory();
    let limits =
        [["--multi-commands-max", "3"], ["--multi-bytes-max", "1mb"], ["--watched-keys-max", "2"]];
    options.extra = limits.concat().into_iter().map(str::to_owned).collect();
    let server = Server::start(&options);
    let mut client = server.client();
    let too_much = Reply::Error(
        b"ERR too much is queued in this MULTI, see multi-bytes-max and multi-commands-max"
            .to_vec(),
    );
    let aborted =
        Reply::Error(b"EXECABORT Transaction discarded because of previous errors.".to_vec());

    client.cmd("MULTI");
    for _ in 0..3 {
        assert_eq!(client.cmd("INCR k"), Reply::queued());
    }
    assert_eq!(client.cmd("INCR k"), too_much);
    assert_eq!(client.cmd("EXEC"), aborted);

    client.cmd("MULTI");
    assert_eq!(client.cmd("SET k 1"), Reply::queued());
    assert_eq!(client.run(&["SET", "k", &"x".repeat(1 << 20)]), too_much);
    assert_eq!(client.cmd("EXEC"), aborted);
    assert_eq!(client.cmd("EXISTS k"), Reply::Int(0));

    assert_eq!(client.cmd("WATCH a b"), Reply::ok());
    assert_eq!(client.cmd("WATCH a"), Reply::ok());
    let too_many = Reply::Error(b"ERR too many keys are watched, see watched-keys-max".to_vec());
    assert_eq!(client.cmd("WATCH c"), too_many);
    assert_eq!(client.cmd("UNWATCH"), Reply::ok());
    assert_eq!(client.cmd("WATCH c"), Reply::ok());
    client.cmd("MULTI");
    client.cmd("INCR k");
    assert_eq!(client.cmd("EXEC"), Reply::Array(vec![Reply::Int(1)]));
}

const MULTI: &[Scenario] = &[
    scenario(
        "a block of commands",
        "a: MULTI | a: SET k 1 | a: INCR k | a: GET k | a: EXEC | a: GET k",
    ),
    scenario("an empty block", "a: MULTI | a: EXEC"),
    scenario("EXEC without MULTI", "a: EXEC | a: PING"),
    scenario("DISCARD without MULTI", "a: DISCARD | a: PING"),
    scenario(
        "DISCARD drops the block",
        "a: SET k 1 | a: MULTI | a: SET k 2 | a: DISCARD | a: GET k | a: EXEC",
    ),
    scenario(
        "MULTI does not nest, and goes on",
        "a: MULTI | a: MULTI | a: SET k 1 | a: EXEC | a: GET k",
    ),
    scenario(
        "WATCH inside MULTI is refused, and it goes on",
        "a: MULTI | a: WATCH k | a: SET k 1 | a: EXEC | a: GET k",
    ),
    scenario("UNWATCH inside MULTI is queued", "a: MULTI | a: UNWATCH | a: SET k 1 | a: EXEC"),
    scenario(
        "an unknown command aborts",
        "a: MULTI | a: SET k 1 | a: NOSUCH x | a: SET k 2 | a: EXEC | a: GET k",
    ),
    scenario("a wrong number of arguments aborts", "a: MULTI | a: GET | a: EXEC | a: EXEC"),
    scenario(
        "DISCARD after a queueing error",
        "a: MULTI | a: GET | a: DISCARD | a: PING | a: EXEC",
    ),
    scenario(
        "an error while executing leaves the others standing",
        "a: SET s text | a: MULTI | a: SET k 1 | a: INCR s | a: SET l 2 | a: EXEC | \
         a: MGET k l s",
    ),
    scenario(
        "a wrong option is found while executing",
        "a: MULTI | a: SET k 1 NOPE | a: SET l 1 | a: EXEC | a: MGET k l",
    ),
    scenario(
        "SELECT inside",
        "a: MULTI | a: SET k 0 | a: SELECT 1 | a: SET k 1 | a: EXEC | a: GET k | a: SELECT 0 | \
         a: GET k",
    ),
    scenario(
        "SELECT inside a discarded block",
        "a: MULTI | a: SELECT 1 | a: DISCARD | a: SET k 0 | b: GET k",
    ),
    scenario(
        "FLUSHALL inside",
        "a: SET k 1 | a: MULTI | a: FLUSHALL | a: SET l 1 | a: DBSIZE | a: EXEC | a: DBSIZE",
    ),
    scenario(
        "others see nothing before EXEC",
        "a: MULTI | a: SET k 1 | b: GET k | a: EXEC | b: GET k",
    ),
    scenario(
        "other words and arguments",
        "a: MULTI x | a: EXEC | a: MULTI | a: EXEC x | a: EXEC | a: DISCARD x | a: WATCH | \
         a: UNWATCH x",
    ),
    scenario(
        "commands of the connection inside",
        "a: MULTI | a: PING | a: ECHO hi | a: PING there | a: EXEC",
    ),
    scenario("RESET leaves the block", "a: MULTI | a: SET k 1 | a: RESET | a: EXEC | a: GET k"),
    scenario("QUIT inside the block", "a: MULTI | a: SET k 1 | a: QUIT | a: !closed | b: GET k"),
    scenario(
        "an abandoned block never happened",
        "a: MULTI | a: SET k 1 | a: !send \"*1\\r\\n$4\\r\\nQUIT\\r\\n\" | a: !read | \
         a: !closed | b: EXISTS k",
    ),
    scenario("in lower case", "a: multi | a: set k 1 | a: exec"),
    scenario(
        "RESP3",
        "?a: HELLO 3 | a: WATCH k | b: SET k 1 | a: MULTI | a: GET k | a: EXEC | a: MULTI | \
         a: GET none | a: EXEC",
    ),
    scenario("HELLO inside a block", "a: MULTI | ?a: HELLO 3 | ?a: EXEC | a: GET none"),
    scenario(
        "MSET and DEL inside",
        "a: MULTI | a: MSET a 1 b 2 c 3 | a: DEL a b | a: EXISTS a b c | a: MGET a b c | \
         a: EXEC",
    ),
];

const WATCH: &[Scenario] = &[
    scenario("untouched", "a: SET k 1 | a: WATCH k | a: MULTI | a: SET k 2 | a: EXEC | a: GET k"),
    scenario(
        "touched by another",
        "a: SET k 1 | a: WATCH k | b: SET k 2 | a: MULTI | a: SET k 3 | a: EXEC | a: GET k",
    ),
    scenario(
        "touched after MULTI",
        "a: WATCH k | a: MULTI | a: SET k 3 | b: SET k 2 | a: EXEC | a: GET k",
    ),
    scenario(
        "touched by itself",
        "a: SET k 1 | a: WATCH k | a: SET k 2 | a: MULTI | a: SET k 3 | a: EXEC | a: GET k",
    ),
    scenario("touched before", "b: SET k 1 | a: WATCH k | a: MULTI | a: SET k 3 | a: EXEC"),
    scenario(
        "the same value written",
        "a: SET k 1 | a: WATCH k | b: SET k 1 | a: MULTI | a: PING | a: EXEC",
    ),
    scenario("another key touched", "a: WATCH k | b: SET l 1 | a: MULTI | a: PING | a: EXEC"),
    scenario(
        "one of several touched",
        "a: WATCH k l m | b: SET m 1 | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "read by another",
        "a: SET k 1 | a: WATCH k | b: GET k | b: EXISTS k | b: TTL k | b: TYPE k | a: MULTI | \
         a: PING | a: EXEC",
    ),
    scenario("deleted", "a: SET k 1 | a: WATCH k | b: DEL k | a: MULTI | a: PING | a: EXEC"),
    scenario("unlinked", "a: SET k 1 | a: WATCH k | b: UNLINK k | a: MULTI | a: PING | a: EXEC"),
    scenario(
        "deleted and made again",
        "a: SET k 1 | a: WATCH k | b: DEL k | b: SET k 1 | a: MULTI | a: PING | a: EXEC",
    ),
    scenario("a missing key made", "a: WATCH k | b: SET k 1 | a: MULTI | a: PING | a: EXEC"),
    scenario(
        "a missing key made and deleted",
        "a: WATCH k | b: SET k 1 | b: DEL k | a: MULTI | a: PING | a: EXEC",
    ),
    scenario("a missing key deleted", "a: WATCH k | b: DEL k | a: MULTI | a: PING | a: EXEC"),
    scenario(
        "SET NX that does nothing",
        "a: SET k 1 | a: WATCH k | b: SET k 2 NX | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "SET XX that does nothing",
        "a: WATCH k | b: SET k 2 XX | a: MULTI | a: PING | a: EXEC",
    ),
    scenario("INCR", "a: SET k 1 | a: WATCH k | b: INCR k | a: MULTI | a: PING | a: EXEC"),
    scenario("INCRBY 0", "a: SET k 1 | a: WATCH k | b: INCRBY k 0 | a: MULTI | a: PING | a: EXEC"),
    scenario(
        "INCR that fails",
        "a: SET k text | a: WATCH k | b: INCR k | a: MULTI | a: PING | a: EXEC",
    ),
    scenario("MSET touches each", "a: WATCH l | b: MSET k 1 l 2 | a: MULTI | a: PING | a: EXEC"),
    scenario(
        "touched inside another's EXEC",
        "a: WATCH k | b: MULTI | b: SET k 1 | a: MULTI | a: PING | b: EXEC | a: EXEC",
    ),
    scenario(
        "another's DISCARD does not touch",
        "a: WATCH k | b: MULTI | b: SET k 1 | b: DISCARD | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "EXEC ends the watch",
        "a: WATCH k | a: MULTI | a: PING | a: EXEC | b: SET k 1 | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "an aborted EXEC ends the watch",
        "a: WATCH k | b: SET k 1 | a: MULTI | a: PING | a: EXEC | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "EXECABORT ends the watch",
        "a: WATCH k | a: MULTI | a: GET | a: EXEC | b: SET k 1 | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "EXECABORT before a touched watch",
        "a: WATCH k | b: SET k 1 | a: MULTI | a: GET | a: EXEC",
    ),
    scenario(
        "EXEC without MULTI keeps the watch",
        "a: WATCH k | a: EXEC | b: SET k 1 | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "DISCARD ends the watch",
        "a: WATCH k | a: MULTI | a: DISCARD | b: SET k 1 | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "DISCARD without MULTI keeps the watch",
        "a: WATCH k | a: DISCARD | b: SET k 1 | a: MULTI | a: PING | a: EXEC",
    ),
    scenario("UNWATCH", "a: WATCH k | b: SET k 1 | a: UNWATCH | a: MULTI | a: PING | a: EXEC"),
    scenario("UNWATCH without a watch", "a: UNWATCH | a: MULTI | a: PING | a: EXEC"),
    scenario(
        "RESET ends the watch",
        "a: WATCH k | b: SET k 1 | a: RESET | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "UNWATCH inside does not help",
        "a: WATCH k | a: MULTI | a: UNWATCH | b: SET k 1 | a: EXEC",
    ),
    scenario(
        "watched twice, touched between",
        "a: WATCH k | b: SET k 1 | a: WATCH k | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "watches add up",
        "a: WATCH k | a: WATCH l | b: SET k 1 | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "the same key in another database",
        "a: WATCH k | b: SELECT 1 | b: SET k 1 | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "the database at WATCH counts",
        "a: WATCH k | a: SELECT 1 | b: SET k 1 | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "watched in another database",
        "a: SELECT 1 | a: WATCH k | a: SELECT 0 | a: SET k 1 | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "FLUSHALL with the key",
        "a: SET k 1 | a: WATCH k | b: FLUSHALL | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "FLUSHALL without the key",
        "a: WATCH k | b: SET other 1 | b: FLUSHALL | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "FLUSHDB with the key",
        "a: SET k 1 | a: WATCH k | b: FLUSHDB | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "FLUSHDB of another database",
        "a: SET k 1 | a: WATCH k | b: SELECT 1 | b: FLUSHDB | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "FLUSHALL and made again",
        "a: SET k 1 | a: WATCH k | b: FLUSHALL | b: SET k 1 | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "its own FLUSHALL",
        "a: SET k 1 | a: WATCH k | a: FLUSHALL | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "two watchers, one wins",
        "a: WATCH k | b: WATCH k | a: MULTI | a: SET k a | b: MULTI | b: SET k b | a: EXEC | \
         b: EXEC | a: GET k",
    ),
    scenario(
        "pipelined",
        "a: WATCH k | b: SET k 1 | \
         a: !send \"*1\\r\\n$5\\r\\nMULTI\\r\\n*1\\r\\n$4\\r\\nPING\\r\\n*1\\r\\n$4\\r\\nEXEC\\r\\n*1\\r\\n$4\\r\\nPING\\r\\n\" | \
         a: !read | a: !read | a: !read | a: !read",
    ),
    scenario("RESP3 null", "?a: HELLO 3 | a: WATCH k | b: SET k 1 | a: MULTI | a: PING | a: EXEC"),
    scenario("its end of connection", "a: WATCH k | a: QUIT | a: !closed | b: SET k 1 | b: GET k"),
];

const EXPIRY: &[Scenario] = &[
    scenario(
        "EXPIRE touches",
        "a: SET k 1 | a: WATCH k | b: EXPIRE k 100 | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "EXPIRE of a missing key",
        "a: WATCH k | b: EXPIRE k 100 | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "EXPIRE NX that does nothing",
        "a: SET k 1 EX 100 | a: WATCH k | b: EXPIRE k 200 NX | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "EXPIRE in the past deletes",
        "a: SET k 1 | a: WATCH k | b: EXPIRE k -1 | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "PERSIST touches",
        "a: SET k 1 EX 100 | a: WATCH k | b: PERSIST k | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "PERSIST that does nothing",
        "a: SET k 1 | a: WATCH k | b: PERSIST k | a: MULTI | a: PING | a: EXEC",
    ),
    // `clock` expires after `k`, and is asked instead of it: nobody accesses k itself.
    scenario(
        "expires after WATCH",
        "a: SET k 1 PX 30 | a: WATCH k | b: SET clock 1 PX 60 | b: !until :0 EXISTS clock | \
         a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "expires after WATCH, noticed by another",
        "a: SET k 1 PX 30 | a: WATCH k | b: !until :0 EXISTS k | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "expires between MULTI and EXEC",
        "a: SET k 1 PX 60 | a: WATCH k | a: MULTI | a: PING | b: !until :0 EXISTS k | a: EXEC",
    ),
    scenario(
        "expired at WATCH already",
        "a: SET k 1 PX 20 | b: SET clock 1 PX 40 | b: !until :0 EXISTS clock | a: WATCH k | \
         b: EXISTS k | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "expired at WATCH, deleted by hand",
        "a: SET k 1 PX 20 | b: SET clock 1 PX 40 | b: !until :0 EXISTS clock | a: WATCH k | \
         b: DEL k | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "expired at WATCH, flushed",
        "a: SET k 1 PX 20 | b: SET clock 1 PX 40 | b: !until :0 EXISTS clock | a: WATCH k | \
         b: FLUSHALL | a: MULTI | a: PING | a: EXEC",
    ),
    scenario(
        "expired at WATCH, made again",
        "a: SET k 1 PX 20 | b: !until :0 EXISTS k | a: WATCH k | b: SET k 1 | a: MULTI | \
         a: PING | a: EXEC",
    ),
    scenario(
        "an expiry that is replaced in time",
        "a: SET k 1 PX 60 | a: WATCH k | a: MULTI | a: GET k | b: SET clock 1 PX 90 | \
         b: !until :0 EXISTS clock | a: EXEC",
    ),
    scenario(
        "expired keys are nobody's",
        "a: SET k 1 PX 20 | a: !until :0 EXISTS k | a: GET k | a: TTL k | a: TYPE k | \
         a: DEL k | a: SET k 2 XX | a: SET k 3 NX | a: TTL k",
    ),
    scenario(
        "a block that makes a key expire",
        "a: MULTI | a: SET k 1 PX 100000 | a: EXPIRE k -1 | a: GET k | a: SET k 2 NX | \
         a: EXEC | a: GET k",
    ),
];
