//! Clients that work as functions do whose platform retries them: in interactive transactions,
//! for a request, in steps, several at once, and with a crash at any point. Whoever takes over
//! knows no more than the request's number.

use crate::client::{BYTES_MAX, Client, FETCHES_MAX, NOWHERE, answer, random_key, random_op};
use crate::history::{Inside, Op, Seen, TxnId};
use crate::mutants::Mutant;
use aft::engine::core::Core;
use aft::engine::core::interactive::{Attempt, Began, Room, Unusable};
use aft::engine::gate::{self, Gate};
use aft::engine::interactive::{Outcome as Kept, Terms, Token};
use aft::layout::Commit;
use aft::transaction::{Finished, ReadError, Transaction, View};
use rand::RngExt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

/// The functions of a request that has some.
const STEPS: [&[u8]; 2] = [b"reserve", b"charge"];

/// There is room for all.
pub(crate) const ROOM: Room =
    Room { open_max: 1 << 20, open_bytes_max: 1 << 30, outcome_bytes_max: 1 << 30 };

pub(crate) const USER: &[u8] = b"default";

/// An attempt, and the token by which somebody works in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    pub(crate) id: TxnId,
    pub(crate) token: Token,
}

/// What a client makes of a request.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    request: Option<usize>,
    step: Option<usize>,
}

/// What BEGIN has come to, before it is told.
enum Start {
    Work(Work),
    StepDone,
    Committed(Kept),
    Refused,
}

/// Which request an id is of.
pub(crate) fn number_of(request: &[u8]) -> Option<usize> {
    std::str::from_utf8(request).ok()?.strip_prefix("request-")?.parse().ok()
}

pub(crate) fn id_of(request: usize) -> String {
    format!("request-{request}")
}

/// Every third request is one of several functions.
fn has_steps(request: usize) -> bool {
    request.is_multiple_of(3)
}

/// The attempt that a commit says that it is of.
pub(crate) fn attempt_of(result: &[u8]) -> Option<TxnId> {
    std::str::from_utf8(result).ok()?.parse().ok()
}

/// What a reply waits for.
pub(crate) enum Waits {
    For(Option<Arc<Gate>>),
    /// An error is answered instead: nothing is told.
    Failed,
}

pub(crate) async fn opened(waits: Waits) -> gate::Outcome {
    match waits {
        Waits::For(Some(gate)) => poll_fn(|context| gate.poll(context)).await,
        Waits::For(None) => gate::Outcome::Durable,
        Waits::Failed => gate::Outcome::Uncertain,
    }
}

pub(crate) fn gate_of(finished: Finished) -> Waits {
    match finished {
        Finished::Done { gate, .. } => Waits::For(gate),
        _ => Waits::Failed,
    }
}

impl Client {
    /// One thing that somebody does with requests.
    pub(crate) async fn work_inside(&mut self) {
        // The snapshot is what is visible, and that must not be older than what was answered.
        self.tell_all().await;
        opened(Waits::For(self.watch_waits_for.take())).await;
        let requests = self.history.lock().unwrap().requests.len();
        match self.rng.random_range(0..10) {
            0..2 => self.join().await,
            2..4 => self.ask_what_became().await,
            4 => self.run_function(Wanted { request: None, step: None }).await,
            5..7 if requests > 0 => {
                // A retry, or a second delivery.
                let request = self.rng.random_range(requests.saturating_sub(6)..requests);
                self.fulfil(request).await;
            }
            _ => {
                self.history.lock().unwrap().requests.push(Vec::new());
                self.fulfil(requests).await;
            }
        }
    }

    async fn fulfil(&mut self, request: usize) {
        if !has_steps(request) {
            return self.run_function(Wanted { request: Some(request), step: None }).await;
        }
        // Each function by itself: the one before may have crashed, or never have been.
        let first = usize::from(self.rng.random_bool(0.2));
        for step in first..STEPS.len() {
            self.run_function(Wanted { request: Some(request), step: Some(step) }).await;
        }
    }

    /// A function from its first line to its last, or to its crash.
    async fn run_function(&mut self, wanted: Wanted) {
        let Some(work) = self.begin(wanted).await else { return };
        for _ in 0..self.rng.random_range(0..5) {
            if !self.go_on(work).await {
                return;
            }
            if self.rng.random_bool(0.05) {
                self.store.hit("inside: functions that crashed");
                return;
            }
        }
        if self.rng.random_bool(0.07) {
            return self.abort(work);
        }
        if wanted.step.is_some_and(|step| step + 1 < STEPS.len()) {
            return self.end_step(work);
        }
        self.commit(work).await;
    }

    /// A little time passes, and a command is run.
    async fn go_on(&mut self, work: Work) -> bool {
        let longest = [self.think_ms_max, 50, 1_000, 4_000][self.rng.random_range(0..4)];
        let pause = self.rng.random_range(0..=longest);
        self.pause(pause).await;
        // Now and then several in one go, as EXEC runs them.
        let count = if self.rng.random_bool(0.2) { self.rng.random_range(2..=4) } else { 1 };
        let ops: Vec<Op> = (0..count).map(|_| self.random_op_inside(work.id)).collect();
        self.run_inside(work, &ops).await
    }

    fn random_op_inside(&mut self, id: TxnId) -> Op {
        let serializable = {
            let history = self.history.lock().unwrap();
            let inside = history.txns[id as usize].inside.as_ref();
            inside.is_some_and(|inside| inside.serializable)
        };
        match random_op(&mut self.rng) {
            // Neither can run inside.
            Op::Flush(_) => Op::Get(random_key(&mut self.rng)),
            Op::Count(_) if serializable => Op::Get(random_key(&mut self.rng)),
            op => op,
        }
    }

    /// Somebody else works in it, too; perhaps one who doesn't know that it is over.
    async fn join(&mut self) {
        let back = self.rng.random_range(1..=6);
        let found = {
            let history = self.history.lock().unwrap();
            let id = history.attempts.iter().rev().nth(back - 1).copied();
            let inside = id.and_then(|id| history.txns[id as usize].inside.as_ref());
            id.zip(inside.map(|inside| inside.newest_token))
        };
        let Some((id, token)) = found else { return };
        let work = Work { id, token };
        for _ in 0..self.rng.random_range(1..=2) {
            if !self.go_on(work).await {
                return;
            }
            self.store.hit("inside: commands of somebody who joined");
        }
    }

    /// AFT.BEGIN
    async fn begin(&mut self, wanted: Wanted) -> Option<Work> {
        let timeout_ms = [200, 2_000, 60_000][self.rng.random_range(0..3)];
        let request = wanted.request.filter(|_| self.mutant != Mutant::ForgetsRequests);
        let terms = Terms {
            user: USER.into(),
            request: request.map(|request| id_of(request).into()),
            serializable: self.rng.random_bool(0.3),
            timeout: Duration::from_millis(timeout_ms),
        };
        let (random, resume) = (self.rng.random(), self.rng.random_bool(0.2));
        let (start, gate) = self.engine.with_core(|core| {
            let fresh = Token { node: core.node(), id: random, part: 0 };
            let step = wanted.step.filter(|_| request.is_some());
            let attempt = Attempt {
                step: step.map(|step| STEPS[step]),
                after: step.and_then(|step| step.checked_sub(1)).map(|before| STEPS[before]),
                resume,
                timeout: None,
            };
            let mut transaction = Transaction::begin(core, View::Visible, BYTES_MAX);
            let core = transaction.core_mut();
            let open = request.and_then(|request| {
                core.interactive().registry.of_request(id_of(request).as_bytes())
            });
            let open = open.map(|open| open.token.id);
            let began = core.begin_interactive(fresh, terms.clone(), attempt, &ROOM);
            let start = self.note_begun(core, began, wanted, &terms, open);
            if let Start::Committed(kept) = &start {
                transaction.depends_on(kept.position);
            }
            (start, gate_of(transaction.finish(&Commit::default())))
        });
        match (start, opened(gate).await) {
            (Start::Work(work), _) => Some(work),
            (Start::Committed(kept), gate::Outcome::Durable) => {
                self.store.hit("inside: retries of what had committed");
                self.told_committed(&kept, wanted.request);
                None
            }
            (Start::StepDone, _) => {
                self.store.hit("inside: retries of steps that were done");
                None
            }
            _ => None,
        }
    }

    /// What a reply to BEGIN means for the history; nothing comes in between.
    fn note_begun(
        &self,
        core: &Core,
        began: Result<Began, Unusable>,
        wanted: Wanted,
        terms: &Terms,
        open_before: Option<u128>,
    ) -> Start {
        let (now, now_ms) = (core.monotonic(), core.now_ms());
        let mut history = self.history.lock().unwrap();
        let token = match began {
            Ok(Began::Begun(token)) => token,
            Ok(Began::Open(token)) => {
                return match history.attempt_with(token) {
                    Some(id) => {
                        if let (Some(_), Some(inside)) =
                            (wanted.step, &mut history.txn_mut(id).inside)
                        {
                            inside.used = now;
                        }
                        Start::Work(Work { id, token })
                    }
                    None => {
                        history.complaints.push(format!("{token} is nobody's"));
                        Start::Refused
                    }
                };
            }
            Ok(Began::Done(..)) => return Start::StepDone,
            Ok(Began::Committed) => {
                let request = wanted.request.map(id_of).unwrap_or_default();
                let kept = core.interactive().outcomes.of_request(request.as_bytes());
                return kept.cloned().map_or(Start::Refused, Start::Committed);
            }
            Err(_) => return Start::Refused,
        };
        let step_of = history.attempt_with(token).filter(|_| wanted.step.is_some());
        let id = step_of.unwrap_or_else(|| {
            if let Some(request) = wanted.request {
                history.rule_out(request, open_before);
            }
            let inside = Inside::new(token, wanted.request, terms, now);
            history.ask_inside(self.life, inside)
        });
        if let Some(step) = wanted.step {
            let txn = history.txn_mut(id);
            let Some(inside) = &mut txn.inside else { return Start::Refused };
            let op = match inside.step {
                Some((newest, false)) if newest == step => Op::TakeBack,
                _ => Op::Mark,
            };
            inside.step = Some((step, false));
            inside.newest_token = token;
            inside.used = now;
            inside.nows_ms.push(now_ms);
            txn.ops.push(op);
            txn.seen.push(Seen::Nothing);
            if op == Op::TakeBack {
                self.store.hit("inside: steps taken back");
            }
        }
        Start::Work(Work { id, token })
    }

    /// Runs commands inside, all or none; `false` if the function can't go on.
    async fn run_inside(&mut self, work: Work, ops: &[Op]) -> bool {
        let mut fetched = Vec::new();
        for _ in 0..FETCHES_MAX {
            let tried = self.engine.with_core(|core| {
                if let Err(unusable) = core.check_token(work.token, USER) {
                    self.turned_away(core, work, &unusable);
                    return Err(unusable);
                }
                core.lend(fetched.clone());
                let finished = self.try_inside(core, work, ops);
                core.keep_lent();
                Ok(finished)
            });
            match tried {
                Err(_) => return false,
                Ok(Finished::Done { gate, .. }) => {
                    if opened(Waits::For(gate)).await == gate::Outcome::Durable {
                        return true;
                    }
                    // What it answered nobody has been told.
                    let mut history = self.history.lock().unwrap();
                    if let Some(inside) = &mut history.txn_mut(work.id).inside {
                        inside.unsure = true;
                    }
                    return false;
                }
                Ok(Finished::Fetch(missing)) => match self.engine.fetch(&missing).await {
                    Ok(values) => fetched.extend(values),
                    Err(_) => {
                        self.could_not_fetch(&missing);
                        return false;
                    }
                },
                Ok(Finished::ExpiryUnknown(_)) => return false,
                Ok(other) => {
                    self.complain(&format!("a command inside: {other:?}"));
                    return false;
                }
            }
        }
        self.complain(NOWHERE);
        false
    }

    fn try_inside(&self, core: &mut Core, work: Work, ops: &[Op]) -> Finished {
        let mut transaction = Transaction::begin(core, View::Visible, BYTES_MAX);
        if !transaction.enter(work.token, ROOM.open_bytes_max) {
            self.complain("an open transaction can't be entered");
        }
        let first = self.history.lock().unwrap().txn_mut(work.id).ops.len();
        let now_ms = transaction.now_ms();
        let mut seen = Vec::new();
        for (at, op) in (first..).zip(ops) {
            let to_write = op.writes_or_reads_to_write();
            transaction.reads_to_write(to_write && self.mutant != Mutant::ForgetsWhatWasRead);
            match answer(&mut transaction, work.id, at, *op) {
                Ok(answered) => seen.push(answered),
                // It runs again.
                Err(ReadError::Missing) => seen.push(Seen::Nothing),
                Err(ReadError::Lost) => self.complain("a value inside is lost"),
            }
        }
        let finished = transaction.finish(&Commit::default());
        if !matches!(finished, Finished::Done { .. }) {
            return finished;
        }
        let open = core.interactive().registry.get(work.token.id);
        let pin = open.and_then(|open| open.snapshot.as_ref()).map(|pinned| pinned.pin);
        match (pin, self.mutant) {
            (Some(pin), Mutant::LetsGoOfSnapshots) => core.let_go(pin),
            (Some(_), Mutant::HoldsSnapshotsForEver) => _ = core.hold(),
            _ => {}
        }
        let used = core.monotonic();
        let mut history = self.history.lock().unwrap();
        let tick = history.tick();
        let txn = history.txn_mut(work.id);
        txn.ops.extend(ops);
        txn.seen.extend(seen);
        if let (None, Some((_, pinned_ms))) = (txn.pinned, pin) {
            txn.pinned = Some(tick);
            txn.now_ms = pinned_ms;
        }
        if let Some(inside) = &mut txn.inside {
            inside.nows_ms.extend(ops.iter().map(|_| now_ms));
            inside.used = used;
            if inside.over {
                history.complaints.push(format!("t{} goes on although it is over", work.id));
            }
        }
        finished
    }

    /// Somebody is told that he can't work there: that has to have a reason.
    pub(crate) fn turned_away(&self, core: &Core, work: Work, unusable: &Unusable) {
        let now = core.monotonic();
        let mut history = self.history.lock().unwrap();
        let txn = history.txn_mut(work.id);
        let Some(inside) = &mut txn.inside else { return };
        let idle = now.saturating_sub(inside.used);
        let own_part = inside.newest_token.part == work.token.part;
        let what = match unusable {
            Unusable::Stale if inside.fenced || !own_part => "inside: zombies turned away",
            Unusable::StepDone if inside.step.is_none_or(|(_, done)| done) || !own_part => return,
            Unusable::NotOpen if inside.over && !inside.fenced || txn.life < self.life => return,
            Unusable::NotOpen if !inside.over && idle >= inside.timeout => {
                history.tell_never(work.id);
                "inside: timeouts"
            }
            other => {
                let complaint = format!("{other:?} after {idle:?} to {txn}");
                history.complaints.push(complaint);
                return;
            }
        };
        self.store.hit(what);
    }
}
