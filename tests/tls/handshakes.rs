//! Handshakes that never end: bounded, counted, and nobody else's problem.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::client::TlsClient;
use crate::common::client::{Client, is_closed};
use crate::common::resp::Reply;
use crate::common::server::Options;
use crate::common::wait::{self, PATIENCE};
use crate::world::{TlsServer, is_aft};

/// The beginning of a handshake: a record that claims 512 bytes and has five.
const HALF: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3];

fn pong() -> Reply {
    Reply::Simple(b"PONG".to_vec())
}

fn with_timeout(timeout_ms: u32, options: Options) -> TlsServer {
    let extra = ["--tls-handshake-timeout-ms".to_owned(), timeout_ms.to_string()].to_vec();
    TlsServer::start_with("yes", Options { extra, ..options })
}

/// A connection that said so much and will say no more.
fn stalled(addr: SocketAddr, said: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(addr).expect("a connection");
    stream.write_all(said).expect("an open connection");
    stream.set_nonblocking(true).expect("a socket");
    stream
}

fn is_over(mut stream: &TcpStream) -> bool {
    let mut byte = [0];
    match stream.read(&mut byte) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => is_closed(&error),
    }
}

#[test]
fn a_stalled_handshake_is_closed_in_time_and_others_are_served_meanwhile() {
    if !is_aft() {
        return;
    }
    let server = with_timeout(500, Options::memory());
    let mut secured = server.client();
    let mut plain = server.server.client();
    assert_eq!(secured.cmd("PING"), pong());
    let start = wait::now();
    let silent: Vec<TcpStream> = (0..50).map(|_| stalled(server.addr, b"")).collect();
    let half: Vec<TcpStream> = (0..50).map(|_| stalled(server.addr, HALF)).collect();
    let mut slow = stalled(server.addr, HALF);
    let mut slowest = Duration::ZERO;
    wait::until("all of them are closed", PATIENCE, || {
        let began = wait::now();
        assert_eq!((secured.cmd("PING"), plain.cmd("PING")), (pong(), pong()));
        assert_eq!(server.client().cmd("PING"), pong(), "a new one is let in");
        slowest = slowest.max(began.elapsed());
        // One byte at a time is no way to stay either.
        let _ = slow.write(&[0]);
        let mut all = silent.iter().chain(&half).chain([&slow]);
        all.all(is_over).then_some(())
    });
    let took = start.elapsed();
    println!("closed after {took:?}, the slowest round of the others took {slowest:?}");
    assert!(took >= Duration::from_millis(450), "too early: {took:?}");
    assert!(took < Duration::from_secs(5), "late: {took:?}");
    assert!(slowest < Duration::from_secs(2), "others waited {slowest:?}");
}

#[test]
fn handshakes_take_places_and_give_them_back() {
    if !is_aft() {
        return;
    }
    let server = with_timeout(1_000, Options { clients_max: Some(10), ..Options::memory() });
    let stalled: Vec<TcpStream> = (0..10).map(|_| stalled(server.addr, HALF)).collect();
    wait::until("the places are taken", PATIENCE, || {
        let said = server.server.client().read_to_close().ok()?;
        said.starts_with(b"-ERR max number of clients reached").then_some(())
    });
    // One too many for TLS hears nothing: a handshake would take the place there isn't.
    let surplus = TcpStream::connect(server.addr).expect("a connection");
    surplus.set_nonblocking(true).expect("a socket");
    wait::until("the surplus is closed", PATIENCE, || is_over(&surplus).then_some(()));
    wait::until("the stalled ones are closed", PATIENCE, || {
        stalled.iter().all(is_over).then_some(())
    });
    wait::until("there is room again", PATIENCE, || {
        let mut client = server.client();
        (client.call(&["PING"]).ok()? == pong()).then_some(())
    });
}

#[test]
fn a_peer_that_leaves_in_the_middle_leaves_nothing_behind() {
    let server = TlsServer::start("yes");
    for said in [b"".as_slice(), HALF, b"nonsense"] {
        drop(stalled(server.addr, said));
    }
    let mut plain = server.server.client();
    wait::until("only we are connected", PATIENCE, || {
        let list = plain.cmd("CLIENT LIST").text().expect("a text");
        (list.lines().count() == 1).then_some(())
    });
}

#[test]
fn client_kill_ends_a_handshake_and_says_goodbye_after_one() {
    if !is_aft() {
        return;
    }
    let server = TlsServer::start("yes");
    let mut killer = server.server.client();
    let stalled = stalled(server.addr, HALF);
    let mut victim = server.client();
    let id = victim.cmd("CLIENT ID").int().to_string();
    assert_eq!(killer.run(&["CLIENT", "KILL", "ID", &id]), Reply::Int(1));
    assert_eq!(victim.read_to_goodbye().expect("a goodbye"), b"");
    let address = stalled.local_addr().expect("an address").to_string();
    assert_eq!(killer.run(&["CLIENT", "KILL", "ADDR", &address]), Reply::Int(1));
    wait::until("the stalled one is closed", PATIENCE, || is_over(&stalled).then_some(()));
}

#[test]
fn an_orderly_end_waits_for_no_handshake_and_says_goodbye() {
    if !is_aft() {
        return;
    }
    let mut server = TlsServer::start("yes");
    let _stalled = stalled(server.addr, HALF);
    let mut idle: Vec<TlsClient> = (0..3).map(|_| server.client()).collect();
    assert!(idle.iter_mut().all(|client| client.cmd("PING") == pong()));
    let start = wait::now();
    assert_eq!(server.server.terminate().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
    for client in &mut idle {
        assert_eq!(client.read_to_goodbye().expect("a goodbye"), b"");
    }
}

#[test]
fn idle_tls_connections_cost_little_and_forgotten_ones_are_closed() {
    let options = Options { idle_timeout_s: Some(2), ..Options::memory() };
    let server = TlsServer::start_with("yes", options);
    let mut busy = server.client();
    assert_eq!(busy.cmd("SET k v"), Reply::ok());
    let before = server.server.memory_bytes("VmRSS");
    let mut crowd: Vec<TlsClient> = (0..300).map(|_| server.client()).collect();
    for client in &mut crowd {
        assert_eq!(client.cmd("GET k"), Reply::bulk("v"));
    }
    let each = server.server.memory_bytes("VmRSS").saturating_sub(before) / 300;
    println!("{each} bytes for each idle TLS connection");
    assert!(each < 64 << 10, "{each} bytes for each idle TLS connection");
    let forgotten = crowd.pop().expect("one of them");
    let nonblocking = |client: &TlsClient| client.socket().set_nonblocking(true);
    nonblocking(&forgotten).expect("a socket");
    let mut forgotten = forgotten;
    wait::until("the idle one is closed", PATIENCE, || {
        assert_eq!(busy.cmd("PING"), pong());
        match forgotten.read_to_goodbye() {
            Ok(rest) => {
                assert_eq!(rest, b"");
                Some(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            // Redis closes without a goodbye.
            Err(error) => {
                assert!(!is_aft(), "{error:?}");
                Some(())
            }
        }
    });
    // The plain port is closed by the same clock.
    assert!(Client::connect(server.server.addr()).is_ok());
}
