//! Pieces without a head: of deleted objects, of creates that came second, and of those that a crash
//! has left in the middle. Nobody can read them, but they are paid for, so they are deleted, in the
//! background: a delete that waited for each piece would take minutes.
//!
//! A *trace* tells of the pieces of an object as long as there may be any: it is written with them,
//! and deleted after them.

use super::items::{EVERYTHING, Head, Item, Keys, OF_HEAD, SHARDS, Trace};
use super::table::Table;
use crate::clock::{Clock, SystemClock};
use crate::storage::fault::Fault;
use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What no start has swept, a node that runs for long sweeps.
const EVERY: Duration = Duration::from_hours(24);

/// By name and digest.
type Written = HashMap<(String, u128), HashSet<usize>>;

/// Creates that have not come to their end: which batches of their pieces are written. The next
/// attempt goes on from there, or a large object on a slow table would never be whole.
#[derive(Debug, Clone, Default)]
pub(super) struct Unfinished(Arc<Mutex<Written>>);

impl Unfinished {
    fn with<T>(&self, work: impl FnOnce(&mut Written) -> T) -> T {
        // A map is whole between two calls, whatever thread died in between.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The batches that are written already.
    pub(super) fn begin(&self, name: &str, digest: u128) -> HashSet<usize> {
        self.with(|all| all.entry((name.to_owned(), digest)).or_default().clone())
    }

    pub(super) fn note(&self, name: &str, digest: u128, batch: usize) {
        self.with(|all| {
            if let Some(written) = all.get_mut(&(name.to_owned(), digest)) {
                written.insert(batch);
            }
        });
    }

    pub(super) fn end(&self, name: &str, digest: u128) {
        self.with(|all| all.remove(&(name.to_owned(), digest)));
    }

    fn contains(&self, trace: &Trace) -> bool {
        self.with(|all| all.contains_key(&(trace.name.clone(), trace.head.digest)))
    }
}

/// Deletes pieces, as long as the store is there.
#[derive(Debug, Clone)]
pub(super) struct Sweeper(UnboundedSender<Vec<Trace>>);

/// When to look for what a crash has left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// After a start.
    pub(super) first: Duration,
    /// Younger pieces may be those of a create that is under way, of a node that is about to learn
    /// that it was replaced.
    pub(super) age: Duration,
}

struct Work {
    table: Table,
    keys: Keys,
    unfinished: Unfinished,
    age: Duration,
}

impl Sweeper {
    pub(super) fn start(table: Table, keys: Keys, unfinished: Unfinished, times: Times) -> Self {
        let (sender, receiver) = unbounded_channel();
        let work = Work { table, keys, unfinished, age: times.age };
        tokio::spawn(work.run(receiver, times.first));
        Self(sender)
    }

    /// These have no head any more, or never will.
    pub(super) fn remove(&self, traces: Vec<Trace>) {
        if !traces.is_empty() {
            // It fails when the runtime ends: the next start sweeps.
            let _ = self.0.send(traces);
        }
    }
}

impl Work {
    async fn run(self, mut queue: UnboundedReceiver<Vec<Trace>>, first: Duration) {
        let mut sweeping = pin!(tokio::time::sleep(first));
        loop {
            let done = tokio::select! {
                traces = queue.recv() => match traces {
                    Some(traces) => self.remove(&traces).await,
                    None => return,
                },
                () = &mut sweeping => {
                    sweeping.set(tokio::time::sleep(EVERY));
                    self.sweep().await
                }
            };
            if let Err(fault) = done {
                tracing::debug!(?fault, "pieces without an object could not be deleted");
            }
        }
    }

    async fn remove(&self, traces: &[Trace]) -> Result<(), Fault> {
        /// Keys of so many are made at a time.
        const PIECES: usize = 4000;
        for trace in traces {
            let Head { digest, .. } = trace.head;
            let key = |piece| self.keys.piece(&trace.name, digest, piece);
            let mut pieces = (1..trace.head.pieces()).map(key);
            loop {
                let some: Vec<Item> = pieces.by_ref().take(PIECES).collect();
                if some.is_empty() {
                    break;
                }
                self.delete(some).await?;
            }
            self.delete(vec![self.keys.trace(&trace.name, digest)]).await?;
        }
        Ok(())
    }

    /// Nobody else repeats an attempt or gives it up, here.
    async fn delete(&self, keys: Vec<Item>) -> Result<(), Fault> {
        const PATIENCE: Duration = Duration::from_mins(2);
        const AGAIN_AFTER: Duration = Duration::from_secs(1);
        let deleted = tokio::time::timeout(PATIENCE, async {
            loop {
                match self.table.delete(keys.clone()).await {
                    Err(Fault::Passing(why)) => tracing::debug!(%why, "deleting pieces again"),
                    done => return done,
                }
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        });
        let deleted = deleted.await;
        deleted.unwrap_or_else(|_| Err(Fault::Passing("no answer in time".to_owned())))
    }

    /// Looks at all that there are traces of.
    async fn sweep(&self) -> Result<(), Fault> {
        for shard in 0..SHARDS {
            let partition = self.keys.traces(shard);
            let (items, _) = self.table.query(partition, EVERYTHING, usize::MAX, None).await?;
            let traces = items.iter().map(Trace::from_item).collect::<Result<Vec<_>, _>>()?;
            self.remove(&self.without_head(traces).await?).await?;
        }
        Ok(())
    }

    async fn without_head(&self, mut traces: Vec<Trace>) -> Result<Vec<Trace>, Fault> {
        let now = SystemClock::new().wall_ms() / 1000;
        let is_old = |trace: &Trace| trace.seconds.saturating_add(self.age.as_secs()) <= now;
        traces.retain(|trace| is_old(trace) && !self.unfinished.contains(trace));
        let names: HashSet<&str> = traces.iter().map(|trace| trace.name.as_str()).collect();
        let keys = names.into_iter().map(|name| self.keys.head(name)).collect();
        let mut heads = HashMap::new();
        for ((_, name), item) in self.table.get(keys, Some(OF_HEAD), true).await? {
            heads.insert(name, Head::from_item(&item)?);
        }
        traces.retain(|trace| heads.get(&trace.name) != Some(&trace.head));
        Ok(traces)
    }
}
