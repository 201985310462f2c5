//! Arguments of commands as COMMAND DOCS tells them: what redis-cli's hints are made of.

/// What an argument is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A key.
    Key,
    /// Bytes.
    String,
    /// A whole number.
    Integer,
    /// A number that may have a fraction.
    Double,
    /// A glob pattern.
    Pattern,
    /// Seconds or milliseconds since the Unix epoch.
    UnixTime,
    /// A fixed word.
    Token,
    /// One of several arguments.
    OneOf,
    /// Several arguments, one after the other.
    Block,
}

impl Kind {
    /// Its name in COMMAND DOCS.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Double => "double",
            Self::Pattern => "pattern",
            Self::UnixTime => "unix-time",
            Self::Token => "pure-token",
            Self::OneOf => "oneof",
            Self::Block => "block",
        }
    }
}

/// One argument.
#[derive(Debug, Clone, Copy)]
pub struct Argument {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The word it is, or that announces it.
    pub token: Option<&'static str>,
    /// The version of Redis that brought it.
    pub since: Option<&'static str>,
    /// The version of Redis that advised against it.
    pub deprecated_since: Option<&'static str>,
    /// It may be left out.
    pub optional: bool,
    /// It may be repeated.
    pub multiple: bool,
    /// Then its word is repeated, too.
    pub multiple_token: bool,
    /// If it is a key, which part of the command's keys it belongs to.
    pub key_part: u8,
    /// What it is made of.
    pub arguments: &'static [Argument],
}

impl Argument {
    const fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            token: None,
            since: None,
            deprecated_since: None,
            optional: false,
            multiple: false,
            multiple_token: false,
            key_part: 0,
            arguments: &[],
        }
    }

    const fn after(mut self, token: &'static str) -> Self {
        self.token = Some(token);
        self
    }

    const fn since(mut self, version: &'static str) -> Self {
        self.since = Some(version);
        self
    }

    const fn deprecated_since(mut self, version: &'static str) -> Self {
        self.deprecated_since = Some(version);
        self
    }

    const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    const fn multiple(mut self) -> Self {
        self.multiple = true;
        self
    }

    const fn multiple_token(mut self) -> Self {
        self.multiple_token = true;
        self.multiple()
    }

    const fn key_part(mut self, part: u8) -> Self {
        self.key_part = part;
        self
    }
}

const fn string(name: &'static str) -> Argument {
    Argument::new(name, Kind::String)
}

const fn integer(name: &'static str) -> Argument {
    Argument::new(name, Kind::Integer)
}

const fn token(name: &'static str, token: &'static str) -> Argument {
    Argument::new(name, Kind::Token).after(token)
}

const fn one_of(name: &'static str, arguments: &'static [Argument]) -> Argument {
    let mut one_of = Argument::new(name, Kind::OneOf);
    one_of.arguments = arguments;
    one_of
}

const fn block(name: &'static str, arguments: &'static [Argument]) -> Argument {
    let mut block = Argument::new(name, Kind::Block);
    block.arguments = arguments;
    block
}

const A_KEY: Argument = Argument::new("key", Kind::Key);

pub(super) const KEY: &[Argument] = &[A_KEY];
pub(super) const KEYS: &[Argument] = &[A_KEY.multiple()];
pub(super) const PAIRS: &[Argument] = &[block("key_value", &[A_KEY, string("value")]).multiple()];
pub(super) const KEY_INCREMENT: &[Argument] = &[A_KEY, integer("increment")];
pub(super) const KEY_DECREMENT: &[Argument] = &[A_KEY, integer("decrement")];

#[rustfmt::skip] // One argument, one line.
pub(super) const SET: &[Argument] = &[
    A_KEY,
    string("value"),
    one_of("condition", &[
        token("nx", "NX"),
        token("xx", "XX"),
        string("ifeq-value").after("IFEQ").since("8.4.0"),
    ]).since("2.6.12").optional(),
    token("get", "GET").since("6.2.0").optional(),
    one_of("expiration", &[
        integer("seconds").after("EX").since("2.6.12"),
        integer("milliseconds").after("PX").since("2.6.12"),
        Argument::new("unix-time-seconds", Kind::UnixTime).after("EXAT").since("6.2.0"),
        Argument::new("unix-time-milliseconds", Kind::UnixTime).after("PXAT").since("6.2.0"),
        token("keepttl", "KEEPTTL").since("6.0.0"),
    ]).optional(),
];

const EXPIRE_CONDITION: Argument = one_of(
    "condition",
    &[token("nx", "NX"), token("xx", "XX"), token("gt", "GT"), token("lt", "LT")],
)
.since("7.0.0")
.optional();
pub(super) const EXPIRE: &[Argument] = &[A_KEY, integer("seconds"), EXPIRE_CONDITION];
pub(super) const PEXPIRE: &[Argument] = &[A_KEY, integer("milliseconds"), EXPIRE_CONDITION];
pub(super) const EXPIREAT: &[Argument] =
    &[A_KEY, Argument::new("unix-time-seconds", Kind::UnixTime), EXPIRE_CONDITION];
pub(super) const PEXPIREAT: &[Argument] =
    &[A_KEY, Argument::new("unix-time-milliseconds", Kind::UnixTime), EXPIRE_CONDITION];

pub(super) const FLUSH: &[Argument] = &[one_of(
    "async",
    &[token("async", "ASYNC").since("4.0.0"), token("sync", "SYNC").since("6.2.0")],
)
.optional()];
const ASYNC: Argument =
    one_of("async", &[token("async", "ASYNC"), token("sync", "SYNC")]).optional();
pub(super) const FUNCTION_FLUSH: &[Argument] = &[ASYNC];
pub(super) const SCRIPT_FLUSH: &[Argument] = &[ASYNC.since("6.2.0")];
pub(super) const SHA1S: &[Argument] = &[string("sha1").multiple()];
pub(super) const FUNCTION_LIST: &[Argument] = &[
    string("library-name-pattern").after("LIBRARYNAME").optional(),
    token("withcode", "WITHCODE").optional(),
];

#[rustfmt::skip] // One argument, one line.
pub(super) const AFT_BEGIN: &[Argument] = &[
    block("request", &[
        string("id").after("REQUEST"),
        block("step", &[
            string("name").after("STEP"),
            string("previous").after("AFTER").optional(),
        ]).optional(),
        token("resume", "RESUME").optional(),
    ]).optional(),
    token("serializable", "SERIALIZABLE").optional(),
    integer("milliseconds").after("TIMEOUT").optional(),
];
pub(super) const TOKEN: &[Argument] = &[string("token")];
pub(super) const OPTIONAL_TOKEN: &[Argument] = &[string("token").optional()];
pub(super) const AFT_ENDING: &[Argument] =
    &[string("token").optional(), string("bytes").after("RESULT").optional()];
pub(super) const AFT_STATUS: &[Argument] =
    &[one_of("which", &[string("token"), string("id").after("REQUEST")])];

pub(super) const OPTIONAL_MESSAGE: &[Argument] = &[string("message").optional()];
pub(super) const MESSAGE: &[Argument] = &[string("message")];
pub(super) const INDEX: &[Argument] = &[integer("index")];
pub(super) const AUTH: &[Argument] =
    &[string("username").since("6.0.0").optional(), string("password")];
#[rustfmt::skip] // One argument, one line.
pub(super) const HELLO: &[Argument] = &[
    block("arguments", &[
        integer("protover"),
        block("username_password", &[string("username"), string("password")]).after("AUTH").optional(),
        string("clientname").after("SETNAME").optional(),
    ]).optional(),
];

const ON: Argument = token("on", "ON");
const OFF: Argument = token("off", "OFF");
pub(super) const ENABLED: &[Argument] = &[one_of("enabled", &[ON, OFF])];
pub(super) const CLIENT_REPLY: &[Argument] =
    &[one_of("on_off_skip", &[ON, OFF, token("skip", "SKIP")])];
pub(super) const CLIENT_SETNAME: &[Argument] = &[string("connection-name")];
pub(super) const CLIENT_SETINFO: &[Argument] =
    &[one_of("attr", &[string("libname").after("LIB-NAME"), string("libver").after("LIB-VER")])];
#[rustfmt::skip] // One argument, one line.
pub(super) const CLIENT_LIST: &[Argument] = &[
    one_of("normal_master_replica_pubsub", &[
        token("normal", "NORMAL"),
        token("master", "MASTER"),
        token("replica", "REPLICA"),
        token("pubsub", "PUBSUB"),
    ]).after("TYPE").since("5.0.0").optional(),
    block("id", &[integer("client-id").multiple()]).after("ID").since("6.2.0").optional(),
];
#[rustfmt::skip] // One argument, one line.
pub(super) const CLIENT_KILL: &[Argument] = &[
    one_of("filter", &[
        string("ip:port").deprecated_since("2.8.12"),
        one_of("new-format", &[
            integer("client-id").after("ID").since("2.8.12").optional(),
            one_of("normal_master_slave_pubsub", &[
                token("normal", "NORMAL"),
                token("master", "MASTER").since("3.2.0"),
                token("slave", "SLAVE"),
                token("replica", "REPLICA").since("5.0.0"),
                token("pubsub", "PUBSUB"),
            ]).after("TYPE").since("2.8.12").optional(),
            string("username").after("USER").optional(),
            string("ip:port").after("ADDR").optional(),
            string("ip:port").after("LADDR").since("6.2.0").optional(),
            string("yes/no").after("SKIPME").optional(),
            integer("maxage").after("MAXAGE").since("7.4.0").optional(),
        ]).multiple(),
    ]),
];

pub(super) const OPTIONAL_COUNT: &[Argument] = &[integer("count").optional()];
pub(super) const USERNAME: &[Argument] = &[string("username")];
pub(super) const USERNAMES: &[Argument] = &[string("username").multiple()];
pub(super) const ACL_CAT: &[Argument] = &[string("categoryname").optional()];
pub(super) const ACL_GENPASS: &[Argument] = &[integer("bits").optional()];
pub(super) const ACL_DRYRUN: &[Argument] =
    &[string("username"), string("command"), string("arg").optional().multiple()];
pub(super) const ACL_SETUSER: &[Argument] =
    &[string("username"), string("rule").optional().multiple()];
pub(super) const ACL_LOG: &[Argument] =
    &[one_of("operation", &[integer("count"), token("reset", "RESET")]).optional()];
pub(super) const CONFIG_GET: &[Argument] = &[block("parameter", &[string("parameter")]).multiple()];
pub(super) const CONFIG_SET: &[Argument] =
    &[block("parameter_value", &[string("parameter"), string("value")]).multiple()];
pub(super) const SECTIONS: &[Argument] = &[string("section").optional().multiple()];
pub(super) const COMMAND_NAMES: &[Argument] = &[string("command-name").optional().multiple()];
#[rustfmt::skip] // One argument, one line.
pub(super) const COMMAND_LIST: &[Argument] = &[
    one_of("filterby", &[
        string("module-name").after("MODULE"),
        string("category").after("ACLCAT"),
        Argument::new("pattern", Kind::Pattern).after("PATTERN"),
    ]).after("FILTERBY").optional(),
];

const VALUE: Argument = string("value");
const OFFSET: Argument = integer("offset");
const ENCODING: Argument = string("encoding");
const ENCODING_OFFSET: Argument = block("encoding_offset", &[ENCODING, OFFSET]).after("GET");
pub(super) const KEY_VALUE: &[Argument] = &[A_KEY, VALUE];
pub(super) const SETEX: &[Argument] = &[A_KEY, integer("seconds"), VALUE];
pub(super) const PSETEX: &[Argument] = &[A_KEY, integer("milliseconds"), VALUE];
#[rustfmt::skip] // One argument, one line.
pub(super) const GETEX: &[Argument] = &[
    A_KEY,
    one_of("expiration", &[
        integer("seconds").after("EX"),
        integer("milliseconds").after("PX"),
        Argument::new("unix-time-seconds", Kind::UnixTime).after("EXAT"),
        Argument::new("unix-time-milliseconds", Kind::UnixTime).after("PXAT"),
        token("persist", "PERSIST"),
    ]).optional(),
];
pub(super) const KEY_RANGE: &[Argument] = &[A_KEY, integer("start"), integer("end")];
pub(super) const SETRANGE: &[Argument] = &[A_KEY, OFFSET, VALUE];
pub(super) const INCRBYFLOAT: &[Argument] = &[A_KEY, Argument::new("increment", Kind::Double)];
#[rustfmt::skip] // One argument, one line.
pub(super) const LCS: &[Argument] = &[
    Argument::new("key1", Kind::Key),
    Argument::new("key2", Kind::Key),
    token("len", "LEN").optional(),
    token("idx", "IDX").optional(),
    integer("len").after("MINMATCHLEN").optional(),
    token("withmatchlen", "WITHMATCHLEN").optional(),
];

pub(super) const SETBIT: &[Argument] = &[A_KEY, OFFSET, integer("value")];
pub(super) const GETBIT: &[Argument] = &[A_KEY, OFFSET];
const INDEX_UNIT: Argument =
    one_of("index_unit", &[token("byte", "BYTE"), token("bit", "BIT")]).since("7.0.0").optional();
#[rustfmt::skip] // One argument, one line.
pub(super) const BITCOUNT: &[Argument] = &[
    A_KEY,
    block("index", &[integer("start"), integer("end"), INDEX_UNIT]).optional(),
];
#[rustfmt::skip] // One argument, one line.
pub(super) const BITPOS: &[Argument] = &[
    A_KEY,
    integer("bit"),
    block("index", &[
        integer("start"),
        block("end_index", &[integer("end"), INDEX_UNIT]).optional(),
    ]).optional(),
];
#[rustfmt::skip] // One argument, one line.
pub(super) const BITOP: &[Argument] = &[
    string("operation"),
    Argument::new("destkey", Kind::Key),
    A_KEY.multiple().key_part(1),
];
#[rustfmt::skip] // One argument, one line.
pub(super) const BITFIELD: &[Argument] = &[
    A_KEY,
    one_of("operation", &[
        ENCODING_OFFSET,
        block("write", &[
            one_of("wrap_sat_fail", &[
                token("wrap", "WRAP"),
                token("sat", "SAT"),
                token("fail", "FAIL"),
            ]).after("OVERFLOW").optional(),
            one_of("write_operation", &[
                block("encoding_offset_value", &[ENCODING, OFFSET, integer("value")]).after("SET"),
                block("encoding_offset_increment", &[ENCODING, OFFSET, integer("increment")]).after("INCRBY"),
            ]),
        ]),
    ]).optional().multiple(),
];
pub(super) const BITFIELD_RO: &[Argument] = &[A_KEY, ENCODING_OFFSET.optional().multiple_token()];

const NEW_KEY: Argument = Argument::new("newkey", Kind::Key).key_part(1);
pub(super) const RENAME: &[Argument] = &[A_KEY, NEW_KEY];
pub(super) const COPY: &[Argument] = &[
    Argument::new("source", Kind::Key),
    Argument::new("destination", Kind::Key).key_part(1),
    integer("destination-db").after("DB").optional(),
    token("replace", "REPLACE").optional(),
];
pub(super) const MOVE: &[Argument] = &[A_KEY, integer("db")];
pub(super) const SWAPDB: &[Argument] = &[integer("index1"), integer("index2")];
const A_PATTERN: Argument = Argument::new("pattern", Kind::Pattern);
pub(super) const PATTERN: &[Argument] = &[A_PATTERN];
pub(super) const SCAN: &[Argument] = &[
    integer("cursor"),
    A_PATTERN.after("MATCH").optional(),
    integer("count").after("COUNT").optional(),
    string("type").after("TYPE").since("6.0.0").optional(),
];
pub(super) const WAIT: &[Argument] = &[integer("numreplicas"), integer("timeout")];
pub(super) const MEMORY_USAGE: &[Argument] = &[A_KEY, integer("count").after("SAMPLES").optional()];
pub(super) const EVENT: &[Argument] = &[string("event")];
pub(super) const EVENTS: &[Argument] = &[string("event").optional().multiple()];
