//! The front door: what any client may do to the server's sockets, and what it must see. Where
//! redis-server can do the same, both are run and compared to the byte.

#![allow(clippy::expect_used, reason = "a failed expectation is how a test fails")]

#[path = "../common/mod.rs"]
mod common;

mod blobs;
mod commands;
mod completion;
mod connect;
mod crowd;
mod held;
mod large;
mod pipeline;
mod slow;
mod told;
mod transactions;
mod users;
mod wire;
