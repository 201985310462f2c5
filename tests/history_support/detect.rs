//! What in a history can't be if transactions are atomic.
//!
//! Values tell who wrote them and which keys he writes, so each read tells what others must not
//! find: who reads k of a transaction that also writes l reads no l older than its. (The AFT paper
//! counts its anomalies so.) Which of two values of a key is the older one is taken from the store
//! where it names its commits in their order, and otherwise from when writes were sent and
//! answered; where that leaves it open nothing is counted. So what is counted has happened.
//!
//! All of it is a pure function of a history.

use super::record::{Action, CommitId, Operation, Status, Tick, Transaction, Version};
use std::collections::{BTreeSet, HashMap};
use std::fmt;

/// Kinds of anomalies. Of the first three those are counted that transactions met with, each once;
/// of the next two, requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A transaction did not read what it had written.
    ReadYourWrites,
    /// It read one write of another transaction, and missed one.
    FracturedRead,
    /// It read a key twice, and not the same.
    UnrepeatableRead,
    /// What an attempt wrote that failed was read.
    HalfWritten,
    /// More than one attempt at a request had an effect.
    Doubled,
    /// A value that nobody wrote there.
    Unheard,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] = [
        Self::ReadYourWrites,
        Self::FracturedRead,
        Self::UnrepeatableRead,
        Self::HalfWritten,
        Self::Doubled,
        Self::Unheard,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ReadYourWrites => "read-your-writes",
            Self::FracturedRead => "fractured reads",
            Self::UnrepeatableRead => "unrepeatable reads",
            Self::HalfWritten => "half-written requests",
            Self::Doubled => "doubled effects",
            Self::Unheard => "values nobody wrote",
        }
    }
}

/// One anomaly.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Anomaly {
    pub(crate) kind: Kind,
    /// The transaction that met with it, or the request.
    pub(crate) whose: String,
    /// For people.
    pub(crate) what: String,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.kind.name(), self.whose, self.what)
    }
}

/// How many of a kind.
pub(crate) fn count(anomalies: &[Anomaly], kind: Kind) -> usize {
    anomalies.iter().filter(|anomaly| anomaly.kind == kind).count()
}

/// The anomalies of one history, each kind once for each transaction or request.
pub(crate) fn detect(history: &[Transaction]) -> Vec<Anomaly> {
    let known = Known::new(history);
    let mut anomalies: Vec<Anomaly> =
        history.iter().flat_map(|reader| known.of_reader(reader)).collect();
    anomalies.extend(known.of_requests());
    anomalies
}

/// The history, by who wrote what.
struct Known<'a> {
    history: &'a [Transaction],
    transactions: HashMap<&'a str, &'a Transaction>,
    /// Every write, by what was written.
    writes: HashMap<&'a Version, (&'a Transaction, &'a Operation)>,
    /// Transactions of which another one has read something, and which one.
    read_by: HashMap<&'a str, &'a str>,
}

/// A read of another transaction's value.
type Foreign<'a> = (&'a str, Option<&'a Version>);

impl<'a> Known<'a> {
    fn new(history: &'a [Transaction]) -> Self {
        let mut known = Self {
            history,
            transactions: HashMap::new(),
            writes: HashMap::new(),
            read_by: HashMap::new(),
        };
        for transaction in history {
            known.transactions.insert(&transaction.id, transaction);
            for operation in &transaction.operations {
                match &operation.action {
                    Action::Write(version) => {
                        known.writes.insert(version, (transaction, operation));
                    }
                    Action::Read(Some(version)) if version.writer != transaction.id => {
                        known.read_by.insert(&version.writer, &transaction.id);
                    }
                    Action::Read(_) => {}
                }
            }
        }
        known
    }

    /// What one transaction met with.
    fn of_reader(&self, reader: &'a Transaction) -> Vec<Anomaly> {
        let mut found: Vec<(Kind, String)> = Vec::new();
        let mut own: HashMap<&str, &Version> = HashMap::new();
        let mut reads: Vec<Foreign<'a>> = Vec::new();
        for Operation { key, action, .. } in &reader.operations {
            let seen = match action {
                Action::Write(version) => {
                    own.insert(key, version);
                    continue;
                }
                Action::Read(seen) => seen.as_ref(),
            };
            let read = || format!("read {key} = {}", show(seen));
            if seen.is_some_and(|version| !self.wrote(version, key)) {
                found.push((Kind::Unheard, read()));
                continue;
            }
            if let Some(&written) = own.get(key.as_str()) {
                if seen != Some(written) {
                    found.push((Kind::ReadYourWrites, format!("{}, wrote {written}", read())));
                }
                continue;
            }
            let before = reads.iter().find(|(other, _)| other == key);
            if let Some(&(_, before)) = before.filter(|&&(_, before)| before != seen) {
                let what = format!("{}, before {}", read(), show(before));
                found.push((Kind::UnrepeatableRead, what));
            }
            reads.push((key, seen));
        }
        found.extend(self.fractured(&reads).map(|what| (Kind::FracturedRead, what)));
        let mut kinds = BTreeSet::new();
        found.retain(|(kind, _)| kinds.insert(*kind));
        let whose = || reader.id.clone();
        found.into_iter().map(|(kind, what)| Anomaly { kind, whose: whose(), what }).collect()
    }

    /// Whether it was written, and there.
    fn wrote(&self, version: &Version, key: &str) -> bool {
        self.writes.get(version).is_some_and(|(_, write)| write.key == key)
    }

    /// One write of a transaction and not another one of it.
    fn fractured(&self, reads: &[Foreign<'a>]) -> Option<String> {
        for &(key, seen) in reads {
            let Some(version) = seen else { continue };
            for &(other, found) in reads {
                // Of one key: whether it is only what the writer had there in between.
                let comparable = key != other || seen == found;
                let writes_both = version.keys.iter().any(|written| written == other);
                if comparable && writes_both && self.is_before(found, version, other) {
                    let [version, found] = [seen, found].map(show);
                    return Some(format!("read {key} = {version} and {other} = {found}"));
                }
            }
        }
        None
    }

    /// Whether what was found at a key is older for certain than what the writer of `version`
    /// left there.
    fn is_before(&self, found: Option<&Version>, version: &Version, key: &str) -> bool {
        let Some(found) = found else { return true };
        let (Some(&(writer, write)), Some(&(other, others))) =
            (self.writes.get(version), self.writes.get(found))
        else {
            return false;
        };
        let writes_key = |operation: &&Operation| {
            operation.key == key && matches!(operation.action, Action::Write(_))
        };
        let last = writer.operations.iter().rfind(writes_key);
        if writer.id == other.id {
            // It has been written again since.
            return last.is_some_and(|last| last.action != others.action);
        }
        // Who never came to write it would have done so not before what he wrote.
        let left = Effect::of(writer, last.unwrap_or(write));
        Effect::of(other, others).is_before(&left)
    }

    /// What became of requests that were tried more than once.
    fn of_requests(&self) -> Vec<Anomaly> {
        let mut attempts: HashMap<&str, Vec<&Transaction>> = HashMap::new();
        for transaction in self.history {
            attempts.entry(&transaction.request).or_default().push(transaction);
        }
        let mut anomalies = Vec::new();
        for (request, attempts) in attempts {
            let reader = |attempt: &Transaction| self.read_by.get(attempt.id.as_str());
            let mut add = |kind, what| {
                anomalies.push(Anomaly { kind, whose: request.to_owned(), what });
            };
            let failed = attempts.iter().filter(|attempt| attempt.status == Status::Aborted);
            let half = failed.filter_map(|attempt| Some((attempt, reader(attempt)?))).next();
            if let Some((attempt, reader)) = half {
                add(Kind::HalfWritten, format!("{reader} read of {}, which failed", attempt.id));
            }
            let counts = |attempt: &&&Transaction| {
                attempt.status == Status::Committed || reader(attempt).is_some()
            };
            let counting: Vec<&str> =
                attempts.iter().filter(counts).map(|attempt| attempt.id.as_str()).collect();
            if counting.len() > 1 {
                add(Kind::Doubled, format!("all of these count: {}", counting.join(", ")));
            }
        }
        anomalies.sort();
        anomalies
    }
}

fn show(version: Option<&Version>) -> String {
    version.map_or_else(|| "nothing".to_owned(), Version::to_string)
}

/// When a write took effect.
struct Effect {
    began: Tick,
    ended: Tick,
    id: Option<CommitId>,
}

impl Effect {
    fn of(transaction: &Transaction, write: &Operation) -> Self {
        match &transaction.commit {
            Some(commit) => Self { began: commit.began, ended: commit.ended, id: commit.id },
            None => Self { began: write.began, ended: write.ended, id: None },
        }
    }

    fn is_before(&self, other: &Self) -> bool {
        match (self.id, other.id) {
            (Some(own), Some(others)) => own < others,
            _ => self.ended < other.began,
        }
    }
}
