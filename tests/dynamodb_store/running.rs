//! What a running node does when the table is not what it was, or the service goes away.

use crate::common::backing::Backing;
use crate::common::gate::{self, Verdict};
use crate::common::resp::Reply;
use crate::common::server::{Options, Server};
use crate::common::stores::rights_go_and_come_back;
use crate::common::temp_dir::TempDir;
use crate::common::wait::{self, PATIENCE};
use crate::{address, answered, impatient, items, through};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// It can't serve what it has acknowledged, and must not write into what is not its own.
#[test]
fn a_table_that_comes_back_empty_ends_the_node() {
    let dir = TempDir::named("dynamodb-emptied");
    let backing = Backing::dynamodb(dir.path());
    let mut server = Server::start(&impatient(Options::on(&backing)));
    assert_eq!(server.client().cmd("SET k v"), Reply::ok());
    // Its items are in its memory only, and so was its table.
    backing.kill_9();
    backing.restart();
    let reply = server.client().cmd("SET k w");
    assert_eq!(reply.error_code().as_deref(), Some("UNCERTAIN"), "{reply:?}");
    let reply = server.client().cmd("SET k w");
    assert!(format!("{reply:?}").contains("aft store init"), "{reply:?}");
    let words = ["store", "init", "--store", backing.store()];
    let made = Command::new(env!("CARGO_BIN_EXE_aft")).args(words).output().expect("aft");
    assert!(made.status.success(), "{made:?}");
    // Whoever writes meanwhile is refused.
    wait::until("it ends", PATIENCE, || (!server.is_running()).then_some(()));
    assert_eq!(server.wait_for_exit().code(), Some(1));
    let said = server.said();
    assert!(said.contains("does not hold the data that this node has written"), "{said}");
    assert_eq!(items(&backing), 0);
}

#[test]
fn rights_that_are_taken_away_for_a_while() {
    let dir = TempDir::named("dynamodb-rights");
    let backing = Backing::dynamodb(dir.path());
    let denied = Arc::new(AtomicBool::new(false));
    let gate = gate::before(address(&backing), {
        let denied = denied.clone();
        move |_| match denied.load(Ordering::Relaxed) {
            true => answered(400, "AccessDeniedException"),
            false => Verdict::Passes,
        }
    });
    rights_go_and_come_back(&impatient(through(&backing, gate)), &denied);
}
