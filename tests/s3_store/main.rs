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
mod late;
mod outage;
mod owners;
mod refused;
mod running;
mod upgrade;

use common::backing::{self, Backing};
use common::server::Options;
use common::stores::{address, at, impatient, refusal, through};
use std::path::Path;

/// All keys of the bucket.
fn keys(backing: &Backing) -> Vec<String> {
    let (status, listing) = backing::request(address(backing), "GET", "/aft-test?list-type=2", b"");
    assert_eq!(status, 200, "{listing}");
    let keys = listing.split("<Key>").skip(1);
    keys.map(|key| key.split('<').next().expect("the end of it").to_owned()).collect()
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
