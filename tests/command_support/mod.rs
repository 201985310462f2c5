//! What the tests of commands share: a node in memory, and scripted sessions.

// Each test binary uses a part of it.
#![allow(dead_code)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

pub(crate) mod names;
pub(crate) mod node;
pub(crate) mod script;
