//! What the clients asked and what they were told.

use aft::engine::interactive::{Terms, Token};
use aft::layout::CommitId;
use std::fmt;
use std::time::Duration;

/// The place of an event in the one order in which the simulation saw events happen.
pub(crate) type Tick = u64;

/// A transaction of the history; values begin with the id of the one that wrote them.
pub(crate) type TxnId = u64;

/// How many databases the clients use.
pub(crate) const DATABASES: u8 = 2;

/// How many keys of a database the clients use: few, so that they meet.
pub(crate) const KEYS: u8 = 6;

/// A key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) database: u8,
    pub(crate) number: u8,
}

impl Key {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..DATABASES).flat_map(|database| (0..KEYS).map(move |number| Self { database, number }))
    }

    /// Its name; every other one is too long to be held inline.
    pub(crate) fn name(self) -> Vec<u8> {
        let prefix = match self.number % 2 {
            0 => "k",
            _ => "a-key-with-quite-a-long-name-",
        };
        format!("{prefix}{}", self.number).into_bytes()
    }

    pub(crate) fn parse(database: u8, name: &[u8]) -> Option<Self> {
        Self::all().find(|key| key.database == database && key.name() == name)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/k{}", self.database, self.number)
    }
}

/// A command. Times to live are in milliseconds, from the transaction's `now`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Get(Key),
    Exists(Key),
    Count(u8),
    /// A value of at least this length.
    Put(Key, usize, Option<u64>),
    Delete(Key),
    /// Adds one and keeps the expiry; what is no number counts as 0.
    Increment(Key),
    PutIfAbsent(Key, usize),
    /// `None` persists.
    Expire(Key, Option<u64>),
    Flush(u8),
    /// A step of an interactive transaction begins.
    Mark,
    /// It begins again: what it wrote is taken back.
    TakeBack,
}

impl Op {
    /// Whether it has to run on the tip.
    pub(crate) fn writes_or_reads_to_write(self) -> bool {
        !matches!(
            self,
            Self::Get(_) | Self::Exists(_) | Self::Count(_) | Self::Mark | Self::TakeBack
        )
    }

    /// Whether it could change a key.
    pub(crate) fn may_touch(self, key: Key) -> bool {
        match self {
            Self::Get(_) | Self::Exists(_) | Self::Count(_) | Self::Mark | Self::TakeBack => false,
            Self::Flush(database) => database == key.database,
            Self::Put(k, ..)
            | Self::Delete(k)
            | Self::Increment(k)
            | Self::PutIfAbsent(k, _)
            | Self::Expire(k, _) => k == key,
        }
    }
}

/// A value and when it expires (0 for never).
pub(crate) type Found = Option<(Vec<u8>, u64)>;

/// What a command answered.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    Nothing,
    Value(Found),
    Exists(bool),
    Count(u64),
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("-"),
            Self::Value(None) => f.write_str("nil"),
            Self::Value(Some((value, expires_ms))) => {
                let shown = value.len().min(16);
                write!(f, "{:?}", String::from_utf8_lossy(&value[..shown]))?;
                if *expires_ms != 0 {
                    write!(f, " until {expires_ms}")?;
                }
                Ok(())
            }
            Self::Exists(exists) => write!(f, "{exists}"),
            Self::Count(count) => write!(f, "{count}"),
        }
    }
}

/// What the client was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing: the process died before.
    NoReply,
    /// Its answers.
    Done,
    /// Certainly not committed.
    NotCommitted,
    /// Perhaps.
    Uncertain,
    /// The node takes no writes: nothing happened.
    Refused,
    /// A value couldn't be fetched: nothing happened.
    Failed,
}

/// What a WATCH and the reads under it learnt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watch {
    /// When WATCH was asked, and when it was done.
    pub(crate) asked: Tick,
    pub(crate) done: Tick,
    /// What was read between WATCH and EXEC.
    pub(crate) reads: Vec<(Key, Seen)>,
    /// Whether EXEC found it unbroken.
    pub(crate) held: bool,
}

/// What was told of an attempt, for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// It has committed.
    Committed(CommitId),
    /// It has not, and never will.
    Never,
}

/// What an interactive transaction is beside its commands: one attempt at its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Inside {
    /// The token of all of it, or of its newest step.
    pub(crate) newest_token: Token,
    pub(crate) request: Option<usize>,
    pub(crate) serializable: bool,
    pub(crate) timeout: Duration,
    /// The engine's time at each command.
    pub(crate) nows_ms: Vec<u64>,
    /// When somebody has used it last, on the monotonic clock.
    pub(crate) used: Duration,
    /// The newest step, and whether it is done.
    pub(crate) step: Option<(usize, bool)>,
    /// The engine's time at its COMMIT.
    pub(crate) commit_ms: u64,
    /// Nobody can work in it any more.
    pub(crate) over: bool,
    /// Since another attempt at its request has begun.
    pub(crate) fenced: bool,
    /// Its COMMIT found something changed.
    pub(crate) conflict: bool,
    /// Some of its answers were never told.
    pub(crate) unsure: bool,
    pub(crate) told: Option<Told>,
}

impl Inside {
    pub(crate) fn new(token: Token, request: Option<usize>, terms: &Terms, now: Duration) -> Self {
        Self {
            newest_token: token,
            request,
            serializable: terms.serializable,
            timeout: terms.timeout,
            nows_ms: Vec::new(),
            used: now,
            step: None,
            commit_ms: 0,
            over: false,
            fenced: false,
            conflict: false,
            unsure: false,
            told: None,
        }
    }
}

/// One transaction of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Txn {
    pub(crate) id: TxnId,
    pub(crate) client: u32,
    pub(crate) life: u32,
    pub(crate) asked: Tick,
    pub(crate) told: Option<Tick>,
    pub(crate) ops: Vec<Op>,
    /// One for each command; empty where it never ran.
    pub(crate) seen: Vec<Seen>,
    /// The engine's time when it ran, or that of its snapshot; and the wall's.
    pub(crate) now_ms: u64,
    pub(crate) wall_ms: u64,
    pub(crate) watch: Option<Watch>,
    /// When the snapshot was taken, if it reads an older one than when it is told.
    pub(crate) pinned: Option<Tick>,
    pub(crate) inside: Option<Inside>,
    pub(crate) outcome: Outcome,
}

impl Txn {
    pub(crate) fn new(id: TxnId, client: u32, life: u32, asked: Tick, ops: Vec<Op>) -> Self {
        Self {
            id,
            client,
            life,
            asked,
            told: None,
            ops,
            seen: Vec::new(),
            now_ms: 0,
            wall_ms: 0,
            watch: None,
            pinned: None,
            inside: None,
            outcome: Outcome::NoReply,
        }
    }

    /// Whether it was told its answers before another event.
    pub(crate) fn done_before(&self, tick: Tick) -> bool {
        self.outcome == Outcome::Done && self.told.is_some_and(|told| told < tick)
    }

    /// Nothing that was asked later can have been seen.
    pub(crate) fn sees_until(&self) -> Option<Tick> {
        self.pinned.or(self.told)
    }

    /// The engine's time at a command.
    pub(crate) fn now_at(&self, op: usize) -> u64 {
        let inside = self.inside.as_ref().and_then(|inside| inside.nows_ms.get(op));
        inside.copied().unwrap_or(self.now_ms)
    }

    /// Whether EXEC answered nil.
    pub(crate) fn broken_watch(&self) -> bool {
        self.watch.as_ref().is_some_and(|watch| !watch.held)
    }
}

impl fmt::Display for Txn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "t{} client {}.{} [{}..{}] now {} {:?}:",
            self.id,
            self.life,
            self.client,
            self.asked,
            self.told.map_or_else(String::new, |told| told.to_string()),
            self.now_ms,
            self.outcome
        )?;
        if let Some(watch) = &self.watch {
            write!(f, " {watch:?}")?;
        }
        if let Some(pinned) = self.pinned {
            write!(f, " pinned at {pinned}")?;
        }
        if let Some(inside) = &self.inside {
            write!(f, " {inside:?}")?;
        }
        for (at, op) in self.ops.iter().enumerate() {
            let seen = self.seen.get(at).unwrap_or(&Seen::Nothing);
            write!(f, " {op:?} -> {seen:?};")?;
        }
        Ok(())
    }
}

/// Everything that clients asked, by id.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) txns: Vec<Txn>,
    /// What went wrong in the clients' own eyes.
    pub(crate) complaints: Vec<String>,
    /// The interactive ones, and those of each request.
    pub(crate) attempts: Vec<TxnId>,
    pub(crate) requests: Vec<Vec<TxnId>>,
    ticks: Tick,
}

impl History {
    pub(crate) fn tick(&mut self) -> Tick {
        self.ticks += 1;
        self.ticks
    }

    /// A client asks.
    pub(crate) fn ask(&mut self, client: u32, life: u32, ops: Vec<Op>) -> TxnId {
        let id = self.txns.len() as TxnId;
        let asked = self.tick();
        self.txns.push(Txn::new(id, client, life, asked, ops));
        id
    }

    /// An interactive transaction begins: one that belongs to no single client.
    pub(crate) fn ask_inside(&mut self, life: u32, inside: Inside) -> TxnId {
        /// No client has such a number.
        const NOBODY: u32 = 1_000_000;
        let id = self.ask(NOBODY + self.txns.len() as u32, life, Vec::new());
        self.attempts.push(id);
        if let Some(request) = inside.request {
            self.requests[request].push(id);
        }
        self.txn_mut(id).inside = Some(inside);
        id
    }

    /// The attempt that a token is of.
    pub(crate) fn attempt_with(&self, token: Token) -> Option<TxnId> {
        let inside = |id: TxnId| self.txns[id as usize].inside.as_ref();
        let same = |inside: &Inside| inside.newest_token.id == token.id;
        self.attempts.iter().rev().copied().find(|id| inside(*id).is_some_and(same))
    }

    /// It is told that an attempt has not committed.
    pub(crate) fn tell_never(&mut self, id: TxnId) {
        let Some(inside) = &mut self.txn_mut(id).inside else { return };
        inside.over = true;
        if let Some(told @ Told::Committed(_)) = inside.told.replace(Told::Never) {
            self.complaints.push(format!("t{id}: {told:?} was told before"));
        }
    }

    /// A new attempt at a request begins: those before have not committed. `fenced` was open.
    pub(crate) fn rule_out(&mut self, request: usize, fenced: Option<u128>) {
        for id in self.requests[request].clone() {
            self.tell_never(id);
            if let Some(inside) = &mut self.txn_mut(id).inside {
                inside.fenced |= fenced == Some(inside.newest_token.id);
            }
        }
    }

    /// A client is told.
    pub(crate) fn tell(&mut self, id: TxnId, outcome: Outcome) {
        let tick = self.tick();
        let txn = self.txn_mut(id);
        txn.outcome = outcome;
        txn.told = Some(tick);
    }

    pub(crate) fn txn_mut(&mut self, id: TxnId) -> &mut Txn {
        &mut self.txns[id as usize]
    }
}

/// A value that says who wrote it.
pub(crate) fn value_of(writer: TxnId, op: usize, length: usize) -> Vec<u8> {
    let mut value = format!("{writer}:p{op}:").into_bytes();
    while value.len() < length {
        value.push(b'a' + (value.len() % 26) as u8);
    }
    value
}

/// A counter's value that says who wrote it.
pub(crate) fn counter_value(writer: TxnId, count: u64) -> Vec<u8> {
    format!("{writer}:n{count}").into_bytes()
}

/// What a counter stands at.
pub(crate) fn count_of(value: &[u8]) -> u64 {
    std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.split_once(":n")?.1.parse().ok())
        .unwrap_or(0)
}

/// Who wrote a value.
pub(crate) fn writer_of(value: &[u8]) -> Option<TxnId> {
    let colon = value.iter().position(|&byte| byte == b':')?;
    std::str::from_utf8(&value[..colon]).ok()?.parse().ok()
}
