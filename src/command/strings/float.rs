//! INCRBYFLOAT.

use super::super::long_double::LongDouble;
use super::super::{CommandResult, Context, Stop};
use super::{store, stored};
use crate::resp::Reply;
use crate::small_bytes::SmallBytes;

/// INCRBYFLOAT key increment
pub(in crate::command) fn incrbyfloat(
    context: &mut Context<'_, '_>,
    args: &[&[u8]],
) -> CommandResult {
    let number = |text: &[u8]| {
        let no_number = || Stop::from(Reply::error("ERR value is not a valid float"));
        LongDouble::parse(text).ok_or_else(no_number)
    };
    let (old, expires_ms) = match stored(context, args[1])? {
        Some((text, expires_ms)) => (number(&text)?, expires_ms),
        None => (LongDouble::ZERO, 0),
    };
    let sum = old
        .plus(number(args[2])?)
        .ok_or_else(|| Stop::from(Reply::error("ERR increment would produce NaN or Infinity")))?;
    let text = SmallBytes::from(sum.to_text().as_str());
    store(context, args[1], text.clone(), expires_ms);
    Ok(Reply::Bulk(text))
}
