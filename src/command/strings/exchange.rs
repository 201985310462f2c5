//! Commands around GET and SET: what writes if, reads and writes, or writes with an expiry.

use super::super::expiry::{Unit, parse_expiry};
use super::super::parse::{syntax_error, wrong_arity};
use super::super::{CommandResult, Context, Stop};
use super::{read, store};
use crate::resp::Reply;

/// MSETNX key value …
pub(in crate::command) fn msetnx(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    if args.len().is_multiple_of(2) {
        return Err(wrong_arity("msetnx").into());
    }
    let pairs = args[1..].chunks_exact(2);
    let database = context.session.database;
    if pairs.clone().any(|pair| context.transaction.exists(database, pair[0])) {
        return Ok(Reply::Integer(0));
    }
    for pair in pairs {
        store(context, pair[0], context.value(pair[1]), 0);
    }
    Ok(Reply::Integer(1))
}

/// SETNX key value
pub(in crate::command) fn setnx(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let absent = !context.transaction.exists(context.session.database, args[1]);
    if absent {
        store(context, args[1], context.value(args[2]), 0);
    }
    Ok(Reply::Integer(i64::from(absent)))
}

/// SETEX key seconds value
pub(in crate::command) fn setex(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let expires_ms = parse_expiry(context, Unit::Seconds, args[2], "setex")?;
    store(context, args[1], context.value(args[3]), expires_ms);
    Ok(Reply::Ok)
}

/// PSETEX key milliseconds value
pub(in crate::command) fn psetex(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let expires_ms = parse_expiry(context, Unit::Milliseconds, args[2], "psetex")?;
    store(context, args[1], context.value(args[3]), expires_ms);
    Ok(Reply::Ok)
}

/// GETSET key value
pub(in crate::command) fn getset(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let old = read(context, args[1])?;
    store(context, args[1], context.value(args[2]), 0);
    Ok(old.map_or(Reply::Null, Reply::Bulk))
}

/// GETDEL key
pub(in crate::command) fn getdel(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let old = read(context, args[1])?;
    if old.is_some() {
        context.transaction.delete(context.session.database, args[1]);
    }
    Ok(old.map_or(Reply::Null, Reply::Bulk))
}

/// What GETEX does with the expiry.
#[derive(Clone, Copy)]
enum Lifetime<'a> {
    Kept,
    Given(Unit, &'a [u8]),
    Endless,
}

impl<'a> Lifetime<'a> {
    fn parse(options: &[&'a [u8]]) -> Result<Self, Stop> {
        let mut lifetime = Self::Kept;
        let mut rest = options.iter().copied();
        while let Some(option) = rest.next() {
            lifetime = match (lifetime, Unit::of_set_option(option)) {
                // The same unit may come again: the last counts.
                (Self::Given(before, _), Some(unit)) if before != unit => {
                    return Err(syntax_error());
                }
                (Self::Kept | Self::Given(..), Some(unit)) => {
                    Self::Given(unit, rest.next().ok_or_else(syntax_error)?)
                }
                (Self::Kept | Self::Endless, None) if option.eq_ignore_ascii_case(b"persist") => {
                    Self::Endless
                }
                _ => return Err(syntax_error()),
            };
        }
        Ok(lifetime)
    }
}

/// GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]
pub(in crate::command) fn getex(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let (database, key) = (context.session.database, args[1]);
    let lifetime = Lifetime::parse(&args[2..])?;
    let Some(value) = read(context, key)? else {
        // Whatever the time is.
        return Ok(Reply::Null);
    };
    match lifetime {
        Lifetime::Kept => {}
        Lifetime::Given(unit, time) => {
            let expires_ms = parse_expiry(context, unit, time, "getex")?;
            if expires_ms > context.transaction.now_ms() {
                context.transaction.expire(database, key, expires_ms);
            } else {
                context.transaction.delete(database, key);
            }
        }
        Lifetime::Endless => {
            if context.transaction.expires_ms(database, key).is_some_and(|ms| ms != 0) {
                context.transaction.expire(database, key, 0);
            }
        }
    }
    Ok(Reply::Bulk(value))
}
