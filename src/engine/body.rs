//! Large values as they are changed and brought to the store: in one piece, or in several.
//!
//! ```text
//!   APPEND k tail           [ the value as it was       ] [tail]
//!   SETRANGE k 5 part       [ up to 5 ] [part] [ behind it     ]     slices of the same memory
//! ```
//! So that a value of 512 MB with some bytes more is held once and not twice. Whoever wants to know
//! how long it is, or a range of it, looks at the pieces. Whoever reads all of it has it brought
//! together, and who reads it next shares that; a very large one that is in the store, and would
//! be in memory twice meanwhile, is read back from there in one.

use crate::rope::Rope;
use crate::small_bytes::{SmallBytes, is_mostly};
use std::sync::Arc;

/// A value in more pieces is not worth keeping: each costs some bytes and a look.
const PIECES_MAX: usize = 64;

/// A value in more pieces is brought together, whoever holds it: each change looks at all of them,
/// so that many changes of one transaction would cost the square of their number. Of 4 MB (from
/// there on values are in pieces) a copy costs no more than those looks; larger ones are copied once
/// in hundreds of changes.
const SPLICED_PIECES_MAX: usize = 512;

/// The bytes of a value.
#[derive(Debug, Clone)]
pub enum Body {
    /// In one piece.
    Whole(SmallBytes),
    /// In several.
    InPieces(Arc<Pieces>),
}

const _: () = assert!(size_of::<Body>() == size_of::<SmallBytes>());

/// Several pieces that are one value.
#[derive(Debug)]
pub struct Pieces {
    rope: Rope,
    /// What they keep alive, in bytes: a slice keeps all that it is a slice of.
    held_bytes: usize,
}

impl Body {
    /// How long it is, in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.len(),
            Self::InPieces(pieces) => pieces.rope.len(),
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One of its bytes, if it is so long.
    pub fn get(&self, at: usize) -> Option<u8> {
        match self {
            Self::Whole(bytes) => bytes.get(at).copied(),
            Self::InPieces(pieces) => pieces.rope.slice(at, at.saturating_add(1)).first(),
        }
    }

    /// What lies from `start` up to `end`, as far as there is so much. Nothing else is copied, nor
    /// kept alive.
    pub fn slice(&self, start: usize, end: usize) -> SmallBytes {
        match self {
            Self::Whole(bytes) => {
                let end = end.min(bytes.len());
                bytes[start.min(end)..end].into()
            }
            Self::InPieces(pieces) => pieces.rope.slice(start, end).pieces().concat().into(),
        }
    }

    /// What it keeps alive, in bytes: at least as much as it is long.
    pub fn held_bytes(&self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.len(),
            Self::InPieces(pieces) => pieces.held_bytes,
        }
    }

    /// The same with other parts, each at its offset, and zeros where it was too short for that; they
    /// come in order, none over another. From `pieces_bytes_min` on it is not copied, or but once in
    /// many times.
    #[must_use]
    pub fn splice(&self, parts: &[(usize, SmallBytes)], pieces_bytes_min: usize) -> Self {
        let end = parts.last().map_or(0, |(offset, part)| offset + part.len());
        let length = self.len().max(end);
        if let Self::Whole(bytes) = self
            && length < pieces_bytes_min
        {
            let mut value = Vec::with_capacity(length);
            value.extend_from_slice(bytes);
            value.resize(length, 0);
            for (offset, part) in parts {
                value[*offset..offset + part.len()].copy_from_slice(part);
            }
            return Self::Whole(value.into());
        }
        let old = self.rope();
        let (mut rope, mut held_bytes) = (Rope::default(), self.held_bytes());
        for (offset, part) in parts {
            rope.append(old.slice(rope.len(), *offset));
            let gap = offset - rope.len();
            rope.push(vec![0; gap].into());
            rope.push(part.to_bytes());
            held_bytes += gap + part.len();
        }
        rope.append(old.slice(rope.len(), old.len()));
        if rope.pieces().len() > SPLICED_PIECES_MAX {
            return Self::Whole(rope.to_bytes().into());
        }
        Self::InPieces(Arc::new(Pieces { rope, held_bytes }))
    }

    /// The pieces, none of them empty.
    pub fn rope(&self) -> Rope {
        match self {
            Self::Whole(bytes) => Rope::from(bytes.to_bytes()),
            Self::InPieces(pieces) => pieces.rope.clone(),
        }
    }

    /// All of it in one piece; copied, unless it is one.
    pub fn to_whole(&self) -> SmallBytes {
        match self {
            Self::Whole(bytes) => bytes.clone(),
            Self::InPieces(pieces) => pieces.rope.to_bytes().into(),
        }
    }

    /// Whether it may stay in memory as it is: little is kept alive that is no part of it.
    pub fn may_stay(&self) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::InPieces(pieces) => {
                let few = pieces.rope.pieces().len() <= PIECES_MAX;
                few && is_mostly(pieces.rope.len(), pieces.held_bytes)
            }
        }
    }

    /// Whether both are the same bytes; what both share is not looked at.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Whole(one), Self::Whole(other)) => are_same(one, other),
            _ => self.len() == other.len() && are_ropes_same(&self.rope(), &other.rope()),
        }
    }
}

impl From<SmallBytes> for Body {
    fn from(bytes: SmallBytes) -> Self {
        Self::Whole(bytes)
    }
}

fn are_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && (one.as_ptr() == other.as_ptr() || one == other)
}

/// Of ropes of the same length.
fn are_ropes_same(one: &Rope, other: &Rope) -> bool {
    let (mut ones, mut others) = (one.pieces().iter(), other.pieces().iter());
    let (mut left, mut right): (&[u8], &[u8]) = (&[], &[]);
    loop {
        if left.is_empty() {
            let Some(next) = ones.next() else { return true };
            left = next;
        }
        if right.is_empty() {
            let Some(next) = others.next() else { return true };
            right = next;
        }
        let both = left.len().min(right.len());
        if !are_same(&left[..both], &right[..both]) {
            return false;
        }
        (left, right) = (&left[both..], &right[both..]);
    }
}

#[cfg(test)]
mod tests {
    use super::{Body, PIECES_MAX, SPLICED_PIECES_MAX};
    use crate::small_bytes::SmallBytes;

    const PIECES_BYTES_MIN: usize = 1 << 20;

    fn splice(body: &Body, offset: usize, part: &str) -> Body {
        body.splice(&[(offset, part.into())], PIECES_BYTES_MIN)
    }

    fn whole(byte: u8, length: usize) -> Body {
        Body::Whole(vec![byte; length].into())
    }

    /// As a value in one piece would be changed.
    fn spliced(value: &mut Vec<u8>, offset: usize, part: &[u8]) {
        value.resize(value.len().max(offset + part.len()), 0);
        value[offset..offset + part.len()].copy_from_slice(part);
    }

    #[test]
    fn parts_change_as_in_a_value_in_one_piece() {
        for length in [0, 1, 100, PIECES_BYTES_MIN - 10, PIECES_BYTES_MIN, PIECES_BYTES_MIN * 3] {
            let (mut body, mut wanted) = (whole(b'v', length), vec![b'v'; length]);
            let offsets =
                [length, 0, length / 2, length / 2 + 3, length + 50, length + 49, length / 3];
            for (round, offset) in offsets.into_iter().enumerate() {
                let part = vec![b'0' + round as u8; 1 + round * 40];
                let before = body.clone();
                body = body.splice(&[(offset, part.as_slice().into())], PIECES_BYTES_MIN);
                spliced(&mut wanted, offset, &part);
                assert!(*body.to_whole() == *wanted, "{length} bytes, round {round}");
                assert_eq!((body.len(), body.get(body.len())), (wanted.len(), None));
                assert_eq!(body.get(offset), Some(part[0]));
                assert!(body.held_bytes() >= body.len());
                for (start, end) in [(0, 0), (offset, offset + 60), (offset / 2, wanted.len() + 9)]
                {
                    let slice = body.slice(start, end);
                    assert!(*slice == wanted[start..end.min(wanted.len())], "{start} to {end}");
                }
                assert!(body.slice(wanted.len() + 1, wanted.len() + 2).is_empty());
                let in_one = Body::Whole(SmallBytes::from(wanted.clone()));
                assert!(body.is_same(&in_one) && in_one.is_same(&body) && !body.is_same(&before));
            }
            assert_eq!(matches!(body, Body::Whole(_)), wanted.len() < PIECES_BYTES_MIN);
        }
    }

    #[test]
    fn many_parts_change_at_once() {
        for length in [0, 100, PIECES_BYTES_MIN, PIECES_BYTES_MIN * 2] {
            for many in [3, SPLICED_PIECES_MAX] {
                let (body, mut wanted) = (whole(b'v', length), vec![b'v'; length]);
                // Some side by side, some with something in between; the last beyond the end.
                let offset = |number: usize| length / 2 + number * 20 - number % 2 * 15;
                let parts = (0..many).map(|number| (offset(number), SmallBytes::from("12345")));
                let mut parts: Vec<(usize, SmallBytes)> = parts.collect();
                parts.push((length.max(offset(many)) + 7, "end".into()));
                parts.iter().for_each(|(offset, part)| spliced(&mut wanted, *offset, part));
                let changed = body.splice(&parts, PIECES_BYTES_MIN);
                assert!(*changed.to_whole() == *wanted, "{length} bytes, {many} parts");
                let in_pieces = wanted.len() >= PIECES_BYTES_MIN && many < SPLICED_PIECES_MAX;
                assert_eq!(matches!(changed, Body::InPieces(_)), in_pieces);
                assert!(changed.held_bytes() >= changed.len());
            }
        }
    }

    #[test]
    fn the_bytes_of_a_large_value_are_not_copied() {
        let body = whole(b'v', PIECES_BYTES_MIN);
        let place = body.to_whole().as_ptr();
        let longer = splice(&body, body.len(), "tail");
        assert_eq!(longer.rope().pieces()[0].as_ptr(), place);
        let changed = splice(&longer, 3, "part");
        let pieces = changed.rope();
        assert_eq!(pieces.pieces()[0].as_ptr(), place);
        assert_eq!(pieces.pieces()[2].as_ptr() as usize, place as usize + 7);
        // The same once more is seen to be that without a look at what both share.
        assert!(changed.is_same(&splice(&longer, 3, "part")));
        assert!(!changed.is_same(&splice(&longer, 3, "trap")));
    }

    #[test]
    fn a_range_of_a_large_value_does_not_keep_it_alive() {
        let body = splice(&whole(b'v', PIECES_BYTES_MIN), PIECES_BYTES_MIN, "tail");
        let range = body.slice(1, PIECES_BYTES_MIN / 2).as_ptr_range();
        let piece = body.rope().pieces()[0].as_ptr_range();
        assert!(!piece.contains(&range.start), "it is a slice of that");
    }

    #[test]
    fn many_changes_do_not_make_ever_more_pieces() {
        const CHANGES: usize = 5000;
        let (mut body, mut wanted) = (whole(b'v', PIECES_BYTES_MIN), vec![b'v'; PIECES_BYTES_MIN]);
        let (mut joins, mut most) = (0, 0);
        for change in 0..CHANGES {
            let offset = change * 13 % PIECES_BYTES_MIN;
            body = splice(&body, offset, "c");
            spliced(&mut wanted, offset, b"c");
            joins += usize::from(matches!(body, Body::Whole(_)));
            most = most.max(body.rope().pieces().len());
        }
        assert!(most <= SPLICED_PIECES_MAX, "{most} pieces");
        let joins_max = CHANGES / (SPLICED_PIECES_MAX / 2) + 1;
        assert!((1..=joins_max).contains(&joins), "it was copied {joins} times");
        assert!(*body.to_whole() == *wanted);
    }

    #[test]
    fn what_keeps_much_alive_does_not_stay() {
        let body = whole(b'v', 2 * PIECES_BYTES_MIN);
        let mut longer = body.clone();
        for _ in 1..PIECES_MAX {
            longer = splice(&longer, longer.len(), "tail");
            assert!(longer.may_stay());
        }
        assert!(!splice(&longer, longer.len(), "tail").may_stay(), "too many pieces");
        let half = SmallBytes::from(vec![b'n'; PIECES_BYTES_MIN]);
        let changed = body.splice(&[(0, half)], PIECES_BYTES_MIN);
        assert!(!changed.may_stay(), "half of what it was is held for nothing");
        assert_eq!(changed.held_bytes(), 3 * PIECES_BYTES_MIN);
    }
}
