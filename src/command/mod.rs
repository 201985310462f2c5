//! Commands: from arguments to a reply.
//!
//! A command is a function of a [`Context`] and its arguments that returns a [`Reply`];
//! it knows neither sockets nor the store. [`execute`] finds it in the [`table`], checks
//! what Redis checks in the order in which Redis does, and runs it in a transaction.
//!
//! | module          | commands                                                     |
//! |-----------------|--------------------------------------------------------------|
//! | [`table`]       | all of them: name, arity, flags, keys, documentation          |
//! | `strings`       | GET, SET, MGET, MSET, INCR …                                  |
//! | `bits`          | SETBIT, BITCOUNT, BITFIELD …                                  |
//! | `keys`          | DEL, EXISTS, TYPE, DBSIZE, FLUSHALL …                         |
//! | `moves`         | RENAME, COPY, MOVE, SWAPDB                                    |
//! | `scan`          | SCAN, KEYS, RANDOMKEY                                         |
//! | `object`        | OBJECT, MEMORY                                                |
//! | `expiry`        | EXPIRE, TTL … PERSIST                                         |
//! | `transactions`  | MULTI, EXEC, DISCARD, WATCH, UNWATCH                          |
//! | `interactive`   | AFT.BEGIN, AFT.COMMIT …: transactions over many commands         |
//! | `inside`        | what differs for commands in one of those                     |
//! | `resend`        | replies that got lost are told again                          |
//! | `connection`    | HELLO, AUTH, SELECT, PING …                                   |
//! | `client`        | CLIENT: this connection and the others                        |
//! | `config`        | CONFIG: settings                                              |
//! | `info`          | INFO: the state of the server                                 |
//! | `latency`       | TIME, WAIT, DEBUG SLEEP, LATENCY                              |
//! | `introspection` | COMMAND: the table, told to clients                           |
//! | `help`          | the HELP of containers                                        |
//! | `acl`           | ACL: users, and what each may do                             |
//! | `monitor`       | MONITOR: all commands as they run                            |
//! | `slowlog`       | SLOWLOG: what took long                                      |
//! | `absent`        | CLUSTER, FUNCTION, SCRIPT, MODULE: what there is none of      |
//! | [`ahead`]       | none: what a pipeline will read                               |

pub mod ahead;
pub mod table;

mod absent;
mod acl;
mod bits;
mod client;
mod config;
mod connection;
mod expiry;
mod help;
mod info;
pub mod inside;
mod interactive;
mod introspection;
mod keys;
mod latency;
mod long_double;
mod measure;
mod monitor;
mod moves;
mod object;
mod parse;
mod redact;
pub mod resend;
mod scan;
mod silence;
mod slowlog;
mod strings;
pub mod transactions;

pub use acl::load_at_start as load_users;
pub use measure::{begin_turn, end_turn};

use crate::config::Settings;
use crate::engine::FetchFailed;
use crate::engine::core::{Core, Missing};
use crate::engine::gate::Gate;
use crate::layout::Commit;
use crate::resp::Reply;
use crate::server::{Counters, Server};
use crate::session::{Queue, Session};
use crate::small_bytes::{SmallBytes, is_mostly};
use crate::transaction::{Finished, ReadError, Transaction, View};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use table::{Command, Flags};

/// What is to be run.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    args: &'a [&'a [u8]],
    /// Where the arguments lie, if that may be kept alive for the sake of the largest of them.
    bytes: Option<&'a Bytes>,
    /// It has waited for room.
    has_waited: bool,
}

impl<'a> Request<'a> {
    /// A request of these arguments. With `bytes`, of which all of them are parts, a value that
    /// is nearly all of that is not copied.
    pub fn new(args: &'a [&'a [u8]], bytes: Option<&'a Bytes>) -> Self {
        Self { args, bytes, has_waited: false }
    }

    /// The same once it has waited for room in the store: it is its turn.
    #[must_use]
    pub fn after_waiting(self, has_waited: bool) -> Self {
        Self { has_waited, ..self }
    }

    /// The largest argument as a part of where it lies, and its number.
    fn large(&self) -> Option<(usize, Bytes)> {
        let bytes = self.bytes?;
        let (at, largest) = self.args.iter().enumerate().max_by_key(|(_, arg)| arg.len())?;
        is_mostly(largest.len(), bytes.len()).then(|| (at, bytes.slice_ref(largest)))
    }
}

/// What a command works with.
pub struct Context<'a, 'c> {
    /// What all connections share.
    pub server: &'a Server,
    /// The settings of this moment.
    pub settings: &'a Settings,
    /// The connection's state.
    pub session: &'a mut Session,
    /// The transaction it runs in.
    pub transaction: &'a mut Transaction<'c>,
    /// Whether it runs inside EXEC.
    pub in_exec: bool,
    /// How long its reply is held back.
    pub hold: Option<Hold>,
    /// An argument that may stay where it lies.
    large: Option<Bytes>,
    hits: u64,
    misses: u64,
}

impl Context<'_, '_> {
    /// An argument as a value. It is copied, unless it is the large one.
    #[inline]
    pub fn value(&self, arg: &[u8]) -> SmallBytes {
        match &self.large {
            Some(large) if std::ptr::eq(&**large, arg) => large.clone().into(),
            _ => arg.into(),
        }
    }

    /// Notes for INFO that a key was looked up, and whether it was there.
    #[inline]
    pub fn looked_up(&mut self, found: bool) {
        self.hits += u64::from(found);
        self.misses += u64::from(!found);
    }
}

/// Why a command has no ordinary reply.
#[derive(Debug)]
pub enum Stop {
    /// A value has to be fetched from the store; then the command runs again.
    Fetch,
    /// It failed; this is its reply.
    Reply(Reply),
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Missing => Self::Fetch,
            ReadError::Lost => Self::Reply(Reply::error(
                "ERR the value of this key is lost in the store, see the server's log",
            )),
        }
    }
}

impl From<Reply> for Stop {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// How long a reply is held back; nothing else on its connection runs before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// So long.
    For(Duration),
    /// Until the connection ends.
    ForEver,
}

/// What a command returns.
pub type CommandResult = Result<Reply, Stop>;

/// What became of a request.
#[derive(Debug)]
pub enum Execution {
    /// It is done; the reply may be sent once the gate opens, at once without one.
    Reply(Reply, Option<Arc<Gate>>),
    /// Nothing happened: these values have to be fetched, then it runs again.
    Fetch(Vec<Missing>),
    /// Nothing happened: it runs again once this gate has opened.
    Wait(Arc<Gate>),
    /// It is done, but the reply comes later.
    Held(Reply, Hold),
    /// Nothing happened: it would add to the store, and compaction is far behind. It runs again
    /// when there is [room](crate::engine::Engine::room_to_write).
    NoRoom,
}

impl From<Reply> for Execution {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply, None)
    }
}

/// Runs one request, or tells again what it came to.
#[inline]
pub fn execute(
    server: &Server,
    settings: &Settings,
    session: &mut Session,
    core: &mut Core,
    request: Request<'_>,
) -> Execution {
    match session.resends {
        None => execute_now(server, settings, session, core, request),
        Some(_) => resend::execute(server, settings, session, core, request),
    }
}

fn execute_now(
    server: &Server,
    settings: &Settings,
    session: &mut Session,
    core: &mut Core,
    request: Request<'_>,
) -> Execution {
    let args = request.args;
    let command = match admit(server, settings, session, core, args) {
        Ok(command) => command,
        Err(refusal) => {
            let asked_for = table::asked_for(args);
            if let Some(command) = asked_for {
                server.statistics().rejected(command.number);
                inside::note_refused(session, command);
            }
            // CLIENT LIST tells what was asked for last, refused or not.
            session.last_command = asked_for.map_or("NULL", |command| command.name);
            let refusal = refuse(server, settings, session, core, args, refusal);
            server.counters.count_error(&refusal);
            return refusal.into();
        }
    };
    session.last_command = command.name;
    if session.multi.is_some() && !command.flags.has(Flags::RUNS_IN_MULTI) {
        return enqueue(settings, session, command, request).into();
    }
    if let Some(gate) = inside::must_wait(session, core, command) {
        return Execution::Wait(gate);
    }
    if core.writes_must_wait() && !request.has_waited && adds_to_store(session, command) {
        return Execution::NoRoom;
    }
    let view = if command.flags.has(Flags::WRITE) || transactions::needs_tip(session, command) {
        View::Tip
    } else {
        session.read_view()
    };
    let alone = measure::before(server, settings, session, command, args);
    let execution = run(server, settings, session, core, command, view, request);
    if let Execution::Reply(reply, _) | Execution::Held(reply, _) = &execution {
        measure::after(server, settings, session, command, args, reply, alone);
    }
    execution
}

/// Whether a request is no request but the beginning of one over HTTP: some web page has
/// made a browser send commands in its body. Redis looks for it before anything else,
/// says nothing, and closes the connection; so must whoever calls [`execute`].
#[inline]
pub fn is_cross_protocol_attack(args: &[&[u8]]) -> bool {
    args.first().is_some_and(|name| {
        name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
    })
}

/// Finds the command and checks all that Redis checks before it queues or runs it, in
/// the order in which it does.
fn admit(
    server: &Server,
    settings: &Settings,
    session: &mut Session,
    core: &Core,
    args: &[&[u8]],
) -> Result<&'static Command, Reply> {
    let command = table::find(args)?;
    // Once there is no password, those who never gave one are let in.
    let may_enter = session.authenticated || server.users.lets_in_anybody();
    if !may_enter && !command.flags.has(Flags::NO_AUTH) {
        return Err(Reply::error("NOAUTH Authentication required."));
    }
    if session.multi.is_some() && command.flags.has(Flags::NO_MULTI) {
        let text = "ERR Command not allowed inside a transaction";
        return Err(Reply::error(text));
    }
    acl::admit(server, session, command, args, acl::Place::Arrival)?;
    if settings.memory_bytes_max > 0
        && needs_memory(session, command)
        && core.is_out_of_memory(settings.memory_bytes_max)
    {
        let text = "OOM command not allowed when used memory > 'maxmemory'.";
        return Err(Reply::error(text));
    }
    if session.monitoring && command.flags.has(Flags::DATA) {
        // Redis takes whoever watches for a kind of replica.
        return Err(Reply::error("ERR Replica can't interact with the keyspace"));
    }
    if command.flags.has(Flags::DATA.and(Flags::EXEC)) {
        silence::admit(core, command)?;
    }
    inside::admit(session, core, command)?;
    Ok(command)
}

/// Beside EXEC, what a MULTI can end with.
const LEAVES_MULTI: [&str; 3] = ["discard", "quit", "reset"];

/// Whether a command may need memory that it doesn't free: by itself, by what an EXEC runs, or
/// because it would be queued.
fn needs_memory(session: &Session, command: &Command) -> bool {
    match &session.multi {
        Some(multi) if command.flags.has(Flags::EXEC) => multi.needs_memory,
        Some(_) => !LEAVES_MULTI.contains(&command.name),
        None => command.flags.has(Flags::DENY_OOM),
    }
}

/// Whether a command may make the store larger: what is written inside of an interactive
/// transaction does so at its commit, and that leaves an outcome in any case.
fn adds_to_store(session: &Session, command: &Command) -> bool {
    match inside::token(session, command) {
        Some(_) => false,
        None => command.flags.has(Flags::COMMIT) || needs_memory(session, command),
    }
}

/// A request that is refused takes the MULTI around it with it: at its EXEC, or at once if
/// it is the EXEC itself.
fn refuse(
    server: &Server,
    settings: &Settings,
    session: &mut Session,
    core: &mut Core,
    args: &[&[u8]],
    refusal: Reply,
) -> Reply {
    let asked_for = table::asked_for(args);
    if let (Some(command), Reply::Error(line)) = (asked_for, &refusal)
        && command.flags.has(Flags::EXEC)
    {
        transactions::end(session, core);
        // It has ended a transaction, or said that there is none: to monitors it has run.
        monitor::tell(server, settings, session, session.database, command, args);
        let why = line.as_bytes();
        let why = why.strip_prefix(b"ERR ").unwrap_or(why);
        let text = b"EXECABORT Transaction discarded because of: ";
        return Reply::error([text.as_slice(), why].concat());
    }
    if let Some(multi) = &mut session.multi {
        multi.broken = true;
    }
    refusal
}

fn enqueue(
    settings: &Settings,
    session: &mut Session,
    command: &Command,
    request: Request<'_>,
) -> Reply {
    let Some(multi) = &mut session.multi else {
        return Reply::Queued;
    };
    let bytes: usize = request.args.iter().map(|arg| arg.len()).sum();
    let too_many = multi.queue.len() as u64 >= settings.multi_commands_max
        || (multi.queue.bytes() + bytes) as u64 > settings.multi_bytes_max;
    if multi.broken {
        // EXEC will abort: nothing of it is needed. Redis answers QUEUED all the same.
        multi.queue = Queue::default();
        return Reply::Queued;
    }
    if too_many {
        multi.broken = true;
        return Reply::error(
            "ERR too much is queued in this MULTI, see multi-bytes-max and multi-commands-max",
        );
    }
    multi.writes |= command.flags.has(Flags::WRITE);
    multi.needs_memory |= command.flags.has(Flags::DENY_OOM);
    multi.lasts |= !command.brief;
    multi.queue.push(command.number, request.args, request.large());
    Reply::Queued
}

fn run(
    server: &Server,
    settings: &Settings,
    session: &mut Session,
    core: &mut Core,
    command: &'static Command,
    view: View,
    request: Request<'_>,
) -> Execution {
    // Whatever becomes of it. An EXEC without MULTI leaves watches as they are.
    let ends_multi = command.flags.has(Flags::EXEC) && session.multi.is_some();
    let bytes_max = settings.transaction_bytes_max as usize;
    let mut transaction = Transaction::begin(core, view, bytes_max);
    if let Some(token) = inside::token(session, command) {
        if !transaction.enter(token, settings.transactions_bytes_max as usize) {
            return inside::not_open().into();
        }
        transaction.reads_to_write(command.flags.has(Flags::WRITE));
    }
    let mut context = Context {
        server,
        settings,
        session,
        transaction: &mut transaction,
        in_exec: false,
        hold: None,
        large: request.large().map(|(_, large)| large),
        hits: 0,
        misses: 0,
    };
    let result = (command.run)(&mut context, request.args);
    let (hits, misses, hold) = (context.hits, context.misses, context.hold);
    let reply = match result {
        Ok(reply) | Err(Stop::Reply(reply)) => reply,
        Err(Stop::Fetch) => Reply::Null,
    };
    let execution = match transaction.finish(&Commit::default()) {
        Finished::Done { gate, waits_for, .. } => {
            if let Some(gate) = &gate {
                session.waits(waits_for, gate);
            }
            count(&server.counters, command, &reply, hits, misses);
            if matches!(reply, Reply::Error(_)) {
                inside::note_refused(session, command);
            }
            match hold {
                // Whoever asks for one has read and written nothing.
                Some(hold) => Execution::Held(reply, hold),
                None => Execution::Reply(reply, gate),
            }
        }
        Finished::Fetch(missing) => return Execution::Fetch(missing),
        Finished::Refused(refused) => not_committed(&refused.0).into(),
        Finished::ExpiryUnknown(refused) => expiry_unknown(&refused.0).into(),
        Finished::TooLarge => too_large().into(),
        Finished::TooManyOpen => inside::too_many_bytes().into(),
    };
    if ends_multi {
        transactions::end(session, core);
    }
    execution
}

/// Ends a command whose values the store didn't give, or didn't take.
pub fn fetch_failed(session: &mut Session, core: &mut Core, failed: &FetchFailed) -> Reply {
    // Only EXEC reads between MULTI and its end.
    if session.multi.is_some() {
        transactions::end(session, core);
    }
    match failed {
        FetchFailed::Read(why) => {
            Reply::error(format!("ERR a value could not be read from the store: {why}"))
        }
        FetchFailed::Write(why) | FetchFailed::Taken(why) => Reply::error(format!(
            "NOTCOMMITTED nothing was written, the store did not take a large value: {why}"
        )),
    }
}

/// Counts what was done, for INFO.
#[inline]
fn count(counters: &Counters, command: &Command, reply: &Reply, hits: u64, misses: u64) {
    if hits > 0 {
        counters.hits.fetch_add(hits, Ordering::Relaxed);
    }
    if misses > 0 {
        counters.misses.fetch_add(misses, Ordering::Relaxed);
    }
    match reply {
        Reply::Error(_) => counters.count_error(reply),
        Reply::Array(replies) if command.flags.has(Flags::EXEC) => {
            replies.iter().for_each(|reply| counters.count_error(reply));
        }
        _ => {}
    }
}

/// The reply of a transaction that is too large to be committed.
fn too_large() -> Reply {
    Reply::error(
        "ERR the transaction is larger than transaction-bytes-max or the store's largest object",
    )
}

/// The reply of a write that certainly did not happen.
pub fn not_committed(why: &str) -> Reply {
    Reply::error(format!("NOTCOMMITTED nothing was written, the store does not answer: {why}"))
}

/// The reply of a read that met an expired key while the store doesn't answer: a restart
/// might not know that its time is over.
fn expiry_unknown(why: &str) -> Reply {
    Reply::error(format!("ERR a key has just expired and the store does not answer: {why}"))
}

/// The reply of a write whose fate the store didn't tell in time.
pub fn uncertain() -> Reply {
    Reply::error("UNCERTAIN the store did not answer in time: the write may or may not be there")
}

/// The reply of a write that was given up before it was sent.
pub fn dropped() -> Reply {
    Reply::error("NOTCOMMITTED nothing was written, the store did not answer in time or refused it")
}
