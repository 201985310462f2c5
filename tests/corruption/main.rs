//! Damage of every kind to objects of every kind: the start goes on and names it, what it does
//! not touch is served as it was, what it touches is never served as bytes that nobody wrote,
//! and `inspect` finds it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed expectation is a failure")]

#[path = "../common/program.rs"]
#[allow(dead_code, reason = "shared with others")]
mod program;
#[path = "../common/temp_dir.rs"]
#[allow(dead_code, reason = "shared with others")]
mod temp_dir;

mod cli;
mod directory;
mod node;
mod objects;
mod world;
