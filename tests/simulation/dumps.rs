//! Dumps that are taken beside a node, while compaction moves and deletes what they read.

use crate::faults::{Faults, fork};
use crate::losses::open_with;
use crate::mutants::Mutant;
use crate::store::SimStore;
use aft::backup::format::{DumpReader, Item};
use aft::backup::{BackupError, Entry, dump};
use aft::engine::core::compaction::CompactionLimits;
use aft::engine::gate;
use aft::engine::version::Value;
use aft::engine::{Engine, EngineOptions};
use aft::layout::Commit;
use aft::storage::Store;
use aft::transaction::{Finished, Transaction, View};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::sleep;

const SEEDS: u64 = 30;
const DUMPS: usize = 6;

/// Of one transaction, which writes them all.
const KEYS: u64 = 12;

/// In a directory, behind it, and in a blob.
const VALUE_BYTES: [usize; 3] = [10, 70, 300];

/// Nothing stays where it is for long.
const RESTLESS: CompactionLimits = CompactionLimits {
    store_percent_max: 110,
    store_bytes_min: 0,
    groups_max: 1,
    logs_max: 1,
    debt_percent_max: 1_000,
    step_bytes: 500,
};

/// What a key is in a round: in each of them one is deleted.
fn wanted(round: u64, key: u64) -> Option<Vec<u8>> {
    let pad = "v".repeat(VALUE_BYTES[(key % 3) as usize]);
    (round % KEYS != key).then(|| format!("{round}:{pad}").into_bytes())
}

/// One transaction of all keys, acknowledged when this returns.
async fn write(engine: &Engine, round: u64) {
    let mut fetched = Vec::new();
    loop {
        let finished = engine.with_core(|core| {
            core.lend(std::mem::take(&mut fetched));
            let mut transaction = Transaction::begin(core, View::Tip, 1 << 20);
            for key in 0..KEYS {
                let name = format!("key:{key}");
                match wanted(round, key) {
                    Some(value) => {
                        transaction.put(0, name.as_bytes(), Value::String(value.into()), 0);
                    }
                    None => _ = transaction.delete(0, name.as_bytes()),
                }
            }
            let finished = transaction.finish(&Commit::default());
            core.keep_lent();
            finished
        });
        match finished {
            Finished::Fetch(missing) => fetched = engine.fetch(&missing).await.unwrap(),
            Finished::Done { gate: Some(gate), .. } => {
                let outcome = poll_fn(|context| gate.poll(context)).await;
                return assert_eq!(outcome, gate::Outcome::Durable);
            }
            other => panic!("{other:?}"),
        }
    }
}

fn entries(dumped: &[u8]) -> Vec<Entry> {
    let mut reader = DumpReader::new(dumped).unwrap();
    let mut entries = Vec::new();
    loop {
        match reader.next_item().unwrap() {
            Item::Entry(entry) => entries.push(entry),
            Item::Again => entries.clear(),
            Item::End(_) => return entries,
        }
    }
}

/// Which round a dump is of: all of it, with each key as it was then.
fn round_of(dumped: &[u8]) -> u64 {
    let entries = entries(dumped);
    let value = std::str::from_utf8(&entries.first().expect("keys").value).unwrap();
    let round = value.split(':').next().unwrap().parse().unwrap();
    let mut keys = 0;
    for key in 0..KEYS {
        let name = format!("key:{key}");
        let found = entries.iter().find(|entry| entry.key == name.as_bytes());
        let found = found.map(|entry| entry.value.to_vec());
        assert_eq!(found, wanted(round, key), "{name} is not of round {round}");
        keys += usize::from(found.is_some());
    }
    assert_eq!(keys, entries.len(), "a key twice");
    round
}

#[tokio::test(start_paused = true)]
async fn a_dump_is_of_one_moment_whatever_is_compacted_meanwhile() {
    let (mut moved, mut dumps, mut given_up) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut rng = StdRng::seed_from_u64(seed);
        let delay_ms_max = [2, 10, 40][(seed % 3) as usize];
        let faults = Faults { delay_ms_max, ..Faults::calm() };
        let store = SimStore::new(faults, 4, Mutant::Honest, fork(&mut rng));
        let options = EngineOptions {
            compaction: RESTLESS,
            blob_bytes_min: 200,
            blob_chunk_bytes: 90,
            ..EngineOptions::default()
        };
        let (engine, _, run) = open_with(&store, options).await;
        write(&engine, 1).await;
        let acknowledged = Arc::new(AtomicU64::new(1));
        let (writes, told) = (Arc::clone(&engine), Arc::clone(&acknowledged));
        // By how many requests one after the other take as long.
        let pause_ms = delay_ms_max * [20, 60, 200][rng.random_range(0..3)];
        let writer = tokio::spawn(async move {
            for round in 2.. {
                write(&writes, round).await;
                told.store(round, Ordering::Relaxed);
                sleep(Duration::from_millis(pause_ms)).await;
            }
        });
        for _ in 0..DUMPS {
            sleep(Duration::from_millis(rng.random_range(0..delay_ms_max * 200))).await;
            let before = acknowledged.load(Ordering::Relaxed);
            let mut dumped = Vec::new();
            let open = async || Ok(Box::new(store.clone()) as Box<dyn Store>);
            match dump(open, &mut dumped, "", 0, |_, _| ()).await {
                Ok(_) => {
                    let after = acknowledged.load(Ordering::Relaxed) + 1;
                    let round = round_of(&dumped);
                    let seen = format!("round {round} between {before} and {after}, seed {seed}");
                    assert!((before..=after).contains(&round), "{seen}");
                    dumps += 1;
                }
                // It says so, and gives nothing, where all is compacted faster than it reads.
                Err(BackupError::Refused(why)) if why.contains("compacted it away") => {
                    given_up += 1;
                }
                Err(other) => panic!("{other}"),
            }
        }
        moved += engine.compaction().objects;
        writer.abort();
        run.abort();
    }
    println!("{dumps} dumps, {given_up} given up, while {moved} objects were replaced");
    assert!(
        dumps > given_up && given_up > 0 && moved > 1_000,
        "{dumps} dumps, {moved} objects replaced"
    );
}
