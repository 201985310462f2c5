//! DynamoDB as a store: the table that is made for it, what a start refuses, how objects are laid
//! out, and what happens when the service goes away, throttles, or is not what it was. Where no
//! server does as AWS does, a gate before one answers in its place.

#![cfg(feature = "dynamodb")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed expectation is how a test fails"
)]

#[path = "../common/mod.rs"]
mod common;

mod counted;
mod init;
mod outage;
mod owners;
mod pieces;
mod refused;
mod running;
mod throttled;
mod upgrade;

use common::backing::Backing;
use common::gate::{Request, Verdict};
use common::stores::{address, at, impatient, refusal, through};
use std::io::{Read, Write};
use std::net::TcpStream;

/// What a request is for: `PutItem`.
fn operation(request: &Request) -> &str {
    let of_target = |line: &&str| line.to_ascii_lowercase().starts_with("x-amz-target:");
    let target = request.head.lines().find(of_target).unwrap_or_default();
    target.rsplit('.').next().unwrap_or_default()
}

/// An error of DynamoDB.
fn answered(status: u16, code: &str) -> Verdict {
    let body = format!(
        "{{\"__type\":\"com.amazonaws.dynamodb.v20120810#{code}\",\"message\":\"says the gate\"}}"
    );
    Verdict::Answered(status, "application/x-amz-json-1.0", body)
}

/// A request without a signature; its answer.
fn ask(backing: &Backing, operation: &str, body: &str) -> String {
    let addr = address(backing);
    let mut stream = TcpStream::connect(addr).expect("a connection");
    let credential = "Credential=test/20261129/us-east-1/dynamodb/aws4_request";
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {addr}\r\nX-Amz-Target: DynamoDB_20120810.{operation}\r\n\
         Authorization: AWS4-HMAC-SHA256 {credential}\r\nConnection: close\r\n\
         Content-Type: application/x-amz-json-1.0\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200"), "{operation}: {answer}");
    body.to_owned()
}

/// How many items there are in the table.
fn items(backing: &Backing) -> u64 {
    let scan = "{\"TableName\":\"aft-test\",\"Select\":\"COUNT\",\"ConsistentRead\":true}";
    let answer = ask(backing, "Scan", scan);
    let count = answer.split("\"Count\":").nth(1).expect("a count").trim_start();
    let digits: String = count.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}
