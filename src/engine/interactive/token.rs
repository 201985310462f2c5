//! Tokens: who holds one is inside of the transaction.
//!
//! ```text
//!     7-Zm9vYmFyYmF6cXV4cXV1eA        node, 128 random bits in base64url
//!     7-Zm9vYmFyYmF6cXV4cXV1eA-2      the same transaction, its part 2: a step
//! ```
//! Nobody can guess one, and none is drawn twice. The parts of a transaction have numbers that
//! rise: a step that is begun again gets a new one, and the old one is stale from then on.

use crate::layout::NodeId;
use std::fmt;

/// A token as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// The node on which the transaction lives.
    pub node: NodeId,
    /// The transaction.
    pub id: TransactionId,
    /// 0 for all of it, else the attempt of a step.
    pub part: u32,
}

/// 128 random bits.
pub type TransactionId = u128;

/// The digits of base64url, RFC 4648.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// As many as 128 bits take.
const DIGITS_COUNT: usize = 22;

/// What each byte stands for as a digit.
const VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < DIGITS.len() {
        values[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    values
};

const NO_DIGIT: u8 = 0xff;

/// The first digit has only as many bits as the others leave.
const FIRST_DIGITS: u8 = 1 << (128 - 6 * (DIGITS_COUNT - 1));

impl Token {
    /// Reads a token; only the one way of writing it counts.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let end = text.iter().position(|byte| *byte == b'-')?;
        let (digits, part) = text[end + 1..].split_at_checked(DIGITS_COUNT)?;
        if VALUES[usize::from(digits[0])] >= FIRST_DIGITS {
            return None;
        }
        let mut id: u128 = 0;
        for digit in digits {
            let value = VALUES[usize::from(*digit)];
            if value == NO_DIGIT {
                return None;
            }
            id = (id << 6) | u128::from(value);
        }
        let part = match part {
            [] => 0,
            [b'-', part @ ..] => number(part).filter(|part| *part > 0)?,
            _ => return None,
        };
        Some(Self { node: number(&text[..end])?, id, part })
    }

    /// How long it is as text, in bytes.
    pub fn text_bytes(self) -> usize {
        let digits = |number: u32| 1 + number.checked_ilog10().unwrap_or(0) as usize;
        let part = if self.part == 0 { 0 } else { 1 + digits(self.part) };
        digits(self.node) + 1 + DIGITS_COUNT + part
    }

    /// Another part of the same transaction.
    #[must_use]
    pub fn with_part(self, part: u32) -> Self {
        Self { part, ..self }
    }
}

/// A decimal number, without zeros in front.
fn number(digits: &[u8]) -> Option<u32> {
    let plain =
        digits.iter().all(u8::is_ascii_digit) && (digits[..] == *b"0" || digits.first()? != &b'0');
    str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits: [u8; DIGITS_COUNT] = std::array::from_fn(|at| {
            let shift = 6 * (DIGITS_COUNT - 1 - at);
            DIGITS[(self.id >> shift) as usize & 63]
        });
        write!(f, "{}-{}", self.node, str::from_utf8(&digits).map_err(|_| fmt::Error)?)?;
        match self.part {
            0 => Ok(()),
            part => write!(f, "-{part}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Token;

    #[test]
    fn tokens_are_read_as_they_are_written() {
        for id in [0, 1, 63, u128::MAX, 0x0123_4567_89ab_cdef_0011_2233_4455_6677] {
            for (node, part) in [(0, 0), (7, 1), (u32::MAX, u32::MAX)] {
                let token = Token { node, id, part };
                let text = token.to_string();
                assert_eq!(Token::parse(text.as_bytes()), Some(token), "{text}");
                let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
                assert!(text.len() <= 64 && text.bytes().all(plain), "{text}");
            }
        }
    }

    #[test]
    fn nothing_else_is_a_token() {
        let token = Token { node: 7, id: 5, part: 3 }.to_string();
        for text in [
            "",
            "7",
            "7-",
            "7-AAAA",
            &format!("0{token}"),
            &format!("{token}0-"),
            &format!("{token} "),
            &token.replace("-3", "-03"),
            &token.replace("-3", "-0"),
            &token.replace("-3", "-"),
            &token.replace("-3", "3"),
            // Bits beyond the 128.
            "7-gAAAAAAAAAAAAAAAAAAAAA",
            "7-ÄAAAAAAAAAAAAAAAAAAAA",
        ] {
            assert_eq!(Token::parse(text.as_bytes()), None, "{text}");
        }
    }
}
