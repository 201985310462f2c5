//! Which objects make up the data of one moment.
//!
//! The newest log names the newest base, and that says what it replaces (as a start finds it,
//! see `engine::recovery`). From there every log is followed by name, object by object. Nothing
//! is written, so an end that is not sealed is where the next object is not there yet.
//!
//! A node may write, compact and delete meanwhile:
//! 1. Names are listed first, headers are read after that. What was deleted before the listing
//!    had been replaced by a base that a header in the listing names, or a later one does.
//! 2. What a later log records of the end of an earlier one decides, listed or not: else a
//!    listing that saw the new log and not the last group of the old would tear the order.
//! 3. An object that was listed, or must be there, and is not has been replaced since: the
//!    moment has passed ([`Failed::Vanished`]). A log that is gone must not look like one that
//!    ends early.

use super::BackupError;
use crate::layout::group::checked_directory;
use crate::layout::{
    Checkpoint, CommitId, Control, FormatError, Header, Kind, NodeId, ObjectName, Write,
};
use crate::storage::{Store, StoreError, list_all};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Why a store could not be read as of this moment.
#[derive(Debug)]
pub(super) enum Failed {
    /// An object is not there (any more).
    Vanished(ObjectName),
    /// For good.
    For(BackupError),
}

impl From<BackupError> for Failed {
    fn from(error: BackupError) -> Self {
        Self::For(error)
    }
}

/// An object is not what it should be.
pub(super) fn damaged(name: ObjectName, what: impl std::fmt::Display) -> Failed {
    Failed::For(BackupError::Damaged(format!("{name}: {what}")))
}

/// A header is not what it should be; one of a later version is no damage.
fn unreadable(name: ObjectName, error: FormatError) -> Failed {
    match error {
        FormatError::Newer(_) => Failed::For(BackupError::Refused(format!("{name}: {error}"))),
        error => damaged(name, error),
    }
}

/// The data of one moment.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// The objects that count: bases, oldest first, then groups in order.
    pub(super) objects: Vec<ObjectName>,
    /// What numbers of databases meant in the newest base.
    pub(super) swaps: Vec<(u8, u8)>,
    /// Replies have taken keys for expired up to here.
    pub(super) now_through_ms: u64,
    /// No commit in it is larger.
    pub(super) largest_commit: CommitId,
}

impl Snapshot {
    /// Finds what counts in a store.
    pub(super) async fn of(store: &dyn Store) -> Result<Self, Failed> {
        refuse_newer_starts(store).await?;
        let logs = list_logs(store).await?;
        let mut snapshot = Self::default();
        let checkpoint = find_checkpoint(store, &logs).await?;
        let bases = checkpoint.bases.iter().map(|&(node, number)| ObjectName::Base(node, number));
        for name in bases {
            let header = read_header(store, name).await?.ok_or(Failed::Vanished(name))?;
            snapshot.learn(name, &header);
        }
        let ends = find_ends(store, &logs, &checkpoint).await?;
        let none = BTreeSet::new();
        let nodes: BTreeSet<NodeId> = logs.keys().chain(ends.keys()).copied().collect();
        for node in nodes.range(checkpoint.trimmed.0..) {
            let listed = logs.get(node).unwrap_or(&none);
            let first = if *node == checkpoint.trimmed.0 { checkpoint.trimmed.1 + 1 } else { 1 };
            snapshot.follow(store, *node, first, listed, ends.get(node).copied()).await?;
        }
        snapshot.swaps = checkpoint.swaps;
        Ok(snapshot)
    }

    fn learn(&mut self, name: ObjectName, header: &Header) {
        self.objects.push(name);
        self.now_through_ms = self.now_through_ms.max(header.now_through_ms);
        self.largest_commit = self.largest_commit.max(header.largest_commit);
    }

    /// One log, to its recorded end, its seal, or as far as it goes without a gap.
    async fn follow(
        &mut self,
        store: &dyn Store,
        node: NodeId,
        first: u64,
        listed: &BTreeSet<u64>,
        end: Option<u64>,
    ) -> Result<(), Failed> {
        let last = end.or(listed.last().copied()).unwrap_or(0);
        for seq in first..=last {
            let name = ObjectName::Log(node, seq);
            let Some(header) = read_header(store, name).await? else {
                // Was it there before, or must it have been? Only then is it gone.
                let was_there = end.is_some() || listed.contains(&seq);
                if was_there || acknowledged_behind(store, node, seq, listed).await? >= seq {
                    return Err(Failed::Vanished(name));
                }
                return Ok(());
            };
            match header.kind {
                Kind::Group => self.learn(name, &header),
                Kind::Seal if end.is_none() => return Ok(()),
                // What was here is lost, and a start has said so; the log goes on behind it.
                Kind::Hole => {}
                other => return Err(damaged(name, format_args!("is a {other:?}"))),
            }
        }
        Ok(())
    }
}

/// Refuses a store that a later version has started on, though it may not have written yet.
async fn refuse_newer_starts(store: &dyn Store) -> Result<(), Failed> {
    for name in list_all(store, ObjectName::NODES).await.map_err(BackupError::from)? {
        let Ok(name) = name.parse() else { continue };
        // That it is there is all it says, so damage is no obstacle.
        if let Err(Failed::For(error @ (BackupError::Refused(_) | BackupError::Store(_)))) =
            read_header(store, name).await
        {
            return Err(Failed::For(error));
        }
    }
    Ok(())
}

/// What the objects behind a gap say was acknowledged.
async fn acknowledged_behind(
    store: &dyn Store,
    node: NodeId,
    gap: u64,
    listed: &BTreeSet<u64>,
) -> Result<u64, Failed> {
    let mut acknowledged = 0;
    for &seq in listed.range(gap + 1..) {
        let name = ObjectName::Log(node, seq);
        let header = read_header(store, name).await?.ok_or(Failed::Vanished(name))?;
        acknowledged = acknowledged.max(header.acked_through);
    }
    Ok(acknowledged)
}

/// The newest header of the newest log that says anything names the newest base.
async fn find_checkpoint(
    store: &dyn Store,
    logs: &BTreeMap<NodeId, BTreeSet<u64>>,
) -> Result<Checkpoint, Failed> {
    for (&node, seqs) in logs.iter().rev() {
        let Some(&seq) = seqs.last() else { continue };
        let name = ObjectName::Log(node, seq);
        let header = read_header(store, name).await?.ok_or(Failed::Vanished(name))?;
        // A log that never had a group says nothing.
        if header.kind != Kind::Group && header.base == (0, 0) {
            continue;
        }
        if header.base == (0, 0) {
            break;
        }
        let name = ObjectName::Base(header.base.0, header.base.1);
        let (base, bytes) = read_directory(store, name).await?.ok_or(Failed::Vanished(name))?;
        return Checkpoint::said_in(header.base, &base, &bytes)
            .map_err(|error| damaged(name, error))?
            .ok_or_else(|| damaged(name, "it does not say what it replaces"));
    }
    Ok(Checkpoint::default())
}

/// Where logs end, as the first groups of later ones have recorded.
async fn find_ends(
    store: &dyn Store,
    logs: &BTreeMap<NodeId, BTreeSet<u64>>,
    checkpoint: &Checkpoint,
) -> Result<BTreeMap<NodeId, u64>, Failed> {
    let mut ends = BTreeMap::new();
    for (&node, seqs) in logs.range(checkpoint.trimmed.0..) {
        let name = ObjectName::Log(node, 1);
        if seqs.is_empty() || checkpoint.replaces(node, 1) {
            continue;
        }
        // It is there if anything of the log is: it was acknowledged first.
        let (header, bytes) = read_directory(store, name).await?.ok_or(Failed::Vanished(name))?;
        let mut read = || {
            let mut directory = checked_directory(&header, &bytes)?;
            while let Some(commit) = directory.next_commit()? {
                for write in commit.writes {
                    if let Write::Control(Control::LogClosed { node, end }) = write {
                        ends.insert(node, end);
                    }
                }
            }
            Ok(())
        };
        read().map_err(|error: FormatError| damaged(name, error))?;
    }
    Ok(ends)
}

async fn list_logs(store: &dyn Store) -> Result<BTreeMap<NodeId, BTreeSet<u64>>, BackupError> {
    let mut logs: BTreeMap<NodeId, BTreeSet<u64>> = BTreeMap::new();
    for name in list_all(store, ObjectName::LOGS).await? {
        if let Ok(ObjectName::Log(node, seq)) = name.parse() {
            logs.entry(node).or_default().insert(seq);
        }
    }
    Ok(logs)
}

/// An object's header; `None` if it is not there.
async fn read_header(store: &dyn Store, name: ObjectName) -> Result<Option<Header>, Failed> {
    /// Most headers are shorter.
    const FIRST_READ: u64 = 512;
    Ok(read(store, name, FIRST_READ).await?.map(|(header, _)| header))
}

/// An object as far as its directory; `None` if it is not there.
pub(super) async fn read_directory(
    store: &dyn Store,
    name: ObjectName,
) -> Result<Option<(Header, Bytes)>, Failed> {
    /// Covers header and directory of most groups.
    const FIRST_READ: u64 = 64 << 10;
    let Some((header, bytes)) = read(store, name, FIRST_READ).await? else {
        return Ok(None);
    };
    if header.values_offset() <= bytes.len() as u64 {
        return Ok(Some((header, bytes)));
    }
    let bytes = read_range(store, name, 0, header.values_offset()).await?;
    Ok(bytes.map(|bytes| (header, bytes)))
}

/// At least the header, and what else comes with a first read of so many bytes.
async fn read(
    store: &dyn Store,
    name: ObjectName,
    first_read: u64,
) -> Result<Option<(Header, Bytes)>, Failed> {
    let Some(mut bytes) = read_range(store, name, 0, first_read).await? else {
        return Ok(None);
    };
    let length = Header::peek_bytes(&bytes).map_err(|error| unreadable(name, error))? as u64;
    if length > bytes.len() as u64 {
        match read_range(store, name, 0, length).await? {
            Some(longer) => bytes = longer,
            None => return Ok(None),
        }
    }
    let header = Header::decode(&bytes).map_err(|error| unreadable(name, error))?;
    header.check_name(name).map_err(|error| damaged(name, error))?;
    Ok(Some((header, bytes)))
}

/// Some bytes of an object; `None` if it is not there.
pub(super) async fn read_range(
    store: &dyn Store,
    name: ObjectName,
    offset: u64,
    length: u64,
) -> Result<Option<Bytes>, Failed> {
    match store.read(&name.to_string(), offset, length).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(StoreError::NotFound) => Ok(None),
        Err(error) => Err(Failed::For(error.into())),
    }
}
