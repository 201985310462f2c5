//! What transactions did and saw.

use std::fmt;

/// A place in the one order in which whoever keeps the history saw things happen.
pub(crate) type Tick = u64;

/// A value, as it tells of itself: who wrote it, and what else he writes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Version {
    /// The transaction.
    pub(crate) writer: String,
    /// Which of its writes it is: no two values are the same.
    pub(crate) number: usize,
    /// All keys that the transaction writes.
    pub(crate) keys: Vec<String>,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} {}", self.writer, self.number, self.keys.join(","))
    }
}

impl Version {
    /// Of the text that it is written as; none if it is no such text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (name, keys) = text.split_once(' ')?;
        let (writer, number) = name.rsplit_once('/')?;
        let keys: Vec<String> = keys.split(',').map(str::to_owned).collect();
        let whole = !writer.is_empty() && keys.iter().all(|key| !key.is_empty());
        whole.then_some(Self { writer: writer.to_owned(), number: number.parse().ok()?, keys })
    }
}

/// What was done with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// With what was there.
    Read(Option<Version>),
    Write(Version),
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) key: String,
    pub(crate) action: Action,
    pub(crate) began: Tick,
    pub(crate) ended: Tick,
}

/// What has become of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// It counts.
    Committed,
    /// It must not: its functions failed.
    Aborted,
    /// Nobody was told.
    Unknown,
}

/// How a store names commits, in their order: milliseconds, a counter, the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CommitId(pub(crate) u64, pub(crate) u64, pub(crate) u64);

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}@{}", self.0, self.1, self.2)
    }
}

impl CommitId {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (time, node) = text.split_once('@')?;
        let (time, counter) = time.split_once('.')?;
        Some(Self(time.parse().ok()?, counter.parse().ok()?, node.parse().ok()?))
    }
}

/// When all writes of a transaction took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) began: Tick,
    pub(crate) ended: Tick,
    pub(crate) id: Option<CommitId>,
}

/// One attempt at a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transaction {
    /// Which of the histories in a file it is of.
    pub(crate) run: String,
    /// Transactions of a session come one after the other.
    pub(crate) session: String,
    pub(crate) id: String,
    /// All attempts at a request have this in common.
    pub(crate) request: String,
    pub(crate) status: Status,
    /// None where each write takes effect by itself.
    pub(crate) commit: Option<Commit>,
    pub(crate) operations: Vec<Operation>,
}
