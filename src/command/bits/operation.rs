//! BITOP: one string of several, bit by bit.

use super::super::parse::syntax_error;
use super::super::strings::read_bodies;
use super::super::{CommandResult, Context, Stop};
use crate::engine::body::Body;
use crate::resp::Reply;
use crate::rope::Rope;
use crate::small_bytes::SmallBytes;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
}

impl Operation {
    fn parse(text: &[u8]) -> Result<Self, Stop> {
        match text.to_ascii_lowercase().as_slice() {
            b"and" => Ok(Self::And),
            b"or" => Ok(Self::Or),
            b"xor" => Ok(Self::Xor),
            b"not" => Ok(Self::Not),
            _ => Err(syntax_error()),
        }
    }

    /// What it makes of several strings, from byte `start` up to `end`; a shorter one is as if it had
    /// zeros behind its end.
    fn result(self, sources: &[Rope], start: usize, end: usize) -> Vec<u8> {
        let mut result = Vec::with_capacity(end - start);
        let (first, others) = sources.split_first().map_or((None, sources), |(f, o)| (Some(f), o));
        let first = first.map(|first| first.slice(start, end)).unwrap_or_default();
        first.pieces().iter().for_each(|piece| result.extend_from_slice(piece));
        result.resize(end - start, 0);
        if self == Self::Not {
            result.iter_mut().for_each(|byte| *byte = !*byte);
        }
        for other in others {
            let mut rest = result.as_mut_slice();
            for piece in other.slice(start, end).pieces() {
                let (here, behind) = rest.split_at_mut(piece.len());
                self.combine(here, piece);
                rest = behind;
            }
            if self == Self::And {
                rest.fill(0);
            }
        }
        result
    }

    /// Combines each byte with the other's. A loop for each operation, so that the compiler makes it work
    /// on many bytes at once.
    fn combine(self, result: &mut [u8], other: &[u8]) {
        let both = result.iter_mut().zip(other);
        match self {
            Self::And => both.for_each(|(byte, other)| *byte &= other),
            Self::Or => both.for_each(|(byte, other)| *byte |= other),
            Self::Xor => both.for_each(|(byte, other)| *byte ^= other),
            Self::Not => {}
        }
    }

    /// Whether this is what it makes of them; found out in small parts, so that nothing is held twice.
    fn has_made(self, body: &Body, sources: &[Rope]) -> bool {
        const PART_BYTES: usize = 64 << 10;
        (0..body.len()).step_by(PART_BYTES).all(|start| {
            let end = body.len().min(start + PART_BYTES);
            *body.slice(start, end) == *self.result(sources, start, end)
        })
    }
}

/// BITOP AND | OR | XOR | NOT destination key …
pub(in crate::command) fn bitop(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let (operation, destination, sources) = (Operation::parse(args[1])?, args[2], &args[3..]);
    if operation == Operation::Not && sources.len() > 1 {
        let text = "ERR BITOP NOT must be called with a single source key.";
        return Err(Reply::error(text).into());
    }
    let bodies = read_bodies(context, sources)?;
    let database = context.session.database;
    let sources: Vec<Rope> =
        bodies.into_iter().map(|body| body.map(|body| body.rope()).unwrap_or_default()).collect();
    let length = sources.iter().map(Rope::len).max().unwrap_or(0);
    if length == 0 {
        context.transaction.delete(database, destination);
        return Ok(Reply::Integer(0));
    }
    // A large result is written to the store before it is put: then the command runs again.
    let is_it = |body: &Body| body.len() == length && operation.has_made(body, &sources);
    let result = context.transaction.written_before(is_it).unwrap_or_else(|| {
        let result = operation.result(&sources, 0, length);
        Body::Whole(SmallBytes::from(result))
    });
    context.transaction.put_body(database, destination, result, 0);
    Ok(Reply::Integer(length as i64))
}

#[cfg(test)]
mod tests {
    use super::Operation;
    use crate::engine::body::Body;
    use crate::rope::Rope;
    use bytes::Bytes;

    /// Bytes that are not alike, in pieces of so many.
    fn source(seed: u8, length: usize, piece_bytes: usize) -> (Vec<u8>, Rope) {
        let bytes: Vec<u8> = (0..length).map(|at| (at as u8).wrapping_mul(seed) ^ seed).collect();
        let mut rope = Rope::default();
        bytes.chunks(piece_bytes).for_each(|piece| rope.push(Bytes::copy_from_slice(piece)));
        (bytes, rope)
    }

    fn bit_by_bit(operation: Operation, sources: &[Vec<u8>]) -> Vec<u8> {
        let length = sources.iter().map(Vec::len).max().unwrap_or(0);
        let of = |at: usize| {
            let mut bytes = sources.iter().map(|source| source.get(at).copied().unwrap_or(0));
            let first = bytes.next().unwrap_or(0);
            match operation {
                Operation::And => bytes.fold(first, |one, other| one & other),
                Operation::Or => bytes.fold(first, |one, other| one | other),
                Operation::Xor => bytes.fold(first, |one, other| one ^ other),
                Operation::Not => !first,
            }
        };
        (0..length).map(of).collect()
    }

    #[test]
    fn pieces_are_combined_as_one() {
        const LENGTHS: [usize; 4] = [1000, 777, 0, 1000];
        let all = [Operation::And, Operation::Or, Operation::Xor, Operation::Not];
        for (operation, count) in all.into_iter().flat_map(|one| (1..=4).map(move |n| (one, n))) {
            let count = if operation == Operation::Not { 1 } else { count };
            let made = LENGTHS[..count].iter().enumerate();
            let made = made.map(|(n, length)| source(n as u8 * 2 + 3, *length, 100 * n + 7));
            let (sources, ropes): (Vec<Vec<u8>>, Vec<Rope>) = made.unzip();
            let wanted = bit_by_bit(operation, &sources);
            for (start, end) in [(0, 1000), (0, 1), (500, 990), (776, 778), (999, 1000)] {
                assert_eq!(operation.result(&ropes, start, end), wanted[start..end]);
            }
        }
    }

    #[test]
    fn what_was_made_before_is_known_again() {
        const LENGTH: usize = 200_000;
        let (bytes, rope) = source(5, LENGTH, 70_000);
        let (wanted, sources) = (bit_by_bit(Operation::Not, &[bytes]), [rope]);
        let is_it = |made: &[u8]| Operation::Not.has_made(&Body::Whole(made.into()), &sources);
        assert!(is_it(&wanted));
        for at in [0, LENGTH / 2, LENGTH - 1] {
            let mut other = wanted.clone();
            other[at] ^= 1;
            assert!(!is_it(&other), "byte {at} differs");
        }
    }
}
