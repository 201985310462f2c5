//! The sequencer: databases, the tip, and the groups on their way to the store.
//!
//! A plain struct without I/O, threads or clocks; the engine around it holds it behind
//! one lock and passes the time in.
//!
//! ```text
//!   positions:   1 ........ 7 | 8      9      10  | 11
//!                acknowledged | sent   sent   cut | open
//!                ------------   --------------------------
//!                visible state  seen on the tip only
//! ```
//! A transaction is validated on the tip, draws a commit id and is appended whole to the
//! open group; its versions are in the index at once, at that group's position. When the
//! store has acknowledged a group, the visible position moves past it: all of the group
//! becomes visible at one instant, and what it superseded goes. When a group is given
//! up, the tip falls back: its versions are taken out again.

pub mod blobs;
mod census;
mod commits;
pub mod compaction;
mod groups;
pub mod interactive;
mod leased;
pub mod ledger;
mod look_ahead;
mod memory;
mod pace;
mod pins;
mod readers;
mod recovered;
mod swaps;
mod values;

use super::blob::Blob;
use super::gate::Gate;
use super::index::{Entry, EntryId, Index, Share, hash_key};
use super::interactive::{Outcomes, Refusals, Registry};
use super::now::Now;
use super::version::{Flush, Position, RECOVERED, Snapshot, State, Version};
pub use census::Census;
pub use look_ahead::LookAhead;
pub use pins::Pin;
pub use readers::Reaped;
pub use recovered::{Recovering, Said, What};
pub use values::{Fetched, Located, Missing};

use crate::layout::header::HEADER_BYTES_MAX;
use crate::layout::{CommitId, GroupBuilder, NodeId};
use crate::small_bytes::SmallKey;
use interactive::Interactive;
use ledger::Ledger;
use pins::{Pins, WatchedKeys};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use swaps::Slots;
use values::{Placed, Values};

/// How many databases there can be: their numbers stand in a byte of the format.
pub const DATABASES_MAX: usize = 255;

/// One database: its keys, and what is known about all of them.
#[derive(Debug)]
pub struct Database {
    index: Index,
    /// Not yet carried out on every entry; newest first.
    flushes: Vec<Flush>,
    /// Keys alive on the tip; expired ones count until they are reaped, as in Redis.
    live_tip: Census,
    live_visible: Census,
    /// Keys that were reaped since the start.
    reaped: u64,
    /// Where it was last written.
    written: Position,
}

impl Database {
    fn new(seed: u64) -> Self {
        Self::of_share(seed, 0)
    }

    /// For keys whose hashes have their first `share_bits` in common.
    fn of_share(seed: u64, share_bits: u32) -> Self {
        Self {
            index: Index::of_share(seed, share_bits),
            flushes: Vec::new(),
            live_tip: Census::default(),
            live_visible: Census::default(),
            reaped: 0,
            written: RECOVERED,
        }
    }

    /// Takes in the keys of the next share.
    fn append(&mut self, next: Self, share: Share) {
        self.index.append(next.index, share);
        self.live_tip += next.live_tip;
    }

    /// The keys.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The newest version of an entry on the tip, if it is alive and no flush has buried it.
    fn census_on_tip(&self, entry: &Entry) -> Census {
        let newest = entry.newest().commit;
        if self.flushes.iter().any(|f| f.commit > newest) {
            return Census::default();
        }
        Census::of_newest(entry)
    }

    /// Carries a flush out on an entry that must stay: what it buried is a tombstone now.
    /// A key that had expired before is none of the flush's doing, so it keeps its commit.
    fn bury(&mut self, id: EntryId) {
        let Some(newest) = self.index.get(id).map(Entry::newest) else {
            return;
        };
        if !newest.state.is_alive() {
            return;
        }
        let (before, burier) = (newest.commit, self.burier(newest, Position::MAX));
        if let Some(Flush { commit, position }) = burier {
            let tombstone = Version { commit, position, expires_ms: 0, state: State::Tombstone };
            self.index.replace(id, tombstone, false);
        } else {
            self.index.fill(id, before, State::Tombstone);
        }
    }

    /// The flush up to a position that ended the life of a key's newest version: the first one
    /// behind it, unless it was dead by then.
    fn burier(&self, newest: &Version, position: Position) -> Option<Flush> {
        let mut flushes = self.flushes.iter().rev();
        let first = flushes.find(|f| f.commit > newest.commit && f.position <= position)?;
        let expired = newest.is_expired(first.commit.time >> CommitId::COUNTER_BITS);
        (newest.state.is_alive() && !expired).then_some(*first)
    }

    /// Puts a version on top of a key's versions. A tombstone that nobody needs takes the
    /// entry away instead; then there is none.
    fn put_version(
        &mut self,
        found: Option<EntryId>,
        hash: u64,
        key: SmallKey,
        version: Version,
        keep: Keep,
    ) -> Option<EntryId> {
        match found {
            Some(id) if !keep.tombstones && !version.state.is_alive() => {
                self.index.remove(id);
                None
            }
            // A key that never was leaves no tombstone.
            None if !keep.tombstones && !version.state.is_alive() => None,
            Some(id) => {
                self.index.replace(id, version, keep.versions);
                Some(id)
            }
            None => Some(self.index.insert(hash, key, version)),
        }
    }
}

/// What somebody may still need when a newer version comes.
#[derive(Debug, Clone, Copy)]
struct Keep {
    /// The version that it hides.
    versions: bool,
    /// The newer version itself, if it is a tombstone.
    tombstones: bool,
}

/// A group between its first transaction and its fate.
#[derive(Debug, Default)]
struct PendingGroup {
    builder: GroupBuilder,
    gate: Arc<Gate>,
    /// By slot.
    touched: Vec<(u8, EntryId)>,
    /// How many keys it makes alive (or dead), by slot.
    live_delta: BTreeMap<u8, Census>,
    /// Values that are too large for the directory.
    placed: Vec<Placed>,
    /// Values of it that are in the store already: it names them.
    blobs: Vec<Arc<Blob>>,
    /// Swaps of databases, in order.
    swaps: Vec<(u8, u8)>,
    largest_commit: CommitId,
    now_through_ms: u64,
    /// A reply waits for it although no transaction is in it.
    wanted: bool,
    /// The base of which its directory tells, once it is sent.
    tells_of: Option<(NodeId, u64)>,
    /// Bytes of its directory and values, once it is sent.
    bytes: usize,
    /// Where the values begin in the object, and how long that is, once it is sent.
    extent: (u64, u64),
    sent: bool,
    /// When, by the monotonic time.
    sent_at: Duration,
}

impl PendingGroup {
    /// Notes where among the values one of a version is.
    fn place(&mut self, slot: u8, id: EntryId, commit: CommitId, at: (u64, u64, u32)) {
        let (offset, length, crc) = at;
        let (Ok(offset), Ok(length)) = (u32::try_from(offset), u32::try_from(length)) else {
            return; // It stays in memory: no object is that large.
        };
        // What was written to the key before, in this group, is hidden for good.
        self.placed.push(Placed { slot, id, commit, offset, length, crc });
    }
}

/// A group on its way to the store.
#[derive(Debug)]
pub struct Departure {
    /// When: the monotonic time.
    pub sent_at: Duration,
    /// Its position.
    pub position: Position,
    /// Its number in the log of `node`.
    pub seq: u64,
    /// Whose log.
    pub node: NodeId,
    /// Directory and values.
    pub builder: GroupBuilder,
    /// The largest commit id up to here.
    pub largest_commit: CommitId,
    /// What its header says of acknowledged groups.
    pub acked_through: u64,
    /// What its header says of time.
    pub now_through_ms: u64,
    /// The commit time of the oldest open snapshot; 0 where none is.
    pub oldest_snapshot: u64,
    /// The newest base that counts.
    pub base: (NodeId, u64),
}

/// Whether the node takes writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Serving,
    /// The store doesn't answer: no new writes until it does; reads go on.
    Refusing(String),
    /// Somebody else has closed this node's log: it must stop.
    Fenced(String),
}

/// Why a transaction was not appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub String);

/// What the sequencer is told about its surroundings.
#[derive(Debug, Clone, Copy)]
pub struct CoreOptions {
    /// How many databases, at most [`DATABASES_MAX`].
    pub databases: usize,
    /// A group is closed at this size in bytes, and the next one begun.
    pub group_bytes_max: usize,
    /// The largest object that the store takes, in bytes; what of a transaction is in no blob
    /// may not be larger.
    pub object_bytes_max: u64,
    /// Values from this size on go to blobs, in bytes.
    pub blob_bytes_min: usize,
    /// How much of a value each object of a blob holds, in bytes.
    pub blob_chunk_bytes: u32,
    /// Whether compaction moves blobs as it moves other values.
    pub blobs_move: bool,
    /// A step of compaction takes so many bytes at the least.
    pub step_bytes_min: u64,
    /// Whether transactions are written to a log. If not, each is acknowledged at once.
    pub logged: bool,
    /// Keeps clients from choosing keys that collide.
    pub hash_seed: u64,
    /// How many bytes of values that are in the store are kept in memory, too.
    pub cache_bytes: u64,
}

/// The state of a node. See the module's picture.
#[derive(Debug)]
pub struct Core {
    /// By slot.
    databases: Vec<Database>,
    slots: Slots,
    options: CoreOptions,
    node: NodeId,
    /// The one that this process began with.
    first_node: NodeId,
    now: Now,
    last_commit_time: u64,
    /// Groups up to here are visible.
    acked: Position,
    /// The position before the first group of this node's log.
    log_begins: Position,
    /// Behind `acked`, in order, the sent ones first.
    cut: VecDeque<PendingGroup>,
    open: PendingGroup,
    /// Bytes in `cut` and `open`.
    pending_bytes: usize,
    /// Snapshots: they read old versions.
    pins: Pins,
    /// Watched keys: nobody reads their old versions, but it must be possible to tell that
    /// one came and went, so their tombstones and expired versions stay.
    watched: WatchedKeys,
    /// Entries to look at again when a snapshot goes.
    deferred: BTreeSet<(u8, EntryId)>,
    /// The database whose expired keys were removed first, last time.
    reaps_first: usize,
    /// Expiries up to here are known to a restart.
    now_through_acked_ms: u64,
    health: Health,
    /// Nothing is sent any more: the log is about to be sealed.
    closed: bool,
    next_log: groups::NextLog,
    /// Logs of this process that have ended, and where, until a group that says so is
    /// acknowledged.
    ended: Vec<(NodeId, u64)>,
    /// For keys by chance.
    rng: StdRng,
    /// What is in the store.
    ledger: Ledger,
    /// The newest base that counts; `(0, 0)` is none.
    base: (NodeId, u64),
    words: compaction::Words,
    /// The swaps in all that has been replaced, as one permutation of slots.
    replaced_slots: Vec<u8>,
    values: Values,
    /// The number of the next blob.
    next_blob: u64,
    interactive: Interactive,
    pace: pace::Pace,
    /// The size in bytes that compaction waits for.
    compaction_called_at: Option<u64>,
    /// What cached values may take, if that is there.
    cache_bytes: u64,
    /// What all data may take; 0 is no limit.
    memory_bytes_max: u64,
    /// On a shared store.
    lease: Option<leased::Terms>,
}

impl Core {
    /// An empty state.
    pub fn new(mut options: CoreOptions) -> Self {
        let group_bytes_max = options.object_bytes_max / compaction::OBJECT_SHARE;
        options.group_bytes_max =
            options.group_bytes_max.min(usize::try_from(group_bytes_max).unwrap_or(usize::MAX));
        options.blob_bytes_min = options.blob_bytes_min.min(options.group_bytes_max).max(1);
        let chunk_bytes = u32::try_from(group_bytes_max).unwrap_or(u32::MAX);
        options.blob_chunk_bytes = options.blob_chunk_bytes.min(chunk_bytes).max(1);
        let databases = options.databases.min(DATABASES_MAX) as u8;
        Self {
            databases: (0..databases).map(|_| Database::new(options.hash_seed)).collect(),
            slots: Slots::new(databases),
            options,
            node: 0,
            first_node: 0,
            now: Now::new(0),
            last_commit_time: 0,
            acked: RECOVERED,
            log_begins: RECOVERED,
            cut: VecDeque::new(),
            open: PendingGroup::default(),
            pending_bytes: 0,
            pins: Pins::default(),
            watched: WatchedKeys::default(),
            deferred: BTreeSet::new(),
            reaps_first: 0,
            now_through_acked_ms: 0,
            health: Health::Serving,
            closed: false,
            next_log: groups::NextLog::default(),
            ended: Vec::new(),
            rng: StdRng::seed_from_u64(options.hash_seed),
            ledger: Ledger::default(),
            base: (0, 0),
            words: compaction::Words::default(),
            replaced_slots: (0..=u8::MAX).collect(),
            values: Values::new(options.cache_bytes, options.hash_seed),
            next_blob: 1,
            interactive: Interactive {
                registry: Registry::new(options.hash_seed),
                outcomes: Outcomes::new(options.hash_seed),
                refusals: Refusals::new(options.hash_seed),
            },
            pace: pace::Pace::default(),
            compaction_called_at: None,
            cache_bytes: options.cache_bytes,
            memory_bytes_max: 0,
            lease: None,
        }
    }

    /// Moves the engine's time on.
    #[inline]
    pub fn advance(&mut self, wall_ms: u64, monotonic: Duration) {
        self.now.advance(wall_ms, monotonic);
    }

    /// The engine's time in milliseconds since the Unix epoch.
    #[inline]
    pub fn now_ms(&self) -> u64 {
        self.now.ms()
    }

    /// The monotonic time at which whoever holds it now took it.
    #[inline]
    pub fn monotonic(&self) -> Duration {
        self.now.monotonic()
    }

    /// The hash of a key, in every database the same.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        hash_key(self.options.hash_seed, key)
    }

    /// What is acknowledged, now.
    #[inline]
    pub fn visible(&self) -> Snapshot {
        Snapshot { position: self.acked, now_ms: self.now.ms() }
    }

    /// What is sequenced, now.
    #[inline]
    pub fn tip(&self) -> Snapshot {
        Snapshot { position: Snapshot::TIP, now_ms: self.now.ms() }
    }

    /// What a single transaction may take in a group, in bytes, beside values in blobs.
    pub fn transaction_bytes_max(&self) -> usize {
        let largest = self.options.object_bytes_max.saturating_sub(HEADER_BYTES_MAX as u64);
        usize::try_from(largest).unwrap_or(usize::MAX)
    }

    /// Whether the node takes writes.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Why the node takes no writes, if it doesn't.
    pub fn takes_no_writes(&self) -> Option<String> {
        match &self.health {
            Health::Serving => None,
            Health::Refusing(why) | Health::Fenced(why) => Some(why.clone()),
        }
    }

    /// Bytes sequenced and not yet acknowledged.
    pub fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Whether everything sequenced is acknowledged: no group is under way either that holds
    /// nothing but a time, and whose fate nobody may know.
    pub fn is_drained(&self) -> bool {
        self.pending_bytes == 0 && self.cut.is_empty()
    }

    /// Expiries up to this time are known to a restart.
    #[inline]
    pub fn now_through_acked_ms(&self) -> u64 {
        if self.options.logged { self.now_through_acked_ms } else { u64::MAX }
    }

    /// The version of a key that a snapshot holds, dead or alive.
    #[inline]
    pub fn read(
        &self,
        database: u8,
        hash: u64,
        key: &[u8],
        snapshot: Snapshot,
    ) -> Option<&Version> {
        let database = self.database(database, snapshot)?;
        let entry = database.index.get(database.index.find(hash, key)?)?;
        entry.visible(&database.flushes, snapshot)
    }

    /// The newest version of a key of a slot in a snapshot, even one that a flush has buried;
    /// the commit that changed the key last, which may be that flush's, whether or not it is
    /// carried out; and whether the key is alive there. The last two are what WATCH compares.
    pub fn newest(
        &self,
        slot: u8,
        hash: u64,
        key: &[u8],
        snapshot: Snapshot,
    ) -> Option<(&Version, CommitId, bool)> {
        let db = self.in_slot(slot)?;
        let entry = db.index.get(db.index.find(hash, key)?)?;
        let newest = entry.versions().find(|version| version.position <= snapshot.position)?;
        let alive = entry.visible(&db.flushes, snapshot).is_some_and(|version| {
            version.state.is_alive() && !version.is_expired(snapshot.now_ms)
        });
        let burier = db.burier(newest, snapshot.position);
        Some((newest, burier.map_or(newest.commit, |flush| flush.commit), alive))
    }

    /// The gate of the group at `position`, if its fate isn't known.
    pub fn gate(&self, position: Position) -> Option<Arc<Gate>> {
        if position <= self.acked {
            return None;
        }
        let group = self.cut.get((position - self.acked - 1) as usize).unwrap_or(&self.open);
        Some(Arc::clone(&group.gate))
    }

    /// The gate of the oldest group whose fate clients wait for.
    pub fn oldest_pending(&self) -> Option<Arc<Gate>> {
        let oldest = self.cut.front().unwrap_or(&self.open);
        (oldest.gate.outcome() == super::gate::Outcome::Pending).then(|| Arc::clone(&oldest.gate))
    }

    /// The newest position that a transaction has gone to.
    pub fn newest_pending(&self) -> Position {
        let open = self.open_position();
        if self.open_is_wanted() { open } else { open - 1 }
    }

    /// Where a transaction that commits now would go.
    #[inline]
    pub fn open_position(&self) -> Position {
        self.acked + self.cut.len() as u64 + 1
    }

    /// Asks for a group even if no transaction comes: a reply depends on the time in its header.
    pub fn want_group(&mut self) -> Position {
        self.open.wanted = true;
        self.open.now_through_ms = self.now.ms();
        self.open_position()
    }
}
