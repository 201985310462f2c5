//! SCAN goes on from step to step while the index grows, and compaction moves what it meets.

use crate::garbage::EAGER;
use crate::losses::{open_with, store};
use aft::engine::version::Value;
use aft::engine::{Engine, EngineOptions};
use aft::layout::Commit;
use aft::transaction::{Finished, Scan, Transaction, View};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::sleep;

const BYTES_MAX: usize = 1 << 20;

/// Too long for the index: compaction has to move it.
const VALUE: [u8; 100] = [b'v'; 100];

/// Writes in one go, and waits until everybody sees it.
async fn write(engine: &Engine, mut work: impl FnMut(&mut Transaction<'_>)) {
    let finished = engine.with_core(|core| {
        let mut transaction = Transaction::begin(core, View::Tip, BYTES_MAX);
        work(&mut transaction);
        transaction.finish(&Commit::default())
    });
    assert!(matches!(finished, Finished::Done { .. }), "{finished:?}");
    assert!(engine.drain().await);
}

async fn put_all(engine: &Engine, keys: impl Iterator<Item = String>) {
    let keys: Vec<String> = keys.collect();
    for some in keys.chunks(1_000) {
        write(engine, |transaction| {
            for key in some {
                let value = Value::String(VALUE.as_slice().into());
                transaction.put(0, key.as_bytes(), value, 0);
            }
        })
        .await;
    }
}

fn step(engine: &Engine, from: u64, count: usize) -> Scan {
    engine.with_core(|core| {
        let mut transaction = Transaction::begin(core, View::Visible, BYTES_MAX);
        let scan = transaction.scan(0, from, count);
        assert!(matches!(transaction.finish(&Commit::default()), Finished::Done { .. }));
        scan
    })
}

/// Keys come while a scan is under way, so many that the index has to grow several times; others go.
/// Which stay from its first step to its last are all met.
#[tokio::test(start_paused = true)]
async fn a_scan_meets_what_stays_while_the_index_grows_and_compaction_moves_it() {
    const GROWN: usize = 12;
    for seed in 0..8 {
        let mut rng = StdRng::seed_from_u64(seed);
        let store = store();
        let options = EngineOptions { compaction: EAGER, ..EngineOptions::default() };
        let (engine, _, run) = open_with(&store, options).await;
        let staying = [300, 1_500, 3_000][rng.random_range(0..3)];
        let stays: BTreeSet<String> = (0..staying).map(|n| format!("stays:{n}")).collect();
        put_all(&engine, stays.iter().cloned()).await;
        put_all(&engine, (0..staying).map(|n| format!("goes:{n}"))).await;
        let (mut at, mut met, mut steps, mut come) = (Some(0), BTreeSet::new(), 0, 0);
        while let Some(from) = at {
            let scan = step(&engine, from, [1, 10, 50][rng.random_range(0..3)]);
            met.extend(scan.keys.iter().map(|key| String::from_utf8(key.to_vec()).unwrap()));
            at = scan.next;
            steps += 1;
            if come < GROWN * staying && steps % 5 == 1 {
                put_all(&engine, (come..come + staying).map(|n| format!("comes:{n}"))).await;
                come += staying;
            }
            if rng.random_bool(0.05) {
                let (from, many) = (rng.random_range(0..staying), staying / 10);
                write(&engine, |transaction| {
                    for n in from..from + many {
                        transaction.delete(0, format!("goes:{n}").as_bytes());
                    }
                })
                .await;
                sleep(Duration::from_millis(200)).await;
            }
        }
        assert_eq!(come, GROWN * staying, "it was over before the index had grown");
        let missed: Vec<_> = stays.difference(&met).collect();
        assert!(missed.is_empty(), "{} stayed and were not met (seed {seed})", missed.len());
        assert!(engine.compaction().bases > 0, "nothing was moved");
        run.abort();
    }
}
