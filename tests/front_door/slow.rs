//! Clients that ask and never read.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use crate::common::resp::{Reply, encode};
use crate::common::server::{Options, Server};
use crate::common::wait::{self, PATIENCE};

const VALUE_BYTES: usize = 200_000;
/// Far above the limit and what the kernel's socket buffers hold, far below what all the replies
/// would take.
const GROWTH_MAX: u64 = 120 << 20;

#[test]
fn a_client_that_never_reads_is_closed_and_stalls_nobody() {
    let limited = Options { output_buffer_bytes_max: Some("1mb"), ..Options::memory() };
    let server = Server::start(&limited);
    let mut other = server.client();
    let value = vec![b'v'; VALUE_BYTES];
    assert_eq!(other.run(&[b"SET", b"big".as_slice(), &value]), Reply::ok());
    let before = server.memory_bytes("VmHWM");

    let (mut to, _never_read) = server.client().split().expect("a second handle");
    to.set_nonblocking(true).expect("a socket");
    let mut batch = Vec::new();
    (0..100).for_each(|_| encode(&["GET", "big"], &mut batch));
    let mut at = 0;
    let mut slowest = Duration::ZERO;
    wait::until("the slow reader is closed", PATIENCE, || {
        let start = wait::now();
        assert_eq!(other.cmd("PING"), Reply::Simple(b"PONG".to_vec()));
        slowest = slowest.max(start.elapsed());
        match to.write(&batch[at..]) {
            Ok(sent) => {
                at = (at + sent) % batch.len();
                None
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => Some(error),
        }
    });
    println!("the slowest PING meanwhile took {slowest:?}");
    assert!(slowest < Duration::from_secs(2), "another client waited {slowest:?}");
    let grown = server.memory_bytes("VmHWM").saturating_sub(before);
    assert!(grown < GROWTH_MAX, "{grown} bytes for one slow reader");
    assert_eq!(other.run(&["GET", "big"]), Reply::Bulk(value));
}

#[test]
fn a_client_that_reads_late_gets_everything() {
    let server = Server::start(&Options::memory());
    let mut client = server.client();
    let value = vec![b'v'; VALUE_BYTES];
    assert_eq!(client.run(&[b"SET", b"big".as_slice(), &value]), Reply::ok());
    (0..200).for_each(|_| client.queue(&["GET", "big"]));
    client.flush().expect("an open connection");
    let mut other = server.client();
    for n in 1..=500 {
        assert_eq!(other.cmd("INCR n"), Reply::Int(n));
    }
    for _ in 0..200 {
        assert_eq!(client.read().expect("a reply"), Reply::Bulk(value.clone()));
    }
}
