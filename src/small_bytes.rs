//! Byte strings that are mostly short: keys, and values as they sit in the index.

use bytes::Bytes;
use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// The longest string that needs no allocation, in bytes.
pub const INLINE_BYTES_MAX: usize = 22;

/// From so many bytes on a string stays where it came to be (in the request that brought
/// it, say) instead of being copied: what is allocated for that is little beside it.
pub const LARGE_BYTES_MIN: usize = 16 << 10;

/// An immutable byte string of 24 bytes: short ones live inside, longer ones are
/// shared, so that a clone never copies more than those 24 bytes.
pub type SmallBytes = Small<Shared>;

/// A byte string like that with one owner: a long one takes no more than its own length.
/// Keys in the index are such.
pub type SmallKey = Small<Box<[u8]>>;

/// A short byte string, or what a long one is in.
#[derive(Clone)]
pub struct Small<L>(Repr<L>);

#[derive(Clone)]
enum Repr<L> {
    Inline(u8, [u8; INLINE_BYTES_MAX]),
    Long(L),
}

/// Bytes with several owners.
#[derive(Clone)]
pub enum Shared {
    /// A copy of their own.
    Copied(Arc<[u8]>),
    /// Where they came to be.
    Large(Arc<Bytes>),
}

const _: () = assert!(size_of::<SmallBytes>() == 24 && size_of::<SmallKey>() == 24);

/// What holds a long byte string.
pub trait Long: Deref<Target = [u8]> + for<'b> From<&'b [u8]> {
    /// What it takes beside the bytes themselves and its place in [`Small`], in bytes.
    fn extra_bytes(&self) -> usize;
}

impl Long for Box<[u8]> {
    fn extra_bytes(&self) -> usize {
        0
    }
}

impl Deref for Shared {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Large(bytes) => bytes,
        }
    }
}

impl From<&[u8]> for Shared {
    #[inline]
    fn from(bytes: &[u8]) -> Self {
        Self::Copied(Arc::from(bytes))
    }
}

impl Long for Shared {
    fn extra_bytes(&self) -> usize {
        // An Arc has two counts.
        let counts = 2 * size_of::<usize>();
        match self {
            Self::Copied(_) => counts,
            Self::Large(_) => counts + size_of::<Bytes>(),
        }
    }
}

impl<L: Long> Small<L> {
    /// The empty string.
    pub const fn empty() -> Self {
        Self(Repr::Inline(0, [0; INLINE_BYTES_MAX]))
    }

    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline(length, bytes) => &bytes[..usize::from(*length)],
            Repr::Long(bytes) => bytes,
        }
    }

    /// Bytes held outside of the 24 of the value itself.
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Repr::Inline(..) => 0,
            Repr::Long(bytes) => bytes.len() + bytes.extra_bytes(),
        }
    }
}

impl SmallBytes {
    /// Puts other bytes in the place of these without an allocation, if they are as long and
    /// nobody else has these; `false` if that can't be.
    #[inline]
    pub fn overwrite(&mut self, bytes: &[u8]) -> bool {
        match &mut self.0 {
            Repr::Long(Shared::Copied(own)) if own.len() == bytes.len() => {
                let Some(own) = Arc::get_mut(own) else { return false };
                own.copy_from_slice(bytes);
                true
            }
            _ => false,
        }
    }

    /// The same bytes for those who need [`Bytes`]; only short ones are copied.
    pub fn to_bytes(&self) -> Bytes {
        match &self.0 {
            Repr::Inline(..) => Bytes::copy_from_slice(self),
            Repr::Long(Shared::Copied(bytes)) => Bytes::from_owner(Arc::clone(bytes)),
            Repr::Long(Shared::Large(bytes)) => Bytes::clone(bytes),
        }
    }
}

impl<L: Long> From<&[u8]> for Small<L> {
    #[inline]
    fn from(bytes: &[u8]) -> Self {
        if bytes.len() <= INLINE_BYTES_MAX {
            let mut inline = [0; INLINE_BYTES_MAX];
            inline[..bytes.len()].copy_from_slice(bytes);
            Self(Repr::Inline(bytes.len() as u8, inline))
        } else {
            Self(Repr::Long(L::from(bytes)))
        }
    }
}

impl<L: Long, const N: usize> From<&[u8; N]> for Small<L> {
    fn from(bytes: &[u8; N]) -> Self {
        Self::from(bytes.as_slice())
    }
}

impl<L: Long> From<&str> for Small<L> {
    fn from(text: &str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl From<String> for SmallBytes {
    fn from(text: String) -> Self {
        Self::from(text.as_bytes())
    }
}

impl From<Vec<u8>> for SmallBytes {
    fn from(bytes: Vec<u8>) -> Self {
        if is_mostly(bytes.len(), bytes.capacity()) {
            Self::from(Bytes::from(bytes))
        } else {
            Self::from(bytes.as_slice())
        }
    }
}

/// Large ones stay where they are, and keep alive whatever they are a part of: see
/// [`is_mostly`].
impl From<Bytes> for SmallBytes {
    fn from(bytes: Bytes) -> Self {
        if bytes.len() >= LARGE_BYTES_MIN {
            Self(Repr::Long(Shared::Large(Arc::new(bytes))))
        } else {
            Self::from(bytes.as_ref())
        }
    }
}

/// Whether so many bytes may stay in a buffer of that size for as long as they live: a
/// quarter of it at the most is kept alive for nothing.
pub fn is_mostly(length: usize, buffer_bytes: usize) -> bool {
    length >= buffer_bytes / 4 * 3
}

impl<L: Long> Deref for Small<L> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl<L: Long> AsRef<[u8]> for Small<L> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<L: Long> Borrow<[u8]> for Small<L> {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl<L: Long> PartialEq for Small<L> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<L: Long> Eq for Small<L> {}

impl<L: Long> PartialOrd for Small<L> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<L: Long> Ord for Small<L> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_slice().cmp(other)
    }
}

impl<L: Long> Hash for Small<L> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl<L: Long> fmt::Debug for Small<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::{INLINE_BYTES_MAX, LARGE_BYTES_MIN, SmallBytes, SmallKey};
    use bytes::Bytes;

    #[test]
    fn every_length_around_the_inline_limit_round_trips() {
        for length in 0..=INLINE_BYTES_MAX + 2 {
            let bytes: Vec<u8> = (0..length as u8).collect();
            let small = SmallBytes::from(bytes.as_slice());
            assert_eq!(small.as_slice(), bytes);
            assert_eq!(small.clone(), small);
            assert_eq!(small.heap_bytes() > 0, length > INLINE_BYTES_MAX);
            assert_eq!(small.to_bytes(), bytes);
            let key = SmallKey::from(bytes.as_slice());
            assert_eq!(key.as_slice(), bytes);
            assert_eq!(key.heap_bytes(), if length > INLINE_BYTES_MAX { length } else { 0 });
        }
    }

    #[test]
    fn bytes_are_overwritten_where_they_are_unless_somebody_shares_them() {
        let long = |byte| [byte; INLINE_BYTES_MAX + 1];
        let mut small = SmallBytes::from(&long(b'a'));
        let place = small.as_ptr();
        assert!(small.overwrite(&long(b'b')));
        assert_eq!((small.as_slice(), small.as_ptr()), (&long(b'b')[..], place));
        assert!(!small.overwrite(&[b'c'; INLINE_BYTES_MAX + 2]), "of another length");
        let shared = small.clone();
        assert!(!small.overwrite(&long(b'd')));
        assert_eq!(shared.as_slice(), long(b'b'));
        assert!(!SmallBytes::from("short").overwrite(b"trohs"));
    }

    #[test]
    fn large_ones_stay_where_they_are() {
        for length in [LARGE_BYTES_MIN - 1, LARGE_BYTES_MIN] {
            let bytes = Bytes::from(vec![b'v'; length]);
            let small = SmallBytes::from(bytes.clone());
            assert_eq!(small.as_slice(), bytes);
            assert_eq!(small.as_ptr() == bytes.as_ptr(), length >= LARGE_BYTES_MIN);
            assert_eq!(small.to_bytes().as_ptr(), small.as_ptr());
        }
        let vec = vec![b'v'; LARGE_BYTES_MIN];
        let place = vec.as_ptr();
        assert_eq!(SmallBytes::from(vec).as_ptr(), place);
        let mut roomy = Vec::with_capacity(2 * LARGE_BYTES_MIN);
        roomy.resize(LARGE_BYTES_MIN, b'v');
        let place = roomy.as_ptr();
        assert_ne!(SmallBytes::from(roomy).as_ptr(), place, "it would keep twice its size alive");
    }
}
