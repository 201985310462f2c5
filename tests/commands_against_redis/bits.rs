//! Strings as bits.

use super::strings::{any, request, some_bytes};
use super::{ODD_INTEGERS, compare};
use crate::command_support::script::words;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

#[test]
fn bit_offsets_and_values_are_taken_and_refused_as_by_redis() {
    let mut requests = Vec::new();
    for integer in ODD_INTEGERS {
        // A string of so many bits is better not made.
        let large = integer.starts_with("214748364");
        for line in [
            format!("GETBIT s {integer}"),
            format!("GETBIT s #{integer}"),
            format!("SETBIT s 3 {integer}"),
            format!("BITPOS s {integer}"),
            format!("BITPOS nokey {integer}"),
            format!("BITPOS nokey 0 {integer}"),
            format!("BITFIELD s GET u8 {integer}"),
            format!("BITFIELD s GET u8 #{integer}"),
            format!("BITFIELD s GET u{integer} 0"),
            format!("BITFIELD s GET i{integer} 0"),
            format!("BITFIELD s GET I{integer} 0"),
            format!("BITFIELD s GET {integer} 0"),
            format!("BITFIELD s SET u8 0 {integer}"),
            format!("BITFIELD s OVERFLOW {integer}"),
            format!("BITFIELD s {integer}"),
            format!("BITFIELD_RO s SET u8 0 {integer}"),
            format!("BITFIELD_RO s GET i5 #{integer}"),
        ] {
            // A quote in a word is part of it.
            if !line.contains("u\"") && !line.contains("i\"") && !line.contains("I\"") {
                requests.push(words(&line));
            }
        }
        if !large {
            requests.push(words(&format!("SETBIT s {integer} 1")));
            requests.push(words(&format!("BITFIELD s INCRBY i7 {integer} 1")));
        }
        for other in ODD_INTEGERS {
            for key in ["s", "nokey"] {
                for unit in ["", " BIT", " byte", " what", " BIT x"] {
                    requests.push(words(&format!("BITCOUNT {key} {integer} {other}{unit}")));
                    requests.push(words(&format!("BITPOS {key} 0 {integer} {other}{unit}")));
                }
            }
        }
    }
    compare("bit-integers", &requests);
}

#[test]
fn bits_are_where_redis_finds_them() {
    let mut requests = Vec::new();
    let values: [&[u8]; 8] =
        [b"", b"\0", b"\xff", b"\xff\xff\xff", b"\0\0\0", b"\x10\0\x08", b"\xff\xf7\xff", b"ab"];
    for value in values {
        requests.push(vec![b"SET".to_vec(), b"s".to_vec(), value.to_vec()]);
        for bit in 0..=1 {
            requests.push(words(&format!("BITPOS s {bit}")));
        }
        requests.push(request(&["BITCOUNT", "s"]));
        for start in -27..=27 {
            for bit in 0..=1 {
                requests.push(words(&format!("BITPOS s {bit} {start}")));
            }
            requests.push(words(&format!("BITCOUNT s {start}")));
            for end in -27..=27 {
                for unit in ["", " BIT"] {
                    requests.push(words(&format!("BITCOUNT s {start} {end}{unit}")));
                    requests.push(words(&format!("BITPOS s 0 {start} {end}{unit}")));
                    requests.push(words(&format!("BITPOS s 1 {start} {end}{unit}")));
                }
            }
        }
    }
    compare("bit-ranges", &requests);
}

#[test]
fn whatever_is_done_to_bits_comes_out_as_in_redis() {
    const KEYS: [&str; 4] = ["a", "b", "c", "d"];
    let mut rng = StdRng::seed_from_u64(6);
    let mut requests = Vec::new();
    for _ in 0..20_000 {
        let [key, two, three] = [(); 3].map(|()| *any(&mut rng, &KEYS));
        let (offset, bit) = (rng.random_range(0..400), rng.random_range(0..2));
        let operation = any(&mut rng, &["AND", "or", "XOR", "NOT", "nand"]);
        let line = match rng.random_range(0..10) {
            0 | 1 => format!("SET {key}"),
            2 => format!("SETBIT {key} {offset} {bit}"),
            3 => format!("GETBIT {key} {offset}"),
            4 => format!("BITOP {operation} {key} {two}"),
            5 => format!("BITOP {operation} {key} {two} {three}"),
            6 => format!("BITOP {operation} {key} {two} nokey {three} {key}"),
            7 => format!("BITCOUNT {key} {} {} BIT", offset - 200, offset / 2),
            8 => format!("BITPOS {key} {bit} {} {} BIT", offset - 200, offset),
            _ => format!("DEL {key}"),
        };
        let mut request = words(&line);
        if line.starts_with("SET ") {
            request.push(some_bytes(&mut rng));
        }
        requests.push(request);
        requests.push(vec![b"GET".to_vec(), key.as_bytes().to_vec()]);
    }
    compare("random-bits", &requests);
}

/// Numbers about the limits of fields, and any.
fn some_number(rng: &mut StdRng, bits: u32) -> i64 {
    let limit = 1i64.checked_shl(bits).unwrap_or(0);
    let around =
        *any(rng, &[0, limit, limit / 2, limit.wrapping_neg(), -(limit / 2), i64::MAX, i64::MIN]);
    match rng.random_range(0..4) {
        0 => rng.random(),
        1 => rng.random_range(-300..300),
        _ => around.wrapping_add(rng.random_range(-2..=2)),
    }
}

#[test]
fn fields_of_all_types_hold_what_they_hold_in_redis() {
    let mut rng = StdRng::seed_from_u64(8);
    let mut requests = Vec::new();
    for _ in 0..20_000 {
        let mut line = "BITFIELD a".to_owned();
        for _ in 0..rng.random_range(0..5) {
            let bits = rng.random_range(1..=64);
            let sign = if bits == 64 || rng.random() { 'i' } else { 'u' };
            let hash = if rng.random() { "#" } else { "" };
            let field = format!("{sign}{bits} {hash}{}", rng.random_range(0..30));
            line += &match rng.random_range(0..8) {
                0 | 1 => format!(" GET {field}"),
                2 | 3 => format!(" SET {field} {}", some_number(&mut rng, bits)),
                4 | 5 => format!(" incrby {field} {}", some_number(&mut rng, bits)),
                6 => format!(" overflow {}", any(&mut rng, &["wrap", "SAT", "FAIL"])),
                _ => format!(" {}", any(&mut rng, &["GET u8", "OVERFLOW WRAP", "SET u8 0"])),
            };
        }
        requests.push(words(&line));
        requests.push(words(&line.replace("BITFIELD", "BITFIELD_RO")));
        let mut about = vec![b"COMMAND".to_vec(), b"GETKEYSANDFLAGS".to_vec()];
        about.extend(words(&line));
        requests.push(about);
        requests.push(request(&["GET", "a"]));
        if rng.random_ratio(1, 10) {
            requests.push(vec![b"SET".to_vec(), b"a".to_vec(), some_bytes(&mut rng)]);
        } else if rng.random_ratio(1, 10) {
            requests.push(request(&["DEL", "a"]));
        }
    }
    compare("fields", &requests);
}
