//! Strings: <https://redis.io/docs/latest/commands/?group=string>.

pub(super) mod exchange;
pub(super) mod float;
pub(super) mod lcs;
pub(super) mod ranges;

use super::expiry::{Unit, parse_expiry};
use super::parse::{integer, integer_arg, not_an_integer, syntax_error, wrong_arity};
use super::{CommandResult, Context, Stop};
use crate::engine::body::Body;
use crate::engine::version::Value;
use crate::resp::Reply;
use crate::small_bytes::SmallBytes;
use crate::transaction::{Found, ReadError, Transaction};

/// GET key
pub(super) fn get(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let found = context.transaction.get(context.session.database, args[1])?;
    context.looked_up(found.is_some());
    Ok(match found {
        Some(Found { value: Value::String(bytes), .. }) => Reply::Bulk(bytes),
        None => Reply::Null,
    })
}

/// MGET key …
pub(super) fn mget(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let values = read_all(context, &args[1..])?;
    let replies = values.into_iter().map(|value| value.map_or(Reply::Null, Reply::Bulk));
    Ok(Reply::Array(replies.collect()))
}

/// The value of a key and when it expires.
pub(super) type Stored = (SmallBytes, u64);

/// Reads a key that a command is about to change.
pub(super) fn stored(context: &mut Context<'_, '_>, key: &[u8]) -> Result<Option<Stored>, Stop> {
    let found = context.transaction.get(context.session.database, key)?;
    Ok(found.map(|Found { value: Value::String(bytes), expires_ms }| (bytes, expires_ms)))
}

/// Reads a key for its value, which INFO counts.
pub(super) fn read(context: &mut Context<'_, '_>, key: &[u8]) -> Result<Option<SmallBytes>, Stop> {
    let found = stored(context, key)?;
    context.looked_up(found.is_some());
    Ok(found.map(|(bytes, _)| bytes))
}

/// Reads a key for its length or for a range of its value, which INFO counts.
pub(super) fn read_body(context: &mut Context<'_, '_>, key: &[u8]) -> Result<Option<Body>, Stop> {
    let found = context.transaction.body(context.session.database, key)?;
    context.looked_up(found.is_some());
    Ok(found.map(|(body, _)| body))
}

/// Reads several keys for their values.
pub(super) fn read_all(
    context: &mut Context<'_, '_>,
    keys: &[&[u8]],
) -> Result<Vec<Option<SmallBytes>>, Stop> {
    read_each(context, keys, |transaction, database, key| {
        let found = transaction.get(database, key)?;
        Ok(found.map(|Found { value: Value::String(bytes), .. }| bytes))
    })
}

/// The same for values that needn't be in one piece.
pub(super) fn read_bodies(
    context: &mut Context<'_, '_>,
    keys: &[&[u8]],
) -> Result<Vec<Option<Body>>, Stop> {
    read_each(context, keys, |transaction, database, key| {
        Ok(transaction.body(database, key)?.map(|(body, _)| body))
    })
}

fn read_each<T>(
    context: &mut Context<'_, '_>,
    keys: &[&[u8]],
    read: impl Fn(&mut Transaction<'_>, u8, &[u8]) -> Result<Option<T>, ReadError>,
) -> Result<Vec<Option<T>>, Stop> {
    let database = context.session.database;
    let mut missing = None;
    let mut values = Vec::with_capacity(keys.len());
    for key in keys {
        let found = read(context.transaction, database, key);
        context.looked_up(!matches!(found, Ok(None)));
        match found {
            Ok(found) => values.push(found),
            // Goes on, so that all missing values are fetched at once.
            Err(error) => missing = Some(error),
        }
    }
    match missing {
        Some(error) => Err(error.into()),
        None => Ok(values),
    }
}

/// Gives a key a new value.
pub(super) fn store(
    context: &mut Context<'_, '_>,
    key: &[u8],
    value: impl Into<SmallBytes>,
    expires_ms: u64,
) {
    let value = Value::String(value.into());
    context.transaction.put(context.session.database, key, value, expires_ms);
}

/// When SET writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition<'a> {
    Always,
    IfAbsent,
    IfPresent,
    IfEqual(&'a [u8]),
}

/// The options of SET.
struct SetOptions<'a> {
    condition: Condition<'a>,
    expiry: Option<(Unit, &'a [u8])>,
    keep_ttl: bool,
    get: bool,
}

impl<'a> SetOptions<'a> {
    fn parse(args: &[&'a [u8]]) -> Result<Self, Stop> {
        let mut options =
            Self { condition: Condition::Always, expiry: None, keep_ttl: false, get: false };
        let mut rest = args.iter().copied();
        while let Some(option) = rest.next() {
            let unit = Unit::of_set_option(option);
            let may_expire =
                !options.keep_ttl && options.expiry.is_none_or(|(before, _)| Some(before) == unit);
            if let Some(unit) = unit {
                let time = rest.next().filter(|_| may_expire).ok_or_else(syntax_error)?;
                options.expiry = Some((unit, time));
            } else if option.eq_ignore_ascii_case(b"keepttl") && options.expiry.is_none() {
                options.keep_ttl = true;
            } else if option.eq_ignore_ascii_case(b"get") {
                options.get = true;
            } else {
                let condition = match option.to_ascii_lowercase().as_slice() {
                    b"nx" => Condition::IfAbsent,
                    b"xx" => Condition::IfPresent,
                    b"ifeq" => Condition::IfEqual(rest.next().ok_or_else(syntax_error)?),
                    _ => return Err(syntax_error()),
                };
                let same = std::mem::discriminant(&options.condition)
                    == std::mem::discriminant(&condition);
                if options.condition != Condition::Always && !same {
                    return Err(syntax_error());
                }
                options.condition = condition;
            }
        }
        Ok(options)
    }
}

/// SET key value [NX | XX | IFEQ value] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]
pub(super) fn set(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let (database, key, value) = (context.session.database, args[1], args[2]);
    if args.len() == 3 {
        store(context, key, context.value(value), 0);
        return Ok(Reply::Ok);
    }
    let options = SetOptions::parse(&args[3..])?;
    let mut expires_ms = match options.expiry {
        Some((unit, time)) => parse_expiry(context, unit, time, "set")?,
        None => 0,
    };
    let needs_value = options.get || matches!(options.condition, Condition::IfEqual(_));
    let old = if needs_value { context.transaction.get(database, key)? } else { None };
    // Without a condition it depends on nothing: a blind write, in transactions too.
    let looks = options.keep_ttl || options.get || options.condition != Condition::Always;
    let old_expiry = if looks { context.transaction.expires_ms(database, key) } else { None };
    let old_value = old.map(|Found { value: Value::String(bytes), .. }| bytes);
    if options.get {
        context.looked_up(old_value.is_some());
    }
    let holds = match options.condition {
        Condition::Always => true,
        Condition::IfAbsent => old_expiry.is_none(),
        Condition::IfPresent => old_expiry.is_some(),
        Condition::IfEqual(expected) => old_value.as_deref() == Some(expected),
    };
    if holds {
        if options.keep_ttl {
            expires_ms = old_expiry.unwrap_or(0);
        }
        store(context, key, context.value(value), expires_ms);
    }
    Ok(if options.get {
        old_value.map_or(Reply::Null, Reply::Bulk)
    } else if holds {
        Reply::Ok
    } else {
        Reply::Null
    })
}

/// MSET key value …
pub(super) fn mset(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    if args.len().is_multiple_of(2) {
        return Err(wrong_arity("mset").into());
    }
    for pair in args[1..].chunks_exact(2) {
        store(context, pair[0], context.value(pair[1]), 0);
    }
    Ok(Reply::Ok)
}

/// INCR key
pub(super) fn incr(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    add(context, args[1], 1)
}

/// DECR key
pub(super) fn decr(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    add(context, args[1], -1)
}

/// INCRBY key increment
pub(super) fn incrby(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let by = integer_arg(args[2])?;
    add(context, args[1], by)
}

/// DECRBY key decrement
pub(super) fn decrby(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let by = integer_arg(args[2])?;
    let by = by.checked_neg().ok_or_else(|| Reply::error("ERR decrement would overflow"))?;
    add(context, args[1], by)
}

fn add(context: &mut Context<'_, '_>, key: &[u8], by: i64) -> CommandResult {
    let mut new = by;
    context.transaction.update(context.session.database, key, |old| {
        if let Some(Value::String(bytes)) = old {
            let old = integer(bytes).ok_or_else(not_an_integer)?;
            new = old
                .checked_add(by)
                .ok_or_else(|| Reply::error("ERR increment or decrement would overflow"))?;
        }
        Ok::<_, Stop>(Value::String(decimal(new)))
    })?;
    Ok(Reply::Integer(new))
}

/// A number as Redis keeps it: its decimal digits.
fn decimal(value: i64) -> SmallBytes {
    // 19 digits and a sign, filled from the end: formatting costs five times as much.
    let mut text = [b'-'; 20];
    let mut start = text.len();
    let mut rest = value.unsigned_abs();
    loop {
        start -= 1;
        text[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        start -= 1;
    }
    SmallBytes::from(&text[start..])
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn numbers_are_written_as_they_are_read() {
        for value in [0, 9, 10, -1, -10, 1234567890, i64::MAX, i64::MIN, i64::MIN + 1] {
            assert_eq!(&*decimal(value), value.to_string().as_bytes());
        }
    }
}
