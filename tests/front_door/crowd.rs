//! Many connections: idle ones cost little, a limit holds, forgotten ones are closed.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::common::client::{Client, is_closed};
use crate::common::resp::Reply;
use crate::common::server::{Options, Server};
use crate::common::wait::{self, PATIENCE};

const CROWD: u32 = 5_000;
const FILES: u64 = 12_000;
const BYTES_EACH_MAX: u64 = 32 * 1024;

fn pong() -> Reply {
    Reply::Simple(b"PONG".to_vec())
}

/// This process holds the other end of every connection.
fn raise_open_files() {
    let now = getrlimit(Resource::Nofile);
    if now.current.is_some_and(|current| current < FILES) {
        let maximum = now.maximum.map(|maximum| maximum.max(FILES));
        let raised = Rlimit { current: Some(FILES), maximum };
        setrlimit(Resource::Nofile, raised).expect("12,000 open files are allowed");
    }
}

#[test]
fn five_thousand_idle_connections_cost_little_and_stop_nobody() {
    raise_open_files();
    let through = ["prlimit", "--nofile=12000:12000"].map(str::to_owned).to_vec();
    let server = Server::start(&Options { through, ..Options::memory() });
    let mut busy = server.client();
    assert_eq!(busy.cmd("SET k v"), Reply::ok());
    let before = server.memory_bytes("VmRSS");
    let mut crowd: Vec<Client> = (0..CROWD).map(|_| server.client()).collect();
    for client in &mut crowd {
        // Each was served once: a connection that never did anything is not what stays idle.
        client.queue(&["GET", "k"]);
        client.flush().expect("an open connection");
    }
    for client in &mut crowd {
        assert_eq!(client.read().expect("a reply"), Reply::bulk("v"));
    }
    let each = server.memory_bytes("VmRSS").saturating_sub(before) / u64::from(CROWD);
    println!("{each} bytes for each idle connection");
    assert!(each <= BYTES_EACH_MAX, "{each} bytes for each idle connection");
    let start = wait::now();
    for n in 1..=2_000 {
        assert_eq!(busy.cmd("INCR n"), Reply::Int(n));
    }
    let took = start.elapsed();
    assert!(took < Duration::from_secs(10), "2,000 commands beside a crowd took {took:?}");
    assert_eq!(crowd[4_999].cmd("GET n"), Reply::bulk("2000"));
    drop(crowd);
    let fresh = || (server.client().cmd("PING") == pong()).then_some(());
    wait::until("new clients are served after the crowd left", PATIENCE, fresh);
}

#[test]
fn the_connection_limit_answers_and_lets_in_again() {
    let server = Server::start(&Options { clients_max: Some(100), ..Options::memory() });
    let mut clients: Vec<Client> = (0..100).map(|_| server.client()).collect();
    assert!(clients.iter_mut().all(|client| client.cmd("PING") == pong()), "100 are let in");
    for _ in 0..3 {
        let mut surplus = server.client();
        let said = surplus.read_to_close().expect("closed at once");
        assert_eq!(said.escape_ascii().to_string(), r"-ERR max number of clients reached\r\n");
    }
    assert!(clients.iter_mut().all(|client| client.cmd("PING") == pong()), "they stay");
    clients.pop();
    wait::until("there is room again", PATIENCE, || {
        let mut client = Client::connect(server.addr()).ok()?;
        (client.call(&["PING"]).ok()? == pong()).then_some(())
    });
}

#[test]
fn idle_connections_are_closed_and_busy_ones_are_not() {
    let server = Server::start(&Options { idle_timeout_s: Some(1), ..Options::memory() });
    let mut idle = server.client();
    assert_eq!(idle.cmd("PING"), pong());
    let mut half = server.client();
    half.send_raw(b"*1\r\n$4\r\nPI").expect("an open connection");
    let mut busy = server.client();
    let start = wait::now();
    idle.stream().set_nonblocking(true).expect("a socket");
    wait::until("the idle connection is closed", PATIENCE, || {
        assert_eq!(busy.cmd("PING"), pong(), "a busy connection stays open");
        idle.read().err().filter(is_closed)
    });
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(900), "closed too early: {took:?}");
    assert!(took <= Duration::from_secs(5), "closed late: {took:?}");
    // Half a request doesn't keep a connection.
    assert_eq!(half.read_to_close().expect("closed"), b"");
}
