//! RENAME, COPY, MOVE, SWAPDB: keys that go elsewhere.

use super::parse::{database_arg, integer, syntax_error};
use super::{CommandResult, Context, Stop};
use crate::resp::Reply;

/// Whether what is in the way of a key is replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Replaced,
    Kept,
}

/// RENAME key newkey
pub(super) fn rename(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    rename_key(context, args, Target::Replaced)?;
    Ok(Reply::Ok)
}

/// RENAMENX key newkey
pub(super) fn renamenx(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let renamed = rename_key(context, args, Target::Kept)?;
    Ok(Reply::Integer(i64::from(renamed)))
}

fn rename_key(context: &mut Context<'_, '_>, args: &[&[u8]], target: Target) -> Result<bool, Stop> {
    let (database, key, new_key) = (context.session.database, args[1], args[2]);
    if !context.transaction.exists(database, key) {
        return Err(Reply::error("ERR no such key").into());
    }
    // To its own name: nothing is to be done, and no watch is touched.
    if key == new_key {
        return Ok(false);
    }
    transfer(context, (database, key), (database, new_key), target, true)
}

/// COPY source destination [DB destination-db] [REPLACE]
pub(super) fn copy(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let from = (context.session.database, args[1]);
    let mut to = (context.session.database, args[2]);
    let mut target = Target::Kept;
    let mut options = args[3..].iter();
    while let Some(option) = options.next() {
        if option.eq_ignore_ascii_case(b"replace") {
            target = Target::Replaced;
        } else if option.eq_ignore_ascii_case(b"db") {
            to.0 = database_arg(context, options.next().ok_or_else(syntax_error)?)?;
        } else {
            return Err(syntax_error());
        }
    }
    if from == to {
        return Err(same_object());
    }
    let exists = context.transaction.exists(from.0, from.1);
    context.looked_up(exists);
    let copied = transfer(context, from, to, target, false)?;
    Ok(Reply::Integer(i64::from(copied)))
}

/// MOVE key db
pub(super) fn move_key(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let from = (context.session.database, args[1]);
    let to = (database_arg(context, args[2])?, args[1]);
    if from == to {
        return Err(same_object());
    }
    let moved = transfer(context, from, to, Target::Kept, true)?;
    Ok(Reply::Integer(i64::from(moved)))
}

fn same_object() -> Stop {
    Reply::error("ERR source and destination objects are the same").into()
}

/// Puts the value and the expiry of a key elsewhere, by database and key; `false` if there
/// is none, or something in the way that is kept. A value that is in the store only is
/// fetched first.
fn transfer(
    context: &mut Context<'_, '_>,
    from: (u8, &[u8]),
    to: (u8, &[u8]),
    target: Target,
    delete: bool,
) -> Result<bool, Stop> {
    let transaction = &mut *context.transaction;
    let exists = transaction.exists(from.0, from.1);
    if !exists || (target == Target::Kept && transaction.exists(to.0, to.1)) {
        return Ok(false);
    }
    let Some((body, expires_ms)) = transaction.body(from.0, from.1)? else {
        return Ok(false);
    };
    transaction.put_body(to.0, to.1, body, expires_ms);
    if delete {
        transaction.delete(from.0, from.1);
    }
    Ok(true)
}

/// SWAPDB index1 index2
pub(super) fn swapdb(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let index = |text: &[u8], error: &'static str| {
        let index = integer(text).and_then(|index| i32::try_from(index).ok());
        index.ok_or_else(|| Stop::from(Reply::error(error)))
    };
    let one = index(args[1], "ERR invalid first DB index")?;
    let other = index(args[2], "ERR invalid second DB index")?;
    let databases = context.transaction.databases();
    let known = |index: i32| u8::try_from(index).ok().filter(|index| *index < databases);
    let (Some(one), Some(other)) = (known(one), known(other)) else {
        return Err(Reply::error("ERR DB index is out of range").into());
    };
    context.transaction.swap(one, other);
    Ok(Reply::Ok)
}
