//! Why commits were refused, for the person who wonders: the newest only.

use super::token::{Token, TransactionId};
use crate::engine::version::Position;
use crate::small_bytes::SmallBytes;
use foldhash::fast::FixedState;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// A COMMIT that was refused.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The token that it came with.
    pub token: Token,
    /// Whose transaction it was.
    pub user: Arc<[u8]>,
    /// The request that it would have fulfilled.
    pub request: Option<SmallBytes>,
    /// As it was told.
    pub why: String,
    /// It has ended the transaction; others stay open, and may commit later.
    pub ended: bool,
    /// When, on the monotonic clock.
    pub at: Duration,
    /// It depends on what had been written up to there.
    pub position: Position,
}

/// The newest of all, one of each transaction.
#[derive(Debug)]
pub struct Refusals {
    kept: HashMap<TransactionId, Refusal, FixedState>,
    by_request: HashMap<SmallBytes, TransactionId, FixedState>,
    order: VecDeque<TransactionId>,
}

impl Refusals {
    /// With the longest ids of requests and names of keys they take some megabytes.
    const COUNT_MAX: usize = 1000;

    /// None yet.
    pub fn new(seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Self {
            kept: HashMap::with_hasher(hasher.clone()),
            by_request: HashMap::with_hasher(hasher),
            order: VecDeque::new(),
        }
    }

    /// The newest.
    pub fn note(&mut self, refusal: Refusal) {
        let id = refusal.token.id;
        if let Some(request) = &refusal.request {
            self.by_request.insert(request.clone(), id);
        }
        if self.kept.insert(id, refusal).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > Self::COUNT_MAX
            && let Some(oldest) = self.order.pop_front()
            && let Some(Refusal { request: Some(request), .. }) = self.kept.remove(&oldest)
            && self.by_request.get(&request) == Some(&oldest)
        {
            self.by_request.remove(&request);
        }
    }

    /// Groups behind `last` were given up: what was refused for what stood in them may be told to
    /// nobody.
    pub fn fall_back(&mut self, last: Position) {
        self.kept.retain(|_, refusal| refusal.position <= last);
        let Self { kept, by_request, order } = self;
        by_request.retain(|_, id| kept.contains_key(id));
        order.retain(|id| kept.contains_key(id));
    }

    /// That of a transaction.
    pub fn of(&self, token: Token) -> Option<&Refusal> {
        self.kept.get(&token.id)
    }

    /// That of the newest attempt of a request that was refused.
    pub fn of_request(&self, request: &[u8]) -> Option<&Refusal> {
        self.kept.get(self.by_request.get(&SmallBytes::from(request))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(id: u128, request: &str) -> Refusal {
        let token = Token { node: 1, id, part: 0 };
        let request = Some(SmallBytes::from(request));
        let user = b"default".as_slice().into();
        let (why, at) = (id.to_string(), Duration::ZERO);
        Refusal { token, user, request, why, ended: true, at, position: id as Position }
    }

    #[test]
    fn those_that_depend_on_what_was_given_up_go() {
        let mut refusals = Refusals::new(1);
        (1..=3).for_each(|id| refusals.note(refusal(id, "same")));
        refusals.note(refusal(4, "other"));
        refusals.fall_back(2);
        let is_kept = |id| refusals.of(refusal(id, "").token).is_some();
        assert_eq!([1, 2, 3, 4].map(is_kept), [true, true, false, false]);
        assert!(refusals.of_request(b"same").is_none() && refusals.of_request(b"other").is_none());
        assert_eq!((refusals.order.len(), refusals.by_request.len()), (2, 0));
    }

    #[test]
    fn only_the_newest_are_kept() {
        let mut refusals = Refusals::new(1);
        refusals.note(refusal(0, "again"));
        for id in 1..=Refusals::COUNT_MAX as u128 {
            refusals.note(refusal(id, if id == 1 { "again" } else { "once" }));
            refusals.note(refusal(id, if id == 1 { "again" } else { "once" }));
        }
        assert!(refusals.of(refusal(0, "").token).is_none());
        assert_eq!(refusals.of_request(b"again").unwrap().why, "1");
        refusals.note(refusal(5000, "once"));
        assert!(refusals.of_request(b"again").is_none() && refusals.of_request(b"other").is_none());
        assert_eq!(refusals.of_request(b"once").unwrap().why, "5000");
        assert_eq!(refusals.kept.len(), Refusals::COUNT_MAX);
        assert_eq!(refusals.by_request.len(), 1);
    }
}
