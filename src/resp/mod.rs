//! The wire: bytes from a client become requests, replies become bytes.
//!
//! # What travels
//!
//! A request is an array of byte strings, each with its length in front, so that
//! a value may hold any byte and nothing has to be searched for:
//!
//! ```text
//!   *3\r\n  $3\r\nSET\r\n  $3\r\nkey\r\n  $5\r\nvalue\r\n
//!   │       │   └ the bytes, then two more that end them
//!   │       └ how many bytes the next argument has
//!   └ how many arguments follow
//! ```
//!
//! Any other first byte starts an *inline* request, a line a person types into
//! `nc`: words between blanks, with quotes around those that need them.
//!
//! A reply begins with a byte that tells its kind. A client speaks version 2 of the
//! protocol until it asks for 3 (`HELLO 3`), which adds kinds; the same [`Reply`]
//! is written for either, and version 2 gets the nearest kind it has:
//!
//! | [`Reply`] | RESP3 | RESP2 |
//! |---|---|---|
//! | `Null`, `NullArray` | `_` | `$-1`, `*-1` |
//! | `Map` | `%2` key value key value | `*4` key value key value |
//! | `Set`, `Push` | `~2` a b, `>2` a b | `*2` a b |
//! | `Double` | `,1.5` | `$3` 1.5 |
//! | `Boolean` | `#t`, `#f` | `:1`, `:0` |
//! | `Verbatim` | `=7` txt:abc | `$3` abc |
//! | `BigNumber` | `(123` | `$3` 123 |
//!
//! # At the limits
//!
//! Client libraries are written against redis-server, so whatever it does with odd
//! input is the specification, and the tests hold both side by side
//! (`tests/resp_against_redis.rs`; redis-server 7.0):
//!
//! - Of a line's end only `\r` is looked at; the byte after it is waited for and
//!   skipped, and so are the two bytes after an argument, whatever they are.
//! - A count is decimal without `+`, leading zero or blank. Zero or fewer arguments,
//!   like an empty line, are no request and get no reply.
//! - The search for a line's end stops at a NUL byte (C's `strchr`), so such a line
//!   never ends: Redis waits, until the line is too long.
//! - A client that has yet to authenticate may send 10 arguments of 16 KiB, so that
//!   a stranger can't make the server set memory aside.
//! - After a protocol error the reply is written and the connection closed, for
//!   nobody knows where the next request begins.
//!
//! In two places Redis depends on how the network cut the bytes, and [`Decoder`] does
//! not: a line longer than 64 KiB always fails (in Redis it may pass when it
//! arrives all at once), and what bounds a whole request is its own length
//! ([`RequestLimits::request_bytes_max`]) rather than that of a buffer.
//!
//! Specification: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

pub mod incoming;
pub mod reply;
pub mod request;

pub use reply::{Line, Protocol, Reply, Sink};
pub use request::{Args, Decoded, Decoder, ProtocolError, RequestLimits, Slices, slices};
