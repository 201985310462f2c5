//! What recovery installs, and values that come back from the store.

use super::super::version::{Position, RECOVERED, State, Version};
use super::{Core, Database};
use crate::layout::{Commit, CommitId, Control, NodeId, Write};
use crate::small_bytes::SmallBytes;

impl Core {
    /// Gives a value that was read from the store to its version.
    pub fn fill(&mut self, slot: u8, key: &[u8], commit: CommitId, state: State) {
        let Some(db) = self.databases.get_mut(usize::from(slot)) else {
            return;
        };
        if let Some(id) = db.index.find(db.index.hash(key), key) {
            db.index.fill(id, commit, state);
        }
    }

    /// Installs a recovered version: visible to everyone. Versions of a key come in the
    /// order of their commit ids.
    pub fn recover(&mut self, slot: u8, key: &[u8], mut version: Version) {
        version.position = RECOVERED;
        let db = self.recovering(slot);
        let hash = db.index.hash(key);
        let alive = version.state.is_alive();
        match db.index.find(hash, key) {
            Some(id) => {
                db.live_tip -= i64::from(db.alive_on_tip(id));
                db.forget_expiry(id);
                if alive {
                    db.index.replace(id, version, false);
                    db.remember_expiry(id);
                } else {
                    db.index.remove(id);
                }
            }
            None if alive => {
                let id = db.index.insert(hash, SmallBytes::from(key), version);
                db.remember_expiry(id);
            }
            None => {}
        }
        db.live_tip += i64::from(alive);
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

    /// Recovery has ended: the node begins to write, as `node`, above all it has read.
    pub fn begin(&mut self, node: NodeId, largest_commit: CommitId, now_through_ms: u64) {
        for db in &mut self.databases {
            db.live_visible = db.live_tip;
        }
        self.node = node;
        self.last_commit_time = self.last_commit_time.max(largest_commit.time);
        self.now.raise(now_through_ms);
        self.now_through_acked_ms = now_through_ms;
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

    /// The node that writes.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The number in this node's log behind everything sent and acknowledged.
    pub fn next_seq(&self) -> u64 {
        self.acked + self.cut.len() as u64 + 1 - self.log_begins
    }
}
