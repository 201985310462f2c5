//! What a checker finds. The kinds are those of the promises: a test of the checkers asks for
//! the kind, a person reads the text.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An acknowledged write (or one that another client was shown) is not there.
    LostAck,
    /// A part of a transaction is there, another part is not.
    Torn,
    /// Something deleted, overwritten, expired or refused is there again.
    Resurrected,
    /// Something that nobody wrote.
    Phantom,
    /// A reply that no correct server gives here.
    WrongReply,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Anomaly {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

pub(crate) type Checked = Result<(), Anomaly>;

impl fmt::Debug for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.text)
    }
}

pub(crate) fn anomaly<T>(kind: Kind, text: impl Into<String>) -> Result<T, Anomaly> {
    Err(Anomaly { kind, text: text.into() })
}

/// How an operation ended, as far as its client can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered: done.
    Done,
    /// Answered: certainly not done.
    NotDone,
    /// The connection ended first.
    Unknown,
}

/// How the server ended under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Anything unanswered may be done or not.
    Crash,
    /// What a drained server did not answer it did not do.
    Drained,
}

impl End {
    pub(crate) fn of_unanswered(self) -> Outcome {
        match self {
            Self::Crash => Outcome::Unknown,
            Self::Drained => Outcome::NotDone,
        }
    }
}
