//! A key and its versions.

use super::super::version::{
    Flush, Position, Snapshot, State, StoredValue, Value, Version, visible_version,
};
use crate::layout::CommitId;
use crate::small_bytes::SmallKey;
use std::ops::Range;

/// A key and its versions.
#[derive(Debug)]
pub struct Entry {
    key: SmallKey,
    newest: Version,
    older: Option<Box<Older>>,
}

/// A version that a newer one hides from the tip, but not yet from every reader.
#[derive(Debug)]
struct Older {
    version: Version,
    older: Option<Box<Older>>,
}

impl Entry {
    /// The entry of a new key.
    pub(super) fn new(key: SmallKey, version: Version) -> Self {
        Self { key, newest: version, older: None }
    }

    /// Puts a version in the place of all others: nobody can see them any more.
    pub(super) fn set(&mut self, version: Version) {
        self.newest = version;
        self.older = None;
    }

    /// What it holds outside of itself, in bytes.
    #[inline]
    pub(super) fn heap_bytes(&self) -> usize {
        let mut bytes = self.key.heap_bytes() + self.newest.state.heap_bytes();
        let mut older = self.older.as_deref();
        while let Some(current) = older {
            bytes += size_of::<Older>() + current.version.state.heap_bytes();
            older = current.older.as_deref();
        }
        bytes
    }

    /// When the key expires, in milliseconds since the Unix epoch; 0 if it doesn't, or is gone.
    #[inline]
    pub(super) fn expires_ms(&self) -> u64 {
        if self.newest.state.is_alive() { self.newest.expires_ms } else { 0 }
    }

    /// The key.
    pub fn key(&self) -> &SmallKey {
        &self.key
    }

    /// The version with the largest commit id.
    pub fn newest(&self) -> &Version {
        &self.newest
    }

    /// All versions, newest first.
    pub fn versions(&self) -> impl Iterator<Item = &Version> {
        let mut older = self.older.as_deref();
        std::iter::once(&self.newest).chain(std::iter::from_fn(move || {
            let current = older?;
            older = current.older.as_deref();
            Some(&current.version)
        }))
    }

    pub(super) fn for_each_mut(&mut self, mut each: impl FnMut(&mut Version)) {
        each(&mut self.newest);
        let mut older = self.older.as_deref_mut();
        while let Some(current) = older {
            each(&mut current.version);
            older = current.older.as_deref_mut();
        }
    }

    pub(super) fn version_mut(&mut self, commit: CommitId) -> Option<&mut Version> {
        if self.newest.commit == commit {
            return Some(&mut self.newest);
        }
        let mut older = self.older.as_deref_mut();
        while let Some(current) = older {
            if current.version.commit == commit {
                return Some(&mut current.version);
            }
            older = current.older.as_deref_mut();
        }
        None
    }

    /// The version a reader of `snapshot` sees, see [`visible_version`].
    #[inline]
    pub fn visible(&self, flushes: &[Flush], snapshot: Snapshot) -> Option<&Version> {
        if snapshot.position >= self.newest.position && flushes.is_empty() {
            return Some(&self.newest);
        }
        visible_version(self.versions(), flushes, snapshot)
    }

    /// Puts a newer version in the place of the newest: both belong to one group, so
    /// nobody can see the older of them any more, whatever becomes of the group.
    pub(super) fn overwrite(&mut self, version: Version) {
        debug_assert!(version.position == self.newest.position);
        self.newest = version;
    }

    /// See [`Index::overwrite`](super::Index::overwrite).
    #[inline]
    pub(super) fn overwrite_value(&mut self, commit: CommitId, bytes: &[u8]) -> bool {
        let State::Live(Value::String(own)) = &mut self.newest.state else { return false };
        if self.older.is_some() || !own.overwrite(bytes) {
            return false;
        }
        self.newest.commit = commit;
        true
    }

    /// Puts a newer version on top.
    pub(super) fn push(&mut self, version: Version) {
        debug_assert!(version.commit > self.newest.commit);
        let hidden = std::mem::replace(&mut self.newest, version);
        let older = self.older.take();
        self.older = Some(Box::new(Older { version: hidden, older }));
    }

    /// Drops what nobody can see any more. That leaves the versions after `acked`, the one
    /// that is visible there, and of the older ones those that somebody reads who stays:
    /// `is_read` tells of a range of positions whether anybody is in it.
    ///
    /// What lies between two such readers goes as well: a key that is overwritten a
    /// million times while somebody sleeps on a snapshot has two versions, not a million.
    ///
    /// `gone` is told of every value in the store that went with them.
    pub fn prune(
        &mut self,
        acked: Position,
        is_read: impl Fn(Range<Position>) -> bool,
        mut gone: impl FnMut(&StoredValue),
    ) {
        let mut newer = self.newest.position;
        let mut visible_seen = newer <= acked;
        let mut current = &mut self.older;
        while let Some(mut older) = current.take() {
            let position = older.version.position;
            let keep = !visible_seen || is_read(position..newer);
            visible_seen |= position <= acked;
            newer = position;
            if keep {
                current = &mut current.insert(older).older;
            } else {
                // Where only the expiry has changed since, the newest holds the same value.
                if let held @ State::Stored(place) = older.version.state.held()
                    && self.newest.state.held() != held
                {
                    gone(place);
                }
                *current = older.older.take();
            }
        }
    }

    /// Drops every version before `commit`; `false` if none is left.
    pub(super) fn bury(&mut self, commit: CommitId) -> bool {
        if self.newest.commit < commit {
            return false;
        }
        let mut current = &mut self.older;
        while current.as_ref().is_some_and(|older| older.version.commit >= commit) {
            let Some(older) = current else { break };
            current = &mut older.older;
        }
        *current = None;
        true
    }

    /// Takes back every version after `position`; `false` if none is left.
    pub(super) fn fall_back(&mut self, position: Position) -> bool {
        while self.newest.position > position {
            let Some(older) = self.older.take() else {
                return false;
            };
            self.newest = older.version;
            self.older = older.older;
        }
        true
    }
}
