//! Lost replies: what a connection that is bound to a transaction was answered and has not read is
//! told again to whoever sends the same commands. Over real sockets, one test for each way in which
//! a connection ends, and for what may come between.

// In a test, an expectation is an assertion.
#![allow(clippy::expect_used)]

#[path = "../common/mod.rs"]
mod common;

mod ends;
mod loops;
mod world;
