//! What the table says about one setting, and what follows from it.

use super::store;
use super::table::Settings;
use super::text::show_size;

/// Text that could not become the value of a setting. Each way in words it for its reader:
/// [`Kind::allowed`] at the start, [`Kind::redis_refusal`] for CONFIG SET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NotAnInteger,
    NotASize,
    OutOfRange,
    NotAllowed,
}

/// What values a setting takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A whole number of something, both ends included.
    Number {
        /// What is counted, in the plural: `milliseconds`, `clients`.
        unit: &'static str,
        /// The smallest value allowed.
        min: i64,
        /// The largest value allowed.
        max: i64,
    },
    /// A number of bytes, with Redis' suffixes: 1k is 1000, 1kb is 1024.
    Bytes {
        /// The smallest value allowed.
        min: i64,
        /// The largest value allowed; `i64::MAX` is no limit.
        max: i64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Addresses to serve, at least one.
    Listen,
    /// Addresses to serve, or none.
    OptionalListen,
    /// A file to read at the start, or none.
    File,
    /// Where data is kept.
    Store,
    /// A string that is never shown.
    Secret,
}

impl Kind {
    /// What to write instead, to end an error message with.
    pub fn allowed(&self) -> String {
        match self {
            Self::Number { unit, .. } => {
                format!("use a whole number of {unit}, {}", self.range())
            }
            Self::Bytes { .. } => format!(
                "use a size, {} (1k is 1000 bytes, 1kb is 1024; also m, mb, g, gb)",
                self.range()
            ),
            Self::Choice(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
                match quoted.as_slice() {
                    [rest @ .., last] if !rest.is_empty() => {
                        format!("use {} or {last}", rest.join(", "))
                    }
                    _ => format!("use {}", quoted.join("")),
                }
            }
            Self::Listen => "use host:port, such as 127.0.0.1:6379 or [::1]:6379, \
                             several separated by commas"
                .to_owned(),
            Self::OptionalListen => {
                "use host:port, several separated by commas, or an empty string for none".to_owned()
            }
            Self::File => "use the name of a file, or an empty string for none".to_owned(),
            Self::Store => store::advice(""),
            Self::Secret => "use a string in quotes, of UTF-8 and without the mask that \
                             --print-config shows"
                .to_owned(),
        }
    }

    /// The same for who has written `got`, of which more can be said of some.
    pub(super) fn allowed_instead_of(&self, got: &str) -> String {
        match self {
            Self::Store => store::advice(got),
            _ => self.allowed(),
        }
    }

    /// The range of a number in words, empty for what has none.
    pub fn range(&self) -> String {
        match self {
            Self::Number { min, max: i64::MAX, .. } => format!("at least {min}"),
            Self::Number { min, max, .. } => format!("{min} to {max}"),
            Self::Bytes { min, max: i64::MAX } => format!("at least {}", show_size(*min)),
            Self::Bytes { min, max } => format!("{} to {}", show_size(*min), show_size(*max)),
            _ => String::new(),
        }
    }

    /// The placeholder of the value in `--help`, which is where its unit is read.
    pub fn value_name(&self) -> String {
        match self {
            Self::Number { unit, .. } => match *unit {
                "milliseconds" => "MS".to_owned(),
                "seconds" => "S".to_owned(),
                "microseconds" => "US".to_owned(),
                unit => unit.to_uppercase(),
            },
            Self::Bytes { .. } => "BYTES".to_owned(),
            Self::Choice(words) => words.join("|"),
            Self::Listen | Self::OptionalListen => "HOST:PORT,...".to_owned(),
            Self::File => "FILE".to_owned(),
            Self::Store => "embedded:DIR|redis://HOST|memory:".to_owned(),
            Self::Secret => "PASSWORD".to_owned(),
        }
    }

    /// The reason of a refusal as Redis words it.
    pub(super) fn redis_refusal(&self, refusal: Refusal) -> String {
        match (refusal, self) {
            (Refusal::NotAnInteger, _) => "argument couldn't be parsed into an integer".to_owned(),
            (Refusal::NotASize, _) => "argument must be a memory value".to_owned(),
            (Refusal::OutOfRange, Self::Number { min, max, .. } | Self::Bytes { min, max }) => {
                format!("argument must be between {min} and {max} inclusive")
            }
            (_, Self::Choice(words)) => redis_choice_refusal(words),
            _ => self.allowed(),
        }
    }
}

/// Redis' text for a word that is none of `words`.
pub(super) fn redis_choice_refusal(words: &[&str]) -> String {
    format!("argument(s) must be one of the following: {}", words.join(", "))
}

/// Under which heading a setting stands in `--help` and `--print-config`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// What the server is.
    General,
    /// What one client may take.
    Connections,
    /// Connections that are encrypted.
    Tls,
    /// Interactive transactions.
    Transactions,
    /// How transactions reach the store.
    Engine,
    /// Stores that other machines can reach, too.
    SharedStores,
    /// The store that is a directory of this machine.
    EmbeddedStore,
    /// The store that is a Redis.
    RedisStore,
}

impl Group {
    /// The heading.
    pub fn heading(self) -> &'static str {
        match self {
            Self::General => "General",
            Self::Connections => "Connections: what one client may take from the others",
            Self::Tls => "TLS: connections that are encrypted",
            Self::Transactions => "Transactions: over many commands, and what became of them",
            Self::Engine => "Engine: how transactions reach the store",
            Self::SharedStores => "Shared stores: Redis, S3, DynamoDB",
            Self::EmbeddedStore => "Embedded store",
            Self::RedisStore => "Redis as the store",
        }
    }
}

/// When a setting can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// At the start only: CONFIG SET refuses it.
    AtStart,
    /// Also by CONFIG SET, while the server runs.
    Live,
}

/// One entry of the table.
#[derive(Debug)]
pub struct Setting {
    /// Its name in the file and, in upper case after `AFT_`, in the environment. The unit
    /// comes last.
    pub name: &'static str,
    /// Where it is listed.
    pub group: Group,
    /// What values it takes.
    pub kind: Kind,
    /// When it can be changed.
    pub change: Change,
    /// The name of the same setting in Redis, if that has it with the same unit.
    pub redis: Option<&'static str>,
    /// What it is, in a sentence.
    pub what: &'static str,
    /// Why it is there and why its default is what it is.
    pub why: &'static str,
    pub(super) read: fn(&Settings) -> String,
    pub(super) write: fn(&mut Settings, &str, &Kind) -> Result<(), Refusal>,
}

impl Setting {
    /// Its flag, without the dashes: `clients-max`.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// Its environment variable: `AFT_CLIENTS_MAX`.
    pub fn variable(&self) -> String {
        format!("AFT_{}", self.name.to_uppercase())
    }

    /// Its own name in CONFIG GET and SET: `aft-clients-max`. The prefix keeps it apart
    /// from any name of Redis, now and later.
    pub fn config_name(&self) -> String {
        format!("aft-{}", self.flag())
    }

    /// Its value as CONFIG GET shows it: sizes as a plain number of bytes. A secret comes
    /// out too.
    pub fn read(&self, settings: &Settings) -> String {
        (self.read)(settings)
    }

    /// Its value as CONFIG GET tells it: of a store, which no client could have set, without
    /// the password.
    pub(super) fn tell(&self, settings: &Settings) -> String {
        match self.kind {
            Kind::Store => store::without_password(&self.read(settings)),
            _ => self.read(settings),
        }
    }

    /// Its value for a person: sizes with a suffix where that is exact. A secret comes out
    /// too, but for the password of a store.
    pub(super) fn show(&self, settings: &Settings) -> String {
        let value = self.tell(settings);
        match (&self.kind, value.parse()) {
            (Kind::Bytes { .. }, Ok(bytes)) => show_size(bytes),
            _ => value,
        }
    }

    pub(super) fn write(&self, settings: &mut Settings, text: &str) -> Result<(), Refusal> {
        (self.write)(settings, text, &self.kind)
    }

    /// Whether its value must not be shown.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret)
    }
}

/// A setting that is of no use without another.
pub(super) struct Need {
    pub(super) given: &'static str,
    pub(super) missing: &'static str,
    pub(super) is_broken: fn(&Settings) -> bool,
    pub(super) why: &'static str,
}

/// Two settings of which one may not be above the other.
pub(super) struct Order {
    pub(super) smaller: &'static str,
    pub(super) larger: &'static str,
    pub(super) values: fn(&Settings) -> (u64, u64),
    pub(super) why: &'static str,
}

impl Order {
    /// Whether the settings keep it.
    pub(super) fn holds(&self, settings: &Settings) -> bool {
        let (smaller, larger) = (self.values)(settings);
        smaller <= larger
    }
}
