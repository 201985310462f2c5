//! Connections of which one half is gone: closed by the client for writing, or reset.

use std::net::Shutdown;

use crate::common::resp::{Reply, encode};
use crate::common::server::{Options, Peer, Server};
use crate::common::temp_dir::TempDir;
use crate::support::{SERVED_WITHIN, aft, ping, reset, until_alone};

/// What was asked before the end is answered, and then the connection is over.
#[test]
fn who_says_no_more_still_gets_its_answers() {
    let dir = TempDir::named("half-open");
    let server =
        Server::start(&Options { dir: Some(dir.path().to_owned()), ..Options::new(Peer::Aft) });
    let mut served = server.client();
    let mut clients = Vec::new();
    for n in 0..50 {
        let mut client = server.client();
        for _ in 0..20 {
            client.queue(&["INCR", &format!("k{n}")]);
        }
        client.flush().expect("an open connection");
        // A request that never becomes whole comes last.
        client.send_raw(b"*2\r\n$4\r\nINCR\r\n$1\r\n").expect("an open connection");
        client.stream().shutdown(Shutdown::Write).expect("an open connection");
        clients.push(client);
    }
    let expected: String = (1..=20).map(|n| format!(":{n}\r\n")).collect();
    for mut client in clients {
        let said = client.read_to_close().expect("closed");
        assert_eq!(String::from_utf8_lossy(&said), expected);
    }
    until_alone(&mut served);
    assert_eq!(served.cmd("DBSIZE"), Reply::Int(50));
}

/// In whatever state they were.
#[test]
fn who_resets_leaves_nothing_behind() {
    let server = aft(&[]);
    let mut served = server.client();
    assert_eq!(served.run(&["SET", "big", &"v".repeat(1 << 20)]), Reply::ok());
    let mut half = Vec::new();
    encode(&["SET", "k", &"v".repeat(100_000)], &mut half);
    half.truncate(60_000);
    for round in 0..600 {
        let mut client = server.client();
        match round % 6 {
            0 => {}
            1 => client.send_raw(&half).expect("an open connection"),
            2 => drop(client.run(&["WATCH", "a", "b", "big"])),
            3 => {
                client.queue(&["MULTI"]);
                client.queue(&["SET", "queued", &"v".repeat(50_000)]);
                client.flush().expect("an open connection");
            }
            4 => {
                // Replies on their way.
                (0..10).for_each(|_| client.queue(&["GET", "big"]));
                client.flush().expect("an open connection");
            }
            _ => {
                client.queue(&["WAIT", "1", "0"]);
                client.flush().expect("an open connection");
            }
        }
        reset(client);
        if round % 50 == 0 {
            assert!(ping(&mut served) < SERVED_WITHIN);
        }
    }
    until_alone(&mut served);
    assert_eq!(served.cmd("DBSIZE"), Reply::Int(1));
}
