//! What is allowed: the data of the rules.

use crate::rules::{MaySleep, Owned, TooLong};

/// The modules of `src`, lowest first. A module may use those on the lines above its own,
/// and nothing on its own line or below. `lib.rs` and `main.rs` see everything.
pub(crate) const LAYERS: &[&[&str]] = &[
    &["clock", "glob", "machine", "rope", "small_bytes"],
    &["config", "layout", "resp"],
    &["storage"],
    &["backup", "engine", "inspect"],
    &["server", "transaction"],
    &["session"],
    &["command"],
    &["connection"],
    &["import", "node"],
    &["run", "store_commands", "txn"],
];

/// The libraries of stores.
pub(crate) const VENDORS: Owned = Owned {
    words: &[
        "aws_config",
        "aws_credential_types",
        "aws_sdk_dynamodb",
        "aws_sdk_s3",
        "aws_smithy_runtime",
        "aws_smithy_runtime_api",
        "aws_smithy_types",
        "aws_types",
        "fjall",
        "fred",
        "heed",
        "object_store",
        "redb",
        "redis",
        "rusqlite",
    ],
    owners: &["storage"],
    advice: "only src/storage knows a vendor: add a verb to the store, or use the ones it has",
};

/// Bytes on a socket.
pub(crate) const SOCKETS: Owned = Owned {
    words: &[
        "tokio::net",
        "redis_protocol",
        "TcpListener",
        "TcpStream",
        "UdpSocket",
        "UnixListener",
        "UnixStream",
    ],
    owners: &["resp", "connection"],
    advice: "only resp and connection know sockets: take or return a value instead",
};

/// Crates of their own inside the checkout, each below its directory.
pub(crate) const OTHER_CRATES: &[&str] = &["tests/clients/rust/"];

pub(crate) const FILE_LINES_MAX: usize = 600;
pub(crate) const FUNCTION_LINES_MAX: usize = 70;

/// What is longer than that, with its present length, which may only shrink:
/// `TooLong { what: "src/engine/mod.rs", lines: 640 }` or
/// `TooLong { what: "src/engine/mod.rs: commit", lines: 90 }`.
pub(crate) const TOO_LONG: &[TooLong] = &[];

/// Tests that may sleep, and why they can't wait for a condition.
pub(crate) const MAY_SLEEP: &[MaySleep] = &[
    MaySleep {
        path: "tests/common/wait.rs",
        _why: "the helper with which all others wait for a condition: it polls until a deadline",
    },
    MaySleep {
        path: "tests/simulation/client.rs",
        _why: "virtual time: tests/simulation/world.rs begins with the clock paused",
    },
    MaySleep {
        path: "tests/simulation/rest.rs",
        _why: "virtual time: tests/simulation/world.rs begins with the clock paused",
    },
    MaySleep {
        path: "tests/simulation/store.rs",
        _why: "virtual time: tests/simulation/world.rs begins with the clock paused",
    },
];

/// Beginnings of paths that exist on one machine only. (Split, or this file would have them.)
pub(crate) const MACHINE_PATHS: &[&str] =
    &[concat!("/", "work/"), concat!("/", "home/"), concat!("/", "root/"), concat!("/", "Users/")];
