use super::super::super::EngineOptions;
use super::super::{Core, CoreOptions};
use super::{CompactionLimits, Plan, swaps_to};
use crate::layout::{CommitId, Control, ObjectName, Write};

const LIMITS: CompactionLimits =
    CompactionLimits { store_bytes_min: 0, ..EngineOptions::COMPACTION };

#[test]
fn swaps_lead_to_any_permutation() {
    let identity: Vec<u8> = (0..=u8::MAX).collect();
    assert!(swaps_to(&identity).is_empty());
    let mut wanted = identity.clone();
    for (one, other) in [(0, 1), (1, 2), (7, 0), (3, 3), (254, 1), (2, 0)] {
        wanted.swap(one, other);
    }
    let mut reached = identity;
    for (one, other) in swaps_to(&wanted) {
        reached.swap(usize::from(one), usize::from(other));
    }
    assert_eq!(reached, wanted);
}

fn core() -> Core {
    let mut core = Core::new(CoreOptions {
        databases: 1,
        group_bytes_max: 1 << 20,
        object_bytes_max: u64::MAX,
        blob_bytes_min: usize::MAX,
        blob_chunk_bytes: u32::MAX,
        blobs_move: false,
        step_bytes_min: 1 << 20,
        logged: true,
        hash_seed: 7,
        cache_bytes: 0,
    });
    core.begin(1, CommitId::ZERO, 0);
    core
}

/// A log with one group, which is closed; that of `next` is begun.
fn close_log(core: &mut Core, next: u32) {
    core.commit_controls(&[Control::LogClosed { node: 0, end: 0 }]);
    assert!(core.depart().is_some());
    core.acknowledge();
    core.roll_to(next);
}

/// The base is in the store, and counts.
fn count_base(core: &mut Core, plan: &Plan, controls: &[Write<'static>]) {
    core.add_base(plan, 100, 0, 100);
    core.publish_base(plan, controls, &[]);
}

#[test]
fn a_step_takes_nothing_that_came_after_the_place_of_the_one_ahead() {
    let mut core = core();
    close_log(&mut core, 2);
    let ahead = core.plan_compaction(&LIMITS, 1, None, None).expect("a plan");
    assert_eq!(
        ahead.names.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        [ObjectName::Log(1, 1), ObjectName::Log(1, 2),]
    );
    close_log(&mut core, 3);
    assert!(core.plan_compaction(&LIMITS, 2, None, Some(&ahead)).is_none());
    // When that one counts, its base comes first, which is older than the group.
    let controls = core.base_controls(&ahead, None);
    count_base(&mut core, &ahead, &controls);
    let next = core.plan_compaction(&LIMITS, 2, None, None).expect("a plan");
    assert_eq!(next.names.first().map(|(name, _)| *name), Some(ObjectName::Base(2, 1)));
}

#[test]
fn the_base_ahead_counts_for_the_next_and_what_both_replace_does_not() {
    let mut core = core();
    close_log(&mut core, 2);
    close_log(&mut core, 3);
    let mut ahead = core.plan_compaction(&LIMITS, 1, None, None).expect("a plan");
    // As if it took the first log only.
    ahead.names.truncate(2);
    (ahead.count.groups, ahead.trimmed) = (2, (1, 2));
    let next = core.plan_compaction(&LIMITS, 2, None, Some(&ahead)).expect("a plan");
    let names: Vec<_> = next.names.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, [ObjectName::Log(2, 1), ObjectName::Log(2, 2)]);
    assert_eq!(
        core.base_controls(&next, Some(&ahead)),
        [
            Write::Control(Control::LogTrimmed { node: 2, through: 2 }),
            Write::Control(Control::Bases { node: 3, first: 1, last: 1 }),
        ]
    );
}

#[test]
fn the_next_group_tells_of_a_base_and_one_that_never_happened_does_not() {
    let mut core = core();
    close_log(&mut core, 2);
    let plan = core.plan_compaction(&LIMITS, 1, None, None).expect("a plan");
    let controls = core.base_controls(&plan, None);
    count_base(&mut core, &plan, &controls);
    let departure = core.depart().expect("a group of its own, if there is no other");
    assert_eq!(departure.base, plan.base);
    assert!(!departure.builder.is_empty());
    assert!(!core.tells_of_base(plan.base));
    // The store refuses it: the node goes on with another log.
    core.restart_as(3);
    let again = core.depart().expect("a group");
    assert_eq!(again.base, plan.base);
    assert!(!core.tells_of_base(plan.base));
    core.acknowledge();
    assert!(core.tells_of_base(plan.base));
    assert!(core.depart().is_none());
}

/// Who waits for the newest group there is must not wait for one that is never sent.
#[test]
fn a_full_group_that_waits_to_be_sent_tells_of_a_base_and_no_other_has_to() {
    let mut core = core();
    close_log(&mut core, 2);
    let plan = core.plan_compaction(&LIMITS, 1, None, None).expect("a plan");
    let controls = core.base_controls(&plan, None);
    core.commit_controls(&[Control::LogClosed { node: 0, end: 0 }]);
    core.close_open_group();
    count_base(&mut core, &plan, &controls);
    let waited_for = core.newest_pending();
    assert!(core.depart().is_some());
    core.acknowledge();
    assert!(core.tells_of_base(plan.base));
    assert!(core.acked >= waited_for && core.depart().is_none());
}
