//! What strangers and broken clients do to a server, done to a real one: each test asserts a
//! bound that does not hold without the protection it is about. `docs/abuse.md` is the table of
//! them. Where redis-server can be asked, what it does is the measure.

#![allow(clippy::expect_used, reason = "a failed expectation is how a test fails")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../resp_support/odd.rs"]
mod odd;

mod half_open;
mod large;
mod logins;
mod malformed;
mod memory;
mod pipeline;
mod slow;
mod storms;
mod strangers;
mod support;
mod vanish;
