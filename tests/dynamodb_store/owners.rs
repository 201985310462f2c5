//! Two nodes on one store of DynamoDB; the cases are those of all stores.

use crate::common::backing::Backing;
use crate::common::owners;
use crate::common::temp_dir::TempDir;

#[test]
fn of_two_starts_at_once_one_serves() {
    let dir = TempDir::named("owners");
    owners::of_two_starts_at_once_one_serves(&Backing::dynamodb(dir.path()));
}

#[test]
fn a_crash_is_followed_after_a_lease() {
    let dir = TempDir::named("owners");
    owners::a_crash_is_followed_after_a_lease(&Backing::dynamodb(dir.path()));
}

#[test]
fn a_halted_owner_is_closed_out_by_takeover() {
    let dir = TempDir::named("owners");
    owners::a_halted_owner_is_closed_out_by_takeover(&Backing::dynamodb(dir.path()));
}

#[test]
fn a_halted_owner_answers_nothing_old_after_its_lease() {
    let dir = TempDir::named("owners");
    owners::a_halted_owner_answers_nothing_old_after_its_lease(&Backing::dynamodb(dir.path()));
}

#[test]
fn a_planned_restart_hands_over_under_load() {
    let dir = TempDir::named("owners");
    owners::a_planned_restart_hands_over_under_load(&Backing::dynamodb(dir.path()));
}

#[test]
fn reads_end_with_the_lease_and_begin_again() {
    let dir = TempDir::named("owners");
    owners::reads_end_with_the_lease_and_begin_again(&Backing::dynamodb(dir.path()));
}

#[test]
fn a_successor_without_a_port_leaves_the_store_alone() {
    let dir = TempDir::named("owners");
    owners::a_successor_without_a_port_leaves_the_store_alone(&Backing::dynamodb(dir.path()));
}

#[test]
fn a_successor_waits_through_an_outage() {
    let dir = TempDir::named("owners");
    owners::a_successor_waits_through_an_outage(&Backing::dynamodb(dir.path()));
}
