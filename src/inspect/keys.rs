//! The newest version of each key: to say which damage matters to whom, and what is alive.
//!
//! Keys are held as hashes of 64 bits: some 50 bytes a key, however long it is. Two keys of
//! one hash would be counted as one; of a million keys that happens once in 30 million stores.

use super::objects::BadValue;
use super::survey::Survey;
use super::{Fault, Inspection, SHOWN_MAX};
use crate::layout::directory::commit_bytes;
use crate::layout::group::checked_directory;
use crate::layout::{
    BlobName, CommitId, Control, FormatError, Header, NodeId, ObjectName, Place, RECORD_BYTES,
    Write,
};
use foldhash::fast::FixedState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

#[derive(Debug, Clone, Copy)]
struct Newest {
    commit: CommitId,
    /// The put that gave it its value; [`CommitId::ZERO`] if it has none.
    put: CommitId,
    expires_ms: u64,
    bytes: u64,
    slot: u8,
}

impl Newest {
    fn is_deleted(&self) -> bool {
        self.put == CommitId::ZERO
    }
}

/// A change of an expiry whose value was not there.
#[derive(Debug)]
struct Orphan {
    object: ObjectName,
    slot: u8,
    key: Vec<u8>,
    commit: CommitId,
}

/// Whom a bad piece of a value affects.
pub(super) const IN_BLOB: &str = "the key whose value is in it";

/// All keys of a store.
pub(super) struct Keys {
    newest: HashMap<u64, Newest, FixedState>,
    /// The slot that each number means.
    slots: Vec<u8>,
    orphans: HashMap<u64, Orphan, FixedState>,
    /// With the number of the fault that they belong to.
    bad: Vec<(usize, BadValue)>,
    /// By node and first number: each blob that is named, and whose value is in it.
    blobs: BTreeMap<(NodeId, u64), (BlobName, BadValue)>,
    /// What became of interactive transactions before is forgotten.
    outcomes_since_ms: u64,
    /// What became of the others, and the bytes of that.
    outcomes: u64,
    outcome_bytes: u64,
}

fn hash(slot: u8, key: &[u8]) -> u64 {
    FixedState::default().hash_one((slot, key))
}

impl Keys {
    pub(super) fn new(swaps: &[(u8, u8)], outcomes_since_ms: u64) -> Self {
        let mut keys = Self {
            newest: HashMap::default(),
            slots: (0..=u8::MAX).collect(),
            orphans: HashMap::default(),
            bad: Vec::new(),
            blobs: BTreeMap::new(),
            outcomes_since_ms,
            outcomes: 0,
            outcome_bytes: 0,
        };
        swaps.iter().for_each(|&(one, other)| keys.slots.swap(one.into(), other.into()));
        keys
    }

    /// Values that are lost, and the number of the fault by which they are.
    pub(super) fn lose(&mut self, fault: usize, values: Vec<BadValue>) {
        self.bad.extend(values.into_iter().map(|value| (fault, value)));
    }

    /// The blob that has a chunk of that name, whose value is in it, and how long the chunk has
    /// to be, in bytes.
    pub(super) fn blob_of(&self, name: ObjectName) -> Option<(&BadValue, u64)> {
        let ObjectName::Blob(node, number) = name else { return None };
        let (_, (blob, value)) = self.blobs.range((node, 0)..=(node, number)).next_back()?;
        let at = number - blob.number;
        (at < blob.chunks()).then(|| (value, blob.extent(at).1))
    }

    /// How many blobs are named.
    pub(super) fn blobs(&self) -> u64 {
        self.blobs.len() as u64
    }

    /// What an object that counts says.
    pub(super) fn read(
        &mut self,
        name: ObjectName,
        header: &Header,
        bytes: &[u8],
        known_ends: &mut BTreeMap<NodeId, u64>,
    ) -> Result<(), FormatError> {
        let is_base = matches!(name, ObjectName::Base(..));
        let mut directory = checked_directory(header, bytes)?;
        while let Some(commit) = directory.next_commit()? {
            let id = commit.id;
            if let Some(token) = commit.token
                && id.time >> CommitId::COUNTER_BITS >= self.outcomes_since_ms
            {
                let said = [Some(token), commit.request, commit.result];
                self.outcomes += 1;
                self.outcome_bytes += commit_bytes(said.map(|said| said.map(<[u8]>::len))) as u64;
            }
            for write in commit.writes {
                match write {
                    Write::Control(Control::LogClosed { node, end }) => {
                        known_ends.insert(node, end);
                    }
                    // A base tells them all at once, and the newest base for all.
                    Write::Swap { one, other } if !is_base => {
                        self.slots.swap(one.into(), other.into());
                    }
                    Write::Flush { database } => {
                        self.newest.retain(|_, newest| newest.slot != database);
                    }
                    Write::Put { database, key, expires_ms, place, .. }
                    | Write::Patch { database, key, expires_ms, place, .. } => {
                        let value_bytes = match place {
                            Place::Inline(value) => value.len() as u64,
                            Place::Values { length, .. } => length,
                            Place::Blob { blob, .. } => {
                                let value = BadValue { slot: database, key: key.to_vec(), put: id };
                                self.blobs.insert((blob.node, blob.number), (blob, value));
                                blob.length
                            }
                        };
                        let bytes = (RECORD_BYTES + key.len()) as u64 + value_bytes;
                        let expires_ms = expires_ms.unwrap_or(0);
                        let newest =
                            Newest { commit: id, put: id, expires_ms, bytes, slot: database };
                        self.put(hash(database, key), newest);
                    }
                    Write::Delete { database, key } => {
                        let put = CommitId::ZERO;
                        let slot = database;
                        let gone = Newest { commit: id, put, expires_ms: 0, bytes: 0, slot };
                        self.put(hash(database, key), gone);
                    }
                    Write::Meta { database, key, predecessor, expires_ms } => {
                        let expires_ms = expires_ms.unwrap_or(0);
                        self.change(name, (database, key), id, predecessor, expires_ms);
                    }
                    Write::Swap { .. } | Write::Control(_) => {}
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, hash: u64, version: Newest) {
        let newest = self.newest.entry(hash).or_insert(version);
        if newest.commit < version.commit {
            *newest = version;
        }
    }

    /// A change of an expiry, which must find its value.
    fn change(
        &mut self,
        object: ObjectName,
        (slot, key): (u8, &[u8]),
        commit: CommitId,
        predecessor: CommitId,
        expires_ms: u64,
    ) {
        let hash = hash(slot, key);
        let before = self.newest.get(&hash).copied();
        if before.is_some_and(|before| before.commit >= commit) {
            return;
        }
        // Until format 2 it is the version before, from 3 on the one that put the value.
        let found = before.filter(|before| {
            !before.is_deleted() && (before.commit == predecessor || before.put == predecessor)
        });
        let (put, bytes) = match found {
            Some(before) => (before.put, before.bytes),
            None => {
                let key = key.to_vec();
                self.orphans.insert(hash, Orphan { object, slot, key, commit });
                (predecessor, 0)
            }
        };
        self.newest.insert(hash, Newest { commit, put, expires_ms, bytes, slot });
    }

    /// Whether a version is what a reader would find.
    fn is_read(&self, hash: u64, now_ms: u64, of: impl Fn(&Newest) -> bool) -> bool {
        self.newest.get(&hash).is_some_and(|newest| of(newest) && is_alive(newest, now_ms))
    }

    fn shown(&self, slot: u8, key: &[u8]) -> String {
        let number = self.slots.iter().position(|of| *of == slot).unwrap_or(usize::from(slot));
        format!("{number}:{}", key.escape_ascii())
    }

    /// Pieces that are missing of values, and whether anybody reads those.
    fn find_missing(&self, now_ms: u64, survey: &Survey, found: &mut Inspection) {
        for (blob, value) in self.blobs.values() {
            let hash = hash(value.slot, &value.key);
            let is_read = self.is_read(hash, now_ms, |newest| newest.put == value.put);
            for name in blob.objects().filter(|name| !survey.has_blob(*name)) {
                let mut fault = Fault::new(name, FormatError::Missing, IN_BLOB);
                if is_read {
                    affect(&mut fault, self.shown(value.slot, &value.key));
                }
                found.faults.push(fault);
            }
        }
    }

    /// Who is affected by what was found, and what is alive.
    pub(super) fn finish(self, now_ms: u64, survey: &Survey, found: &mut Inspection) {
        self.find_missing(now_ms, survey, found);
        for (fault, value) in &self.bad {
            let hash = hash(value.slot, &value.key);
            if self.is_read(hash, now_ms, |newest| newest.put == value.put)
                && let Some(fault) = found.faults.get_mut(*fault)
            {
                affect(fault, self.shown(value.slot, &value.key));
            }
        }
        let mut faults: BTreeMap<ObjectName, Fault> = BTreeMap::new();
        for (hash, orphan) in &self.orphans {
            if self.is_read(*hash, now_ms, |newest| newest.commit == orphan.commit) {
                let what = "changes the expiry of values that are missing";
                let fault = faults.entry(orphan.object).or_insert_with(|| {
                    Fault::new(orphan.object, what, "keys whose values are lost")
                });
                affect(fault, self.shown(orphan.slot, &orphan.key));
            }
        }
        found.faults.extend(faults.into_values());
        found.outcomes = self.outcomes;
        found.live_bytes += self.outcome_bytes;
        for newest in self.newest.values().filter(|newest| is_alive(newest, now_ms)) {
            found.keys += 1;
            found.live_bytes += newest.bytes;
        }
    }
}

fn is_alive(newest: &Newest, now_ms: u64) -> bool {
    !newest.is_deleted() && (newest.expires_ms == 0 || newest.expires_ms > now_ms)
}

fn affect(fault: &mut Fault, key: String) {
    fault.keys_total += 1;
    if fault.keys.len() < SHOWN_MAX {
        fault.keys.push(key);
    }
}
