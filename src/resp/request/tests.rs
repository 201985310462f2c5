use super::count::{parse_count, plain_count};
use super::{Decoded, Decoder, ProtocolError, RequestLimits, inline};
use crate::resp::{Protocol, Reply};

/// What one request at the start of `input` is, with its arguments escaped.
fn decode(input: &[u8]) -> String {
    decode_with(&mut Decoder::default(), input, true)
}

fn decode_with(decoder: &mut Decoder, input: &[u8], authenticated: bool) -> String {
    match decoder.decode(input, authenticated) {
        Ok(Decoded::NeedMore { bytes }) => format!("needs {bytes}"),
        Ok(Decoded::Empty { consumed }) => format!("empty {consumed}"),
        Ok(Decoded::Request { consumed }) => {
            format!("{consumed} {:?}", decoder.args(input))
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn multibulk_requests() {
    for (input, expected) in [
        ("", "needs 1"),
        ("*", "needs 1"),
        ("*1\r", "needs 1"),
        ("*1\r\n", "needs 1"),
        ("*1\r\n$4", "needs 1"),
        ("*1\r\n$4\r\n", "needs 6"),
        ("*1\r\n$4\r\nPI", "needs 4"),
        ("*1\r\n$4\r\nPING\r", "needs 1"),
        ("*1\r\n$4\r\nPING\r\n*1", "14 [\"PING\"]"),
        ("*2\r\n$0\r\n\r\n$3\r\na\r\n\r\n", "19 [\"\", \"a\\r\\n\"]"),
        // Only `\r` is looked at; what stands for `\n` and ends an argument is not.
        ("*1\rx$4\rxPINGxx", "14 [\"PING\"]"),
        ("*0\r\nrest", "empty 4"),
        ("*-1\r\n", "empty 5"),
        ("*-9223372036854775808\r\n", "empty 23"),
    ] {
        assert_eq!(decode(input.as_bytes()), expected, "{input:?}");
    }
}

#[test]
fn inline_requests() {
    for (input, expected) in [
        ("PING", "needs 1"),
        ("PING\r\n", "6 [\"PING\"]"),
        ("  a\tb\rc \n", "9 [\"a\", \"b\", \"c\"]"),
        ("\n", "empty 1"),
        ("\r\n", "empty 2"),
        (" \t\x0b\x0c\r\r\n", "empty 7"),
        ("a\x0bb\n", "4 [\"a\\x0bb\"]"),
        (r#"set "a b" '' "\x41\n\"\q""#, "needs 1"),
        ("set \"a b\" '' \"\\x41\\n\\\"\\q\"\n", "26 [\"set\", \"a b\", \"\", \"A\\n\\\"q\"]"),
        ("a\"b c\" 'd\\'e\\x41'\n", "18 [\"ab c\", \"d\\'e\\\\x41\"]"),
        ("a \"b\n", "Protocol error: unbalanced quotes in request"),
        ("\"a\"b\n", "Protocol error: unbalanced quotes in request"),
        ("'a'\"b\"\n", "Protocol error: unbalanced quotes in request"),
        ("\"a\\\n", "Protocol error: unbalanced quotes in request"),
        // A NUL hides the line's end, for now and for ever.
        ("PING\0\r\n", "needs 1"),
    ] {
        assert_eq!(decode(input.as_bytes()), expected, "{input:?}");
    }
}

#[test]
fn malformed_multibulk_requests() {
    for (input, expected) in [
        ("*\r\n", "invalid multibulk length"),
        ("*01\r\n", "invalid multibulk length"),
        ("*+1\r\n", "invalid multibulk length"),
        ("*-0\r\n", "invalid multibulk length"),
        ("*1 \r\n", "invalid multibulk length"),
        ("*2147483648\r\n", "invalid multibulk length"),
        ("*9223372036854775808\r\n", "invalid multibulk length"),
        ("*1\r\nPING\r\n", "expected '$', got 'P'"),
        ("*1\r\n\r\n", "expected '$', got '\\r'"),
        ("*1\r\n$\r\n", "invalid bulk length"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*1\r\n$536870913\r\n", "invalid bulk length"),
        ("*1\r\n$18446744073709551617\r\n", "invalid bulk length"),
    ] {
        assert_eq!(decode(input.as_bytes()), format!("Protocol error: {expected}"), "{input:?}");
    }
    // The largest that are allowed.
    assert_eq!(decode(b"*2147483647\r\n"), "needs 1");
    assert_eq!(decode(b"*1\r\n$536870912\r\n"), "needs 536870914");
}

#[test]
fn lines_are_bounded_wherever_they_are_cut() {
    for (start, error) in [
        ("", ProtocolError::TooBigInline),
        ("*", ProtocolError::TooBigMultibulkCount),
        ("*1\r\n", ProtocolError::TooBigBulkCount),
    ] {
        let counted = if start.len() > 1 { start.len() } else { 0 };
        let mut input = start.as_bytes().to_vec();
        input.resize(counted + 65536, b'1');
        let mut decoder = Decoder::default();
        let waiting = Ok(Decoded::NeedMore { bytes: 1 });
        assert_eq!(decoder.decode(&input, true), waiting, "{start:?} and 64 KiB");
        input.push(b'1');
        assert_eq!(decoder.decode(&input, true), Err(error), "one byte more");
        input.extend(b"\r\nmuch more");
        assert_eq!(Decoder::default().decode(&input, true), Err(error), "all at once");
    }
}

#[test]
fn strangers_get_little_room() {
    let decode = |input: &str| decode_with(&mut Decoder::default(), input.as_bytes(), false);
    assert_eq!(decode("*10\r\n"), "needs 1");
    assert_eq!(decode("*11\r\n"), "Protocol error: unauthenticated multibulk length");
    assert_eq!(decode("*1\r\n$16384\r\n"), "needs 16386");
    assert_eq!(decode("*1\r\n$16385\r\n"), "Protocol error: unauthenticated bulk length");
}

#[test]
fn a_request_is_bounded_as_a_whole() {
    let limits = RequestLimits { request_bytes_max: 30, ..RequestLimits::default() };
    let fits = b"*2\r\n$5\r\nhello\r\n$5\r\nworld";
    assert_eq!(decode_with(&mut Decoder::new(limits), fits, true), "needs 2");
    let longer = b"*2\r\n$5\r\nhello\r\n$10\r\n";
    let error = Decoder::new(limits).decode(longer, true);
    assert_eq!(error, Err(ProtocolError::TooBigRequest));
    // Offsets of 32 bits hold whatever is asked for.
    let limits = RequestLimits {
        request_bytes_max: u64::MAX,
        bulk_bytes_max: u64::MAX,
        ..RequestLimits::default()
    };
    let error = Decoder::new(limits).decode(b"*1\r\n$4294967290\r\n", true);
    assert_eq!(error, Err(ProtocolError::TooBigRequest));
    let error = Decoder::new(limits).decode(b"*1\r\n$9223372036854775807\r\n", true);
    assert_eq!(error, Err(ProtocolError::TooBigRequest));
}

#[test]
fn claimed_arguments_cost_nothing_and_used_ones_are_given_back() {
    let mut decoder = Decoder::default();
    let mut input = b"*2147483647\r\n".to_vec();
    assert_eq!(decode_with(&mut decoder, &input, true), "needs 1");
    assert_eq!(decoder.spans.capacity(), 0);
    input.extend(b"$1\r\na\r\n".repeat(1000));
    assert_eq!(decode_with(&mut decoder, &input, true), "needs 1");
    assert!(decoder.spans.capacity() < 2048);

    let mut decoder = Decoder::default();
    let mut input = b"*1000\r\n".to_vec();
    input.extend(b"$1\r\na\r\n".repeat(1000));
    let found = decoder.decode(&input, true);
    assert_eq!(found, Ok(Decoded::Request { consumed: input.len() }));
    assert_eq!(decoder.args(&input).len(), 1000);
    assert_eq!(decode_with(&mut decoder, b"PING\n", true), "5 [\"PING\"]");
    assert!(decoder.spans.capacity() < 16);
}

/// A long request in small pieces must not be read from its start for each piece:
/// decoding goes on where it stopped, so bytes already understood are not looked at.
#[test]
fn decoding_resumes_where_it_stopped() {
    let mut decoder = Decoder::default();
    let mut input = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100\r\n".to_vec();
    assert_eq!(decode_with(&mut decoder, &input, true), "needs 102");
    let understood = input.len();
    input.resize(understood + 102, b'v');
    // Spoiling what was understood makes no difference, except where arguments lie.
    input[..3].fill(b'?');
    let expected = Ok(Decoded::Request { consumed: input.len() });
    assert_eq!(decoder.decode(&input, true), expected);
    assert_eq!(decoder.args(&input).get(0), Some(&b"SET"[..]));
    assert_eq!(decoder.args(&input)[2], [b'v'; 100]);
    assert_eq!(decoder.args(&input).get(3), None);

    let mut decoder = Decoder::default();
    let mut line = b"PING".to_vec();
    assert_eq!(decode_with(&mut decoder, &line, true), "needs 1");
    line[1] = b'\n';
    assert_eq!(decode_with(&mut decoder, &line, true), "needs 1", "searched already");
}

#[test]
fn an_error_is_yielded_again() {
    let mut decoder = Decoder::default();
    let input = b"*2\r\n$1\r\na\r\n!\r\n";
    for _ in 0..2 {
        let error = Err(ProtocolError::ExpectedBulk { got: b'!' });
        assert_eq!(decoder.decode(input, true), error);
    }
}

#[test]
fn errors_as_replies_keep_the_byte_they_show() {
    let written = |error: ProtocolError| {
        let mut out = Vec::new();
        Reply::from(error).write(Protocol::Resp2, &mut out);
        out
    };
    let line = written(ProtocolError::ExpectedBulk { got: 0xff });
    assert_eq!(line, b"-ERR Protocol error: expected '$', got '\xff'\r\n");
    let line = written(ProtocolError::InvalidBulkLength);
    assert_eq!(line, b"-ERR Protocol error: invalid bulk length\r\n");
}

#[test]
fn counts_read_either_way_are_the_same() {
    for count in (0..12_000).chain([99_999, 100_000, 1_000_000_000, 9_999_999_999u64]) {
        let digits = count.to_string();
        assert_eq!(parse_count(digits.as_bytes()), Some(count as i64));
        let line = format!("${digits}\r\n");
        let plain = (count < 10_000).then_some((count as u32, line.len()));
        assert_eq!(plain_count(line.as_bytes(), u32::MAX), plain);
        // Neither over the limit, nor before the byte after `\r` is there.
        if count > 0 {
            assert_eq!(plain_count(line.as_bytes(), count as u32 - 1), None);
        }
        assert_eq!(plain_count(&line.as_bytes()[..line.len() - 1], u32::MAX), None);
    }
    for odd in ["01", "00", "-1", "-0", "+1", "", "1x", "x", "1 ", " 1", "1\n", "000000", "123x"] {
        assert_eq!(plain_count(format!("${odd}\r\n").as_bytes(), u32::MAX), None, "{odd:?}");
        let expected = (odd == "-1").then_some(-1);
        assert_eq!(parse_count(odd.as_bytes()), expected, "{odd:?}");
    }
    assert_eq!(parse_count(b"-9223372036854775808"), Some(i64::MIN));
    assert_eq!(parse_count(b"-9223372036854775809"), None);
}

#[test]
fn unbalanced_is_said_of_quotes_only() {
    let split = |line: &str| inline::split(line.as_bytes(), &mut Vec::new(), &mut Vec::new());
    assert_eq!(split("it's"), Err(inline::Unbalanced));
    assert_eq!(split("its\\'"), Err(inline::Unbalanced));
    assert_eq!(split("its\\"), Ok(()));
}
