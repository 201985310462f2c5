//! BITFIELD: a string as many small integers.

use super::super::parse::{integer, integer_arg, syntax_error};
use super::super::strings::ranges::check_room;
use super::super::strings::{read, store, stored};
use super::super::{CommandResult, Context, Stop};
use super::{bit_offset, grown};
use crate::resp::Reply;
use crate::small_bytes::SmallBytes;

/// Where an integer is in a string, and of which type.
#[derive(Clone, Copy)]
struct Field {
    signed: bool,
    bits: u32,
    offset: u64,
}

/// A field has up to 64 bits, which begin anywhere in a byte.
const SPANNED_BYTES_MAX: usize = 9;

impl Field {
    fn parse(context: &Context<'_, '_>, kind: &[u8], offset: &[u8]) -> Result<Self, Stop> {
        let (signed, bits) = parse_type(kind).ok_or_else(|| {
            Reply::error(
                "ERR Invalid bitfield type. Use something like i16 u8. \
                 Note that u64 is not supported but i64 is.",
            )
        })?;
        Ok(Self { signed, bits, offset: bit_offset(context, offset, Some(bits))? })
    }

    fn last(&self) -> u64 {
        self.offset + u64::from(self.bits) - 1
    }

    /// How far up its bits are in the bytes it spans, read as one number.
    fn shift(&self) -> u32 {
        SPANNED_BYTES_MAX as u32 * 8 - (self.offset % 8) as u32 - self.bits
    }

    fn mask(&self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }

    /// What it is able to hold.
    fn range(&self) -> (i128, i128) {
        let max = i128::from(self.mask());
        if self.signed { (-(max / 2) - 1, max / 2) } else { (0, max) }
    }

    /// Those of its bits, as the number they are.
    fn number(&self, bits: u64) -> i128 {
        let number = i128::from(bits & self.mask());
        let (_, max) = self.range();
        // Only signed ones can be beyond it: the highest bit is the sign.
        if number > max { number - (1 << self.bits) } else { number }
    }

    /// Whether SET saturates to the largest number instead of the least: Redis finds out
    /// whether a number is too large by its distance from the largest, which of the most
    /// negative ones doesn't fit into 64 bits.
    fn is_taken_for_large(&self, number: i64) -> bool {
        let (_, max) = self.range();
        self.signed && self.bits < 64 && i64::try_from(max - i128::from(number)).is_err()
    }

    /// All the bytes it spans as one number, with zeros behind the end of the string.
    fn spanned(&self, string: &[u8]) -> u128 {
        let mut bytes = [0; 16];
        let from = (self.offset / 8) as usize;
        let there = string.get(from..).unwrap_or_default();
        let there = &there[..there.len().min(SPANNED_BYTES_MAX)];
        bytes[16 - SPANNED_BYTES_MAX..][..there.len()].copy_from_slice(there);
        u128::from_be_bytes(bytes)
    }

    fn get(&self, string: &[u8]) -> i128 {
        self.number((self.spanned(string) >> self.shift()) as u64)
    }

    /// Writes it into a string that is long enough.
    fn set(&self, string: &mut [u8], number: i128) {
        let (mask, bits) = (u128::from(self.mask()), number as u128);
        let others = self.spanned(string) & !(mask << self.shift());
        let bytes = (others | (bits & mask) << self.shift()).to_be_bytes();
        let from = (self.offset / 8) as usize;
        let there = string[from..].iter_mut().zip(&bytes[16 - SPANNED_BYTES_MAX..]);
        there.for_each(|(byte, new)| *byte = *new);
    }
}

/// `i` or `u`, and how many bits.
fn parse_type(text: &[u8]) -> Option<(bool, u32)> {
    // Redis reads it as a C string.
    let text = text.split(|byte| *byte == 0).next()?;
    let (signed, bits) = match text {
        [b'i', bits @ ..] => (true, integer(bits)?),
        [b'u', bits @ ..] => (false, integer(bits)?),
        _ => return None,
    };
    // More wouldn't fit into the reply.
    let bits_max = if signed { 64 } else { 63 };
    (1..=bits_max).contains(&bits).then_some((signed, bits as u32))
}

/// What becomes of a number that doesn't fit.
#[derive(Clone, Copy)]
enum Overflow {
    /// Its lowest bits stay.
    Wrap,
    /// The nearest that fits takes its place.
    Saturate,
    /// Nothing is written.
    Fail,
}

impl Overflow {
    fn parse(text: &[u8]) -> Result<Self, Stop> {
        match text.to_ascii_lowercase().as_slice() {
            b"wrap" => Ok(Self::Wrap),
            b"sat" => Ok(Self::Saturate),
            b"fail" => Ok(Self::Fail),
            _ => Err(Reply::error("ERR Invalid OVERFLOW type specified").into()),
        }
    }

    fn fit(self, number: i128, field: &Field) -> Option<i128> {
        let (min, max) = field.range();
        if (min..=max).contains(&number) {
            return Some(number);
        }
        match self {
            Self::Wrap => Some(field.number(number as u64)),
            Self::Saturate => Some(number.clamp(min, max)),
            Self::Fail => None,
        }
    }
}

enum Action {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

struct Operation {
    field: Field,
    action: Action,
}

impl Operation {
    fn parse_all(context: &Context<'_, '_>, args: &[&[u8]]) -> Result<Vec<Self>, Stop> {
        let mut operations = Vec::new();
        let mut overflow = Overflow::Wrap;
        let mut rest = args;
        while let [word, args @ ..] = rest {
            let (field, action);
            (field, action, rest) = match (word.to_ascii_lowercase().as_slice(), args) {
                (b"overflow", [how, args @ ..]) => {
                    overflow = Overflow::parse(how)?;
                    rest = args;
                    continue;
                }
                (b"get", [kind, offset, args @ ..]) => {
                    (Field::parse(context, kind, offset)?, Action::Get, args)
                }
                (b"set", [kind, offset, value, args @ ..]) => {
                    let field = Field::parse(context, kind, offset)?;
                    (field, Action::Set(integer_arg(value)?, overflow), args)
                }
                (b"incrby", [kind, offset, by, args @ ..]) => {
                    let field = Field::parse(context, kind, offset)?;
                    (field, Action::Add(integer_arg(by)?, overflow), args)
                }
                _ => return Err(syntax_error()),
            };
            operations.push(Self { field, action });
        }
        Ok(operations)
    }

    fn writes(&self) -> bool {
        !matches!(self.action, Action::Get)
    }

    /// Its reply, and whether it has changed the string.
    fn run(&self, string: &mut [u8]) -> (Reply, bool) {
        let field = &self.field;
        let old = field.get(string);
        let (wanted, overflow) = match self.action {
            Action::Get => return (Reply::Integer(old as i64), false),
            Action::Set(value, Overflow::Saturate) if field.is_taken_for_large(value) => {
                (i128::MAX, Overflow::Saturate)
            }
            Action::Set(value, overflow) if field.signed => (i128::from(value), overflow),
            // A negative one is very large, not below zero.
            Action::Set(value, overflow) => (i128::from(value as u64), overflow),
            Action::Add(by, overflow) => (old + i128::from(by), overflow),
        };
        let Some(new) = overflow.fit(wanted, field) else {
            return (Reply::Null, false);
        };
        field.set(string, new);
        let shown = if matches!(self.action, Action::Set(..)) { old } else { new };
        (Reply::Integer(shown as i64), old != new)
    }
}

/// BITFIELD key [GET type offset | [OVERFLOW WRAP | SAT | FAIL] SET type offset value |
/// INCRBY type offset increment …]
pub(in crate::command) fn bitfield(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let operations = Operation::parse_all(context, &args[2..])?;
    let writing = operations.iter().filter(|operation| operation.writes());
    let Some(last) = writing.map(|operation| operation.field.last()).max() else {
        return get_all(context, args[1], &operations);
    };
    let (old, expires_ms) = stored(context, args[1])?.unwrap_or((SmallBytes::empty(), 0));
    check_room(context, last / 8 + 1)?;
    // Room is made for all, even for what fails then.
    let mut new = grown(&old, last);
    let mut changed = new.len() > old.len();
    let replies = operations.iter().map(|operation| {
        let (reply, changes) = operation.run(&mut new);
        changed |= changes;
        reply
    });
    let replies = replies.collect();
    if changed {
        store(context, args[1], new, expires_ms);
    }
    Ok(Reply::Array(replies))
}

/// BITFIELD_RO key [GET type offset …]
pub(in crate::command) fn bitfield_ro(
    context: &mut Context<'_, '_>,
    args: &[&[u8]],
) -> CommandResult {
    let operations = Operation::parse_all(context, &args[2..])?;
    if operations.iter().any(Operation::writes) {
        return Err(Reply::error("ERR BITFIELD_RO only supports the GET subcommand").into());
    }
    get_all(context, args[1], &operations)
}

fn get_all(context: &mut Context<'_, '_>, key: &[u8], operations: &[Operation]) -> CommandResult {
    let value = read(context, key)?.unwrap_or(SmallBytes::empty());
    let numbers = operations.iter().map(|operation| operation.field.get(&value) as i64);
    Ok(Reply::Array(numbers.map(Reply::Integer).collect()))
}

/// Whether a BITFIELD only reads, as far as COMMAND GETKEYS goes into it.
pub(in crate::command) fn only_reads(operations: &[&[u8]]) -> bool {
    let mut rest = operations;
    while let [word, args @ ..] = rest {
        rest = match args {
            [_, _, args @ ..] if word.eq_ignore_ascii_case(b"get") => args,
            [_, args @ ..] if word.eq_ignore_ascii_case(b"overflow") => args,
            _ => return false,
        };
    }
    true
}
