//! Versions of a key, and the one rule that says which of them a reader sees.

use crate::layout::CommitId;
use crate::small_bytes::SmallBytes;

/// A place in the order in which this node applied groups: the count of groups so far.
///
/// The node applies groups one after the other, its own and (later) those of peers, so
/// one number stands for the whole vector of log positions that it has applied. What was
/// recovered from closed logs is at [`RECOVERED`].
pub type Position = u64;

/// The position of all that recovery installed: visible to everyone.
pub const RECOVERED: Position = 0;

/// A value, by its type. So far there are strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A binary-safe string.
    String(SmallBytes),
}

/// An object that the node reads from, by its place in the order in which they were
/// written; see [`Ledger`](super::core::ledger::Ledger).
pub type ObjectId = u32;

/// Where in the store a value can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoredValue {
    /// The group or base that holds it.
    pub object: ObjectId,
    /// From the start of the object's values, in bytes.
    pub offset: u32,
    /// In bytes.
    pub length: u32,
    /// CRC-32C of the bytes.
    pub crc: u32,
}

/// A value that an older version holds: the newer one has only changed when it expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inherited {
    /// The transaction that put the value: what the log names as predecessor.
    pub put: CommitId,
    /// [`State::Live`] or [`State::Stored`].
    pub state: State,
}

/// What a version says of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The key has this value.
    Live(Value),
    /// The key has a value, to be read from the store.
    Stored(StoredValue),
    /// The key has the value of an older version.
    Inherited(Box<Inherited>),
    /// The key was deleted.
    Tombstone,
    /// The key had a value whose bytes or whose predecessor are lost in the store: it is
    /// reported, never guessed.
    Lost,
}

impl State {
    /// Whether the key exists.
    pub fn is_alive(&self) -> bool {
        !matches!(self, Self::Tombstone)
    }

    /// Where the value is, whoever has put it.
    #[inline]
    pub fn held(&self) -> &Self {
        match self {
            Self::Inherited(inherited) => &inherited.state,
            state => state,
        }
    }

    /// What it holds outside of itself, in bytes.
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Live(Value::String(bytes)) => bytes.heap_bytes(),
            Self::Inherited(inherited) => size_of::<Inherited>() + inherited.state.heap_bytes(),
            Self::Stored(_) | Self::Tombstone | Self::Lost => 0,
        }
    }

    /// How long the value is, in bytes.
    pub fn value_bytes(&self) -> usize {
        match self.held() {
            Self::Live(Value::String(bytes)) => bytes.len(),
            Self::Stored(place) => place.length as usize,
            Self::Inherited(_) | Self::Tombstone | Self::Lost => 0,
        }
    }
}

/// One version of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The transaction that wrote it.
    pub commit: CommitId,
    /// The group that made it visible.
    pub position: Position,
    /// When the key expires, in milliseconds since the Unix epoch; 0 is never.
    pub expires_ms: u64,
    /// What it says.
    pub state: State,
}

const _: () = assert!(size_of::<State>() == 24 && size_of::<Version>() == 56);

impl Version {
    /// Whether the key has ceased to exist by `now_ms`.
    #[inline]
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms != 0 && self.expires_ms <= now_ms
    }
}

/// A tombstone for all older versions of a database: FLUSHDB, and once per database FLUSHALL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flush {
    /// The transaction that flushed.
    pub commit: CommitId,
    /// The group that made it visible.
    pub position: Position,
}

/// What a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// Groups up to here. [`Snapshot::TIP`] sees what is not acknowledged yet, too.
    pub position: Position,
    /// Expiry is judged at this time, in milliseconds since the Unix epoch.
    pub now_ms: u64,
}

impl Snapshot {
    /// The position behind everything.
    pub const TIP: Position = Position::MAX;
}

/// The rule: of the versions in the snapshot the one with the largest commit id counts,
/// unless a flush in the snapshot is newer; whether it is a tombstone or expired is for
/// the caller to see ([`State::is_alive`], [`Version::is_expired`]).
///
/// A transaction sits in one group, and a group is in a snapshot or it isn't: that is
/// all there is to read atomicity here, no set of co-written keys is kept.
#[inline]
pub fn visible_version<'v>(
    newest_first: impl IntoIterator<Item = &'v Version>,
    flushes: &[Flush],
    snapshot: Snapshot,
) -> Option<&'v Version> {
    let version = newest_first.into_iter().find(|v| v.position <= snapshot.position)?;
    let flushed =
        flushes.iter().any(|f| f.position <= snapshot.position && f.commit > version.commit);
    (!flushed).then_some(version)
}
