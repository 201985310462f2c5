//! The formats, for any content: what is written is read back, and no damage is data.

// A test may fail loudly.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use aft::layout::directory::{TYPE_STRING, put_commit, put_write};
use aft::layout::group::{checked_directory, verify_object};
use aft::layout::{
    BlobName, Commit, CommitId, Control, Directory, FormatError, GroupBuilder, Header, Kind, Place,
    Write,
};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Bytes of a key, a value, a token: short, and sometimes beyond every inline limit.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => vec(any::<u8>(), 0..30), 1 => vec(any::<u8>(), 60..70), 1 => vec(any::<u8>(), 200..400)]
}

fn commit_id() -> impl Strategy<Value = CommitId> {
    (any::<u64>(), any::<u32>()).prop_map(|(time, node)| CommitId { time, node })
}

/// A place as it is held while the borrowed one is built from it.
#[derive(Debug, Clone)]
enum OwnPlace {
    Inline(Vec<u8>),
    Values(u64, u64, u32),
    Blob(BlobName, u32),
}

impl OwnPlace {
    fn borrow(&self) -> Place<'_> {
        match *self {
            Self::Inline(ref value) => Place::Inline(value),
            Self::Values(offset, length, crc) => Place::Values { offset, length, crc },
            Self::Blob(blob, crc) => Place::Blob { blob, crc },
        }
    }
}

fn place() -> impl Strategy<Value = OwnPlace> {
    prop_oneof![
        bytes().prop_map(OwnPlace::Inline),
        any::<(u64, u64, u32)>().prop_map(|(o, l, c)| OwnPlace::Values(o, l, c)),
        (any::<(u32, u32, u64, u32)>(), 1..=u32::MAX).prop_map(
            |((node, number, length, crc), chunk_bytes)| {
                let number = u64::from(number);
                OwnPlace::Blob(BlobName { node, number, chunk_bytes, length }, crc)
            }
        ),
    ]
}

/// A write, owned.
#[derive(Debug, Clone)]
enum OwnWrite {
    Put(u8, Vec<u8>, Option<u64>, OwnPlace),
    Delete(u8, Vec<u8>),
    Meta(u8, Vec<u8>, CommitId, Option<u64>),
    Patch(u8, Vec<u8>, CommitId, Option<u64>, OwnPlace),
    Flush(u8),
    Control(Control),
    Swap(u8, u8),
}

impl OwnWrite {
    fn borrow(&self) -> Write<'_> {
        match *self {
            Self::Put(database, ref key, expires_ms, ref place) => Write::Put {
                database,
                key,
                value_type: TYPE_STRING,
                expires_ms,
                place: place.borrow(),
            },
            Self::Delete(database, ref key) => Write::Delete { database, key },
            Self::Meta(database, ref key, predecessor, expires_ms) => {
                Write::Meta { database, key, predecessor, expires_ms }
            }
            Self::Patch(database, ref key, predecessor, expires_ms, ref place) => Write::Patch {
                database,
                key,
                predecessor,
                value_type: TYPE_STRING,
                expires_ms,
                place: place.borrow(),
            },
            Self::Flush(database) => Write::Flush { database },
            Self::Control(control) => Write::Control(control),
            Self::Swap(one, other) => Write::Swap { one, other },
        }
    }
}

fn write() -> impl Strategy<Value = OwnWrite> {
    let expiry = || option::of(any::<u64>());
    prop_oneof![
        (any::<u8>(), bytes(), expiry(), place())
            .prop_map(|(d, k, e, p)| OwnWrite::Put(d, k, e, p)),
        (any::<u8>(), bytes()).prop_map(|(d, k)| OwnWrite::Delete(d, k)),
        (any::<u8>(), bytes(), commit_id(), expiry())
            .prop_map(|(d, k, p, e)| OwnWrite::Meta(d, k, p, e)),
        (any::<u8>(), bytes(), commit_id(), expiry(), place())
            .prop_map(|(d, k, c, e, p)| OwnWrite::Patch(d, k, c, e, p)),
        any::<u8>().prop_map(OwnWrite::Flush),
        any::<(u8, u8)>().prop_map(|(one, other)| OwnWrite::Swap(one, other)),
        (0..4u8, any::<u32>(), any::<u64>()).prop_map(|(which, node, number)| {
            OwnWrite::Control(match which {
                0 => Control::LogClosed { node, end: number },
                1 => Control::LogTrimmed { node, through: number },
                _ => Control::Bases { node, first: number / 2, last: number },
            })
        }),
    ]
}

/// A commit, owned.
#[derive(Debug, Clone)]
struct OwnCommit {
    id: CommitId,
    token: Option<Vec<u8>>,
    request: Option<Vec<u8>>,
    result: Option<Vec<u8>>,
    writes: Vec<OwnWrite>,
}

impl OwnCommit {
    fn borrow(&self) -> Commit<'_> {
        Commit {
            id: self.id,
            token: self.token.as_deref(),
            request: self.request.as_deref(),
            result: self.result.as_deref(),
            writes: self.writes.iter().map(OwnWrite::borrow).collect(),
        }
    }
}

fn commit() -> impl Strategy<Value = OwnCommit> {
    let field = || option::weighted(0.3, bytes());
    (commit_id(), field(), field(), field(), vec(write(), 0..6)).prop_map(
        |(id, token, request, result, writes)| OwnCommit { id, token, request, result, writes },
    )
}

fn header() -> impl Strategy<Value = Header> {
    let fields = any::<(u128, u32, u64, u64, u32, u64, u64, u64)>();
    let positions = vec(any::<(u32, u64)>(), 0..4);
    let format = (1..=3u16, any::<(u32, u64)>());
    (fields, format, commit_id(), positions).prop_map(
        |(fields, format, largest_commit, positions)| {
            let (nonce, node, number, acked, window, wall, now, oldest) = fields;
            let mut header = Header::new(Kind::Group, nonce, node, number);
            header.acked_through = acked;
            header.window = window;
            header.largest_commit = largest_commit;
            header.wall_ms = wall;
            header.now_through_ms = now;
            header.oldest_snapshot = oldest;
            header.positions = positions;
            header.format = format.0;
            if header.format >= 3 {
                header.base = format.1;
            }
            header
        },
    )
}

/// The commits of a directory, and an error if one stands in it.
fn commits<'a>(mut directory: Directory<'a>) -> Result<Vec<Commit<'a>>, FormatError> {
    let mut commits = Vec::new();
    while let Some(commit) = directory.next_commit()? {
        commits.push(commit);
    }
    Ok(commits)
}

/// A whole object, as a node would build it: values wherever they belong.
fn object(header: Header, commits: &[OwnCommit]) -> (Header, Bytes) {
    let mut builder = GroupBuilder::default();
    for commit in commits {
        builder.begin_commit(&commit.borrow(), commit.writes.len());
        for write in &commit.writes {
            match write {
                OwnWrite::Put(database, key, expires_ms, place) => {
                    let value = match place {
                        OwnPlace::Inline(value) => value.clone(),
                        OwnPlace::Values(seed, ..) => vec![*seed as u8; 65],
                        OwnPlace::Blob(_, seed) => vec![*seed as u8; 64],
                    };
                    builder.put(*database, key, TYPE_STRING, *expires_ms, &value.into());
                }
                // A patch's place in the values would be nobody's bytes.
                OwnWrite::Patch(_, _, _, _, OwnPlace::Values(..)) => {
                    builder.write(&Write::Flush { database: 0 });
                }
                other => builder.write(&other.borrow()),
            }
        }
    }
    let (header, object) = builder.finish(header);
    (header, object.to_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn a_directory_round_trips(commits_in in vec(commit(), 0..6)) {
        let mut encoded = (commits_in.len() as u32).to_le_bytes().to_vec();
        for commit in &commits_in {
            put_commit(&mut encoded, &commit.borrow(), commit.writes.len());
            for write in &commit.writes {
                put_write(&mut encoded, &write.borrow());
            }
        }
        let expected: Vec<Commit<'_>> = commits_in.iter().map(OwnCommit::borrow).collect();
        prop_assert_eq!(commits(Directory::new(&encoded).unwrap()).unwrap(), expected);
        // Cut anywhere, or with anything behind it, it is an error and nothing else.
        // (Cut to nothing, it is the directory of an object without commits.)
        for cut in 1..encoded.len() {
            let read = Directory::new(&encoded[..cut]).and_then(commits);
            prop_assert!(read.is_err(), "cut at {}", cut);
        }
        encoded.push(0);
        prop_assert!(Directory::new(&encoded).and_then(commits).is_err());
    }

    #[test]
    fn a_header_round_trips(header in header()) {
        let mut encoded = Vec::new();
        header.encode(&mut encoded);
        prop_assert_eq!(encoded.len(), header.encoded_bytes());
        prop_assert_eq!(Header::peek_bytes(&encoded), Ok(encoded.len()));
        prop_assert_eq!(Header::decode(&encoded), Ok(header));
    }

    #[test]
    fn a_group_round_trips(header in header(), commits_in in vec(commit(), 0..5)) {
        let (header, object) = object(header, &commits_in);
        prop_assert_eq!(verify_object(&object), Ok(header.clone()));
        prop_assert_eq!(header.object_bytes(), object.len() as u64);
        // The directory alone is enough, whatever became of the values.
        let front = &object[..header.values_offset() as usize];
        let read = if commits_in.is_empty() {
            Vec::new()
        } else {
            commits(checked_directory(&header, front).unwrap()).unwrap()
        };
        prop_assert_eq!(read.len(), commits_in.len());
        for (commit, written) in read.iter().zip(&commits_in) {
            prop_assert_eq!(commit.id, written.id);
            prop_assert_eq!(commit.request, written.request.as_deref());
            for (write, written) in commit.writes.iter().zip(&written.writes) {
                let (Write::Put { place: Place::Values { offset, length, crc }, .. },
                     OwnWrite::Put(..)) = (write, written) else { continue };
                let from = (header.values_offset() + offset) as usize;
                let value = &object[from..from + *length as usize];
                prop_assert_eq!(crc32c::crc32c(value), *crc);
            }
        }
    }

    /// Anything at all may stand where an object of ours is expected.
    #[test]
    fn nonsense_is_an_error(nonsense in vec(any::<u8>(), 0..300)) {
        prop_assert!(verify_object(&nonsense).is_err());
        let _ = Directory::new(&nonsense).and_then(commits);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(20) })]

    #[test]
    fn every_flipped_bit_is_found(header in header(), commits_in in vec(commit(), 0..3)) {
        let (_, object) = object(header, &commits_in);
        let mut damaged = object.to_vec();
        for at in 0..damaged.len() * 8 {
            damaged[at / 8] ^= 1 << (at % 8);
            prop_assert!(verify_object(&damaged).is_err(), "bit {}", at);
            damaged[at / 8] ^= 1 << (at % 8);
        }
    }

    #[test]
    fn every_cut_and_every_tail_is_found(
        header in header(),
        commits_in in vec(commit(), 0..3),
        tail in vec(any::<u8>(), 1..20),
    ) {
        let (_, object) = object(header, &commits_in);
        for cut in 0..object.len() {
            prop_assert!(verify_object(&object[..cut]).is_err(), "cut at {}", cut);
        }
        let longer = [&object[..], &tail[..]].concat();
        prop_assert!(verify_object(&longer).is_err());
        // The object twice, as a retry that appends would leave it.
        prop_assert!(verify_object(&[&object[..], &object[..]].concat()).is_err());
    }
}

/// Two whole objects under each other's names: each says itself who it is, so the caller
/// can tell (recovery and the simulation's reader do).
#[test]
fn a_swapped_object_says_whose_it_is() {
    let build = |node, number| object(Header::new(Kind::Group, 1, node, number), &[]).1;
    for (node, number) in [(1, 2), (2, 1), (1, 1)] {
        let header = verify_object(&build(node, number)).unwrap();
        assert_eq!((header.node, header.number), (node, number));
    }
}
