//! Memory of the data: what the index takes, values that are in the store only, and `maxmemory`.

#![allow(clippy::expect_used, reason = "a failed expectation is how a test fails")]

#[path = "../common/mod.rs"]
mod common;

mod ahead;
mod cold;
mod full;
mod index;
mod largest;
mod outcomes;
mod support;
