//! When a node answers nothing that depends on data: somebody else may have written since.

use super::table::{Command, Flags};
use crate::engine::core::{Core, Health};
use crate::resp::Reply;
use std::time::Duration;

/// Refuses what would read or write where what is in memory may be old, or is.
#[inline]
pub(super) fn admit(core: &Core, command: &Command) -> Result<(), Reply> {
    if let Health::Fenced(why) = core.health() {
        return Err(Reply::error(format!("ERR this aft node was stopped: {why}")));
    }
    match core.silenced_for() {
        None => Ok(()),
        Some(time) => Err(no_lease(command, time)),
    }
}

/// Nothing has been done, whatever it was: that is certain, so a write may say so.
fn no_lease(command: &Command, time: Duration) -> Reply {
    let code = match command.flags.has(Flags::WRITE.and(Flags::EXEC)) {
        true => "NOTCOMMITTED nothing was written",
        false => "NOLEASE nothing is read",
    };
    Reply::error(format!(
        "{code}: the store has not answered for {} ms, which is longer than the lease; another node \
         may have taken over",
        time.as_millis()
    ))
}
