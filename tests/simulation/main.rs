//! The seeded simulation: processes that die at any moment on a store that fails in any
//! way it may, clients that remember what they were told, and a checker that holds it
//! against what the store's logs say has happened.
//!
//! `cargo test --test simulation` runs 1000 seeds; `AFT_SEEDS=n` more or fewer,
//! `AFT_FIRST_SEED=n` others, and `AFT_SEED=n` one of them again, exactly.

// A test may fail loudly.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod at_hand;
mod attempts;
mod checker;
mod client;
mod clock;
mod company;
mod coverage;
mod deaths;
mod dumps;
mod endings;
mod faults;
mod findings;
mod garbage;
mod handover;
mod history;
mod inside;
mod losses;
mod model;
mod mutants;
mod naming;
mod order;
mod owners;
mod planted;
mod pressure;
mod reads;
mod refused;
mod rest;
mod rolls;
mod rounds;
mod scans;
mod starts;
mod store;
mod world;

use coverage::Coverage;
use mutants::Mutant;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use world::Run;

/// Seeds of a run that nobody has asked for more or fewer.
const SEEDS: u64 = 1000;

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// What a person needs to see of a failure.
fn report(seed: u64, run: &Run) -> Option<String> {
    let violation = run.violation.as_ref()?;
    let mut text = format!("seed {seed}: {violation}\n\nthe history around it:\n");
    let ids = violation.txns.iter();
    let shown = ids.filter_map(|id| run.history.txns.get(*id as usize)).next();
    let last = run.history.txns.last();
    if let Some(around) = shown.or(last) {
        let until = around.told.unwrap_or(around.asked + 20) + 5;
        let from = around.asked.saturating_sub(40);
        for txn in &run.history.txns {
            if txn.asked <= until && txn.told.unwrap_or(txn.asked) >= from {
                let place = run.order.commits.iter().position(|c| c.txn == txn.id);
                let commit = place.map(|place| {
                    let commit = &run.order.commits[place];
                    format!(" = #{place} {} in {:?}", commit.id, commit.group)
                });
                let _ = writeln!(text, "  {txn}{}", commit.unwrap_or_default());
            }
        }
    }
    let _ = write!(
        text,
        "\nseed {seed}: {violation}\n\nreplay: AFT_SEED={seed} cargo test --test simulation seeds"
    );
    Some(text)
}

#[test]
fn seeds() {
    if let Some(seed) = from_environment("AFT_SEED") {
        let run = world::run(seed, Mutant::Honest);
        println!("{}fingerprint {:016x}", run.coverage, run.fingerprint());
        if let Some(report) = report(seed, &run) {
            panic!("{report}");
        }
        return;
    }
    let first = from_environment("AFT_FIRST_SEED").unwrap_or(0);
    let seeds = from_environment("AFT_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(first);
    let coverage = Mutex::new(Coverage::default());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds || !failures.lock().unwrap().is_empty() {
                        return;
                    }
                    let run = world::run(seed, Mutant::Honest);
                    coverage.lock().unwrap().merge(&run.coverage);
                    if let Some(report) = report(seed, &run) {
                        failures.lock().unwrap().push(report);
                    }
                }
            });
        }
    });
    let coverage = coverage.into_inner().unwrap();
    println!("{seeds} seeds\n{coverage}");
    if let Some(report) = failures.into_inner().unwrap().pop() {
        panic!("{report}");
    }
    if seeds >= SEEDS {
        let missing = coverage.missing();
        assert!(missing.is_empty(), "blind for: {missing:?}");
    }
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..20 {
        let runs = [(); 2].map(|()| world::run(seed, Mutant::Honest).fingerprint());
        assert_eq!(runs[0], runs[1], "seed {seed}");
    }
}
