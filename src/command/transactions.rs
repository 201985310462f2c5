//! MULTI, EXEC, DISCARD, WATCH, UNWATCH: <https://redis.io/docs/latest/develop/interact/transactions/>.
//!
//! EXEC runs everything queued in one transaction, so all that stands becomes visible at
//! one instant and lies in one group. A command that fails inside leaves the others
//! standing, as in Redis: clients rely on it.

use super::measure::Inside;
use super::table::{self, Command, Flags};
use super::{CommandResult, Context, Stop, acl};
use crate::engine::core::Core;
use crate::resp::Reply;
use crate::session::{Multi, Session, Watch};
use crate::transaction::Transaction;

/// MULTI
pub(super) fn multi(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    if context.session.multi.is_some() {
        return Err(Reply::error("ERR MULTI calls can not be nested").into());
    }
    let queue = std::mem::take(&mut context.session.spare_queue);
    context.session.multi = Some(Multi { queue, ..Multi::default() });
    Ok(Reply::Ok)
}

/// DISCARD
pub(super) fn discard(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    if context.session.multi.take().is_none() {
        return Err(Reply::error("ERR DISCARD without MULTI").into());
    }
    unwatch_all(context);
    Ok(Reply::Ok)
}

/// WATCH key …
pub(super) fn watch(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    if context.session.multi.is_some() {
        return Err(Reply::error("ERR WATCH inside MULTI is not allowed").into());
    }
    let database = context.session.database;
    for key in &args[1..] {
        let known = context
            .session
            .watches
            .iter()
            .any(|watch| watch.database == database && *watch.key == **key);
        if known {
            // Inside of a transaction the key may have been forgotten with a command that failed.
            if context.transaction.is_inside() {
                context.transaction.watch(database, key);
            }
            continue;
        }
        if context.session.watches.len() as u64 >= context.settings.watched_keys_max {
            let text = "ERR too many keys are watched, see watched-keys-max";
            return Err(Reply::error(text).into());
        }
        let watched = context.transaction.watch(database, key);
        context.session.watched_bytes += key.len();
        context.session.watches.push(Watch { database, key: (*key).into(), watched });
    }
    Ok(Reply::Ok)
}

/// UNWATCH
pub(super) fn unwatch(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    unwatch_all(context);
    Ok(Reply::Ok)
}

/// EXEC
pub(super) fn exec(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    let Some(multi) = &context.session.multi else {
        return Err(Reply::error("ERR EXEC without MULTI").into());
    };
    if multi.broken {
        let text = "EXECABORT Transaction discarded because of previous errors.";
        return Err(Reply::error(text).into());
    }
    let holds = |watch: &Watch, transaction: &mut Transaction<'_>| {
        transaction.watch_holds(watch.database, &watch.key, watch.watched)
    };
    let stand = context.session.watches_stand();
    let watches = &context.session.watches;
    let untouched = watches.iter().all(|watch| holds(watch, context.transaction));
    if !untouched || !stand {
        return Ok(Reply::NullArray);
    }
    // Taken out while it runs (no command in it may change it), put back if it has to run again.
    let Some(multi) = context.session.multi.take() else {
        return Ok(Reply::NullArray);
    };
    let before = context.session.database;
    context.session.executing = Some((multi.queue.len(), multi.queue.bytes()));
    let result = run_queue(context, &multi);
    context.session.executing = None;
    if matches!(result, Err(Stop::Fetch)) {
        context.session.database = before;
        context.session.multi = Some(multi);
    } else {
        context.session.spare_queue = multi.queue.emptied();
    }
    result
}

fn run_queue(context: &mut Context<'_, '_>, multi: &Multi) -> CommandResult {
    let mut replies = Vec::with_capacity(multi.queue.len());
    let mut missing = false;
    let mut inside = Inside::begin(context, multi);
    context.in_exec = true;
    for at in 0..multi.queue.len() {
        let args = multi.queue.args(at);
        context.large = multi.queue.large(at).cloned();
        let command = table::by_number(multi.queue.command(at));
        // Rules may have changed since it was queued.
        let (server, session) = (context.server, &mut *context.session);
        let result = match acl::admit(server, session, command, &args, acl::Place::Exec) {
            Ok(()) => {
                context.transaction.reads_to_write(command.flags.has(Flags::WRITE));
                let alone = inside.before(context, command, &args);
                let result = (command.run)(context, &args);
                let failed = matches!(result, Err(Stop::Reply(_)) | Ok(Reply::Error(_)));
                inside.after(context, at, command, failed, alone);
                result
            }
            Err(refusal) => Err(refusal.into()),
        };
        match result {
            // CLIENT REPLY OFF; each command has its place in the array, come what may.
            Ok(Reply::None) => replies.push(Reply::Null),
            Ok(reply) | Err(Stop::Reply(reply)) => replies.push(reply),
            // Goes on, so that all missing values are fetched at once.
            Err(Stop::Fetch) => missing = true,
        }
    }
    context.in_exec = false;
    if missing || context.transaction.misses_blobs() {
        return Err(Stop::Fetch);
    }
    inside.end(context, multi);
    Ok(Reply::Array(replies))
}

/// Whether a command has to run on the tip for what was queued or watched before it.
pub(super) fn needs_tip(session: &Session, command: &Command) -> bool {
    command.flags.has(Flags::EXEC)
        && (!session.watches.is_empty() || session.multi.as_ref().is_some_and(|multi| multi.writes))
}

/// Nothing is queued or watched any more.
pub(super) fn end(session: &mut Session, core: &mut Core) {
    session.multi = None;
    forget_watches(session, core);
}

/// Drops all watches of a session, at EXEC or when its connection ends.
pub fn forget_watches(session: &mut Session, core: &mut Core) {
    session.watched_bytes = 0;
    session.watches_broken = false;
    for watch in std::mem::take(&mut session.watches) {
        watch.watched.let_go(core, &watch.key);
    }
}

/// Drops all watches of a session, inside a command.
pub(super) fn unwatch_all(context: &mut Context<'_, '_>) {
    context.session.watched_bytes = 0;
    context.session.watches_broken = false;
    for watch in std::mem::take(&mut context.session.watches) {
        context.transaction.unwatch(watch.watched, &watch.key);
    }
}
