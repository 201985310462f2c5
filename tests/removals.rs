//! Segments of the embedded store whose removal lags: whoever begins another waits for one.

// In a test, an expectation is an assertion.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::Arc;

use aft::storage::embedded::{Done, EmbeddedOptions, Segments, Write};
use bytes::Bytes;
use common::sim_disk::SimDisk;

/// More than half of a segment: each begins one.
const OBJECT_BYTES: usize = 40 << 10;

fn open(disk: &SimDisk) -> Segments<SimDisk> {
    let options = EmbeddedOptions { segment_bytes: 64 << 10, ..EmbeddedOptions::default() };
    Segments::open(Arc::new(disk.clone()), options).unwrap()
}

/// Writes an object, and deletes the one before.
fn replace(store: &mut Segments<SimDisk>, number: u32) {
    let name = |number: u32| format!("log/{number}");
    let body = Bytes::from(vec![7; OBJECT_BYTES]).into();
    let create = Write::Create { name: name(number), body };
    let delete = Write::Delete { names: vec![name(number - 1)] };
    assert_eq!(store.commit(vec![create, delete]), [Ok(Done::Created), Ok(Done::Deleted)]);
}

#[test]
fn whoever_begins_a_segment_waits_where_removals_lag() {
    let disk = SimDisk::new(7, None);
    let mut store = open(&disk);
    for number in 1..20 {
        replace(&mut store, number);
        while let Some(chore) = store.take_chore() {
            store.finish_chore(chore.run(&disk));
        }
        assert!(!store.awaits_removal(), "nothing lags");
    }
    // From now on the disk does nothing beside what is written.
    let mut chores = Vec::new();
    let mut numbers = 20..30;
    while !store.awaits_removal() {
        replace(&mut store, numbers.next().expect("it waits"));
        while let Some(chore) = store.take_chore() {
            chores.push(chore);
        }
    }
    // One has gone for the one that was begun.
    for chore in chores {
        store.finish_chore(chore.run(&disk));
    }
    assert!(!store.awaits_removal());
}

/// A removal that fails is nothing to wait for.
#[test]
fn nobody_waits_for_a_removal_that_failed() {
    let disk = SimDisk::new(7, None);
    let mut store = open(&disk);
    let mut chores = Vec::new();
    let mut numbers = 1..20;
    while !store.awaits_removal() {
        replace(&mut store, numbers.next().expect("it waits"));
        while let Some(chore) = store.take_chore() {
            chores.push(chore);
        }
    }
    disk.cut_power_in(0);
    for chore in chores {
        let finished = chore.run(&disk);
        assert!(!finished.is_ok());
        store.finish_chore(finished);
    }
    assert!(!store.awaits_removal());
}
