//! Slow clients: a byte now and then, or no byte read. They take their own memory and time, and
//! with a timeout they end.

use std::io::{Read, Write};

use crate::common::client::{Client, is_closed};
use crate::common::resp::{Reply, encode};
use crate::common::server::Server;
use crate::common::wait::{self, PATIENCE};
use crate::support::{MIB, SERVED_WITHIN, aft, info, ping, pong, until_alone};

const CROWD: usize = 400;

fn crowd(server: &Server) -> Vec<Client> {
    (0..CROWD).map(|_| server.client()).collect()
}

/// A byte of a request from each of hundreds of connections, round after round.
#[test]
fn slowloris_costs_little_stops_nobody_and_ends() {
    let server = aft(&["--idle-timeout-s", "1"]);
    let mut served = server.client();
    let before = server.memory_bytes("VmRSS");
    let mut request = Vec::new();
    encode(&[b"SET".to_vec(), b"k".to_vec(), vec![b'v'; 1_000]], &mut request);
    let slow = crowd(&server);
    for byte in &request[..100] {
        for client in &slow {
            let _ = client.stream().write_all(std::slice::from_ref(byte));
        }
        assert!(ping(&mut served) < SERVED_WITHIN);
    }
    let each = server.memory_bytes("VmRSS").saturating_sub(before) / CROWD as u64;
    println!("{each} bytes for each slow client");
    assert!(each < 32 << 10, "{each} bytes for each slow client");
    // They say no more; who goes on talking stays.
    wait::until("the slow ones are closed", PATIENCE, || {
        (info(&mut served, "connected_clients") == 1).then_some(())
    });
    assert_eq!(served.cmd("DBSIZE"), Reply::Int(0));
    for mut client in slow {
        assert_eq!(client.read_to_close().expect("closed"), b"");
    }
    until_alone(&mut served);
}

/// As in Redis, whoever is to read is idle as long as it doesn't.
#[test]
fn who_does_not_read_is_idle() {
    let server = aft(&["--idle-timeout-s", "1"]);
    let mut served = server.client();
    let value = vec![b'v'; 16 << 20];
    assert_eq!(served.run(&[b"SET", b"big".as_slice(), &value]), Reply::ok());
    let mut deaf = server.client();
    deaf.queue(&["GET", "big"]);
    deaf.flush().expect("an open connection");
    wait::until("the reply is under way", PATIENCE, || {
        (info(&mut served, "mem_clients_normal") >= 8 * MIB).then_some(())
    });
    until_alone(&mut served);
    assert!(deaf.read().is_err_and(|error| is_closed(&error)), "the reply was cut off");
}

/// Whoever takes what it has asked for, little by little, is not.
#[test]
fn who_reads_slowly_is_not_idle() {
    const LENGTH: usize = 32 << 20;
    let server = aft(&["--idle-timeout-s", "1"]);
    let mut served = server.client();
    let value = vec![b'v'; LENGTH];
    assert_eq!(served.run(&[b"SET", b"big".as_slice(), &value]), Reply::ok());
    let mut slow = server.client();
    slow.queue(&["GET", "big"]);
    slow.flush().expect("an open connection");
    let mut part = vec![0; 1 << 20];
    for _ in 0..LENGTH >> 20 {
        assert_eq!(served.cmd("DEBUG SLEEP 0.15"), Reply::ok());
        slow.stream().read_exact(&mut part).expect("an open connection");
    }
}

/// A reply that the server owes keeps a connection that says nothing.
#[test]
fn who_waits_for_the_server_is_not_idle() {
    let server = aft(&["--idle-timeout-s", "1"]);
    let mut waiting = server.client();
    waiting.queue(&["WAIT", "1", "3000"]);
    waiting.queue(&["PING"]);
    waiting.flush().expect("an open connection");
    let mut idle = server.client();
    assert_eq!(idle.cmd("PING"), pong());
    assert_eq!(idle.read_to_close().expect("the idle one is closed"), b"");
    assert_eq!(waiting.read().expect("a reply"), Reply::Int(0));
    assert_eq!(waiting.read().expect("a reply"), pong());
}
