//! Sweeping: what nothing names leaves the store.
//!
//! Objects of earlier nodes that have been replaced, lie behind the end of their log, or that no
//! header names, were listed late at the start or came to be after that: everybody ignores them,
//! and they only take space. So no start waits until they are gone.
//!
//! The entries of earlier starts, too, which keep a node id from being drawn twice. A start
//! draws the first id above all that are listed whose entry it can create. A listing may be
//! late, but what it has shown once it shows from then on. So when one entry is seen in a
//! listing, every later start draws above that; the entries below have nothing left to
//! keep, and go. Those above stay, listed or not: the next start finds them in its way. Views go by
//! the same rule.

use super::Engine;
use super::core::Health;
use super::ownership;
use crate::layout::{NodeId, ObjectName};
use crate::storage::StoreError;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often it is asked whether something is to be done.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// It is looked for at once, and again when whatever a dead process had sent has arrived.
const SWEEP_AGAIN: Duration = Duration::from_secs(90);

/// And so often after that.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// When a node has gone on under so many new ids, the entries of the old ones are looked for.
const ENTRIES_MAX: NodeId = 16;

/// So many views before the newest are deleted without having been listed: those of as many ids,
/// which a listing may not show yet. One that was missed is listed at the next sweep.
const VIEWS_UNLISTED_MAX: u64 = ENTRIES_MAX as u64;

/// Names a store deletes at a time at the most (S3).
pub(super) const DELETE_NAMES_MAX: usize = 1000;

/// Names that are looked up in one go, while commands wait: some microseconds.
const SLICE_NAMES: usize = 64;

/// Sweeps for ever.
pub(super) async fn run(engine: &Engine) -> ! {
    let mut strays = BTreeSet::new();
    let began = engine.clock.monotonic();
    let mut sweep_at = began;
    let mut looked_at_entries = engine.with_core(|core| core.node());
    loop {
        let (now, node) = (engine.clock.monotonic(), engine.with_core(|core| core.node()));
        let everything = now >= sweep_at;
        // Where something is damaged all is left as it is.
        if !engine.damaged.load(Ordering::Relaxed)
            && engine.may_delete()
            && (everything || node - looked_at_entries >= ENTRIES_MAX)
        {
            looked_at_entries = node;
            let again_at = began + SWEEP_AGAIN;
            if everything {
                sweep_at = if now < again_at { again_at } else { now + SWEEP_EVERY };
            }
            if let Err(error) = sweep(engine, everything, &mut strays).await {
                tracing::warn!(%error, "what is left over could not be swept");
            }
            if now < again_at {
                // It is too early to say that of our own nobody names them any more.
                strays.clear();
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn sweep(
    engine: &Engine,
    everything: bool,
    strays: &mut BTreeSet<ObjectName>,
) -> Result<(), StoreError> {
    let listed = engine.store.list(ObjectName::NODES).await?;
    let newest_listed = nodes(&listed).into_iter().next_back();
    // Entries keep ids from being drawn again: whoever was replaced leaves them to the next owner.
    if !engine.with_core(|core| core.lease_holds() && *core.health() == Health::Serving) {
        return Ok(());
    }
    delete(engine, superseded_entries(nodes(&listed), newest_listed)).await?;
    delete(engine, superseded_views(engine).await?).await?;
    let prefixes = [ObjectName::LOGS, ObjectName::BASES, ObjectName::BLOBS];
    for prefix in prefixes.into_iter().filter(|_| everything) {
        let listed = engine.store.list(prefix).await?;
        let Unnamed { of_earlier, own_blobs } = unnamed(engine, listed).await;
        delete(engine, of_earlier).await?;
        if prefix == ObjectName::BLOBS {
            // What came late to a blob that had been let go of. Known an hour ago, and by nobody.
            let seen_before = own_blobs.intersection(strays).copied().collect();
            delete(engine, seen_before).await?;
            *strays = own_blobs;
        }
    }
    Ok(())
}

/// The node ids whose entries are among these names.
pub(super) fn nodes(names: &[String]) -> BTreeSet<NodeId> {
    let node = |name: &String| match name.parse() {
        Ok(ObjectName::Node(node)) => Some(node),
        _ => None,
    };
    names.iter().filter_map(node).collect()
}

/// The entries that keep nothing from being drawn, given the newest one that a listing has
/// shown. The last one before the newest stays, so that it can be told when one is missing.
fn superseded_entries(
    mut entries: BTreeSet<NodeId>,
    newest_listed: Option<NodeId>,
) -> Vec<ObjectName> {
    entries.pop_last();
    entries.pop_last();
    entries.retain(|node| Some(*node) < newest_listed);
    entries.into_iter().map(ObjectName::Node).collect()
}

/// The views before the newest one that a listing shows, listed or not.
async fn superseded_views(engine: &Engine) -> Result<Vec<ObjectName>, StoreError> {
    if engine.ownership.is_none() {
        return Ok(Vec::new());
    }
    let listed = engine.store.list(ObjectName::VIEWS).await?;
    let mut views: BTreeSet<u64> = ownership::numbers(&listed).collect();
    if let Some(newest) = views.last().copied() {
        views.extend(newest.saturating_sub(VIEWS_UNLISTED_MAX).max(1)..newest);
        views.pop_last();
    }
    Ok(views.into_iter().map(ObjectName::View).collect())
}

/// Objects that nothing names.
#[derive(Default)]
struct Unnamed {
    /// Of earlier nodes.
    of_earlier: Vec<ObjectName>,
    /// Blobs of this process: some may be about to be named.
    own_blobs: BTreeSet<ObjectName>,
}

async fn unnamed(engine: &Engine, listed: Vec<String>) -> Unnamed {
    let first_node = engine.with_core(|core| core.first_node());
    let mut names: Vec<ObjectName> = listed.iter().filter_map(|name| name.parse().ok()).collect();
    names.retain(|name| match *name {
        ObjectName::Log(node, _) | ObjectName::Base(node, _) => node < first_node,
        ObjectName::Blob(..) => true,
        ObjectName::Node(_) | ObjectName::View(_) => false,
    });
    let mut unnamed = Unnamed::default();
    while !names.is_empty() {
        let slice = names.split_off(names.len().saturating_sub(SLICE_NAMES));
        engine.with_core(|core| {
            for name in slice.into_iter().filter(|name| !core.ledger().holds(*name)) {
                match name {
                    ObjectName::Blob(node, _) if node >= first_node => {
                        unnamed.own_blobs.insert(name);
                    }
                    _ => unnamed.of_earlier.push(name),
                }
            }
        });
        tokio::task::yield_now().await;
    }
    unnamed
}

/// Deletes objects, as many at a time as a store takes.
pub(super) async fn delete(engine: &Engine, names: Vec<ObjectName>) -> Result<(), StoreError> {
    for names in names.chunks(DELETE_NAMES_MAX) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        engine.store.delete(&names).await?;
    }
    Ok(())
}
