//! C's `long double`, in which Redis adds up fractions: on x86-64 the 80-bit format of the
//! x87, with 64 bits of mantissa and exponents from -16445 to 16320.
//!
//! Rust has no such type, so this is it in software. Nothing is approximated: a text is
//! read as an exact fraction, a sum is exact, and each is then rounded once, to the
//! nearest and of two to the even one, which is what the C library and the processor do.
//! So the digits are the same on every machine, those without an x87 included.

mod big;

use big::Big;

/// Longer texts are no numbers; Redis has room for so many, and a NUL.
const TEXT_BYTES_MAX: usize = 5 * 1024 - 1;

/// The exponent of the least bit of the smallest numbers.
const EXPONENT_MIN: i64 = -16445;
/// That of the largest.
const EXPONENT_MAX: i64 = 16320;

/// `mantissa * 2^exponent`, or an infinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LongDouble {
    /// A number.
    Finite {
        /// Whether it is less than zero.
        negative: bool,
        /// Its 64 bits; fewer only of zero and of the smallest numbers.
        mantissa: u64,
        /// What they are to be multiplied with, as a power of two.
        exponent: i32,
    },
    /// An infinity, of either sign.
    Infinite,
}

impl LongDouble {
    /// Nothing.
    pub(super) const ZERO: Self = Self::Finite { negative: false, mantissa: 0, exponent: 0 };

    /// A text as C's `strtold` takes it, decimal or hexadecimal; `None` of what Redis
    /// refuses: blanks around it, NaN, what is too large, and what is too small to differ
    /// from zero without being zero.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let (negative, digits) = match text {
            [b'-', digits @ ..] => (true, digits),
            [b'+', digits @ ..] => (false, digits),
            _ => (false, text),
        };
        if digits.eq_ignore_ascii_case(b"inf") || digits.eq_ignore_ascii_case(b"infinity") {
            return Some(Self::Infinite);
        }
        let (written, exact) = match digits {
            [b'0', b'x' | b'X', hex @ ..] => parse_hex(hex)?,
            _ => parse_decimal(digits)?,
        };
        let rounded = exact.round(negative);
        let lost = match rounded {
            Self::Infinite => true,
            Self::Finite { mantissa, .. } => mantissa == 0 && written != Written::Zero,
        };
        (!lost).then_some(rounded)
    }

    /// The sum; `None` if that is no number.
    pub(super) fn plus(self, other: Self) -> Option<Self> {
        let (one, two) = (self.normal()?, other.normal()?);
        let (large, small) = if one.exponent >= two.exponent { (one, two) } else { (two, one) };
        // Two bits of room above, so that the sum fits, and 62 below. A bit that falls out
        // there leaves a one in the lowest: then it is too far down to be rounded to, but
        // what is dropped is known not to be zero, nor a half.
        let distance = u32::try_from(large.exponent - small.exponent).unwrap_or(u32::MAX);
        let (high, low) = (u128::from(large.mantissa) << 62, u128::from(small.mantissa) << 62);
        let shifted = low.checked_shr(distance).unwrap_or(0);
        let fell_out = shifted.checked_shl(distance).unwrap_or(0) != low;
        let low = shifted | u128::from(fell_out);
        let exponent = large.exponent - 62;
        let (negative, bits) = if large.negative == small.negative {
            (large.negative, high + low)
        } else if high >= low {
            (large.negative, high - low)
        } else {
            (small.negative, low - high)
        };
        match (Exact { bits, exponent }.round(negative)) {
            Self::Infinite => None,
            finite => Some(finite),
        }
    }

    /// With all 64 bits, but of zero, however small it is; `None` of an infinity.
    fn normal(self) -> Option<Normal> {
        let Self::Finite { negative, mantissa, exponent } = self else {
            return None;
        };
        if mantissa == 0 {
            // Below everything, so that the other is the larger one.
            return Some(Normal { negative, mantissa, exponent: i64::from(i32::MIN) });
        }
        let shift = mantissa.leading_zeros();
        let exponent = i64::from(exponent) - i64::from(shift);
        Some(Normal { negative, mantissa: mantissa << shift, exponent })
    }

    /// As Redis writes it: up to 17 digits after the point, without zeros at the end.
    pub(super) fn to_text(self) -> String {
        let Self::Finite { negative, mantissa, exponent } = self else {
            // Nothing that adds up to an infinity is kept.
            return "inf".to_owned();
        };
        let digits = match u32::try_from(exponent) {
            Ok(shift) => {
                let mut number = Big::from(u128::from(mantissa));
                number.shift_left(shift as usize);
                number.to_decimal()
            }
            Err(_) => with_fraction(mantissa, exponent.unsigned_abs()),
        };
        if negative && digits != "0" { format!("-{digits}") } else { digits }
    }
}

/// `mantissa / 2^below`, to 17 digits after the point.
fn with_fraction(mantissa: u64, below: u32) -> String {
    const ONE: u128 = 100_000_000_000_000_000;
    // 64 bits and 57 for the digits.
    let scaled = u128::from(mantissa) * ONE;
    let Exact { bits, .. } = Exact { bits: scaled, exponent: 0 }.without(i64::from(below));
    let (whole, fraction) = (bits / ONE, bits % ONE);
    let text = format!("{whole}.{fraction:017}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

struct Normal {
    negative: bool,
    mantissa: u64,
    exponent: i64,
}

/// `bits * 2^exponent`, not rounded yet. Of what didn't fit the lowest bit knows that it
/// was there.
struct Exact {
    bits: u128,
    exponent: i64,
}

impl Exact {
    /// Without the lowest `count` bits, rounded to the nearest, of two to the even one.
    fn without(self, count: i64) -> Self {
        let exponent = self.exponent + count;
        let count = match u32::try_from(count) {
            Ok(0) | Err(_) => return self,
            // More than twice what is there is less than a half.
            Ok(count) if count > 128 => return Self { bits: 0, exponent },
            Ok(count) => count,
        };
        let kept = self.bits.checked_shr(count).unwrap_or(0);
        let dropped = self.bits - kept.checked_shl(count).unwrap_or(0);
        let half = 1 << (count - 1);
        let up = dropped > half || (dropped == half && kept % 2 == 1);
        Self { bits: kept + u128::from(up), exponent }
    }

    fn round(self, negative: bool) -> LongDouble {
        let zero = LongDouble::Finite { negative, mantissa: 0, exponent: 0 };
        if self.bits == 0 {
            return zero;
        }
        let used = i64::from(u128::BITS - self.bits.leading_zeros());
        let too_many = (used - 64).max(EXPONENT_MIN - self.exponent);
        let rounded = if too_many > 0 {
            self.without(too_many)
        } else {
            // Fewer than 128 bits: there is one at least.
            Self { bits: self.bits << -too_many, exponent: self.exponent + too_many }
        };
        let (mantissa, exponent) = match u64::try_from(rounded.bits) {
            Ok(0) => return zero,
            Ok(mantissa) => (mantissa, rounded.exponent),
            // It was rounded up to 2^64.
            Err(_) => (1 << 63, rounded.exponent + 1),
        };
        match i32::try_from(exponent) {
            Ok(exponent) if i64::from(exponent) <= EXPONENT_MAX => {
                LongDouble::Finite { negative, mantissa, exponent }
            }
            _ => LongDouble::Infinite,
        }
    }
}

/// Whether a text says zero, or something that may only become zero.
#[derive(PartialEq, Eq)]
enum Written {
    Zero,
    Other,
}

const NOTHING: (Written, Exact) = (Written::Zero, Exact { bits: 0, exponent: 0 });

/// The digits of a number and what they are to be multiplied with.
struct Digits {
    /// Without zeros at the beginning.
    digits: Vec<u8>,
    /// How many of them are after the point.
    fraction: i64,
    /// The exponent that is written behind them.
    exponent: i64,
}

impl Digits {
    fn split(text: &[u8], is_digit: fn(&u8) -> bool, mark: u8) -> Option<Self> {
        let end = text.iter().position(|byte| byte.eq_ignore_ascii_case(&mark));
        let (number, exponent) = match end {
            Some(end) => (&text[..end], parse_exponent(&text[end + 1..])?),
            None => (text, 0),
        };
        let point = number.iter().position(|byte| *byte == b'.').unwrap_or(number.len());
        let (whole, fraction) = (&number[..point], number.get(point + 1..).unwrap_or_default());
        let all = whole.iter().chain(fraction);
        if whole.len() + fraction.len() == 0 || !all.clone().all(is_digit) {
            return None;
        }
        let digits = all.copied().skip_while(|digit| *digit == b'0').collect();
        Some(Self { digits, fraction: fraction.len() as i64, exponent })
    }
}

/// A written exponent; one that is out of all proportion is as good as any such.
fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] => (1, digits),
        _ => (1, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let size = digits
        .iter()
        .fold(0, |size: i64, digit| (size * 10 + i64::from(digit - b'0')).min(1_000_000_000));
    Some(sign * size)
}

fn parse_hex(text: &[u8]) -> Option<(Written, Exact)> {
    let number = Digits::split(text, u8::is_ascii_hexdigit, b'p')?;
    if number.digits.is_empty() {
        return Some(NOTHING);
    }
    let mut exact = Exact { bits: 0, exponent: number.exponent - 4 * number.fraction };
    for digit in number.digits {
        let value = u128::from((digit as char).to_digit(16)?);
        if exact.bits >> 120 == 0 {
            exact.bits = exact.bits << 4 | value;
        } else {
            exact.bits |= u128::from(value != 0);
            exact.exponent += 4;
        }
    }
    Some((Written::Other, exact))
}

fn parse_decimal(text: &[u8]) -> Option<(Written, Exact)> {
    let mut number = Digits::split(text, u8::is_ascii_digit, b'e')?;
    let mut power = number.exponent - number.fraction;
    while number.digits.pop_if(|digit| *digit == b'0').is_some() {
        power += 1;
    }
    if number.digits.is_empty() {
        return Some(NOTHING);
    }
    // Where the point is tells what is certainly too large or too small, before a power
    // of ten of any size is worked out.
    let size = number.digits.len() as i64 + power;
    if !(-5000..=5000).contains(&size) {
        return None;
    }
    let mut numerator = Big::from_decimal(&number.digits);
    let mut denominator = Big::from(1);
    let scaled = if power >= 0 { &mut numerator } else { &mut denominator };
    scaled.multiply_by_power_of_ten(power.unsigned_abs() as usize);
    Some((Written::Other, divide(numerator, denominator)))
}

/// A fraction to so many bits that it can be rounded.
fn divide(mut numerator: Big, mut denominator: Big) -> Exact {
    // Those that are kept, the first of them may be zero, and one shows a half.
    const BITS: i64 = 66;
    let (above, below) = (numerator.bits(), denominator.bits());
    if above < below {
        numerator.shift_left(below - above);
    } else {
        denominator.shift_left(above - below);
    }
    let mut bits = 0;
    for _ in 0..BITS {
        bits <<= 1;
        if numerator >= denominator {
            numerator.subtract(&denominator);
            bits |= 1;
        }
        numerator.shift_left(1);
    }
    bits = bits << 1 | u128::from(!numerator.is_zero());
    Exact { bits, exponent: above as i64 - below as i64 - BITS }
}

#[cfg(test)]
mod tests;
