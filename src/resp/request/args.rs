//! A request's arguments, where they lie.

use std::fmt;
use std::ops::Index;

use smallvec::SmallVec;

/// Where an argument lies. 32 bits are enough for `RequestLimits::request_bytes_max`, and
/// keep a request of a million empty arguments from taking thrice its own memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) length: u32,
}

/// Arguments in a slice, without an allocation for up to eight of them.
pub type Slices<'a> = SmallVec<[&'a [u8]; 8]>;

/// Puts arguments into a slice.
#[inline]
pub fn slices<'a>(args: impl ExactSizeIterator<Item = &'a [u8]>) -> Slices<'a> {
    let count = args.len();
    // Several times as fast as collecting them.
    let mut few = [[].as_slice(); 8];
    if count > few.len() {
        return args.collect();
    }
    few.iter_mut().zip(args).for_each(|(place, arg)| *place = arg);
    SmallVec::from_buf_and_len(few, count)
}

/// The arguments of one request, as slices of where they lie.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// How many arguments there are, the command's name included.
    #[inline]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is none, which no [`Decoded::Request`](super::Decoded::Request) has.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// One argument; the command's name is the first.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.spans.get(index).map(|&span| self.slice(span))
    }

    /// All arguments in order.
    #[inline]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + DoubleEndedIterator + use<'a> {
        let args = *self;
        self.spans.iter().map(move |&span| args.slice(span))
    }

    /// The arguments in a slice, without an allocation for up to eight of them.
    #[inline]
    pub fn to_slices(&self) -> Slices<'a> {
        slices(self.iter())
    }

    #[inline]
    fn slice(&self, span: Span) -> &'a [u8] {
        &self.bytes[span.start as usize..][..span.length as usize]
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];

    #[inline]
    fn index(&self, index: usize) -> &[u8] {
        self.slice(self.spans[index])
    }
}

impl fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        for arg in self.iter() {
            list.entry(&format_args!("\"{}\"", arg.escape_ascii()));
        }
        list.finish()
    }
}
