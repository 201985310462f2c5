//! Interactive transactions: many commands, connections and functions, one commit.
//!
//! ```text
//!   connection 1   BEGIN ── GET a ── SET b ─────────────────── COMMIT
//!   connection 2              JOIN ── INCR c ── (ends)            |
//!                              |                                  v
//!                    snapshot: taken and pinned        c, which was read to write, is as it
//!                    at the first read                 was: all writes enter as one
//! ```
//! An open transaction is a value: its snapshot, its writes, and the keys that its commit
//! depends on. Each command takes it out of the registry, runs on it as on any transaction
//! (`transaction/inside.rs`) and puts it back; so commands of several connections come one
//! after the other. Nothing of it is in the log before the commit: if the node dies, it never
//! happened, and nobody can be told of what it wrote.
//!
//! ```text
//!                      abort, timeout, restart of its request, CONFLICT
//!                    .------------------------------------------------> gone: NOTXN or STALE
//!      BEGIN --> open
//!                    '-- COMMIT --> sequenced --> acknowledged: kept as an outcome
//!                                       '-------> given up with its group: gone
//! ```
//! From COMMIT on only its [`Outcome`] is left, which counts from the position of its group as
//! all that it wrote does. Who asks for it before that is acknowledged waits at the gate.
//!
//! | module       | what                                                           |
//! |--------------|----------------------------------------------------------------|
//! | [`token`]    | how tokens are written                                         |
//! | [`checks`]   | the keys that a commit depends on                              |
//! | [`steps`]    | the functions of a request, and what can be taken back of them |
//! | [`outcomes`] | what has committed, by token and by request                    |
//! | [`refusals`] | why commits were refused                                       |
//! | [`resend`]   | replies that got lost, for those who ask again                 |
//!
//! All of it is plain structs; time and randomness are passed in.

pub mod checks;
pub mod outcomes;
pub mod refusals;
pub mod resend;
pub mod steps;
pub mod token;

pub use outcomes::{OUTCOME_BYTES, Outcome, Outcomes, Said};
pub use refusals::{Refusal, Refusals};
pub use token::{Token, TransactionId};

use super::core::Pin;
use super::version::Snapshot;
use super::writes::WriteSet;
use crate::small_bytes::SmallBytes;
use checks::Checks;
use foldhash::fast::FixedState;
use resend::Tails;
use smallvec::SmallVec;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;
use steps::{Part, Steps};

/// What a transaction reads, from its first read on.
#[derive(Debug)]
pub struct Pinned {
    /// Keeps it from going.
    pub pin: Pin,
    /// How many keys each database had, and how many had been reaped there; but for databases
    /// without any.
    pub keys: SmallVec<[(u8, u64); 1]>,
}

impl Pinned {
    /// As readers take it.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { position: self.pin.0, now_ms: self.pin.1 }
    }
}

/// How a transaction is begun.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The name of the ACL user who may work in it.
    pub user: Arc<[u8]>,
    /// The request that it fulfils.
    pub request: Option<SmallBytes>,
    /// Its commit depends on every key that it reads.
    pub serializable: bool,
    /// It is aborted when nobody has used it for so long.
    pub timeout: Duration,
}

/// An open transaction.
#[derive(Debug)]
pub struct Open {
    /// The token of all of it.
    pub token: Token,
    /// How it was begun.
    pub terms: Terms,
    /// When it was begun, on the monotonic clock.
    pub begun: Duration,
    /// When it was used last.
    pub used: Duration,
    /// When it is looked at next, whether it still is.
    due: Duration,
    /// Connections have this whose command in it waits: see [`Registry::wait`].
    waiting: Weak<()>,
    /// What it reads.
    pub snapshot: Option<Pinned>,
    /// What it has written.
    pub writes: WriteSet,
    /// What its commit depends on.
    pub checks: Checks,
    /// The functions it is made of, if they have told.
    pub steps: Steps,
    /// What connections were answered that may never have heard it.
    pub tails: Tails,
}

impl Open {
    /// What it takes in memory, in bytes; values that it shares with the index count, too.
    pub fn bytes(&self) -> usize {
        let request = self.terms.request.as_ref().map_or(0, SmallBytes::heap_bytes);
        let written = self.writes.bytes() + self.writes.journal_bytes();
        let told = self.steps.bytes() + self.tails.bytes();
        size_of::<Self>() + request + written + self.checks.bytes() + told
    }

    /// What its outcome will take at the least.
    fn reserved_bytes(&self) -> usize {
        reserved_bytes(self.terms.request.as_ref().map(SmallBytes::as_slice))
    }
}

/// What there is room for of the result of each request that has begun, in bytes: as much as says
/// what became of most. A larger one is for as long as there is room.
pub const RESULT_RESERVED_BYTES: usize = 1024;

/// What an id and a result take beside their own bytes, of which each may be on the heap.
pub const SAID_BYTES: usize = size_of::<Said>() + 2 * 16;

/// What the outcome of a request will take, with a small result, in bytes.
pub fn reserved_bytes(request: Option<&[u8]>) -> usize {
    let said = |request: &[u8]| SAID_BYTES + request.len() + RESULT_RESERVED_BYTES;
    OUTCOME_BYTES + request.map_or(0, said)
}

/// Whether somebody may work with a token.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// He may.
    Open,
    /// The step that it belongs to is done.
    Done,
    /// A later attempt has taken the place of this one.
    Stale,
    /// No such transaction is open.
    Unknown,
}

/// All open transactions of a node.
#[derive(Debug)]
pub struct Registry {
    open: HashMap<TransactionId, Box<Open>, FixedState>,
    requests: HashMap<SmallBytes, TransactionId, FixedState>,
    /// When each is to be looked at.
    due: BTreeSet<(Duration, TransactionId)>,
    fenced: Fenced,
    bytes: usize,
    reserved_bytes: usize,
}

impl Registry {
    /// None yet.
    pub fn new(seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Self {
            open: HashMap::with_hasher(hasher.clone()),
            requests: HashMap::with_hasher(hasher),
            due: BTreeSet::new(),
            fenced: Fenced::default(),
            bytes: 0,
            reserved_bytes: 0,
        }
    }

    /// How many are open, one that a command works on among them.
    pub fn len(&self) -> usize {
        self.due.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
    }

    /// What they take in memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What their outcomes will take at the least, in bytes.
    pub fn reserved_bytes(&self) -> usize {
        self.reserved_bytes
    }

    /// Opens a transaction.
    pub fn begin(&mut self, token: Token, terms: Terms, now: Duration) {
        let due = now + terms.timeout;
        let open = Open {
            token,
            terms,
            begun: now,
            used: now,
            due,
            waiting: Weak::new(),
            snapshot: None,
            writes: WriteSet::default(),
            checks: Checks::default(),
            steps: Steps::default(),
            tails: Tails::default(),
        };
        self.reserved_bytes += open.reserved_bytes();
        if let Some(request) = &open.terms.request {
            self.requests.insert(request.clone(), token.id);
        }
        self.due.insert((due, token.id));
        self.put_back(Box::new(open));
    }

    /// A transaction that is open.
    pub fn get(&self, id: TransactionId) -> Option<&Open> {
        self.open.get(&id).map(|open| &**open)
    }

    /// The transaction that a request has open.
    pub fn of_request(&self, request: &[u8]) -> Option<&Open> {
        let id = self.requests.get(&SmallBytes::from(request))?;
        self.get(*id)
    }

    /// All of them, the oldest first.
    pub fn all(&self) -> Vec<&Open> {
        let mut all: Vec<&Open> = self.open.values().map(|open| &**open).collect();
        all.sort_unstable_by_key(|open| (open.begun, open.token.id));
        all
    }

    /// What a token is good for.
    pub fn standing(&self, token: Token) -> Standing {
        self.look_up(token).0
    }

    /// The same, with the transaction, if it is open.
    pub fn look_up(&self, token: Token) -> (Standing, Option<&Open>) {
        let open = self.get(token.id);
        let standing = match open {
            _ if self.fenced.has(token.id) => Standing::Stale,
            Some(open) if open.token.node == token.node => match open.steps.part(token.part) {
                Part::Current => Standing::Open,
                Part::Done => Standing::Done,
                Part::Stale => Standing::Stale,
            },
            _ => Standing::Unknown,
        };
        (standing, open)
    }

    /// Takes a transaction out, to work on it: it must come back, or be ended.
    pub fn take(&mut self, id: TransactionId) -> Option<Box<Open>> {
        let open = self.open.remove(&id)?;
        self.bytes -= open.bytes();
        Some(open)
    }

    /// Puts it back.
    pub fn put_back(&mut self, open: Box<Open>) {
        self.bytes += open.bytes();
        self.open.insert(open.token.id, open);
    }

    /// Somebody uses a transaction, and may have said for how long it may be unused from now on.
    pub fn touch(&mut self, id: TransactionId, now: Duration, timeout: Option<Duration>) {
        let Some(open) = self.open.get_mut(&id) else { return };
        open.used = now;
        if let Some(timeout) = timeout {
            self.due.remove(&(open.due, id));
            open.terms.timeout = timeout;
            open.due = now + timeout;
            self.due.insert((open.due, id));
        }
    }

    /// One that was taken out doesn't come back.
    pub fn end(&mut self, open: &Open) {
        self.due.remove(&(open.due, open.token.id));
        self.reserved_bytes -= open.reserved_bytes();
        if let Some(request) = &open.terms.request {
            self.requests.remove(request);
        }
    }

    /// Whoever comes with a token of this transaction is told that he is late.
    pub fn fence(&mut self, id: TransactionId) {
        self.fenced.add(id);
    }

    /// Somebody waits with a command in it, for room or for a value that is brought: for as long as
    /// what is returned is there it is in use, however long that takes.
    pub fn wait(&mut self, id: TransactionId) -> Option<Arc<()>> {
        let open = self.open.get_mut(&id)?;
        let waiting = open.waiting.upgrade().unwrap_or_default();
        open.waiting = Arc::downgrade(&waiting);
        Some(waiting)
    }

    /// Takes out one that nobody has used for too long.
    pub fn take_idle(&mut self, now: Duration) -> Option<Box<Open>> {
        while let Some(&(due, id)) = self.due.first() {
            if due > now {
                return None;
            }
            self.due.pop_first();
            let Some(open) = self.open.get_mut(&id) else { continue };
            if open.waiting.strong_count() > 0 {
                open.used = now;
            }
            open.due = open.used + open.terms.timeout;
            self.due.insert((open.due, id));
            if open.due <= now {
                return self.take(id);
            }
        }
        None
    }
}

/// Transactions whose request has begun again: only so many, the newest.
#[derive(Debug, Default)]
struct Fenced {
    order: VecDeque<TransactionId>,
    ids: HashSet<TransactionId, FixedState>,
}

impl Fenced {
    /// Beyond that a zombie learns that its transaction is not open, and not why.
    const COUNT_MAX: usize = 10_000;

    fn add(&mut self, id: TransactionId) {
        if self.ids.insert(id) {
            self.order.push_back(id);
        }
        if self.order.len() > Self::COUNT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    fn has(&self, id: TransactionId) -> bool {
        !self.ids.is_empty() && self.ids.contains(&id)
    }
}

#[cfg(test)]
mod tests;
