//! How objects are laid out in items.

use crate::rope::Rope;
use crate::storage::fault::Fault;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::ops::Range;

/// An item, or the part of it that is its key.
pub(super) type Item = HashMap<String, AttributeValue>;

/// The attributes. Their names are part of every item, and paid for with it.
pub(super) const PARTITION: &str = "p";
pub(super) const SORT: &str = "s";
const BYTES: &str = "b";
const SIZE: &str = "n";
const DIGEST: &str = "d";
const SECONDS: &str = "t";

/// From before to behind all sort keys: no name has bytes outside of that.
pub(super) const EVERYTHING: (&str, &str) = ("!", "~");

/// What a listing, or a delete, wants to know of a head.
pub(super) const OF_HEAD: &str = "s, n, d";

/// Reads are paid for by 4 KB of each item, so with its key a piece stays just below.
pub(super) const PIECE_BYTES: usize = (4 << 10) - KEY_BYTES_USUAL;

/// A prefix of full length, a name as the engine makes them, and what else is in an item.
const KEY_BYTES_USUAL: usize = 192;

/// Heads share so many partition keys. Each takes a thousand small ones a second.
pub(super) const SHARDS: usize = 16;

/// What is known of an object without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) size: u64,
    /// Whose the pieces behind the first are: those of another create of the same name, with other
    /// bytes, have other keys. Zero where there are none.
    pub(super) digest: u128,
}

impl Head {
    pub(super) fn of(object: &Rope) -> Self {
        let size = object.len() as u64;
        let mut head = Self { size, digest: 0 };
        if head.pieces() > 1 {
            let mut hash = Sha256::new();
            object.pieces().iter().for_each(|bytes| hash.update(bytes));
            let digest: [u8; 32] = hash.finalize().into();
            let (half, _) = digest.split_at(size_of::<u128>());
            head.digest = half.iter().fold(0, |digest, byte| digest << 8 | u128::from(*byte));
        }
        head
    }

    /// How many pieces it has; the first one is in the head.
    pub(super) fn pieces(&self) -> u64 {
        self.size.div_ceil(PIECE_BYTES as u64).max(1)
    }

    /// Those that have bytes of a range.
    pub(super) fn pieces_of(&self, range: &Range<u64>) -> Range<u64> {
        let range = range.start.min(self.size)..range.end.min(self.size);
        let piece = PIECE_BYTES as u64;
        if range.is_empty() { 0..0 } else { range.start / piece..range.end.div_ceil(piece) }
    }

    pub(super) fn from_item(item: &Item) -> Result<Self, Fault> {
        let size = item.get(SIZE).and_then(|size| size.as_n().ok()?.parse().ok());
        let digest = item.get(DIGEST).map(|digest| {
            let digest = digest.as_b().ok()?.as_ref().try_into().ok()?;
            Some(u128::from_be_bytes(digest))
        });
        match (size, digest.unwrap_or(Some(0))) {
            (Some(size), Some(digest)) => Ok(Self { size, digest }),
            _ => Err(strange(item)),
        }
    }
}

/// The keys of one store.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// What says what all this is.
    pub(super) fn format(&self) -> Item {
        key(format!("{}/format", self.prefix), "format".to_owned())
    }

    /// Where the heads of a shard are, by their names.
    pub(super) fn heads(&self, shard: usize) -> String {
        format!("{}/i/{shard:02}", self.prefix)
    }

    pub(super) fn head(&self, name: &str) -> Item {
        key(self.heads(shard(name)), name.to_owned())
    }

    /// Each piece has a partition key of its own, so that no object is held to the throughput of
    /// one, and none shares it with another.
    pub(super) fn piece(&self, name: &str, digest: u128, piece: u64) -> Item {
        key(format!("{}/c/{name}/{piece}", self.prefix), format!("{digest:032x}"))
    }

    /// Where it stands which pieces there may be of a shard.
    pub(super) fn traces(&self, shard: usize) -> String {
        format!("{}/m/{shard:02}", self.prefix)
    }

    pub(super) fn trace(&self, name: &str, digest: u128) -> Item {
        key(self.traces(shard(name)), format!("{name} {digest:032x}"))
    }
}

/// The shard of a name.
fn shard(name: &str) -> usize {
    crc32c::crc32c(name.as_bytes()) as usize % SHARDS
}

fn key(partition: String, sort: String) -> Item {
    let attributes = [(PARTITION, partition), (SORT, sort)];
    attributes.map(|(name, text)| (name.to_owned(), AttributeValue::S(text))).into()
}

/// The key of an item that may have more.
pub(super) fn key_of(item: &Item) -> Option<(String, String)> {
    let text = |name| item.get(name)?.as_s().ok().cloned();
    Some((text(PARTITION)?, text(SORT)?))
}

/// The head's item, with the first piece.
pub(super) fn head_item(key: Item, head: &Head, first: Bytes) -> Item {
    let mut item = with_bytes(key, first);
    item.insert(SIZE.to_owned(), AttributeValue::N(head.size.to_string()));
    if head.digest != 0 {
        let digest = Blob::new(head.digest.to_be_bytes());
        item.insert(DIGEST.to_owned(), AttributeValue::B(digest));
    }
    item
}

/// An item that has bytes, if there are any.
pub(super) fn with_bytes(mut key: Item, bytes: Bytes) -> Item {
    if !bytes.is_empty() {
        key.insert(BYTES.to_owned(), AttributeValue::B(Blob::new(bytes)));
    }
    key
}

/// Pieces of an object that may never get a head, or have lost it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trace {
    pub(super) name: String,
    pub(super) head: Head,
    /// When they were last written, in seconds since 1970.
    pub(super) seconds: u64,
}

impl Trace {
    pub(super) fn item(&self, keys: &Keys) -> Item {
        let mut item = keys.trace(&self.name, self.head.digest);
        item.insert(SIZE.to_owned(), AttributeValue::N(self.head.size.to_string()));
        item.insert(SECONDS.to_owned(), AttributeValue::N(self.seconds.to_string()));
        item
    }

    pub(super) fn from_item(item: &Item) -> Result<Self, Fault> {
        let read = || {
            let number = |name| item.get(name)?.as_n().ok()?.parse().ok();
            let (name, digest) = item.get(SORT)?.as_s().ok()?.split_once(' ')?;
            let digest = u128::from_str_radix(digest, 16).ok()?;
            let head = Head { size: number(SIZE)?, digest };
            Some(Self { name: name.to_owned(), head, seconds: number(SECONDS)? })
        };
        read().ok_or_else(|| strange(item))
    }
}

/// The bytes of an item; none where it has none.
pub(super) fn bytes_of(item: &mut Item) -> Bytes {
    match item.remove(BYTES) {
        Some(AttributeValue::B(bytes)) => bytes.into_inner().into(),
        _ => Bytes::new(),
    }
}

fn strange(item: &Item) -> Fault {
    let key = key_of(item).unwrap_or_default();
    Fault::Foreign(format!(
        "the item {key:?} is none of aft's: does another program write there? Give aft a prefix of \
         its own, such as dynamodb://table/aft2"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn bytes(size: usize) -> Bytes {
        (0..size).map(|n| n as u8).collect()
    }

    #[test]
    fn an_object_is_cut_into_pieces() {
        let piece = PIECE_BYTES as u64;
        for (size, pieces) in
            [(0, 1), (1, 1), (piece, 1), (piece + 1, 2), (2 * piece, 2), (2 * piece + 1, 3)]
        {
            let head = Head::of(&bytes(size as usize).into());
            assert_eq!((head.size, head.pieces()), (size, pieces));
            assert_eq!(head.digest != 0, pieces > 1, "{size}");
        }
        let head = Head { size: 2 * piece + 1, digest: 1 };
        for (range, pieces) in [
            (0..0, 0..0),
            (0..1, 0..1),
            (0..piece, 0..1),
            (piece - 1..piece + 1, 0..2),
            (piece..piece + 1, 1..2),
            (2 * piece..u64::MAX, 2..3),
            (2 * piece + 1..u64::MAX, 0..0),
            (0..u64::MAX, 0..3),
        ] {
            assert_eq!(head.pieces_of(&range), pieces, "{range:?}");
        }
    }

    #[test]
    fn a_head_and_a_trace_read_back() {
        let keys = Keys::new("aft");
        for size in [0, 1, PIECE_BYTES, PIECE_BYTES + 1] {
            let object = bytes(size);
            let head = Head::of(&object.clone().into());
            let first = object.slice(..size.min(PIECE_BYTES));
            let mut item = head_item(keys.head("log/1/2"), &head, first.clone());
            assert_eq!(Head::from_item(&item), Ok(head));
            assert_eq!(bytes_of(&mut item), first);
        }
        let head = Head { size: 10_000, digest: 7 };
        let trace = Trace { name: "log/1/2".to_owned(), head, seconds: 3 };
        assert_eq!(Trace::from_item(&trace.item(&keys)), Ok(trace));
        for strangers in [Head::from_item(&keys.format()).map(drop), {
            Trace::from_item(&keys.head("log/1/2")).map(drop)
        }] {
            assert!(matches!(strangers, Err(Fault::Foreign(_))), "{strangers:?}");
        }
    }

    /// So that neither the heads of a log nor the pieces of an object are held to what one partition
    /// takes.
    #[test]
    fn a_log_is_spread_over_many_partitions() {
        const OBJECTS: usize = 1600;
        let keys = Keys::new("aft");
        let mut heads: HashMap<String, usize> = HashMap::new();
        let mut pieces = HashSet::new();
        for seq in 1..=OBJECTS {
            let name = format!("log/0000000001/{seq:020}");
            let (partition, _) = key_of(&keys.head(&name)).unwrap();
            *heads.entry(partition).or_default() += 1;
            pieces.extend((1..4).filter_map(|piece| key_of(&keys.piece(&name, 7, piece))));
        }
        assert_eq!(heads.len(), SHARDS);
        let share = OBJECTS / SHARDS;
        assert!(heads.values().all(|heads| (share / 2..share * 2).contains(heads)), "{heads:?}");
        let partitions: HashSet<_> = pieces.iter().map(|(partition, _)| partition).collect();
        assert_eq!(partitions.len(), OBJECTS * 3);
    }

    /// As DynamoDB counts: the names of all attributes and their values. A number has at most 21.
    #[test]
    fn a_piece_costs_one_read_unit_and_four_write_units() {
        let weight = |item: &Item| -> usize {
            item.iter()
                .map(|(name, value)| {
                    name.len()
                        + match value {
                            AttributeValue::S(text) => text.len(),
                            AttributeValue::B(bytes) => bytes.as_ref().len(),
                            _ => 21,
                        }
                })
                .sum()
        };
        let keys = Keys::new(&"p".repeat(64));
        let name = "base/0000000001/00000000000000000042";
        let head = Head { size: u64::from(u32::MAX), digest: u128::MAX };
        let last = head.pieces();
        for item in [
            head_item(keys.head(name), &head, bytes(PIECE_BYTES)),
            with_bytes(keys.piece(name, head.digest, last), bytes(PIECE_BYTES)),
        ] {
            let weight = weight(&item);
            assert!((3 << 10..=4 << 10).contains(&weight), "{weight}");
        }
    }
}
