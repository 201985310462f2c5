//! What must be so when nothing is written any more.

use crate::checker::Violation;
use crate::store::SimStore;
use crate::world::OUTCOMES_KEEP;
use aft::engine::Engine;
use aft::inspect::{Depth, Inspection, Moment, inspect};
use aft::layout::ObjectName;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::sleep;

/// Once nothing is written any more the store holds what the node counts, and nothing else.
pub(crate) async fn at_rest(
    engine: &Engine,
    store: &SimStore,
    longer_than_a_sweep: Duration,
) -> Result<(), Violation> {
    let names = || -> BTreeSet<String> {
        engine.with_core(|core| {
            let blobs = core.ledger().blobs().names().flat_map(|blob| blob.objects());
            let objects = core.ledger().current().map(|held| held.name).chain(blobs);
            objects.map(|name| name.to_string()).collect()
        })
    };
    sleep(longer_than_a_sweep).await;
    for _ in 0..600 {
        let busy = engine.with_core(|core| core.ledger().replaced() > 0);
        let before = names();
        sleep(Duration::from_secs(1)).await;
        if !busy && names() == before {
            break;
        }
    }
    let counted = names();
    let with_data =
        |name: &String| ["log/", "base/", "blob/"].iter().any(|of| name.starts_with(of));
    let there: BTreeSet<String> = store.objects().into_keys().filter(with_data).collect();
    let unnamed: Vec<_> = there.difference(&counted).collect();
    let missing: Vec<_> = counted.difference(&there).collect();
    if unnamed.is_empty() && missing.is_empty() {
        few_entries(engine, store)?;
        nothing_old(engine)?;
        return nothing_wrong(engine, store).await;
    }
    let name = if missing.is_empty() { "GarbageKept" } else { "NamedMissing" };
    Err(Violation::new(name, format!("nothing names {unnamed:?}; there is no {missing:?}")))
}

/// No snapshot is held any more, and nothing in memory for its sake: transactions that somebody
/// has left open are gone, too.
fn nothing_old(engine: &Engine) -> Result<(), Violation> {
    let found = engine.with_core(|core| {
        let mut found: Vec<String> = core.oldest_pin().iter().map(|p| format!("{p:?}")).collect();
        let open = core.interactive().registry.all();
        found.extend(open.iter().map(|open| format!("{open:?}")));
        for number in 0..core.databases() {
            let db = core.database(number, core.visible());
            let entries = db.into_iter().flat_map(|db| db.index().entries());
            let old = entries.filter(|(_, entry)| {
                entry.versions().nth(1).is_some() || !entry.newest().state.is_alive()
            });
            found.extend(old.map(|(_, entry)| format!("{entry:?}")));
        }
        found
    });
    if found.is_empty() {
        return Ok(());
    }
    Err(Violation::new("OldVersionsKept", found.join("\n")))
}

/// Of all starts before this one a single entry is left, and few of those of this one: new
/// logs are begun for as long as compaction wants to.
fn few_entries(engine: &Engine, store: &SimStore) -> Result<(), Violation> {
    const OWN_MAX: usize = 18;
    let of_node = |name: String| match name.parse() {
        Ok(ObjectName::Node(node)) => Some(node),
        _ => None,
    };
    let entries: Vec<_> = store.objects().into_keys().filter_map(of_node).collect();
    let first = engine.with_core(|core| core.first_node());
    let earlier = entries.iter().filter(|node| **node < first).count();
    if earlier <= 1 && entries.len() - earlier <= OWN_MAX {
        return Ok(());
    }
    let what = format!("entries of starts that nobody needs, before {first}: {entries:?}");
    Err(Violation::new("EntriesKept", what))
}

/// Whoever reads every byte from outside finds nothing wrong and nothing without a name, and counts
/// what the node counts.
async fn nothing_wrong(engine: &Engine, store: &SimStore) -> Result<(), Violation> {
    /// Within so long what has expired is reaped, and counts for the node no more.
    const REAPED_WITHIN: Duration = Duration::from_secs(1);
    loop {
        let (now_ms, counted) = engine.with_core(|core| {
            let keys = (0..core.databases()).map(|db| core.live_keys(db, core.visible())).sum();
            let outcomes = core.interactive().outcomes.len() as u64;
            let (bases, logs) = (core.ledger().count().bases as u64, core.ledger().logs() as u64);
            (core.visible().now_ms, [keys, outcomes, core.live_bytes(), bases, logs])
        });
        let found = seen_at(store, now_ms).await?;
        let seen = [found.keys, found.outcomes, found.live_bytes, found.bases, found.logs];
        if found.faults.is_empty() && found.leftovers_total == 0 && seen == counted {
            return Ok(());
        }
        let before = seen_at(store, now_ms - REAPED_WITHIN.as_millis() as u64).await?;
        if (before.keys, before.live_bytes) == (found.keys, found.live_bytes) {
            let what = format!("{counted:?} are counted, seen {seen:?}: {found:#?}");
            return Err(Violation::new("NotVerified", what));
        }
        // Something has expired just now.
        sleep(REAPED_WITHIN).await;
    }
}

/// What is in the store at this time.
async fn seen_at(store: &SimStore, now_ms: u64) -> Result<Inspection, Violation> {
    let outcomes_since_ms = now_ms.saturating_sub(OUTCOMES_KEEP.as_millis() as u64);
    let moment = Moment { now_ms, outcomes_since_ms };
    let inspected = inspect(store, Depth::Whole, moment, |_, _| ()).await;
    inspected.map_err(|error| Violation::new("NotVerified", error.to_string()))
}
