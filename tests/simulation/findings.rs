//! What seeds have found, each as the smallest story that shows it: these stay found even
//! when a change of the engine sends the seeds elsewhere.

use crate::faults::{Faults, Outage, OutageKind};
use crate::losses::{get, open, put, store, written};
use aft::engine::gate::Outcome;
use aft::transaction::{Finished, Transaction, View};
use std::time::Duration;

/// A whole log of which nothing is listed yet is not a log that isn't there.
#[tokio::test(start_paused = true)]
async fn a_log_that_lists_late_is_read_all_the_same() {
    for hidden in ["log/", "node/", ""] {
        let store = store();
        written(&store).await;
        store.list_late(Duration::from_secs(60), |name| name.starts_with(hidden));
        let (engine, recovered, _run) = open(&store).await;
        assert_eq!(recovered.damages, Vec::<String>::new());
        assert_eq!(recovered.keys, 3, "with {hidden:?} hidden");
        assert_eq!(get(&engine, "c").await, Ok(Some("4".to_owned())));
        assert_eq!(engine.with_core(|core| core.node()), 2);
    }
}

/// DEL of a key that a pending FLUSHDB has buried answers 0, and waits for the flush.
#[tokio::test(start_paused = true)]
async fn a_reply_that_a_pending_flush_has_shaped_waits_for_it() {
    let store = store();
    let (engine, _, _run) = open(&store).await;
    put(&engine, "a", "1").await;
    store.set_faults(Faults {
        outages: vec![Outage {
            kind: OutageKind::Silent,
            from: Duration::ZERO,
            until: Duration::from_secs(3_600),
        }],
        ..Faults::default()
    });
    let finish = |mut transaction: Transaction<'_>| match transaction.finish(&Default::default()) {
        Finished::Done { gate, .. } => gate.expect("it waits"),
        other => panic!("{other:?}"),
    };
    let (flushed, deleted) = engine.with_core(|core| {
        let mut transaction = Transaction::begin(core, View::Tip, 1 << 20);
        transaction.flush(0);
        let flushed = finish(transaction);
        let mut transaction = Transaction::begin(core, View::Tip, 1 << 20);
        assert!(!transaction.delete(0, b"a"));
        (flushed, finish(transaction))
    });
    assert_eq!(deleted.outcome(), Outcome::Pending);
    // Before the engine could send it the node gives up: nothing was flushed.
    engine.with_core(|core| core.refuse("an outage".to_owned()));
    assert_eq!(flushed.outcome(), Outcome::NotCommitted);
    assert_eq!(deleted.outcome(), Outcome::NotCommitted);
    assert_eq!(get(&engine, "a").await, Ok(Some("1".to_owned())));
}
