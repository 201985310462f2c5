//! Numbers as decimal text.

/// Most bytes an i64 takes in decimal: 19 digits and a sign.
const INTEGER_BYTES_MAX: usize = 20;

/// Every number of two digits.
static PAIRS: &[u8; 200] = b"\
    0001020304050607080910111213141516171819\
    2021222324252627282930313233343536373839\
    4041424344454647484950515253545556575859\
    6061626364656667686970717273747576777879\
    8081828384858687888990919293949596979899";

/// Appends `kind`, the number and the line's end. `kind` is in here so that all of it
/// is put together on the stack and copied once.
pub(super) fn write_integer(kind: u8, value: i64, out: &mut Vec<u8>) {
    let mut line = [0; INTEGER_BYTES_MAX + 3];
    let mut start = line.len() - 2;
    line[start..].copy_from_slice(b"\r\n");
    let mut rest = value.unsigned_abs();
    // Two digits for each division: dividing is what takes the time.
    while rest >= 10 {
        start -= 2;
        let pair = 2 * (rest % 100) as usize;
        line[start..start + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
        rest /= 100;
    }
    if rest > 0 || value == 0 {
        start -= 1;
        line[start] = b'0' + rest as u8;
    }
    if value < 0 {
        start -= 1;
        line[start] = b'-';
    }
    start -= 1;
    line[start] = kind;
    out.extend_from_slice(&line[start..]);
}

/// Significant digits of a double on the wire: as many as tell any two apart.
const DOUBLE_DIGITS: i32 = 17;

/// A double as C's `%.17g` prints it, the format of Redis 7.0 (so 0.1 is
/// `0.10000000000000001`); a NaN keeps its sign, as there.
pub(super) fn format_double(value: f64) -> String {
    if value.is_nan() {
        return String::from(if value.is_sign_negative() { "-nan" } else { "nan" });
    }
    if value.is_infinite() {
        return String::from(if value < 0.0 { "-inf" } else { "inf" });
    }
    let scientific = format!("{value:.*e}", DOUBLE_DIGITS as usize - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..DOUBLE_DIGITS).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", without_trailing_zeros(mantissa), exponent.abs());
    }
    let decimals = (DOUBLE_DIGITS - 1 - exponent) as usize;
    let mut fixed = format!("{value:.decimals$}");
    fixed.truncate(without_trailing_zeros(&fixed).len());
    fixed
}

fn without_trailing_zeros(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}
