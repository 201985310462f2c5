//! Requests as they are on the wire.
//!
//! Keys and values are those of redis-benchmark (`key:` and twelve digits, x's), so that
//! both clients can work on the same data; `value` is for who wants to know them again.

use std::sync::LazyLock;

/// What to ask for, again and again.
pub(crate) trait Requests: Clone + Send + 'static {
    /// Replies that one request gets.
    fn replies(&self) -> usize {
        1
    }

    /// Whether a closed loop may make some pipelines ahead and send them again and again.
    fn may_repeat(&self) -> bool;

    /// Appends one request of a connection.
    fn write_request(&self, connection: usize, dice: &mut Dice, out: &mut Vec<u8>);
}

/// `SET key:<number> value`, to fill a server.
pub(crate) fn write_fill(out: &mut Vec<u8>, number: u64, value: &[u8]) {
    write_command(out, &[b"SET", &key("key", number), value]);
}

/// A numbered key; `key:` makes it 16 bytes long.
pub(crate) fn key(name: &str, number: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 1 + DIGITS);
    key.extend_from_slice(name.as_bytes());
    key.push(b':');
    key.extend_from_slice(&digits(number));
    key
}

const DIGITS: usize = 12;

fn digits(mut number: u64) -> [u8; DIGITS] {
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
    }
    digits
}

/// A value of so many bytes, at least 16, that says what it is: a number, and which of the
/// values that it has had. What follows doesn't repeat itself: redis-server would compress
/// that in its files.
pub(crate) fn value(number: u64, version: u64, bytes: usize) -> Vec<u8> {
    let mut value = Vec::with_capacity(bytes);
    value.extend_from_slice(&digits(version)[DIGITS - 4..]);
    value.extend_from_slice(&digits(number));
    let from = (number.wrapping_mul(31) + version) as usize % (FILLER_BYTES / 2);
    while value.len() < bytes {
        let piece = &FILLER[from..];
        value.extend_from_slice(&piece[..piece.len().min(bytes - value.len())]);
    }
    value
}

const FILLER_BYTES: usize = 16 << 10;

/// Random letters.
static FILLER: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut dice = Dice::new(1);
    (0..FILLER_BYTES).map(|_| b'a' + dice.below(26) as u8).collect()
});

/// Appends a command as an array of bulk strings. By hand, since a generator should cost
/// little beside a server.
pub(crate) fn write_command(out: &mut Vec<u8>, arguments: &[&[u8]]) {
    write_number(out, b'*', arguments.len());
    for argument in arguments {
        write_number(out, b'$', argument.len());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
}

fn write_number(out: &mut Vec<u8>, kind: u8, number: usize) {
    out.push(kind);
    let digits = digits(number as u64);
    let first = digits.iter().position(|&digit| digit != b'0').unwrap_or(DIGITS - 1);
    out.extend_from_slice(&digits[first..]);
    out.extend_from_slice(b"\r\n");
}

/// Random numbers by splitmix64: a seed replays a run, and they cost next to nothing, so
/// that the generator stays faster than the servers.
#[derive(Clone, Debug)]
pub(crate) struct Dice {
    state: u64,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// A number below `limit`. The modulo's bias is far below what a benchmark notices.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    /// At least 0 and below 1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
