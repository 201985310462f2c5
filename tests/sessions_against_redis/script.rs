//! A session as data, and as people read it: in the language of `tests/scripts`.

use std::fmt::{self, Debug, Formatter};

/// An argument.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Word {
    Bytes(Vec<u8>),
    /// What CLIENT ID says on a connection; each server counts by itself.
    IdOf(usize),
    /// The address of a connection.
    AddressOf(usize),
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }
}

impl Word {
    /// Its bytes; nothing of what only a server knows.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::IdOf(_) | Self::AddressOf(_) => b"",
        }
    }

    pub(crate) fn is(&self, word: &str) -> bool {
        self.bytes().eq_ignore_ascii_case(word.as_bytes())
    }
}

impl Debug for Word {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let bytes = match self {
            Self::IdOf(who) => return write!(f, "<the id of {}>", name(*who)),
            Self::AddressOf(who) => return write!(f, "<the address of {}>", name(*who)),
            Self::Bytes(bytes) => bytes,
        };
        let plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"'\\".contains(byte);
        match bytes.len() {
            200.. => write!(f, "<{} bytes>", bytes.len()),
            1.. if bytes.iter().all(plain) => write!(f, "{}", bytes.escape_ascii()),
            _ => write!(f, "\"{}\"", bytes.escape_ascii()),
        }
    }
}

pub(crate) type Request = Vec<Word>;

/// A request as it stands in a script.
pub(crate) fn shown(request: &Request) -> String {
    request.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" ")
}

/// The name of a connection.
pub(crate) fn name(who: usize) -> char {
    char::from(b'a' + who as u8)
}

/// What one connection does before any other gets its turn.
#[derive(Clone)]
pub(crate) enum Step {
    /// Sends these at once, then reads all replies.
    Send { who: usize, requests: Vec<Request> },
    /// The same with CLIENT REPLY SKIP before the first, or OFF before and ON after them.
    Hush { who: usize, skip: bool, requests: Vec<Request> },
    /// Gives a key a millisecond to live, and waits until that is over.
    Lapse { who: usize, request: Request },
}

impl Debug for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let lines = |who: usize, requests: &[Request]| {
            let line = |request| format!("{}: {}", name(who), shown(request));
            requests.iter().map(line).collect::<Vec<_>>().join("\n")
        };
        match self {
            Self::Send { who, requests } if requests.len() > 1 => {
                write!(f, "# {} at once:\n{}", requests.len(), lines(*who, requests))
            }
            Self::Send { who, requests } => f.write_str(&lines(*who, requests)),
            Self::Hush { who, skip, requests } => {
                let how = if *skip { "SKIP" } else { "OFF, and ON at the end" };
                write!(f, "# at once, after CLIENT REPLY {how}:\n{}", lines(*who, requests))
            }
            Self::Lapse { who, request } => {
                write!(
                    f,
                    "{}\n# until a millisecond is over",
                    lines(*who, std::slice::from_ref(request))
                )
            }
        }
    }
}

/// A whole session.
#[derive(Clone)]
pub(crate) struct Session {
    /// How each connection begins.
    pub(crate) openings: Vec<Option<u8>>,
    pub(crate) steps: Vec<Step>,
}

impl Debug for Session {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        for (who, opening) in self.openings.iter().enumerate() {
            match opening {
                Some(version) => writeln!(f, "{}: HELLO {version}", name(who))?,
                None => writeln!(f, "# {} connects", name(who))?,
            }
        }
        self.steps.iter().try_for_each(|step| writeln!(f, "{step:?}"))
    }
}
