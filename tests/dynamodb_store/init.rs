//! `aft store init`.

use crate::common::backing::Backing;
use crate::common::resp::Reply;
use crate::common::server::{Options, Server};
use crate::common::stores::share_a_service;
use crate::common::temp_dir::TempDir;
use crate::{ask, at, items, refusal};
use std::process::Command;

/// Whether it went well, and all that it said.
fn aft_store(what: &str, store: &str) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aft"));
    let out = command.args(["store", what, "--store", store]).output().expect("aft store");
    (out.status.success(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
}

#[test]
fn makes_the_table_once() {
    let dir = TempDir::named("dynamodb-init");
    let backing = Backing::dynamodb_without_table(dir.path());
    let line = refusal(&Options::on(&backing));
    for word in ["ResourceNotFoundException", "no such table", "aft store init"] {
        assert!(line.contains(word), "{word:?} is not in {line}");
    }
    let (done, said) = aft_store("init", backing.store());
    assert!(done && said.contains("made the table aft-test: on demand"), "{said}");
    let described = ask(&backing, "DescribeTable", "{\"TableName\":\"aft-test\"}");
    assert!(described.contains("PAY_PER_REQUEST"), "{described}");
    for _ in 0..2 {
        let (done, said) = aft_store("init", backing.store());
        assert!(done && said.contains("aft-test is there"), "{said}");
        assert!(said.contains("nothing was done"), "{said}");
    }
    assert_eq!(items(&backing), 0);
    let server = Server::start(&Options::on(&backing));
    assert_eq!(server.client().cmd("SET k v"), Reply::ok());
    // It leaves what is there.
    assert!(aft_store("init", backing.store()).0);
    assert_eq!(server.client().cmd("GET k"), Reply::bulk("v"));
}

#[test]
fn does_not_take_a_table_with_other_keys() {
    let dir = TempDir::named("dynamodb-schema");
    let backing = Backing::dynamodb_without_table(dir.path());
    for (sort, kind) in [("", "S"), ("s", "N"), ("sort", "S")] {
        let attribute = |name: &str, kind| {
            format!("{{\"AttributeName\":\"{name}\",\"AttributeType\":\"{kind}\"}}")
        };
        let element =
            |name: &str, kind| format!("{{\"AttributeName\":\"{name}\",\"KeyType\":\"{kind}\"}}");
        let (mut attributes, mut keys) = (attribute("p", "S"), element("p", "HASH"));
        if !sort.is_empty() {
            attributes = format!("{attributes},{}", attribute(sort, kind));
            keys = format!("{keys},{}", element(sort, "RANGE"));
        }
        let create = format!(
            "{{\"TableName\":\"aft-test\",\"BillingMode\":\"PAY_PER_REQUEST\",\
             \"AttributeDefinitions\":[{attributes}],\"KeySchema\":[{keys}]}}"
        );
        ask(&backing, "CreateTable", &create);
        for line in [refusal(&Options::on(&backing)), aft_store("init", backing.store()).1] {
            assert!(line.contains("the table aft-test has other keys"), "{line}");
            assert!(line.contains("name another table"), "{line}");
        }
        assert_eq!(items(&backing), 0);
        ask(&backing, "DeleteTable", "{\"TableName\":\"aft-test\"}");
    }
}

#[test]
fn other_stores_need_no_such_step() {
    let dir = TempDir::named("init-nothing");
    let store = format!("embedded:{}", dir.path().join("data").display());
    let (done, said) = aft_store("init", &store);
    assert!(done && said.contains("nothing was done"), "{said}");
    assert!(!dir.path().join("data").exists());
}

#[test]
fn verify_looks_into_a_table_and_writes_nothing() {
    let dir = TempDir::named("dynamodb-verify");
    let backing = Backing::dynamodb(dir.path());
    let (done, said) = aft_store("verify", backing.store());
    assert!(!done && said.contains("there is no store of aft"), "{said}");
    assert_eq!(items(&backing), 0);

    let mut server = Server::start(&Options::on(&backing));
    let value = "x".repeat(50_000);
    assert_eq!(server.client().run(&["MSET", "a", "1", "b", &value]), Reply::ok());
    assert_eq!(server.terminate().code(), Some(0));
    let before = items(&backing);
    let (_, verified) = aft_store("verify", backing.store());
    assert!(verified.ends_with("nothing is wrong\n"), "{verified}");
    assert_eq!(items(&backing), before);
}

#[test]
fn several_share_a_table_by_prefix() {
    let dir = TempDir::named("dynamodb-shared");
    let backing = Backing::dynamodb(dir.path());
    let stores = ["store", "store2", "s"]
        .map(|prefix| backing.store().replace("aft-test/store", &format!("aft-test/{prefix}")));
    let mut servers = share_a_service(&stores);
    // Eventual reads see the same.
    servers[0].kill_9();
    let server = Server::start(&at(&format!("{}&reads=eventual", stores[0])));
    assert_eq!(server.client().cmd("GET k"), Reply::bulk("0"));
}
