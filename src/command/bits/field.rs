//! BITFIELD: a string as many small integers.

use super::super::parse::{integer, integer_arg, syntax_error};
use super::super::strings::ranges::check_room;
use super::super::strings::read_body;
use super::super::{CommandResult, Context, Stop};
use super::bit_offset;
use crate::engine::body::Body;
use crate::resp::Reply;
use crate::small_bytes::SmallBytes;
use std::collections::BTreeMap;

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

    fn first_byte(&self) -> usize {
        (self.offset / 8) as usize
    }

    fn last_byte(&self) -> usize {
        ((self.offset + u64::from(self.bits) - 1) / 8) as usize
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
}

/// A string, and what some of its bytes become. The string itself may be long, so it is not copied.
struct Draft {
    string: Body,
    /// By place; some may be what they were.
    changed: BTreeMap<usize, u8>,
}

impl Draft {
    fn of(string: Option<Body>) -> Self {
        Self { string: string.unwrap_or(SmallBytes::empty().into()), changed: BTreeMap::new() }
    }

    /// All the bytes that a field spans, with zeros behind the end of the string.
    fn spanned(&self, field: &Field) -> [u8; SPANNED_BYTES_MAX] {
        let mut bytes = [0; SPANNED_BYTES_MAX];
        let from = field.first_byte();
        let there = self.string.slice(from, from + SPANNED_BYTES_MAX);
        bytes[..there.len()].copy_from_slice(&there);
        for (at, byte) in self.changed.range(from..from + SPANNED_BYTES_MAX) {
            bytes[at - from] = *byte;
        }
        bytes
    }

    fn get(&self, field: &Field) -> i128 {
        field.number((as_number(self.spanned(field)) >> field.shift()) as u64)
    }

    fn set(&mut self, field: &Field, number: i128) {
        let (mask, bits) = (u128::from(field.mask()), number as u128);
        let old = self.spanned(field);
        let others = as_number(old) & !(mask << field.shift());
        let new = (others | (bits & mask) << field.shift()).to_be_bytes();
        let new = &new[size_of::<u128>() - SPANNED_BYTES_MAX..];
        for (at, (old, new)) in old.iter().zip(new).enumerate() {
            if old != new {
                self.changed.insert(field.first_byte() + at, *new);
            }
        }
    }

    /// Makes it so long that there is a byte.
    fn reach(&mut self, byte: usize) {
        if byte >= self.string.len() {
            self.changed.insert(byte, 0);
        }
    }

    /// What changes, in order: what lies side by side is one part.
    fn parts(&self) -> Vec<(usize, SmallBytes)> {
        let mut parts: Vec<(usize, Vec<u8>)> = Vec::new();
        for (&at, &byte) in &self.changed {
            match parts.last_mut() {
                Some((start, part)) if *start + part.len() == at => part.push(byte),
                _ => parts.push((at, vec![byte])),
            }
        }
        parts.into_iter().map(|(start, part)| (start, part.into())).collect()
    }
}

fn as_number(spanned: [u8; SPANNED_BYTES_MAX]) -> u128 {
    spanned.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
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

    /// Changes the string; its reply.
    fn run(&self, draft: &mut Draft) -> Reply {
        let field = &self.field;
        let old = draft.get(field);
        let (wanted, overflow) = match self.action {
            Action::Get => return Reply::Integer(old as i64),
            Action::Set(value, Overflow::Saturate) if field.is_taken_for_large(value) => {
                (i128::MAX, Overflow::Saturate)
            }
            Action::Set(value, overflow) if field.signed => (i128::from(value), overflow),
            // A negative one is very large, not below zero.
            Action::Set(value, overflow) => (i128::from(value as u64), overflow),
            Action::Add(by, overflow) => (old + i128::from(by), overflow),
        };
        let Some(new) = overflow.fit(wanted, field) else {
            return Reply::Null;
        };
        draft.set(field, new);
        let shown = if matches!(self.action, Action::Set(..)) { old } else { new };
        Reply::Integer(shown as i64)
    }
}

/// BITFIELD key [GET type offset | [OVERFLOW WRAP | SAT | FAIL] SET type offset value |
/// INCRBY type offset increment …]
pub(in crate::command) fn bitfield(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let operations = Operation::parse_all(context, &args[2..])?;
    let writing = operations.iter().filter(|operation| operation.writes());
    let Some(last) = writing.map(|operation| operation.field.last_byte()).max() else {
        return get_all(context, args[1], &operations);
    };
    let (database, key) = (context.session.database, args[1]);
    let (old, expires_ms) = context.transaction.body(database, key)?.unzip();
    check_room(context, last as u64 + 1)?;
    let mut draft = Draft::of(old);
    // Room is made for all, even for what fails then.
    draft.reach(last);
    let replies = operations.iter().map(|operation| operation.run(&mut draft)).collect();
    let parts = draft.parts();
    if !parts.is_empty() {
        let old = (draft.string, expires_ms.unwrap_or(0));
        context.transaction.splice(database, key, old, &parts);
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
    let draft = Draft::of(read_body(context, key)?);
    let numbers = operations.iter().map(|operation| draft.get(&operation.field) as i64);
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
