//! TLS: who is let in, what a handshake may cost the others, and that nothing gets stuck between
//! the server and the wire. What redis-server has too runs against it with `AFT_TEST_PEER=redis`.

#![allow(clippy::expect_used, reason = "a failed expectation is how a test fails")]

#[path = "../common/mod.rs"]
mod common;

mod cli;
mod client;
mod doors;
mod handshakes;
mod importing;
mod start;
mod streams;
mod world;
