//! A table that takes less than it is given.

use crate::common::backing::Backing;
use crate::common::gate::{self, Request, Verdict};
use crate::common::resp::Reply;
use crate::common::server::Server;
use crate::common::temp_dir::TempDir;
use crate::{address, answered, impatient, operation, through};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An answer of 200 that says that nothing of the request was done.
fn nothing_done(request: &Request, before: &str) -> Verdict {
    let body = String::from_utf8_lossy(&request.body);
    let asked = body.strip_prefix("{\"RequestItems\":").expect("a batch");
    Verdict::Answered(200, "application/x-amz-json-1.0", format!("{before}{asked}"))
}

/// What one of so many requests of this kind gets.
fn one_of(
    many: u64,
    count: &AtomicU64,
    request: &Request,
    answer: impl Fn(&Request) -> Option<Verdict>,
) -> Verdict {
    match answer(request) {
        Some(verdict) if count.fetch_add(1, Ordering::Relaxed).is_multiple_of(many) => verdict,
        _ => Verdict::Passes,
    }
}

#[test]
fn what_was_not_processed_is_asked_for_again() {
    let dir = TempDir::named("dynamodb-unprocessed");
    let backing = Backing::dynamodb(dir.path());
    let count = Arc::new(AtomicU64::new(0));
    let gate = gate::before(address(&backing), {
        let count = count.clone();
        move |request| {
            let answer = |request: &Request| match operation(request) {
                "BatchWriteItem" => Some(nothing_done(request, "{\"UnprocessedItems\":")),
                "BatchGetItem" => {
                    Some(nothing_done(request, "{\"Responses\":{},\"UnprocessedKeys\":"))
                }
                _ => None,
            };
            one_of(2, &count, request, answer)
        }
    });
    let mut server = Server::start(&through(&backing, gate));
    let value = "x".repeat(300_000);
    assert_eq!(server.client().run(&["SET", "k", &value]), Reply::ok());
    server.kill_9();
    server.restart();
    assert_eq!(server.client().cmd("GET k"), Reply::bulk(&value));
    assert!(count.load(Ordering::Relaxed) > 10);
}

#[test]
fn a_throttle_passes() {
    let dir = TempDir::named("dynamodb-throttled");
    let backing = Backing::dynamodb(dir.path());
    let count = Arc::new(AtomicU64::new(0));
    for code in
        ["ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"]
    {
        let gate = gate::before(address(&backing), {
            let count = count.clone();
            move |request| one_of(10, &count, request, |_| Some(answered(400, code)))
        });
        let server = Server::start(&through(&backing, gate));
        let value = "x".repeat(50_000);
        assert_eq!(server.client().run(&["SET", "k", &value]), Reply::ok());
        assert_eq!(server.client().cmd("GET k"), Reply::bulk(&value));
    }
}

/// Attempts that are given up in the middle have not been for nothing: each goes on where the last
/// one was, or an object that takes longer than an attempt would never be whole.
#[test]
fn an_object_that_is_written_in_many_attempts_becomes_whole() {
    let dir = TempDir::named("dynamodb-attempts");
    let backing = Backing::dynamodb(dir.path());
    // Four batches are taken, the fifth one is throttled.
    let count = Arc::new(AtomicU64::new(0));
    let gate = gate::before(address(&backing), {
        let count = count.clone();
        move |request| {
            let of_writes = operation(request) == "BatchWriteItem";
            if of_writes && count.fetch_add(1, Ordering::Relaxed) % 5 == 4 {
                return answered(400, "ProvisionedThroughputExceededException");
            }
            Verdict::Passes
        }
    });
    let mut options = impatient(through(&backing, gate));
    let of_commits = options.extra.iter().position(|word| word == "--commit-deadline-ms");
    options.extra[of_commits.expect("one of its words") + 1] = "30000".to_owned();
    let server = Server::start(&options);
    let value = "x".repeat(8 << 20);
    assert_eq!(server.client().run(&["SET", "k", &value]), Reply::ok());
    // 8 MB are 86 batches.
    assert!(count.load(Ordering::Relaxed) > 86);
}
