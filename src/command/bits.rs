//! Strings as bits: <https://redis.io/docs/latest/commands/?group=bitmap>. Bit 0 is the
//! highest of the first byte, and behind the end all are 0.

pub(super) mod field;
pub(super) mod operation;

use super::parse::{integer, integer_arg, syntax_error};
use super::strings::ranges::{Span, check_room};
use super::strings::{read, read_body};
use super::{CommandResult, Context, Stop};
use crate::resp::Reply;
use crate::small_bytes::SmallBytes;

/// The offset of a bit: a number, or `#` and a number of fields of `field_bits`.
fn bit_offset(
    context: &Context<'_, '_>,
    text: &[u8],
    field_bits: Option<u32>,
) -> Result<u64, Stop> {
    let offset = match (text, field_bits) {
        // Redis multiplies without a look at the size, and so wraps.
        ([b'#', index @ ..], Some(bits)) => {
            integer(index).map(|index| index.wrapping_mul(i64::from(bits)))
        }
        _ => integer(text),
    };
    let offset = offset.and_then(|offset| u64::try_from(offset).ok());
    offset
        .filter(|offset| offset / 8 < context.settings.bulk_bytes_max)
        .ok_or_else(|| Reply::error("ERR bit offset is not an integer or out of range").into())
}

/// The byte of a bit, and the bit within.
fn place(offset: u64) -> (usize, u8) {
    (offset as usize / 8, 0x80 >> (offset % 8))
}

/// SETBIT key offset value
pub(super) fn setbit(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let (key, offset) = (args[1], bit_offset(context, args[2], None)?);
    let on = match args[3] {
        b"0" => false,
        b"1" => true,
        _ => return Err(Reply::error("ERR bit is not an integer or out of range").into()),
    };
    let database = context.session.database;
    let old = context.transaction.body(database, key)?;
    let old = old.unwrap_or((SmallBytes::empty().into(), 0));
    let (at, bit) = place(offset);
    let byte = old.0.get(at);
    let was_on = byte.map(|byte| byte & bit != 0);
    if was_on != Some(on) {
        check_room(context, offset / 8 + 1)?;
        let byte = byte.unwrap_or(0);
        let new = if on { byte | bit } else { byte & !bit };
        context.transaction.splice(database, key, old, &[(at, SmallBytes::from(&[new]))]);
    }
    Ok(Reply::Integer(i64::from(was_on == Some(true))))
}

/// GETBIT key offset
pub(super) fn getbit(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let (at, bit) = place(bit_offset(context, args[2], None)?);
    let byte = read_body(context, args[1])?.and_then(|value| value.get(at));
    let is_on = byte.is_some_and(|byte| byte & bit != 0);
    Ok(Reply::Integer(i64::from(is_on)))
}

/// Whether a range is given in bits and not in bytes.
fn in_bits(unit: Option<&&[u8]>) -> Result<bool, Stop> {
    match unit {
        None => Ok(false),
        Some(unit) if unit.eq_ignore_ascii_case(b"byte") => Ok(false),
        Some(unit) if unit.eq_ignore_ascii_case(b"bit") => Ok(true),
        Some(_) => Err(syntax_error()),
    }
}

/// The bytes of a range of bits, and of the first and the last byte the bits in it.
fn bytes_of(span: Span, in_bits: bool) -> (Span, u8, u8) {
    let Span { first, last } = span;
    if in_bits {
        let bytes = Span { first: first / 8, last: last / 8 };
        (bytes, 0xff >> (first % 8), 0xff << (7 - last % 8))
    } else {
        (span, 0xff, 0xff)
    }
}

/// BITCOUNT key [start end [BYTE | BIT]]
pub(super) fn bitcount(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let Some(value) = read(context, args[1])? else {
        // Whatever the range is.
        return Ok(Reply::Integer(0));
    };
    let (start, end, unit) = match args[2..] {
        [] => (0, -1, None),
        [start, end] => (integer_arg(start)?, integer_arg(end)?, None),
        [start, end, ref unit] => (integer_arg(start)?, integer_arg(end)?, Some(unit)),
        _ => return Err(syntax_error()),
    };
    if start < 0 && end < 0 && start > end {
        // Whatever the unit is.
        return Ok(Reply::Integer(0));
    }
    let in_bits = in_bits(unit)?;
    let length = value.len() as u64 * if in_bits { 8 } else { 1 };
    let Some(span) = Span::new(start, end, length) else {
        return Ok(Reply::Integer(0));
    };
    let (Span { first, last }, first_mask, last_mask) = bytes_of(span, in_bits);
    let bytes = &value[first as usize..=last as usize];
    let outside = |at: usize, mask: u8| (bytes[at] & !mask).count_ones();
    let outside = outside(0, first_mask) + outside(bytes.len() - 1, last_mask);
    Ok(Reply::Integer(count_ones(bytes) as i64 - i64::from(outside)))
}

fn count_ones(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from(u64::from_le_bytes(*word).count_ones()));
    words.sum::<u64>() + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

/// BITPOS key bit [start [end [BYTE | BIT]]]
pub(super) fn bitpos(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let wanted = match integer_arg(args[2])? {
        0 => false,
        1 => true,
        _ => return Err(Reply::error("ERR The bit argument must be 1 or 0.").into()),
    };
    let Some(value) = read(context, args[1])? else {
        // As if it were endless zeros, whatever the range is.
        return Ok(Reply::Integer(if wanted { -1 } else { 0 }));
    };
    if args.len() > 6 {
        return Err(syntax_error());
    }
    let start = args.get(3).map_or(Ok(0), |start| integer_arg(start))?;
    let in_bits = in_bits(args.get(5))?;
    let end = args.get(4).map_or(Ok(-1), |end| integer_arg(end))?;
    let length = value.len() as u64 * if in_bits { 8 } else { 1 };
    let Some(span) = Span::cut(start, end, length) else {
        return Ok(Reply::Integer(-1));
    };
    let (Span { first, last }, first_mask, last_mask) = bytes_of(span, in_bits);
    let bytes = &value[first as usize..=last as usize];
    let position = find_bit(bytes, wanted, first_mask, last_mask);
    Ok(Reply::Integer(match position {
        Some(position) => (first * 8 + position) as i64,
        // Zeros go on behind the end, unless it was said where to stop.
        None if !wanted && args.len() < 5 => value.len() as i64 * 8,
        None => -1,
    }))
}

/// The first bit that is as wanted, in the first and the last byte among those of a mask.
fn find_bit(bytes: &[u8], wanted: bool, first_mask: u8, last_mask: u8) -> Option<u64> {
    let last = bytes.len() - 1;
    // The bits that are as wanted become ones.
    let found = |at: usize| {
        let byte = if wanted { bytes[at] } else { !bytes[at] };
        let from = if at == 0 { first_mask } else { 0xff };
        let to = if at == last { last_mask } else { 0xff };
        byte & from & to
    };
    let nothing = if wanted { 0 } else { 0xff };
    let middle = bytes.get(1..last).unwrap_or_default();
    let at = if found(0) != 0 {
        0
    } else {
        middle.iter().position(|byte| *byte != nothing).map_or(last, |at| at + 1)
    };
    let byte = found(at);
    (byte != 0).then(|| at as u64 * 8 + u64::from(byte.leading_zeros()))
}
