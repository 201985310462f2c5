//! Our decoder against a real redis-server 7.0, malformed requests included.
//!
//! Each stream of bytes goes to both: to Redis through a socket, to us through the
//! [`Decoder`], a node in memory and [`Reply`]. All they answer must be equal. Without a redis-server 7.0 in the path the tests pass without a word
//! to compare with; with `AFT_TEST_REDIS=1` they then fail.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod command_support;
mod resp_support;

use aft::resp::{Decoded, Decoder, Reply};
use command_support::node::{Kept, Node};
use resp_support::encode_request;
use resp_support::odd::ODD_STREAMS;
use resp_support::redis::Redis;

/// What we answer to `stream`: a node that wants a password, unless `authenticated`.
fn our_answers(stream: &[u8], authenticated: bool) -> Vec<u8> {
    let node = Node::new(Kept::Nowhere);
    if !authenticated {
        node.run(&mut node.connect(), &["CONFIG", "SET", "requirepass", "x"]);
    }
    let mut session = node.connect();
    let mut decoder = Decoder::default();
    let mut answers = Vec::new();
    let mut rest = stream;
    loop {
        match decoder.decode(rest, session.authenticated) {
            Ok(Decoded::NeedMore { .. }) => return answers,
            Ok(Decoded::Empty { consumed }) => rest = &rest[consumed..],
            Ok(Decoded::Request { consumed }) => {
                let args = decoder.args(rest);
                let reply = node.run(&mut session, &args.to_slices());
                reply.write(session.protocol, &mut answers);
                rest = &rest[consumed..];
            }
            Err(error) => {
                Reply::from(error).write(session.protocol, &mut answers);
                return answers;
            }
        }
    }
}

#[track_caller]
fn check(redis: &Redis, stream: &[u8], authenticated: bool) {
    let theirs = redis.answers(stream);
    let ours = our_answers(stream, authenticated);
    assert_eq!(
        ours.escape_ascii().to_string(),
        theirs.escape_ascii().to_string(),
        "left: ours, right: Redis'; of {}",
        stream[..stream.len().min(300)].escape_ascii()
    );
}

#[test]
fn odd_requests_are_answered_as_redis_does() {
    let Some(redis) = Redis::start("odd", &[]) else {
        return;
    };
    for stream in ODD_STREAMS {
        check(&redis, stream, true);
    }
}

#[test]
fn lines_may_be_as_long_as_in_redis() {
    let Some(redis) = Redis::start("long", &[]) else {
        return;
    };
    for start in ["", "PING\r\n", "*", "*1\r\n", "*2\r\n$4\r\nECHO\r\n", "*2\r\n$4\r\nECHO\r\n$"] {
        // The line that is too long starts here; what went before it is understood.
        let line_at = start.rfind('\n').map_or(0, |newline| newline + 1);
        for length in [65535, 65536, 65537, 65538, 100_000] {
            let mut stream = start.as_bytes().to_vec();
            stream.resize(line_at + length, b'1');
            check(&redis, &stream, true);
        }
        let mut hidden = start.as_bytes().to_vec();
        hidden.extend(b"1\0\r\n1");
        check(&redis, &hidden, true);
        hidden.resize(line_at + 65537, b'\n');
        check(&redis, &hidden, true);
        // A line of just the length allowed ends well, or badly for another reason.
        let mut fits = start.as_bytes().to_vec();
        fits.resize(line_at + 65535, b'1');
        fits.extend(b"\r\nPING\r\n");
        check(&redis, &fits, true);
    }
}

#[test]
fn strangers_are_refused_as_by_redis() {
    let Some(redis) = Redis::start("auth", &["--requirepass", "secret"]) else {
        return;
    };
    let ten = encode_request(&["ECHO"; 10]);
    let eleven = encode_request(&["ECHO"; 11]);
    let streams = [ten, eleven, b"*11\r\n".to_vec(), b"*2147483648\r\n".to_vec()];
    for stream in &streams {
        check(&redis, stream, false);
    }
    let long = encode_request(&[b"ECHO".to_vec(), vec![b'x'; 16384]]);
    check(&redis, &long, false);
    let longer = encode_request(&[b"ECHO".to_vec(), vec![b'x'; 16385]]);
    check(&redis, &longer, false);
    check(&redis, b"*1\r\n$536870913\r\n", false);
    check(&redis, format!("ECHO {}\r\n", "x ".repeat(20_000)).as_bytes(), false);
}

/// Streams put together at random from pieces that mean something.
#[test]
fn random_requests_are_answered_as_redis_does() {
    #[rustfmt::skip]
    const PIECES: &[&[u8]] = &[
        b"*1\r\n", b"*2\r\n", b"*3\r\n", b"$4\r\n", b"PING\r\n", b"ECHO\r\n", b"$1\r\n",
        b"a\r\n", b"*1\r\n$4\r\nPING\r\n", b"*2\r\n$4\r\nECHO\r\n", b"$3\r\nabc\r\n",
        b"$0\r\n\r\n", b"ECHO ", b"PING", b"\r\n", b"\r", b"\n", b"\0", b" ", b"\t", b"\x0b",
        b"\"", b"'", b"\\", b"\\x4", b"*", b"$", b"-1", b"0", b"1", b"a", b"\xff", b"*0\r\n",
        b"*-1\r\n",
    ];
    let Some(redis) = Redis::start("random", &[]) else {
        return;
    };
    let mut choices = resp_support::cuts::random_ends(usize::MAX, PIECES.len(), 42);
    let mut last = 0;
    let mut choose = || {
        let end = choices.next().unwrap();
        let choice = end - last - 1;
        last = end;
        choice
    };
    for _ in 0..3000 {
        let stream: Vec<u8> =
            (0..=choose()).flat_map(|_| PIECES[choose()].iter().copied()).collect();
        check(&redis, &stream, true);
    }
}
