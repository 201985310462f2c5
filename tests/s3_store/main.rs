//! S3 as a store: what a start says and refuses, and what happens when what answers is not what it
//! was. Without a server that checks policies, a gate before one refuses in its place.

#![cfg(feature = "s3")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed expectation is how a test fails"
)]

#[path = "../common/mod.rs"]
mod common;

mod gate;
mod refused;
mod running;

use common::backing::{self, Backing};
use common::server::{Options, Server, StartError};
use std::net::SocketAddr;
use std::path::Path;

/// The server behind a store.
fn address(backing: &Backing) -> SocketAddr {
    backing.servers()[0].addr()
}

/// All keys of the bucket.
fn keys(backing: &Backing) -> Vec<String> {
    let (status, listing) = backing::request(address(backing), "GET", "/aft-test?list-type=2", b"");
    assert_eq!(status, 200, "{listing}");
    let keys = listing.split("<Key>").skip(1);
    keys.map(|key| key.split('<').next().expect("the end of it").to_owned()).collect()
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

/// The settings of a server on this address.
fn at(store: &str) -> Options {
    let extra = ["--store", store].map(str::to_owned).to_vec();
    Options { extra, ..Options::new(common::server::Peer::Aft) }
}

/// The same store, where this server seems to be the one that has it.
fn through(backing: &Backing, gate: SocketAddr) -> Options {
    at(&backing.store().replace(&address(backing).to_string(), &gate.to_string()))
}

/// With these in place of what the environment has for AWS, and no home to look into.
fn in_environment(mut options: Options, home: &Path, variables: &[String]) -> Options {
    let without =
        ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"];
    let without = without.iter().flat_map(|name| ["-u", name]).map(str::to_owned);
    options.through = ["env".to_owned()].into_iter().chain(without).collect();
    options.through.push(format!("HOME={}", home.display()));
    options.through.push("AWS_EC2_METADATA_DISABLED=true".to_owned());
    options.through.extend(variables.iter().cloned());
    options
}
