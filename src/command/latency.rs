//! TIME, WAIT, DEBUG SLEEP and LATENCY.

use super::parse::{integer, integer_arg, subcommand_syntax};
use super::{CommandResult, Context, Hold};
use crate::resp::Reply;
use std::time::Duration;

/// TIME: not before the time that expiries are judged at, which never goes back.
pub(super) fn time(context: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    let now_us = context.transaction.now_ms().saturating_mul(1000).max(context.server.wall_us());
    let part = |number: u64| Reply::bulk(number.to_string().as_str());
    Ok(Reply::Array(vec![part(now_us / 1_000_000), part(now_us % 1_000_000)]))
}

/// WAIT numreplicas timeout: there are no replicas, so none has acknowledged anything,
/// and waiting for one takes until the timeout. Writes are durable when they are answered.
pub(super) fn wait(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let replicas = integer_arg(args[1])?;
    let timeout_ms = integer(args[2])
        .ok_or_else(|| Reply::error("ERR timeout is not an integer or out of range"))?;
    let timeout_ms =
        u64::try_from(timeout_ms).map_err(|_| Reply::error("ERR timeout is negative"))?;
    // Inside EXEC nothing waits.
    if replicas > 0 && !context.in_exec {
        context.hold = Some(match timeout_ms {
            0 => Hold::ForEver,
            _ => Hold::For(Duration::from_millis(timeout_ms)),
        });
    }
    Ok(Reply::Integer(0))
}

/// DEBUG SLEEP seconds: nobody else has to wait. What is no time is none, as in Redis.
pub(super) fn debug(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let [_, word, seconds] = *args else {
        return Err(subcommand_syntax("DEBUG", args[1]));
    };
    if !word.eq_ignore_ascii_case(b"sleep") {
        return Err(subcommand_syntax("DEBUG", word));
    }
    let seconds = std::str::from_utf8(seconds).ok().and_then(|text| text.parse().ok());
    let time = Duration::try_from_secs_f64(seconds.unwrap_or(0.0)).unwrap_or_default();
    // Inside EXEC nothing waits.
    if !time.is_zero() && !context.in_exec {
        context.hold = Some(Hold::For(time));
    }
    Ok(Reply::Ok)
}

/// LATENCY LATEST, and LATENCY HISTORY of any event: none is sampled.
pub(super) fn no_samples(_: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    Ok(Reply::Array(Vec::new()))
}

/// LATENCY RESET [event …]: how many events had samples.
pub(super) fn reset(_: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    Ok(Reply::Integer(0))
}

/// LATENCY DOCTOR
pub(super) fn doctor(_: &mut Context<'_, '_>, _: &[&[u8]]) -> CommandResult {
    Ok(Reply::text("I'm sorry, Dave, I can't do that. This server samples no latency events.\n"))
}
