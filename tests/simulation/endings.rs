//! How interactive transactions end, and what is told of that: at COMMIT, when it is repeated, and
//! to whoever asks later, in this life of the node or a later one.

use crate::client::{BYTES_MAX, Client};
use crate::history::{Outcome, Told, TxnId};
use crate::inside::{ROOM, USER, Waits, Work, attempt_of, gate_of, id_of, number_of, opened};
use crate::mutants::Mutant;
use aft::engine::core::Core;
use aft::engine::core::interactive::Unusable;
use aft::engine::gate;
use aft::engine::interactive::Outcome as Kept;
use aft::layout::Commit;
use aft::transaction::{NotCommitted, Transaction, View};
use rand::RngExt;

/// What COMMIT has come to, before it is told.
enum Ended {
    Committed,
    Known(Kept),
    Conflict,
    NotOpen,
    /// It is open still.
    Open,
}

impl Client {
    pub(crate) fn end_step(&self, work: Work) {
        self.engine.with_core(|core| {
            if core.check_token(work.token, USER).is_err() {
                return;
            }
            core.end_step(work.token, Some(b"fine"), ROOM.open_bytes_max);
            let used = core.monotonic();
            let mut history = self.history.lock().unwrap();
            if let Some(inside) = &mut history.txn_mut(work.id).inside {
                inside.step = inside.step.map(|(step, _)| (step, true));
                inside.used = used;
            }
        });
    }

    pub(crate) fn abort(&self, work: Work) {
        let aborted = self.engine.with_core(|core| {
            let may = core.check_token(work.token, USER).is_ok();
            may && core.abort_interactive(work.token.id)
        });
        if aborted {
            self.store.hit("inside: aborts");
            self.over(work.id, Outcome::NotCommitted, Some(Told::Never));
        }
    }

    fn over(&self, id: TxnId, outcome: Outcome, told: Option<Told>) {
        let mut history = self.history.lock().unwrap();
        history.tell(id, outcome);
        if let Some(inside) = &mut history.txn_mut(id).inside {
            inside.over = true;
            inside.told = told.or(inside.told);
        }
    }

    /// AFT.COMMIT, again and again until it is known what became of it.
    pub(crate) async fn commit(&mut self, work: Work) {
        const TRIES: usize = 4;
        for _ in 0..TRIES {
            let (ended, gate) = self.engine.with_core(|core| self.try_commit(core, work));
            let opened = match self.mutant {
                Mutant::TellsEarly => gate::Outcome::Durable,
                _ => opened(gate).await,
            };
            match (ended, opened) {
                (Ended::Committed, gate::Outcome::Durable) => {
                    self.store.hit("inside: commits");
                    return self.over(work.id, Outcome::Done, None);
                }
                (Ended::Committed, gate::Outcome::NotCommitted) => {
                    return self.over(work.id, Outcome::NotCommitted, None);
                }
                (Ended::Committed, _) => self.over(work.id, Outcome::Uncertain, None),
                (Ended::Known(kept), gate::Outcome::Durable) => {
                    self.store.hit("inside: commits asked for again");
                    return self.told_committed(&kept, None);
                }
                (Ended::Conflict, gate::Outcome::Durable) => {
                    self.store.hit("inside: conflicts");
                    return self.over(work.id, Outcome::NotCommitted, Some(Told::Never));
                }
                (Ended::NotOpen, _) => return,
                (Ended::Known(_) | Ended::Conflict | Ended::Open, _) => {}
            }
            self.pause(200).await;
        }
    }

    fn try_commit(&self, core: &mut Core, work: Work) -> (Ended, Waits) {
        let kept = core.interactive().outcomes.of(work.token).cloned();
        let unusable = core.check_token(work.token, USER).err();
        if let (None, Some(unusable)) = (&kept, &unusable) {
            self.turned_away(core, work, unusable);
            // To a COMMIT that means that it certainly has not committed.
            if *unusable == Unusable::NotOpen {
                self.history.lock().unwrap().tell_never(work.id);
            }
            return (Ended::NotOpen, Waits::For(None));
        }
        let commit_ms = core.now_ms();
        let mut transaction = Transaction::begin(core, View::Visible, BYTES_MAX);
        let ended = match kept {
            Some(kept) => {
                transaction.depends_on(kept.position);
                Ended::Known(kept)
            }
            None => {
                let result = work.id.to_string();
                let result = Some(result.as_bytes());
                let room = ROOM.outcome_bytes_max;
                match transaction.commit_interactive(work.token, result, room) {
                    Ok(_) => Ended::Committed,
                    Err(NotCommitted::Conflict(_)) => Ended::Conflict,
                    Err(NotCommitted::NotOpen) => Ended::NotOpen,
                    Err(NotCommitted::Refused(_) | NotCommitted::Unfinished(_)) => Ended::Open,
                    Err(NotCommitted::TooLarge) => {
                        self.complain("a commit is too large");
                        Ended::Open
                    }
                }
            }
        };
        let gate = gate_of(transaction.finish(&Commit::default()));
        let used = core.monotonic();
        let mut history = self.history.lock().unwrap();
        if let Some(inside) = &mut history.txn_mut(work.id).inside {
            match ended {
                Ended::Committed | Ended::Conflict => {
                    inside.over = true;
                    inside.commit_ms = commit_ms;
                    inside.conflict = matches!(ended, Ended::Conflict);
                }
                Ended::Open => inside.used = used,
                Ended::Known(_) | Ended::NotOpen => {}
            }
        }
        (ended, gate)
    }

    /// AFT.STATUS of a request, or of a token of an earlier time.
    pub(crate) async fn ask_what_became(&mut self) {
        let attempts = self.history.lock().unwrap().attempts.clone();
        let Some(newest) = attempts.len().checked_sub(1) else { return };
        let id = attempts[self.rng.random_range(newest.saturating_sub(12)..=newest)];
        let by_request = self.rng.random_bool(0.5);
        let (kept, gate) = self.engine.with_core(|core| {
            let mut history = self.history.lock().unwrap();
            let Some(inside) = &history.txns[id as usize].inside else {
                return (None, Waits::For(None));
            };
            let interactive = core.interactive();
            let request = inside.request.filter(|_| by_request);
            let kept = match request {
                Some(request) => interactive.outcomes.of_request(id_of(request).as_bytes()),
                None => interactive.outcomes.of(inside.newest_token),
            };
            let kept = kept.cloned();
            let open = interactive.registry.get(inside.newest_token.id).is_some();
            if kept.is_none() && !open {
                history.tell_never(id);
            }
            drop(history);
            let mut transaction = Transaction::begin(core, View::Visible, BYTES_MAX);
            if let Some(kept) = &kept {
                transaction.depends_on(kept.position);
            }
            (kept, gate_of(transaction.finish(&Commit::default())))
        });
        let durable = opened(gate).await == gate::Outcome::Durable;
        if let (Some(kept), true) = (kept, durable) {
            self.store.hit("inside: told what had committed");
            self.told_committed(&kept, None);
        }
    }

    /// An outcome was told: it stands for ever, and is of the attempt that it names.
    pub(crate) fn told_committed(&self, kept: &Kept, request: Option<usize>) {
        let mut history = self.history.lock().unwrap();
        let id = kept.result().and_then(|result| attempt_of(result));
        let life = self.life;
        let txn = id.and_then(|id| history.txns.get_mut(id as usize));
        let Some((of_life, inside)) = txn.and_then(|txn| Some((txn.life, txn.inside.as_mut()?)))
        else {
            history.complaints.push(format!("nobody's outcome: {kept:?}"));
            return;
        };
        let of_request = kept.request().and_then(|request| number_of(request));
        let same = inside.newest_token.id == kept.token.id
            && inside.request == of_request
            && (request.is_none() || request == of_request);
        if of_life < life {
            self.store.hit("inside: told after a restart what had committed");
        }
        let committed = Told::Committed(kept.commit);
        let told = inside.told.replace(committed);
        if !same || told.is_some_and(|told| told != committed) {
            history.complaints.push(format!("{kept:?}, where {told:?} was told before"));
        }
    }
}
