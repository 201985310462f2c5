//! The order of all committed transactions, as the store's content says: a reader of its
//! own on top of the format, which shares nothing with the engine's recovery.

use crate::checker::Violation;
use crate::history::{Key, TxnId};
use crate::inside::{attempt_of, number_of};
use aft::layout::group::{checked_directory, verify_object};
use aft::layout::{BlobName, CommitId, Control, Header, Kind, NodeId, ObjectName, Place, Write};
use bytes::Bytes;
use std::collections::BTreeMap;

/// A write as it stands in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stored {
    Put(Key, Vec<u8>, u64),
    Delete(Key),
    /// Only the expiry changes, of the version that this commit wrote.
    Meta(Key, CommitId, u64),
    Flush(u8),
}

/// A committed transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) id: CommitId,
    pub(crate) txn: TxnId,
    /// The request that it fulfils, if it is interactive and has one.
    pub(crate) request: Option<usize>,
    /// The group it stands in.
    pub(crate) group: (NodeId, u64),
    pub(crate) writes: Vec<Stored>,
}

/// What the logs hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Order {
    pub(crate) commits: Vec<Committed>,
    /// Logs that end with a seal.
    pub(crate) seals: u64,
    /// Groups that somebody has declared lost.
    pub(crate) holes: u64,
    /// Groups that hold more than one transaction.
    pub(crate) shared_groups: u64,
}

/// Reads all logs.
pub(crate) fn read(objects: &BTreeMap<String, Bytes>) -> Result<Order, Violation> {
    let mut logs: BTreeMap<NodeId, BTreeMap<u64, &Bytes>> = BTreeMap::new();
    for (name, bytes) in objects {
        let parsed = name.parse().map_err(|error| broken(name, error))?;
        verify_object(bytes).map_err(|error| broken(name, error))?;
        if let ObjectName::Log(node, seq) = parsed {
            logs.entry(node).or_default().insert(seq, bytes);
        }
    }
    let mut order = Order::default();
    let mut ends: BTreeMap<NodeId, u64> = BTreeMap::new();
    let mut recorded: Vec<(NodeId, u64)> = Vec::new();
    for (node, log) in logs {
        let mut seq = 1;
        let mut sealed = false;
        while let Some(bytes) = log.get(&seq) {
            let name = ObjectName::Log(node, seq).to_string();
            let header = Header::decode(bytes).map_err(|error| broken(&name, error))?;
            if (header.node, header.number) != (node, seq) {
                return Err(broken(&name, "the header names another object"));
            }
            match header.kind {
                Kind::Group => order.read_group(&header, bytes, objects, &mut recorded)?,
                Kind::Seal => sealed = true,
                Kind::Hole => order.holes += 1,
                other => return Err(broken(&name, format!("is a {other:?}"))),
            }
            if sealed {
                break;
            }
            seq += 1;
        }
        order.seals += u64::from(sealed);
        ends.insert(node, seq - 1);
    }
    for (node, end) in recorded {
        if ends.get(&node).copied().unwrap_or(0) != end {
            return Err(Violation::new(
                "ClosingContradictsLog",
                format!("log {node} was closed at {end}, and ends at {:?}", ends.get(&node)),
            ));
        }
    }
    match order.commits.windows(2).find(|two| two[0].id >= two[1].id) {
        None => Ok(order),
        Some(two) => {
            Err(Violation::new("CommitIdsOutOfOrder", format!("{:?} before {:?}", two[0], two[1])))
        }
    }
}

fn broken(name: &str, why: impl ToString) -> Violation {
    Violation::new("BrokenObject", format!("{name}: {}", why.to_string()))
}

impl Order {
    fn read_group(
        &mut self,
        header: &Header,
        bytes: &Bytes,
        objects: &BTreeMap<String, Bytes>,
        recorded: &mut Vec<(NodeId, u64)>,
    ) -> Result<(), Violation> {
        let name = ObjectName::Log(header.node, header.number).to_string();
        let before = self.commits.len();
        let mut directory =
            checked_directory(header, bytes).map_err(|error| broken(&name, error))?;
        while let Some(commit) = directory.next_commit().map_err(|error| broken(&name, error))? {
            let mut writes = Vec::new();
            for write in &commit.writes {
                if let Write::Control(control) = write {
                    if let Control::LogClosed { node, end } = control {
                        recorded.push((*node, *end));
                    }
                } else {
                    writes.push(
                        stored(header, bytes, objects, write)
                            .ok_or_else(|| broken(&name, format!("unexpected {write:?}")))?,
                    );
                }
            }
            // An interactive one says by its result which attempt it is.
            let says = commit.token.map_or(commit.request, |_| commit.result);
            let Some(says) = says else {
                if writes.is_empty() {
                    continue;
                }
                return Err(broken(&name, format!("commit {} is nobody's", commit.id)));
            };
            let txn =
                attempt_of(says).ok_or_else(|| broken(&name, "a request that no client made"))?;
            let request = commit.request.filter(|_| commit.token.is_some()).and_then(number_of);
            self.commits.push(Committed {
                id: commit.id,
                txn,
                request,
                group: (header.node, header.number),
                writes,
            });
        }
        self.shared_groups += u64::from(self.commits.len() > before + 1);
        Ok(())
    }
}

fn stored(
    header: &Header,
    bytes: &Bytes,
    objects: &BTreeMap<String, Bytes>,
    write: &Write<'_>,
) -> Option<Stored> {
    match *write {
        Write::Put { database, key, expires_ms, place, .. } => {
            let value = match place {
                Place::Inline(value) => value.to_vec(),
                Place::Values { offset, length, .. } => {
                    let from = (header.values_offset() + offset) as usize;
                    bytes.get(from..from + length as usize)?.to_vec()
                }
                Place::Blob { blob, .. } => value_in_blob(objects, &blob)?,
            };
            let key = Key::parse(database, key)?;
            Some(Stored::Put(key, value, expires_ms.unwrap_or(0)))
        }
        Write::Delete { database, key } => Some(Stored::Delete(Key::parse(database, key)?)),
        Write::Meta { database, key, predecessor, expires_ms } => {
            let key = Key::parse(database, key)?;
            Some(Stored::Meta(key, predecessor, expires_ms.unwrap_or(0)))
        }
        Write::Flush { database } => Some(Stored::Flush(database)),
        Write::Patch { .. } | Write::Swap { .. } | Write::Control(_) => None,
    }
}

/// The value that the chunks of a blob hold, each behind a header and a checksum.
fn value_in_blob(objects: &BTreeMap<String, Bytes>, blob: &BlobName) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    while (value.len() as u64) < blob.length {
        let at = value.len() as u64 / u64::from(blob.chunk_bytes);
        let object = objects.get(&ObjectName::Blob(blob.node, blob.number + at).to_string())?;
        let from = Header::decode(object).ok()?.values_offset() as usize;
        value.extend_from_slice(object.get(from..)?);
    }
    Some(value)
}
