//! Every name and every format in the store, in one place.
//!
//! Objects are immutable: written once by one writer, never overwritten, their names
//! never used again. Numbers in names are decimal, padded with zeros, so that a listing
//! in byte order is one in numeric order.
//!
//! | name                | written by            | content                                              |
//! |---------------------|-----------------------|------------------------------------------------------|
//! | `node/<node>`       | the node, for a log   | an entry for each log: when its process [started](Start) |
//! | `log/<node>/<seq>`  | that node             | a [group](Kind::Group) of commits, from 1 without gaps |
//! | `log/<node>/<seq>`  | who closes the log    | a [seal](Kind::Seal): the log ends before it         |
//! | `log/<node>/<seq>`  | who finds data lost   | a [hole](Kind::Hole): the log goes on behind it      |
//! | `blob/<node>/<n>`   | that node             | a [piece](blob) of a value too large for a group     |
//! | `base/<node>/<n>`   | that node             | live versions moved out of old groups and bases      |
//! | `view/<n>`          | who creates it first  | who may write to a shared store ([`View`])           |
//!
//! Every object begins with the same [`Header`]; a group goes on with its *directory*
//! (what was committed, see [`directory`]) and its *values* (what is too large to stand
//! in the directory). Recovery reads header and directory and leaves the values alone.
//!
//! ```text
//! +--------+-----------+---------+
//! | header | directory | values  |      integers are little-endian,
//! +--------+-----------+---------+      lengths in the directory are varints
//!  own crc   crc in the   crc of each
//!            header       value in the directory
//! ```
//!
//! So every byte of an object is covered by a checksum, and each part can be read and
//! trusted alone. A format is read by every later version of aft; one above
//! [`FORMAT_VERSION`] is refused.

pub mod blob;
pub mod checkpoint;
pub mod codec;
pub mod directory;
pub mod group;
pub mod header;
pub mod view;

pub use blob::BlobName;
pub use checkpoint::Checkpoint;
pub use codec::FormatError;
pub use directory::{Commit, Control, Directory, Place, Predecessor, Write};
pub use group::GroupBuilder;
pub use header::{Header, Kind, Start};
pub use view::{Owner, View};

use std::fmt;
use std::str::FromStr;

/// The version of every format described here. 2 has swaps of databases, which 1 has not;
/// 3 has bases, and names the newest in each header; from 4 on bases keep what became of
/// interactive transactions, which a program of before would forget; 5 has views, and was
/// written by what belongs to them alone; from 6 on large values are in blobs, which a program
/// of before would take for lost.
pub const FORMAT_VERSION: u16 = 6;

/// What a record takes in a directory beside its key and value, in bytes and about: commit id, kind,
/// expiry, lengths.
pub const RECORD_BYTES: usize = 32;

/// A process start: unique in a store, drawn from 1 upwards, never used again.
pub type NodeId = u32;

/// The place of a transaction in the order of all transactions.
///
/// A hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014) and the node
/// that drew it: unique, totally ordered, and above every id the node has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CommitId {
    /// Milliseconds since the Unix epoch, shifted left by [`CommitId::COUNTER_BITS`],
    /// plus a counter.
    pub time: u64,
    /// The node that drew it.
    pub node: NodeId,
}

impl CommitId {
    /// How many bits of `time` count within a millisecond.
    pub const COUNTER_BITS: u32 = 16;
    /// Before every commit.
    pub const ZERO: Self = Self { time: 0, node: 0 };
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counter = self.time & ((1 << Self::COUNTER_BITS) - 1);
        write!(f, "{}.{}@{}", self.time >> Self::COUNTER_BITS, counter, self.node)
    }
}

/// The name of an object in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectName {
    /// A process start.
    Node(NodeId),
    /// A place in a node's log: a group, a seal or a hole.
    Log(NodeId, u64),
    /// A piece of a value too large for a group.
    Blob(NodeId, u64),
    /// Compacted live versions.
    Base(NodeId, u64),
    /// Who may write.
    View(u64),
}

impl ObjectName {
    /// The prefix of all process starts.
    pub const NODES: &'static str = "node/";
    /// The prefix of all logs.
    pub const LOGS: &'static str = "log/";
    /// The prefix of all blobs.
    pub const BLOBS: &'static str = "blob/";
    /// The prefix of all bases.
    pub const BASES: &'static str = "base/";
    /// The prefix of all views.
    pub const VIEWS: &'static str = "view/";
}

impl ObjectName {
    /// The name as the store knows it. Every group has one, so it isn't left to `format!`,
    /// which takes eight times as long.
    pub fn text(&self) -> String {
        let (family, node, number) = match *self {
            Self::Node(node) => ("node", Some(node), None),
            Self::Log(node, seq) => ("log", Some(node), Some(seq)),
            Self::Blob(node, n) => ("blob", Some(node), Some(n)),
            Self::Base(node, n) => ("base", Some(node), Some(n)),
            Self::View(n) => ("view", None, Some(n)),
        };
        let mut text = String::with_capacity("base/".len() + NODE_DIGITS + "/".len() + DIGITS);
        text.push_str(family);
        if let Some(node) = node {
            push_digits::<NODE_DIGITS>(&mut text, u64::from(node));
        }
        if let Some(number) = number {
            push_digits::<DIGITS>(&mut text, number);
        }
        text
    }
}

/// Digits of the largest [`NodeId`].
const NODE_DIGITS: usize = 10;
/// Digits of the largest number.
const DIGITS: usize = 20;

/// Appends a part of a name: all of one kind are equally long, so that they sort as numbers do.
fn push_digits<const WIDTH: usize>(text: &mut String, mut number: u64) {
    let mut digits = [b'0'; WIDTH];
    for digit in digits.iter_mut().rev() {
        if number == 0 {
            break;
        }
        *digit += (number % 10) as u8;
        number /= 10;
    }
    text.push('/');
    // Nothing but digits.
    text.push_str(std::str::from_utf8(&digits).unwrap_or_default());
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl FromStr for ObjectName {
    type Err = FormatError;

    fn from_str(name: &str) -> Result<Self, FormatError> {
        let parse = || -> Option<Self> {
            let mut parts = name.split('/');
            let family = parts.next()?;
            let first = parts.next()?;
            let parsed = match (family, parts.next(), parts.next()) {
                ("node", None, _) => Self::Node(first.parse().ok()?),
                ("view", None, _) => Self::View(first.parse().ok()?),
                ("log", Some(n), None) => Self::Log(first.parse().ok()?, n.parse().ok()?),
                ("blob", Some(n), None) => Self::Blob(first.parse().ok()?, n.parse().ok()?),
                ("base", Some(n), None) => Self::Base(first.parse().ok()?, n.parse().ok()?),
                _ => return None,
            };
            // Only the padded spelling: one object, one name.
            (parsed.to_string() == name).then_some(parsed)
        };
        parse().ok_or(FormatError::Name)
    }
}

#[cfg(test)]
mod tests;
