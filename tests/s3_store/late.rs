//! The late S3 of the tests is late, and a node on it loses nothing. (The sets of tests that run on it
//! are named in tests/run.)

use crate::common::backing::{self, Backing, Kind};
use crate::common::resp::Reply;
use crate::common::server::{Options, Server};
use crate::common::stores::address;
use crate::common::temp_dir::TempDir;
use crate::common::wait::{self, PATIENCE};
use crate::common::{late, stores};
use std::net::SocketAddr;

const OBJECTS: usize = 64;

fn listed(addr: SocketAddr) -> usize {
    backing::request(addr, "GET", "/aft-test?list-type=2", b"").1.matches("<Contents>").count()
}

fn readable(addr: SocketAddr) -> usize {
    let there = |n| backing::request(addr, "GET", &format!("/aft-test/{n}"), b"").0 == 200;
    (0..OBJECTS).filter(|&n| there(n)).count()
}

#[test]
fn it_shows_and_lists_late_what_is_there() {
    let dir = TempDir::named("late");
    let backing = Backing::s3(dir.path());
    let (there, late) = (address(&backing), late::before(address(&backing)));
    for n in 0..OBJECTS {
        assert_eq!(backing::request(late, "PUT", &format!("/aft-test/{n}"), b"o").0, 200);
    }
    let (shown, in_list) = (readable(late), listed(late));
    assert!(0 < shown && shown < OBJECTS, "{shown}");
    assert!(0 < in_list && in_list < OBJECTS, "{in_list}");
    assert_eq!((readable(there), listed(there)), (OBJECTS, OBJECTS));
    wait::until("all shows", PATIENCE, || {
        (readable(late) == OBJECTS && listed(late) == OBJECTS).then_some(())
    });
}

/// Started again at once, when listings do not show what was acknowledged last.
#[test]
fn a_node_on_it_loses_nothing() {
    let dir = TempDir::named("late");
    let backing = Backing::start(Kind::LateS3, dir.path());
    let mut server = Server::start(&Options::on(&backing));
    for round in 0..5 {
        for n in 0..20 {
            let key = format!("{round}:{n}");
            assert_eq!(server.client().run(&["SET", &key, &"v".repeat(100)]), Reply::ok());
        }
        server.kill_9();
        server.restart();
        assert_eq!(server.client().cmd("DBSIZE"), Reply::Int(20 * (round + 1)));
    }
    let options = stores::impatient(Options::on(&backing));
    assert_eq!(server.terminate().code(), Some(0));
    let server = Server::start(&options);
    assert_eq!(server.client().cmd("DBSIZE"), Reply::Int(100));
}
