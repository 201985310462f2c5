//! Large buffers, lent to the connections of a thread while they have something to read or
//! to write.
//!
//! A connection that waits for its client holds none: what is left of a request, and
//! replies that can't go out yet, stay in buffers of their own. So 10,000 idle connections
//! cost little, and a busy one neither allocates nor copies between the socket and its
//! requests: it reads into the buffer that the connection before it has just read into.

use crate::small_bytes::{LARGE_BYTES_MIN, is_mostly};
use bytes::{Buf, Bytes, BytesMut};
use std::cell::RefCell;
use std::ops::Deref;

/// Bytes read from a socket at once, unless more are known to come: room for a value of 64 KB
/// and what stands around it.
pub(super) const READ_BYTES: usize = 72 << 10;

/// Memory set aside for an announced argument, in units of what has come of it: the
/// announcement is only a claim, and to grow by little at a time would copy it often.
const RESERVE_FACTOR: usize = 8;

/// How much a long request may be given ahead of need.
const GROWTH_BYTES_MAX: usize = 1 << 20;

/// What a connection keeps of a buffer while it waits, in bytes. Less is copied out of it.
const KEPT_BYTES_MAX: usize = 4 << 10;

/// A larger buffer isn't kept for the next.
const SPARE_BYTES_MAX: usize = 2 << 20;

thread_local! {
    static INPUT: RefCell<BytesMut> = RefCell::default();
    static OUTPUT: RefCell<Vec<u8>> = RefCell::default();
}

/// What a request misses.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Missing {
    /// So many bytes, as far as is known.
    pub(super) bytes: usize,
    /// They belong to an argument beside which the rest of the request is little.
    pub(super) of_one_argument: bool,
}

/// What has been read from a connection and not been used yet.
#[derive(Debug, Default)]
pub(super) struct Input {
    bytes: BytesMut,
    /// At most so many bytes of the buffer lie before that.
    passed: usize,
}

impl Deref for Input {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Input {
    /// Makes room behind what is there, and says how much of it is to be filled. `missing` is
    /// what its first request misses.
    pub(super) fn lend(&mut self, missing: Missing) -> (&mut BytesMut, usize) {
        let mut room = READ_BYTES;
        let length = self.bytes.len();
        if length <= KEPT_BYTES_MAX {
            let mut large = INPUT.take();
            large.extend_from_slice(&self.bytes);
            *self = Self { bytes: large, passed: 0 };
        } else if missing.bytes > 1 {
            // Not more than that: the beginning of the next long request would have to be moved.
            room = grown(length, missing.bytes) - length;
        }
        if self.bytes.capacity() - length < room.min(READ_BYTES) {
            if missing.of_one_argument && length > KEPT_BYTES_MAX {
                // No more than it needs, so that the argument may stay here.
                let mut exact = BytesMut::with_capacity(length + room);
                exact.extend_from_slice(&self.bytes);
                *self = Self { bytes: exact, passed: 0 };
            } else {
                // A request that has grown long may grow longer: it is moved less often.
                let more = (3 * length).min(GROWTH_BYTES_MAX);
                self.bytes.reserve(room.max(more));
            }
        }
        (&mut self.bytes, room)
    }

    /// Takes the buffer back, unless there is too much in it to be copied out.
    pub(super) fn take_back(&mut self) {
        if self.bytes.len() > KEPT_BYTES_MAX || self.bytes.capacity() <= KEPT_BYTES_MAX {
            return;
        }
        let left = BytesMut::from(&**self);
        let mut large = std::mem::replace(self, Self { bytes: left, passed: 0 }).bytes;
        large.clear();
        // Back to its first byte, which is in the processor's cache. Where it can't, no matter.
        let _ = large.try_reclaim(large.capacity() + 1);
        if large.capacity() <= SPARE_BYTES_MAX {
            INPUT.replace(large);
        }
    }

    /// Drops what has been used.
    pub(super) fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.passed += count;
    }

    /// Whether a part of so many bytes may stay where it is for as long as it is needed.
    pub(super) fn is_mostly(&self, length: usize) -> bool {
        length >= LARGE_BYTES_MIN && is_mostly(length, self.passed + self.bytes.capacity())
    }

    /// Gives the buffer away, with the first `count` bytes; the few behind them are copied.
    pub(super) fn take_apart(&mut self, count: usize) -> Bytes {
        let behind = BytesMut::from(&self[count..]);
        let mut whole = std::mem::replace(self, Self { bytes: behind, passed: 0 }).bytes;
        whole.truncate(count);
        whole.freeze()
    }
}

/// How long an input of that length should be able to grow that misses so much: all of it, or
/// an eighth of all, or an eighth of that. So what is asked for is no more than eight times what
/// has come, and the last to be moved is an eighth.
fn grown(length: usize, missing: usize) -> usize {
    let mut whole = length + missing;
    while whole / RESERVE_FACTOR > length {
        whole /= RESERVE_FACTOR;
    }
    whole
}

/// A buffer for replies.
pub(super) fn lend_output() -> Vec<u8> {
    OUTPUT.take()
}

/// Takes it back.
pub(super) fn return_output(mut bytes: Vec<u8>) {
    bytes.clear();
    if bytes.capacity() <= SPARE_BYTES_MAX {
        OUTPUT.replace(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(input: &mut Input, bytes: &[u8]) {
        let (buffer, _) = input.lend(Missing::default());
        buffer.extend_from_slice(bytes);
    }

    #[test]
    fn what_is_left_of_an_input_outlives_the_buffer() {
        let mut input = Input::default();
        input.lend(Missing::default());
        assert!(input.bytes.capacity() >= READ_BYTES);
        fill(&mut input, b"*1\r\n$4\r\nPI");
        input.take_back();
        assert!(input.bytes.capacity() <= KEPT_BYTES_MAX);

        let mut other = Input::default();
        other.lend(Missing::default());
        assert!(other.is_empty());
        fill(&mut other, b"another's");
        other.take_back();

        input.lend(Missing::default());
        assert_eq!(&*input, b"*1\r\n$4\r\nPI");
    }

    #[test]
    fn a_long_rest_stays_where_it_is() {
        let mut input = Input::default();
        fill(&mut input, &[b'x'; KEPT_BYTES_MAX + 1]);
        let place = input.as_ptr();
        input.take_back();
        let (_, room) = input.lend(Missing { bytes: 100, of_one_argument: false });
        assert_eq!(room, 100);
        assert_eq!(input.as_ptr(), place);
        assert_eq!(input.len(), KEPT_BYTES_MAX + 1);
    }

    #[test]
    fn a_large_argument_ends_in_a_buffer_of_its_size() {
        const WHOLE: usize = 64 << 20;
        let mut input = Input::default();
        fill(&mut input, &[b'x'; READ_BYTES]);
        let mut moved = 0;
        while input.len() < WHOLE {
            let (before, place) = (input.len(), input.as_ptr());
            let missing = Missing { bytes: WHOLE - before, of_one_argument: true };
            let (buffer, room) = input.lend(missing);
            assert!(room <= RESERVE_FACTOR * before, "it is only a claim");
            buffer.extend_from_slice(&vec![b'x'; room]);
            moved = if input.as_ptr() == place { moved } else { before };
        }
        assert!(moved <= WHOLE / RESERVE_FACTOR);
        assert!(input.is_mostly(WHOLE) && input.len() == WHOLE);
        let place = input.as_ptr();
        assert_eq!(input.take_apart(WHOLE).as_ptr(), place);
        assert!(input.is_empty());
    }

    #[test]
    fn a_part_of_a_buffer_does_not_keep_all_of_it() {
        let mut input = Input::default();
        fill(&mut input, &[b'x'; READ_BYTES]);
        assert!(input.is_mostly(READ_BYTES));
        assert!(!input.is_mostly(READ_BYTES / 2));
        // Not even when what lay before it has been used.
        input.advance(READ_BYTES / 2);
        assert!(!input.is_mostly(READ_BYTES / 2));
        // Nor is the spare buffer kept alive by what was taken out.
        let part = input.take_apart(READ_BYTES / 2 - 10);
        assert_eq!((part.len(), &*input), (READ_BYTES / 2 - 10, [b'x'; 10].as_slice()));
        assert!(input.bytes.capacity() <= KEPT_BYTES_MAX);
    }
}
