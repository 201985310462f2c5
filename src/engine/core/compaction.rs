//! What the sequencer knows of compaction: when it is due, what is alive, what moved.
//!
//! The steps are taken by the engine's `compactor`, which does the I/O.

use super::super::index::{Entry, EntryId};
use super::super::version::{Position, State, StoredValue};
use super::ledger::{Count, Held, Ledger, Place};
use super::{Census, Core, DATABASES_MAX, Health};
use crate::layout::{BlobName, Commit, CommitId, Control, NodeId, ObjectName, Write};
use bytes::Bytes;

/// When compaction is due, and how much it takes at a time.
#[derive(Debug, Clone, Copy)]
pub struct CompactionLimits {
    /// The store may hold so many percent of the live data.
    pub store_percent_max: u64,
    /// Below this size in bytes nothing is compacted for the sake of space.
    pub store_bytes_min: u64,
    /// Groups that are not compacted yet: recovery reads each of them.
    pub groups_max: usize,
    /// Logs, of this start and of earlier ones.
    pub logs_max: usize,
    /// Beyond a debt of so many percent of what the store may hold writes wait for compaction.
    pub debt_percent_max: u64,
    /// A step takes the oldest objects until it has so many bytes of them, of a small store less
    /// ([`Core::step_bytes`]).
    pub step_bytes: u64,
}

impl CompactionLimits {
    /// How many bytes a store may hold of which so many are alive.
    pub fn allowed_bytes(&self, live_bytes: u64) -> u64 {
        (live_bytes.saturating_mul(self.store_percent_max) / 100).max(self.store_bytes_min)
    }
}

/// A round moves all live data, so what it is good for must be worth that: so many bytes of
/// live data allow one more group.
const GROUP_LIVE_BYTES: u64 = 16 << 10;

/// So many allow one more log.
const LOG_LIVE_BYTES: u64 = 64 << 20;

/// A step replaces so many objects at the least, unless they are large: it adds a base and
/// a group itself.
const STEP_OBJECTS_MIN: usize = 16;

/// What the largest object is divided by for the size of groups of several transactions, and
/// of objects that are moved together. In a base each write stands in a commit of its own,
/// and a change of its expiry behind it: that may be thrice what it took before. What is
/// larger holds a single transaction, and of that the base has been reckoned with
/// ([`WriteSet::bytes`](super::super::writes::WriteSet::bytes)); it is moved alone.
pub(super) const OBJECT_SHARE: u64 = 8;

/// The oldest objects, to be replaced by one base.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Their names, in order, and where the values begin in each.
    pub names: Vec<(ObjectName, u64)>,
    /// How many they are.
    pub count: Count,
    /// Their size in bytes.
    pub bytes: u64,
    /// The base's name.
    pub base: (NodeId, u64),
    /// The last group that was visible when this was planned.
    pub place: Place,
    /// The last group that is replaced then.
    trimmed: Place,
    /// The largest commit id so far.
    pub largest_commit: CommitId,
    /// Expiries up to here are known to a restart.
    pub now_through_ms: u64,
    /// The swaps in all that is replaced then, as one permutation.
    slots: Vec<u8>,
}

/// What groups have to say of the newest base: in the directory of one that names it stands once
/// more what the base says of others. Should the base be damaged, that is left.
#[derive(Debug, Default)]
pub(super) struct Words {
    controls: Vec<Control>,
    unsaid: bool,
    /// The newest base of which an acknowledged group tells.
    told: (NodeId, u64),
}

impl Words {
    /// There are others, which nobody has told yet.
    pub(super) fn renew(&mut self, controls: impl IntoIterator<Item = Control>) {
        self.controls.clear();
        self.controls.extend(controls);
        self.unsaid = true;
    }
}

/// What a base says of others: the last group that is replaced, and the bases that count beside it.
pub(super) fn words_of_base(
    (node, through): Place,
    others: impl Iterator<Item = (NodeId, u64)>,
) -> Vec<Control> {
    let mut words = vec![Control::LogTrimmed { node, through }];
    for (of, number) in others {
        match words.last_mut() {
            Some(Control::Bases { node, last, .. }) if *node == of && *last + 1 == number => {
                *last = number;
            }
            _ => words.push(Control::Bases { node: of, first: number, last: number }),
        }
    }
    words
}

/// What of a stored write has to be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alive {
    /// Nothing.
    Nothing,
    /// The write as it stands there.
    Itself,
    /// That, and the expiry that this later commit has given it, or taken away with 0.
    WithExpiry(CommitId, u64),
}

impl Core {
    /// What is alive in all databases, and visible.
    pub fn live(&self) -> Census {
        let mut live = Census::default();
        self.databases.iter().for_each(|db| live += db.live_visible);
        // They are moved, too.
        live.bytes += self.interactive.outcomes.stored_bytes() as i64;
        live
    }

    /// The bytes of that.
    pub fn live_bytes(&self) -> u64 {
        u64::try_from(self.live().bytes).unwrap_or(0)
    }

    /// What is in the store.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The newest base that counts.
    pub fn base(&self) -> (NodeId, u64) {
        self.base
    }

    /// How many bytes the store may hold.
    pub fn allowed_bytes(&self, limits: &CompactionLimits) -> u64 {
        limits.allowed_bytes(self.live_bytes())
    }

    /// How many bytes of old objects a step takes. While it goes on they and what replaces
    /// them are both there, so they must be little beside all that there is; but not so little
    /// that a step takes longer for its round trips than for its bytes.
    pub fn step_bytes(&self, limits: &CompactionLimits) -> u64 {
        const SHARE: u64 = 64;
        let least = self.options.step_bytes_min;
        limits.step_bytes.min((self.allowed_bytes(limits) / SHARE).max(least))
    }

    /// How many bytes the store holds beyond that.
    pub fn compaction_debt_bytes(&self, limits: &CompactionLimits) -> u64 {
        self.ledger.bytes().saturating_sub(self.allowed_bytes(limits))
    }

    /// Compaction wants to know when the store is so large, and larger than it may be; true
    /// if it is.
    pub fn call_compaction_at(&mut self, limits: &CompactionLimits, bytes: u64) -> bool {
        let at = self.allowed_bytes(limits).max(bytes);
        let there = self.ledger.bytes() > at;
        self.compaction_called_at = (!there).then_some(at);
        there
    }

    /// Whether the store has become as large as compaction wanted to know: true once.
    #[inline]
    pub fn compaction_is_called(&mut self) -> bool {
        let bytes = self.ledger.bytes();
        self.compaction_called_at.take_if(|at| bytes > *at).is_some()
    }

    /// Whether a start would have to read too many groups, or to ask about too many logs.
    pub fn objects_are_too_many(&self, limits: &CompactionLimits) -> bool {
        /// A round adds a group for each of its bases, and some for a new log: they must not
        /// ask for the next round.
        const GROUPS_MIN: usize = 8;
        const GROUPS_PER_BASE: usize = 4;
        let count = self.ledger.count();
        let live = self.live_bytes();
        let more = |every: u64| usize::try_from(live / every).unwrap_or(usize::MAX);
        let own = GROUPS_MIN + GROUPS_PER_BASE * count.bases;
        let groups_max = limits.groups_max.max(own).max(more(GROUP_LIVE_BYTES));
        let logs_max = limits.logs_max.max(more(LOG_LIVE_BYTES));
        count.groups > groups_max || self.ledger.logs() > logs_max
    }

    /// What to compact next; `None` if nothing is there. `ahead`: the plan of the step before, where
    /// that doesn't count yet.
    ///
    /// Nothing of a log that is still open: its names are never free while somebody may
    /// have to find its end by creating in it. When only that is left, the log is to be
    /// closed first, and the node goes on with another. Nothing from `bad` on, either; and nothing
    /// behind the base that is ahead: a tombstone there may hide what that base holds.
    pub fn plan_compaction(
        &mut self,
        limits: &CompactionLimits,
        number: u64,
        bad: Option<ObjectName>,
        ahead: Option<&Plan>,
    ) -> Option<Plan> {
        let bytes_max = self.options.object_bytes_max / OBJECT_SHARE;
        let step_bytes = self.step_bytes(limits).min(bytes_max);
        let mut count = Count::default();
        let (mut bytes, mut blob_bytes, mut names) = (0, 0, Vec::new());
        let mut slots = ahead.map_or(&self.replaced_slots, |ahead| &ahead.slots).clone();
        let mut trimmed = ahead.map_or(self.ledger.trimmed(), |ahead| ahead.trimmed);
        let mut reaches_open_log = false;
        for held in self.ledger.current().skip(ahead.map_or(0, |ahead| ahead.names.len())) {
            // What is moved beside the object is not in the base, and takes room meanwhile.
            let beside = if self.options.blobs_move { held.blob_bytes } else { 0 };
            let too_large = !names.is_empty() && bytes + held.bytes > bytes_max;
            let moved = bytes + blob_bytes;
            let enough = names.len() >= STEP_OBJECTS_MIN || moved >= step_bytes.saturating_mul(2);
            if (moved >= step_bytes && enough) || too_large || bad == Some(held.name) {
                break;
            }
            if ahead.is_some_and(|ahead| held.place > ahead.place) {
                break;
            }
            if matches!(held.name, ObjectName::Log(node, _) if node == self.node) {
                reaches_open_log = true;
                break;
            }
            bytes += held.bytes;
            blob_bytes += beside;
            names.push((held.name, held.values_offset));
            if is_group(held) {
                count.groups += 1;
                trimmed = held.place;
            } else {
                count.bases += 1;
            }
            for &(one, other) in &held.swaps {
                slots.swap(usize::from(one), usize::from(other));
            }
        }
        if names.is_empty() && reaches_open_log {
            self.want_next_log();
        }
        (!names.is_empty()).then(|| Plan {
            names,
            count,
            bytes,
            base: (self.node, number),
            place: (self.node, self.acked - self.log_begins),
            trimmed,
            largest_commit: CommitId { time: self.last_commit_time, node: self.node },
            now_through_ms: self.now_through_acked_ms,
            slots,
        })
    }

    /// What the base has to say before everything else. The base that is ahead counts by then.
    pub fn base_controls(&self, plan: &Plan, ahead: Option<&Plan>) -> Vec<Write<'static>> {
        let replaced = plan.count.bases + ahead.map_or(0, |ahead| ahead.count.bases);
        let left = self.ledger.bases().skip(replaced).filter_map(|held| match held.name {
            ObjectName::Base(node, number) => Some((node, number)),
            _ => None,
        });
        let words = words_of_base(plan.trimmed, left.chain(ahead.map(|ahead| ahead.base)));
        let mut writes: Vec<_> = words.into_iter().map(Write::Control).collect();
        let swaps = swaps_to(&plan.slots);
        writes.extend(swaps.into_iter().map(|(one, other)| Write::Swap { one, other }));
        writes
    }

    /// Whether a put that stands in an object to be replaced is what everybody sees now.
    /// An older version that some snapshot still reads stays where it is: its object is
    /// deleted when that snapshot is gone.
    ///
    /// And its value, if that is in memory: it need not be read.
    pub fn put_is_alive(&self, slot: u8, key: &[u8], put: CommitId) -> (Alive, Option<Bytes>) {
        let Some(version) = self.visible_in_slot(slot, key) else {
            return (Alive::Nothing, None);
        };
        let alive = match &version.state {
            State::Tombstone => Alive::Nothing,
            State::Inherited(inherited) if inherited.put == put => {
                Alive::WithExpiry(version.commit, version.expires_ms)
            }
            _ if version.commit == put => Alive::Itself,
            _ => Alive::Nothing,
        };
        let value = match version.state.held() {
            State::Stored(place) if alive != Alive::Nothing => self.values.peek(place),
            _ => None,
        };
        (alive, value)
    }

    /// Whether a change of an expiry has to be moved by itself: it only shows that the value
    /// is lost. Any other goes with its value, which lies before it.
    pub fn expiry_is_alive(&self, slot: u8, key: &[u8], commit: CommitId) -> Alive {
        match self.visible_in_slot(slot, key) {
            Some(version) if version.commit == commit && version.state == State::Lost => {
                Alive::Itself
            }
            _ => Alive::Nothing,
        }
    }

    fn visible_in_slot(&self, slot: u8, key: &[u8]) -> Option<&super::Version> {
        let db = self.in_slot(slot)?;
        let entry = db.index.get(self.find(slot, key)?)?;
        entry.visible(&db.flushes, self.visible())
    }

    fn find(&self, slot: u8, key: &[u8]) -> Option<EntryId> {
        let db = self.in_slot(slot)?;
        db.index.find(db.index.hash(key), key)
    }

    /// A base is in the store. From now on its values can be read there.
    pub fn add_base(
        &mut self,
        plan: &Plan,
        bytes: u64,
        blob_bytes: u64,
        values_offset: u64,
    ) -> u32 {
        let name = ObjectName::Base(plan.base.0, plan.base.1);
        let (place, swaps) = (plan.place, Vec::new());
        self.ledger.push(Held { name, place, bytes, blob_bytes, values_offset, swaps })
    }

    /// A value has moved to a base.
    pub fn relocate(&mut self, slot: u8, key: &[u8], put: CommitId, place: StoredValue) {
        let Some(id) = self.find(slot, key) else {
            return;
        };
        let Some(db) = self.databases.get_mut(usize::from(slot)) else {
            return;
        };
        let held = db.index.get(id).into_iter().flat_map(Entry::versions);
        let old = held.filter_map(|version| match &version.state {
            State::Stored(at) if version.commit == put => Some(*at),
            State::Inherited(inherited) if inherited.put == put => match inherited.state {
                State::Stored(at) => Some(at),
                _ => None,
            },
            _ => None,
        });
        if let Some(old) = old.last() {
            self.values.moved(&old, &place);
        }
        db.index.relocate(id, put, place);
    }

    /// The base counts, and what it replaces does so no longer: every header says it from
    /// now on, and the next group all of `controls`. Where everybody reads only new places is the
    /// position that is returned.
    pub fn publish_base(
        &mut self,
        plan: &Plan,
        controls: &[Write<'_>],
        dead_blobs: &[BlobName],
    ) -> Position {
        self.ledger.replace(plan.count);
        dead_blobs.iter().for_each(|blob| self.ledger.blobs_mut().unname(blob));
        self.replaced_slots.clone_from(&plan.slots);
        self.base = plan.base;
        self.words.renew(controls.iter().filter_map(|write| match write {
            Write::Control(control) => Some(*control),
            _ => None,
        }));
        self.acked
    }

    /// Whether the newest base waits for a group that tells of it, and one could be sent.
    pub(super) fn base_is_unsaid(&self) -> bool {
        self.words.unsaid && self.health == Health::Serving
    }

    /// The group that is about to be sent tells of the newest base, unless one has done so.
    pub(super) fn tell_of_base(&mut self) {
        if !self.words.unsaid {
            return;
        }
        let id = self.draw_commit_id();
        let Some(group) = self.cut.iter_mut().find(|group| !group.sent) else { return };
        let before = group.builder.len();
        group.builder.begin_commit(&Commit { id, ..Commit::default() }, self.words.controls.len());
        for control in &self.words.controls {
            group.builder.write(&Write::Control(*control));
        }
        group.largest_commit = group.largest_commit.max(id);
        group.now_through_ms = group.now_through_ms.max(self.now.ms());
        group.tells_of = Some(self.base);
        self.pending_bytes += group.builder.len() - before;
        self.words.unsaid = false;
    }

    /// A group has met its fate.
    pub(super) fn base_is_told(&mut self, tells_of: Option<(NodeId, u64)>) {
        self.words.told = tells_of.unwrap_or(self.words.told);
    }

    /// A group has never happened.
    pub(super) fn base_is_not_told(&mut self, tells_of: Option<(NodeId, u64)>) {
        self.words.unsaid |= tells_of == Some(self.base);
    }

    /// Whether an acknowledged group tells of this base, or of one that came after it.
    pub fn tells_of_base(&self, base: (NodeId, u64)) -> bool {
        self.words.told >= base
    }

    /// Whether nobody reads older states than that of `position` any more.
    pub fn nobody_reads_before(&self, position: Position) -> bool {
        self.oldest_reader() >= position
    }

    /// What was replaced has been deleted.
    pub fn forget_replaced(&mut self, count: Count) {
        self.ledger.forget(count);
    }
}

fn is_group(held: &Held) -> bool {
    !matches!(held.name, ObjectName::Base(..))
}

/// The exchanges that lead from every number meaning its own slot to `slots`.
fn swaps_to(slots: &[u8]) -> Vec<(u8, u8)> {
    let mut now: Vec<u8> = (0..=u8::MAX).take(DATABASES_MAX).collect();
    let mut swaps = Vec::new();
    for (number, wanted) in slots.iter().enumerate() {
        let Some(other) = now.iter().position(|slot| slot == wanted) else { continue };
        if other != number {
            now.swap(number, other);
            swaps.push((number as u8, other as u8));
        }
    }
    swaps
}

#[cfg(test)]
mod tests;
