//! What clients did and saw, where that is wanted: for the detector of anomalies and for other checkers
//! (docs/history-format.md). The servers are empty at first then, and whoever remembers is slower than
//! who forgets: a run with a history measures nothing.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::Result;
use crate::common::functions::{Function, Operation as Planned};
use crate::connection::Connection;
use crate::history_support::detect::{Anomaly, detect};
use crate::history_support::json;
use crate::history_support::record::{
    Action, Commit, CommitId, Operation, Status, Tick, Transaction, Version,
};
use crate::requests::key;
use crate::versions::{value_of, version_in};

/// All that happens on one server.
#[derive(Clone, Debug)]
pub(crate) struct History(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    run: String,
    clock: AtomicU64,
    done: Mutex<Vec<Transaction>>,
}

impl History {
    pub(crate) fn of(run: String) -> Self {
        Self(Arc::new(Shared { run, clock: AtomicU64::new(0), done: Mutex::default() }))
    }

    pub(crate) fn recorder(&self, session: &str) -> Recorder {
        let session = session.to_owned();
        Recorder { history: self.clone(), session, keys: Vec::new(), sent: 0, transaction: None }
    }

    fn tick(&self) -> Tick {
        self.0.clock.fetch_add(1, Ordering::Relaxed)
    }

    /// Adds it to a file; its anomalies.
    pub(crate) fn write(&self, path: &Path) -> Result<Vec<Anomaly>> {
        let done = self.0.done.lock().unwrap_or_else(PoisonError::into_inner);
        let mut file = BufWriter::new(OpenOptions::new().append(true).open(path)?);
        for transaction in done.iter() {
            writeln!(file, "{}", json::line(transaction))?;
        }
        file.flush()?;
        let anomalies = detect(&done);
        println!("{}: {} transactions, {} anomalies", self.0.run, done.len(), anomalies.len());
        Ok(anomalies)
    }
}

/// An empty file for histories.
pub(crate) fn create(path: &Path) -> Result<()> {
    File::create(path)?;
    Ok(())
}

/// What was written can be read.
pub(crate) fn check_file(path: &Path) -> Result<()> {
    let history = json::parse(&std::fs::read_to_string(path)?)?;
    if history.is_empty() {
        return Err("nothing was recorded".into());
    }
    println!("{} transactions written to {}", history.len(), path.display());
    Ok(())
}

/// What one client did and saw.
#[derive(Debug)]
pub(crate) struct Recorder {
    history: History,
    session: String,
    /// That the request at hand writes.
    keys: Vec<String>,
    /// When its latest commands were.
    sent: Tick,
    transaction: Option<Transaction>,
}

impl Recorder {
    pub(crate) fn begin(&mut self, request: &str, functions: &[Function]) {
        self.keys.clear();
        for operation in functions.iter().flatten() {
            if let Planned::Write(number) = operation {
                let key = name(*number);
                self.keys.extend((!self.keys.contains(&key)).then_some(key));
            }
        }
        self.transaction = Some(Transaction {
            run: self.history.0.run.clone(),
            session: self.session.clone(),
            id: format!("{request}.1"),
            request: request.to_owned(),
            status: Status::Committed,
            commit: None,
            operations: Vec::new(),
        });
    }

    /// What the next operation writes.
    fn version(&self) -> Option<Version> {
        let Transaction { id, operations, .. } = self.transaction.as_ref()?;
        Some(Version { writer: id.clone(), number: operations.len(), keys: self.keys.clone() })
    }

    /// The same as it is sent.
    pub(crate) fn value(&self) -> Vec<u8> {
        self.version().as_ref().map(value_of).unwrap_or_default()
    }

    /// Commands are about to be sent, one operation among them.
    pub(crate) fn sends(&mut self) {
        self.sent = self.history.tick();
    }

    /// Waits for the answer to an operation.
    pub(crate) async fn hear(&mut self, planned: Planned, from: &mut Connection) -> Result<()> {
        let said = from.read_text().await?;
        let (number, action) = match planned {
            Planned::Read(number) => {
                (number, Action::Read(said.as_deref().map(version_in).transpose()?))
            }
            Planned::Write(number) => {
                (number, Action::Write(self.version().ok_or("no transaction")?))
            }
        };
        let (began, ended) = (self.sent, self.history.tick());
        let operation = Operation { key: name(number), action, began, ended };
        self.transaction.as_mut().ok_or("no transaction")?.operations.push(operation);
        Ok(())
    }

    /// Waits for the answer to DONE or COMMIT.
    pub(crate) async fn hear_end(&mut self, from: &mut Connection) -> Result<()> {
        let said = from.read_text().await?.unwrap_or_default();
        let id = CommitId::parse(&String::from_utf8_lossy(&said));
        let (began, ended) = (self.sent, self.history.tick());
        if let Some(transaction) = &mut self.transaction {
            transaction.commit = id.map(|id| Commit { began, ended, id: Some(id) });
        }
        Ok(())
    }

    /// The request is at its end.
    pub(crate) fn end(&mut self) {
        let mut done = self.history.0.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.extend(self.transaction.take());
    }
}

fn name(number: u64) -> String {
    String::from_utf8_lossy(&key("key", number)).into_owned()
}
