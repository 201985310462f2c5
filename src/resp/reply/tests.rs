use super::{Line, Protocol, Reply, number};
use crate::small_bytes::SmallBytes;

fn written(reply: &Reply, protocol: Protocol) -> String {
    let mut out = b"before".to_vec();
    reply.write(protocol, &mut out);
    assert_eq!(&out[..6], b"before", "write appends");
    out[6..].escape_ascii().to_string().replace("\\r\\n", "|").replace("\\'", "'")
}

/// What is written in RESP2 and in RESP3, with `|` for a line's end.
#[track_caller]
fn check(reply: Reply, resp2: &str, resp3: &str) {
    assert_eq!(written(&reply, Protocol::Resp2), resp2, "RESP2 of {reply:?}");
    assert_eq!(written(&reply, Protocol::Resp3), resp3, "RESP3 of {reply:?}");
}

#[track_caller]
fn check_same(reply: Reply, both: &str) {
    check(reply, both, both);
}

#[test]
fn kinds_both_protocols_share() {
    check_same(Reply::None, "");
    check_same(Reply::Ok, "+OK|");
    check_same(Reply::Pong, "+PONG|");
    check_same(Reply::Queued, "+QUEUED|");
    check_same(Reply::simple("hash"), "+hash|");
    check_same(Reply::error("ERR syntax error"), "-ERR syntax error|");
    check_same(Reply::bulk(b""), "$0||");
    check_same(Reply::bulk(b"a\r\nb"), "$4|a|b|");
    check_same(Reply::bulk(vec![b'x'; 100]), &format!("$100|{}|", "x".repeat(100)));
    check_same(Reply::Array(vec![]), "*0|");
    check_same(
        Reply::Array(vec![Reply::Ok, Reply::Array(vec![Reply::Integer(7)])]),
        "*2|+OK|*1|:7|",
    );
}

#[test]
fn kinds_resp2_lacks_become_the_nearest_it_has() {
    check(Reply::Null, "$-1|", "_|");
    check(Reply::NullArray, "*-1|", "_|");
    let pair = (Reply::bulk(b"k"), Reply::Null);
    check(Reply::Map(vec![pair.clone(), pair]), "*4|$1|k|$-1|$1|k|$-1|", "%2|$1|k|_|$1|k|_|");
    check(Reply::Set(vec![Reply::Boolean(true)]), "*1|:1|", "~1|#t|");
    check(Reply::Push(vec![Reply::Boolean(false)]), "*1|:0|", ">1|#f|");
    check(Reply::text("abc"), "$3|abc|", "=7|txt:abc|");
    check(Reply::BigNumber(SmallBytes::from("-123")), "$4|-123|", "(-123|");
    check(Reply::Double(1.5), "$3|1.5|", ",1.5|");
}

#[test]
fn doubles_are_written_with_seventeen_digits() {
    for (value, text) in [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (100.0, "100"),
        (0.1, "0.10000000000000001"),
        (-2.5, "-2.5"),
        (12.34, "12.34"),
        (1e16, "10000000000000000"),
        (1e17, "1e+17"),
        (0.0001, "0.0001"),
        (0.00001, "1.0000000000000001e-05"),
        (123456789012345680.0, "1.2345678901234568e+17"),
        (f64::MAX, "1.7976931348623157e+308"),
        (f64::from_bits(1), "4.9406564584124654e-324"),
        (f64::INFINITY, "inf"),
        (f64::NEG_INFINITY, "-inf"),
        (f64::NAN.copysign(1.0), "nan"),
        (f64::NAN.copysign(-1.0), "-nan"),
    ] {
        assert_eq!(number::format_double(value), text);
    }
}

#[test]
fn integers_of_every_length() {
    let mut values = vec![0, i64::MIN, i64::MAX];
    for exponent in 0..19 {
        let power = 10i64.pow(exponent);
        values.extend([power - 1, power, power + 1, 5 * (power / 10)]);
    }
    for value in values {
        for value in [value, value.wrapping_neg()] {
            check_same(Reply::Integer(value), &format!(":{value}|"));
        }
    }
}

#[test]
fn a_line_stays_one_line() {
    check_same(Reply::error("ERR a\r\nb\nc\r\n"), "-ERR a  b c|");
    check_same(Reply::error("\n"), "-|");
    check_same(Reply::simple("\na\r\n"), "+ a  |");
    check_same(Reply::error(""), "-|");
    check_same(Reply::Error(Line::from(vec![b'E', 0xff, b'\r', b'E'])), "-E\\xff E|");
}

#[test]
fn a_line_compares_and_shows_as_text() {
    assert_eq!(Line::from("ERR no"), "ERR no");
    assert_eq!(format!("{:?}", Reply::error(format!("ERR {}", 1))), "Error(\"ERR 1\")");
}
