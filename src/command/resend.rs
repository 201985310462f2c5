//! Lost replies: on a bound connection a command that its client library sends again is told
//! what it came to the first time. How it is known is in [`crate::engine::interactive::resend`].

use super::inside::touches_data;
use super::table::{self, Command, Flags};
use super::{Execution, Request, acl, execute_now, transactions};
use crate::config::Settings;
use crate::engine::core::Core;
use crate::engine::interactive::resend::{Again, Answered, Limits, Loop, request_bytes};
use crate::resp::Reply;
use crate::server::{Client, Server};
use crate::session::{Session, Watch};
use crate::small_bytes::SmallKey;
use crate::transaction::Watched;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What touches no data and belongs to what does.
const AROUND_DATA: [&str; 3] = ["multi", "discard", "unwatch"];

/// Runs a request of a connection that is or was bound to a transaction.
#[cold]
pub(super) fn execute(
    server: &Server,
    settings: &Settings,
    session: &mut Session,
    core: &mut Core,
    request: Request<'_>,
) -> Execution {
    let Some(command) = counts(session, settings, request.args) else {
        return execute_now(server, settings, session, core, request);
    };
    if let Some(answered) = find(server, session, core, command, request.args) {
        let execution = match answered.again() {
            Again::Run => execute_now(server, settings, session, core, request),
            Again::Queued | Again::Watch(_) if session.multi.is_some() => {
                execute_now(server, settings, session, core, request)
            }
            again => tell_again(server, session, core, command, again),
        };
        if let Some(resends) = &mut session.resends {
            match execution {
                // It may get lost once more.
                Execution::Reply(..) => {
                    resends.unread.note(answered, core.monotonic(), &limits(settings));
                }
                _ => resends.not_yet(),
            }
        }
        return execution;
    }
    let (database, watches) = (session.database, session.watches.len());
    let execution = execute_now(server, settings, session, core, request);
    if let Execution::Reply(reply, gate) = &execution {
        let again = match reply {
            // Nothing of it happened.
            Reply::Error(_) => Again::Run,
            Reply::Queued => Again::Queued,
            _ if AROUND_DATA.contains(&command.name) => Again::Run,
            Reply::Ok if command.name == "watch" => Again::Watch(watched(session, watches)),
            reply => Again::Reply(reply.clone(), gate.clone()),
        };
        let answered = (database, request.args, again);
        note(settings, session, core.monotonic(), answered);
    }
    execution
}

fn limits(settings: &Settings) -> Limits {
    Limits {
        commands: settings.resend_commands_max as usize,
        bytes: settings.resend_bytes_max as usize,
    }
}

/// The command, if it is of those that are remembered.
fn counts(session: &Session, settings: &Settings, args: &[&[u8]]) -> Option<&'static Command> {
    let token = session.bound()?;
    let is_bound = session.resends.as_ref().is_some_and(|resends| resends.token == token);
    let command = table::find(args).ok()?;
    let in_loop = session.multi.is_some() || !session.watches.is_empty();
    // A library says UNWATCH where there is nothing to unwatch.
    let around = AROUND_DATA.contains(&command.name) && (in_loop || command.name == "multi");
    let counts = touches_data(command) || around || session.multi.is_some();
    (is_bound && counts && settings.resend_window_ms > 0).then_some(command)
}

/// What an earlier connection was answered, if whoever asks may know.
fn find(
    server: &Server,
    session: &mut Session,
    core: &mut Core,
    command: &Command,
    args: &[&[u8]],
) -> Option<Answered> {
    let resends = session.resends.as_mut()?;
    if !core.may_hear_again(resends.token, &session.user.name) {
        return None;
    }
    let gives_up = ["discard", "unwatch"].contains(&command.name);
    let found = core.find_answered(resends, session.database, args, gives_up)?;
    if acl::admit(server, session, command, args, acl::Place::Arrival).is_err() {
        session.resends.as_mut()?.not_yet();
        return None;
    }
    Some(found)
}

fn tell_again(
    server: &Server,
    session: &mut Session,
    core: &mut Core,
    command: &'static Command,
    again: &Again,
) -> Execution {
    session.last_command = command.name;
    server.counters.replies_repeated.fetch_add(1, Ordering::Relaxed);
    match again {
        Again::Reply(reply, gate) => {
            if command.flags.has(Flags::EXEC) {
                transactions::end(session, core);
            }
            Execution::Reply(reply.clone(), gate.clone())
        }
        Again::Watch(keys) => {
            watch_again(session, keys);
            Reply::Ok.into()
        }
        Again::Queued => Reply::Queued.into(),
        Again::Run => Reply::Ok.into(),
    }
}

/// The keys that a WATCH has added, as it found them.
fn watched(session: &Session, before: usize) -> Vec<(u8, SmallKey, u32)> {
    let state = |watch: &Watch| match watch.watched {
        Watched::Inside { revision, .. } => {
            Some((watch.database, SmallKey::from(&*watch.key), revision))
        }
        Watched::Version { .. } => None,
    };
    session.watches[before..].iter().filter_map(state).collect()
}

fn watch_again(session: &mut Session, keys: &[(u8, SmallKey, u32)]) {
    let Some(token) = session.bound() else { return };
    for (database, key, revision) in keys {
        let is_it = |watch: &Watch| watch.database == *database && *watch.key == **key;
        if session.watches.iter().any(is_it) {
            continue;
        }
        session.watched_bytes += key.len();
        session.watches.push(Watch {
            database: *database,
            key: key.as_slice().into(),
            watched: Watched::Inside { id: token.id, revision: *revision },
        });
    }
}

fn note(
    settings: &Settings,
    session: &mut Session,
    now: Duration,
    (database, args, again): (u8, &[&[u8]], Again),
) {
    let open = match (&session.multi, session.watches.is_empty()) {
        (Some(_), _) => Loop::Multi,
        (None, false) => Loop::Watch,
        (None, true) => Loop::None,
    };
    let Some(resends) = &mut session.resends else { return };
    let limits = limits(settings);
    if request_bytes(args) > limits.bytes {
        // Not even copied.
        resends.unread.forget();
    } else {
        resends.unread.note(Answered::new(database, args, again, open), now, &limits);
    }
}

/// Leaves with the transaction what a connection that ends may not have heard; `true` if there
/// is such.
pub fn leave(settings: &Settings, session: &mut Session, core: &mut Core, client: &Client) -> bool {
    let Some(resends) = session.resends.take() else { return false };
    let token = resends.token;
    let until = core.monotonic() + Duration::from_millis(settings.resend_window_ms);
    let Some(tail) = resends.into_tail(client.id, until) else { return false };
    let all_bytes_max = settings.transactions_bytes_max as usize;
    core.leave_tail(token, tail, &limits(settings), all_bytes_max);
    true
}
