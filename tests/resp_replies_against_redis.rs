//! Replies byte for byte as a real redis-server 7.0 writes them, in both protocols.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod resp_support;

use aft::resp::{Protocol, Reply};
use aft::small_bytes::SmallBytes;
use resp_support::encode_request;
use resp_support::redis::Redis;

/// Runs `request` on both protocols and compares with `reply`.
#[track_caller]
fn check_reply(redis: &Redis, request: &[&str], reply: Reply) {
    for (protocol, hello) in [(Protocol::Resp2, "HELLO 2\r\n"), (Protocol::Resp3, "HELLO 3\r\n")] {
        let greeting = redis.answers(hello.as_bytes());
        let mut stream = hello.as_bytes().to_vec();
        stream.extend(encode_request(request));
        let theirs = redis.answers(&stream);
        // Greetings differ in the connection's number, not in their count of lines.
        let lines = greeting.iter().filter(|&&byte| byte == b'\n').count();
        let theirs = theirs.splitn(lines + 1, |&byte| byte == b'\n').last().unwrap();
        let mut ours = Vec::new();
        reply.write(protocol, &mut ours);
        assert_eq!(
            ours.escape_ascii().to_string(),
            theirs.escape_ascii().to_string(),
            "left: ours, right: Redis'; of {request:?} in {protocol:?}"
        );
    }
}

#[test]
#[allow(clippy::approx_constant, reason = "Redis' own example of a double")]
fn every_kind_of_reply_is_written_as_by_redis() {
    let Some(redis) = Redis::start("kinds", &["--enable-debug-command", "yes"]) else {
        return;
    };
    let numbers = |from: i64| (from..from + 3).map(Reply::Integer).collect::<Vec<_>>();
    let flags = (0..3).map(|key| (Reply::Integer(key), Reply::Boolean(key == 1))).collect();
    let big = "1234567999999999999999999999999999999";
    for (kind, reply) in [
        ("string", Reply::bulk("Hello World")),
        ("integer", Reply::Integer(12345)),
        ("double", Reply::Double(3.141)),
        ("null", Reply::Null),
        ("array", Reply::Array(numbers(0))),
        ("set", Reply::Set(numbers(0))),
        ("map", Reply::Map(flags)),
        ("bignum", Reply::BigNumber(SmallBytes::from(big))),
        ("true", Reply::Boolean(true)),
        ("false", Reply::Boolean(false)),
        ("verbatim", Reply::text("This is a verbatim\nstring")),
    ] {
        check_reply(&redis, &["DEBUG", "PROTOCOL", kind], reply);
    }
    check_reply(&redis, &["SET", "k", "v"], Reply::Ok);
    check_reply(&redis, &["TYPE", "k"], Reply::simple("string"));
    check_reply(&redis, &["GET", "none"], Reply::Null);
    check_reply(&redis, &["LPOP", "none", "1"], Reply::NullArray);
    check_reply(&redis, &["ECHO", ""], Reply::bulk(""));
    check_reply(&redis, &["LRANGE", "none", "0", "1"], Reply::Array(Vec::new()));
    check_reply(
        &redis,
        &["EVAL", "return {err='ERR a\\r\\nb\\n'}", "0"],
        Reply::error("ERR a\r\nb\n"),
    );
    check_reply(&redis, &["EVAL", "return {ok='a\\rb\\n'}", "0"], Reply::simple("a\rb\n"));
}

#[test]
fn integers_and_doubles_are_written_as_by_redis() {
    let Some(redis) = Redis::start("numbers", &["--zset-max-listpack-entries", "0"]) else {
        return;
    };
    for value in [0, 1, -1, 9, 10, 99, 100, 101, -1000, 1_234_567_890, i64::MAX, i64::MIN] {
        redis.answers(format!("SET n {value}\r\n").as_bytes());
        check_reply(&redis, &["INCRBY", "n", "0"], Reply::Integer(value));
    }
    let mut doubles = vec![
        0.0,
        -0.0,
        1.0,
        -1.5,
        0.1,
        1.0 / 3.0,
        100.0,
        1e15,
        1e16,
        123456789012345678.0,
        1e17,
        1e21,
        1e22,
        1e100,
        0.001,
        0.0001,
        0.00001,
        1.5e-7,
        f64::MAX,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];
    // Every power of ten of any length, and its neighbours.
    for exponent in -320..308 {
        let power: f64 = format!("1e{exponent}").parse().unwrap();
        doubles.extend([power, power.next_down(), power.next_up()]);
    }
    // One exchange for all of them: the doubles as members' scores.
    let mut stream = Vec::new();
    let mut ours = Vec::new();
    for (index, double) in doubles.iter().enumerate() {
        let text = format!("{double:e}");
        let member = index.to_string();
        stream.extend(encode_request(&["ZADD", "z", &text, &member]));
        Reply::Integer(1).write(Protocol::Resp2, &mut ours);
        stream.extend(encode_request(&["ZSCORE", "z", &member]));
        Reply::Double(*double).write(Protocol::Resp2, &mut ours);
    }
    let theirs = redis.answers(&stream);
    let lines = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for (ours, theirs) in lines(&ours).lines().zip(lines(&theirs).lines()) {
        assert_eq!(ours, theirs, "left: ours, right: Redis'");
    }
    assert_eq!(ours.len(), theirs.len());
    check_reply(&redis, &["ZSCORE", "z", "4"], Reply::Double(0.1));
    check_reply(&redis, &["ZSCORE", "z", "21"], Reply::Double(f64::INFINITY));
    check_reply(&redis, &["ZSCORE", "z", "22"], Reply::Double(f64::NEG_INFINITY));
    for (script, sign) in [("return {double=0/0}", -1.0), ("return {double=-(0/0)}", 1.0)] {
        check_reply(&redis, &["EVAL", script, "0"], Reply::Double(f64::NAN.copysign(sign)));
    }
}
