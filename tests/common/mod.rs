//! What every black-box test needs: a server process, a client that hides nothing of what is
//! on the wire, directories that go away, and waiting for a condition.
//!
//! These tests see the server only through its sockets, its files and its exit code, and the same
//! tests can run against redis-server (`AFT_TEST_PEER=redis`), which is how they are checked
//! themselves.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed expectation is how a test fails"
)]

pub(crate) mod at_hand;
pub(crate) mod backing;
pub(crate) mod client;
pub(crate) mod differences;
pub(crate) mod gate;
pub(crate) mod kept;
pub(crate) mod late;
pub(crate) mod load;
pub(crate) mod outage;
pub(crate) mod overwritten;
pub(crate) mod owners;
pub(crate) mod program;
pub(crate) mod proxy;
pub(crate) mod resp;
pub(crate) mod seed;
pub(crate) mod server;
pub(crate) mod session;
pub mod sim_disk;
pub(crate) mod small_disk;
pub(crate) mod stores;
pub(crate) mod temp_dir;
pub(crate) mod tls_front;
pub(crate) mod wait;
