//! What recovery installs, and values that come back from the store.

use super::super::version::State;
use super::super::version::{ObjectId, Position, RECOVERED, Version};
use super::census::Census;
use super::ledger::{Held, Place};
use super::{Core, Database};
use crate::layout::{Commit, CommitId, Control, NodeId, Write};
use crate::small_bytes::SmallKey;

impl Core {
    /// Installs a recovered version: visible to everyone. Bases come before groups, and
    /// groups in order. What a base has moved may come once more in a group that is not
    /// replaced yet; a key that is not there any more can't come back that way, see
    /// [`ledger`](super::ledger).
    pub fn recover(&mut self, slot: u8, key: &[u8], mut version: Version) {
        version.position = RECOVERED;
        let db = self.recovering(slot);
        let hash = db.index.hash(key);
        let alive = version.state.is_alive();
        let mut after = Census::default();
        if alive {
            after += Census::of(key, &version.state);
        }
        match db.index.find(hash, key) {
            Some(id) => {
                if db.index.get(id).is_some_and(|entry| entry.newest().commit >= version.commit) {
                    return;
                }
                let before = db.census_on_tip(id);
                db.live_tip -= before;
                db.forget_expiry(id);
                if alive {
                    db.index.replace(id, version, false);
                    db.remember_expiry(id);
                } else {
                    db.index.remove(id);
                }
            }
            None if alive => {
                let id = db.index.insert(hash, SmallKey::from(key), version);
                db.remember_expiry(id);
            }
            None => {}
        }
        db.live_tip += after;
    }

    /// The version of a key that recovery has installed last.
    pub fn recovered(&self, slot: u8, key: &[u8]) -> Option<&Version> {
        let db = self.databases.get(usize::from(slot))?;
        db.index.get(db.index.find(db.index.hash(key), key)?).map(|entry| entry.newest())
    }

    /// Everything recovered so far in a slot is gone.
    pub fn recover_flush(&mut self, slot: u8) {
        let seed = self.options.hash_seed;
        *self.recovering(slot) = Database::new(seed);
    }

    /// An object that recovery reads and that counts.
    pub fn recover_object(&mut self, held: Held) -> ObjectId {
        self.ledger.push(held)
    }

    /// The swaps in an object that recovery has read.
    pub fn recover_swaps_of(&mut self, object: ObjectId, swaps: Vec<(u8, u8)>) {
        self.ledger.set_swaps(object, swaps);
    }

    /// What the newest base says: what is replaced, and what numbers of databases meant there.
    pub fn recover_base(&mut self, base: (NodeId, u64), trimmed: Place, swaps: &[(u8, u8)]) {
        self.base = base;
        self.ledger.recover_trimmed(trimmed);
        for &(one, other) in swaps {
            self.recover_swap(one, other);
            self.replaced_slots.swap(usize::from(one), usize::from(other));
        }
    }

    /// Keys whose values recovery has found to be lost, at most `limit`.
    pub fn lost_keys(&self, limit: usize) -> Vec<SmallKey> {
        let entries = self.databases.iter().flat_map(|db| db.index.entries());
        let lost = entries.filter(|(_, entry)| entry.newest().state == State::Lost);
        lost.map(|(_, entry)| entry.key().clone()).take(limit).collect()
    }

    /// Recovery has ended: the node begins to write, as `node`, above all it has read.
    pub fn begin(&mut self, node: NodeId, largest_commit: CommitId, now_through_ms: u64) {
        for db in &mut self.databases {
            db.live_visible = db.live_tip;
        }
        self.node = node;
        self.first_node = node;
        self.last_commit_time = self.last_commit_time.max(largest_commit.time);
        self.now.raise(now_through_ms);
        self.now_through_acked_ms = now_through_ms;
    }

    /// The next group to be sent, the first of its log, says that others have ended.
    pub(super) fn note_ended(&mut self) {
        let id = self.draw_commit_id();
        let commit = Commit { id, ..Commit::default() };
        let now_ms = self.now.ms();
        let first = self.cut.front_mut().unwrap_or(&mut self.open);
        let before = first.builder.len();
        first.builder.begin_commit(&commit, self.ended.len());
        for &(node, end) in &self.ended {
            first.builder.write(&Write::Control(Control::LogClosed { node, end }));
        }
        first.largest_commit = first.largest_commit.max(id);
        first.now_through_ms = first.now_through_ms.max(now_ms);
        self.pending_bytes += first.builder.len() - before;
    }

    /// Appends facts about other logs to the open group.
    pub fn commit_controls(&mut self, controls: &[Control]) -> Position {
        let id = self.draw_commit_id();
        let commit = Commit { id, ..Commit::default() };
        let before = self.open.builder.len();
        self.open.builder.begin_commit(&commit, controls.len());
        for control in controls {
            self.open.builder.write(&Write::Control(*control));
        }
        self.open.largest_commit = id;
        self.open.now_through_ms = self.now.ms();
        self.pending_bytes += self.open.builder.len() - before;
        self.open_position()
    }

    /// The node that this process began as: all before are dead.
    pub fn first_node(&self) -> NodeId {
        self.first_node
    }

    /// The node that writes.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The number in this node's log behind everything acknowledged.
    pub fn next_acked_seq(&self) -> u64 {
        self.acked + 1 - self.log_begins
    }

    /// The number in this node's log behind everything sent and acknowledged.
    pub fn next_seq(&self) -> u64 {
        self.acked + self.cut.len() as u64 + 1 - self.log_begins
    }
}
