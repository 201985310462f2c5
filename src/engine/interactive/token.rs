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

impl Token {
    /// Reads a token; only the one way of writing it counts.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = str::from_utf8(text).ok()?;
        let (node, rest) = text.split_once('-')?;
        let (digits, part) = rest.split_at_checked(DIGITS_COUNT)?;
        let mut id: u128 = 0;
        for digit in digits.bytes() {
            let value = DIGITS.iter().position(|known| *known == digit)?;
            id = (id << 6) | value as u128;
        }
        let part = match part.strip_prefix('-') {
            Some(part) => part.parse().ok()?,
            None => 0,
        };
        let token = Self { node: node.parse().ok()?, id, part };
        // Not with zeros in front, nor with bits that don't count.
        (token.to_string() == text).then_some(token)
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

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit = |at: usize| {
            let shift = 6 * (DIGITS_COUNT - 1 - at);
            char::from(DIGITS[(self.id >> shift) as usize & 63])
        };
        let digits: String = (0..DIGITS_COUNT).map(digit).collect();
        write!(f, "{}-{digits}", self.node)?;
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
