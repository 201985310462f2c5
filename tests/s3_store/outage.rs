//! The store is ended under load and started again; the cases are those of all stores.

use crate::common::backing::Backing;
use crate::common::outage;
use crate::common::temp_dir::TempDir;

#[test]
fn a_short_outage_is_a_delay() {
    let dir = TempDir::named("outage");
    outage::a_short_one_is_a_delay(&Backing::s3(dir.path()), |_| ());
}

#[test]
fn an_outage_longer_than_every_deadline_refuses_writes_and_ends_by_itself() {
    let dir = TempDir::named("outage");
    outage::one_longer_than_every_deadline_refuses_writes_and_ends_by_itself(
        &Backing::s3(dir.path()),
        |_| (),
    );
}

#[test]
fn a_network_that_delays_cuts_and_loses_replies() {
    let dir = TempDir::named("s3-network");
    outage::a_network_delays_cuts_and_loses_replies(&Backing::s3(dir.path()));
}
