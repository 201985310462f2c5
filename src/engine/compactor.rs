//! Compaction: what is alive moves out of old objects, and they go.
//!
//! Step by step, each of them safe to stop behind any of its parts:
//!
//! 1. The oldest objects are chosen, and the place of the new base is noted. It is the
//!    newest visible group: whatever is deleted later has its tombstone behind that place.
//! 2. They are read, and what everybody sees now of what they hold is written into a base,
//!    under its own commit ids. Before that is in the store nothing refers to it: whoever
//!    stops here leaves an object that no header names, and the next start deletes it.
//! 3. Values that moved are read in the base from now on.
//! 4. Every header names the base from now on; the next group brings one, with the
//!    same words in its directory. Until that is acknowledged the old objects are whole,
//!    and a start may find either: the base, or what it replaces. So nothing is deleted
//!    before; a start that found neither would have lost acknowledged data.
//! 5. When nobody reads a state from before step 3, the old objects are deleted. A reader
//!    on his way to one of them asks the index again ([`Engine::fetch`]).
//!
//! On a store that is slow each part takes its round trips, so several steps are under way where
//! there is a debt: while one base is being created, what the next one takes is read, and what
//! those before have replaced is deleted. Bases are created and published one after the other:
//!
//! ```text
//!   step 1   | read      | create base | publish | a group tells of it | delete
//!   step 2               | read        | create base       | publish | ...
//! ```
//! - A base is created when the one before is in the store: its words count that one. A start that
//!   found it alone, behind a damaged header, would miss all that is alive in the other.
//! - A step takes nothing that became visible after the step before had noted its place
//!   ([`Core::plan_compaction`]): a tombstone there may hide what that one moves, and would go
//!   before it.
//! - Where a step fails what was read for the next is dropped: its words would be wrong.
//!
//! Large values in blobs stay where they are: the base names those that are alive, the others go
//! with the objects that named them. Where the store gives space back oldest first they are moved, too.
//! They are in the store before the base that names them.
//!
//! Why nothing comes back, see [`ledger`](super::core::ledger).

mod collect;

use super::Engine;
use super::core::Core;
use super::core::compaction::{CompactionLimits, Plan};
use super::core::ledger::Count;
use super::recovery::OpenError;
use super::sweep::DELETE_NAMES_MAX;
use super::version::{Position, StoredValue};
use crate::layout::{BlobName, FormatError, GroupBuilder, Header, Kind, NodeId, ObjectName, Write};
use crate::storage::resilient::Decided;
use collect::{Collection, Moved, MovedTo, collect};
use std::collections::VecDeque;
use std::fmt;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often it is asked whether something is to be done, unless writes ask before.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Between two rounds under steady writes, and between two looks for what is on its way.
const LOOK_SOON: Duration = Duration::from_millis(1);

/// What a step leaves beside its base, in bytes, at most: the group that announces it; and
/// what a log does that was closed for a round.
const STEP_BYTES: u64 = 1 << 10;

/// The pause after a step that failed.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A share of what the store may take, at which compaction doesn't wait any more.
const PRESSING_SHARE: u64 = 32;

/// Writes that are looked up in one go, while commands wait: some tens of microseconds.
const SLICE_WRITES: usize = 64;

/// What compaction has done since the start.
#[derive(Debug, Default, Clone)]
pub struct CompactionReport {
    /// Bases written.
    pub bases: u64,
    /// Objects replaced.
    pub objects: u64,
    /// Bytes of bases written.
    pub bytes_written: u64,
    /// Why the last step failed; empty if it didn't.
    pub failure: String,
}

/// An object that can't be read.
#[derive(Debug, Clone)]
struct Damage {
    object: ObjectName,
    error: FormatError,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, error } = self;
        write!(f, "{object}: {error}: it and all behind it are left as they are")
    }
}

/// Why a step could not be finished; nothing is lost by that.
#[derive(Debug)]
enum Failed {
    /// What it should have moved can't be read.
    Damaged(Damage),
    Store(String),
}

impl Failed {
    fn damaged(object: ObjectName, error: FormatError) -> Self {
        Self::Damaged(Damage { object, error })
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(found) => found.fmt(f),
            Self::Store(why) => f.write_str(why),
        }
    }
}

impl From<OpenError> for Failed {
    fn from(error: OpenError) -> Self {
        Self::Store(error.to_string())
    }
}

/// Objects that have been replaced and wait for a group that tells of it, and for their last
/// readers.
struct Replaced {
    /// What stands for them.
    base: (NodeId, u64),
    count: Count,
    names: Vec<String>,
    /// Blobs that they alone have named.
    dead_blobs: Vec<BlobName>,
    /// Their size in bytes, with that of all blobs that they name.
    bytes: u64,
    /// The size of the base, with that of the blobs it names, in bytes.
    base_bytes: u64,
    /// Readers of older states may still need them.
    since: Position,
    /// Nobody finds the way to them any more.
    forgotten: bool,
}

/// The steps under way.
#[derive(Default)]
struct Steps {
    /// The number of the newest base that was planned.
    number: u64,
    /// What the next base is made of, read while the one before was created.
    read: Option<Result<Read, Failed>>,
    replaced: VecDeque<Replaced>,
    /// What can't be read, until the next start: it and all behind it are left alone.
    damage: Option<Damage>,
}

/// Compacts for ever.
pub(super) async fn run(engine: &Engine) -> ! {
    let mut steps = Steps::default();
    // It does not get smaller than that.
    let mut floor = Floor::default();
    let mut prospect = Prospect::default();
    let mut round = None;
    // At once for the first time: a process that never lives long leaves a log each time.
    let mut wait = Duration::ZERO;
    loop {
        delete_replaced(engine, &mut steps.replaced).await;
        wait_for_debt(engine, wait, floor.due_at()).await;
        wait = LOOK_EVERY;
        if !is_due(engine, floor, prospect) {
            engine.pace_writes(None);
            round = None;
            continue;
        }
        let whole = engine.with_core(|core| core.ledger().bytes());
        let at = round.get_or_insert(Round { whole, ..Round::default() });
        steps.pace_writes(engine, Some(0));
        while steps.read.is_some() || is_due(engine, floor, prospect) {
            let began = engine.clock.monotonic();
            let step = steps.take_one(engine, at.left(), floor).await;
            steps.note(engine, &step);
            let gone_through = |done: &Option<Replaced>| done.as_ref().map_or(0, |d| d.bytes);
            steps.pace_writes(engine, step.as_ref().ok().map(gone_through));
            match step {
                Ok(Some(done)) => {
                    at.replaced += done.bytes;
                    at.bases += done.base_bytes + STEP_BYTES;
                    prospect = Prospect::after(engine, &done);
                    steps.replaced.push_back(done);
                }
                // The log has to be closed first: the round goes on as soon as it is.
                Ok(None) => {
                    engine.ask_for_next_log();
                    let _ = tokio::time::timeout(LOOK_EVERY, engine.rolled.notified()).await;
                    wait = Duration::ZERO;
                    break;
                }
                Err(Failed::Damaged(_)) => {} // What lies before it can go all the same.
                Err(Failed::Store(_)) => tokio::time::sleep(RETRY_AFTER).await,
            }
            if steps.read.is_some() {
                continue;
            }
            if at.left() == 0 {
                // Where an eighth or more was dead, moving helps, and the next round will.
                // The group that says so counts as well: it would ask for the next round.
                steps.told(engine).await;
                delete_replaced(engine, &mut steps.replaced).await;
                let helps = at.bases + STEP_BYTES < at.replaced / 8 * 7;
                floor = if helps { Floor::default() } else { Floor::now(engine) };
                round = None;
                // Who writes fast doesn't wait for us.
                wait = LOOK_SOON;
                break;
            }
            pace(engine, began).await;
        }
    }
}

/// How far it is until everything has been moved once, in bytes.
#[derive(Debug, Default)]
struct Round {
    /// What there was when it began.
    whole: u64,
    /// What has been replaced since.
    replaced: u64,
    /// What stands for that.
    bases: u64,
}

impl Round {
    /// How much of it is left, in bytes.
    fn left(&self) -> u64 {
        (self.whole + 1).saturating_sub(self.replaced)
    }
}

/// What everything took when all had been moved, and how much of that was alive.
#[derive(Debug, Default, Clone, Copy)]
struct Floor {
    bytes: u64,
    live_bytes: u64,
}

impl Floor {
    /// How large everything has to be for another round to help.
    fn due_at(self) -> u64 {
        self.bytes + self.bytes / 4
    }

    fn now(engine: &Engine) -> Self {
        engine
            .with_core(|core| Self { bytes: core.ledger().bytes(), live_bytes: core.live_bytes() })
    }
}

/// What the oldest objects are likely to hold. Where that is next to nothing (keys that are
/// overwritten in about the order in which they were written, say), it is worth replacing
/// them before the store holds too much: it costs no more than later, and until then it
/// would only take space, and the time of a start.
#[derive(Debug, Default, Clone, Copy)]
struct Prospect {
    /// The last step has moved little.
    good: bool,
    /// What the store held after it, in bytes.
    bytes: u64,
}

impl Prospect {
    /// A step is cheap that replaces so many times what it moves.
    const CHEAP: u64 = 8;

    fn after(engine: &Engine, done: &Replaced) -> Self {
        let limits = engine.compaction_limits();
        let (bytes, step_bytes) =
            engine.with_core(|core| (core.ledger().bytes(), core.step_bytes(&limits)));
        // Of a step that only met what compaction leaves itself nothing can be learned.
        let replaced = done.bytes.max(step_bytes);
        Self { good: done.base_bytes.saturating_mul(Self::CHEAP) <= replaced, bytes }
    }

    /// Whether the next step is likely to be cheap, or it is time to try: as much has been
    /// written since the last try as that costs little beside.
    fn invites(self, core: &Core, limits: &CompactionLimits) -> bool {
        let (bytes, live) = (core.ledger().bytes(), core.live_bytes());
        let much = (live / Self::CHEAP).max(core.step_bytes(limits).saturating_mul(Self::CHEAP));
        let since = if self.good { live } else { self.bytes.max(live) };
        bytes > limits.store_bytes_min && bytes > since.saturating_add(much)
    }
}

/// Something should be compacted, and there is something to be gained by it.
fn is_due(engine: &Engine, floor: Floor, prospect: Prospect) -> bool {
    let limits = engine.compaction_limits();
    engine.with_core(|core| {
        debt_bytes(core, &limits, floor) > 0
            || core.objects_are_too_many(&limits)
            || prospect.invites(core, &limits)
    })
}

/// How many bytes the store holds beyond what it may, if it would get smaller by moving all of it.
fn debt_bytes(core: &Core, limits: &CompactionLimits, floor: Floor) -> u64 {
    let fewer_alive = core.live_bytes() < floor.live_bytes / 4 * 3;
    let shrinks = fewer_alive || core.ledger().bytes() > floor.due_at();
    if shrinks { core.compaction_debt_bytes(limits) } else { 0 }
}

/// Whether so much is to be done that compaction doesn't wait, also when a step has replaced so
/// many bytes.
fn presses_behind(engine: &Engine, floor: Floor, bytes: u64) -> bool {
    let limits = engine.compaction_limits();
    engine.with_core(|core| {
        let pressing = core.allowed_bytes(&limits) / PRESSING_SHARE;
        debt_bytes(core, &limits, floor) > bytes.max(pressing)
    })
}

/// As long as the debt is small, half of the time is the commands' alone.
async fn pace(engine: &Engine, began: Duration) {
    let limits = engine.compaction_limits();
    let allowed = engine.with_core(|core| core.allowed_bytes(&limits));
    let took = engine.clock.monotonic().saturating_sub(began);
    wait_for_debt(engine, took.min(LOOK_EVERY), allowed + allowed / PRESSING_SHARE).await;
}

/// Waits so long, or until the store is as large as that, and larger than it may be: fast
/// writes add as much as is alive to a small one between two looks.
async fn wait_for_debt(engine: &Engine, wait: Duration, bytes: u64) {
    let limits = engine.compaction_limits();
    if engine.with_core(|core| core.call_compaction_at(&limits, bytes)) {
        // Others have their turn.
        return tokio::task::yield_now().await;
    }
    let _ = tokio::time::timeout(wait, engine.compaction_called.notified()).await;
}

/// What a base is made of.
struct Read {
    plan: Plan,
    controls: Vec<Write<'static>>,
    collection: Collection,
}

impl Steps {
    /// Takes a step as far as to the words that groups have for it. `left`: how much of the
    /// round is left, in bytes. `None`: there is nothing to replace.
    async fn take_one(
        &mut self,
        engine: &Engine,
        left: u64,
        floor: Floor,
    ) -> Result<Option<Replaced>, Failed> {
        let mut read = match self.read.take() {
            Some(read) => read?,
            None => {
                let Some(planned) = self.plan(engine, None) else { return Ok(None) };
                let deleting = delete_replaced(engine, &mut self.replaced);
                tokio::join!(read_step(engine, planned), deleting).0?
            }
        };
        // Another one beside it only where this one leaves something to do that presses.
        let dead_blobs = read.collection.dead_blobs.iter();
        let bytes = read.plan.bytes + dead_blobs.map(|blob| blob.bytes()).sum::<u64>();
        let more = left > bytes && presses_behind(engine, floor, bytes);
        let next = if more { self.plan(engine, Some(&read.plan)) } else { None };
        let base = std::mem::take(&mut read.collection.base);
        let (written, next, ()) = tokio::join!(
            write_base(engine, &read.plan, base),
            async {
                match next {
                    Some(planned) => Some(read_step(engine, planned).await),
                    None => None,
                }
            },
            delete_replaced(engine, &mut self.replaced)
        );
        let written = written?;
        self.read = next;
        Ok(Some(publish(engine, read, written).await))
    }

    /// Step 1.
    fn plan(&mut self, engine: &Engine, ahead: Option<&Plan>) -> Option<Planned> {
        let limits = engine.compaction_limits();
        let bad = self.damage.as_ref().map(|found| found.object);
        let planned = engine.with_core(|core| {
            let plan = core.plan_compaction(&limits, self.number + 1, bad, ahead)?;
            let controls = core.base_controls(&plan, ahead);
            Some((plan, controls))
        });
        self.number += u64::from(planned.is_some());
        planned
    }

    /// Returns when a group tells of the newest base.
    async fn told(&self, engine: &Engine) {
        let Some(newest) = self.replaced.back() else { return };
        let mut wait = LOOK_SOON;
        while !engine.with_core(|core| core.tells_of_base(newest.base)) {
            tokio::time::sleep(wait).await;
            // An outage takes as long as it takes.
            wait = (wait * 2).min(LOOK_EVERY);
        }
    }

    /// Compaction has gone through so many bytes, if it could. Where it can't, or stands before what
    /// is damaged, the store gets no smaller by waiting, and nobody waits.
    fn pace_writes(&self, engine: &Engine, gone_through: Option<u64>) {
        engine.pace_writes(gone_through.filter(|_| self.damage.is_none()));
    }

    /// Keeps what a step came to. What is damaged stays told when what lies before it has been moved.
    fn note(&mut self, engine: &Engine, step: &Result<Option<Replaced>, Failed>) {
        let mut report = engine.compaction.lock().unwrap_or_else(PoisonError::into_inner);
        match step {
            Ok(Some(done)) => {
                report.bases += 1;
                report.objects += (done.count.groups + done.count.bases) as u64;
                let damage = self.damage.as_ref();
                report.failure = damage.map_or_else(String::new, Damage::to_string);
            }
            Ok(None) => {}
            Err(failed) => {
                if let Failed::Damaged(found) = failed {
                    self.damage = Some(found.clone());
                }
                let failure = failed.to_string();
                if report.failure != failure {
                    tracing::error!(%failure, "compaction could not go on");
                }
                report.failure = failure;
            }
        }
    }
}

/// A plan, and what its base has to say of others.
type Planned = (Plan, Vec<Write<'static>>);

/// Step 2, up to the base.
async fn read_step(engine: &Engine, (plan, controls): Planned) -> Result<Read, Failed> {
    let collection = collect(engine, &plan, &controls).await?;
    Ok(Read { plan, controls, collection })
}

/// A base that is in the store, and that nobody knows of yet.
struct Written {
    bytes: u64,
    values_offset: u64,
}

/// The end of step 2.
async fn write_base(engine: &Engine, plan: &Plan, base: GroupBuilder) -> Result<Written, Failed> {
    let (node, number) = plan.base;
    let nonce = engine.nonce();
    let mut header = Header::new(Kind::Base, nonce, node, number);
    header.acked_through = plan.place.1;
    header.largest_commit = plan.largest_commit;
    header.wall_ms = engine.clock.wall_ms();
    header.now_through_ms = plan.now_through_ms;
    let (header, object) = base.finish(header);
    let bytes = object.len() as u64;
    let name = ObjectName::Base(node, number);
    match engine.store.create(&name.to_string(), object, nonce).await {
        Decided::Ours => Ok(Written { bytes, values_offset: header.values_offset() }),
        Decided::Theirs(_) => Err(Failed::Store(format!("{name} was there before"))),
        Decided::Rejected(why) | Decided::Fatal(why) => Err(Failed::Store(why)),
    }
}

/// Steps 3 and 4, up to the group that tells of it.
async fn publish(engine: &Engine, read: Read, written: Written) -> Replaced {
    let Read { plan, controls, collection } = read;
    let Collection { moved, dead_blobs, blob_bytes, copied_bytes, .. } = collection;
    let Written { bytes, values_offset } = written;
    let object = engine.with_core(|core| {
        for Moved { to, .. } in &moved {
            if let MovedTo::Blob(blob) = to {
                core.name_blobs(std::slice::from_ref(blob));
            }
        }
        core.add_base(&plan, bytes, blob_bytes, values_offset)
    });
    for part in moved.chunks(SLICE_WRITES) {
        engine.with_core(|core| {
            for Moved { slot, key, put, to } in part {
                let place = match to {
                    MovedTo::Base { offset, length, crc } => {
                        let (offset, length, crc) = (*offset as u32, *length as u32, *crc);
                        StoredValue { object, offset, length, crc }
                    }
                    MovedTo::Blob(blob) => blob.place(),
                };
                core.relocate(*slot, key, *put, place);
            }
        });
        tokio::task::yield_now().await;
    }
    let since = engine.with_core(|core| core.publish_base(&plan, &controls, &dead_blobs));
    engine.compaction.lock().unwrap_or_else(PoisonError::into_inner).bytes_written +=
        bytes + copied_bytes;
    // Nobody has read these. Where something is damaged they are looked at; the next start without
    // damage deletes what is left.
    let chunks = match engine.damaged.load(Ordering::Relaxed) {
        true => engine.sound_chunks(&dead_blobs).await,
        false => dead_blobs.iter().flat_map(BlobName::objects).collect(),
    };
    let objects = plan.names.iter().map(|(name, _)| *name);
    let names = objects.chain(chunks).map(|name| name.to_string()).collect();
    let dead_bytes: u64 = dead_blobs.iter().map(BlobName::bytes).sum();
    Replaced {
        base: plan.base,
        count: plan.count,
        names,
        dead_blobs,
        bytes: plan.bytes + dead_bytes + (blob_bytes - copied_bytes),
        base_bytes: bytes + blob_bytes,
        since,
        forgotten: false,
    }
}

/// Step 5, as far as it can go now.
async fn delete_replaced(engine: &Engine, replaced: &mut VecDeque<Replaced>) {
    if !engine.may_delete() {
        return;
    }
    while let Some(oldest) = replaced.front_mut() {
        if !oldest.forgotten {
            if !engine.with_core(|core| {
                core.tells_of_base(oldest.base) && core.nobody_reads_before(oldest.since)
            }) {
                return;
            }
            // First this: who finds nothing there asks the index, and not the store again.
            engine.with_core(|core| {
                core.forget_replaced(oldest.count);
                core.forget_blobs(&oldest.dead_blobs);
            });
            oldest.forgotten = true;
        }
        while !oldest.names.is_empty() {
            let some = oldest.names.len().min(DELETE_NAMES_MAX);
            if let Err(error) = engine.store.delete(&oldest.names[..some]).await {
                tracing::warn!(%error, "what was replaced could not be deleted yet");
                return;
            }
            oldest.names.drain(..some);
        }
        replaced.pop_front();
    }
}
