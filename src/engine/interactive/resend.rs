//! Lost replies: what a connection was answered and may never have read, for the client library
//! that sends it again.
//!
//! ```text
//!   connection 1   INCR a ─> 1    INCR a ─> 2 ·· reset
//!                      read: it went on    '── its tail stays with the transaction
//!   connection 2   (handshake)   INCR a ─> 2     told again, not run again
//!                                INCR a ─> 3     the tail is over
//! ```
//! While a connection works, its [`Unread`] holds the commands whose replies nobody is known to
//! have read: who sends a further command after a reply has reached him has read that. When the
//! connection ends otherwise than by an orderly close they become a [`Tail`], which waits in the
//! transaction's [`Tails`] until a later connection begins with the same bytes, or until its time
//! is over. That one takes it, in its [`Resends`], and goes through it command by command.
//!
//! From WATCH or MULTI to what ends it is one piece: who repeats such a loop begins at its beginning,
//! also where that was read. A library by itself sends again only what it has no reply to; so a
//! tail can begin at two places.
//! What has no effect of its own there (MULTI, what is queued) is run again, so that a client that
//! goes another way has lost nothing; a WATCH told again looks at what was there the first time,
//! so that an EXEC which is none of the tail's fails as it would have.
//!
//! A command that had no answer yet is in no tail: nothing of it happened.

use super::token::Token;
use crate::engine::gate::Gate;
use crate::resp::Reply;
use crate::small_bytes::SmallKey;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How much is remembered: of one connection, and again of all tails of a transaction.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Commands.
    pub commands: usize,
    /// Bytes of commands and replies.
    pub bytes: usize,
}

/// What is done when a command comes again.
#[derive(Debug, Clone)]
pub enum Again {
    /// It had no effect beyond its connection, and is run.
    Run,
    /// The same where a MULTI is open; else that was read, and this is the reply all the same.
    Queued,
    /// This is its reply, once the gate opens.
    Reply(Reply, Option<Arc<Gate>>),
    /// It was a WATCH of these keys, by database, in this state.
    Watch(Vec<(u8, SmallKey, u32)>),
}

/// What a connection is in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loop {
    /// Nothing.
    None,
    /// A WATCH.
    Watch,
    /// A MULTI.
    Multi,
}

/// A command that was answered.
#[derive(Debug, Clone)]
pub struct Answered {
    database: u8,
    /// Its arguments, each behind its length.
    request: Box<[u8]>,
    again: Again,
    /// What goes on behind it.
    open: Loop,
    /// Where its reply ends among all that its connection has sent; 0 until that is known.
    end: u64,
    reply_bytes: usize,
}

impl Answered {
    /// A command in a database, answered.
    pub fn new(database: u8, args: &[&[u8]], again: Again, open: Loop) -> Self {
        let mut request = Vec::with_capacity(request_bytes(args));
        for arg in args {
            request.extend_from_slice(&(arg.len() as u64).to_le_bytes());
            request.extend_from_slice(arg);
        }
        let reply_bytes = match &again {
            Again::Run | Again::Queued => 0,
            Again::Reply(reply, _) => reply.heap_bytes(),
            Again::Watch(keys) => {
                let of = |(_, key, _): &(u8, SmallKey, u32)| size_of_val(key) + key.heap_bytes();
                keys.iter().map(of).sum()
            }
        };
        Self { database, request: request.into(), again, open, end: 0, reply_bytes }
    }

    /// What is done about it.
    pub fn again(&self) -> &Again {
        &self.again
    }

    fn is(&self, database: u8, args: &[&[u8]]) -> bool {
        let mut rest = &*self.request;
        let same = |arg: &&[u8]| {
            let length = (arg.len() as u64).to_le_bytes();
            let behind = rest.strip_prefix(&length).and_then(|rest| rest.strip_prefix(*arg));
            rest = behind.unwrap_or_default();
            behind.is_some()
        };
        self.database == database && args.iter().all(same) && rest.is_empty()
    }

    fn is_same(&self, other: &Self) -> bool {
        self.database == other.database && self.request == other.request
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.request.len() + self.reply_bytes
    }
}

/// What a request takes when it is remembered, in bytes.
pub fn request_bytes(args: &[&[u8]]) -> usize {
    args.iter().map(|arg| arg.len() + size_of::<u64>()).sum()
}

/// Commands of a connection whose replies nobody is known to have read, oldest first.
#[derive(Debug, Default)]
pub struct Unread {
    commands: VecDeque<Answered>,
    bytes: usize,
    /// So many were read, and are part of a loop that goes on.
    read: usize,
    /// Where the last reply ends.
    end: u64,
    /// There were more than could be remembered: until they are read, none are.
    too_many: bool,
    /// Where the reply of the latest ends is not known yet.
    is_open: bool,
    /// When that was answered.
    at: Duration,
}

impl Unread {
    /// A command was answered at this time.
    pub fn note(&mut self, answered: Answered, now: Duration, limits: &Limits) {
        self.is_open = true;
        self.at = now;
        if self.too_many {
            return;
        }
        let bytes = self.bytes + answered.bytes();
        if bytes > limits.bytes || self.commands.len() >= limits.commands {
            self.forget();
            return;
        }
        self.bytes = bytes;
        self.commands.push_back(answered);
    }

    /// A command was answered that can't be remembered, nor any around it.
    pub fn forget(&mut self) {
        self.commands = VecDeque::new();
        self.bytes = 0;
        self.read = 0;
        self.too_many = true;
        self.is_open = true;
    }

    /// Where the reply of the latest command ends.
    pub fn ends_at(&mut self, end: u64) {
        if std::mem::take(&mut self.is_open) {
            self.end = end;
            if let Some(latest) = self.commands.back_mut() {
                latest.end = end;
            }
        }
    }

    /// Where the last reply ends, if some may not have been read.
    pub fn end(&self) -> Option<u64> {
        (self.too_many || !self.commands.is_empty()).then_some(self.end)
    }

    /// The replies before this place were read.
    pub fn read_through(&mut self, place: u64) {
        let is_over = |command: &Answered| command.end <= place && command.open == Loop::None;
        let read = self.commands.iter().take_while(|command| command.end <= place).count();
        let whole = self.commands.iter().take(read).rposition(is_over).map_or(0, |last| last + 1);
        let gone = self.commands.drain(..whole);
        self.read = read - whole;
        self.bytes -= gone.map(|command| command.bytes()).sum::<usize>();
        self.too_many &= self.end > place;
    }

    /// What it takes in memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What a connection has left.
#[derive(Debug)]
pub struct Tail {
    token: Token,
    /// The connection.
    client: u64,
    /// When its last command was answered: who was there by then is no later connection.
    at: Duration,
    /// How long it counts.
    until: Duration,
    commands: Vec<Answered>,
    bytes: usize,
    /// So many at its beginning were read: a loop comes again with them, what a library sends again
    /// by itself without.
    read: usize,
    /// What has come again, and what comes next.
    start: usize,
    next: usize,
}

impl Tail {
    fn next_is(&self, database: u8, args: &[&[u8]]) -> bool {
        self.commands.get(self.next).is_some_and(|next| next.is(database, args))
    }

    fn is_in_loop(&self) -> bool {
        self.next > self.start && self.commands[self.next - 1].open != Loop::None
    }

    /// Where it goes on with this command, if it is another's way so far.
    fn goes_on(&mut self, way: &[Answered], (database, args): (u8, &[&[u8]])) -> bool {
        let fits = |start: &usize| {
            let commands = &self.commands[*start..];
            let same = way.iter().zip(commands).all(|(one, other)| one.is_same(other));
            same && commands.get(way.len()).is_some_and(|next| next.is(database, args))
        };
        // Of what was queued one can't be sure: some don't wait for those replies.
        let may_begin = |start: &usize| {
            [0, self.read].contains(start) || self.commands[*start].open == Loop::Multi
        };
        let start = (0..=self.read).rev().filter(may_begin).find(fits);
        if let Some(start) = start {
            (self.start, self.next) = (start, start + way.len());
        }
        start.is_some()
    }
}

/// All that connections have left with a transaction, oldest first.
#[derive(Debug, Default)]
pub struct Tails {
    tails: Vec<Tail>,
    bytes: usize,
}

impl Tails {
    /// Keeps a tail, and those before it as far as there is room.
    pub fn leave(&mut self, tail: Tail, now: Duration, limits: &Limits) {
        self.tails.push(tail);
        let (mut commands, mut bytes) = (0, 0);
        let mut fits = |tail: &Tail| {
            commands += tail.commands.len();
            bytes += tail.bytes;
            commands <= limits.commands && bytes <= limits.bytes
        };
        let fitting = self.tails.iter().rev().take_while(|tail| fits(tail)).count();
        self.tails.drain(..self.tails.len() - fitting);
        self.keep(|tail| tail.until > now);
    }

    /// The replies of this connection have arrived after all.
    pub fn take_back(&mut self, client: u64) {
        self.keep(|tail| tail.client != client);
    }

    /// What was done with this token doesn't count any more.
    pub fn drop_of(&mut self, part: u32) {
        self.keep(|tail| tail.token.part != part);
    }

    fn keep(&mut self, keeps: impl Fn(&Tail) -> bool) {
        self.tails.retain(keeps);
        self.bytes = self.tails.iter().map(|tail| tail.bytes).sum();
    }

    /// Takes the oldest that goes on with this command: one that begins with it or, if there is
    /// another that went the same way so far and now does not, one that goes on after that.
    fn claim(
        &mut self,
        (token, since): (Token, Duration),
        now: Duration,
        instead_of: Option<&Tail>,
        command: (u8, &[&[u8]]),
    ) -> Option<Tail> {
        self.keep(|tail| tail.until > now);
        let way = instead_of.map_or(&[][..], |other| &other.commands[other.start..other.next]);
        let fits = |tail: &mut Tail| {
            let is_later = tail.token == token && since >= tail.at;
            is_later && tail.goes_on(way, command)
        };
        let at = self.tails.iter_mut().position(fits)?;
        let tail = self.tails.remove(at);
        self.bytes -= tail.bytes;
        Some(tail)
    }

    fn put_back(&mut self, tail: Tail) {
        self.bytes += tail.bytes;
        self.tails.push(tail);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tails.is_empty()
    }

    /// What they take, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What a bound connection has to do with lost replies: its own, and an earlier one's.
#[derive(Debug)]
pub struct Resends {
    /// The token that it is bound to.
    pub token: Token,
    /// Since when.
    since: Duration,
    /// What it may lose.
    pub unread: Unread,
    found: Found,
}

/// What a connection knows of an earlier one.
#[derive(Debug)]
enum Found {
    /// Its first command will tell.
    NotYet,
    /// It goes through this.
    Tail(Tail),
    /// It was the first to do what it does.
    Nothing,
}

impl Resends {
    /// Those of a connection that is bound to a token from now on.
    pub fn new(token: Token, now: Duration) -> Self {
        Self { token, since: now, unread: Unread::default(), found: Found::NotYet }
    }

    /// Whether nothing of an earlier connection concerns it any more.
    pub fn is_over(&self) -> bool {
        matches!(self.found, Found::Nothing)
    }

    /// What is to be done about a command that another connection was answered before. One that
    /// gives up a loop does so only for now.
    pub fn find(
        &mut self,
        tails: Option<&mut Tails>,
        now: Duration,
        database: u8,
        args: &[&[u8]],
        gives_up: bool,
    ) -> Option<Answered> {
        let mut before = match std::mem::replace(&mut self.found, Found::Nothing) {
            Found::Nothing => return None,
            Found::NotYet => None,
            Found::Tail(tail) if tail.next == tail.commands.len() => return None,
            Found::Tail(tail) => Some(tail),
        };
        // Or its loop once more from its beginning.
        let goes_on = |tail: &mut Tail| {
            tail.next_is(database, args) || tail.is_in_loop() && tail.goes_on(&[], (database, args))
        };
        let tail = if before.as_mut().is_some_and(goes_on) {
            before
        } else if let Some(tail) = before.take_if(|tail| tail.is_in_loop() && gives_up) {
            self.found = Found::Tail(Tail { next: tail.start, ..tail });
            return None;
        } else {
            let tails = tails?;
            let own = (self.token, self.since);
            let claimed = tails.claim(own, now, before.as_ref(), (database, args));
            // Somebody else is yet to come for it.
            if let (Some(before), Some(_)) = (before, &claimed) {
                tails.put_back(before);
            }
            claimed
        };
        let mut tail = tail?;
        let answered = tail.commands.get(tail.next)?.clone();
        tail.next += 1;
        self.found = Found::Tail(tail);
        Some(Answered { end: 0, ..answered })
    }

    /// The command just found has yet to be done.
    pub fn not_yet(&mut self) {
        if let Found::Tail(tail) = &mut self.found {
            tail.next = tail.next.saturating_sub(1);
        }
    }

    /// What is left to be told when the connection ends and its replies may be lost: its own, and
    /// what it had yet to hear of another's. `None` if nothing is.
    pub fn into_tail(self, client: u64, until: Duration) -> Option<Tail> {
        let Self { token, unread, found, .. } = self;
        let (mut at, read) = (unread.at, unread.read);
        let mut commands = Vec::from(unread.commands);
        if let Found::Tail(tail) = found {
            at = at.max(tail.at);
            commands.extend(tail.commands.into_iter().skip(tail.next));
        }
        let some = !commands.is_empty() && !unread.too_many;
        let bytes = size_of::<Tail>() + commands.iter().map(Answered::bytes).sum::<usize>();
        some.then_some(Tail { token, client, at, until, commands, bytes, read, start: 0, next: 0 })
    }

    /// What it takes in memory, in bytes.
    pub fn bytes(&self) -> usize {
        let tail = if let Found::Tail(tail) = &self.found { tail.bytes } else { 0 };
        size_of::<Self>() + self.unread.bytes() + tail
    }
}

#[cfg(test)]
mod tests;
