//! A Redis as the store: what a start says and refuses, and what happens when the Redis, or the
//! network before it, goes away under load.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed expectation is how a test fails"
)]

#[path = "../common/mod.rs"]
mod common;

mod commits;
mod confirmed;
mod limits;
mod network;
mod outage;
mod owners;
mod refused;
mod start;

use common::backing::Backing;
use common::client::Client;
use common::stores::{at, impatient, refusal};

/// A connection to the Redis itself.
fn inside(backing: &Backing) -> Client {
    backing.servers()[0].client()
}

/// How many keys there are in the Redis.
fn keys(backing: &Backing) -> i64 {
    inside(backing).cmd("DBSIZE").int()
}
