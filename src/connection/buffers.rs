//! Large buffers, lent to the connections of a thread while they have something to read or
//! to write.
//!
//! A connection that waits for its client holds none: what is left of a request, and
//! replies that can't go out yet, stay in buffers of their own. So 10,000 idle connections
//! cost little, and a busy one neither allocates nor copies between the socket and its
//! requests: it reads into the buffer that the connection before it has just read into.

use bytes::BytesMut;
use std::cell::RefCell;

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

/// Makes room behind what is left of a connection's input; says how much is to be read.
/// `wanted` is how much its first request misses, as far as that is known.
pub(super) fn lend_input(input: &mut BytesMut, wanted: usize) -> usize {
    let mut room = READ_BYTES;
    if input.len() <= KEPT_BYTES_MAX {
        let mut large = INPUT.take();
        large.extend_from_slice(input);
        *input = large;
    } else if wanted > 1 {
        // Not more than that: the beginning of the next long request would have to be moved.
        room = wanted.min(input.len().saturating_mul(RESERVE_FACTOR));
    }
    if input.capacity() - input.len() < room.min(READ_BYTES) {
        // A request that has grown long may grow longer: it is moved less often.
        let more = (3 * input.len()).min(GROWTH_BYTES_MAX);
        input.reserve(room.max(more));
    }
    room
}

/// Takes the buffer back, unless there is too much in it to be copied out.
pub(super) fn return_input(input: &mut BytesMut) {
    if input.len() > KEPT_BYTES_MAX || input.capacity() <= KEPT_BYTES_MAX {
        return;
    }
    let left = BytesMut::from(input.as_ref());
    let mut large = std::mem::replace(input, left);
    large.clear();
    // Back to its first byte, which is in the processor's cache. Where it can't, no matter.
    let _ = large.try_reclaim(large.capacity() + 1);
    if large.capacity() <= SPARE_BYTES_MAX {
        INPUT.replace(large);
    }
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

    #[test]
    fn what_is_left_of_an_input_outlives_the_buffer() {
        let mut input = BytesMut::new();
        lend_input(&mut input, 0);
        assert!(input.capacity() >= READ_BYTES);
        input.extend_from_slice(b"*1\r\n$4\r\nPI");
        return_input(&mut input);
        assert!(input.capacity() <= KEPT_BYTES_MAX);

        let mut other = BytesMut::new();
        lend_input(&mut other, 0);
        assert!(other.is_empty());
        other.extend_from_slice(b"another's");
        return_input(&mut other);

        lend_input(&mut input, 0);
        assert_eq!(input, b"*1\r\n$4\r\nPI".as_slice());
    }

    #[test]
    fn a_long_rest_stays_where_it_is() {
        let mut input = BytesMut::new();
        lend_input(&mut input, 0);
        input.resize(KEPT_BYTES_MAX + 1, b'x');
        let place = input.as_ptr();
        return_input(&mut input);
        assert_eq!(lend_input(&mut input, 100), 100);
        assert_eq!(input.as_ptr(), place);
        assert_eq!(input.len(), KEPT_BYTES_MAX + 1);
    }
}
