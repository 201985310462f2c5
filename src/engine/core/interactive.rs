//! Interactive transactions as the sequencer knows them: begun, at work, ended.
//!
//! What a commit has to be true for is looked at in `transaction/inside.rs`, where reads are.

use super::super::interactive::resend::{Answered, Limits, Resends, Tail};
use super::super::interactive::steps::Stepped;
use super::super::interactive::{
    Open, Outcome, Outcomes, Pinned, Refusal, Refusals, Registry, Said, Standing, Terms, Token,
    reserved_bytes,
};
use super::super::version::Position;
use super::{Core, Refused};
use crate::layout::{Commit, CommitId};
use crate::small_bytes::SmallBytes;
use std::sync::Arc;
use std::time::Duration;

/// Open transactions, and what has become of others.
#[derive(Debug)]
pub struct Interactive {
    /// Those that are open.
    pub registry: Registry,
    /// Those that have committed.
    pub outcomes: Outcomes,
    /// Why some have not.
    pub refusals: Refusals,
}

/// How a request, or one of its steps, is begun.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// The step's name.
    pub step: Option<&'a [u8]>,
    /// The step that must be done before.
    pub after: Option<&'a [u8]>,
    /// What an earlier attempt did stands.
    pub resume: bool,
    /// From now on it is aborted when nobody has used it for so long, if it goes on.
    pub timeout: Option<Duration>,
}

/// How many transactions there may be, and what they may take.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Open ones.
    pub open_max: usize,
    /// What all open ones take, in bytes.
    pub open_bytes_max: usize,
    /// What all outcomes take, in bytes.
    pub outcome_bytes_max: usize,
}

/// What a BEGIN has come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Began {
    /// A transaction or a step begins.
    Begun(Token),
    /// It goes on.
    Open(Token),
    /// The step was done, with this result.
    Done(Token, Option<SmallBytes>),
    /// The request has committed: an outcome tells of it.
    Committed,
}

/// What a DONE has come to.
#[derive(Debug, PartialEq, Eq)]
pub enum StepEnd {
    /// The step is done.
    Done,
    /// The token is of none.
    NoStep,
    /// It is not: open transactions hold too much for its result.
    NoRoom,
}

/// Why there is no such transaction to work with.
#[derive(Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It isn't open.
    NotOpen,
    /// Its step is done.
    StepDone,
    /// A later attempt has taken its place.
    Stale,
    /// It is another user's.
    Foreign,
    /// What was written can't be taken back without what others wrote.
    Entangled,
    /// It was begun on other terms.
    OtherTerms,
    /// There are too many, or they hold too much.
    Full(&'static str),
}

impl Core {
    /// Open transactions and outcomes.
    pub fn interactive(&self) -> &Interactive {
        &self.interactive
    }

    /// Remembers why a COMMIT was refused.
    pub fn note_refusal(&mut self, refusal: Refusal) {
        self.interactive.refusals.note(refusal);
    }

    /// Begins a transaction, or finds that of its request. `fresh` is the token of a new one.
    ///
    /// # Errors
    /// Nothing was begun.
    pub fn begin_interactive(
        &mut self,
        fresh: Token,
        terms: Terms,
        attempt: Attempt<'_>,
        room: &Room,
    ) -> Result<Began, Unusable> {
        let open = match &terms.request {
            None => None,
            Some(request) if self.interactive.outcomes.of_request(request).is_some() => {
                return Ok(Began::Committed);
            }
            Some(request) => self.interactive.registry.of_request(request),
        };
        match open {
            Some(open) => {
                let (id, token) = (open.token.id, open.token);
                if open.terms.user != terms.user {
                    return Err(Unusable::Foreign);
                }
                let goes_on = attempt.step.is_some() || attempt.resume;
                if goes_on && terms.serializable && !open.terms.serializable {
                    return Err(Unusable::OtherTerms);
                }
                if let Some(step) = attempt.step {
                    let full = self.interactive.registry.bytes() >= room.open_bytes_max;
                    if full && !open.steps.has(step) {
                        return Err(Unusable::Full("transactions-bytes-max"));
                    }
                    return self.begin_step(id, attempt);
                }
                if attempt.resume {
                    self.use_interactive(id, attempt.timeout);
                    return Ok(Began::Open(token));
                }
                self.check_room(&terms, room, Some(open))?;
                self.abort_interactive(id);
                self.interactive.registry.fence(id);
            }
            None if attempt.after.is_some() => return Err(Unusable::NotOpen),
            None => self.check_room(&terms, room, None)?,
        }
        let now = self.monotonic();
        self.interactive.registry.begin(fresh, terms, now);
        match attempt.step {
            None => Ok(Began::Begun(fresh)),
            Some(_) => self.begin_step(fresh.id, attempt),
        }
    }

    /// Somebody goes on with a transaction, perhaps for longer than it was begun for.
    fn use_interactive(&mut self, id: u128, timeout: Option<Duration>) {
        let now = self.monotonic();
        self.interactive.registry.touch(id, now, timeout);
    }

    fn begin_step(&mut self, id: u128, attempt: Attempt<'_>) -> Result<Began, Unusable> {
        let Some(mut open) = self.interactive.registry.take(id) else {
            return Err(Unusable::NotOpen);
        };
        let token = open.token;
        let step = attempt.step.unwrap_or_default();
        let began = match open.steps.begin(step, attempt.after, attempt.resume) {
            Stepped::Begun { part, again } => {
                if let Some(earlier) = again {
                    open.writes.take_back_to(0);
                    open.tails.drop_of(earlier);
                }
                open.writes.clear_journal();
                Ok(Began::Begun(token.with_part(part)))
            }
            Stepped::Open(part) => Ok(Began::Open(token.with_part(part))),
            Stepped::Done(part, result) => Ok(Began::Done(token.with_part(part), result)),
            Stepped::TooEarly => Err(Unusable::NotOpen),
            Stepped::Conflict => Err(Unusable::Entangled),
        };
        self.interactive.registry.put_back(open);
        if began.is_ok() {
            self.use_interactive(id, attempt.timeout);
        }
        began
    }

    /// Whether one more may begin, in the place of another that ends for it.
    fn check_room(&self, terms: &Terms, room: &Room, ends: Option<&Open>) -> Result<(), Unusable> {
        let Interactive { registry, outcomes, .. } = &self.interactive;
        if registry.len() - usize::from(ends.is_some()) >= room.open_max {
            return Err(Unusable::Full("transactions-max"));
        }
        if registry.bytes() - ends.map_or(0, Open::bytes) >= room.open_bytes_max {
            return Err(Unusable::Full("transactions-bytes-max"));
        }
        // What is promised to those who have begun is not given away a second time; who comes
        // again for the same request has it already.
        let request = terms.request.as_ref().map(SmallBytes::as_slice);
        let kept = outcomes.bytes() + registry.reserved_bytes() + reserved_bytes(request);
        if ends.is_none() && kept > room.outcome_bytes_max {
            return Err(Unusable::Full("outcomes-bytes-max"));
        }
        Ok(())
    }

    /// Whether a user may work with a token.
    ///
    /// # Errors
    /// Why not.
    pub fn check_token(&self, token: Token, user: &[u8]) -> Result<(), Unusable> {
        self.usable(token, user).map(|_| ())
    }

    /// The open transaction that a user may work in with a token.
    ///
    /// # Errors
    /// Why not.
    pub fn usable(&self, token: Token, user: &[u8]) -> Result<&Open, Unusable> {
        let (standing, open) = self.interactive.registry.look_up(token);
        let standing = match standing {
            Standing::Stale => return Err(Unusable::Stale),
            Standing::Unknown => return Err(Unusable::NotOpen),
            Standing::Open => Ok(()),
            Standing::Done => Err(Unusable::StepDone),
        };
        let open = open.filter(|open| *open.terms.user == *user).ok_or(Unusable::Foreign)?;
        standing.map(|()| open)
    }

    /// Takes a transaction out of the registry.
    pub fn take_interactive(&mut self, token: Token) -> Option<Box<Open>> {
        self.interactive.registry.take(token.id)
    }

    /// Puts it back, used just now.
    pub fn put_back_interactive(&mut self, mut open: Box<Open>) {
        open.used = self.monotonic();
        self.interactive.registry.put_back(open);
    }

    /// A snapshot for an open transaction.
    pub fn pin_interactive(&mut self) -> Pinned {
        let visible = self.visible();
        let count = |database| {
            let keys = self.live_keys(database, visible);
            (keys > 0).then(|| (database, keys + self.reaped_keys(database, visible)))
        };
        let keys = (0..self.databases()).filter_map(count).collect();
        Pinned { pin: self.hold(), keys }
    }

    /// Ends a transaction that was taken out: nothing that it wrote happens.
    pub fn end_interactive(&mut self, open: &Open) {
        self.interactive.registry.end(open);
        if let Some(pinned) = &open.snapshot {
            self.let_go(pinned.pin);
        }
    }

    /// Ends a transaction: nothing that it wrote happens. `false` if it isn't open.
    pub fn abort_interactive(&mut self, id: u128) -> bool {
        let Some(open) = self.interactive.registry.take(id) else {
            return false;
        };
        self.end_interactive(&open);
        true
    }

    /// Ends a step. All open transactions may take `all_bytes_max` bytes.
    pub fn end_step(
        &mut self,
        token: Token,
        result: Option<&[u8]>,
        all_bytes_max: usize,
    ) -> StepEnd {
        let registry = &mut self.interactive.registry;
        let all_bytes = registry.bytes() + result.map_or(0, <[u8]>::len);
        // Who says it again brings nothing new.
        let is_new = result.is_some() && registry.standing(token) == Standing::Open;
        if is_new && all_bytes > all_bytes_max {
            return StepEnd::NoRoom;
        }
        let Some(mut open) = registry.take(token.id) else {
            return StepEnd::NoStep;
        };
        let ended = open.steps.end(token.part, result);
        if !open.steps.newest_is_open() {
            open.writes.clear_journal();
        }
        self.put_back_interactive(open);
        if ended { StepEnd::Done } else { StepEnd::NoStep }
    }

    /// Leaves with a transaction what one of its connections may not have heard. All that are open
    /// may take `all_bytes_max` bytes.
    pub fn leave_tail(&mut self, token: Token, tail: Tail, limits: &Limits, all_bytes_max: usize) {
        let now = self.monotonic();
        let registry = &mut self.interactive.registry;
        if registry.standing(token) == Standing::Stale || registry.bytes() >= all_bytes_max {
            return;
        }
        if let Some(mut open) = registry.take(token.id) {
            open.tails.leave(tail, now, limits);
            registry.put_back(open);
        }
    }

    /// The connection has heard it after all.
    pub fn take_tail_back(&mut self, token: Token, client: u64) {
        let registry = &mut self.interactive.registry;
        if let Some(mut open) = registry.take(token.id) {
            open.tails.take_back(client);
            registry.put_back(open);
        }
    }

    /// See [`Registry::wait`](super::super::interactive::Registry::wait).
    pub fn wait_interactive(&mut self, token: Token) -> Option<Arc<()>> {
        self.interactive.registry.wait(token.id)
    }

    /// Whether a user may hear again what was answered to somebody with a token: also when its
    /// step is done.
    pub fn may_hear_again(&self, token: Token, user: &[u8]) -> bool {
        matches!(self.check_token(token, user), Ok(()) | Err(Unusable::StepDone))
    }

    /// What is to be done about a command of a bound connection that was answered before.
    pub fn find_answered(
        &mut self,
        resends: &mut Resends,
        database: u8,
        args: &[&[u8]],
        gives_up: bool,
    ) -> Option<Answered> {
        if resends.is_over() {
            return None;
        }
        let now = self.monotonic();
        let registry = &mut self.interactive.registry;
        if registry.get(resends.token.id).is_none_or(|open| open.tails.is_empty()) {
            return resends.find(None, now, database, args, gives_up);
        }
        let mut open = registry.take(resends.token.id)?;
        let found = resends.find(Some(&mut open.tails), now, database, args, gives_up);
        registry.put_back(open);
        found
    }

    /// Commits a transaction that was taken out, and of which everything holds that its commit
    /// depends on.
    ///
    /// # Errors
    /// The node takes no writes: nothing happened, and it is open still.
    pub fn commit_interactive(
        &mut self,
        mut open: Box<Open>,
        token: Token,
        result: Option<&[u8]>,
    ) -> Result<(CommitId, Position), Refused> {
        if let Some(why) = self.takes_no_writes() {
            self.put_back_interactive(open);
            return Err(Refused(why));
        }
        let text = token.to_string();
        let request = open.terms.request.clone();
        let meta = Commit {
            token: Some(text.as_bytes()),
            request: request.as_deref(),
            result,
            ..Commit::default()
        };
        let (commit, position) = self.commit(&mut std::mem::take(&mut open.writes), &meta)?;
        self.end_interactive(&open);
        let said = Said { request, result: result.map(SmallBytes::from) };
        let said = (said != Said::default()).then(|| Box::new(said));
        self.interactive.outcomes.push(Outcome { token, commit, position, said });
        Ok((commit, position))
    }

    /// Aborts transactions that nobody has used for too long, at most `limit`, and forgets
    /// outcomes older than `keep`. Says whether there may be more.
    pub fn tidy_interactive(&mut self, keep: Duration, limit: usize) -> bool {
        let now = self.monotonic();
        let keep_ms = u64::try_from(keep.as_millis()).unwrap_or(u64::MAX);
        self.interactive.outcomes.forget_before(self.now_ms().saturating_sub(keep_ms));
        for _ in 0..limit {
            let Some(open) = self.interactive.registry.take_idle(now) else {
                return false;
            };
            tracing::debug!(token = %open.token, "aborted: nobody has used it for too long");
            self.end_interactive(&open);
        }
        true
    }

    /// Notes what recovery has read, in order.
    pub fn recover_outcomes(&mut self, recovered: impl Iterator<Item = Outcome>) {
        recovered.for_each(|outcome| self.interactive.outcomes.recover(outcome));
    }
}
