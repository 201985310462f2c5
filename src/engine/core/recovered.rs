//! What recovery installs, and values that come back from the store.

use super::super::index::{Entry, Share};
use super::super::version::{ObjectId, Position, RECOVERED, State, Value, Version};
use super::census::Census;
use super::compaction::words_of_base;
use super::ledger::{Held, Place};
use super::look_ahead::LookAhead;
use super::{Core, Database};
use crate::layout::{Checkpoint, Commit, CommitId, Control, NodeId, Write};
use crate::small_bytes::SmallKey;

/// The keys of a share while recovery installs them: visible to everyone. Bases come before
/// groups, and groups in order. What a base has moved may come once more in a group that is
/// not replaced yet; a key that is not there any more can't come back that way, see
/// [`ledger`](super::ledger).
#[derive(Debug)]
pub struct Recovering {
    hash_seed: u64,
    share: Share,
    /// By slot.
    databases: Vec<Database>,
    ahead: LookAhead,
}

/// What a write in a directory says of its key.
#[derive(Debug)]
pub struct Said<'a> {
    /// When the key expires, in milliseconds since the Unix epoch; 0 is never.
    pub expires_ms: u64,
    /// And what its value is.
    pub what: What<'a>,
}

/// A value as recovery meets it.
#[derive(Debug)]
pub enum What<'a> {
    /// A string that stands in the directory. It is not copied before it is known where to:
    /// of a key that is overwritten again and again, most values take the place of others.
    Inline(&'a [u8]),
    /// Anything else.
    State(State),
}

impl Recovering {
    /// None yet.
    pub fn new(hash_seed: u64, share: Share) -> Self {
        Self { hash_seed, share, databases: Vec::new(), ahead: LookAhead::default() }
    }

    fn database(&mut self, slot: u8) -> &mut Database {
        let at = usize::from(slot);
        if at >= self.databases.len() {
            let (seed, bits) = (self.hash_seed, self.share.bits);
            self.databases.resize_with(at + 1, || Database::of_share(seed, bits));
        }
        &mut self.databases[at]
    }

    /// Before these keys are installed, see [`LookAhead`].
    pub fn look_ahead(&mut self, keys: impl Iterator<Item = (u8, u64)>) {
        self.ahead.look(&self.databases, keys);
    }

    /// Installs what a transaction has said of a key.
    pub fn install(&mut self, slot: u8, hash: u64, key: &[u8], commit: CommitId, said: Said<'_>) {
        let Said { expires_ms, what } = said;
        let db = self.database(slot);
        let found = db.index.find(hash, key);
        if let Some(id) = found
            && let Some(newest) = db.index.get(id).map(Entry::newest)
        {
            let is_older = newest.commit < commit;
            let never_expires = newest.expires_ms == 0 && expires_ms == 0;
            if !is_older {
                return;
            }
            if let What::Inline(value) = what
                && never_expires
                && db.index.overwrite(id, commit, value)
            {
                return;
            }
        }
        let state = match what {
            What::Inline(value) => State::Live(Value::String(value.into())),
            What::State(state) => state,
        };
        let alive = state.is_alive();
        if alive {
            db.live_tip += Census::of(key, &state);
        }
        let version = Version { commit, position: RECOVERED, expires_ms, state };
        match found {
            Some(id) => {
                let before = db.index.get(id).map(|entry| db.census_on_tip(entry));
                db.live_tip -= before.unwrap_or_default();
                if alive {
                    db.index.replace(id, version, false);
                } else {
                    db.index.remove(id);
                }
            }
            None if alive => {
                db.index.insert(hash, SmallKey::from(key), version);
            }
            None => {}
        }
    }

    /// The version of a key that was installed last.
    pub fn newest(&self, slot: u8, hash: u64, key: &[u8]) -> Option<&Version> {
        let db = self.databases.get(usize::from(slot))?;
        db.index.get(db.index.find(hash, key)?).map(|entry| entry.newest())
    }

    /// Everything installed so far in a slot is gone.
    pub fn flush(&mut self, slot: u8) {
        *self.database(slot) = Database::of_share(self.hash_seed, self.share.bits);
    }
}

impl Core {
    /// What keys and their hashes depend on.
    pub fn hash_seed(&self) -> u64 {
        self.options.hash_seed
    }

    /// All that was recovered, by all shares there are, in their order.
    pub fn recover_keys(&mut self, mut shares: Vec<Recovering>) {
        let slots = shares.iter().map(|share| share.databases.len()).max().unwrap_or(0);
        for slot in (0..slots).rev().map(|slot| slot as u8) {
            let mut joined: Option<Database> = None;
            for part in &mut shares {
                part.database(slot);
                let (Some(database), share) = (part.databases.pop(), part.share) else { continue };
                match &mut joined {
                    None => joined = Some(database),
                    Some(joined) => joined.append(database, share),
                }
            }
            if let Some(joined) = joined {
                *self.recovering(slot) = joined;
            }
        }
    }

    /// An object that recovery reads and that counts.
    pub fn recover_object(&mut self, held: Held) -> ObjectId {
        self.ledger.push(held)
    }

    /// The swaps in an object that recovery has read.
    pub fn recover_swaps_of(&mut self, object: ObjectId, swaps: Vec<(u8, u8)>) {
        self.ledger.set_swaps(object, swaps);
    }

    /// What the newest base says: what is replaced, and what numbers of databases meant there. The
    /// first group tells of it once more: maybe none that counts has done so, and the node that made
    /// the base has only sealed its log.
    pub fn recover_base(&mut self, checkpoint: &Checkpoint) {
        let Checkpoint { base, trimmed, bases, swaps } = checkpoint;
        self.base = *base;
        self.ledger.recover_trimmed(*trimmed);
        // Where its own words are lost, and nobody else's are there, nothing is known to be replaced.
        if *trimmed != Place::default() {
            let others = bases.iter().copied().filter(|other| other != base);
            self.words.renew(words_of_base(*trimmed, others));
        }
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
        self.interactive.outcomes.sort_recovered();
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
