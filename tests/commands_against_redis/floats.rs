//! INCRBYFLOAT: the same digits as Redis', in whose C the sum is a `long double`.
//!
//! On a machine where that is not the 80-bit format of the x87 (ARM has 128 bits, and some
//! have 64), Redis itself answers with other digits than on x86-64; so there this is not
//! compared.

#![cfg(target_arch = "x86_64")]

use super::compare;
use super::strings::any;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Texts that are a number, or nearly so.
const ODD_NUMBERS: &[&str] = &[
    "0",
    "-0",
    "+0",
    "0.0",
    "-0.0",
    "1",
    "-1",
    "+1",
    "01",
    "1.",
    ".1",
    ".",
    "-.5",
    "+.5e1",
    "1e",
    "1e+",
    "1e5",
    "1E-5",
    "1e+5",
    "e5",
    "1e5.5",
    "1e99999999999999999999",
    "0e99999999999999999999",
    "1e-99999999999999999999",
    "1e4932",
    "1.2e4932",
    "1.18973149535723176502e4932",
    "1.189731495357231765e4932",
    "-1.18973149535723176502e4932",
    "1e4933",
    "3.6e-4951",
    "1.9e-4951",
    "1.8e-4951",
    "3.3621031431120935063e-4932",
    "1e-4000",
    "inf",
    "-inf",
    "+INF",
    "infinity",
    "Infinityx",
    "infinit",
    "nan",
    "-nan",
    "nan(1)",
    " 1",
    "1 ",
    "",
    "-",
    "+",
    "--1",
    "+-1",
    "0x10",
    "-0x10",
    "0x",
    "0x.",
    "0x.8",
    "0x1.8p3",
    "0x1p",
    "0x1p-16445",
    "0x1p-16446",
    "0x1.8p-16446",
    "0x1.fffffffffffffffep16383",
    "0x1.ffffffffffffffffp16383",
    "0x1p16384",
    "0xfffffffffffffffff",
    "0x1.00000000000000008p0",
    "0x1.000000000000000080000000000000000000000000000000000001p0",
    "0x1.00000000000000018p0",
    "0X1P-18",
    "0x3p-18",
    "0x0p5",
    "1\0",
    "1x",
    "1,5",
    "1_0",
    "\u{ff11}",
    "0.1",
    "0.2",
    "1.1",
    "3.3",
    "1e17",
    "1e-17",
    "5e-18",
    "4.9e-18",
    "-5e-18",
    "1.5e-17",
    "2.5e-17",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "18446744073709551617",
    "36893488147419103233",
    "36893488147419103235",
    "123456789.123456789",
    "17179869184.00000000000000001",
    "0.99999999999999999999",
    "0.5",
    "0.125",
    "1e300",
    "1e308",
    "1.7976931348623157e308",
    "4.9e-324",
];

#[test]
fn odd_numbers_are_taken_and_added_as_by_redis() {
    let mut requests = Vec::new();
    let mut add = |one: &str, other: &str| {
        for args in [["SET", "f", one], ["INCRBYFLOAT", "f", other]] {
            requests.push(args.map(|arg| arg.as_bytes().to_vec()).to_vec());
        }
    };
    for one in ODD_NUMBERS {
        for other in ODD_NUMBERS {
            add(one, other);
        }
    }
    for length in [5117, 5118, 5119, 5120, 5121] {
        for digit in ["0", "1", "9"] {
            add(&format!("0.{}", digit.repeat(length - 2)), "1");
            add("1", &format!("0.{}", digit.repeat(length - 2)));
            add(&format!("{}e-{length}", digit.repeat(length - 6)), "0");
            add(&format!("0x{}p-{}", digit.repeat(length - 8), length * 4), "0");
        }
    }
    compare("odd-floats", &requests);
}

fn digits(rng: &mut StdRng, count_max: usize) -> String {
    let count = rng.random_range(0..=count_max);
    (0..count).map(|_| char::from(b'0' + rng.random_range(0..10))).collect()
}

fn some_number(rng: &mut StdRng) -> String {
    let sign = *any(rng, &["", "-", "+"]);
    match rng.random_range(0..8) {
        // What people count: money, shares, degrees.
        0..=2 => format!("{sign}{}.{}", rng.random_range(0..100_000), digits(rng, 4)),
        3 => format!("{sign}{}.{}", digits(rng, 22), digits(rng, 22)),
        4 => format!("{sign}{}.{}e{}", digits(rng, 40), digits(rng, 40), rng.random_range(-60..60)),
        5 => format!("{sign}{}e{}", digits(rng, 25), rng.random_range(-5000..5000)),
        // Halves and what is next to them.
        6 => {
            let (mantissa, tail): (u64, u16) =
                (rng.random(), *any(rng, &[0, 1, 0x7fff, 0x8000, 0x8001]));
            let exponent = *any(rng, &[-16500, -16440, -120, -80, -64, -17, 0, 3, 64, 16250]);
            format!("{sign}0x{mantissa:x}{tail:04x}p{}", exponent + rng.random_range(-10..10))
        }
        _ => format!("{sign}{}", f64::from_bits(rng.random())),
    }
}

#[test]
fn sums_have_the_digits_of_redis() {
    let mut rng = StdRng::seed_from_u64(13);
    let mut requests = Vec::new();
    for _ in 0..10_000 {
        let mut say = |name: &str, number: String| {
            requests.push(vec![name.as_bytes().to_vec(), b"f".to_vec(), number.into_bytes()]);
        };
        if rng.random_ratio(1, 3) {
            say("SET", some_number(&mut rng));
        }
        let number = some_number(&mut rng);
        say("INCRBYFLOAT", number);
    }
    compare("floats", &requests);
}
