//! What `cargo bench --bench stores` takes for the price of an object is what is sent for it.

#[path = "../../benches/stores/prices.rs"]
#[allow(dead_code, reason = "the benchmark uses all of it")]
mod prices;

use crate::common::backing::Backing;
use crate::common::gate::{self, Request, Verdict};
use crate::common::stores::address_through;
use crate::common::temp_dir::TempDir;
use crate::common::wait::{self, PATIENCE};
use crate::pieces::{open, run};
use crate::{address, operation};
use aft::storage::dynamodb::DynamoDbOptions;
use aft::storage::{Created, Store};
use bytes::Bytes;
use prices::{DynamoDbWrites, dynamodb_create, dynamodb_delete, dynamodb_read};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// What an item is counted as: the names of its attributes, and their values. A number has 21 bytes
/// at the most.
fn weight(item: &Map<String, Value>) -> u64 {
    let of_value = |value: &Value| {
        let (kind, text) = value.as_object().unwrap().iter().next().unwrap();
        let text = text.as_str().unwrap();
        match kind.as_str() {
            "S" => text.len(),
            "B" => text.len() / 4 * 3 - text.matches('=').count(),
            _ => 21,
        }
    };
    item.iter().map(|(name, value)| (name.len() + of_value(value)) as u64).sum()
}

/// The items that a request puts.
fn puts(request: &Request) -> Vec<Map<String, Value>> {
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    let item = |value: &Value| value["Item"].as_object().cloned();
    match operation(request) {
        "PutItem" => item(&body).into_iter().collect(),
        "BatchWriteItem" => {
            let of_tables = body["RequestItems"].as_object().unwrap().values();
            let requests = of_tables.flat_map(|requests| requests.as_array().unwrap());
            requests.filter_map(|request| item(&request["PutRequest"])).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn an_object_costs_what_is_sent_for_it() {
    let dir = TempDir::named("dynamodb-counted");
    let backing = Backing::dynamodb(dir.path());
    let sent: Arc<Mutex<DynamoDbWrites>> =
        Arc::new(Mutex::new(DynamoDbWrites { write_units: 0, batches: 0 }));
    let counting = Arc::clone(&sent);
    let gate = gate::before(address(&backing), move |request| {
        let mut sent = counting.lock().unwrap();
        sent.write_units +=
            puts(request).iter().map(|item| prices::write_units(weight(item))).sum::<u64>();
        sent.batches += u64::from(operation(request) == "BatchWriteItem");
        Verdict::Passes
    });
    run(async {
        let store = open(&address_through(&backing, gate), DynamoDbOptions::default()).await;
        for (seq, size) in [1, 700, 1_500, 3_904, 4_000, 20_000, 100_000].into_iter().enumerate() {
            let name = format!("log/0000000001/{seq:020}");
            *sent.lock().unwrap() = DynamoDbWrites { write_units: 0, batches: 0 };
            let object = Bytes::from(vec![7; size]);
            assert_eq!(store.create(&name, object).await, Ok(Created::Created));
            assert_eq!(*sent.lock().unwrap(), dynamodb_create(size as u64), "{size}");
        }
    });
}

/// What is deleted is counted as what is written, piece by piece and with the trace of them.
#[test]
fn what_is_deleted_is_all_that_was_written() {
    let dir = TempDir::named("dynamodb-deleted");
    let backing = Backing::dynamodb(dir.path());
    // What was asked for twice is deleted once.
    let deleted = Arc::new(Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&deleted);
    let gate = gate::before(address(&backing), move |request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let tables =
            body["RequestItems"].as_object().into_iter().flat_map(|tables| tables.values());
        let requests = tables.filter_map(Value::as_array).flatten();
        let keys = requests.filter_map(|request| request.get("DeleteRequest"));
        seen.lock().unwrap().extend(keys.map(|request| request["Key"].to_string()));
        Verdict::Passes
    });
    run(async {
        let store = open(&address_through(&backing, gate), DynamoDbOptions::default()).await;
        // A start tries whether it may delete.
        deleted.lock().unwrap().clear();
        assert_eq!(store.create("log/1", vec![7; 20_000].into()).await, Ok(Created::Created));
        assert_eq!(store.delete(&["log/1".to_owned()]).await, Ok(()));
        // A head, five pieces and a trace.
        let all = wait::poll(PATIENCE, || (deleted.lock().unwrap().len() >= 7).then_some(()));
        let deleted = deleted.lock().unwrap();
        assert!(all.is_some() && deleted.len() == 7, "{deleted:?}");
    });
}

#[test]
fn prices_are_those_of_the_documentation() {
    let units = |bytes| dynamodb_create(bytes).write_units;
    assert_eq!([units(800), units(3_904), units(100 << 10)], [1, 4, 106]);
    assert_eq!(dynamodb_delete(20_000), (units(20_000), 1));
    for (offset, bytes, expected) in
        [(0, 0, 1), (0, 1, 1), (3_903, 1, 1), (3_903, 2, 2), (3_904, 3_904, 1), (0, 39_040, 10)]
    {
        assert_eq!(dynamodb_read(offset, bytes), expected, "{offset} + {bytes}");
    }
}
