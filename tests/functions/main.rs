//! Functions that know nothing of transactions, run by `aft run` against the real binary, with
//! everything that goes wrong with functions; what `aft txn` tells of them; and the crash matrix,
//! whose functions are connections of the test itself.
//!
//! Most others are shell scripts whose redis-cli has nothing but REDIS_URL.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../history_support/mod.rs"]
mod history_support;

mod accidents;
mod delivery;
mod function;
mod history;
mod looking;
mod matrix;
mod running;
