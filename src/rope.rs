//! A byte string in pieces, each where it came to be: nothing is copied to bring them together.

use bytes::Bytes;
use smallvec::SmallVec;

/// An immutable byte string in pieces. A clone shares them.
#[derive(Debug, Clone, Default)]
pub struct Rope {
    pieces: SmallVec<[Bytes; 3]>,
    len: usize,
}

impl Rope {
    /// How long all of it is, in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a piece.
    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.len += piece.len();
            self.pieces.push(piece);
        }
    }

    /// Appends the pieces of another.
    pub fn append(&mut self, other: Self) {
        self.len += other.len;
        self.pieces.extend(other.pieces);
    }

    /// The pieces in order, none of them empty.
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// What lies from `start` up to `end`, as far as there is so much.
    #[must_use]
    pub fn slice(&self, start: usize, end: usize) -> Self {
        let mut slice = Self::default();
        let mut at = 0;
        for piece in &self.pieces {
            let of = |place: usize| place.saturating_sub(at).min(piece.len());
            if of(start) < of(end) {
                slice.push(piece.slice(of(start)..of(end)));
            }
            at += piece.len();
        }
        slice
    }

    /// The first byte.
    pub fn first(&self) -> Option<u8> {
        self.pieces.first()?.first().copied()
    }

    /// All of it in chunks of `size` bytes, the last one of what is left; copied, unless within one
    /// piece.
    pub fn chunks(&self, size: usize) -> impl Iterator<Item = Bytes> + '_ {
        let (mut piece, mut at) = (0, 0);
        std::iter::from_fn(move || {
            let mut chunk = Self::default();
            while let Some(bytes) = self.pieces.get(piece).filter(|_| chunk.len < size) {
                let end = bytes.len().min(at + size - chunk.len);
                chunk.push(bytes.slice(at..end));
                (piece, at) = if end == bytes.len() { (piece + 1, 0) } else { (piece, end) };
            }
            (!chunk.is_empty()).then(|| chunk.to_bytes())
        })
    }

    /// All of it in one piece; copied, unless it is one.
    pub fn to_bytes(&self) -> Bytes {
        match self.pieces() {
            [] => Bytes::new(),
            [piece] => piece.clone(),
            pieces => pieces.concat().into(),
        }
    }
}

impl From<Bytes> for Rope {
    fn from(bytes: Bytes) -> Self {
        let mut rope = Self::default();
        rope.push(bytes);
        rope
    }
}

#[cfg(test)]
mod tests {
    use super::Rope;
    use bytes::Bytes;

    #[test]
    fn pieces_are_one_string() {
        let mut rope = Rope::from(Bytes::from_static(b"one"));
        assert_eq!(rope.to_bytes().as_ptr(), rope.pieces()[0].as_ptr(), "one piece is not copied");
        rope.push(Bytes::new());
        rope.push(Bytes::from_static(b", two"));
        rope.append(Rope::from(Bytes::from_static(b", three")));
        assert_eq!((rope.pieces().len(), rope.len()), (3, 15));
        assert_eq!(rope.to_bytes(), "one, two, three");
        for start in 0..=16 {
            for end in start..=17 {
                let wanted = rope.to_bytes().slice(start.min(15)..end.min(15));
                let slice = rope.slice(start, end);
                assert_eq!((slice.first(), slice.to_bytes()), (wanted.first().copied(), wanted));
            }
        }
        assert!(Rope::default().is_empty() && Rope::default().to_bytes().is_empty());
        for (size, chunks) in [(1, 15), (4, 4), (15, 1), (99, 1)] {
            let cut: Vec<Bytes> = rope.chunks(size).collect();
            assert_eq!((cut.len(), cut.concat()), (chunks, rope.to_bytes().to_vec()), "{size}");
            assert!(cut[..cut.len() - 1].iter().all(|chunk| chunk.len() == size));
        }
        assert_eq!(Rope::default().chunks(3).count(), 0);
    }
}
