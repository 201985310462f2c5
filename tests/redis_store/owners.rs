//! Two nodes on one store of Redis; the cases are those of all stores.

use crate::common::backing::{Backing, Kind};
use crate::common::owners;
use crate::common::temp_dir::TempDir;

#[test]
fn of_two_starts_at_once_one_serves() {
    let dir = TempDir::named("owners");
    owners::of_two_starts_at_once_one_serves(&Backing::redis(dir.path(), &[]));
}

#[test]
fn a_crash_is_followed_after_a_lease() {
    let dir = TempDir::named("owners");
    owners::a_crash_is_followed_after_a_lease(&Backing::redis(dir.path(), &[]));
}

#[test]
fn a_halted_owner_is_closed_out_by_takeover() {
    let dir = TempDir::named("owners");
    owners::a_halted_owner_is_closed_out_by_takeover(&Backing::redis(dir.path(), &[]));
}

#[test]
fn a_halted_owner_answers_nothing_old_after_its_lease() {
    let dir = TempDir::named("owners");
    owners::a_halted_owner_answers_nothing_old_after_its_lease(&Backing::redis(dir.path(), &[]));
}

#[test]
fn a_planned_restart_hands_over_under_load() {
    let dir = TempDir::named("owners");
    owners::a_planned_restart_hands_over_under_load(&Backing::redis(dir.path(), &[]));
}

#[test]
fn reads_end_with_the_lease_and_begin_again() {
    let dir = TempDir::named("owners");
    owners::reads_end_with_the_lease_and_begin_again(&Backing::redis(dir.path(), &[]));
}

#[test]
fn a_planned_restart_keeps_its_port() {
    let dir = TempDir::named("owners");
    owners::a_planned_restart_keeps_its_port(&Backing::redis(dir.path(), &[]));
}

#[test]
fn stale_reads_are_a_setting() {
    let dir = TempDir::named("owners");
    owners::stale_reads_are_a_setting(&Backing::redis(dir.path(), &[]));
}

#[test]
fn a_cluster_hands_over_under_load() {
    let dir = TempDir::named("owners-cluster");
    let backing = Backing::start(Kind::RedisCluster, dir.path());
    owners::a_planned_restart_hands_over_under_load(&backing);
}

#[test]
fn a_crash_on_a_cluster_is_followed_after_a_lease() {
    let dir = TempDir::named("owners-cluster");
    let backing = Backing::start(Kind::RedisCluster, dir.path());
    owners::a_crash_is_followed_after_a_lease(&backing);
}

#[test]
fn a_successor_without_a_port_leaves_the_store_alone() {
    let dir = TempDir::named("owners");
    owners::a_successor_without_a_port_leaves_the_store_alone(&Backing::redis(dir.path(), &[]));
}

#[test]
fn a_successor_waits_through_an_outage() {
    let dir = TempDir::named("owners");
    owners::a_successor_waits_through_an_outage(&Backing::redis(dir.path(), &[]));
}
