//! What is noted of every command that has run: its time and its end, for INFO, for SLOWLOG
//! if it took long, and for whoever watches with MONITOR.

use super::Context;
use super::monitor;
use super::redact::redacted;
use super::table::{Command, Flags};
use crate::config::Settings;
use crate::engine::core::Core;
use crate::resp::Reply;
use crate::server::Server;
use crate::server::slowlog::{self, SlowCommand};
use crate::server::statistics::Call;
use crate::session::meter::EXEC_MAX;
use crate::session::{Multi, Session};
use smallvec::SmallVec;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A brief command with more bytes of arguments isn't.
const BRIEF_BYTES_MAX: usize = 4096;

/// Below this many microseconds SLOWLOG wants to know exactly, and each command is timed by
/// itself. Above, no brief command gets there but by a pause of the whole machine.
const EXACT_BELOW_US: i64 = 1000;

/// Whether a command is timed by itself, see [`crate::session::meter`].
#[inline]
fn is_timed_alone(settings: &Settings, brief: bool, args: &[&[u8]]) -> bool {
    !brief
        || wants_exact_times(settings)
        || args.iter().map(|arg| arg.len()).sum::<usize>() > BRIEF_BYTES_MAX
}

#[inline]
fn wants_exact_times(settings: &Settings) -> bool {
    (0..EXACT_BELOW_US).contains(&settings.slowlog_slower_than_us)
}

/// Whether an EXEC is timed with its neighbours, and with it what it runs.
fn is_brief_exec(session: &Session, multi: &Multi) -> bool {
    !multi.lasts
        && multi.queue.len().max(session.watches.len()) <= EXEC_MAX
        && multi.queue.bytes() <= BRIEF_BYTES_MAX
}

/// Before the first command of a turn.
#[inline]
pub fn begin_turn(session: &mut Session, core: &Core) {
    session.meter.begin(core.monotonic());
}

/// After the last command of a turn.
#[inline]
pub fn end_turn(server: &Server, session: &mut Session) {
    if !session.meter.is_empty() {
        session.meter.end(server, server.monotonic());
    }
}

/// Before a command runs; says whether it is timed by itself.
#[inline]
pub(super) fn before(
    server: &Server,
    settings: &Settings,
    session: &mut Session,
    command: &Command,
    args: &[&[u8]],
) -> bool {
    let brief = match &session.multi {
        Some(multi) if command.flags.has(Flags::EXEC) => is_brief_exec(session, multi),
        _ => command.brief,
    };
    let alone = is_timed_alone(settings, brief, args);
    if alone && !session.meter.is_empty() {
        session.meter.end(server, server.monotonic());
    }
    alone
}

/// After it has run.
#[inline]
pub(super) fn after(
    server: &Server,
    settings: &Settings,
    session: &mut Session,
    command: &Command,
    args: &[&[u8]],
    reply: &Reply,
    alone: bool,
) {
    monitor::tell(server, settings, session, session.database, command, args);
    let failed = matches!(reply, Reply::Error(_));
    let around = match reply {
        Reply::Array(replies) if !alone && command.flags.has(Flags::EXEC) => replies.len() as u8,
        _ => 0,
    };
    session.meter.add(Call { command: command.number, failed, around });
    if alone {
        let took = session.meter.end(server, server.monotonic());
        if command.flags.has(Flags::ADMIN) {
            // It may have changed the settings, and those hold for itself already.
            let settings = server.settings();
            log_if_slow(server, &settings, session, command, args, took);
            server.slowlog().trim(settings.slowlog_entries_max);
        } else {
            log_if_slow(server, settings, session, command, args, took);
        }
    } else if session.meter.is_full() {
        session.meter.end(server, server.monotonic());
    }
}

#[inline]
fn log_if_slow(
    server: &Server,
    settings: &Settings,
    session: &Session,
    command: &Command,
    args: &[&[u8]],
    took: Duration,
) {
    if is_slow(settings, took) {
        log_slow(server, settings, session, command, args, took);
    }
}

#[inline]
fn is_slow(settings: &Settings, took: Duration) -> bool {
    let slow_us = u64::try_from(settings.slowlog_slower_than_us);
    slow_us.is_ok_and(|slow_us| took.as_micros() >= u128::from(slow_us))
}

#[cold]
fn log_slow(
    server: &Server,
    settings: &Settings,
    session: &Session,
    command: &Command,
    args: &[&[u8]],
    took: Duration,
) {
    if command.flags.has(Flags::SKIP_SLOWLOG) || settings.slowlog_entries_max == 0 {
        return;
    }
    let entry = SlowCommand {
        id: 0,
        wall_s: server.wall_ms() / 1000,
        took,
        args: slowlog::cut(&redacted(command, args)),
        address: session.client.address.clone(),
        name: session.client.state().name.clone(),
    };
    server.slowlog().push(entry, settings.slowlog_entries_max);
}

/// One command inside an EXEC.
struct Timed {
    /// Its place in the queue.
    at: usize,
    command: &'static Command,
    call: Call,
    took: Duration,
    database: u8,
}

/// Times the commands inside an EXEC. What it measured counts once the EXEC is sure not to
/// run again.
pub(super) struct Inside {
    /// The EXEC is timed by itself. If not, neither are these.
    alone: bool,
    since: Duration,
    calls: SmallVec<[Timed; 4]>,
    /// So many of `calls` have their time.
    timed: usize,
}

impl Inside {
    /// An EXEC that is timed by itself reads the clock: what it misses may have been read for it since
    /// its turn began.
    pub(super) fn begin(context: &Context<'_, '_>, multi: &Multi) -> Self {
        let session = &*context.session;
        let alone = wants_exact_times(context.settings) || !is_brief_exec(session, multi);
        let since = if alone { context.server.monotonic() } else { session.meter.since() };
        Self { alone, since, calls: SmallVec::new(), timed: 0 }
    }

    /// Whether the next command is timed by itself.
    pub(super) fn before(
        &mut self,
        context: &Context<'_, '_>,
        command: &Command,
        args: &[&[u8]],
    ) -> bool {
        let alone = self.alone && is_timed_alone(context.settings, command.brief, args);
        if alone {
            self.read_clock(context.server);
        }
        alone
    }

    /// The command at `at` of the queue has run.
    pub(super) fn after(
        &mut self,
        context: &Context<'_, '_>,
        at: usize,
        command: &'static Command,
        failed: bool,
        alone: bool,
    ) {
        let call = Call { command: command.number, failed, around: 0 };
        let database = context.session.database;
        self.calls.push(Timed { at, command, call, took: Duration::ZERO, database });
        if alone {
            self.read_clock(context.server);
        }
    }

    fn read_clock(&mut self, server: &Server) {
        let run = &mut self.calls[self.timed..];
        let Ok(calls @ 1..) = u32::try_from(run.len()) else {
            return;
        };
        let now = server.monotonic();
        let took = now.saturating_sub(self.since) / calls;
        run.iter_mut().for_each(|timed| timed.took = took);
        self.since = now;
        self.timed = self.calls.len();
    }

    /// Counts all of it.
    pub(super) fn end(mut self, context: &mut Context<'_, '_>, multi: &Multi) {
        let (server, settings) = (context.server, context.settings);
        if self.alone {
            self.read_clock(server);
            let mut statistics = server.statistics();
            for timed in &self.calls {
                statistics.ran(&[timed.call], timed.took);
            }
            drop(statistics);
            server.counters.commands.fetch_add(self.calls.len() as u64, Ordering::Relaxed);
        } else {
            self.calls.iter().for_each(|timed| context.session.meter.add(timed.call));
        }
        let session = &*context.session;
        for timed in &self.calls {
            if server.monitors.any() || is_slow(settings, timed.took) {
                let args = multi.queue.args(timed.at);
                monitor::tell(server, settings, session, timed.database, timed.command, &args);
                log_if_slow(server, settings, session, timed.command, &args, timed.took);
            }
        }
    }
}
