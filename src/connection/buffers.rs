//! Large buffers, lent to the connections of a thread while they have something to read or
//! to write.
//!
//! A connection that waits for its client holds none: what is left of a request, and
//! replies that can't go out yet, stay in buffers of their own. So 10,000 idle connections
//! cost little, and a busy one neither allocates nor copies between the socket and its
//! requests: it reads into the buffer that the connection before it has just read into.

use bytes::BytesMut;
use std::cell::RefCell;

/// Bytes read from a socket at once, unless more are known to come.
pub(super) const READ_BYTES: usize = 64 << 10;

/// What a connection keeps of a buffer while it waits, in bytes. Less is copied out of it.
const KEPT_BYTES_MAX: usize = 4 << 10;

/// A larger buffer isn't kept for the next.
const SPARE_BYTES_MAX: usize = 2 << 20;

thread_local! {
    static INPUT: RefCell<BytesMut> = RefCell::default();
    static OUTPUT: RefCell<Vec<u8>> = RefCell::default();
}

/// Makes room behind what is left of a connection's input.
pub(super) fn lend_input(input: &mut BytesMut, room: usize) {
    if input.len() <= KEPT_BYTES_MAX {
        let mut large = INPUT.take();
        large.extend_from_slice(input);
        *input = large;
    }
    input.reserve(room);
}

/// Takes the buffer back, unless there is too much in it to be copied out.
pub(super) fn return_input(input: &mut BytesMut) {
    if input.len() > KEPT_BYTES_MAX || input.capacity() <= KEPT_BYTES_MAX {
        return;
    }
    let left = BytesMut::from(input.as_ref());
    let mut large = std::mem::replace(input, left);
    large.clear();
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
        lend_input(&mut input, READ_BYTES);
        assert!(input.capacity() >= READ_BYTES);
        input.extend_from_slice(b"*1\r\n$4\r\nPI");
        return_input(&mut input);
        assert!(input.capacity() <= KEPT_BYTES_MAX);

        let mut other = BytesMut::new();
        lend_input(&mut other, READ_BYTES);
        assert!(other.is_empty());
        other.extend_from_slice(b"another's");
        return_input(&mut other);

        lend_input(&mut input, READ_BYTES);
        assert_eq!(input, b"*1\r\n$4\r\nPI".as_slice());
    }

    #[test]
    fn a_long_rest_stays_where_it_is() {
        let mut input = BytesMut::new();
        lend_input(&mut input, READ_BYTES);
        input.resize(KEPT_BYTES_MAX + 1, b'x');
        let place = input.as_ptr();
        return_input(&mut input);
        lend_input(&mut input, 1);
        assert_eq!(input.as_ptr(), place);
        assert_eq!(input.len(), KEPT_BYTES_MAX + 1);
    }
}
