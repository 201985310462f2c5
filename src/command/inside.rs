//! Commands of a connection that is inside of an interactive transaction.
//!
//! All that touches data runs in the transaction, and nowhere else: when that is not open, the
//! command is refused. So half a request can't slip out after a timeout or a restart. What is
//! about the connection or the server runs as always.
//!
//! A connection comes there by AFT.BEGIN or AFT.JOIN, or is *bound*, without any change in
//! what it runs, by its client name `aft:<token>` or by logging in as `<user>~<token>`. It also
//! comes there where BEGIN or JOIN is refused, or answers that there is nothing left to do: what
//! a client sends along, before it knows the answer, must not run outside.

use super::table::{Command, Flags};
use crate::engine::core::Core;
use crate::engine::core::interactive::Unusable;
use crate::engine::gate::Gate;
use crate::engine::interactive::Token;
use crate::resp::Reply;
use crate::server::users::Users;
use crate::session::{Bound, Membership, Session};
use std::sync::Arc;

/// What a client name begins with that binds its connection; a token follows.
const NAME_PREFIX: &[u8] = b"aft:";

/// What no transaction can undo or check.
const REFUSED: [&str; 3] = ["flushall", "flushdb", "swapdb"];

/// What reads all keys there are, of which a serializable transaction would have to check
/// those that are not there.
const REFUSED_SERIALIZABLE: [&str; 4] = ["scan", "keys", "dbsize", "randomkey"];

/// What takes a connection inside.
const ENTERS: [&str; 2] = ["aft.begin", "aft.join"];

/// A command was refused. If it should have taken its connection inside, what was sent behind it
/// runs nowhere, until the client leaves, or begins anew: neither outside nor in a transaction that
/// the connection was in before.
pub(super) fn note_refused(session: &mut Session, command: &Command) {
    let by_call = session.inside.is_none_or(|membership| membership.by == Bound::ByCall);
    if by_call && ENTERS.contains(&command.name) {
        session.bind(Some(Membership { token: None, by: Bound::ByCall }));
    }
}

/// Whether the latest command of a connection was to commit an interactive transaction.
pub fn has_committed(session: &Session) -> bool {
    session.last_command == "aft.commit"
}

/// Whether a command runs in the transaction of its connection.
pub(super) fn touches_data(command: &Command) -> bool {
    command.flags.has(Flags::DATA.and(Flags::EXEC)) || !command.keys.is_none()
}

/// The transaction that a command runs in, if it is an interactive one.
#[inline]
pub(super) fn token(session: &Session, command: &Command) -> Option<Token> {
    let membership = session.inside?;
    membership.token.filter(|_| touches_data(command))
}

/// Refuses what can't run in the transaction of its connection.
#[inline]
pub(super) fn admit(session: &Session, core: &Core, command: &Command) -> Result<(), Reply> {
    match &session.inside {
        Some(membership) if touches_data(command) => {
            admit_inside(session, core, command, membership.token)
        }
        _ => Ok(()),
    }
}

fn admit_inside(
    session: &Session,
    core: &Core,
    command: &Command,
    token: Option<Token>,
) -> Result<(), Reply> {
    let token = token.ok_or_else(not_open)?;
    let open = core.usable(token, &session.user.name).map_err(|unusable| refusal(&unusable))?;
    let serializable = open.terms.serializable;
    let name = command.name;
    if REFUSED.contains(&name) {
        let name = name.to_uppercase();
        return Err(Reply::error(format!("ERR {name} can't run inside an AFT transaction")));
    }
    if serializable && REFUSED_SERIALIZABLE.contains(&name) {
        let name = name.to_uppercase();
        let text = format!("ERR {name} can't run inside a SERIALIZABLE transaction");
        return Err(Reply::error(text));
    }
    Ok(())
}

/// What a connection has been answered before, its transaction sees: the snapshot is taken
/// when that is acknowledged.
#[inline]
pub(super) fn must_wait(session: &Session, core: &Core, command: &Command) -> Option<Arc<Gate>> {
    let token = token(session, command)?;
    let gate = session.pending_gate()?;
    let open = core.interactive().registry.get(token.id)?;
    open.snapshot.is_none().then(|| Arc::clone(gate))
}

/// Binds a connection to the transaction that its new name tells of; any other name takes it
/// out of the one that an earlier name has brought it to.
pub(super) fn bind_by_name(session: &mut Session, name: &[u8]) {
    match name.strip_prefix(NAME_PREFIX) {
        Some(token) => {
            let token = Token::parse(token);
            session.bind(Some(Membership { token, by: Bound::ByName }));
        }
        None => leave_if(session, Bound::ByName),
    }
}

/// Binds a connection that has logged in with a token, or without.
pub(super) fn bind_by_user(session: &mut Session, token: Option<&[u8]>) {
    match token {
        Some(token) => {
            let token = Token::parse(token);
            session.bind(Some(Membership { token, by: Bound::ByUser }));
        }
        None => leave_if(session, Bound::ByUser),
    }
}

fn leave_if(session: &mut Session, by: Bound) {
    if session.inside.is_some_and(|membership| membership.by == by) {
        session.bind(None);
    }
}

/// A user's name, and the token behind its last `~`. A user whose own name has a `~` is no
/// token's.
pub(super) fn user_and_token<'a>(users: &Users, name: &'a [u8]) -> (&'a [u8], Option<&'a [u8]>) {
    let Some(at) = name.iter().rposition(|byte| *byte == b'~') else {
        return (name, None);
    };
    match users.get(name) {
        Some(_) => (name, None),
        None => (&name[..at], Some(&name[at + 1..])),
    }
}

/// The reply where no such transaction is open.
pub(super) fn not_open() -> Reply {
    refusal(&Unusable::NotOpen)
}

/// The reply where open transactions hold too much.
pub(super) fn too_many_bytes() -> Reply {
    Reply::error("ERR open transactions hold too much, see transactions-bytes-max")
}

/// Why a transaction can't be worked with, in words.
pub(super) fn refusal(unusable: &Unusable) -> Reply {
    match unusable {
        Unusable::NotOpen => Reply::error("NOTXN no such transaction is open"),
        Unusable::StepDone => Reply::error("NOTXN this step is done"),
        Unusable::Stale => Reply::error("STALE a later attempt has taken the place of this one"),
        Unusable::Foreign => Reply::error("NOPERM this transaction is another user's"),
        Unusable::Entangled => Reply::error(
            "CONFLICT what this step wrote can't be taken back alone: restart the request",
        ),
        Unusable::OtherTerms => {
            Reply::error("ERR the request was begun without SERIALIZABLE: restart it")
        }
        Unusable::Full(setting) => {
            Reply::error(format!("ERR no transaction can begin now, see {setting}"))
        }
    }
}
