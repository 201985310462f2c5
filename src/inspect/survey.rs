//! All names, which of them count, and which are missing.

use super::objects::read_directory;
use super::{Fault, Inspection};
use crate::layout::{Checkpoint, FormatError, Header, Kind, NodeId, ObjectName, Start};
use crate::storage::{Store, StoreError, list_all};
use std::collections::{BTreeMap, BTreeSet};

const KEYS_LOST: &str = "all keys and outcomes in it: which, it could only tell itself";
const TRANSACTIONS_LOST: &str = "all transactions in it: which, it could only tell itself";
const NOBODY: &str = "nobody";

/// What is in the store by its names, and which base counts.
#[derive(Debug, Default)]
pub(super) struct Survey {
    nodes: BTreeSet<NodeId>,
    logs: BTreeMap<NodeId, BTreeSet<u64>>,
    bases: BTreeSet<(NodeId, u64)>,
    blobs: BTreeSet<(NodeId, u64)>,
    views: BTreeSet<u64>,
    pub(super) checkpoint: Checkpoint,
    /// Where logs end, as later ones have recorded.
    pub(super) known_ends: BTreeMap<NodeId, u64>,
}

impl Survey {
    pub(super) async fn of(store: &dyn Store, faults: &mut Vec<Fault>) -> Result<Self, StoreError> {
        let mut survey = Self::default();
        for name in list_all(store, "").await? {
            match name.parse() {
                Ok(ObjectName::Node(node)) => {
                    survey.nodes.insert(node);
                }
                Ok(ObjectName::Log(node, seq)) => {
                    survey.logs.entry(node).or_default().insert(seq);
                }
                Ok(ObjectName::Base(node, number)) => {
                    survey.bases.insert((node, number));
                }
                Ok(ObjectName::Blob(node, number)) => {
                    survey.blobs.insert((node, number));
                }
                Ok(ObjectName::View(number)) => {
                    survey.views.insert(number);
                }
                Err(_) => faults.push(Fault::new(&name, "not a name that aft writes", NOBODY)),
            }
        }
        survey.find_checkpoint(store).await?;
        Ok(survey)
    }

    /// Every object, bases first and logs in order, as a start reads them, and blobs last: by
    /// then it is known which are named.
    pub(super) fn names(&self) -> Vec<ObjectName> {
        let bases = self.bases.iter().map(|&(node, number)| ObjectName::Base(node, number));
        let logs = self
            .logs
            .iter()
            .flat_map(|(&node, seqs)| seqs.iter().map(move |&seq| ObjectName::Log(node, seq)));
        let nodes = self.nodes.iter().map(|&node| ObjectName::Node(node));
        let views = self.views.iter().map(|&number| ObjectName::View(number));
        let blobs = self.blobs.iter().map(|&(node, number)| ObjectName::Blob(node, number));
        bases.chain(logs).chain(nodes).chain(views).chain(blobs).collect()
    }

    /// Whether an object of that name is there.
    pub(super) fn has_blob(&self, name: ObjectName) -> bool {
        matches!(name, ObjectName::Blob(node, number) if self.blobs.contains(&(node, number)))
    }

    /// Whether a start would read it; of blobs it knows nothing.
    pub(super) fn counts(&self, name: ObjectName) -> bool {
        match name {
            ObjectName::Log(node, seq) => !self.checkpoint.replaces(node, seq),
            ObjectName::Base(node, number) => self.checkpoint.bases.contains(&(node, number)),
            ObjectName::View(number) => self.views.last() == Some(&number),
            _ => true,
        }
    }

    /// The newest header names the newest base; should that be damaged, a newer base or the
    /// group that published it say the same.
    async fn find_checkpoint(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let Some(base) = self.newest_named(store).await? else {
            return Ok(());
        };
        let newer = self.bases.iter().rev().copied().take_while(|at| *at > base);
        for at in std::iter::once(base).chain(newer) {
            let name = ObjectName::Base(at.0, at.1);
            if let Some(said) = said_in(store, name, at).await? {
                self.checkpoint = said;
                return Ok(());
            }
        }
        let names = self.names().into_iter().filter(|name| matches!(name, ObjectName::Log(..)));
        for name in names {
            if let Some(said) = said_in(store, name, base).await? {
                self.checkpoint = said;
                return Ok(());
            }
        }
        self.checkpoint = Checkpoint { base, bases: vec![base], ..Checkpoint::default() };
        Ok(())
    }

    /// The base that the newest header names, if one does.
    async fn newest_named(&self, store: &dyn Store) -> Result<Option<(NodeId, u64)>, StoreError> {
        for (&node, seqs) in self.logs.iter().rev() {
            for &seq in seqs.iter().rev() {
                let name = ObjectName::Log(node, seq);
                let Some((header, _)) = sound(store, name).await? else {
                    continue;
                };
                // A seal that names none says nothing by itself: the group before it does, and a
                // log that never had one is passed by.
                if header.kind == Kind::Group || header.base != (0, 0) {
                    return Ok((header.base != (0, 0)).then_some(header.base));
                }
            }
        }
        Ok(None)
    }

    /// What is missing, and what is left over.
    pub(super) fn check(&self, headers: &BTreeMap<ObjectName, Header>, found: &mut Inspection) {
        self.check_entries(headers, found);
        let older = self.views.iter().rev().skip(1);
        older.for_each(|&number| found.leave(ObjectName::View(number)));
        for &(node, number) in &self.checkpoint.bases {
            if !self.bases.contains(&(node, number)) {
                let name = ObjectName::Base(node, number);
                found.faults.push(Fault::new(name, FormatError::Missing, KEYS_LOST));
            }
        }
        for &(node, number) in &self.bases {
            match self.counts(ObjectName::Base(node, number)) {
                true => found.bases += 1,
                false => found.leave(ObjectName::Base(node, number)),
            }
        }
        let known = self.known_ends.keys().filter(|node| !self.logs.contains_key(node));
        let none = BTreeSet::new();
        let all = self.logs.iter().chain(known.map(|node| (node, &none)));
        for (&node, seqs) in all {
            self.check_log(node, seqs, headers, found);
        }
    }

    /// The entries of the last two starts are there, and no older one that is there is
    /// followed by a gap: they go oldest first.
    fn check_entries(&self, headers: &BTreeMap<ObjectName, Header>, found: &mut Inspection) {
        let logs = self.logs.keys().copied();
        let bases = self.bases.iter().map(|(node, _)| *node);
        let ids = || self.nodes.iter().copied();
        let newest = ids().chain(logs).chain(bases).max().unwrap_or(0);
        found.starts = u64::from(newest);
        if let Some(entry) = headers.get(&ObjectName::Node(newest)) {
            let first_group = headers.get(&ObjectName::Log(newest, 1));
            (found.last_start_ms, found.last_recovery_ms) = last_start(entry, first_group);
        }
        let oldest = ids().next().unwrap_or(newest).min(newest.saturating_sub(1)).max(1);
        for node in (oldest..=newest).filter(|node| !self.nodes.contains(node)) {
            let affects = "nobody: what the start wrote is elsewhere";
            found.faults.push(Fault::new(ObjectName::Node(node), FormatError::Missing, affects));
        }
    }

    fn check_log(
        &self,
        node: NodeId,
        seqs: &BTreeSet<u64>,
        headers: &BTreeMap<ObjectName, Header>,
        found: &mut Inspection,
    ) {
        let (counting, replaced): (BTreeSet<u64>, BTreeSet<u64>) =
            seqs.iter().copied().partition(|seq| !self.checkpoint.replaces(node, *seq));
        replaced.into_iter().for_each(|seq| found.leave(ObjectName::Log(node, seq)));
        let (trimmed_node, through) = self.checkpoint.trimmed;
        if node < trimmed_node {
            return;
        }
        found.logs += u64::from(!counting.is_empty());
        let first = if node == trimmed_node { through + 1 } else { 1 };
        let header = |seq| headers.get(&ObjectName::Log(node, seq));
        let kind = |seq| header(seq).map(|header| header.kind);
        let is_seal = |seq: &&u64| kind(**seq) == Some(Kind::Seal);
        let seal = counting.iter().find(is_seal).map(|seal| seal - 1);
        let acknowledged =
            counting.iter().filter_map(|&seq| Some(header(seq)?.acked_through)).max();
        // Up to here all must be there; what follows behind a gap was never acknowledged.
        let known_end = self.known_ends.get(&node).copied();
        let must = known_end.or(seal).unwrap_or(0).max(acknowledged.unwrap_or(0));
        let mut end = must;
        while known_end.or(seal).is_none() && counting.contains(&(end + 1)) {
            end += 1;
        }
        let mut from = first;
        for seq in counting.range(first..).copied().take_while(|seq| *seq <= must).chain([must + 1])
        {
            found.faults.extend(missing(node, from, seq));
            from = seq + 1;
        }
        if known_end.is_some_and(|end| end + 1 >= first && !counting.contains(&(end + 1))) {
            let name = ObjectName::Log(node, must + 1);
            let what = "the seal of the log is missing";
            found.faults.push(Fault::new(name, what, "nobody: where the log ends is recorded"));
        }
        for seq in counting {
            match kind(seq) {
                Some(Kind::Hole) => {
                    let name = ObjectName::Log(node, seq);
                    let what = "a hole: what was here was lost before an earlier start";
                    found.faults.push(Fault::new(name, what, TRANSACTIONS_LOST));
                }
                Some(Kind::Group) if seq <= end => found.groups += 1,
                Some(Kind::Seal) => {}
                _ if seq > end + 1 => found.leave(ObjectName::Log(node, seq)),
                _ => {}
            }
        }
    }
}

/// When a process began to recover, and how long that took, given the newest entry and the first
/// object of its log: the group that ends a recovery, unless the entry knows better.
fn last_start(entry: &Header, first: Option<&Header>) -> (u64, u64) {
    let Start { began_ms, recovery_ms } = entry.start();
    if began_ms == 0 || recovery_ms > 0 {
        return (if began_ms == 0 { entry.wall_ms } else { began_ms }, u64::from(recovery_ms));
    }
    let ended = first.filter(|first| first.kind == Kind::Group && first.wall_ms >= began_ms);
    (began_ms, ended.map_or(0, |group| (group.wall_ms - began_ms).max(1)))
}

/// The objects of a log from `from` up to and without `to` are missing, if those are any.
fn missing(node: NodeId, from: u64, to: u64) -> Option<Fault> {
    let first = ObjectName::Log(node, from);
    let object = match to.saturating_sub(from) {
        0 => return None,
        1 => first.to_string(),
        _ => format!("{first} to {}", ObjectName::Log(node, to - 1)),
    };
    Some(Fault::new(object, FormatError::Missing, TRANSACTIONS_LOST))
}

/// Header and directory of an object, if it is there and the first is its own.
async fn sound(
    store: &dyn Store,
    name: ObjectName,
) -> Result<Option<(Header, bytes::Bytes)>, StoreError> {
    let bytes = match read_directory(store, &name.to_string()).await {
        Err(StoreError::NotFound) => return Ok(None),
        read => read?,
    };
    let header = Header::decode(&bytes).ok().filter(|header| header.check_name(name).is_ok());
    Ok(header.map(|header| (header, bytes)))
}

/// What an object says of a base, if it can be trusted and does.
async fn said_in(
    store: &dyn Store,
    name: ObjectName,
    base: (NodeId, u64),
) -> Result<Option<Checkpoint>, StoreError> {
    let Some((header, bytes)) = sound(store, name).await? else {
        return Ok(None);
    };
    let speaks = header.kind == Kind::Base || header.base == base;
    let said = speaks.then(|| Checkpoint::said_in(base, &header, &bytes).ok().flatten());
    Ok(said.flatten())
}
