//! Starts that are refused: the line says what to do, and the table is as it was.

use crate::common::backing::Backing;
use crate::common::gate::{self, Verdict};
use crate::common::resp::Reply;
use crate::common::server::{Options, Server};
use crate::common::stores::{self, address_through};
use crate::common::temp_dir::TempDir;
use crate::{address, answered, ask, at, impatient, items, operation, refusal, through};
use std::net::TcpListener;

/// Starts, is refused, and has left nothing.
#[track_caller]
fn refused(backing: &Backing, options: &Options, words: &[&str]) {
    let before = items(backing);
    let line = refusal(options);
    assert!(line.starts_with("aft: dynamodb://"), "{line}");
    for word in words {
        assert!(line.contains(word), "{word:?} is not in {line}");
    }
    assert_eq!(items(backing), before, "{line}");
}

#[test]
fn wrong_keys() {
    let dir = TempDir::named("dynamodb-keys");
    let backing = Backing::dynamodb(dir.path());
    for (code, advice) in [
        ("UnrecognizedClientException", "not those of this service"),
        ("InvalidSignatureException", "not those of this service"),
        ("ExpiredTokenException", "get new ones"),
    ] {
        let gate = gate::before(address(&backing), move |_| answered(400, code));
        refused(&backing, &through(&backing, gate), &[code, "says the gate", advice]);
    }
    let nobody = format!("{}&profile=nobody", backing.store());
    refused(&backing, &at(&nobody), &["no credentials for AWS", "AWS_ACCESS_KEY_ID"]);
}

/// One right is missing, whichever: but for the first start, it shows before anything is written.
#[test]
fn a_policy_that_is_too_narrow() {
    let dir = TempDir::named("dynamodb-policy");
    let backing = Backing::dynamodb(dir.path());
    for denied in ["DescribeTable", "Query", "BatchGetItem", "BatchWriteItem", "PutItem"] {
        let gate = gate::before(address(&backing), move |request| {
            let of_it = operation(request) == denied;
            if of_it { answered(400, "AccessDeniedException") } else { Verdict::Passes }
        });
        let words = ["AccessDeniedException", "docs/stores.md"];
        refused(&backing, &through(&backing, gate), &words);
    }
    assert_eq!(items(&backing), 0);
}

/// Of what docs/stores.md allows, everything is used, and nothing else is needed.
#[test]
fn the_policy_of_the_docs_is_the_least() {
    let docs = include_str!("../../docs/stores.md");
    let allowed = docs.split('"').filter_map(|word| word.strip_prefix("dynamodb:"));
    let mut allowed: Vec<String> = allowed
        .filter(|word| !["LeadingKeys", "CreateTable"].contains(word))
        .map(str::to_owned)
        .collect();
    allowed.sort_unstable();
    allowed.dedup();
    let dir = TempDir::named("dynamodb-least");
    let backing = Backing::dynamodb(dir.path());
    let used = std::sync::Arc::new(std::sync::Mutex::new(std::collections::BTreeSet::new()));
    let gate = gate::before(address(&backing), {
        let (used, allowed) = (used.clone(), allowed.clone());
        move |request| {
            let operation = operation(request).to_owned();
            let known = allowed.contains(&operation);
            used.lock().expect("no panic").insert(operation);
            if known { Verdict::Passes } else { answered(400, "AccessDeniedException") }
        }
    });
    let mut server = Server::start(&through(&backing, gate));
    let value = "x".repeat(20_000);
    assert_eq!(server.client().run(&["SET", "k", &value]), Reply::ok());
    // A start reads, lists, and deletes what it replaces.
    server.kill_9();
    server.restart();
    assert_eq!(server.client().cmd("GET k"), Reply::bulk(&value));
    let used: Vec<String> = used.lock().expect("no panic").iter().cloned().collect();
    assert_eq!(used, allowed);
}

/// It must not be trusted with fences.
#[test]
fn a_server_that_ignores_conditions() {
    let dir = TempDir::named("dynamodb-ignores");
    let backing = Backing::dynamodb(dir.path());
    let gate = gate::before(address(&backing), |request| match operation(request) {
        "PutItem" => Verdict::Answered(200, "application/x-amz-json-1.0", "{}".to_owned()),
        _ => Verdict::Passes,
    });
    refused(&backing, &through(&backing, gate), &["ignores conditions"]);
}

#[test]
fn what_another_version_has_written() {
    let dir = TempDir::named("dynamodb-newer");
    let backing = Backing::dynamodb(dir.path());
    // In base64: aft 2 of tomorrow
    let put = "{\"TableName\":\"aft-test\",\"Item\":{\"p\":{\"S\":\"store/format\"},\
               \"s\":{\"S\":\"format\"},\"b\":{\"B\":\"YWZ0IDIgb2YgdG9tb3Jyb3c=\"}}}";
    ask(&backing, "PutItem", put);
    refused(&backing, &Options::on(&backing), &["a newer version", "aft 2 of tomorrow"]);
    // Other prefixes are no matter.
    let other = backing.store().replace("aft-test/store", "aft-test/other");
    let server = Server::start(&at(&other));
    assert_eq!(server.client().cmd("SET k v"), Reply::ok());
}

#[test]
fn what_is_not_there() {
    let dir = TempDir::named("dynamodb-nobody");
    let backing = Backing::dynamodb(dir.path());
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let nobody = address_through(&backing, taken.local_addr().expect("its address"));
    // It takes connections and says nothing.
    let line = refusal(&impatient(at(&nobody)));
    assert!(line.contains("does not answer"), "{line}");
    drop(taken);
    let line = refusal(&impatient(at(&nobody)));
    assert!(line.contains("refused"), "{line}");
}

#[test]
fn a_certificate_that_nobody_vouches_for() {
    let dir = TempDir::named("dynamodb-tls");
    let backing = Backing::dynamodb(&dir.path().join("data"));
    stores::over_tls_with_an_authority_of_ones_own(&backing, dir.path());
}
