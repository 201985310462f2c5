//! The engine: transactions over a store of immutable objects.
//!
//! ```text
//!        reads                    writes
//!          |                        |
//!          v                        v
//!   visible state  <----  tip  <-- sequencer          one lock, never held across I/O
//!          ^                        |
//!          | acknowledged           | whole transactions, appended to
//!          |                        v
//!          +----- in order --- [ group ] [ group ] [ open group ]
//!                                 |         |
//!                                 v         v          several creates in flight
//!                              log/7/41   log/7/42     one object = one commit point
//! ```
//!
//! | module      | what                                                                    |
//! |-------------|-------------------------------------------------------------------------|
//! | [`version`] | versions, snapshots, and the rule which version a snapshot sees          |
//! | [`index`]   | every key and its versions                                               |
//! | [`writes`]  | what a transaction has written and not yet committed                     |
//! | [`interactive`] | transactions over many commands and connections                     |
//! | [`core`]    | the sequencer: tip, groups, visibility, falling back; no I/O, no clock   |
//! | [`gate`]    | a reply waits for the group it depends on                                |
//! | [`now`]     | the engine's one time                                                    |
//! | `flusher`   | brings groups to the store, several at a time, acknowledged in order     |
//! | `compactor` | moves what is alive out of old objects, so that they can go              |
//! | `sweep`     | deletes what nothing names                                               |
//! | [`lease`]   | who may answer, in time; no I/O, no clock                                |
//! | [`body`]    | large values in pieces, of which little has changed                      |
//! | `blob`      | values too large for a group, written before their commit                |
//! | `own_log`   | how the logs of this node begin and end                                  |
//! | `ownership` | who may write to a store that several machines can reach                 |
//! | `warm`      | what a start reads while it waits for the owner of a shared store to end |
//! | `recovery`  | reads bases and logs, closes those of earlier starts, begins a new one   |

pub mod core;
pub mod gate;
pub mod index;
pub mod interactive;
pub mod lease;
pub mod now;
pub mod version;
pub mod writes;

mod blob;
pub mod body;
mod compactor;
mod fetch;
mod flusher;
mod in_order;
mod own_log;
mod ownership;
mod read;
mod recovery;
mod sweep;
mod warm;

pub use blob::FetchFailed;
pub use compactor::CompactionReport;
pub use flusher::Stopped;
pub use ownership::Claim;
pub use recovery::{OpenError, Recovered};

use crate::clock::Clock;
use crate::layout::blob::CHUNK_BYTES;
use crate::layout::{NodeId, Start};
use crate::storage::resilient::ResilientStore;
use blob::LetGo;
use core::compaction::CompactionLimits;
use core::{Core, CoreOptions};
use gate::Outcome;
use lease::Lease;
use ownership::Ownership;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use recovery::Listed;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use warm::Warm;

/// What an engine is told about its surroundings and limits.
#[derive(Debug, Clone, Copy)]
pub struct EngineOptions {
    /// How many databases.
    pub databases: usize,
    /// A group is closed at this size in bytes.
    pub group_bytes_max: usize,
    /// Values from this size on go to blobs, in bytes.
    pub blob_bytes_min: usize,
    /// How much of a value each object of a blob holds, in bytes.
    pub blob_chunk_bytes: u32,
    /// How many groups may be on their way to the store at once.
    pub groups_in_flight_max: usize,
    /// How long a group may be under way before its clients are told that its fate is
    /// uncertain and new writes are refused.
    pub commit_deadline: Duration,
    /// How long it took to open the store, which is a part of the recovery.
    pub opening_took: Duration,
    /// How many objects recovery reads at once.
    pub recovery_reads_in_flight: usize,
    /// Recovery installs keys on `1 << recovery_share_bits` threads.
    pub recovery_share_bits: u32,
    /// How many expired keys are removed in one go.
    pub expired_keys_per_turn: usize,
    /// How long it is known what became of an interactive transaction.
    pub outcomes_keep: Duration,
    /// How many bytes of values that are in the store are kept in memory, too.
    pub cache_bytes: u64,
    /// What all data may take in memory, in bytes; 0 is no limit.
    pub memory_bytes_max: u64,
    /// When old objects are compacted.
    pub compaction: CompactionLimits,
}

impl EngineOptions {
    /// When old objects are compacted, unless it is said.
    pub const COMPACTION: CompactionLimits = CompactionLimits {
        store_percent_max: 180,
        store_bytes_min: 64 << 20,
        groups_max: 10_000,
        logs_max: 16,
        debt_percent_max: 5,
        step_bytes: 4 << 20,
    };
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            databases: 16,
            group_bytes_max: 4 << 20,
            blob_bytes_min: 4 << 20,
            blob_chunk_bytes: CHUNK_BYTES,
            groups_in_flight_max: 2,
            commit_deadline: Duration::from_secs(10),
            opening_took: Duration::ZERO,
            recovery_reads_in_flight: 64,
            recovery_share_bits: 1,
            expired_keys_per_turn: 200,
            outcomes_keep: Duration::from_secs(24 * 60 * 60),
            cache_bytes: 256 << 20,
            memory_bytes_max: 0,
            compaction: Self::COMPACTION,
        }
    }
}

/// A node's engine. See the module's picture.
pub struct Engine {
    core: Mutex<Core>,
    /// Something waits to be sent.
    work: Notify,
    /// Compaction has come further: who waits to write may look again.
    room: Notify,
    /// Somebody wants another log.
    next_log_wanted: Notify,
    /// It is there.
    next_log_begun: Notify,
    /// A log was closed, and may be compacted.
    rolled: Notify,
    /// The store is as large as compaction has waited for.
    compaction_called: Notify,
    /// Commands that have waited for compaction.
    pub delayed_writes: AtomicU64,
    store: Arc<ResilientStore>,
    clock: Arc<dyn Clock>,
    rng: Mutex<StdRng>,
    options: EngineOptions,
    commit_deadline_ms: AtomicU64,
    expired_keys_per_turn: AtomicUsize,
    outcomes_keep_ms: AtomicU64,
    /// Keys removed since their time was over, but for those that a start has removed.
    pub expired_keys: AtomicU64,
    compaction: Mutex<CompactionReport>,
    cache_bytes: AtomicU64,
    memory_bytes_max: AtomicU64,
    /// Something was found damaged at the start: nothing is deleted that nobody names.
    damaged: AtomicBool,
    compaction_limits: Mutex<CompactionLimits>,
    logged: bool,
    /// When this process began to recover, and how long it took: known when it has.
    start: OnceLock<Start>,
    /// Until this node has started.
    warm: Warm,
    /// How many pieces of blobs may be on their way to the store at once.
    chunk_turns: Semaphore,
    /// Blobs that nobody has committed.
    let_go: LetGo,
    /// On a shared store.
    ownership: Option<Ownership>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens a node on a store that no other process can have open: recovers what is there and
    /// begins a log of its own, which is acknowledged when this returns. [`Engine::run`] must run
    /// from then on.
    ///
    /// # Errors
    /// The store can't be used, or what it holds can't be read by this version.
    pub async fn open(
        store: Arc<ResilientStore>,
        clock: Arc<dyn Clock>,
        options: EngineOptions,
        rng: &mut impl Rng,
    ) -> Result<(Arc<Self>, Recovered), OpenError> {
        let engine = Self::new(store, clock, options, None, rng);
        let mut recovered = Recovered { took: options.opening_took, ..Recovered::default() };
        if engine.logged {
            recovered = recovery::recover(&engine, Listed::of(&engine).await?).await?;
        }
        engine.damaged.store(!recovered.damages.is_empty(), Ordering::Relaxed);
        Ok((engine, recovered))
    }

    /// The same on a store that others can reach, too: first it becomes the store's owner.
    ///
    /// # Errors
    /// As for [`Engine::open`], or another process owns the store.
    pub async fn open_shared(
        store: Arc<ResilientStore>,
        clock: Arc<dyn Clock>,
        options: EngineOptions,
        claim: Claim,
        rng: &mut impl Rng,
    ) -> Result<(Arc<Self>, Recovered), OpenError> {
        let ownership = Ownership::new(claim);
        let engine = Self::new(store, clock, options, Some(ownership), rng);
        if let Some(ownership) = &engine.ownership {
            let listed = ownership.take(&engine).await?;
            let recovery = recovery::recover(&engine, listed);
            let recovered = ownership.while_starting(&engine, recovery).await?;
            engine.warm.clear();
            engine.damaged.store(!recovered.damages.is_empty(), Ordering::Relaxed);
            return Ok((engine, recovered));
        }
        Ok((engine, Recovered::default()))
    }

    fn new(
        store: Arc<ResilientStore>,
        clock: Arc<dyn Clock>,
        options: EngineOptions,
        ownership: Option<Ownership>,
        rng: &mut impl Rng,
    ) -> Arc<Self> {
        /// Of the group that is as large as is useful: what follows from it is 256 KB on a disk
        /// and in DynamoDB, 1 MB in a Redis, 2 MB on S3.
        const STEP_SHARE: u64 = 4;
        let logged = store.limits().survives_process;
        let mut core = Core::new(CoreOptions {
            databases: options.databases,
            group_bytes_max: options.group_bytes_max,
            blob_bytes_min: options.blob_bytes_min,
            blob_chunk_bytes: options.blob_chunk_bytes,
            blobs_move: store.limits().frees_in_order,
            step_bytes_min: store.limits().group_bytes_useful as u64 / STEP_SHARE,
            object_bytes_max: store.limits().object_bytes_max,
            logged,
            hash_seed: rng.random(),
            cache_bytes: options.cache_bytes,
        });
        core.set_space(options.cache_bytes, options.memory_bytes_max);
        core.advance(clock.wall_ms(), clock.monotonic());
        if let Some(claim) = ownership.as_ref().map(Ownership::claim) {
            core.begin_lease(Lease::begin(claim.lease, clock.monotonic()), claim.stale_reads);
        }
        // Groups need the other half.
        let chunk_turns = Semaphore::new((store.limits().creates_in_flight / 2).max(1));
        Arc::new(Self {
            core: Mutex::new(core),
            work: Notify::new(),
            room: Notify::new(),
            next_log_wanted: Notify::new(),
            next_log_begun: Notify::new(),
            rolled: Notify::new(),
            compaction_called: Notify::new(),
            delayed_writes: AtomicU64::new(0),
            store,
            clock,
            rng: Mutex::new(StdRng::from_rng(rng)),
            options,
            commit_deadline_ms: AtomicU64::new(options.commit_deadline.as_millis() as u64),
            expired_keys_per_turn: AtomicUsize::new(options.expired_keys_per_turn),
            outcomes_keep_ms: AtomicU64::new(options.outcomes_keep.as_millis() as u64),
            expired_keys: AtomicU64::new(0),
            compaction: Mutex::default(),
            cache_bytes: AtomicU64::new(options.cache_bytes),
            memory_bytes_max: AtomicU64::new(options.memory_bytes_max),
            damaged: AtomicBool::new(false),
            compaction_limits: Mutex::new(options.compaction),
            logged,
            start: OnceLock::new(),
            warm: Warm::default(),
            chunk_turns,
            let_go: LetGo::default(),
            ownership,
        })
    }

    /// Brings groups to the store, reaps expired keys and compacts until the node has to stop.
    pub async fn run(&self) -> Stopped {
        tokio::select! {
            // Not by chance: a seed of the simulation replays exactly.
            biased;
            stopped = flusher::run(self) => stopped,
            stopped = own_log::run(self), if self.logged => stopped,
            never = self.reap_for_ever() => never,
            never = compactor::run(self), if self.logged => never,
            never = sweep::run(self), if self.logged => never,
            never = self.delete_let_go(), if self.logged => never,
            never = ownership::show_life(self), if self.ownership.is_some() => never,
        }
    }

    /// Changes what can be changed while it runs; see [`EngineOptions`] and
    /// [`RetryPolicy::read_deadline`](crate::storage::resilient::RetryPolicy::read_deadline).
    pub fn adjust(&self, commit: Duration, read: Duration, expired_keys_per_turn: usize) {
        self.commit_deadline_ms.store(commit.as_millis() as u64, Ordering::Relaxed);
        self.expired_keys_per_turn.store(expired_keys_per_turn, Ordering::Relaxed);
        self.store.set_read_deadline(read);
    }

    /// Changes how long it is known what became of interactive transactions.
    pub fn adjust_outcomes(&self, keep: Duration) {
        self.outcomes_keep_ms.store(keep.as_millis() as u64, Ordering::Relaxed);
    }

    fn outcomes_keep(&self) -> Duration {
        Duration::from_millis(self.outcomes_keep_ms.load(Ordering::Relaxed))
    }

    fn commit_deadline(&self) -> Duration {
        Duration::from_millis(self.commit_deadline_ms.load(Ordering::Relaxed))
    }

    /// Runs `work` on the state, at the present time, and sees to it that what it leaves
    /// to be sent is sent.
    #[inline]
    pub fn with_core<R>(&self, work: impl FnOnce(&mut Core) -> R) -> R {
        let (result, unsent) = {
            // The state is whole between two calls; a panic in a command leaves it so.
            let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
            core.advance(self.clock.wall_ms(), self.clock.monotonic());
            (work(&mut core), core.has_unsent())
        };
        if unsent {
            self.work.notify_one();
        }
        result
    }

    /// When old objects are compacted.
    pub fn compaction_limits(&self) -> CompactionLimits {
        *self.compaction_limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes how much is kept in memory, and when old objects are compacted. It may be
    /// called by who holds the state, which is told of it soon.
    pub fn adjust_space(&self, cache_bytes: u64, memory_bytes_max: u64, limits: CompactionLimits) {
        *self.compaction_limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
        self.cache_bytes.store(cache_bytes, Ordering::Relaxed);
        self.memory_bytes_max.store(memory_bytes_max, Ordering::Relaxed);
    }

    /// Resolves when compaction is so far that a write may go on; within a second at the latest.
    pub async fn room_to_write(&self) {
        const WAIT_MAX: Duration = Duration::from_secs(1);
        self.delayed_writes.fetch_add(1, Ordering::Relaxed);
        let room = async {
            loop {
                let made = self.room.notified();
                if !self.with_core(|core| core.writes_must_wait()) {
                    return;
                }
                made.await;
            }
        };
        // In time or not, it is its turn.
        let _ = tokio::time::timeout(WAIT_MAX, room).await;
    }

    /// Compaction has gone through so many bytes more, or has nothing to do.
    fn pace_writes(&self, gone_through: Option<u64>) {
        let limits = self.compaction_limits();
        self.with_core(|core| match gone_through {
            Some(bytes) => core.pace_writes(&limits, bytes),
            None => core.let_writes_go(),
        });
        self.room.notify_waiters();
    }

    /// What compaction has done since the start.
    pub fn compaction(&self) -> CompactionReport {
        self.compaction.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until everything sequenced so far has met its fate; `false` if that is not
    /// known of some of it, because the store doesn't answer.
    pub async fn drain(&self) -> bool {
        while let Some(gate) = self.with_core(|core| core.gate(core.newest_pending())) {
            if poll_fn(|context| gate.poll(context)).await == Outcome::Uncertain {
                return false;
            }
        }
        true
    }

    /// Makes sure that the store is ours.
    async fn renew(&self, node: NodeId) -> Result<(), OpenError> {
        match &self.ownership {
            Some(ownership) => ownership.renew(self, node).await,
            None => Ok(()),
        }
    }

    /// Whether what logs of earlier starts hold may be deleted.
    fn may_delete(&self) -> bool {
        let now = self.clock.monotonic();
        self.ownership.as_ref().is_none_or(|ownership| ownership.may_delete(now))
    }

    fn nonce(&self) -> u128 {
        self.random()
    }

    /// Bits that nobody can guess, if the engine was given such a generator.
    pub fn random(&self) -> u128 {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).random()
    }

    /// How the store was used.
    pub fn store(&self) -> &ResilientStore {
        &self.store
    }

    async fn reap_for_ever(&self) -> Stopped {
        /// Between two looks for expired keys, which nobody can read any more anyway.
        const REAP_EVERY: Duration = Duration::from_millis(100);
        /// Some hundred microseconds of work.
        const ABORTED_PER_TURN: usize = 100;
        loop {
            tokio::time::sleep(REAP_EVERY).await;
            let cache_bytes = self.cache_bytes.load(Ordering::Relaxed);
            let memory_bytes_max = self.memory_bytes_max.load(Ordering::Relaxed);
            self.with_core(|core| core.set_space(cache_bytes, memory_bytes_max));
            let keep = self.outcomes_keep();
            while self.with_core(|core| core.tidy_interactive(keep, ABORTED_PER_TURN)) {
                tokio::task::yield_now().await;
            }
            loop {
                let limit = self.expired_keys_per_turn.load(Ordering::Relaxed);
                let reaped = self.with_core(|core| core.reap(limit));
                self.expired_keys.fetch_add(reaped.keys as u64, Ordering::Relaxed);
                if !reaped.more {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    }
}
