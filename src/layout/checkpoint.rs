//! What a base says of all other objects.

use super::codec::FormatError;
use super::directory::{Control, Write};
use super::group::checked_directory;
use super::header::{Header, Kind};
use super::{NodeId, ObjectName};

/// What the newest base says of all others.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The newest base; `(0, 0)` if there is none.
    pub base: (NodeId, u64),
    /// The last group that is replaced, and with it all logs before its own.
    pub trimmed: (NodeId, u64),
    /// The bases that count, oldest first.
    pub bases: Vec<(NodeId, u64)>,
    /// What numbers of databases meant there.
    pub swaps: Vec<(u8, u8)>,
}

impl Checkpoint {
    /// What an object, as far as its directory, says of `base` and others, if it does. The
    /// base itself does, and the group that published it says all but the swaps once more.
    ///
    /// # Errors
    /// The directory can't be trusted.
    pub fn said_in(
        base: (NodeId, u64),
        header: &Header,
        object: &[u8],
    ) -> Result<Option<Self>, FormatError> {
        let mut found: Option<Self> = None;
        let mut directory = checked_directory(header, object)?;
        while let Some(commit) = directory.next_commit()? {
            for write in commit.writes {
                match (write, &mut found) {
                    (Write::Control(Control::LogTrimmed { node, through }), _) => {
                        found = Some(Self { base, trimmed: (node, through), ..Self::default() });
                    }
                    (Write::Control(Control::Bases { node, first, last }), Some(checkpoint)) => {
                        checkpoint.bases.extend((first..=last).map(|number| (node, number)));
                    }
                    (Write::Swap { one, other }, Some(checkpoint)) if header.kind == Kind::Base => {
                        checkpoint.swaps.push((one, other));
                    }
                    _ => {}
                }
            }
        }
        if let Some(checkpoint) = &mut found {
            checkpoint.bases.push(base);
        }
        Ok(found)
    }

    /// Whether a log object has been replaced by a base.
    pub fn replaces(&self, node: NodeId, seq: u64) -> bool {
        (node, seq) <= self.trimmed
    }
}

impl Header {
    /// Whether this is the header of the object of that name. Two objects that were swapped
    /// are each whole, but not what their names say.
    ///
    /// # Errors
    /// It is another's.
    pub fn check_name(&self, name: ObjectName) -> Result<(), FormatError> {
        let (expected, kinds): (_, &[Kind]) = match name {
            ObjectName::Node(node) => ((node, 0), &[Kind::Node]),
            ObjectName::Log(node, n) => ((node, n), &[Kind::Group, Kind::Seal, Kind::Hole]),
            ObjectName::Blob(node, n) => ((node, n), &[Kind::Blob]),
            ObjectName::Base(node, n) => ((node, n), &[Kind::Base]),
            ObjectName::View(n) => ((0, n), &[Kind::View]),
        };
        if (self.node, self.number) == expected && kinds.contains(&self.kind) {
            Ok(())
        } else {
            Err(FormatError::Field("name in the header"))
        }
    }
}
