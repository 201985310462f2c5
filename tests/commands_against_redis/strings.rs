//! Strings and their parts.

use super::{ODD_INTEGERS, STATES, changes_of_states, compare, sequences};
use crate::command_support::script::words;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

/// A request of text arguments.
pub(super) fn request(args: &[&str]) -> Vec<Vec<u8>> {
    args.iter().map(|arg| arg.as_bytes().to_vec()).collect()
}

/// Whichever of them it falls on.
pub(super) fn any<'a, T>(rng: &mut StdRng, all: &'a [T]) -> &'a T {
    &all[rng.random_range(0..all.len())]
}

/// Bytes of all kinds, few of which differ: so that there is something in common, and
/// zeros and ones in rows.
pub(super) fn some_bytes(rng: &mut StdRng) -> Vec<u8> {
    let length = *any(rng, &[0, 1, 2, 3, 7, 8, 9, 20, 40]);
    let kinds: [&[u8]; 4] = [b"\x00", b"\xff", b"ab", b"\x00\x01\x80\xff\xfe\x7f\r\n"];
    let kind = *any(rng, &kinds);
    (0..length)
        .map(|_| if rng.random_ratio(1, 20) { rng.next_u32() as u8 } else { *any(rng, kind) })
        .collect()
}

#[test]
fn getex_takes_and_refuses_the_options_that_redis_does() {
    let options = [
        "EX",
        "exat 33177117421",
        "PXAT 33177117422000",
        "PXAT 1",
        "EXAT 0",
        "EXAT 9223372036854775807",
        "PX -1",
        "PX x",
        "PERSIST",
        "persist",
        "KEEPTTL",
        "NX",
        "GET",
    ];
    let mut changes: Vec<String> =
        sequences(&options, 3).iter().map(|options| format!("GETEX a{options}")).collect();
    for change in ["SETNX a 1", "GETSET a 1", "GETDEL a", "APPEND a x", "APPEND a \"\""] {
        changes.push(change.to_owned());
    }
    for change in ["SETRANGE a 5 x", "SETRANGE a 5 \"\"", "SETRANGE a 1 x", "STRLEN a"] {
        changes.push(change.to_owned());
    }
    for change in ["MSETNX a 1", "MSETNX b 1 a 2", "MSETNX a 1 b", "MSETNX a 1 a 2", "DEL b"] {
        changes.push(change.to_owned());
    }
    compare("getex", &changes_of_states(STATES, &changes));
}

#[test]
fn numbers_of_string_commands_are_taken_and_refused_as_by_redis() {
    let mut requests = Vec::new();
    for integer in ODD_INTEGERS {
        // Of what may be over by then nobody can ask whether it is there.
        let is_brief = integer.parse().is_ok_and(|ms: u64| ms < 60_000);
        let after = if is_brief { "SET a x" } else { "DEL a" };
        for line in [
            format!("SETEX a {integer} x"),
            "DEL a".to_owned(),
            format!("PSETEX a {integer} x"),
            after.to_owned(),
            "SET s 0123456789".to_owned(),
            format!("SETRANGE s {integer} \"\""),
            format!("SETRANGE nokey {integer} \"\""),
            format!("LCS s s MINMATCHLEN {integer} IDX"),
            format!("LCS s s IDX MINMATCHLEN {integer} WITHMATCHLEN"),
            format!("INCRBYFLOAT f {integer}"),
            format!("SET f {integer}"),
            "INCRBYFLOAT f 0.5".to_owned(),
            "DEL f".to_owned(),
        ] {
            requests.push(words(&line));
        }
        for other in ODD_INTEGERS {
            for key in ["s", "nokey"] {
                requests.push(words(&format!("GETRANGE {key} {integer} {other}")));
                requests.push(words(&format!("SUBSTR {key} {integer} {other}")));
            }
        }
    }
    compare("string-integers", &requests);
}

#[test]
fn parts_of_strings_are_where_redis_finds_them() {
    let mut requests = Vec::new();
    for value in ["", "a", "abcde"] {
        requests.push(request(&["SET", "s", value]));
        for start in -8..=8 {
            for end in -8..=8 {
                requests.push(words(&format!("GETRANGE s {start} {end}")));
            }
            requests.push(request(&["SET", "t", value]));
            requests.push(words(&format!("SETRANGE t {start} xyz")));
            requests.push(request(&["GET", "t"]));
            requests.push(request(&["DEL", "t"]));
            requests.push(words(&format!("SETRANGE t {start} xyz")));
            requests.push(request(&["GET", "t"]));
        }
    }
    compare("parts", &requests);
}

#[test]
fn lcs_takes_the_options_and_finds_the_way_that_redis_does() {
    let mut requests = vec![request(&["MSET", "s", "ohmytext", "t", "mynewtext", "e", ""])];
    let options =
        ["LEN", "idx", "WITHMATCHLEN", "MINMATCHLEN 4", "minmatchlen", "MINMATCHLEN x", "what"];
    for options in sequences(&options, 3) {
        for keys in ["s t", "s nokey", "nokey e"] {
            requests.push(words(&format!("LCS {keys}{options}")));
        }
    }
    let mut rng = StdRng::seed_from_u64(3);
    for _ in 0..4000 {
        let letters: &[u8] = if rng.random() { b"ab" } else { b"abcdefgh\x00\xff" };
        let mut text = || {
            let length = rng.random_range(0..30);
            (0..length).map(|_| *any(&mut rng, letters)).collect::<Vec<u8>>()
        };
        requests.push(vec![b"MSET".to_vec(), b"s".to_vec(), text(), b"t".to_vec(), text()]);
        requests.push(request(&["LCS", "s", "t"]));
        requests.push(request(&["LCS", "s", "t", "LEN"]));
        requests.push(request(&["LCS", "s", "t", "IDX", "WITHMATCHLEN"]));
        let length_min = rng.random_range(0..4);
        requests.push(words(&format!("LCS s t IDX MINMATCHLEN {length_min}")));
    }
    compare("lcs", &requests);
}

/// With a limit that is quickly reached; the default one is 512 times that.
#[test]
fn strings_end_where_those_of_redis_do() {
    let mut requests = vec![request(&["CONFIG", "SET", "proto-max-bulk-len", "1048576"])];
    requests.push(vec![b"SET".to_vec(), b"long".to_vec(), vec![b'x'; 1_048_575]]);
    requests.push(vec![b"SET".to_vec(), b"b".to_vec(), vec![b'x'; 2000]]);
    requests.push(vec![b"SET".to_vec(), b"c".to_vec(), vec![b'y'; 130]]);
    requests.push(vec![b"SET".to_vec(), b"d".to_vec(), vec![b'y'; 131]]);
    for line in [
        "APPEND long yy",
        "APPEND long y",
        "APPEND long y",
        "APPEND long \"\"",
        "SETRANGE long 1048575 zz",
        "SETRANGE long 1048575 z",
        "SETRANGE long 1048576 z",
        "SETRANGE long 9223372036854775807 z",
        "SETRANGE long 9223372036854775807 \"\"",
        "SETRANGE nokey 1048576 z",
        "SETRANGE nokey 9223372036854775807 z",
        "STRLEN long",
        "EXISTS nokey",
        "SETBIT new 8388608 1",
        "SETBIT new 8388607 1",
        "STRLEN new",
        "GETBIT new 8388608",
        "GETBIT new 8388607",
        "BITPOS new 1",
        "BITCOUNT new",
        "BITCOUNT long 5 -7 BIT",
        "BITFIELD new SET u8 8388608 1",
        "BITFIELD new SET u8 #1048576 1",
        "BITFIELD new SET i64 8388607 -1",
        "STRLEN new",
        "BITFIELD new GET i64 8388607",
        "BITFIELD new GET u8 8388608",
        "APPEND new x",
        "BITOP NOT other new",
        "STRLEN other",
        "LCS b c LEN",
        "LCS b d LEN",
        "LCS b d",
        "LCS long long",
        "LCS long nokey",
        "CONFIG SET proto-max-bulk-len 536870912",
    ] {
        requests.push(words(line));
    }
    compare("limits", &requests);
}

#[test]
fn whatever_is_done_to_strings_comes_out_as_in_redis() {
    const KEYS: [&str; 3] = ["a", "b", "c"];
    let mut rng = StdRng::seed_from_u64(5);
    let mut requests = Vec::new();
    for _ in 0..20_000 {
        let (key, other) = (*any(&mut rng, &KEYS), *any(&mut rng, &KEYS));
        let (start, end): (i32, i32) = (rng.random_range(-50..50), rng.random_range(-50..50));
        let value = some_bytes(&mut rng);
        let (line, value) = match rng.random_range(0..16) {
            0 => (format!("SET {key}"), Some(value)),
            1 => (format!("APPEND {key}"), Some(value)),
            2 => (format!("SETRANGE {key} {start}"), Some(value)),
            3 => (format!("GETSET {key}"), Some(value)),
            4 => (format!("SETNX {key}"), Some(value)),
            5 => (format!("MSETNX {key} 1 {other}"), Some(value)),
            6 => (format!("SET {key} PXAT 33177117420000"), None),
            7 => (format!("GETDEL {key}"), None),
            8 => (format!("GETRANGE {key} {start} {end}"), None),
            9 => (format!("LCS {key} {other} IDX WITHMATCHLEN"), None),
            10 => (format!("INCRBYFLOAT {key} {start}.{}", end.unsigned_abs()), None),
            11 => (format!("STRLEN {key}"), None),
            12 => (format!("GETEX {key} PXAT 33177117420000"), None),
            13 => (format!("GETEX {key} PERSIST"), None),
            14 => (format!("PEXPIRETIME {key}"), None),
            _ => (format!("DEL {key}"), None),
        };
        let mut request = words(&line);
        request.extend(value);
        requests.push(request);
        requests.push(vec![b"GET".to_vec(), key.as_bytes().to_vec()]);
    }
    compare("random-strings", &requests);
}
