//! Why compaction has begun, and what of the oldest it has left: seen by clients, between what they ask.

use crate::store::SimStore;
use aft::engine::Engine;
use aft::engine::core::Core;
use aft::engine::core::compaction::CompactionLimits;
use aft::layout::{NodeId, ObjectName};

/// What a client saw when it looked last.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    cause: Option<&'static str>,
    bases: u64,
    base: (NodeId, u64),
}

impl Rounds {
    /// Counts what has happened since.
    pub(crate) fn look(&mut self, engine: &Engine, store: &SimStore) {
        let (limits, bases) = (engine.compaction_limits(), engine.compaction().bases);
        let (cause, base, oldest) = engine.with_core(|core| {
            let oldest = core.ledger().bases().next().map(|held| held.name);
            (cause(core, &limits), core.base(), oldest)
        });
        if let Some(was) = self.cause.filter(|_| bases > self.bases) {
            store.hit(was);
            let left = oldest.is_some_and(|oldest| {
                let (node, number) = self.base;
                oldest <= ObjectName::Base(node, number)
            });
            if left && cause.is_none() {
                store.hit("too many objects, and a base is left");
            }
        }
        *self = Self { cause, bases, base };
    }
}

/// Which limit on the number of objects alone asks for compaction: nothing is to be gained in bytes.
fn cause(core: &Core, limits: &CompactionLimits) -> Option<&'static str> {
    let many = |limits: CompactionLimits| core.objects_are_too_many(&limits);
    if core.compaction_debt_bytes(limits) > 0 {
        None
    } else if many(CompactionLimits { logs_max: usize::MAX, ..*limits }) {
        Some("too many groups alone")
    } else if many(CompactionLimits { groups_max: usize::MAX, ..*limits }) {
        Some("too many logs alone")
    } else {
        None
    }
}
