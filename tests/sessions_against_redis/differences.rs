//! Where aft means to differ: the rows of `docs/differences.md` that a session can meet.

use crate::common::resp::Reply;
use crate::script::Request;
use std::path::Path;

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
    row("| MEMORY USAGE |", "memory|usage", "", ":", ":"),
    row("| HELP of containers |", "memory|help", "", "[", "["),
    row("| LATENCY DOCTOR |", "latency|doctor", "", "", ""),
    row("| CLIENT | no SETINFO", "client|setinfo", "", "-ERR unknown subcommand", ""),
    row("| CLIENT | no SETINFO", "client|no-touch", "", "-ERR unknown subcommand", ""),
    row("| CLIENT | no SETINFO", "client|kill", "maxage", "-ERR syntax error", ""),
    row("| HELP of containers |", "client|help", "", "[", "["),
    row("| HELP of containers |", "latency|help", "", "[", "["),
    row("| HELP of containers |", "command|help", "", "[", "["),
    row("| HELP of containers |", "config|help", "", "[", "["),
    row("| COMMAND COUNT", "command|count", "", ":", ":"),
    row("| CONFIG SET of a name", "config|set", "", "-ERR Unknown option", "-ERR Unknown option"),
    row("| CONFIG SET save |", "config|set", "save", "-ERR", "-ERR CONFIG SET failed"),
    row("| CONFIG GET, SET |", "config|get", "*", "", ""),
    row("| CLUSTER |", "cluster", "", "-ERR", "-ERR This instance has cluster support disabled"),
];

/// The other rows: what brings the replies into a common form or ends a session early, or
/// the test that shows what no such session can.
#[rustfmt::skip] // One row, one row.
pub(crate) const ELSEWHERE: &[(&str, &[&str])] = &[
    ("sessions_against_redis/compare.rs", &[
        "| WATCH | any command", "| WATCH | a BITFIELD", "| WATCH | SWAPDB", "| HELLO inside MULTI |", "| DBSIZE, MEMORY USAGE, INFO",
        "| CLIENT LIST, INFO | the flag", "| CLIENT LIST, INFO | fields", "| SLOWLOG inside MULTI |", "| ACL LIST, GETUSER |", "| ACL CAT,", "| CONFIG GET | in no order",
        "| INFO | no section", "| COMMAND, COMMAND INFO, DOCS |", "| COMMAND INFO, DOCS of",
    ]),
    ("sessions_against_redis/line.rs", &[
        "| CLIENT REPLY OFF, SKIP inside", "| CLIENT KILL, ACL DELUSER of", "| MONITOR | with", "| MONITOR, SLOWLOG | show", "| MONITOR, SLOWLOG | a command", "| AUTH with too many",
    ]),
    ("sessions_against_redis/play.rs", &["| CLIENT REPLY OFF, SKIP | what"]),
    ("sessions_against_redis/info.rs", &["| INFO | fields"]),
    ("scripts/client.txt", &["| CLIENT KILL | gone", "| CLIENT LIST | others"]),
    ("scripts/config.txt", &["| CONFIG REWRITE |", "| CONFIG SET of a value", "| CONFIG SET tls-cert-file", "| CONFIG SET of port"]),
    ("scripts/absent.txt", &["| FUNCTION, SCRIPT, MODULE |", "| SAVE, BGSAVE", "| ROLE, REPLICAOF", "| MEMORY |", "| CLIENT | CACHING"]),
    ("front_door/users.rs", &["| ACL SETUSER and the file"]),
    ("watching_against_redis.rs", &["| INFO commandstats |"]),
    ("scripts/latency.txt", &["| WAIT |", "| LATENCY |"]),
    ("commands_against_redis/floats.rs", &["| INCRBYFLOAT |"]),
    ("commands_against_redis/strings.rs", &["| any of them, BITOP too |", "| APPEND, SETRANGE"]),
    ("commands_against_redis.rs", &["| FLUSHALL, FLUSHDB |"]),
    ("resp_against_redis.rs", &["| a line longer", "| a pattern with more"]),
    ("common/owners.rs", &["| reads, when a shared store"]),
    ("simulation/main.rs", &["| writes | answered", "| MULTI … EXEC |"]),
    ("start_stop.rs", &["| writes, when"]),
    ("redis_store/limits.rs", &["| an EXEC of very many small"]),
    ("refused_reads.rs", &["| reads, of a value the store", "| reads, of a key", "| reads, of a value that is lost"]),
    ("scripts/aft/basics.txt", &["| AFT.BEGIN and other"]),
    ("scripts/aft/bound.txt", &["| CLIENT SETNAME, HELLO, AUTH |"]),
    ("lost_replies/main.rs", &["| a command again, on a new connection"]),
    ("front_door/held.rs", &["| DEBUG |"]),
    ("front_door/main.rs", &["| an idle connection |"]),
    ("front_door/transactions.rs", &["| MULTI | the query buffer", "| WATCH | no limit"]),
    ("abuse/main.rs", &["| `maxmemory-clients` |", "| a request beyond", "| a stranger that", "| `maxclients` beyond"]),
    ("memory/main.rs", &["| CONFIG SET maxmemory-policy |", "| INFO used_memory |"]),
    ("tls/main.rs", &["| TLS | `tls-port`", "| TLS | tls-ca-cert-dir", "| TLS, one client", "| TLS, a client"]),
];

/// Rows of the document that nothing here stands for, and the other way round.
pub(crate) fn out_of_step() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("docs/differences.md")).unwrap();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    let met = DIFFERENCES.iter().map(|difference| difference.row);
    let elsewhere = ELSEWHERE.iter().flat_map(|(_, rows)| rows.iter().copied());
    let known: Vec<&str> = met.chain(elsewhere).collect();
    let stands_for = |known: &&str| rows.iter().filter(|row| row.starts_with(known)).count();
    let wrong =
        known.iter().filter(|known| stands_for(known) != 1).map(|known| (*known).to_owned());
    let missing = rows.iter().filter(|row| !known.iter().any(|known| row.starts_with(known)));
    let lost = ELSEWHERE.iter().filter(|(file, rows)| !has_all(&root.join("tests"), file, rows));
    let lost = lost.map(|(file, _)| (*file).to_owned());
    wrong.chain(missing.map(|row| (*row).to_owned())).chain(lost).collect()
}

/// Whether a file (or its directory, where it is the root of a test of several files) is there
/// and has the commands by whose names the rows begin.
fn has_all(tests: &Path, file: &str, rows: &[&str]) -> bool {
    let path = tests.join(file);
    let files = match path.file_name().is_some_and(|name| name == "main.rs") {
        true => std::fs::read_dir(path.parent().unwrap())
            .unwrap()
            .map(|it| it.unwrap().path())
            .collect(),
        false => vec![path],
    };
    let texts = files.iter().filter_map(|path| std::fs::read_to_string(path).ok());
    let text = texts.collect::<String>().to_ascii_uppercase();
    let is_command = |name: &&str| name.len() > 2 && name.chars().all(|c| c.is_ascii_uppercase());
    rows.iter().all(|row| {
        let commands = row.split(|c: char| !c.is_ascii_alphanumeric()).find(is_command);
        !text.is_empty() && commands.is_none_or(|command| text.contains(command))
    })
}

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
