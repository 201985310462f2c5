//! The types that settings have, and how each is read and shown.

use super::setting::{Kind, Refusal};
use super::text::{SizeError, parse_integer, parse_size};
use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;

/// What `--print-config` shows in place of a secret. As a value it is refused, so that its
/// output, used as a file, fails instead of setting a password that everybody knows.
pub(super) const MASK: &str = "********";

/// A type that a setting can have. `parse(to_text(v)) == v` for every value.
pub(super) trait Value: Sized {
    fn parse(text: &str, kind: &Kind) -> Result<Self, Refusal>;
    fn to_text(&self) -> String;
}

impl Value for i64 {
    fn parse(text: &str, kind: &Kind) -> Result<Self, Refusal> {
        let (number, min, max) = match *kind {
            Kind::Number { min, max, .. } => {
                let number = parse_integer(text).ok_or(Refusal::NotAnInteger)?;
                (number, min, max)
            }
            Kind::Bytes { min, max } => match parse_size(text) {
                Ok(number) => (number, min, max),
                Err(SizeError::NotASize) => return Err(Refusal::NotASize),
                Err(SizeError::TooLarge) => return Err(Refusal::OutOfRange),
            },
            _ => return Err(Refusal::NotAllowed),
        };
        if (min..=max).contains(&number) { Ok(number) } else { Err(Refusal::OutOfRange) }
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

impl Value for u64 {
    fn parse(text: &str, kind: &Kind) -> Result<Self, Refusal> {
        Self::try_from(i64::parse(text, kind)?).map_err(|_| Refusal::OutOfRange)
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

/// An enum whose values are words.
macro_rules! choice {
    ($(#[$doc:meta])* $type:ident { $( $(#[$value_doc:meta])* $value:ident = $word:literal, )+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $type { $( $(#[$value_doc])* $value, )+ }

        impl $type {
            /// The words it is written as.
            pub const WORDS: &[&str] = &[$($word),+];

            /// Its word.
            pub const fn word(self) -> &'static str {
                match self { $( Self::$value => $word, )+ }
            }
        }

        impl Value for $type {
            fn parse(text: &str, _: &Kind) -> Result<Self, Refusal> {
                [$(Self::$value),+]
                    .into_iter()
                    .find(|value| value.word().eq_ignore_ascii_case(text))
                    .ok_or(Refusal::NotAllowed)
            }

            fn to_text(&self) -> String {
                self.word().to_owned()
            }
        }
    };
}

choice! {
    /// When the embedded store forces what it wrote to the disk.
    Durability {
        /// Before a write is answered.
        Always = "always",
        /// Once a second: a crash of the machine can lose the last one.
        Everysec = "everysec",
    }
}

choice! {
    /// Whether something is wanted.
    YesNo {
        /// It is not.
        No = "no",
        /// It is.
        Yes = "yes",
    }
}

choice! {
    /// Whether clients that connect with TLS must show a certificate.
    TlsAuthClients {
        /// They are asked for none.
        No = "no",
        /// One that an authority of `tls_ca_cert_file` vouches for.
        Yes = "yes",
        /// As for yes, but they may also show none.
        Optional = "optional",
    }
}

choice! {
    /// The least important messages that are still logged.
    LogLevel {
        /// What needs a person.
        Error = "error",
        /// What may soon need one.
        Warn = "warn",
        /// What the server does as a whole: starts, recoveries, view changes.
        Info = "info",
        /// What single connections and commits do.
        Debug = "debug",
        /// Every step.
        Trace = "trace",
    }
}

/// One address to serve. The host is not resolved yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// A name or an IP address, IPv6 without its brackets.
    pub host: String,
    /// The port; 0 lets the system pick one.
    pub port: u16,
}

impl ListenAddress {
    fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        // u16's own parser takes a plus sign.
        if !port.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let port = port.parse().ok()?;
        let in_brackets = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let name = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let valid = match in_brackets {
            Some(v6) => v6.parse::<Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.bytes().all(name),
        };
        valid.then(|| Self { host: in_brackets.unwrap_or(host).to_owned(), port })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The addresses to serve, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen(Vec<ListenAddress>);

impl Listen {
    /// Only what comes from this machine itself.
    pub fn localhost(port: u16) -> Self {
        let host = "127.0.0.1".to_owned();
        Self(vec![ListenAddress { host, port }])
    }

    /// The addresses in the order given.
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.0
    }
}

impl Value for Listen {
    fn parse(text: &str, _: &Kind) -> Result<Self, Refusal> {
        text.split(',')
            .map(|address| ListenAddress::parse(address.trim()))
            .collect::<Option<_>>()
            .map(Self)
            .ok_or(Refusal::NotAllowed)
    }

    fn to_text(&self) -> String {
        let texts: Vec<String> = self.0.iter().map(ListenAddress::to_string).collect();
        texts.join(",")
    }
}

/// The empty text is no address at all.
impl Value for Option<Listen> {
    fn parse(text: &str, kind: &Kind) -> Result<Self, Refusal> {
        if text.is_empty() { Ok(None) } else { Listen::parse(text, kind).map(Some) }
    }

    fn to_text(&self) -> String {
        self.as_ref().map_or_else(String::new, Listen::to_text)
    }
}

/// The empty text is no file at all.
impl Value for Option<PathBuf> {
    fn parse(text: &str, _: &Kind) -> Result<Self, Refusal> {
        Ok((!text.is_empty()).then(|| text.into()))
    }

    fn to_text(&self) -> String {
        self.as_ref().map_or_else(String::new, |path| path.display().to_string())
    }
}

/// A string that shows up in no log: its `Debug` is a mask and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(super) fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The string itself. For CONFIG GET, which shows it to whoever could change it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `guess` is the secret, in a time that depends on the length of the guess
    /// and on nothing else: how long a refusal takes must not tell how much was right.
    pub fn matches(&self, guess: &[u8]) -> bool {
        let secret = self.0.as_bytes();
        let differences = guess.iter().enumerate().fold(0, |differences, (at, byte)| {
            // Past the end of the secret any byte will do: the lengths differ then.
            differences | (byte ^ secret.get(at).copied().unwrap_or(0))
        });
        differences == 0 && guess.len() == secret.len()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// The empty text is no secret at all, as in Redis.
impl Value for Option<Secret> {
    fn parse(text: &str, _: &Kind) -> Result<Self, Refusal> {
        match text {
            "" => Ok(None),
            MASK => Err(Refusal::NotAllowed),
            _ => Ok(Some(Secret(text.to_owned()))),
        }
    }

    fn to_text(&self) -> String {
        self.as_ref().map_or_else(String::new, |s| s.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_secret_matches() {
        let secret = Secret("hunter2".to_owned());
        assert!(secret.matches(b"hunter2"));
        for guess in ["", "hunter", "hunter22", "hunter2hunter2", "Hunter2", "hunter3"] {
            assert!(!secret.matches(guess.as_bytes()), "{guess}");
        }
        assert_eq!(format!("{secret:?}"), MASK);
    }
}
