//! Histories as a store with snapshots gives them: transactions of several sessions at the same time,
//! some of which fail and are tried again.

pub(crate) use crate::history_support::record::Status;
use crate::history_support::record::{
    Action, Commit, CommitId, Operation, Tick, Transaction, Version,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::HashMap;

const SESSIONS: usize = 4;
const REQUESTS: usize = 40;
const KEYS: usize = 6;

/// What a transaction found where it read.
pub(crate) fn reads(transaction: &Transaction) -> impl Iterator<Item = Option<&Version>> {
    transaction.operations.iter().filter_map(|operation| match &operation.action {
        Action::Read(seen) => Some(seen.as_ref()),
        Action::Write(_) => None,
    })
}

type Data = HashMap<String, Version>;

/// An attempt that is under way.
struct Open {
    transaction: Transaction,
    /// Keys, and whether they are written.
    plan: Vec<(String, bool)>,
    snapshot: Option<Data>,
    own: Data,
    fails_at: Option<usize>,
}

struct World {
    rng: StdRng,
    tick: Tick,
    data: Data,
    requests: usize,
    history: Vec<Transaction>,
}

/// The history of a seed.
pub(crate) fn history(seed: u64) -> Vec<Transaction> {
    let rng = StdRng::seed_from_u64(seed);
    let mut world = World { rng, tick: 0, data: Data::new(), requests: 0, history: Vec::new() };
    let mut sessions: Vec<Option<Open>> = (0..SESSIONS).map(|_| None).collect();
    while world.requests < REQUESTS || sessions.iter().any(Option::is_some) {
        let session = world.rng.random_range(0..SESSIONS);
        sessions[session] = match sessions[session].take() {
            None if world.requests < REQUESTS => Some(world.begin(session)),
            None => None,
            Some(open) => world.go_on(open),
        };
    }
    world.history
}

impl World {
    fn begin(&mut self, session: usize) -> Open {
        self.requests += 1;
        let request = self.requests.to_string();
        let count = self.rng.random_range(1..7);
        let plan = (0..count).map(|_| {
            (format!("key:{}", self.rng.random_range(0..KEYS)), self.rng.random_bool(0.4))
        });
        let plan = plan.collect();
        self.attempt(session.to_string(), &request, 1, plan)
    }

    fn attempt(
        &mut self,
        session: String,
        request: &str,
        n: u32,
        plan: Vec<(String, bool)>,
    ) -> Open {
        let fails = self.rng.random_bool(0.2);
        let fails_at = fails.then(|| self.rng.random_range(0..=plan.len()));
        let transaction = Transaction {
            run: "honest".to_owned(),
            session,
            id: format!("{request}.{n}"),
            request: request.to_owned(),
            status: Status::Aborted,
            commit: None,
            operations: Vec::new(),
        };
        Open { transaction, plan, snapshot: None, own: Data::new(), fails_at }
    }

    fn tick(&mut self) -> Tick {
        self.tick += 1;
        self.tick
    }

    /// The next operation, or the end; what is then under way.
    fn go_on(&mut self, mut open: Open) -> Option<Open> {
        let at = open.transaction.operations.len();
        if open.fails_at == Some(at) {
            return Some(self.retry(open));
        }
        let Some((key, writes)) = open.plan.get(at).cloned() else {
            self.commit(open);
            return None;
        };
        let began = self.tick();
        let action = if writes {
            let planned = open.plan.iter().filter(|(_, writes)| *writes);
            let keys = planned.map(|(key, _)| key.clone()).collect();
            let version = Version { writer: open.transaction.id.clone(), number: at, keys };
            open.own.insert(key.clone(), version.clone());
            Action::Write(version)
        } else {
            let snapshot = open.snapshot.get_or_insert_with(|| self.data.clone());
            Action::Read(open.own.get(&key).or_else(|| snapshot.get(&key)).cloned())
        };
        let ended = self.tick();
        open.transaction.operations.push(Operation { key, action, began, ended });
        Some(open)
    }

    fn retry(&mut self, open: Open) -> Open {
        let Open { transaction, plan, .. } = open;
        let (session, request) = (transaction.session.clone(), transaction.request.clone());
        let n = transaction.id.rsplit_once('.').unwrap().1.parse::<u32>().unwrap() + 1;
        self.history.push(transaction);
        self.attempt(session, &request, n, plan)
    }

    /// Of some commits it is known in which order they were, of others only when.
    fn commit(&mut self, mut open: Open) {
        let began = self.tick();
        let id = self.rng.random_bool(0.7).then_some(CommitId(began / 10, began % 10, 1));
        self.data.extend(open.own);
        let ended = self.tick();
        open.transaction.status = Status::Committed;
        open.transaction.commit = Some(Commit { began, ended, id });
        self.history.push(open.transaction);
    }
}
