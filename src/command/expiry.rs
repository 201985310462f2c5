//! Expiry. Commands take relative times at one `now` and keep absolute ones, in
//! milliseconds since the Unix epoch.

use super::parse::{integer, integer_arg, not_an_integer, repeating};
use super::{CommandResult, Context, Stop};
use crate::resp::Reply;

/// How an argument gives a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Seconds from now.
    Seconds,
    /// Milliseconds from now.
    Milliseconds,
    /// Seconds since the Unix epoch.
    UnixSeconds,
    /// Milliseconds since the Unix epoch.
    UnixMilliseconds,
}

impl Unit {
    /// The unit that an option of SET announces.
    pub(super) fn of_set_option(option: &[u8]) -> Option<Self> {
        match option.to_ascii_lowercase().as_slice() {
            b"ex" => Some(Self::Seconds),
            b"px" => Some(Self::Milliseconds),
            b"exat" => Some(Self::UnixSeconds),
            b"pxat" => Some(Self::UnixMilliseconds),
            _ => None,
        }
    }

    /// The absolute time in milliseconds, if 64 bits can hold it.
    fn absolute(self, time: i64, now_ms: u64) -> Option<i64> {
        let now_ms = i64::try_from(now_ms).ok()?;
        match self {
            Self::Seconds => time.checked_mul(1000)?.checked_add(now_ms),
            Self::Milliseconds => time.checked_add(now_ms),
            Self::UnixSeconds => time.checked_mul(1000),
            Self::UnixMilliseconds => Some(time),
        }
    }
}

fn invalid_expiry(command: &str) -> Stop {
    Reply::error(format!("ERR invalid expire time in '{command}' command")).into()
}

/// The time an option of SET and its like gives; never 0, and it may be past.
pub(super) fn parse_expiry(
    context: &Context<'_, '_>,
    unit: Unit,
    time: &[u8],
    command: &str,
) -> Result<u64, Stop> {
    let time = integer(time).ok_or_else(not_an_integer)?;
    if time <= 0 {
        return Err(invalid_expiry(command));
    }
    let absolute = unit.absolute(time, context.transaction.now_ms());
    absolute.and_then(|ms| u64::try_from(ms).ok()).ok_or_else(|| invalid_expiry(command))
}

/// EXPIRE key seconds [NX | XX | GT | LT]
pub(super) fn expire(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    change(context, args, Unit::Seconds, "expire")
}

/// PEXPIRE key milliseconds [NX | XX | GT | LT]
pub(super) fn pexpire(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    change(context, args, Unit::Milliseconds, "pexpire")
}

/// EXPIREAT key unix-seconds [NX | XX | GT | LT]
pub(super) fn expireat(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    change(context, args, Unit::UnixSeconds, "expireat")
}

/// PEXPIREAT key unix-milliseconds [NX | XX | GT | LT]
pub(super) fn pexpireat(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    change(context, args, Unit::UnixMilliseconds, "pexpireat")
}

/// When EXPIRE changes an expiry.
#[derive(Default)]
struct Conditions {
    if_none: bool,
    if_some: bool,
    if_later: bool,
    if_earlier: bool,
}

impl Conditions {
    fn parse(options: &[&[u8]]) -> Result<Self, Stop> {
        let mut conditions = Self::default();
        for option in options {
            match option.to_ascii_lowercase().as_slice() {
                b"nx" => conditions.if_none = true,
                b"xx" => conditions.if_some = true,
                b"gt" => conditions.if_later = true,
                b"lt" => conditions.if_earlier = true,
                _ => {
                    return Err(repeating("ERR Unsupported option ", option, b"").into());
                }
            }
        }
        let Self { if_none, if_some, if_later, if_earlier } = conditions;
        if if_none && (if_some || if_later || if_earlier) {
            let text = "ERR NX and XX, GT or LT options at the same time are not compatible";
            return Err(Reply::error(text).into());
        }
        if if_later && if_earlier {
            let text = "ERR GT and LT options at the same time are not compatible";
            return Err(Reply::error(text).into());
        }
        Ok(conditions)
    }

    /// Whether an expiry may be changed; a key without one lives for ever, so nothing
    /// is later and everything is earlier.
    fn hold(&self, current_ms: Option<i64>, new_ms: i64) -> bool {
        !(self.if_none && current_ms.is_some()
            || self.if_some && current_ms.is_none()
            || self.if_later && current_ms.is_none_or(|current| new_ms <= current)
            || self.if_earlier && current_ms.is_some_and(|current| new_ms >= current))
    }
}

fn change(
    context: &mut Context<'_, '_>,
    args: &[&[u8]],
    unit: Unit,
    command: &str,
) -> CommandResult {
    let conditions = Conditions::parse(&args[3..])?;
    let time = integer_arg(args[2])?;
    let now_ms = context.transaction.now_ms();
    let new_ms = unit.absolute(time, now_ms).ok_or_else(|| invalid_expiry(command))?;
    let (database, key) = (context.session.database, args[1]);
    let Some(current_ms) = context.transaction.expires_ms(database, key) else {
        return Ok(Reply::Integer(0));
    };
    let current_ms = i64::try_from(current_ms).ok().filter(|ms| *ms != 0);
    if !conditions.hold(current_ms, new_ms) {
        return Ok(Reply::Integer(0));
    }
    let changed = match u64::try_from(new_ms) {
        Ok(new_ms) if new_ms > now_ms => context.transaction.expire(database, key, new_ms),
        // Already past: the key goes at once.
        _ => context.transaction.delete(database, key),
    };
    Ok(Reply::Integer(i64::from(changed)))
}

/// PERSIST key
pub(super) fn persist(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let (database, key) = (context.session.database, args[1]);
    let expires = context.transaction.expires_ms(database, key).is_some_and(|ms| ms != 0);
    if expires {
        context.transaction.expire(database, key, 0);
    }
    Ok(Reply::Integer(i64::from(expires)))
}

/// TTL key
pub(super) fn ttl(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    tell(context, args[1], |expires_ms, now_ms| (expires_ms.saturating_sub(now_ms) + 500) / 1000)
}

/// PTTL key
pub(super) fn pttl(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    tell(context, args[1], |expires_ms, now_ms| expires_ms.saturating_sub(now_ms))
}

/// EXPIRETIME key
pub(super) fn expiretime(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    tell(context, args[1], |expires_ms, _| expires_ms.saturating_add(500) / 1000)
}

/// PEXPIRETIME key
pub(super) fn pexpiretime(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    tell(context, args[1], |expires_ms, _| expires_ms)
}

/// -2 for a key that doesn't exist, -1 for one that doesn't expire.
fn tell(context: &mut Context<'_, '_>, key: &[u8], tell: fn(u64, u64) -> u64) -> CommandResult {
    let now_ms = context.transaction.now_ms();
    let expires_ms = context.transaction.expires_ms(context.session.database, key);
    context.looked_up(expires_ms.is_some());
    Ok(Reply::Integer(match expires_ms {
        None => -2,
        Some(0) => -1,
        Some(expires_ms) => i64::try_from(tell(expires_ms, now_ms)).unwrap_or(i64::MAX),
    }))
}
