//! Parts of strings.
//!
//! What changes a part writes the whole value anew, so it costs as much as the value is
//! long.

use super::super::parse::integer_arg;
use super::super::{CommandResult, Context, Stop, too_large};
use super::{read_body, store, stored};
use crate::resp::Reply;
use crate::small_bytes::SmallBytes;

/// Refuses a string that would be longer than `proto-max-bulk-len`.
fn check_length(context: &Context<'_, '_>, before: u64, more: u64) -> Result<(), Stop> {
    let length = before.checked_add(more);
    match length.filter(|length| *length <= context.settings.bulk_bytes_max) {
        Some(length) => check_room(context, length),
        None => {
            let text = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";
            Err(Reply::error(text).into())
        }
    }
}

/// Refuses a string that can't be committed, before any memory is asked for it: an offset
/// is quickly written, and `proto-max-bulk-len` may be set to anything.
pub(in crate::command) fn check_room(context: &Context<'_, '_>, length: u64) -> Result<(), Stop> {
    if length <= context.settings.transaction_bytes_max {
        return Ok(());
    }
    Err(too_large().into())
}

/// APPEND key value
pub(in crate::command) fn append(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let (database, key, more) = (context.session.database, args[1], args[2]);
    let Some(old) = context.transaction.body(database, key)? else {
        store(context, key, context.value(more), 0);
        return Ok(Reply::Integer(more.len() as i64));
    };
    let end = old.0.len();
    check_length(context, end as u64, more.len() as u64)?;
    let part = (end, context.value(more));
    let length = context.transaction.splice(database, key, old, &[part]);
    Ok(Reply::Integer(length as i64))
}

/// STRLEN key
pub(in crate::command) fn strlen(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let value = read_body(context, args[1])?;
    Ok(Reply::Integer(value.map_or(0, |value| value.len() as i64)))
}

/// GETRANGE key start end, SUBSTR key start end
pub(in crate::command) fn getrange(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let (start, end) = (integer_arg(args[2])?, integer_arg(args[3])?);
    let value = read_body(context, args[1])?;
    let length = value.as_ref().map_or(0, |value| value.len() as u64);
    let part = Span::new(start, end, length);
    let bytes = match (part, value) {
        // All of it is shared, not copied.
        (Some(Span { first: 0, last }), _) if last + 1 == length => {
            stored(context, args[1])?.map(|(bytes, _)| bytes)
        }
        (Some(Span { first, last }), Some(value)) => {
            Some(value.slice(first as usize, last as usize + 1))
        }
        _ => None,
    };
    Ok(Reply::Bulk(bytes.unwrap_or(SmallBytes::empty())))
}

/// A part of something that is not empty, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::command) struct Span {
    /// The first of it.
    pub(in crate::command) first: u64,
    /// The last of it.
    pub(in crate::command) last: u64,
}

impl Span {
    /// What `start` and `end` mean of `length` things: negative ones count from the end,
    /// and what is outside is cut off, though an end before the beginning means the first.
    pub(in crate::command) fn new(start: i64, end: i64, length: u64) -> Option<Self> {
        let inverted = start < 0 && end < 0 && start > end;
        if inverted { None } else { Self::cut(start, end, length) }
    }

    /// The same, but two negative ends in the wrong order are not refused: if both are
    /// before the beginning, they mean the first.
    pub(in crate::command) fn cut(start: i64, end: i64, length: u64) -> Option<Self> {
        let from_either = |at: i64| match u64::try_from(at) {
            Ok(at) => at,
            Err(_) => length.saturating_sub(at.unsigned_abs()),
        };
        let (first, last) = (from_either(start), from_either(end).min(length.checked_sub(1)?));
        (first <= last).then_some(Self { first, last })
    }
}

/// SETRANGE key offset value
pub(in crate::command) fn setrange(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let (database, key, part) = (context.session.database, args[1], args[3]);
    let offset = u64::try_from(integer_arg(args[2])?)
        .map_err(|_| Stop::from(Reply::error("ERR offset is out of range")))?;
    let old = context.transaction.body(database, key)?;
    let old = old.unwrap_or((SmallBytes::empty().into(), 0));
    if part.is_empty() {
        return Ok(Reply::Integer(old.0.len() as i64));
    }
    check_length(context, offset, part.len() as u64)?;
    let part = (offset as usize, context.value(part));
    let length = context.transaction.splice(database, key, old, &[part]);
    Ok(Reply::Integer(length as i64))
}
