//! OBJECT and MEMORY: how a key is kept.

use super::parse::{integer_arg, syntax_error};
use super::strings::read_body;
use super::{CommandResult, Context};
use crate::command::parse::integer;
use crate::resp::Reply;
use crate::small_bytes::SmallBytes;

/// Redis keeps strings up to this length next to their object.
const EMBEDDED_BYTES_MAX: usize = 44;

/// Redis shares the objects of integers below this.
const SHARED_INTEGERS: i64 = 10_000;

/// As much of the value of a key as tells its encoding, if there is one.
fn value(context: &mut Context<'_, '_>, key: &[u8]) -> Result<Option<SmallBytes>, super::Stop> {
    let value = read_body(context, key)?;
    Ok(value.map(|value| value.slice(0, EMBEDDED_BYTES_MAX + 1)))
}

/// OBJECT ENCODING key: the one that Redis would choose for the value.
pub(super) fn encoding(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let encoding = value(context, args[2])?.map(|bytes| {
        if integer(&bytes).is_some() {
            "int"
        } else if bytes.len() <= EMBEDDED_BYTES_MAX {
            "embstr"
        } else {
            "raw"
        }
    });
    Ok(encoding.map_or(Reply::Null, Reply::bulk))
}

/// OBJECT REFCOUNT key: what Redis says of its shared integers, and 1 of all else.
pub(super) fn refcount(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let count = value(context, args[2])?.map(|bytes| {
        let shared = integer(&bytes).is_some_and(|value| (0..SHARED_INTEGERS).contains(&value));
        if shared { i64::from(i32::MAX) } else { 1 }
    });
    Ok(count.map_or(Reply::Null, Reply::Integer))
}

/// OBJECT IDLETIME key: nothing is kept of reads, so there is no true answer.
pub(super) fn idletime(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    untracked(context, args[2], "ERR idle time not tracked: nothing is kept of reads")
}

/// OBJECT FREQ key
pub(super) fn freq(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let text = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.";
    untracked(context, args[2], text)
}

fn untracked(context: &mut Context<'_, '_>, key: &[u8], text: &'static str) -> CommandResult {
    let exists = context.transaction.exists(context.session.database, key);
    context.looked_up(exists);
    if exists {
        return Err(Reply::error(text).into());
    }
    Ok(Reply::Null)
}

/// MEMORY USAGE key [SAMPLES count]
pub(super) fn memory_usage(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    for pair in args[3..].chunks(2) {
        match pair {
            // Only values with elements would be sampled.
            [option, samples] if option.eq_ignore_ascii_case(b"samples") => {
                if integer_arg(samples)? < 0 {
                    return Err(syntax_error());
                }
            }
            _ => return Err(syntax_error()),
        }
    }
    let bytes = context.transaction.memory(context.session.database, args[2]);
    Ok(bytes.map_or(Reply::Null, |bytes| Reply::Integer(bytes as i64)))
}
