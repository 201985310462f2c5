//! What became of transactions that committed: kept as long as somebody may ask again.
//!
//! An outcome counts as a version does: it belongs to a position, everybody may be told of it
//! once that is acknowledged, and it goes when that is given up. It stands in the log with the
//! commit itself (token, request, result), so no crash can separate the two.

use super::token::Token;
use crate::engine::version::{Position, RECOVERED};
use crate::layout::directory::commit_bytes;
use crate::layout::{Commit, CommitId};
use crate::small_bytes::SmallBytes;
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::collections::VecDeque;
use std::hash::BuildHasher;

/// A transaction that has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The token it was committed with.
    pub token: Token,
    /// Its place in the order of all.
    pub commit: CommitId,
    /// Where it counts from.
    pub position: Position,
    /// Its request and its result; most have neither.
    pub said: Option<Box<Said>>,
}

/// What an outcome says beside the fact.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// The request that it fulfilled.
    pub request: Option<SmallBytes>,
    /// What a retry learns.
    pub result: Option<SmallBytes>,
}

/// What an outcome takes in memory beside its request and result, in bytes.
pub const OUTCOME_BYTES: usize = size_of::<Outcome>() + 32;

impl Outcome {
    /// The request that it fulfilled.
    pub fn request(&self) -> Option<&SmallBytes> {
        self.said.as_ref()?.request.as_ref()
    }

    /// What a retry learns.
    pub fn result(&self) -> Option<&SmallBytes> {
        self.said.as_ref()?.result.as_ref()
    }

    /// What of a stored commit is an outcome, if it is one.
    pub fn of_stored(commit: &Commit<'_>) -> Option<Self> {
        let token = Token::parse(commit.token?)?;
        let said = Said {
            request: commit.request.map(SmallBytes::from),
            result: commit.result.map(SmallBytes::from),
        };
        let said = (said != Said::default()).then(|| Box::new(said));
        Some(Self { token, commit: commit.id, position: RECOVERED, said })
    }

    /// What it takes in a base, in bytes.
    fn stored_bytes(&self) -> usize {
        let [request, result] =
            [self.request(), self.result()].map(|said| said.map(|text| text.len()));
        commit_bytes([Some(self.token.text_bytes()), request, result])
    }

    /// What it takes in memory, in bytes.
    fn bytes(&self) -> usize {
        let said = |said: &Said| {
            let text = |text: &Option<SmallBytes>| text.as_ref().map_or(0, SmallBytes::heap_bytes);
            size_of::<Said>() + text(&said.request) + text(&said.result)
        };
        OUTCOME_BYTES + self.said.as_deref().map_or(0, said)
    }
}

/// All outcomes that are kept, in the order of their commits.
#[derive(Debug)]
pub struct Outcomes {
    kept: VecDeque<Outcome>,
    /// The number of the first in `kept`.
    first: u64,
    /// Numbers of outcomes, by transaction and by request.
    by_id: HashTable<u64>,
    by_request: HashTable<u64>,
    bytes: usize,
    stored_bytes: usize,
    hasher: FixedState,
}

impl Outcomes {
    /// None yet. `seed` keeps clients from choosing request ids that collide.
    pub fn new(seed: u64) -> Self {
        Self {
            kept: VecDeque::new(),
            first: 0,
            by_id: HashTable::new(),
            by_request: HashTable::new(),
            bytes: 0,
            stored_bytes: 0,
            hasher: FixedState::with_seed(seed),
        }
    }

    /// What they take in memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What they take in bases, in bytes.
    pub fn stored_bytes(&self) -> usize {
        self.stored_bytes
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The commit of the oldest.
    pub fn oldest(&self) -> Option<CommitId> {
        self.kept.front().map(|outcome| outcome.commit)
    }

    /// The outcome of a transaction, by any of its tokens.
    pub fn of(&self, token: Token) -> Option<&Outcome> {
        let whole = token.with_part(0);
        let same = |number: &u64| self.at(*number).is_some_and(|k| k.token.with_part(0) == whole);
        self.by_id.find(self.hasher.hash_one(token.id), same).and_then(|number| self.at(*number))
    }

    /// The outcome of a request.
    pub fn of_request(&self, request: &[u8]) -> Option<&Outcome> {
        let same = |number: &u64| {
            self.at(*number).and_then(Outcome::request).is_some_and(|kept| **kept == *request)
        };
        let hash = self.hasher.hash_one(request);
        self.by_request.find(hash, same).and_then(|number| self.at(*number))
    }

    fn at(&self, number: u64) -> Option<&Outcome> {
        self.kept.get((number - self.first) as usize)
    }

    /// Adds the newest.
    pub fn push(&mut self, outcome: Outcome) {
        self.bytes += outcome.bytes();
        self.stored_bytes += outcome.stored_bytes();
        let number = self.first + self.kept.len() as u64;
        let hash = self.hasher.hash_one(outcome.token.id);
        let request = outcome.request().map(|request| self.hasher.hash_one(&**request));
        self.kept.push_back(outcome);
        let Self { kept, first, by_id, by_request, hasher, .. } = self;
        let at = |number: &u64| &kept[(number - *first) as usize];
        by_id.insert_unique(hash, number, |number| hasher.hash_one(at(number).token.id));
        if let Some(hash) = request {
            let of = |number: &u64| at(number).request().map_or(0, |r| hasher.hash_one(&**r));
            // A start may find the request again, from before it was forgotten: the newest counts.
            let same = |earlier: &u64| at(earlier).request() == at(&number).request();
            match by_request.find_mut(hash, same) {
                Some(earlier) => *earlier = number,
                None => _ = by_request.insert_unique(hash, number, of),
            }
        }
    }

    /// Groups behind `last` were given up: what stood in them never happened.
    pub fn fall_back(&mut self, last: Position) {
        while self.kept.back().is_some_and(|newest| newest.position > last) {
            let number = self.first + self.kept.len() as u64 - 1;
            self.unlink(number);
            self.kept.pop_back();
        }
    }

    /// Lets go of those that committed before a time, in milliseconds since the Unix epoch.
    pub fn forget_before(&mut self, time_ms: u64) {
        let until = time_ms << CommitId::COUNTER_BITS;
        while self.kept.front().is_some_and(|oldest| oldest.commit.time < until) {
            self.unlink(self.first);
            self.kept.pop_front();
            self.first += 1;
        }
    }

    fn unlink(&mut self, number: u64) {
        let Some(outcome) = self.at(number) else { return };
        let (bytes, stored_bytes) = (outcome.bytes(), outcome.stored_bytes());
        let hash = self.hasher.hash_one(outcome.token.id);
        let request = outcome.request().map(|request| self.hasher.hash_one(&**request));
        self.bytes -= bytes;
        self.stored_bytes -= stored_bytes;
        if let Ok(found) = self.by_id.find_entry(hash, |at| *at == number) {
            found.remove();
        }
        if let Some(hash) = request
            && let Ok(found) = self.by_request.find_entry(hash, |at| *at == number)
        {
            found.remove();
        }
    }

    /// Adds one that recovery has found; it may find one twice, and in any order.
    pub fn recover(&mut self, outcome: Outcome) {
        if self.of(outcome.token).is_none() {
            self.push(outcome);
        }
    }

    /// Recovery has found them all.
    pub fn sort_recovered(&mut self) {
        let mut kept = std::mem::take(&mut self.kept);
        kept.make_contiguous().sort_unstable_by_key(|outcome| outcome.commit);
        self.by_id.clear();
        self.by_request.clear();
        (self.bytes, self.stored_bytes) = (0, 0);
        kept.into_iter().for_each(|outcome| self.push(outcome));
    }
}
