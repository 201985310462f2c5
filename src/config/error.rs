//! What can be wrong with settings at the start, in words for whoever has to set it right.

use super::setting::{Kind, Setting};
use super::store::without_password;
use super::value::MASK;
use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody gave one.
    Default,
    /// This file.
    File(PathBuf),
    /// This environment variable.
    Environment(String),
    /// A flag.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("by default"),
            Self::File(path) => write!(f, "from {}", path.display()),
            Self::Environment(variable) => write!(f, "from {variable}"),
            Self::CommandLine => f.write_str("from the command line"),
        }
    }
}

/// A setting as it was given.
#[derive(Debug)]
pub struct Given {
    /// Its name in the table.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Where that came from.
    pub origin: Origin,
}

/// Why the server can't start with these settings. Its `Display` is one line, complete with
/// the name of the program, and holds no secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// Arguments that are no settings.
    Usage {
        /// What is wrong with them.
        reason: String,
    },
    /// A setting that has a value it can't have.
    Value {
        /// Which one.
        setting: &'static Setting,
        /// Where the value came from.
        origin: Origin,
        /// The value; not shown if it is a secret.
        got: String,
    },
    /// Two settings that contradict each other.
    Order {
        /// The one that is too large.
        smaller: Box<Given>,
        /// The one that it may not be above.
        larger: Box<Given>,
        /// What would go wrong.
        why: &'static str,
    },
    /// A setting that is of no use without another.
    Need {
        /// The one that was given.
        given: Box<Given>,
        /// The name of the other.
        missing: &'static str,
        /// What it is needed for.
        why: &'static str,
    },
    /// A name in the file that no setting has.
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The name.
        key: String,
        /// The setting that was probably meant.
        nearest: &'static str,
    },
    /// A file that could not be read.
    File {
        /// Where its name came from.
        origin: Origin,
        /// Its name.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A file that is not TOML.
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line of the mistake, from 1.
        line: usize,
        /// What is wrong there. The line itself is not shown: it may hold a password.
        reason: String,
    },
}

/// A text that can't break the line, nor speak to the terminal.
fn printable(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }
    };
    text.chars().map(shown).collect()
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("aft: ")?;
        match self {
            Self::Usage { reason } => write!(f, "{reason}; aft --help lists all settings"),
            Self::Value { setting, origin, got } => {
                let allowed = setting.kind.allowed_instead_of(got);
                let flag = setting.flag();
                let got = match setting.kind {
                    Kind::Secret => MASK.to_owned(),
                    Kind::Store => printable(&without_password(got)),
                    _ => printable(got),
                };
                write!(f, "--{flag} ({origin}): '{got}' is not allowed: {allowed}")
            }
            Self::Order { smaller, larger, why } => write!(
                f,
                "--{} ({}): '{}' is above the '{}' of --{} ({}): {why}",
                smaller.name.replace('_', "-"),
                smaller.origin,
                smaller.value,
                larger.value,
                larger.name.replace('_', "-"),
                larger.origin,
            ),
            Self::Need { given, missing, why } => {
                let [flag, missing] = [given.name, missing].map(|name| name.replace('_', "-"));
                let (origin, value) = (&given.origin, &given.value);
                write!(f, "--{flag} ({origin}): '{value}' needs --{missing}: {why}")
            }
            Self::UnknownKey { path, key, nearest } => {
                let (path, key) = (path.display(), printable(key));
                write!(f, "{path}: '{key}' is not a setting: did you mean '{nearest}'?")
            }
            Self::File { origin, path, reason } => {
                let path = path.display();
                write!(f, "--config ({origin}): can't read '{path}': {reason}")
            }
            Self::Syntax { path, line, reason } => {
                write!(f, "{}, line {line}: {reason}", path.display())
            }
        }
    }
}

impl std::error::Error for ConfigError {}
