//! Recovery: reads the logs of earlier starts, closes them, begins a new one.
//!
//! 1. The logs are listed, and the first group of each is read: a newer format is refused
//!    before anything is written; the ends that earlier starts recorded are learnt.
//! 2. A new node id is drawn: every log there can be has a smaller one. A store may list
//!    late, so a log without a listed object is looked at like any other; else a start
//!    soon after a crash would take all of it for nothing, acknowledged groups included.
//!    Then, log by log, oldest first (their commit ids rise in that order), headers and
//!    directories are read, many at a time, and installed in order.
//! 3. At the first gap of a log it is decided what the gap is. At or below what a later
//!    header says was acknowledged, or the recorded end: *lost data*. A hole marker takes
//!    the place, the log goes on behind it, the loss is reported. Otherwise the gap is
//!    sealed; created means that the log ends there, and nothing behind it was ever
//!    acknowledged. Without the seal a create still under way could land there after
//!    readers had been told otherwise. If the name turns out to be taken, the group only
//!    showed late: it is read.
//! 4. The new node's first group records the ends of all logs closed here. Nothing is
//!    served before that is acknowledged: a later recovery that sees less of the old
//!    logs must not decide differently.
//! 5. What lies behind the ends is deleted.

mod reading;

use super::Engine;
use super::core::Core;
use super::version::{RECOVERED, State, StoredValue, Value, Version};
use crate::layout::directory::TYPE_STRING;
use crate::layout::group::checked_directory;
use crate::layout::{
    Commit, CommitId, Control, FormatError, Header, Kind, NodeId, ObjectName, Place, Write,
};
use crate::storage::StoreError;
use crate::storage::resilient::Decided;
use reading::{Object, ReadAhead, read_object};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::time::Duration;

/// What recovery found.
#[derive(Debug, Default, Clone)]
pub struct Recovered {
    /// Keys alive.
    pub keys: u64,
    /// Groups read.
    pub groups: u64,
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
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Format { name, error } => write!(f, "{name}: {error}"),
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
    /// Ends of logs that earlier starts have recorded.
    known_ends: Ends,
    /// Ends of logs that this start has found.
    closed: Ends,
    /// Names behind the end of their log.
    leftovers: Vec<String>,
    largest_commit: CommitId,
    now_through_ms: u64,
    report: Recovered,
}

/// Recovers what is in the engine's store into its core.
pub(super) async fn recover(engine: &Engine) -> Result<Recovered, OpenError> {
    let started = engine.clock.monotonic();
    let newest_node = newest_node(engine).await?;
    let mut logs: BTreeMap<NodeId, BTreeSet<u64>> = BTreeMap::new();
    for name in engine.store.list(ObjectName::LOGS).await? {
        match name.parse() {
            Ok(ObjectName::Log(node, seq)) => {
                logs.entry(node).or_default().insert(seq);
            }
            _ => tracing::warn!(%name, "not an object of aft: ignored"),
        }
    }
    let mut recovery = Recovery {
        engine,
        known_ends: Ends::new(),
        closed: Ends::new(),
        leftovers: Vec::new(),
        largest_commit: CommitId::ZERO,
        now_through_ms: 0,
        report: Recovered::default(),
    };
    recovery.learn_ends(&logs).await?;
    let newest_log = logs.keys().next_back().copied().unwrap_or(0);
    let own = in_time(engine, engine.create_node(newest_node.max(newest_log))).await??;
    for node in 1..own {
        logs.entry(node).or_default();
    }
    for (node, seqs) in logs {
        recovery.read_log(node, seqs).await?;
    }
    recovery.begin(own).await?;
    recovery.report.took = engine.clock.monotonic().saturating_sub(started);
    Ok(recovery.report)
}

/// The largest node id in use; its object must be in a format we know.
async fn newest_node(engine: &Engine) -> Result<NodeId, OpenError> {
    let mut newest = 0;
    for name in engine.store.list(ObjectName::NODES).await? {
        if let Ok(ObjectName::Node(node)) = name.parse() {
            newest = newest.max(node);
        }
    }
    if newest > 0
        && let Object::Damaged(error @ FormatError::Newer(_)) =
            read_object(engine, ObjectName::Node(newest)).await?
    {
        return Err(OpenError::Format { name: ObjectName::Node(newest).to_string(), error });
    }
    Ok(newest)
}

impl Recovery<'_> {
    /// Step 1.
    async fn learn_ends(
        &mut self,
        logs: &BTreeMap<NodeId, BTreeSet<u64>>,
    ) -> Result<(), OpenError> {
        let engine = self.engine;
        let first_groups = logs.iter().filter(|(_, seqs)| seqs.contains(&1)).map(|(node, _)| *node);
        let mut objects = ReadAhead::new(engine, first_groups.map(|node| (node, 1)));
        while let Some((node, _, object)) = objects.next().await? {
            match object {
                Object::Damaged(error @ FormatError::Newer(_)) => {
                    return Err(OpenError::Format {
                        name: ObjectName::Log(node, 1).to_string(),
                        error,
                    });
                }
                Object::Damaged(_) => {}
                Object::Sound(header, bytes) => {
                    let known_ends = &mut self.known_ends;
                    let read = for_each_commit(&header, &bytes, |commit| {
                        for write in &commit.writes {
                            if let Write::Control(Control::LogClosed { node, end }) = write {
                                known_ends.insert(*node, *end);
                            }
                        }
                    });
                    read.map_err(|error| OpenError::Format {
                        name: ObjectName::Log(node, 1).to_string(),
                        error,
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Steps 2 and 3 for one log.
    async fn read_log(&mut self, node: NodeId, seqs: BTreeSet<u64>) -> Result<(), OpenError> {
        let mut next = 1;
        let mut rest = seqs;
        loop {
            // All that stands without a gap.
            let run: Vec<u64> = rest
                .iter()
                .copied()
                .zip(next..)
                .take_while(|(seq, at)| seq == at)
                .map(|(seq, _)| seq)
                .collect();
            let mut objects = ReadAhead::new(self.engine, run.iter().map(|&seq| (node, seq)));
            let mut ended = false;
            while let Some((_, seq, object)) = objects.next().await? {
                if self.known_ends.get(&node).is_some_and(|&end| seq > end)
                    || self.install(node, seq, object)
                {
                    ended = true;
                    break;
                }
                next = seq + 1;
            }
            rest = rest.split_off(&next);
            if ended || self.resolve_gap(node, next, &mut rest).await? {
                self.leftovers.extend(
                    rest.range(next + 1..).map(|&seq| ObjectName::Log(node, seq).to_string()),
                );
                if self.known_ends.get(&node) != Some(&(next - 1)) {
                    self.closed.insert(node, next - 1);
                }
                return Ok(());
            }
        }
    }

    /// Decides what the gap at `seq` is; `true` if the log ends before it. Otherwise
    /// `rest` begins with it, or with what follows it.
    async fn resolve_gap(
        &mut self,
        node: NodeId,
        seq: u64,
        rest: &mut BTreeSet<u64>,
    ) -> Result<bool, OpenError> {
        let name = ObjectName::Log(node, seq).to_string();
        let acknowledged = self.acknowledged_behind(node, rest).await?;
        let known_end = self.known_ends.get(&node).copied();
        let lost = seq <= acknowledged.max(known_end.unwrap_or(0));
        if !lost && known_end.is_some() {
            return Ok(true);
        }
        let kind = if lost { Kind::Hole } else { Kind::Seal };
        let marker = self.engine.create_marker(&name, kind, node, seq, 0);
        match in_time(self.engine, marker).await? {
            Decided::Ours if lost => {
                rest.insert(seq);
                Ok(false)
            }
            Decided::Ours => Ok(true),
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
        let mut objects = ReadAhead::new(self.engine, rest.iter().map(|&seq| (node, seq)));
        while let Some((_, _, object)) = objects.next().await? {
            if let Object::Sound(header, _) = object {
                acknowledged = acknowledged.max(header.acked_through);
            }
        }
        Ok(acknowledged)
    }

    /// Installs one object of a log; `true` if it is a seal.
    fn install(&mut self, node: NodeId, seq: u64, object: Object) -> bool {
        let name = ObjectName::Log(node, seq);
        let (header, bytes) = match object {
            Object::Sound(header, bytes) => (header, bytes),
            Object::Damaged(error) => {
                self.damage(format!("{name}: {error}: the transactions in it are lost"));
                return false;
            }
        };
        self.now_through_ms = self.now_through_ms.max(header.now_through_ms);
        self.largest_commit = self.largest_commit.max(header.largest_commit);
        match header.kind {
            Kind::Seal => return true,
            Kind::Hole => {
                self.damage(format!("{name}: a hole: the transactions in it were lost earlier"));
                return false;
            }
            Kind::Group => {}
            other => {
                self.damage(format!("{name}: is a {other:?}: the transactions in it are lost"));
                return false;
            }
        }
        self.report.groups += 1;
        let mut damages = Vec::new();
        let read = self.engine.with_core(|core| {
            for_each_commit(&header, &bytes, |commit| {
                for write in &commit.writes {
                    install_write(core, &header, commit.id, write, &mut damages);
                }
            })
        });
        if let Err(error) = read {
            damages.push(error.to_string());
        }
        for damage in damages {
            self.damage(format!("{name}: {damage}"));
        }
        false
    }

    fn damage(&mut self, line: String) {
        /// A store in ruins must not fill the log and the memory with its description.
        const DAMAGES_MAX: usize = 1000;
        tracing::error!("{line}");
        if self.report.damages.len() < DAMAGES_MAX {
            self.report.damages.push(line);
        }
    }

    /// Steps 4 and 5.
    async fn begin(&mut self, node: NodeId) -> Result<(), OpenError> {
        let engine = self.engine;
        let controls: Vec<Control> =
            self.closed.iter().map(|(&node, &end)| Control::LogClosed { node, end }).collect();
        let departure = engine.with_core(|core| {
            core.begin(node, self.largest_commit, self.now_through_ms);
            core.commit_controls(&controls);
            core.depart()
        });
        if let Some(departure) = departure {
            let window = engine.store.limits().creates_in_flight as u32;
            in_time(engine, super::flusher::send_first(engine, departure, window)).await??;
        }
        engine.with_core(|core| {
            core.acknowledge();
            while core.reap(usize::MAX) {}
            self.report.keys =
                (0..core.databases()).map(|db| core.live_keys(db, core.visible())).sum();
        });
        /// Names a store deletes at a time at the most (S3).
        const DELETE_BATCH: usize = 1000;
        for names in self.leftovers.chunks(DELETE_BATCH) {
            engine.store.delete(names).await?;
        }
        Ok(())
    }
}

/// Nobody is served yet who could be told that the store doesn't answer: after the time in
/// which a read must succeed the start fails.
async fn in_time<T>(engine: &Engine, create: impl Future<Output = T>) -> Result<T, StoreError> {
    let deadline = engine.store.read_deadline();
    tokio::time::timeout(deadline, create).await.map_err(|_| {
        let why = engine.store.last_failure().unwrap_or_else(|| "no answer".to_owned());
        StoreError::Unavailable(format!("nothing could be written in {deadline:?}: {why}"))
    })
}

fn install_write(
    core: &mut Core,
    header: &Header,
    commit: CommitId,
    write: &Write<'_>,
    damages: &mut Vec<String>,
) {
    let version = |expires_ms: Option<u64>, state| Version {
        commit,
        position: RECOVERED,
        expires_ms: expires_ms.unwrap_or(0),
        state,
    };
    let (database, key, version) = match *write {
        Write::Put { database, key, value_type: TYPE_STRING, expires_ms, place } => {
            (database, key, version(expires_ms, state_of(header, place)))
        }
        Write::Delete { database, key } => (database, key, version(None, State::Tombstone)),
        Write::Meta { database, key, predecessor, expires_ms } => {
            let state = match core.recovered(database, key) {
                Some(older) if older.commit == predecessor => older.state.clone(),
                _ => State::Lost,
            };
            (database, key, version(expires_ms, state))
        }
        // Of a kind that no version writes yet.
        Write::Put { database, key, expires_ms, .. }
        | Write::Patch { database, key, expires_ms, .. } => {
            (database, key, version(expires_ms, State::Lost))
        }
        Write::Flush { database } => return core.recover_flush(database),
        Write::Swap { one, other } => return core.recover_swap(one, other),
        Write::Control(_) => return,
    };
    if version.state == State::Lost {
        damages.push(format!("the value of key \"{}\" is lost", key.escape_ascii()));
    }
    core.recover(database, key, version);
}

/// What a put says of its key.
fn state_of(header: &Header, place: Place<'_>) -> State {
    match place {
        Place::Inline(bytes) => State::Live(Value::String(bytes.into())),
        Place::Values { offset, length, crc } => State::Stored(Box::new(StoredValue {
            node: header.node,
            seq: header.number,
            offset: header.values_offset() + offset,
            length,
            crc,
        })),
        Place::Blob { .. } => State::Lost,
    }
}

fn for_each_commit(
    header: &Header,
    bytes: &[u8],
    mut each: impl FnMut(&Commit<'_>),
) -> Result<(), FormatError> {
    let mut directory = checked_directory(header, bytes)?;
    while let Some(commit) = directory.next_commit()? {
        each(&commit);
    }
    Ok(())
}
