//! Recovery: reads what earlier starts have written, closes their logs, begins a new one.
//!
//! 1. The logs are listed; a newer format is refused before anything is written. A new node
//!    id is drawn: every log there can be has a smaller one. A store may list late, so a log
//!    without a listed object is looked at like any other; else a start soon after a crash
//!    would take all of it for nothing, acknowledged groups included. On a shared store it is
//!    made sure once more whose it is: one that took it over before the id was drawn has a
//!    smaller one, and may be serving; one that does so later has a larger one.
//! 2. The end of each log is found, newest log first ([`survey`]): a seal goes behind its
//!    newest object. Without it a create still under way could land there after readers had
//!    been told otherwise. Its newest header names the newest base, and that says which logs
//!    and bases need not be read.
//! 3. Headers and directories are read, many at a time, and installed: bases, then log by
//!    log in order.
//! 4. At a gap of a log it is decided what the gap is. At or below what a later header says
//!    was acknowledged, or the recorded end: *lost data*. A hole marker takes the place, the
//!    log goes on behind it, the loss is reported. Otherwise the gap is sealed; created means
//!    that the log ends there, and nothing behind it was ever acknowledged. If the name turns
//!    out to be taken, the group only showed late: it is read.
//! 5. On a shared store the owner before may answer until its lease is over; that is waited for.
//!    The new node's first group records the ends of all logs closed here, and names the
//!    newest base. Nothing is served before that is acknowledged: a later recovery that sees
//!    less of the old logs must not decide differently.
//!
//! What lies behind the ends, has been replaced, or was never named is deleted as soon as the node
//! serves, and the entries of starts that keep no id from being drawn
//! ([`sweep`](super::sweep)); unless something is damaged: then all is left as it is.

mod install;
mod survey;

use super::Engine;
use super::core::ledger::Held;
use super::flusher::send_first;
use super::read::{Object, ReadAhead, read_object};
use super::sweep::nodes;
use super::version::ObjectId;
use crate::layout::{
    CommitId, Control, FormatError, Header, Kind, NodeId, ObjectName, Owner, Start,
};
use crate::storage::StoreError;
use crate::storage::resilient::Decided;
use bytes::Bytes;
use install::{Installers, Loaded, Shown};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::time::Duration;
use survey::Survey;

/// What recovery found.
#[derive(Debug, Default, Clone)]
pub struct Recovered {
    /// Keys alive.
    pub keys: u64,
    /// Groups read.
    pub groups: u64,
    /// Bases read.
    pub bases: u64,
    /// How long it took.
    pub took: Duration,
    /// What is lost or damaged in the store, and whom it affects; one line each.
    pub damages: Vec<String>,
}

/// Why a node can't be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    /// The store failed.
    Store(StoreError),
    /// An object can't be read by this version of aft.
    Format {
        /// Its name.
        name: String,
        /// What is wrong with it.
        error: FormatError,
    },
    /// Another process serves the store, and lives.
    Owned(Box<Owner>),
    /// Another process was first to take the store.
    Outrun(Box<Owner>),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Format { name, error } => write!(f, "{name}: {error}"),
            Self::Owned(owner) => write!(
                f,
                "{owner} serves it and is alive; one node at a time can: stop that one first, start \
                 this one with --wait-for-handover, or give it another prefix"
            ),
            Self::Outrun(owner) => write!(
                f,
                "{owner} has taken it meanwhile; one node at a time can serve it, and this one has \
                 written nothing since"
            ),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

type Ends = BTreeMap<NodeId, u64>;

struct Recovery<'e> {
    engine: &'e Engine,
    survey: Survey,
    own: NodeId,
    /// Ends of logs that this start has found.
    closed: Ends,
    largest_commit: CommitId,
    now_through_ms: u64,
    /// Until all has been read.
    installers: Option<Installers>,
    /// Keys were found whose values are lost.
    lost: bool,
    report: Recovered,
}

/// Step 1, as far as nothing is written.
pub(super) struct Listed {
    /// When that began, on the monotonic clock.
    began: Duration,
    /// The newest start.
    newest_node: NodeId,
    logs: BTreeMap<NodeId, BTreeSet<u64>>,
}

impl Listed {
    /// What is there, in a format that we know.
    pub(super) async fn of(engine: &Engine) -> Result<Self, OpenError> {
        let began = engine.clock.monotonic();
        let (newest_node, listed) =
            tokio::join!(newest_entry(engine), engine.store.list(ObjectName::LOGS));
        let newest_node = newest_node?;
        let mut logs: BTreeMap<NodeId, BTreeSet<u64>> = BTreeMap::new();
        for name in listed? {
            match name.parse() {
                Ok(ObjectName::Log(node, seq)) => {
                    logs.entry(node).or_default().insert(seq);
                }
                _ => tracing::warn!(%name, "not an object of aft: ignored"),
            }
        }
        if let Some((&node, seqs)) = logs.last_key_value()
            && let Some(&seq) = seqs.last()
        {
            refuse_newer(engine, ObjectName::Log(node, seq)).await?;
        }
        Ok(Self { began, newest_node, logs })
    }
}

/// Recovers what is in the engine's store into its core, given what was listed since the owner
/// before has ended or was believed to have: a listing may be late in any case.
pub(super) async fn recover(engine: &Engine, listed: Listed) -> Result<Recovered, OpenError> {
    let Listed { began, newest_node, logs } = listed;
    let newest_log = logs.keys().next_back().copied().unwrap_or(0);
    // Not how long the store's owner was waited for.
    let passed = || {
        engine.clock.monotonic().saturating_sub(began).saturating_add(engine.options.opening_took)
    };
    let began_ms = engine.clock.wall_ms().saturating_sub(passed().as_millis() as u64);
    let mut start = Start { began_ms, recovery_ms: 0 };
    let drawn = engine.create_node(newest_node.max(newest_log), start);
    let own = in_time(engine, drawn).await??;
    // Without this a start that stood still before it drew its id would close the log of the
    // node that has been faster.
    in_time(engine, engine.renew(own)).await??;
    let survey = Survey::of(engine, own, logs).await?;
    let hash_seed = engine.with_core(|core| core.hash_seed());
    let mut recovery = Recovery {
        engine,
        survey,
        own,
        closed: Ends::new(),
        largest_commit: CommitId::ZERO,
        now_through_ms: 0,
        installers: Some(Installers::start(hash_seed, engine.options.recovery_share_bits)?),
        lost: false,
        report: Recovered::default(),
    };
    for damage in engine.store.damage() {
        recovery.damage(format!("{damage}: what stood there is lost"));
    }
    for damage in std::mem::take(&mut recovery.survey.damages) {
        recovery.damage(damage);
    }
    recovery.read_bases().await?;
    for (node, seqs) in std::mem::take(&mut recovery.survey.logs) {
        recovery.read_log(node, seqs).await?;
    }
    recovery.finish_installing();
    recovery.begin().await?;
    recovery.report.took = passed();
    start.recovery_ms = u32::try_from(recovery.report.took.as_millis()).unwrap_or(u32::MAX).max(1);
    // Nobody else sets it.
    let _ = engine.start.set(start);
    Ok(recovery.report)
}

/// An object of a newer format than ours must not be touched, nor anything beside it.
pub(super) async fn refuse_newer(engine: &Engine, name: ObjectName) -> Result<(), OpenError> {
    let object = match read_object(engine, name).await {
        // Whoever serves the store has deleted it since it was listed.
        Err(OpenError::Store(StoreError::NotFound)) => return Ok(()),
        object => object?,
    };
    match object {
        Object::Damaged(error @ FormatError::Newer(_)) => {
            Err(OpenError::Format { name: name.to_string(), error })
        }
        Object::Sound(header, bytes) => {
            // It is the newest of its kind: the start wants it again.
            if engine.ownership.is_some() {
                engine.warm.keep(name, &header, &bytes);
            }
            Ok(())
        }
        Object::Damaged(_) => Ok(()),
    }
}

/// The newest start that a listing shows, 0 if there is none. Nothing may be written where that was
/// one of a newer format.
async fn newest_entry(engine: &Engine) -> Result<NodeId, OpenError> {
    let listed = engine.store.list(ObjectName::NODES).await?;
    let Some(newest) = nodes(&listed).pop_last() else { return Ok(0) };
    refuse_newer(engine, ObjectName::Node(newest)).await?;
    Ok(newest)
}

impl Recovery<'_> {
    /// Step 3, the bases.
    async fn read_bases(&mut self) -> Result<(), OpenError> {
        let engine = self.engine;
        let checkpoint = self.survey.checkpoint.clone();
        engine.with_core(|core| core.recover_base(&checkpoint));
        let names = checkpoint.bases.iter().map(|&(node, number)| ObjectName::Base(node, number));
        let mut objects = ReadAhead::new(engine, names);
        while let Some((name, object)) = objects.next().await? {
            match object {
                Object::Sound(header, bytes) if header.kind == Kind::Base => {
                    self.report.bases += 1;
                    self.install(name, header, bytes);
                }
                Object::Sound(header, _) => {
                    self.damage(format!("{name}: is a {:?}: the keys in it are lost", header.kind));
                    self.hold(name, None, Vec::new());
                }
                Object::Damaged(error) => {
                    self.damage(format!("{name}: {error}: the keys in it are lost"));
                    self.hold(name, None, Vec::new());
                }
            }
        }
        Ok(())
    }

    /// Steps 3 and 4 for one log.
    async fn read_log(&mut self, node: NodeId, seqs: BTreeSet<u64>) -> Result<(), OpenError> {
        let (trimmed_node, through) = self.survey.checkpoint.trimmed;
        let mut next = if node == trimmed_node { through + 1 } else { 1 };
        let first = next;
        let mut rest = seqs;
        let mut missed = None;
        loop {
            // All that stands without a gap.
            let run: Vec<u64> = rest
                .iter()
                .copied()
                .zip(next..)
                .take_while(|(seq, at)| seq == at)
                .map(|(seq, _)| seq)
                .collect();
            let names = run.iter().map(|&seq| ObjectName::Log(node, seq));
            let mut objects = ReadAhead::new(self.engine, names);
            let (mut ended, mut missing) = (false, false);
            while let Some((name, object)) = objects.next().await? {
                let behind = self.survey.known_ends.get(&node).is_some_and(|&end| next > end);
                missing = !behind && matches!(object, Object::Damaged(FormatError::Missing));
                ended = behind || !missing && self.read_group(name, object);
                if ended || missing {
                    break;
                }
                next += 1;
            }
            rest = rest.split_off(&next);
            // The listing has it, the store doesn't: a gap like any other, but for what is known.
            if missing && missed.replace(next) == Some(next) {
                let name = ObjectName::Log(node, next);
                let why = format!("{name} is there, and can't be read");
                return Err(StoreError::Unavailable(why).into());
            }
            let was_there = missing && rest.remove(&next);
            if ended || self.resolve_gap(node, next, was_there, &mut rest).await? {
                // Of a log that has been replaced as far as it goes, its seal maybe too, nobody
                // knows where it ended, nor has to.
                let is_replaced = node == trimmed_node && next == first;
                if self.survey.known_ends.get(&node) == Some(&(next - 1)) {
                    // Its seal is there, listed or not.
                    let seal = Header::new(Kind::Seal, 0, node, next);
                    self.hold(ObjectName::Log(node, next), Some(&seal), Vec::new());
                } else if !self.survey.known_ends.contains_key(&node) && !is_replaced {
                    self.closed.insert(node, next - 1);
                }
                return Ok(());
            }
        }
    }

    /// Decides what the gap at `seq` is, where something certainly `was_there` or not; `true` if
    /// the log ends before it. Otherwise `rest` begins with it, or with what follows it.
    async fn resolve_gap(
        &mut self,
        node: NodeId,
        seq: u64,
        was_there: bool,
        rest: &mut BTreeSet<u64>,
    ) -> Result<bool, OpenError> {
        let name = ObjectName::Log(node, seq).to_string();
        let acknowledged = self.acknowledged_behind(node, rest).await?;
        let known_end = self.survey.known_ends.get(&node).copied();
        let lost = was_there || seq <= acknowledged.max(known_end.unwrap_or(0));
        if !lost && known_end.is_some() {
            return Ok(true);
        }
        let kind = if lost { Kind::Hole } else { Kind::Seal };
        let mut marker = Header::new(kind, self.engine.nonce(), node, seq);
        marker.base = self.survey.checkpoint.base;
        match in_time(self.engine, self.engine.create_marker(&name, marker)).await? {
            Decided::Ours if lost => {
                rest.insert(seq);
                Ok(false)
            }
            Decided::Ours => {
                let seal = Header::new(Kind::Seal, 0, node, seq);
                self.hold(ObjectName::Log(node, seq), Some(&seal), Vec::new());
                Ok(true)
            }
            // It only showed late.
            Decided::Theirs(_) => {
                rest.insert(seq);
                Ok(false)
            }
            Decided::Rejected(why) | Decided::Fatal(why) => Err(StoreError::Fatal(why).into()),
        }
    }

    /// What the objects behind a gap say was acknowledged.
    async fn acknowledged_behind(
        &self,
        node: NodeId,
        rest: &BTreeSet<u64>,
    ) -> Result<u64, OpenError> {
        let mut acknowledged = 0;
        let names = rest.iter().map(|&seq| ObjectName::Log(node, seq));
        let mut objects = ReadAhead::new(self.engine, names);
        while let Some((_, object)) = objects.next().await? {
            if let Object::Sound(header, _) = object {
                acknowledged = acknowledged.max(header.acked_through);
            }
        }
        Ok(acknowledged)
    }

    /// Reads one object of a log; `true` if it is a seal.
    fn read_group(&mut self, name: ObjectName, object: Object) -> bool {
        let (header, bytes) = match object {
            Object::Sound(header, bytes) => (header, bytes),
            Object::Damaged(error) => {
                self.damage(format!("{name}: {error}: the transactions in it are lost"));
                self.hold(name, None, Vec::new());
                return false;
            }
        };
        match header.kind {
            Kind::Group => {
                self.report.groups += 1;
                self.install(name, header, bytes);
                return false;
            }
            Kind::Seal => {}
            Kind::Hole => {
                self.damage(format!(
                    "{name}: a hole: the transactions in it are lost, as this start or an earlier one found"
                ));
            }
            other => {
                self.damage(format!("{name}: is a {other:?}: the transactions in it are lost"));
            }
        }
        self.learn(&header);
        self.hold(name, Some(&header), Vec::new());
        header.kind == Kind::Seal
    }

    fn learn(&mut self, header: &Header) {
        self.now_through_ms = self.now_through_ms.max(header.now_through_ms);
        self.largest_commit = self.largest_commit.max(header.largest_commit);
    }

    /// Notes an object that counts.
    fn hold(&self, name: ObjectName, header: Option<&Header>, swaps: Vec<(u8, u8)>) -> ObjectId {
        let place = match (name, header) {
            (ObjectName::Base(node, _), Some(header)) => (node, header.acked_through),
            (ObjectName::Base(node, _), None) => (node, 0),
            (ObjectName::Log(node, seq), _) => (node, seq),
            _ => (0, 0),
        };
        let bytes = header.map_or(0, Header::object_bytes);
        let values_offset = header.map_or(0, Header::values_offset);
        let held = Held { name, place, bytes, blob_bytes: 0, values_offset, swaps };
        self.engine.with_core(|core| core.recover_object(held))
    }

    /// Installs what a group or a base holds.
    fn install(&mut self, name: ObjectName, header: Header, bytes: Bytes) {
        self.learn(&header);
        let object = self.hold(name, Some(&header), Vec::new());
        if let Some(installers) = &mut self.installers {
            installers.add(Loaded { name, object, header, bytes });
        }
    }

    /// Everything has been read.
    fn finish_installing(&mut self) {
        let Some(installers) = self.installers.take() else { return };
        let Shown { lost, damages } = self.engine.with_core(|core| installers.finish(core));
        self.lost |= lost;
        damages.into_iter().for_each(|line| self.damage(line));
    }

    fn damage(&mut self, line: String) {
        /// A store in ruins must not fill the log and the memory with its description.
        const DAMAGES_MAX: usize = 1000;
        tracing::error!("{line}");
        if self.report.damages.len() < DAMAGES_MAX {
            self.report.damages.push(line);
        }
    }

    /// Step 5.
    async fn begin(&mut self) -> Result<(), OpenError> {
        let engine = self.engine;
        if let Some(ownership) = &engine.ownership {
            ownership.wait_for_silence(engine, &self.closed).await;
        }
        let controls: Vec<Control> =
            self.closed.iter().map(|(&node, &end)| Control::LogClosed { node, end }).collect();
        let departure = engine.with_core(|core| {
            core.begin(self.own, self.largest_commit, self.now_through_ms);
            core.commit_controls(&controls);
            core.depart()
        });
        if let Some(departure) = departure {
            in_time(engine, send_first(engine, departure)).await??;
        }
        if !engine.with_core(|core| core.lease_holds()) {
            // Whoever has been faster meanwhile may have closed this log, and compacted it away.
            in_time(engine, engine.renew(self.own)).await??;
        }
        engine.with_core(|core| {
            core.acknowledge();
            while core.reap(usize::MAX).more {}
            self.report.keys =
                (0..core.databases()).map(|db| core.live_keys(db, core.visible())).sum();
        });
        /// A few are enough to see that something is wrong.
        const KEYS_MAX: usize = 100;
        if self.lost {
            for key in engine.with_core(|core| core.lost_keys(KEYS_MAX)) {
                self.damage(format!("the value of key \"{}\" is lost", key.escape_ascii()));
            }
        }
        Ok(())
    }
}

/// Nobody is served yet who could be told that the store doesn't answer: after the time in
/// which a read must succeed the start fails.
pub(super) async fn in_time<T>(
    engine: &Engine,
    create: impl Future<Output = T>,
) -> Result<T, StoreError> {
    let deadline = engine.store.read_deadline();
    tokio::time::timeout(deadline, create).await.map_err(|_| {
        let why = engine.store.last_failure().unwrap_or_else(|| "no answer".to_owned());
        StoreError::Unavailable(format!("nothing could be written in {deadline:?}: {why}"))
    })
}
