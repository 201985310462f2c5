//! The words that requests are made of. Few keys, so that connections meet; values and
//! numbers at the edges of what is allowed; times that are over, or far away.

use crate::script::Word;
use proptest::prelude::*;
use proptest::sample::select;

/// One of a class.
pub(crate) fn class(name: &str) -> BoxedStrategy<Word> {
    match name {
        "key" => prop_oneof![
            12 => of(&["a", "b", "c", "n"]),
            1 => of(&["", "a-key-that-is-too-long-to-stand-in-an-index-by-itself", "{t}x"]),
            1 => Just(Word::Bytes(b"\0\xff\r\n".to_vec())),
        ]
        .boxed(),
        "any-key" => prop_oneof![6 => class("key"), 1 => of(&["big"])].boxed(),
        "value" => value(),
        "big-value" => (0u8..3, select(vec![20_000, 65_536, 1_048_576]))
            .prop_map(|(byte, length)| Word::Bytes(vec![b'x' + byte; length]))
            .boxed(),
        "client-id" => {
            prop_oneof![4 => (0usize..4).prop_map(Word::IdOf), 1 => of(&["0", "-1", "999999", "x"])]
                .boxed()
        }
        "client-address" => {
            prop_oneof![3 => (0usize..4).prop_map(Word::AddressOf), 1 => of(&["1.2.3.4:5", "x"])]
                .boxed()
        }
        "nasty" => prop_oneof![
            4 => of(NASTY),
            1 => Just(Word::Bytes(b"\xff\0\r\n \x80".to_vec())),
            1 => select(vec![300, 70_000]).prop_map(|length| Word::Bytes(vec![b'7'; length])),
        ]
        .boxed(),
        _ => of(list(name)),
    }
}

fn of(words: &[&'static str]) -> BoxedStrategy<Word> {
    select(words.to_vec()).prop_map(Word::from).boxed()
}

fn value() -> BoxedStrategy<Word> {
    let bytes = proptest::collection::vec(any::<u8>(), 0..20).prop_map(Word::Bytes);
    let length = select(vec![40usize, 44, 45, 64, 65, 200, 1000]);
    prop_oneof![
        5 => of(&["", "x", "hello", "0", "1", "-1", "10", "007", "3.14", "1e5", "-0.1", "inf", " 1"]),
        1 => of(&["9223372036854775807", "-9223372036854775808", "9223372036854775808", "10000", "9999"]),
        3 => bytes,
        2 => (length, any::<u8>()).prop_map(|(length, byte)| Word::Bytes(vec![byte; length])),
    ]
    .boxed()
}

/// What nobody should send. No small positive number: as milliseconds it would be a matter
/// of luck.
const NASTY: &[&str] = &[
    "",
    "0",
    "-0",
    "+7",
    "-1",
    "x",
    " ",
    "1.5",
    "nan",
    "inf",
    "1e400",
    "0x10",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "4294967296",
    "-4294967297",
    "*",
    "NX",
    "GET",
    "(",
    "\n",
];

#[rustfmt::skip] // A class, a row.
fn list(name: &str) -> &'static [&'static str] {
    match name {
        "int" => &["0", "1", "-1", "5", "-5", "100", "9223372036854775807", "-9223372036854775808", "9223372036854775808", "1.0"],
        "float" => &["0", "1", "-1.5", "3.0e3", "0.1", "1e-7", "1e308", "-1e308", "1e17", "1e400", "inf", "nan", "x", "1e-5000", "0x1p3", "5e-324"],
        "index" => &["0", "1", "-1", "2", "-2", "5", "-5", "100", "-100", "9223372036854775807", "-9223372036854775808"],
        "offset" => &["0", "1", "7", "8", "63", "64", "100", "4000", "-1", "536870912", "9223372036854775807"],
        "bit-offset" => &["0", "1", "7", "8", "63", "100", "8000", "-1", "4294967296", "9223372036854775807"],
        "field-offset" => &["0", "1", "7", "#0", "#1", "#7", "100", "-1", "#-1", "4294967296", "#536870912", "#9223372036854775807"],
        "field-type" => &["u1", "u8", "i8", "i5", "u63", "u64", "i64", "i65", "u0", "x8", "u"],
        "seconds" => &["1000", "100000", "1000", "0", "-1", "9223372036854775807", "9223372036854775", "9223372036854776", "-9223372036854775808"],
        "milliseconds" => &["1000000", "100000000", "0", "-1", "9223372036854775807", "-9223372036854775808"],
        "seconds-at" => &["33177117420", "33177117421", "33177117420", "1", "0", "-1", "9223372036854775807", "9223372036854776"],
        "milliseconds-at" => &["33177117420000", "33177117420001", "33177117421000", "1", "0", "-1", "9223372036854775807"],
        "database" => &["0", "1", "2", "0", "1", "2", "15", "16", "-1", "x", "4294967296"],
        "count" => &["1000", "1", "10", "5", "0", "-1", "9223372036854775807"],
        "pattern" => &["*", "a", "?", "[a-b]", "[^a]", "\\a", "n*", "", "[", "*\\"],
        "cursor" => &["0", "0", "0", "+0", "-0", "x", ""],
        "type" => &["string", "STRING", "list", "x"],
        "user" => &["bob", "eve", "bob", "default", "nobody"],
        "password" => &["secret", "other", ""],
        "rule" => &[
            "on", "off", ">secret", "<secret", ">other", "nopass", "resetpass", "reset", "~*", "~a*", "%R~b", "%W~n",
            "allkeys", "resetkeys", "&*", "+@all", "-@all", "+@read", "+@write", "-@dangerous", "+get", "-get", "+set",
            "+config|get", "-config", "+@connection", "+@transaction", "(+get ~c)", "(+@write %W~x", "clearselectors", "+nosuch", "~", "what",
        ],
        "category" => &["read", "write", "string", "keyspace", "transaction", "connection", "dangerous", "admin", "fast", "slow", "bitmap", "hash", "nosuch"],
        "setting" => &["timeout", "maxmemory", "maxmemory-policy", "slowlog-max-len", "slowlog-log-slower-than", "requirepass", "databases", "save", "proto-max-bulk-len", "nosuch", "TIMEOUT"],
        "slower" => &["0", "-1", "-1", "1000000", "x"],
        "section" => &["server", "clients", "memory", "persistence", "stats", "replication", "cpu", "modules", "errorstats", "cluster", "keyspace", "nosuch", "SERVER"],
        "command" => &["get", "SET", "mget", "exec", "bitfield", "client|list", "CLIENT|KILL", "config", "config|nosuch", "ping", "nosuch", "object|encoding", "scan", "copy", "acl|dryrun"],
        "message" => &["hello", "", "x y", "\r\n"],
        "sha1" => &["e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "x", ""],
        "percentile" => &["0", "100", "300"],
        _ => panic!("no class of words is called {name}"),
    }
}
