//! How each command is asked. One row, one command of the table of commands; a command
//! without a row fails `every_command_is_asked`.

use crate::grammar;
use crate::script::{Request, Step, Word};
use crate::words;
use aft::command::table::{self, Command};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::Union;

/// Arguments behind the names, in the language of `grammar.rs`.
#[rustfmt::skip] // One row, one command.
const ROWS: &[(&str, &str)] = &[
    ("get", "<any-key>"),
    ("set", "(<key> <value>|<key> <value>|<key> <value>|big <big-value>) [NX|XX|GET|get|KEEPTTL|EX <seconds>|px <milliseconds>|EXAT <seconds-at>|PXAT <milliseconds-at>|IFEQ nothing-is-this]*"),
    ("mget", "(<any-key>)+"),
    ("mset", "(<key> <value>)+"),
    ("msetnx", "(<key> <value>)+"),
    ("incr", "<key>"),
    ("decr", "<key>"),
    ("incrby", "<key> <int>"),
    ("decrby", "<key> <int>"),
    ("incrbyfloat", "<key> <float>"),
    ("setex", "<key> <seconds> <value>"),
    ("psetex", "<key> <milliseconds> <value>"),
    ("setnx", "<key> <value>"),
    ("getset", "<key> <value>"),
    ("getdel", "<any-key>"),
    ("getex", "<key> [EX <seconds>|PX <milliseconds>|EXAT <seconds-at>|PXAT <milliseconds-at>|PERSIST|persist]*"),
    ("append", "<key> <value>"),
    ("strlen", "<any-key>"),
    ("getrange", "<any-key> <index> <index>"),
    ("substr", "<key> <index> <index>"),
    ("setrange", "<any-key> <offset> <value>"),
    ("lcs", "<key> <key> [LEN|IDX|WITHMATCHLEN|MINMATCHLEN <index>]*"),
    ("setbit", "<key> <bit-offset> (0|1|2)"),
    ("getbit", "<any-key> <bit-offset>"),
    ("bitcount", "<any-key> [<index> <index>|<index> <index> (BIT|BYTE|x)|<index>]"),
    ("bitop", "((AND|or|XOR|NOT|x) <key> (<key>)+|OR big big <key>)"),
    ("bitpos", "<any-key> (0|1|2) [<index>|<index> <index>|<index> <index> (BIT|byte|x)]"),
    ("bitfield", "<key> [GET <field-type> <field-offset>|SET <field-type> <field-offset> <int>|INCRBY <field-type> <field-offset> <int>|OVERFLOW (WRAP|sat|FAIL|x)]*"),
    ("bitfield_ro", "<any-key> [GET <field-type> <field-offset>|GET <field-type> <field-offset>|SET u8 0 1]*"),
    ("del", "(<any-key>)+"),
    ("unlink", "(<any-key>)+"),
    ("exists", "(<any-key>)+"),
    ("touch", "(<any-key>)+"),
    ("type", "<any-key>"),
    // GT with a relative time would be a matter of a millisecond.
    ("expire", "<any-key> <seconds> [NX|XX|lt]*"),
    ("pexpire", "<key> <milliseconds> [NX|XX|lt]*"),
    ("expireat", "<key> <seconds-at> [NX|XX|GT|lt|x]*"),
    ("pexpireat", "<key> <milliseconds-at> [NX|XX|GT|lt|x]*"),
    ("persist", "<any-key>"),
    ("ttl", "<any-key>"),
    ("pttl", "<key>"),
    ("expiretime", "<any-key>"),
    ("pexpiretime", "<key>"),
    ("rename", "<key> <key>"),
    ("renamenx", "<key> <key>"),
    ("copy", "(<key> <key>|big big) [REPLACE|DB <database>|x]*"),
    ("move", "<any-key> <database>"),
    ("swapdb", "<database> <database>"),
    ("keys", "<pattern>"),
    ("scan", "<cursor> [MATCH <pattern>|COUNT <count>|TYPE <type>|x]*"),
    ("randomkey", ""),
    ("object|encoding", "<any-key>"),
    ("object|refcount", "<any-key>"),
    ("object|idletime", "<key>"),
    ("object|freq", "<key>"),
    ("object|help", ""),
    ("wait", "(0 0|0 <count>|1 1|x 0|0 -1)"),
    ("time", ""),
    ("debug", "sleep (0|0.001|-1|x)"),
    ("memory|usage", "<any-key> [SAMPLES <count>]"),
    ("memory|help", ""),
    ("latency|latest", ""),
    ("latency|history", "(command|x)"),
    ("latency|reset", "[command|x]"),
    ("latency|doctor", ""),
    ("latency|help", ""),
    ("dbsize", ""),
    ("flushdb", "[ASYNC|sync|x]"),
    ("flushall", "[ASYNC|sync|x]"),
    ("info", "[<section>]*"),
    ("config|get", "(<setting>)+"),
    ("config|set", "(slowlog-log-slower-than <slower>|slowlog-max-len (0|5|128|x)|requirepass <password>|maxmemory-policy (noeviction|x)|save x|nosuch 1|timeout (0|1000|x)|timeout 0 timeout 0)"),
    ("config|resetstat", ""),
    ("config|rewrite", ""),
    ("config|help", ""),
    ("command", ""),
    ("command|count", ""),
    ("command|docs", "(<command>)+"),
    ("command|info", "(<command>)+"),
    ("command|list", "[FILTERBY (ACLCAT <category>|PATTERN (g*|*|client*|x)|MODULE x|x y)]"),
    ("command|getkeys", "(GET a|SET a 1 GET|MGET a b|MSET a 1 b|MSET a 1 b 2|BITOP AND a b c|COPY a b|PING x|GET|NOSUCH a|OBJECT ENCODING a|MEMORY USAGE a|DEL <key>|BITFIELD a GET u8 0|LCS a b|CONFIG GET x|OBJECT NOSUCH a)"),
    ("command|getkeysandflags", "(GET a|SET a 1|SET a 1 GET|MGET a b|MSET a 1 b 2|BITOP AND a b c|COPY a b|RENAME a b|PING x|NOSUCH a|OBJECT ENCODING a|BITFIELD a GET u8 0|BITFIELD a SET u8 0 1|GETEX a|WATCH a b)"),
    ("command|help", ""),
    ("monitor", ""),
    ("slowlog|get", "[<count>]"),
    ("slowlog|len", ""),
    ("slowlog|reset", ""),
    ("slowlog|help", ""),
    ("module|list", ""),
    ("acl|cat", "[<category>]"),
    ("acl|deluser", "(<user>)+"),
    ("acl|dryrun", "<user> (GET a|GET b|SET a 1|CONFIG GET x|CONFIG SET|NOSUCH|PING|MGET a b c|EXEC)"),
    ("acl|genpass", "[0|1|64|4096|4097|x]"),
    ("acl|getuser", "<user>"),
    ("acl|help", ""),
    ("acl|list", ""),
    ("acl|load", ""),
    ("acl|log", "[RESET|<count>]"),
    ("acl|save", ""),
    ("acl|setuser", "(bob|eve|bob) [<rule>]*"),
    ("acl|users", ""),
    ("acl|whoami", ""),
    ("multi", ""),
    ("exec", ""),
    ("discard", ""),
    ("watch", "(<any-key>)+"),
    ("unwatch", ""),
    ("ping", "[<message>]"),
    ("echo", "<message>"),
    ("select", "<database>"),
    ("auth", "(<user> <password>|<password>)"),
    ("hello", "[(2|3|2|3|4|x) [AUTH <user> <password>|SETNAME me|SETNAME <message>|x]*]"),
    ("quit", ""),
    ("reset", ""),
    ("client|getname", ""),
    ("client|getredir", ""),
    ("client|help", ""),
    ("client|id", ""),
    ("client|info", ""),
    ("client|kill", "(<client-address>|[ID <client-id>|ADDR <client-address>|SKIPME (no|yes|x)|USER <user>|TYPE (normal|pubsub|x)|MAXAGE 1000000|LADDR x]*)"),
    ("client|list", "[TYPE (normal|pubsub|master|x)|ID (<client-id>)+|x]"),
    ("client|no-evict", "(on|OFF|x)"),
    ("client|no-touch", "(on|OFF|x)"),
    ("client|reply", "(on|x)"),
    ("client|setinfo", "(lib-name|LIB-VER|x) <message>"),
    ("client|setname", "(me|you|<message>)"),
    ("client|trackinginfo", ""),
    ("asking", ""),
    ("readonly", ""),
    ("readwrite", ""),
    ("cluster", "info"),
    ("function|flush", "[ASYNC|sync|x|sync x]"),
    ("function|list", "[WITHCODE|LIBRARYNAME x|LIBRARYNAME|x]*"),
    ("script|exists", "(<sha1>)+"),
    ("script|flush", "[ASYNC|sync|x|sync x]"),
];

/// Commands and subcommands that are asked for; of containers only what has no subcommands.
fn asked() -> impl Iterator<Item = &'static Command> {
    table::with_subcommands()
        .filter(|command| command.subcommands.is_empty() || command.arity == -1)
        // Redis knows none of these: `tests/transactions.rs`.
        .filter(|command| !command.name.starts_with("aft."))
}

/// The row of a command.
fn row(command: &Command) -> Option<&'static str> {
    ROWS.iter().find(|(name, _)| *name == command.name).map(|(_, line)| *line)
}

/// Commands without a row, and rows without a command.
pub(crate) fn amiss() -> Vec<&'static str> {
    let missing = asked().filter(|command| row(command).is_none()).map(|command| command.name);
    let left = ROWS.iter().map(|(name, _)| *name);
    let left = left.filter(|name| !asked().any(|command| command.name == *name));
    missing.chain(left).collect()
}

/// A command with arguments that suit it.
fn good(command: &Command) -> BoxedStrategy<Request> {
    let names: Vec<Word> = command.name.split('|').map(Word::from).collect();
    let arguments = grammar::arguments(row(command).expect("every command has a row"));
    arguments.prop_map(move |arguments| [names.clone(), arguments].concat()).boxed()
}

/// What is done to a request to make it wrong, perhaps.
#[derive(Debug, Clone)]
enum Spoil {
    No,
    DropLast,
    Append(Word),
    Repeat(usize),
    Replace(usize, Word),
    UpperCase,
}

impl Spoil {
    fn any() -> impl Strategy<Value = Self> {
        let nasty = || words::class("nasty");
        prop_oneof![
            22 => Just(Self::No),
            1 => Just(Self::DropLast),
            1 => nasty().prop_map(Self::Append),
            1 => any::<usize>().prop_map(Self::Repeat),
            2 => (any::<usize>(), nasty()).prop_map(|(at, word)| Self::Replace(at, word)),
            1 => Just(Self::UpperCase),
        ]
    }

    fn spoil(self, mut request: Request) -> Request {
        let last = request.len() - 1;
        if request[0].is("cluster") {
            // Its subcommands are a difference of its own.
            return request;
        }
        // Its name stays, and what it would have to wait for for ever.
        let fixed = request[0].is("wait") || request[0].is("debug") || last == 0;
        // Settings are UTF-8 to aft: a difference of its own, and a session would part there.
        let is_text = |word: &Word| std::str::from_utf8(word.bytes()).is_ok();
        let is_config = request[0].is("config");
        match self {
            Self::Append(word) | Self::Replace(_, word) if is_config && !is_text(&word) => {}
            Self::DropLast if last > 0 => _ = request.pop(),
            Self::Append(word) => request.push(word),
            Self::Repeat(at) if !fixed => {
                request.insert(at % last + 1, request[at % last + 1].clone())
            }
            Self::Replace(at, word) if !fixed => request[at % last + 1] = word,
            Self::UpperCase => request[0] = Word::Bytes(request[0].bytes().to_ascii_uppercase()),
            _ => {}
        }
        request
    }
}

fn unknown() -> BoxedStrategy<Request> {
    let lines = [
        "nosuch [<message>|<value>]*",
        "(client|config|object|acl|command|slowlog|latency|memory|script) (nosuch|<message>) [<key>]",
        "(client|config|object|acl|command|slowlog|latency|memory)",
        "(\"\"|<message>) [<key>]",
    ];
    Union::new(lines.map(grammar::arguments)).boxed()
}

/// What many sessions need more of than chance would give them.
fn usual() -> BoxedStrategy<Request> {
    let lines = [
        "multi",
        "multi",
        "exec",
        "exec",
        "exec",
        "discard",
        "watch (<key>)+",
        "set <key> <value>",
        "get <key>",
        "set <key> <value> pxat (1|33177117420000)",
        "incr n",
        "select (0|1)",
        "del <key>",
    ];
    Union::new(lines.map(grammar::arguments)).boxed()
}

/// Any request.
pub(crate) fn request() -> BoxedStrategy<Request> {
    let often = ["string", "bitmap", "generic", "transactions"];
    let good = asked().map(|command| {
        let weight = if often.contains(&command.group) { 4 } else { 2 };
        (weight, good(command))
    });
    let good = (Union::new_weighted(good.collect()), Spoil::any())
        .prop_map(|(request, spoil)| spoil.spoil(request));
    prop_oneof![24 => good, 10 => usual(), 1 => unknown()].boxed()
}

/// Any step of one of `connections`.
pub(crate) fn step(connections: usize) -> BoxedStrategy<Step> {
    let who = 0..connections;
    let one = (who.clone(), request())
        .prop_map(|(who, request)| Step::Send { who, requests: vec![request] });
    let some = (who.clone(), vec(request(), 2..8))
        .prop_map(|(who, requests)| Step::Send { who, requests });
    let block = (who.clone(), vec(request(), 0..6)).prop_map(|(who, mut requests)| {
        requests.insert(0, vec![Word::from("multi")]);
        requests.push(vec![Word::from("exec")]);
        Step::Send { who, requests }
    });
    let hush = (who.clone(), any::<bool>(), vec(request(), 1..4))
        .prop_map(|(who, skip, requests)| Step::Hush { who, skip, requests });
    let lines =
        ["pexpire <key> 1", "set <key> <value> px 1", "psetex <key> 1 <value>", "getex <key> px 1"];
    let lapse = (who, Union::new(lines.map(grammar::arguments)))
        .prop_map(|(who, request)| Step::Lapse { who, request });
    prop_oneof![14 => one, 4 => some, 2 => block, 1 => hush, 1 => lapse].boxed()
}
