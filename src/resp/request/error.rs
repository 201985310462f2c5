//! What is wrong with a request that can't be read.

use std::fmt;

use crate::resp::{Line, Reply};

/// Input that is no request. Write it as a [`Reply`], then close the connection: where
/// the next request begins can't be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// An inline request is longer than a line may be.
    TooBigInline,
    /// An inline request has a quote that isn't closed, or is closed inside a word.
    UnbalancedQuotes,
    /// The line that counts arguments is longer than a line may be.
    TooBigMultibulkCount,
    /// The count of arguments is no number, or too large.
    InvalidMultibulkLength,
    /// More arguments than a client may send before it authenticates.
    UnauthenticatedMultibulkLength,
    /// The line with an argument's length is longer than a line may be.
    TooBigBulkCount,
    /// Something else stands where an argument should begin.
    ExpectedBulk {
        /// The byte there.
        got: u8,
    },
    /// An argument's length is no number, negative or too large.
    InvalidBulkLength,
    /// A longer argument than a client may send before it authenticates.
    UnauthenticatedBulkLength,
    /// The whole request is too long. The one text that isn't Redis', which closes the
    /// connection without a word.
    TooBigRequest,
}

impl ProtocolError {
    /// The error's text, up to the byte of [`Self::ExpectedBulk`].
    fn text(self) -> &'static str {
        match self {
            Self::TooBigInline => "too big inline request",
            Self::UnbalancedQuotes => "unbalanced quotes in request",
            Self::TooBigMultibulkCount => "too big mbulk count string",
            Self::InvalidMultibulkLength => "invalid multibulk length",
            Self::UnauthenticatedMultibulkLength => "unauthenticated multibulk length",
            Self::TooBigBulkCount => "too big bulk count string",
            Self::ExpectedBulk { .. } => "expected '$', got '",
            Self::InvalidBulkLength => "invalid bulk length",
            Self::UnauthenticatedBulkLength => "unauthenticated bulk length",
            Self::TooBigRequest => "too big request",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Protocol error: {}", self.text())?;
        match self {
            Self::ExpectedBulk { got } => write!(f, "{}'", got.escape_ascii()),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for ProtocolError {}

impl From<ProtocolError> for Reply {
    fn from(error: ProtocolError) -> Self {
        let mut line = format!("ERR Protocol error: {}", error.text()).into_bytes();
        if let ProtocolError::ExpectedBulk { got } = error {
            // As it is: a byte above 127 is not UTF-8, and Redis sends it all the same.
            line.extend([got, b'\'']);
        }
        Self::Error(Line::from(line))
    }
}
