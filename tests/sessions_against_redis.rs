//! Sessions of several connections against a real redis-server 7.0, aft in memory and aft
//! with its embedded store, side by side: the same replies to the byte, and the same data
//! in the end.
//!
//! ```text
//!  table of commands ─> requests.rs: a row each ─> a session of steps ─┬─> redis-server
//!                       (and spoilt, and unknown)                      ├─> aft, memory
//!                                                                      └─> aft, embedded
//!      compare.rs: the same, but for times and identities <─ replies ──┘
//!      differences.rs: or as docs/differences.md says
//! ```
//! Connections take turns as the session says; a step may be a pipeline. A session that
//! fails is made smaller and printed as a script.
//!
//! Every run plays the same sessions, so that a change fails for what it does and not by
//! chance. To find what they don't: `AFT_SEED=n` plays others, `AFT_SESSIONS=n` so many.
//!
//! ```text
//! for n in $(seq 30); do AFT_SEED=$n cargo test --test sessions_against_redis || break; done
//! ```
//!
//! Wrong types can't be met: all values are strings so far. What is wrong about a value is
//! its text (no number, no float, too long).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod common;

#[path = "sessions_against_redis/compare.rs"]
mod compare;
#[path = "sessions_against_redis/differences.rs"]
mod differences;
#[path = "sessions_against_redis/grammar.rs"]
mod grammar;
#[path = "sessions_against_redis/info.rs"]
mod info;
#[path = "sessions_against_redis/line.rs"]
mod line;
#[path = "sessions_against_redis/play.rs"]
mod play;
#[path = "sessions_against_redis/requests.rs"]
mod requests;
#[path = "sessions_against_redis/script.rs"]
mod script;
#[path = "sessions_against_redis/words.rs"]
mod words;

use common::seed;
use play::Arena;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use rand::RngExt;
use script::Session;
use std::cell::{Cell, RefCell};

/// As many as take half a minute.
const SESSIONS: u32 = 700;

/// Without `AFT_SEED`.
const SEED: u64 = 1;

/// So many smaller ones are tried when one has failed: they go by a hundred in a second.
const SMALLER_SESSIONS: u32 = 800;

fn session() -> impl Strategy<Value = Session> {
    let opening = proptest::sample::select(vec![None, Some(2), Some(3)]);
    vec(opening, 2..=4).prop_flat_map(|openings| {
        let steps = vec(requests::step(openings.len()), 5..60);
        steps.prop_map(move |steps| Session { openings: openings.clone(), steps })
    })
}

/// Whether there is a redis-server 7.0; with `AFT_TEST_REDIS=1` there must be.
fn redis_is_there() -> bool {
    let version = std::process::Command::new("redis-server").arg("--version").output();
    let right = version.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("v=7.0."));
    let wanted = std::env::var_os("AFT_TEST_REDIS").is_some();
    assert!(right || !wanted, "AFT_TEST_REDIS is set and redis-server 7.0 is not here");
    right
}

#[test]
fn every_command_is_asked() {
    assert_eq!(requests::amiss(), [""; 0], "add or remove their rows in requests.rs");
}

#[test]
fn differences_stand_in_the_document_and_nowhere_else() {
    assert_eq!(differences::out_of_step(), [""; 0]);
}

#[test]
fn info_has_the_fields_of_redis() {
    if !redis_is_there() {
        return;
    }
    let told = Arena::start().ask("INFO everything");
    for aft in &told[1..] {
        assert_eq!(info::unexpected(&told[0], aft), [""; 0]);
    }
}

#[test]
fn sessions_get_the_replies_of_redis() {
    if !redis_is_there() {
        return;
    }
    let seed = seed::from_env_or(SEED);
    let count = std::env::var("AFT_SESSIONS").map_or(SESSIONS, |text| text.parse().unwrap());
    let config = Config {
        cases: count,
        failure_persistence: None,
        max_shrink_iters: SMALLER_SESSIONS,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    seed::rng(seed, 0).fill(&mut bytes);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let arena = RefCell::new(Arena::start());
    let replies = Cell::new(0);
    let play = |session| {
        let played = arena.borrow_mut().play(&session).map_err(TestCaseError::fail)?;
        replies.set(replies.get() + played);
        Ok(())
    };
    let result = TestRunner::new_with_rng(config, rng).run(&session(), play);
    match result {
        Ok(()) => println!("{count} sessions, {} replies, AFT_SEED={seed}", replies.get()),
        Err(TestError::Fail(why, session)) => {
            panic!("AFT_SEED={seed}\nthe session:\n{session:?}\nand as it went:\n{why}")
        }
        Err(TestError::Abort(why)) => panic!("AFT_SEED={seed}: {why}"),
    }
}
