//! Whether a user may run a command with these arguments.

use crate::command::client;
use crate::command::introspection::access;
use crate::command::table::{Command, Flags};
use crate::glob::glob_match;
use crate::resp::Reply;
use crate::server::Server;
use crate::server::users::{Denial, Rules, Selector};
use crate::session::Session;

/// What may not be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Denied {
    /// To run the command at all.
    Command,
    /// To use the key at this place.
    Key(usize),
}

/// Whether one of a user's selectors allows it; if none does, what stands in the way of the
/// one that comes closest.
pub(super) fn check(rules: &Rules, command: &Command, args: &[&[u8]]) -> Result<(), Denied> {
    let mut closest = Denied::Command;
    for selector in rules.all_selectors() {
        match check_selector(selector, command, args) {
            Ok(()) => return Ok(()),
            Err(denied) => closest = closest.max(denied),
        }
    }
    Err(closest)
}

fn check_selector(selector: &Selector, command: &Command, args: &[&[u8]]) -> Result<(), Denied> {
    // Everybody may log in.
    let any_command = selector.all_commands || command.flags.has(Flags::NO_AUTH);
    if !any_command && !selector.commands.has(command.number) {
        let allowed = selector.first_args.get(&command.number).map(Vec::as_slice);
        let first = args.get(if command.name.contains('|') { 2 } else { 1 });
        let matches = |first: &&[u8]| {
            allowed.unwrap_or_default().iter().any(|own| own.eq_ignore_ascii_case(first))
        };
        if !first.is_some_and(matches) {
            return Err(Denied::Command);
        }
    }
    if selector.all_keys || command.keys.is_none() {
        return Ok(());
    }
    for part in command.keys.each_part() {
        // What is done to all keys alike may depend on the arguments.
        let access =
            if command.keys.parts.is_empty() { access(command, args) } else { part.access };
        let reads = access.contains(&"access");
        let writes = ["insert", "delete", "update"].iter().any(|write| access.contains(write));
        let allowed = |at: usize| {
            selector.keys.iter().any(|keys| {
                (keys.read || !reads)
                    && (keys.write || !writes)
                    && glob_match(&keys.pattern, args[at], false)
            })
        };
        if let Some(denied) = part.positions(args.len()).find(|at| !allowed(*at)) {
            return Err(Denied::Key(denied));
        }
    }
    Ok(())
}

/// Where a command was denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::command) enum Place {
    /// When it arrived.
    Arrival,
    /// When EXEC wanted to run it.
    Exec,
}

/// Whether the user of a session may run a command; otherwise the error that says so.
#[inline]
pub(in crate::command) fn admit(
    server: &Server,
    session: &mut Session,
    command: &Command,
    args: &[&[u8]],
    place: Place,
) -> Result<(), Reply> {
    if session.user.is_unrestricted() {
        return Ok(());
    }
    admit_restricted(server, session, command, args, place)
}

fn admit_restricted(
    server: &Server,
    session: &mut Session,
    command: &Command,
    args: &[&[u8]],
    place: Place,
) -> Result<(), Reply> {
    let denied = check(&session.user.rules(), command, args);
    denied.map_err(|denied| deny(server, session, command, args, place, denied))
}

/// Whether the user of a session may run a command.
pub(in crate::command) fn may_run(session: &Session, args: &[&[u8]]) -> bool {
    let command = crate::command::table::find(args);
    command.is_ok_and(|command| check(&session.user.rules(), command, args).is_ok())
}

#[cold]
fn deny(
    server: &Server,
    session: &mut Session,
    command: &Command,
    args: &[&[u8]],
    place: Place,
    denied: Denied,
) -> Reply {
    let (reason, object) = match denied {
        Denied::Command => ("command", command.name.as_bytes()),
        Denied::Key(at) => ("key", args[at]),
    };
    if place == Place::Arrival {
        session.last_command = command.name;
    }
    let inside = place == Place::Exec || session.multi.is_some();
    let user = session.user.name.to_vec();
    note(server, session, reason, inside, object, user);
    let text = match (place, denied) {
        (Place::Arrival, Denied::Command) => {
            let name = command.name;
            format!("NOPERM this user has no permissions to run the '{name}' command")
        }
        (Place::Arrival, Denied::Key(_)) => {
            "NOPERM this user has no permissions to access one of the keys used as arguments".into()
        }
        (Place::Exec, denied) => {
            let why = match denied {
                Denied::Command => "no permission to execute the command or subcommand",
                Denied::Key(_) => "no permission to touch the specified keys",
            };
            format!(
                "NOPERM ACLs rules changed between the moment the transaction was accumulated and \
                 the EXEC call. This command is no longer allowed for the following reason: {why}"
            )
        }
    };
    Reply::error(text)
}

/// Notes that somebody could not log in under a name.
pub(in crate::command) fn login_denied(
    server: &Server,
    session: &Session,
    command: &[u8],
    name: &[u8],
    in_exec: bool,
) {
    let inside = in_exec || session.multi.is_some();
    note(server, session, "auth", inside, command, name.to_vec());
}

fn note(
    server: &Server,
    session: &Session,
    reason: &'static str,
    inside: bool,
    object: &[u8],
    user: Vec<u8>,
) {
    let now_ms = server.uptime_ms();
    session.publish_now(now_ms);
    let mut shown = Vec::new();
    client::describe(&session.client, now_ms, &mut shown);
    server.users.denied(Denial {
        count: 1,
        reason,
        context: if inside { "multi" } else { "toplevel" },
        object: object.to_vec(),
        user,
        wall_ms: server.wall_ms(),
        client: shown.trim_ascii_end().to_vec(),
    });
}
