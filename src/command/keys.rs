//! Keys of any type: <https://redis.io/docs/latest/commands/?group=generic>.

use super::parse::syntax_error;
use super::{CommandResult, Context};
use crate::resp::Reply;

/// DEL key …, UNLINK key …
pub(super) fn del(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let database = context.session.database;
    let deleted = args[1..].iter().filter(|key| context.transaction.delete(database, key)).count();
    Ok(Reply::Integer(deleted as i64))
}

/// EXISTS key …, TOUCH key …; a key named twice counts twice.
pub(super) fn exists(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let database = context.session.database;
    let mut existing = 0;
    for key in &args[1..] {
        let exists = context.transaction.exists(database, key);
        context.looked_up(exists);
        existing += i64::from(exists);
    }
    Ok(Reply::Integer(existing))
}

/// TYPE key
pub(super) fn type_of(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let exists = context.transaction.exists(context.session.database, args[1]);
    context.looked_up(exists);
    Ok(Reply::simple(if exists { "string" } else { "none" }))
}

/// DBSIZE
pub(super) fn dbsize(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    Ok(Reply::Integer(context.transaction.count(context.session.database) as i64))
}

/// FLUSHDB [ASYNC | SYNC]
pub(super) fn flushdb(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    check_flush_option(args)?;
    context.transaction.flush(context.session.database);
    Ok(Reply::Ok)
}

/// FLUSHALL [ASYNC | SYNC]
pub(super) fn flushall(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    check_flush_option(args)?;
    for database in 0..context.transaction.databases() {
        context.transaction.flush(database);
    }
    Ok(Reply::Ok)
}

/// Both options mean the same here: one tombstone for all, whatever there is.
fn check_flush_option(args: &[&[u8]]) -> Result<(), super::Stop> {
    match args {
        [_] => Ok(()),
        [_, option]
            if option.eq_ignore_ascii_case(b"async") || option.eq_ignore_ascii_case(b"sync") =>
        {
            Ok(())
        }
        _ => Err(syntax_error()),
    }
}
