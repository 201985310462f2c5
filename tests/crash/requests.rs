//! Requests whose server is killed, again and again: each is tried until it counts, and what all
//! of them did and saw is a history, in which nothing may be found that atomic transactions can't
//! do (the detector is that of the anomalies benchmark). After each crash whoever was not told asks
//! whether his request counts. Then the newest writes of those that do are what must be there.
//!
//! `AFT_HISTORY` names a directory: a file `crash-SEED.jsonl` is left there, for other checkers
//! (docs/history-format.md).

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::RngExt;
use rand::rngs::StdRng;

use crate::anomaly::{Checked, Kind, anomaly};
use crate::common::client::Client;
use crate::common::resp::Reply;
use crate::history_support::detect::detect;
use crate::history_support::record::{
    Action, Commit, CommitId, Operation, Status, Tick, Transaction, Version,
};

const KEYS: usize = 12;
const STEPS_MAX: usize = 6;
/// In the detector's words.
const RUN: &str = "aft, killed";

/// The one order of all that is sent and answered.
#[derive(Debug, Default)]
pub(crate) struct Clock(AtomicU64);

impl Clock {
    fn tick(&self) -> Tick {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Someone who has requests done, one after the other.
pub(crate) struct Requester {
    session: String,
    rng: StdRng,
    /// How many requests have come to their end.
    done: u64,
    attempt: u64,
    pub(crate) history: Vec<Transaction>,
}

impl Requester {
    pub(crate) fn new(session: usize, rng: StdRng) -> Self {
        let session = session.to_string();
        Self { session, rng, done: 0, attempt: 0, history: Vec::new() }
    }

    /// Works until the server is gone.
    pub(crate) fn work(&mut self, clock: &Clock, addr: SocketAddr) {
        let Ok(mut client) = Client::connect(addr) else {
            return;
        };
        let Ok(mut other) = Client::connect(addr) else {
            return;
        };
        while self.try_once(clock, [&mut client, &mut other]).is_ok() {}
    }

    fn request(&self) -> String {
        format!("{}-{}", self.session, self.done)
    }

    /// One attempt at the request that is due, by two functions with a connection each.
    fn try_once(&mut self, clock: &Clock, clients: [&mut Client; 2]) -> io::Result<()> {
        let [first, second] = clients;
        let (token, state) = begin(first, &self.request())?;
        assert_eq!(state, "begun", "{} is not done", self.request());
        self.attempt += 1;
        let number = self.history.len();
        self.history.push(self.transaction());
        let steps: Vec<(bool, String)> = (0..self.rng.random_range(2..=STEPS_MAX))
            .map(|_| (self.rng.random_bool(0.5), key(self.rng.random_range(0..KEYS))))
            .collect();
        let written = steps.iter().filter(|(writes, _)| *writes);
        let keys: BTreeSet<String> = written.map(|(_, key)| key.clone()).collect();
        let handover = self.rng.random_range(0..steps.len());
        for (at, (writes, key)) in steps.iter().enumerate() {
            if at == handover {
                ok(first.call(&["AFT.LEAVE"])?);
                ok(second.call(&["AFT.JOIN", &token])?);
            }
            let client = if at < handover { &mut *first } else { &mut *second };
            let began = clock.tick();
            let action = if *writes {
                let writer = self.history[number].id.clone();
                let version = Version { writer, number: at, keys: keys.iter().cloned().collect() };
                ok(client.call(&["SET", key, &version.to_string()])?);
                Action::Write(version)
            } else {
                read(&client.call(&["GET", key])?)
            };
            let operation = Operation { key: key.clone(), action, began, ended: clock.tick() };
            self.history[number].operations.push(operation);
        }
        // From here on nobody knows, until he is told.
        let began = clock.tick();
        self.history[number].status = Status::Unknown;
        let said = second.call(&["AFT.COMMIT"])?;
        if said.error_code().as_deref() == Some("CONFLICT") {
            self.history[number].status = Status::Aborted;
            return Ok(());
        }
        self.committed(number, began, clock.tick(), &said);
        Ok(())
    }

    fn transaction(&self) -> Transaction {
        Transaction {
            run: RUN.to_owned(),
            session: self.session.clone(),
            id: format!("{}.{}", self.request(), self.attempt),
            request: self.request(),
            status: Status::Aborted,
            commit: None,
            operations: Vec::new(),
        }
    }

    fn committed(&mut self, number: usize, began: Tick, ended: Tick, said: &Reply) {
        let id = said.text().and_then(|text| CommitId::parse(&text));
        let id = id.unwrap_or_else(|| panic!("the commit of {}: {said:?}", self.request()));
        let transaction = &mut self.history[number];
        transaction.status = Status::Committed;
        transaction.commit = Some(Commit { began, ended, id: Some(id) });
        self.done += 1;
        self.attempt = 0;
    }

    /// Asks what has become of an attempt that was not answered.
    pub(crate) fn ask(&mut self, clock: &Clock, client: &mut Client) {
        let last = self.history.last().filter(|last| last.request == self.request());
        let Some(last) = last else { return };
        let (status, number) = (last.status, self.history.len() - 1);
        let began = last.operations.last().map_or(0, |operation| operation.ended);
        let (token, state) = begin(client, &self.request()).expect("an answer");
        if state == "committed" {
            assert_eq!(status, Status::Unknown, "{} counts, and was not done", self.request());
            let said = client.run(&["AFT.COMMIT", &token]);
            self.committed(number, began, clock.tick(), &said);
            return;
        }
        assert_eq!(state, "begun", "{}", self.request());
        ok(client.run(&["AFT.ABORT", &token]));
        self.history[number].status = Status::Aborted;
    }

    /// Looks at all keys in a transaction.
    pub(crate) fn audit(&mut self, clock: &Clock, client: &mut Client) {
        let (_, state) = begin(client, &self.request()).expect("an answer");
        assert_eq!(state, "begun");
        let mut transaction = self.transaction();
        for key in (0..KEYS).map(key) {
            let began = clock.tick();
            let action = read(&client.run(&["GET", &key]));
            transaction.operations.push(Operation { key, action, began, ended: clock.tick() });
        }
        let began = clock.tick();
        let said = client.run(&["AFT.COMMIT"]);
        self.history.push(transaction);
        self.committed(self.history.len() - 1, began, clock.tick(), &said);
    }
}

fn key(number: usize) -> String {
    format!("request:{number}")
}

/// The token of a request, and its state.
fn begin(client: &mut Client, request: &str) -> io::Result<(String, String)> {
    let told = client.call(&["AFT.BEGIN", "REQUEST", request])?;
    match told.items() {
        [token, state, _] => Ok((
            token.text().unwrap_or_else(|| panic!("no token: {told:?}")),
            state.text().unwrap_or_else(|| panic!("no state: {told:?}")),
        )),
        _ => panic!("AFT.BEGIN REQUEST {request}: {told:?}"),
    }
}

fn ok(reply: Reply) {
    assert_eq!(reply, Reply::ok());
}

fn read(reply: &Reply) -> Action {
    let version = reply.text().map(|text| {
        Version::parse(&text).unwrap_or_else(|| panic!("a value that nobody wrote: {text}"))
    });
    assert!(version.is_some() || reply.is_nil(), "{reply:?}");
    Action::Read(version)
}

/// The checker: nothing is in the history that can't be, and the last look found what it must have.
pub(crate) fn check(history: &[Transaction], audit: &Transaction) -> Checked {
    let anomalies = detect(history);
    if !anomalies.is_empty() {
        let shown: Vec<String> = anomalies.iter().take(5).map(ToString::to_string).collect();
        return anomaly(Kind::Torn, format!("{} anomalies: {shown:#?}", anomalies.len()));
    }
    let mut newest: HashMap<&str, (CommitId, &Version)> = HashMap::new();
    for transaction in history {
        assert_ne!(transaction.status, Status::Unknown, "{transaction:?}");
        let Some(id) = transaction.commit.as_ref().and_then(|commit| commit.id) else {
            continue;
        };
        for Operation { key, action, .. } in &transaction.operations {
            if let Action::Write(version) = action
                && newest.get(key.as_str()).is_none_or(|(known, _)| *known <= id)
            {
                newest.insert(key, (id, version));
            }
        }
    }
    for Operation { key, action, .. } in &audit.operations {
        let expected = newest.get(key.as_str()).map(|(_, version)| (*version).clone());
        if *action != Action::Read(expected.clone()) {
            return anomaly(Kind::LostAck, format!("{key}: {action:?}, not {expected:?}"));
        }
    }
    Ok(())
}
