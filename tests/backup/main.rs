//! Backups and imports, as an operator makes them: the program itself, real servers, real files.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a failed expectation is how a test fails"
)]

#[path = "../common/mod.rs"]
mod common;

mod beside_a_node;
mod importing;
mod interrupted;
mod large;
mod moving;
mod progress;
mod refusals;
mod shared;
mod tool;
mod vanishing;
