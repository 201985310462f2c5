//! Where aft means to differ: the rows of `docs/differences.md` that a session can meet.

use crate::common::resp::Reply;
use crate::script::Request;

pub(crate) struct Difference {
    /// How the row of the document begins.
    pub(crate) row: &'static str,
    /// The command, with its subcommand; or the container of subcommands that one of the two
    /// doesn't know.
    pub(crate) command: &'static str,
    /// A word of the request; none: any request.
    word: &'static str,
    /// How both replies begin, as the script shows them. None: anything.
    redis: &'static str,
    aft: &'static str,
}

const fn row(
    row: &'static str,
    command: &'static str,
    word: &'static str,
    redis: &'static str,
    aft: &'static str,
) -> Difference {
    Difference { row, command, word, redis, aft }
}

#[rustfmt::skip] // One difference, one row.
pub(crate) const DIFFERENCES: &[Difference] = &[
    row("| SET | no IFEQ", "set", "ifeq", "-ERR syntax error", ""),
    row("| SCAN | a cursor", "scan", "", "[", "["),
    row("| OBJECT ENCODING |", "object|encoding", "", "\"raw\"", "\"embstr\""),
    row("| OBJECT ENCODING |", "object|encoding", "", "\"raw\"", "\"int\""),
    row("| OBJECT ENCODING |", "object|encoding", "", "\"embstr\"", "\"int\""),
    row("| OBJECT ENCODING |", "object|refcount", "", ":", ":"),
    row("| OBJECT IDLETIME |", "object|idletime", "", ":", "-ERR idle time not tracked"),
    row("| MEMORY |", "memory|usage", "", ":", ":"),
    row("| MEMORY |", "memory|help", "", "[", "["),
    row("| LATENCY |", "latency|doctor", "", "", ""),
    row("| CLIENT | no SETINFO", "client|setinfo", "", "-ERR unknown subcommand", ""),
    row("| CLIENT | no SETINFO", "client|no-touch", "", "-ERR unknown subcommand", ""),
    row("| CLIENT | no SETINFO", "client|kill", "maxage", "-ERR syntax error", ""),
    row("| HELP of containers |", "client|help", "", "[", "["),
    row("| HELP of containers |", "latency|help", "", "[", "["),
    row("| HELP of containers |", "command|help", "", "[", "["),
    row("| HELP of containers |", "config|help", "", "[", "["),
    row("| COMMAND COUNT", "command|count", "", ":", ":"),
    row("| CONFIG GET, SET |", "config|set", "save", "-ERR", "-ERR CONFIG SET failed"),
    row("| CONFIG GET, SET |", "config|get", "*", "", ""),
    row("| CLUSTER |", "cluster", "", "-ERR", "-ERR This instance has cluster support disabled"),
];

/// Rows that no session of one or a few connections can show, and the test that does.
pub(crate) const SHOWN_ELSEWHERE: &[(&str, &str)] = &[];

/// Whether two replies to a request differ as they are meant to.
pub(crate) fn is_meant(name: &str, request: &Request, redis: &Reply, aft: &Reply) -> bool {
    let (redis, aft) = (format!("{redis:?}"), format!("{aft:?}"));
    DIFFERENCES.iter().any(|difference| {
        difference.command == name
            && (difference.word.is_empty() || request.iter().any(|word| word.is(difference.word)))
            && redis.starts_with(difference.redis)
            && aft.starts_with(difference.aft)
    })
}
