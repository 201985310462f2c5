//! Requests: from bytes as they arrive to arguments as slices of them.
//!
//! [`Decoder`] is a machine without a socket. The caller keeps the bytes of the
//! unfinished request at the start of one buffer, appends what arrives, and shows
//! the buffer again:
//!
//! ```text
//!   input    *2\r\n$4\r\nECHO\r\n$536870912\r\nxxxxxxxxxxx…
//!   spans              ^^^^ known      │
//!   position                           └ decoding goes on here
//! ```
//!
//! All positions count from the request's first byte, so the buffer may move or
//! grow between calls, and nothing is read twice: half a gigabyte in pieces of
//! 16 KiB costs one comparison a piece.

mod args;
mod count;
mod error;
mod inline;
#[cfg(test)]
mod tests;

use args::Span;
pub use args::{Args, Slices, slices};
use count::{parse_count, plain_count};
pub use error::ProtocolError;

/// How much a client may send, checked before memory is spent on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Longest argument in bytes. 512 MiB, Redis' `proto-max-bulk-len`.
    pub bulk_bytes_max: u64,
    /// Longest line in bytes, of an inline request or a count. 64 KiB as in Redis:
    /// a line's end must be searched for, and a person types no more.
    pub inline_bytes_max: usize,
    /// Most arguments of a request. 2³¹ − 1 as in Redis 7.0, where an `int` counts
    /// them. Nothing is allocated for a claimed argument before it arrives.
    pub multibulk_args_max: i64,
    /// Longest request in bytes, at most 4 GiB − 1 (offsets are 32 bits wide). 2 GiB:
    /// room for the longest key and value in one SET, twice. Redis bounds its
    /// query buffer instead, with 1 GiB, and counts long arguments out of it.
    pub request_bytes_max: u64,
    /// Most arguments before authentication. 10 as in Redis: enough for
    /// `HELLO 3 AUTH user password SETNAME name`.
    pub unauthenticated_args_max: i64,
    /// Longest argument in bytes before authentication. 16 KiB as in Redis.
    pub unauthenticated_bulk_bytes_max: u64,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            bulk_bytes_max: 512 << 20,
            inline_bytes_max: 64 << 10,
            multibulk_args_max: i32::MAX as i64,
            request_bytes_max: 2 << 30,
            unauthenticated_args_max: 10,
            unauthenticated_bulk_bytes_max: 16 << 10,
        }
    }
}

/// What the input holds at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// An unfinished request: keep the input and append to it.
    NeedMore {
        /// Fewer further bytes than these change nothing. A hint for the next read,
        /// and only the client's claim: it may be as large as the longest argument.
        bytes: usize,
    },
    /// No request, and no reply to it: a blank line, `*0`, `*-1`.
    Empty {
        /// Bytes to drop from the input.
        consumed: usize,
    },
    /// A request of at least one argument: read it with [`Decoder::args`].
    Request {
        /// Bytes to drop from the input once its arguments have been used.
        consumed: usize,
    },
}

/// Where the request at the start of the input stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// None of its bytes has been looked at. `spans` are those of the one before.
    Start,
    /// A line whose end is being searched for.
    Inline,
    /// The number of arguments is being searched for.
    Count,
    /// Arguments: `args_left` of them are missing.
    Args,
}

/// Spans whose memory is kept for the next request: 2 KiB on a connection that once
/// sent a long MSET, rather than its largest request for ever.
const SPANS_KEPT_MAX: usize = 256;

/// Bytes of unescaped inline arguments kept for the next request, likewise.
const SCRATCH_BYTES_KEPT_MAX: usize = 4096;

/// Finds the requests in a stream of bytes; one for each connection.
#[derive(Debug)]
pub struct Decoder {
    limits: RequestLimits,
    /// A count of arguments up to here is within every limit.
    plain_args_max: u32,
    /// An argument's length up to here is within every limit of its own.
    plain_bulk_bytes_max: u32,
    phase: Phase,
    /// Everything before it is understood. From the request's start, like all offsets.
    position: usize,
    /// Everything between `position` and here holds no end of a line. It may lag
    /// behind `position`, where nothing has been searched.
    scanned: usize,
    /// Arguments still to come, the one in `bulk_length` included.
    args_left: u32,
    /// Length of the argument at `position`, once its length line has been read.
    bulk_length: Option<u32>,
    spans: Vec<Span>,
    /// Unescaped arguments of an inline request, one after the other.
    scratch: Vec<u8>,
    /// Whether `spans` point into `scratch` rather than into the input.
    in_scratch: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new(RequestLimits::default())
    }
}

impl Decoder {
    /// A decoder at the start of a connection.
    pub fn new(limits: RequestLimits) -> Self {
        let mut decoder = Self {
            limits,
            plain_args_max: 0,
            plain_bulk_bytes_max: 0,
            phase: Phase::Start,
            position: 0,
            scanned: 0,
            args_left: 0,
            bulk_length: None,
            spans: Vec::new(),
            scratch: Vec::new(),
            in_scratch: false,
        };
        decoder.set_limits(limits);
        decoder
    }

    /// Other limits from here on; what an unfinished request was allowed so far stands.
    pub fn set_limits(&mut self, limits: RequestLimits) {
        let request_bytes_max = limits.request_bytes_max.min(u64::from(u32::MAX));
        let plain_args_max = limits.multibulk_args_max.min(limits.unauthenticated_args_max);
        let plain_bulk_bytes_max = limits.bulk_bytes_max.min(limits.unauthenticated_bulk_bytes_max);
        self.limits = RequestLimits { request_bytes_max, ..limits };
        self.plain_args_max = u32::try_from(plain_args_max).unwrap_or(0);
        self.plain_bulk_bytes_max = u32::try_from(plain_bulk_bytes_max).unwrap_or(0);
    }

    /// Looks for the request that `input` starts with.
    ///
    /// After [`Decoded::NeedMore`] the next input must be the same bytes and more;
    /// after the others it must begin with the first byte not consumed. After an
    /// error the connection is to be closed.
    #[inline]
    pub fn decode(&mut self, input: &[u8], authenticated: bool) -> Result<Decoded, ProtocolError> {
        if self.phase == Phase::Start {
            let Some(&first) = input.first() else {
                return Ok(Decoded::NeedMore { bytes: 1 });
            };
            self.start(first);
        }
        if self.phase == Phase::Inline {
            return self.decode_inline(input);
        }
        if self.phase == Phase::Count {
            match plain_count(input, self.plain_args_max) {
                Some((count, length)) if count > 0 => self.start_args(count, length),
                _ => {
                    if let Some(decoded) = self.decode_count(input, authenticated)? {
                        return Ok(decoded);
                    }
                }
            }
        }
        self.decode_args(input, authenticated)
    }

    /// The arguments of the request that [`decode`](Self::decode) has just found, where
    /// `input` is the one it was found in.
    #[inline]
    pub fn args<'a>(&'a self, input: &'a [u8]) -> Args<'a> {
        let bytes = if self.in_scratch { &self.scratch } else { input };
        Args { bytes, spans: &self.spans }
    }

    #[inline]
    fn start(&mut self, first: u8) {
        self.phase = if first == b'*' { Phase::Count } else { Phase::Inline };
        self.position = 0;
        self.scanned = 0;
        self.bulk_length = None;
        self.in_scratch = false;
        self.spans.clear();
        if self.spans.capacity() > SPANS_KEPT_MAX {
            self.spans = Vec::new();
        }
        self.scratch.clear();
        if self.scratch.capacity() > SCRATCH_BYTES_KEPT_MAX {
            self.scratch = Vec::new();
        }
    }

    /// Bytes of memory that the arguments of an unfinished request take beside the input.
    pub fn held_bytes(&self) -> usize {
        match self.phase {
            Phase::Start => 0,
            _ => self.spans.len() * size_of::<Span>(),
        }
    }

    /// Whether the arguments just found are parts of the input; those of an inline request are not.
    pub fn args_are_in_input(&self) -> bool {
        !self.in_scratch
    }

    /// Whether most of the unfinished request is the argument that is arriving.
    pub fn is_mostly_one_argument(&self) -> bool {
        self.bulk_length.is_some_and(|length| self.position <= length as usize / 8)
    }

    fn decode_inline(&mut self, input: &[u8]) -> Result<Decoded, ProtocolError> {
        let Some(newline) = self.find_in_line(input, b'\n', ProtocolError::TooBigInline)? else {
            return Ok(Decoded::NeedMore { bytes: 1 });
        };
        let line = &input[..newline];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        inline::split(line, &mut self.scratch, &mut self.spans)
            .map_err(|inline::Unbalanced| ProtocolError::UnbalancedQuotes)?;
        self.in_scratch = true;
        self.phase = Phase::Start;
        let consumed = newline + 1;
        if self.spans.is_empty() {
            Ok(Decoded::Empty { consumed })
        } else {
            Ok(Decoded::Request { consumed })
        }
    }

    /// Reads `*<count>`, whatever it is. Nothing to return means: go on with the
    /// arguments.
    #[cold]
    fn decode_count(
        &mut self,
        input: &[u8],
        authenticated: bool,
    ) -> Result<Option<Decoded>, ProtocolError> {
        let Some(line) = self.find_count(input, ProtocolError::TooBigMultibulkCount)? else {
            return Ok(Some(Decoded::NeedMore { bytes: 1 }));
        };
        let count = line
            .count
            .filter(|&count| count <= self.limits.multibulk_args_max)
            .ok_or(ProtocolError::InvalidMultibulkLength)?;
        if !authenticated && count > self.limits.unauthenticated_args_max {
            return Err(ProtocolError::UnauthenticatedMultibulkLength);
        }
        if count <= 0 {
            self.phase = Phase::Start;
            return Ok(Some(Decoded::Empty { consumed: line.length }));
        }
        let count = u32::try_from(count).map_err(|_| ProtocolError::InvalidMultibulkLength)?;
        self.start_args(count, line.length);
        Ok(None)
    }

    #[inline]
    fn start_args(&mut self, count: u32, position: usize) {
        self.args_left = count;
        self.position = position;
        self.phase = Phase::Args;
    }

    /// Reads arguments until all are there or the input ends.
    #[inline]
    fn decode_args(&mut self, input: &[u8], authenticated: bool) -> Result<Decoded, ProtocolError> {
        while self.args_left > 0 {
            let length = match self.bulk_length {
                Some(length) => length,
                None => match self.decode_bulk_length(input, authenticated)? {
                    Some(length) => length,
                    None => return Ok(Decoded::NeedMore { bytes: 1 }),
                },
            };
            let end = self.position + length as usize + 2;
            if end > input.len() {
                self.bulk_length = Some(length);
                return Ok(Decoded::NeedMore { bytes: end - input.len() });
            }
            // The limit on the request's length keeps its offsets within 32 bits.
            self.spans.push(Span { start: self.position as u32, length });
            self.bulk_length = None;
            self.position = end;
            self.args_left -= 1;
        }
        self.phase = Phase::Start;
        Ok(Decoded::Request { consumed: self.position })
    }

    /// Reads `$<length>` at `position` and moves behind it.
    #[inline]
    fn decode_bulk_length(
        &mut self,
        input: &[u8],
        authenticated: bool,
    ) -> Result<Option<u32>, ProtocolError> {
        let line = &input[self.position..];
        let (length, line_length) = match plain_count(line, self.plain_bulk_bytes_max) {
            Some(plain) if line[0] == b'$' => plain,
            _ => match self.find_bulk_length(input, authenticated)? {
                Some(found) => found,
                None => return Ok(None),
            },
        };
        let position = self.position + line_length;
        if position as u64 + u64::from(length) + 2 > self.limits.request_bytes_max {
            return Err(ProtocolError::TooBigRequest);
        }
        self.position = position;
        Ok(Some(length))
    }

    /// The length in the line at `position`, whatever it is, and that of the line.
    #[cold]
    fn find_bulk_length(
        &mut self,
        input: &[u8],
        authenticated: bool,
    ) -> Result<Option<(u32, usize)>, ProtocolError> {
        let Some(line) = self.find_count(input, ProtocolError::TooBigBulkCount)? else {
            return Ok(None);
        };
        let kind = input[self.position];
        if kind != b'$' {
            return Err(ProtocolError::ExpectedBulk { got: kind });
        }
        let length = line
            .count
            .and_then(|count| u64::try_from(count).ok())
            .filter(|&length| length <= self.limits.bulk_bytes_max)
            .ok_or(ProtocolError::InvalidBulkLength)?;
        if !authenticated && length > self.limits.unauthenticated_bulk_bytes_max {
            return Err(ProtocolError::UnauthenticatedBulkLength);
        }
        let length = u32::try_from(length).map_err(|_| ProtocolError::TooBigRequest)?;
        Ok(Some((length, line.length)))
    }

    /// The line at `position`, whatever it holds, once it has ended.
    #[cold]
    fn find_count(
        &mut self,
        input: &[u8],
        too_big: ProtocolError,
    ) -> Result<Option<CountLine>, ProtocolError> {
        let Some(end) = self.find_in_line(input, b'\r', too_big)? else {
            return Ok(None);
        };
        // The byte after `\r` is waited for, and may be any.
        if end + 1 == input.len() {
            return Ok(None);
        }
        let line = &input[self.position..end];
        let count = line.get(1..).and_then(parse_count);
        Ok(Some(CountLine { count, length: line.len() + 2 }))
    }

    /// The offset of `wanted` in the line at `position`.
    fn find_in_line(
        &mut self,
        input: &[u8],
        wanted: u8,
        too_big: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        // One byte more than a line may have, so that the search, too, is bounded.
        let limit = self.position.saturating_add(self.limits.inline_bytes_max).saturating_add(1);
        let window = &input[..input.len().min(limit)];
        self.scanned = self.scanned.max(self.position);
        let unseen = &window[self.scanned..];
        // Redis searches with strchr, which ends at a NUL: behind one nothing is found,
        // now or later.
        match unseen.iter().position(|&byte| byte == wanted || byte == 0) {
            Some(offset) => {
                self.scanned += offset;
                if input[self.scanned] == wanted {
                    return Ok(Some(self.scanned));
                }
            }
            None => self.scanned = window.len(),
        }
        if window.len() == limit { Err(too_big) } else { Ok(None) }
    }
}

/// A line `<kind><count>\r\n`.
struct CountLine {
    /// None if it isn't a number.
    count: Option<i64>,
    /// Bytes of the line, with its kind and its end.
    length: usize,
}
