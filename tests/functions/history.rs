//! What deliveries wrote and onlookers saw, as a history: for the detector of anomalies, and for
//! other checkers (docs/history-format.md). Of the seven keys of a request two hold a text of the
//! matrix's own choice, so these tell who wrote them; the others are counters, lists and marks.

use std::collections::HashMap;

use crate::common::client::Client;
use crate::history_support::record::{
    Action, Commit, CommitId, Operation, Status, Tick, Transaction, Version,
};

/// The keys whose values are versions.
pub(crate) const VERSIONED: [&str; 2] = ["reserved", "order"];

#[derive(Default)]
pub(crate) struct History {
    now: Tick,
    /// By what the tokens of one have in common.
    at: HashMap<String, usize>,
    pub(crate) transactions: Vec<Transaction>,
}

/// The same for all steps of a transaction: the number of the node and 22 digits.
fn whole(token: &str) -> &str {
    let node = token.find('-').map_or(0, |at| at + 1);
    &token[..token.len().min(node + 22)]
}

impl History {
    fn tick(&mut self) -> Tick {
        self.now += 1;
        self.now
    }

    fn begin(&mut self, session: &str, request: &str) -> usize {
        let attempts = self.transactions.iter().filter(|one| one.request == request).count();
        self.transactions.push(Transaction {
            run: "aft, accidents at every moment".to_owned(),
            session: session.to_owned(),
            id: format!("{request}.{}", attempts + 1),
            request: request.to_owned(),
            status: Status::Aborted,
            commit: None,
            operations: Vec::new(),
        });
        self.transactions.len() - 1
    }

    /// For who works in no transaction.
    pub(crate) fn no_token(&mut self) -> String {
        format!("0-{:022}", self.tick())
    }

    /// Without a transaction it counts when it is at its end.
    pub(crate) fn done(&mut self, token: &str) {
        self.transactions[self.at[whole(token)]].status = Status::Committed;
    }

    /// Who works with this token writes a key of its request: what it has to write there. That is noted
    /// before it is sent, whatever becomes of it.
    pub(crate) fn write(&mut self, token: &str, request: &str, key: &str) -> String {
        let token = whole(token);
        let at = self.at.get(token).copied().unwrap_or_else(|| self.begin(request, request));
        self.at.insert(token.to_owned(), at);
        let (began, ended) = (self.tick(), self.tick());
        let Transaction { id, operations, .. } = &mut self.transactions[at];
        let keys = VERSIONED.map(|name| format!("{request}:{name}")).to_vec();
        let version = Version { writer: id.clone(), number: operations.len(), keys };
        let text = version.to_string();
        operations.push(Operation {
            key: key.to_owned(),
            action: Action::Write(version),
            began,
            ended,
        });
        text
    }

    /// Somebody has looked at both keys of a request at one instant.
    pub(crate) fn look(&mut self, request: &str, seen: [Option<&str>; 2]) {
        let at = self.begin("onlooker", &format!("look-{}", self.now));
        let (began, ended) = (self.tick(), self.tick());
        let operations = VERSIONED.iter().zip(seen).map(|(name, seen)| {
            let version = |text: &str| Version::parse(text).unwrap_or_else(|| panic!("{text}"));
            let action = Action::Read(seen.map(version));
            Operation { key: format!("{request}:{name}"), action, began, ended }
        });
        let look = &mut self.transactions[at];
        look.operations = operations.collect();
        (look.status, look.commit) = (Status::Committed, Some(Commit { began, ended, id: None }));
    }

    /// The request is said to have committed with this token.
    pub(crate) fn committed(&mut self, client: &mut Client, token: &str) {
        let id = client.run(&["AFT.COMMIT", token]).text();
        let id = id.and_then(|id| CommitId::parse(&id)).expect("a commit id");
        let ended = self.tick();
        let at = self.at[whole(token)];
        let transaction = &mut self.transactions[at];
        let began = transaction.operations.last().map_or(0, |operation| operation.ended);
        transaction.status = Status::Committed;
        transaction.commit.get_or_insert(Commit { began, ended, id: Some(id) });
    }
}
