//! What the tests of this directory share.

use std::io::{ErrorKind, Write};
use std::time::Duration;

pub(crate) use crate::common::client::info;
use crate::common::client::{Client, is_closed};
use crate::common::resp::Reply;
use crate::common::server::{Options, Peer, Server};
use crate::common::wait;

pub(crate) const MIB: u64 = 1 << 20;

/// Within which a well-behaved client is answered, whatever others do. A bound against
/// starvation on a busy machine, not a measurement.
pub(crate) const SERVED_WITHIN: Duration = Duration::from_secs(5);

pub(crate) fn pong() -> Reply {
    Reply::Simple(b"PONG".to_vec())
}

/// An aft with further settings.
pub(crate) fn aft(settings: &[&str]) -> Server {
    Server::start(&with(Options::new(Peer::Aft), settings))
}

pub(crate) fn with(mut options: Options, settings: &[&str]) -> Options {
    options.extra.extend(settings.iter().map(|&word| word.to_owned()));
    options
}

/// Asks a well-behaved client something and says how long the answer took.
pub(crate) fn ping(client: &mut Client) -> Duration {
    let start = wait::now();
    assert_eq!(client.cmd("PING"), pong());
    start.elapsed()
}

/// Waits until nobody but this client is connected, and nothing is kept for the others.
pub(crate) fn until_alone(client: &mut Client) {
    wait::until("all others are gone", wait::PATIENCE, || {
        (info(client, "connected_clients") == 1).then_some(())
    });
    assert_eq!(info(client, "mem_clients_normal"), 0);
}

/// What became of a write that must not block the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    All,
    /// So many bytes were left when nobody took any more.
    Stuck(usize),
    /// The server has closed the connection.
    Closed,
}

/// Sends as much as the server takes.
pub(crate) fn send(client: &Client, bytes: &[u8]) -> Sent {
    let mut stream = client.stream();
    stream.set_nonblocking(true).expect("a socket");
    let mut at = 0;
    while at < bytes.len() {
        match stream.write(&bytes[at..]) {
            Ok(count) => at += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Sent::Stuck(bytes.len() - at);
            }
            Err(error) if is_closed(&error) => return Sent::Closed,
            Err(error) => panic!("{error}"),
        }
    }
    Sent::All
}

/// Sends all of it, or until the server closes the connection.
pub(crate) fn send_all(client: &Client, bytes: &[u8]) -> Sent {
    let mut at = 0;
    wait::until("the server reads or closes", wait::PATIENCE, || match send(client, &bytes[at..]) {
        Sent::Stuck(left) => {
            at = bytes.len() - left;
            None
        }
        done => Some(done),
    })
}

/// Closes so that the peer sees a reset.
pub(crate) fn reset(client: Client) {
    let socket = socket2::SockRef::from(client.stream());
    socket.set_linger(Some(Duration::ZERO)).expect("a socket");
    drop(client);
}
