//! Whole numbers of any size, with as much arithmetic as decimal fractions need.

use std::cmp::Ordering;

/// Ten to the 19th is the largest power of ten in 64 bits.
const CHUNK_DIGITS: usize = 19;
const CHUNK: u64 = 10_000_000_000_000_000_000;

/// A whole number: its digits to the base of 2^64, the least first, none of them a zero at
/// the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Big(Vec<u64>);

impl From<u128> for Big {
    fn from(value: u128) -> Self {
        let mut big = Self(vec![value as u64, (value >> 64) as u64]);
        big.trim();
        big
    }
}

impl Big {
    /// A number by its decimal digits.
    pub(super) fn from_decimal(digits: &[u8]) -> Self {
        let mut big = Self(Vec::new());
        for chunk in digits.chunks(CHUNK_DIGITS) {
            let value = chunk.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
            big.multiply_add(10u64.pow(chunk.len() as u32), value);
        }
        big
    }

    /// Its decimal digits.
    pub(super) fn to_decimal(&self) -> String {
        let mut rest = self.clone();
        let mut chunks = Vec::new();
        while !rest.is_zero() {
            chunks.push(rest.divide(CHUNK));
        }
        let mut text = chunks.pop().unwrap_or(0).to_string();
        for chunk in chunks.iter().rev() {
            text.push_str(&format!("{chunk:019}"));
        }
        text
    }

    pub(super) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bits it takes.
    pub(super) fn bits(&self) -> usize {
        self.0.last().map_or(0, |top| 64 * self.0.len() - top.leading_zeros() as usize)
    }

    pub(super) fn multiply_by_power_of_ten(&mut self, power: usize) {
        for _ in 0..power / CHUNK_DIGITS {
            self.multiply_add(CHUNK, 0);
        }
        self.multiply_add(10u64.pow((power % CHUNK_DIGITS) as u32), 0);
    }

    pub(super) fn shift_left(&mut self, bits: usize) {
        let (words, bits) = (bits / 64, bits % 64);
        if bits > 0 {
            let mut carry = 0;
            for word in &mut self.0 {
                let shifted = *word << bits | carry;
                carry = *word >> (64 - bits);
                *word = shifted;
            }
            self.push(carry);
        }
        if !self.is_zero() {
            self.0.splice(..0, std::iter::repeat_n(0, words));
        }
    }

    /// Takes away what must not be larger.
    pub(super) fn subtract(&mut self, other: &Self) {
        let mut borrow = false;
        let rest = std::iter::repeat(&0);
        for (word, less) in self.0.iter_mut().zip(other.0.iter().chain(rest)) {
            let (difference, one) = word.overflowing_sub(*less);
            let (difference, two) = difference.overflowing_sub(u64::from(borrow));
            (*word, borrow) = (difference, one || two);
        }
        self.trim();
    }

    fn multiply_add(&mut self, factor: u64, summand: u64) {
        let mut carry = summand;
        for word in &mut self.0 {
            let product = u128::from(*word) * u128::from(factor) + u128::from(carry);
            (*word, carry) = (product as u64, (product >> 64) as u64);
        }
        self.push(carry);
    }

    /// Divides it and returns the remainder.
    fn divide(&mut self, divisor: u64) -> u64 {
        let mut rest = 0;
        for word in self.0.iter_mut().rev() {
            let value = u128::from(rest) << 64 | u128::from(*word);
            // The rest is less than the divisor, so the quotient fits.
            *word = (value / u128::from(divisor)) as u64;
            rest = (value % u128::from(divisor)) as u64;
        }
        self.trim();
        rest
    }

    fn push(&mut self, top: u64) {
        if top > 0 {
            self.0.push(top);
        }
    }

    fn trim(&mut self) {
        while self.0.pop_if(|top| *top == 0).is_some() {}
    }
}

impl PartialOrd for Big {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Big {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_size = self.0.len().cmp(&other.0.len());
        by_size.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}
