//! A store seen from outside, by somebody who changes nothing in it.
//!
//! [`inspect`] reads what a start would read, or every byte, and says what is wrong: which
//! object, what with it, and whom it affects. It finds by itself what recovery finds (which
//! base counts, where logs end), so it needs no node and leaves no trace.
//!
//! | module    | what                                                       |
//! |-----------|------------------------------------------------------------|
//! | `survey`  | all names; which base counts; what is missing, what is left |
//! | `objects` | reading objects and judging their bytes                    |
//! | `keys`    | the newest version of each key, as far as hashes tell      |
//! | `report`  | the findings as text and as JSON                           |

mod keys;
mod objects;
mod report;
mod survey;

use crate::layout::{CommitId, FormatError, Header, Kind, NodeId, ObjectName, View};
use crate::storage::{Store, StoreError};
use keys::Keys;
use objects::{Examined, examine};
use std::collections::BTreeMap;
use survey::Survey;

pub use report::{
    statistics_json, statistics_text, string_json, verification_json, verification_text,
};

/// Keys and names that are shown; more are counted.
const SHOWN_MAX: usize = 20;

/// How much of each object is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Headers and directories, as a start does.
    Directories,
    /// Every byte.
    Whole,
}

/// When a store is looked at, which says what of it is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// What has expired by then counts as gone, in milliseconds since 1970.
    pub now_ms: u64,
    /// So does what became of transactions that committed before this.
    pub outcomes_since_ms: u64,
}

/// Something wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The object, or the part of the store.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
    /// Whom that affects.
    pub affects: String,
    /// Keys whose newest value is lost by it, at most 20, as `database:key`.
    pub keys: Vec<String>,
    /// How many such keys there are, as far as can be told.
    pub keys_total: u64,
}

impl Fault {
    fn new(object: impl ToString, what: impl ToString, affects: &str) -> Self {
        Self {
            object: object.to_string(),
            what: what.to_string(),
            affects: affects.to_owned(),
            keys: Vec::new(),
            keys_total: 0,
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inspection {
    /// Objects read, and their bytes.
    pub objects: u64,
    /// Their length in bytes, as their headers say.
    pub bytes: u64,
    /// Groups that count.
    pub groups: u64,
    /// Bases that count.
    pub bases: u64,
    /// Values in objects of their own.
    pub blobs: u64,
    /// Logs with objects that count.
    pub logs: u64,
    /// Logs that were ever begun: one for each start, and others by compaction.
    pub starts: u64,
    /// When the last one was, in milliseconds since 1970; 0 if that can't be told.
    pub last_start_ms: u64,
    /// How long it took to recover, in milliseconds; 0 if that can't be told: it has not come to an
    /// end, an earlier version has written it, or it was a restore.
    pub last_recovery_ms: u64,
    /// When the oldest snapshot was taken that was open when a node last wrote, in milliseconds since
    /// 1970; 0 if none was.
    pub oldest_snapshot_ms: u64,
    /// How old it was then, in milliseconds.
    pub oldest_snapshot_age_ms: u64,
    /// Who owns the store, if it is a shared one.
    pub owner: Option<String>,
    /// Keys alive.
    pub keys: u64,
    /// Interactive transactions of which it is known that they have committed.
    pub outcomes: u64,
    /// Bytes of keys and values that are alive, as they would stand in a base, and of what is known
    /// of transactions: as a node counts them.
    pub live_bytes: u64,
    /// Bytes of groups, bases and blobs that count, dead ones among them.
    pub counting_bytes: u64,
    /// Bytes that a start reads: headers and directories of what counts.
    pub start_bytes: u64,
    /// The largest objects, largest first.
    pub largest: Vec<(String, u64)>,
    /// Objects that nothing needs: the next start deletes them.
    pub leftovers: Vec<String>,
    /// How many of them there are.
    pub leftovers_total: u64,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

impl Inspection {
    fn count(&mut self, name: ObjectName, header: &Header, counts: bool) {
        const LARGEST_MAX: usize = 5;
        let bytes = header.object_bytes();
        self.bytes += bytes;
        self.largest.push((name.to_string(), bytes));
        self.largest.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        self.largest.truncate(LARGEST_MAX);
        if counts {
            self.counting_bytes += bytes;
        }
        if counts && matches!(name, ObjectName::Log(..)) {
            // Logs come in order, and the newest header knows. Where that is a seal that ends a
            // process, in order or because another has come after it, no snapshot is left.
            let since_ms = header.oldest_snapshot >> CommitId::COUNTER_BITS;
            let age_ms = if since_ms > 0 { header.wall_ms.saturating_sub(since_ms) } else { 0 };
            (self.oldest_snapshot_ms, self.oldest_snapshot_age_ms) = (since_ms, age_ms);
        }
        // Who starts has no need of large values.
        if counts && header.kind != Kind::Blob {
            self.start_bytes += header.values_offset();
        }
    }

    fn leave(&mut self, name: ObjectName) {
        self.leftovers_total += 1;
        if self.leftovers.len() < SHOWN_MAX {
            self.leftovers.push(name.to_string());
        }
    }
}

/// Reads a store and says what is in it and what is wrong. `progress` is told how many objects
/// of how many have been read.
///
/// # Errors
/// The store can't be read at all, or a later version has written to it.
pub async fn inspect(
    store: &dyn Store,
    depth: Depth,
    moment: Moment,
    mut progress: impl FnMut(u64, u64),
) -> Result<Inspection, StoreError> {
    let mut found = Inspection::default();
    for damage in store.damage() {
        let affects = "objects that stood there are missing; each that is missed is named below";
        found.faults.push(Fault::new("store", damage, affects));
    }
    for copy in store.lost_copies() {
        let affects = "nobody: the other is whole, and says the same";
        found.faults.push(Fault::new("store", format!("{copy} is damaged"), affects));
    }
    let mut survey = Survey::of(store, &mut found.faults).await?;
    let mut keys = Keys::new(&survey.checkpoint.swaps, moment.outcomes_since_ms);
    let names = survey.names();
    let mut ends = Ends::default();
    let mut headers = BTreeMap::new();
    for (at, &name) in names.iter().enumerate() {
        progress(at as u64, names.len() as u64);
        let chunk = keys.blob_of(name).map(|(value, length)| (value.clone(), length));
        let is_blob = matches!(name, ObjectName::Blob(..));
        let counts =
            if is_blob { chunk.is_some() } else { survey.counts(name) && !ends.hide(name) };
        if is_blob && !counts {
            found.leave(name);
        }
        let mut examined = examine(store, name, depth).await?;
        if let Some((value, length)) = chunk {
            examined.hold_chunk(value, length);
        }
        let Examined { header, bytes, fault, bad_values } = examined;
        found.objects += 1;
        if let Some(header) = &header {
            ends.learn(name, header);
            found.count(name, header, counts);
            if let ObjectName::View(number) = name
                && counts
            {
                found.owner = View::decode(number, &bytes).ok().map(|view| owner(&view));
            }
            if counts
                && !is_blob
                && let Err(error) = keys.read(name, header, &bytes, &mut survey.known_ends)
            {
                tracing::debug!(%name, %error, "its directory can't be read");
            }
        }
        if let Some(error @ FormatError::Newer(_)) = fault {
            return Err(StoreError::Fatal(format!("{name}: {error}")));
        }
        if let Some(error) = fault {
            let affects = whom(name, counts, bad_values.is_empty());
            keys.lose(found.faults.len(), bad_values);
            found.faults.push(Fault::new(name, error, affects));
        }
        if let Some(header) = header {
            headers.insert(name, header);
        }
    }
    progress(names.len() as u64, names.len() as u64);
    survey.check(&headers, &mut found);
    found.blobs = keys.blobs();
    keys.finish(moment.now_ms, &survey, &mut found);
    Ok(found)
}

/// Where logs end: nothing behind a seal was ever acknowledged. Logs are read in order.
#[derive(Default)]
struct Ends(Option<(NodeId, u64)>);

impl Ends {
    fn learn(&mut self, name: ObjectName, header: &Header) {
        if let (ObjectName::Log(node, seq), Kind::Seal) = (name, header.kind)
            && !self.hide(name)
        {
            self.0 = Some((node, seq));
        }
    }

    fn hide(&self, name: ObjectName) -> bool {
        matches!((name, self.0), (ObjectName::Log(node, seq), Some((of, end))) if node == of && seq > end)
    }
}

fn owner(view: &View) -> String {
    match view.released {
        true => format!("nobody; the last was {}", view.owner),
        false => view.owner.to_string(),
    }
}

/// Whom a damaged object affects, if its directory can or can't be read.
fn whom(name: ObjectName, counts: bool, whole_object: bool) -> &'static str {
    match name {
        ObjectName::Node(_) => "nobody: that it is there is all it says",
        ObjectName::View(_) => "nobody: a start waits for a lease, or needs --takeover",
        _ if !counts => "nobody: it is not needed any more",
        ObjectName::Blob(..) => keys::IN_BLOB,
        _ if !whole_object => "keys whose values are in it",
        ObjectName::Base(..) => "all keys and outcomes in it: which, it could only tell itself",
        _ => "all transactions in it: which, it could only tell itself",
    }
}
