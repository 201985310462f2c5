//! A Redis as the store: what a start says and refuses, and what happens when the Redis, or the
//! network before it, goes away under load.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed expectation is how a test fails"
)]

#[path = "../common/mod.rs"]
mod common;

mod confirmed;
mod limits;
mod load;
mod network;
mod outage;
mod refused;
mod start;

use common::backing::Backing;
use common::client::Client;
use common::server::{Options, Server, StartError};

/// A connection to the Redis itself.
fn inside(backing: &Backing) -> Client {
    backing.servers()[0].client()
}

/// How many keys there are in the Redis.
fn keys(backing: &Backing) -> i64 {
    inside(backing).cmd("DBSIZE").int()
}

/// A start that must fail; the one line that says why.
#[track_caller]
fn refusal(options: &Options) -> String {
    let Err(StartError { code, stdout, stderr }) = Server::try_start(options) else {
        panic!("started with {options:?}")
    };
    assert_eq!(code, Some(1), "{stdout:?} {stderr:?}");
    let [line] = stderr.as_slice() else { panic!("one line is enough: {stderr:#?}") };
    line.clone()
}

/// Settings under which a start or a commit gives up soon.
fn impatient(mut options: Options) -> Options {
    let extra = "--store-attempt-timeout-ms 300 --read-deadline-ms 1500 --commit-deadline-ms 1500 \
                 --store-hedge-ms 0";
    options.extra.extend(extra.split_whitespace().map(str::to_owned));
    options
}

/// The settings of a server on this address of the Redis.
fn at(store: &str) -> Options {
    let extra = ["--store", store].map(str::to_owned).to_vec();
    Options { extra, ..Options::new(common::server::Peer::Aft) }
}
