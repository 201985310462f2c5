//! The newest version of each key, without the keys.
//!
//! A key is known by 128 bits of its SHA-256, so no two keys are ever taken for one. That and
//! what has to be known of its version take 57 bytes in a table with room, so a large store needs
//! more than one look at its directories: a *part* is all keys whose hash begins with some bits,
//! and a part that turns out too large is cut in two while it is being read.

use super::snapshot::{Failed, damaged};
use crate::layout::group::checked_directory;
use crate::layout::{CommitId, Header, ObjectName, Write};
use foldhash::fast::FixedState;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// Databases there can be, by number or slot.
const DATABASES_MAX: usize = 256;

type KeyHash = [u32; 4];

/// Which keys are looked at: those whose hash ends with these bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Part {
    bits: u32,
    depth: u32,
}

impl Part {
    fn holds(self, hash: &KeyHash) -> bool {
        let mask = (1u32 << self.depth) - 1;
        hash[0] & mask == self.bits
    }

    /// One half, which this becomes, and the other.
    fn split(&mut self) -> Self {
        let other = Self { bits: self.bits | 1 << self.depth, depth: self.depth + 1 };
        self.depth += 1;
        other
    }
}

/// A commit's id in 12 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Id([u32; 3]);

impl From<CommitId> for Id {
    fn from(id: CommitId) -> Self {
        Self([(id.time >> 32) as u32, id.time as u32, id.node])
    }
}

#[derive(Debug, Clone, Copy)]
struct Newest {
    commit: Id,
    /// The put that gave it its value.
    put: Id,
    expires: [u32; 2],
    /// How often its slot had been flushed.
    flushes: u32,
    slot: u8,
    written: bool,
}

impl Newest {
    fn expires_ms(&self) -> u64 {
        u64::from(self.expires[0]) << 32 | u64::from(self.expires[1])
    }
}

fn halves(ms: u64) -> [u32; 2] {
    [(ms >> 32) as u32, ms as u32]
}

/// Where an entry goes in a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Live {
    pub(super) database: u8,
    pub(super) expires_ms: u64,
}

/// The newest versions of the keys of one part.
#[derive(Debug)]
pub(super) struct NewestVersions {
    part: Part,
    keys_max: usize,
    /// What has been cut off.
    pub(super) others: Vec<Part>,
    keys: HashMap<KeyHash, Newest, FixedState>,
    flushes: Vec<u32>,
    /// The slot that each number means.
    slots: Vec<u8>,
}

fn hash(slot: u8, key: &[u8]) -> KeyHash {
    let digest = Sha256::new().chain_update([slot]).chain_update(key).finalize();
    let mut hash = KeyHash::default();
    for (word, bytes) in hash.iter_mut().zip(digest.chunks_exact(4)) {
        bytes.iter().for_each(|&byte| *word = *word << 8 | u32::from(byte));
    }
    hash
}

impl NewestVersions {
    /// Nothing yet of a part; it is cut when it has more than so many keys.
    pub(super) fn new(part: Part, keys_max: usize, swaps: &[(u8, u8)]) -> Self {
        let mut slots: Vec<u8> = (0..=u8::MAX).collect();
        swaps.iter().for_each(|&(one, other)| slots.swap(one.into(), other.into()));
        let flushes = vec![0; DATABASES_MAX];
        Self { part, keys_max, others: Vec::new(), keys: HashMap::default(), flushes, slots }
    }

    /// Learns what an object's directory says. They come in the order in which a start reads
    /// them, and what a start makes of them is made of them here.
    pub(super) fn read(
        &mut self,
        name: ObjectName,
        header: &Header,
        bytes: &[u8],
    ) -> Result<(), Failed> {
        let is_base = matches!(name, ObjectName::Base(..));
        let bad = |error| damaged(name, error);
        let mut directory = checked_directory(header, bytes).map_err(bad)?;
        while let Some(commit) = directory.next_commit().map_err(bad)? {
            for write in &commit.writes {
                self.learn(commit.id, write, is_base);
            }
        }
        Ok(())
    }

    fn learn(&mut self, commit: CommitId, write: &Write<'_>, is_base: bool) {
        let id = Id::from(commit);
        match *write {
            Write::Put { database, key, expires_ms, .. }
            | Write::Patch { database, key, expires_ms, .. } => {
                self.set(database, key, id, id, expires_ms);
            }
            Write::Meta { database, key, predecessor, expires_ms } => {
                let put = self.value_before(database, key, predecessor.into());
                self.set(database, key, id, put, expires_ms);
            }
            Write::Delete { database, key } => {
                let hash = hash(database, key);
                if self.keys.get(&hash).is_some_and(|newest| newest.commit < id) {
                    self.keys.remove(&hash);
                }
            }
            Write::Flush { database } => self.flushes[usize::from(database)] += 1,
            // A base tells them all at once, and the newest base for all.
            Write::Swap { one, other } if !is_base => self.slots.swap(one.into(), other.into()),
            Write::Swap { .. } | Write::Control(_) => {}
        }
    }

    /// The put whose expiry is changed. Until format 2 the predecessor is the version before,
    /// from 3 on it is the one that put the value. Where it is not there, none has this id:
    /// the value will be missed.
    fn value_before(&self, slot: u8, key: &[u8], predecessor: Id) -> Id {
        let before = self.keys.get(&hash(slot, key)).filter(|newest| self.is_current(newest));
        match before {
            Some(before) if before.commit == predecessor || before.put == predecessor => before.put,
            _ => CommitId::ZERO.into(),
        }
    }

    fn set(&mut self, slot: u8, key: &[u8], commit: Id, put: Id, expires_ms: Option<u64>) {
        let hash = hash(slot, key);
        if !self.part.holds(&hash) {
            return;
        }
        let before = self.keys.get(&hash);
        if before.is_some_and(|newest| self.is_current(newest) && newest.commit >= commit) {
            return;
        }
        let (expires, flushes) = (halves(expires_ms.unwrap_or(0)), self.flushes[usize::from(slot)]);
        self.keys.insert(hash, Newest { commit, put, expires, flushes, slot, written: false });
        if self.keys.len() > self.keys_max && self.part.depth < 31 {
            self.others.push(self.part.split());
            let part = self.part;
            self.keys.retain(|hash, _| part.holds(hash));
        }
    }

    fn is_current(&self, newest: &Newest) -> bool {
        newest.flushes == self.flushes[usize::from(newest.slot)]
    }

    fn is_alive(&self, newest: &Newest, now_ms: u64) -> bool {
        let expires_ms = newest.expires_ms();
        self.is_current(newest) && (expires_ms == 0 || expires_ms > now_ms)
    }

    /// Whether a put is what a reader finds, and was not asked about before.
    pub(super) fn take(
        &mut self,
        slot: u8,
        key: &[u8],
        put: CommitId,
        now_ms: u64,
    ) -> Option<Live> {
        let hash = hash(slot, key);
        let newest = *self.keys.get(&hash)?;
        if newest.put != put.into() || newest.written || !self.is_alive(&newest, now_ms) {
            return None;
        }
        self.keys.get_mut(&hash)?.written = true;
        let number = self.slots.iter().position(|of| *of == slot)?;
        Some(Live { database: number as u8, expires_ms: newest.expires_ms() })
    }

    /// Keys that are alive.
    pub(super) fn alive(&self, now_ms: u64) -> u64 {
        self.keys.values().filter(|newest| self.is_alive(newest, now_ms)).count() as u64
    }

    /// Keys that are alive and were not taken: their values are nowhere.
    pub(super) fn missed(&self, now_ms: u64) -> u64 {
        let missed = |newest: &&Newest| !newest.written && self.is_alive(newest, now_ms);
        self.keys.values().filter(missed).count() as u64
    }
}
