//! What holds of the wire for all input, with the `redis-protocol` crate as a second
//! opinion.
//!
//! Its grammar and Redis' are not the same. It also takes counts such as `+3` and `03`,
//! null and other kinds of arguments; Redis takes any byte for a line's `\n` and any two
//! after an argument, and lines without counts. They coincide on the canonical
//! requests, those that a client library would have written for their arguments, so
//! that is what the two are held to agree on: which bytes are one, and what it says.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod resp_support;

use std::collections::BTreeMap;

use aft::resp::{Decoded, Decoder, Protocol, Reply, RequestLimits};
use aft::small_bytes::SmallBytes;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use redis_protocol::resp2::{self, types::OwnedFrame as Frame2};
use redis_protocol::resp3::{self, types::OwnedFrame as Frame3};
use resp_support::cuts::{self, Event};
use resp_support::encode_request;

fn args() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let special = prop::sample::select(&b"\r\n\0*$-0123\xff"[..]);
    let byte = prop_oneof![any::<u8>(), special];
    // Lengths of one digit, two and three.
    let arg = prop_oneof![4 => vec(byte, 0..20), 1 => vec(any::<u8>(), 90..300)];
    vec(arg, 1..12)
}

/// A request, if it is canonical, and its length: as we see it.
fn ours(input: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let mut decoder = Decoder::default();
    let Ok(Decoded::Request { consumed }) = decoder.decode(input, true) else {
        return None;
    };
    let args: Vec<_> = decoder.args(input).iter().map(<[u8]>::to_vec).collect();
    (encode_request(&args) == input[..consumed]).then_some((args, consumed))
}

/// The same as redis-protocol sees it.
fn theirs(input: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let Ok(Some((Frame2::Array(items), consumed))) = resp2::decode::decode(input) else {
        return None;
    };
    let as_arg = |item| match item {
        Frame2::BulkString(bytes) => Some(bytes),
        _ => None,
    };
    let args: Vec<_> = items.into_iter().map(as_arg).collect::<Option<_>>()?;
    // No arguments are no request.
    (!args.is_empty() && encode_request(&args) == input[..consumed]).then_some((args, consumed))
}

#[derive(Clone, Debug)]
enum Mutation {
    Replace(u8),
    Insert(u8),
    Remove,
    Cut,
}

fn mutations() -> impl Strategy<Value = Vec<(prop::sample::Index, Mutation)>> {
    let byte = prop::sample::select(&b"\r\n\0*$+-0123459 :\"ax\xff"[..]);
    let mutation = prop_oneof![
        byte.clone().prop_map(Mutation::Replace),
        byte.prop_map(Mutation::Insert),
        Just(Mutation::Remove),
        Just(Mutation::Cut),
    ];
    vec((any::<prop::sample::Index>(), mutation), 0..4)
}

fn mutate(bytes: &mut Vec<u8>, mutations: &[(prop::sample::Index, Mutation)]) {
    for (index, mutation) in mutations {
        if bytes.is_empty() {
            return;
        }
        let at = index.index(bytes.len());
        match mutation {
            Mutation::Replace(byte) => bytes[at] = *byte,
            Mutation::Insert(byte) => bytes.insert(at, *byte),
            Mutation::Remove => drop(bytes.remove(at)),
            Mutation::Cut => bytes.truncate(at),
        }
    }
}

proptest! {
    #[test]
    fn pipelined_requests_survive_any_cuts(
        requests in vec(args(), 1..20),
        piece_bytes_max in 1..400usize,
        seed in any::<u64>(),
    ) {
        let encoded: Vec<_> = requests.iter().map(|args| encode_request(args)).collect();
        let stream = encoded.concat();
        let ends = cuts::random_ends(stream.len(), piece_bytes_max, seed);
        let events = cuts::decode_cut(&stream, ends, RequestLimits::default(), true);
        let expected: Vec<_> = requests
            .into_iter()
            .zip(&encoded)
            .map(|(args, bytes)| Event::Request(args, bytes.len()))
            .collect();
        prop_assert_eq!(events, expected);
    }

    #[test]
    fn any_bytes_are_decoded_alike_wherever_they_are_cut(
        requests in vec(args(), 1..4),
        mutations in mutations(),
        options in 0..4u8,
        seed in any::<u8>(),
    ) {
        let mut data: Vec<u8> = requests.iter().flat_map(|args| encode_request(args)).collect();
        mutate(&mut data, &mutations);
        data.splice(..0, [options, seed]);
        cuts::check(&data);
    }

    #[test]
    fn well_formed_requests_and_their_beginnings_mean_the_same_to_redis_protocol(
        args in args(),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = encode_request(&args);
        let expected = Some((args, bytes.len()));
        prop_assert_eq!(&ours(&bytes), &expected);
        prop_assert_eq!(&theirs(&bytes), &expected);
        let beginning = &bytes[..cut.index(bytes.len())];
        let waits = matches!(Decoder::default().decode(beginning, true), Ok(Decoded::NeedMore { .. }));
        prop_assert!(waits);
        prop_assert!(matches!(resp2::decode::decode(beginning), Ok(None)));
    }

    #[test]
    fn mutated_requests_are_canonical_to_both_or_to_neither(
        args in args(),
        mutations in mutations(),
    ) {
        let mut bytes = encode_request(&args);
        mutate(&mut bytes, &mutations);
        prop_assert_eq!(ours(&bytes), theirs(&bytes));
    }

    #[test]
    fn random_bytes_are_canonical_to_both_or_to_neither(
        // Short lengths and many line ends, or nearly nothing would ever be complete.
        pieces in vec(prop::sample::select(
            &["*1\r\n", "*2\r\n", "$1\r\n", "$0\r\n", "a\r\n", "\r\n", "$2\r\n", "*", "1", "\n"][..]
        ), 0..8),
    ) {
        let bytes = pieces.concat().into_bytes();
        prop_assert_eq!(ours(&bytes), theirs(&bytes));
    }

    #[test]
    fn replies_mean_the_same_to_redis_protocol(reply in reply()) {
        let mut out = Vec::new();
        reply.write(Protocol::Resp2, &mut out);
        let decoded = resp2::decode::decode(&out).unwrap();
        prop_assert_eq!(decoded, Some((as_resp2(&reply), out.len())));
        let mut out = Vec::new();
        reply.write(Protocol::Resp3, &mut out);
        let decoded = resp3::decode::complete::decode(&out).unwrap();
        prop_assert_eq!(decoded, Some((as_resp3(&reply), out.len())));
    }
}

/// Replies that hold no others; `None`, which isn't written, is not among them.
fn leaf() -> impl Strategy<Value = Reply> {
    prop_oneof![
        Just(Reply::Ok),
        Just(Reply::Pong),
        Just(Reply::Queued),
        Just(Reply::Null),
        Just(Reply::NullArray),
        "[ -~]{0,30}".prop_map(Reply::simple),
        "[A-Z]{2,8} [ -~äß]{0,30}".prop_map(Reply::error),
        any::<i64>().prop_map(Reply::Integer),
        (-200..200i64).prop_map(Reply::Integer),
        vec(any::<u8>(), 0..200).prop_map(Reply::bulk),
        (any::<f64>()).prop_map(Reply::Double),
        prop::sample::select(&[f64::INFINITY, f64::NEG_INFINITY, 0.1, 1e17, 3.0][..])
            .prop_map(Reply::Double),
        any::<bool>().prop_map(Reply::Boolean),
        "[ -~\n]{0,200}".prop_map(|text| Reply::text(text.as_str())),
        "-?[1-9][0-9]{0,60}".prop_map(|text| Reply::BigNumber(SmallBytes::from(text.as_str()))),
    ]
    .prop_filter(
        "two NaNs are never equal",
        |reply| !matches!(reply, Reply::Double(value) if value.is_nan()),
    )
}

fn reply() -> impl Strategy<Value = Reply> {
    leaf().prop_recursive(4, 40, 6, |inner| {
        // redis-protocol keeps maps and sets by hash: keys are of one simple kind, and
        // each is there once.
        let map = |pairs: BTreeMap<i64, Reply>| {
            Reply::Map(pairs.into_iter().map(|(k, v)| (Reply::Integer(k), v)).collect())
        };
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Reply::Array),
            btree_map(any::<i64>(), inner.clone(), 0..6).prop_map(map),
            btree_map(any::<i64>(), Just(()), 0..6)
                .prop_map(|keys| { Reply::Set(keys.into_keys().map(Reply::Integer).collect()) }),
        ]
    })
}

/// What a client of RESP2 should see.
fn as_resp2(reply: &Reply) -> Frame2 {
    let all = |items: &[Reply]| Frame2::Array(items.iter().map(as_resp2).collect());
    let simple = |text: &[u8]| Frame2::SimpleString(text.to_vec());
    match reply {
        Reply::None => unreachable!("not generated"),
        Reply::Ok => simple(b"OK"),
        Reply::Pong => simple(b"PONG"),
        Reply::Queued => simple(b"QUEUED"),
        Reply::Simple(line) => simple(line.as_bytes()),
        Reply::Error(line) => Frame2::Error(String::from_utf8(line.as_bytes().to_vec()).unwrap()),
        Reply::Integer(value) => Frame2::Integer(*value),
        Reply::Boolean(value) => Frame2::Integer(i64::from(*value)),
        Reply::Null | Reply::NullArray => Frame2::Null,
        Reply::Bulk(bytes) | Reply::BigNumber(bytes) | Reply::Verbatim { text: bytes, .. } => {
            Frame2::BulkString(bytes.to_vec())
        }
        // The text is Redis' business; that it is the same number is tested by RESP3.
        Reply::Double(value) => {
            let mut out = Vec::new();
            Reply::Double(*value).write(Protocol::Resp3, &mut out);
            Frame2::BulkString(out[1..out.len() - 2].to_vec())
        }
        Reply::Array(items) | Reply::Set(items) | Reply::Push(items) => all(items),
        Reply::Map(pairs) => {
            let flat = pairs.iter().flat_map(|(key, value)| [as_resp2(key), as_resp2(value)]);
            Frame2::Array(flat.collect())
        }
    }
}

/// What a client of RESP3 should see.
fn as_resp3(reply: &Reply) -> Frame3 {
    let attributes = None;
    let simple = |text: &[u8]| Frame3::SimpleString { data: text.to_vec(), attributes: None };
    let all = |items: &[Reply]| items.iter().map(as_resp3).collect::<Vec<_>>();
    match reply {
        Reply::None => unreachable!("not generated"),
        Reply::Ok => simple(b"OK"),
        Reply::Pong => simple(b"PONG"),
        Reply::Queued => simple(b"QUEUED"),
        Reply::Simple(line) => simple(line.as_bytes()),
        Reply::Error(line) => {
            let data = String::from_utf8(line.as_bytes().to_vec()).unwrap();
            Frame3::SimpleError { data, attributes }
        }
        Reply::Integer(value) => Frame3::Number { data: *value, attributes },
        Reply::Boolean(value) => Frame3::Boolean { data: *value, attributes },
        Reply::Double(value) => Frame3::Double { data: *value, attributes },
        Reply::Null | Reply::NullArray => Frame3::Null,
        Reply::Bulk(bytes) => Frame3::BlobString { data: bytes.to_vec(), attributes },
        Reply::BigNumber(digits) => Frame3::BigNumber { data: digits.to_vec(), attributes },
        Reply::Verbatim { text, .. } => Frame3::VerbatimString {
            data: text.to_vec(),
            format: resp3::types::VerbatimStringFormat::Text,
            attributes,
        },
        Reply::Array(items) => Frame3::Array { data: all(items), attributes },
        Reply::Push(items) => Frame3::Push { data: all(items), attributes },
        Reply::Set(items) => Frame3::Set { data: items.iter().map(as_resp3).collect(), attributes },
        Reply::Map(pairs) => {
            let data = pairs.iter().map(|(key, value)| (as_resp3(key), as_resp3(value))).collect();
            Frame3::Map { data, attributes }
        }
    }
}

/// Nothing is around a push, so it isn't part of the generated trees.
#[test]
fn a_push_means_the_same_to_redis_protocol() {
    let push = Reply::Push(vec![Reply::bulk("message"), Reply::bulk("channel"), Reply::Null]);
    let mut out = Vec::new();
    push.write(Protocol::Resp3, &mut out);
    let decoded = resp3::decode::complete::decode(&out).unwrap();
    assert_eq!(decoded, Some((as_resp3(&push), out.len())));
}
