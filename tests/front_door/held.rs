//! Replies that come later: WAIT and DEBUG SLEEP hold their own connection and nobody else.

use std::time::Duration;

use crate::common::client::Client;
use crate::common::resp::Reply;
use crate::common::server::{Options, Server};
use crate::common::wait::{self, PATIENCE};

fn connected(client: &mut Client) -> String {
    let Reply::Bulk(info) = client.cmd("INFO clients") else {
        panic!("INFO is no text");
    };
    let info = String::from_utf8_lossy(&info).into_owned();
    let line = info.lines().find_map(|line| line.strip_prefix("connected_clients:"));
    line.expect("a count of clients").to_owned()
}

#[test]
fn wait_holds_what_is_behind_it_and_nobody_else() {
    const TIMEOUT: Duration = Duration::from_millis(700);
    let server = Server::start(&Options::memory());
    let (mut waiting, mut other) = (server.client(), server.client());
    let start = wait::now();
    for line in ["SET a 1", "WAIT 0 0", "WAIT 3 700", "SET b 1", "GET b"] {
        waiting.queue(&line.split(' ').collect::<Vec<_>>());
    }
    waiting.flush().expect("an open connection");
    assert_eq!(waiting.read().expect("a reply"), Reply::ok());
    assert_eq!(waiting.read().expect("a reply"), Reply::Int(0));
    assert_eq!(other.cmd("EXISTS a b"), Reply::Int(1));
    let soon = start.elapsed();
    assert!(soon < TIMEOUT, "others waited {soon:?}");
    assert_eq!(waiting.read().expect("a reply"), Reply::Int(0));
    let took = start.elapsed();
    assert!(took >= TIMEOUT, "it waited {took:?}");
    assert_eq!(waiting.read().expect("a reply"), Reply::ok());
    assert_eq!(waiting.read().expect("a reply"), Reply::bulk("1"));
}

#[test]
fn debug_sleep_holds_what_is_behind_it_and_nobody_else() {
    const TIME: Duration = Duration::from_millis(700);
    let server = Server::start(&Options::memory());
    let (mut sleeps, mut other) = (server.client(), server.client());
    let start = wait::now();
    for line in ["SET a 1", "DEBUG SLEEP 0.7", "SET b 1"] {
        sleeps.queue(&line.split(' ').collect::<Vec<_>>());
    }
    sleeps.flush().expect("an open connection");
    assert_eq!(sleeps.read().expect("a reply"), Reply::ok());
    assert_eq!(other.cmd("EXISTS a b"), Reply::Int(1));
    let soon = start.elapsed();
    assert!(soon < TIME, "others waited {soon:?}");
    assert_eq!(sleeps.read().expect("a reply"), Reply::ok());
    let took = start.elapsed();
    assert!(took >= TIME, "it slept {took:?}");
    assert_eq!(sleeps.read().expect("a reply"), Reply::ok());
    assert_eq!(other.cmd("EXISTS a b"), Reply::Int(2));
}

#[test]
fn whoever_waits_for_ever_can_leave_and_be_killed() {
    let mut server = Server::start(&Options::memory());
    let mut other = server.client();
    let wait_for_ever = || {
        let mut client = server.client();
        let Reply::Int(id) = client.cmd("CLIENT ID") else {
            panic!("no id");
        };
        client.queue(&["WAIT", "1", "0"]);
        client.queue(&["PING"]);
        client.flush().expect("an open connection");
        (client, id)
    };
    let (leaves, _) = wait_for_ever();
    let (mut killed, id) = wait_for_ever();
    let (mut stays, _) = wait_for_ever();
    assert_eq!(connected(&mut other), "4");
    drop(leaves);
    let left = || (connected(&mut other) == "3").then_some(());
    wait::until("the one that left is gone", PATIENCE, left);
    assert_eq!(other.cmd(&format!("CLIENT KILL ID {id}")), Reply::Int(1));
    assert_eq!(killed.read_to_close().expect("an end"), b"");
    assert_eq!(connected(&mut other), "2");
    // Nor does it hold up the server's end.
    assert_eq!(other.cmd("SET a 1"), Reply::ok());
    assert!(server.terminate().success());
    assert_eq!(stays.read_to_close().expect("an end"), b"");
}
