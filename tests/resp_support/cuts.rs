//! However the network cuts a stream, the same requests come out of it.
//!
//! Shared by the fuzzer (`fuzz/fuzz_targets/request_decoder.rs`), the test that
//! replays its corpus, and the property tests.

use aft::resp::{Decoded, Decoder, RequestLimits};

/// What a connection gets out of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A request's arguments, and how many bytes it took.
    Request(Vec<Vec<u8>>, usize),
    /// Bytes that are no request.
    Empty(usize),
    /// The error that ends the connection.
    Error(String),
}

/// Limits that a fuzzer reaches within a few bytes.
pub(crate) fn narrow_limits() -> RequestLimits {
    RequestLimits {
        bulk_bytes_max: 300,
        inline_bytes_max: 40,
        multibulk_args_max: 50,
        request_bytes_max: 500,
        unauthenticated_args_max: 3,
        unauthenticated_bulk_bytes_max: 16,
    }
}

/// Shows a decoder `stream` up to each of `ends` in turn, as a connection would.
pub(crate) fn decode_cut(
    stream: &[u8],
    ends: impl Iterator<Item = usize>,
    limits: RequestLimits,
    authenticated: bool,
) -> Vec<Event> {
    let mut decoder = Decoder::new(limits);
    let mut events = Vec::new();
    let mut start = 0;
    // Before this many bytes the decoder said it could do nothing.
    let mut useful_from = 0;
    for end in ends {
        loop {
            let input = &stream[start..end];
            match decoder.decode(input, authenticated) {
                Ok(Decoded::NeedMore { bytes }) => {
                    assert!(bytes > 0, "waits for nothing");
                    useful_from = end + bytes;
                    break;
                }
                Ok(Decoded::Empty { consumed }) => {
                    assert!(0 < consumed && consumed <= input.len());
                    events.push(Event::Empty(consumed));
                    start += consumed;
                }
                Ok(Decoded::Request { consumed }) => {
                    assert!(0 < consumed && consumed <= input.len());
                    assert!(end >= useful_from, "could have been decoded before");
                    let args: Vec<_> = decoder.args(input).iter().map(<[u8]>::to_vec).collect();
                    assert!(!args.is_empty());
                    assert_eq!(decoder.args(input).to_slices().as_slice(), args.as_slice());
                    events.push(Event::Request(args, consumed));
                    start += consumed;
                }
                Err(error) => {
                    assert_eq!(decoder.decode(input, authenticated), Err(error));
                    events.push(Event::Error(error.to_string()));
                    return events;
                }
            }
        }
    }
    events
}

/// The ends of pieces of one to `piece_bytes_max` bytes, drawn from `seed`.
pub(crate) fn random_ends(
    stream_bytes: usize,
    piece_bytes_max: usize,
    seed: u64,
) -> impl Iterator<Item = usize> {
    let mut state = seed;
    let mut end = 0;
    std::iter::from_fn(move || {
        if end == stream_bytes {
            return None;
        }
        // A linear congruential generator: its upper bits are good enough here.
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        end = (end + 1 + (state >> 33) as usize % piece_bytes_max).min(stream_bytes);
        Some(end)
    })
}

/// Decodes a stream at once, byte by byte and in random pieces: all must agree. The
/// first byte of `data` chooses the limits, the second seeds the cuts.
pub(crate) fn check(data: &[u8]) {
    let [options, seed, stream @ ..] = data else {
        return;
    };
    let authenticated = options & 1 == 0;
    let limits = if options & 2 == 0 { narrow_limits() } else { RequestLimits::default() };
    let at_once = decode_cut(stream, std::iter::once(stream.len()), limits, authenticated);
    let by_bytes = decode_cut(stream, 1..=stream.len(), limits, authenticated);
    assert_eq!(at_once, by_bytes, "byte by byte");
    for piece_bytes_max in [3, 20, 100] {
        let ends = random_ends(stream.len(), piece_bytes_max, u64::from(*seed));
        let in_pieces = decode_cut(stream, ends, limits, authenticated);
        assert_eq!(at_once, in_pieces, "in pieces of up to {piece_bytes_max} bytes");
    }
}
