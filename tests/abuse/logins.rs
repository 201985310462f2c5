//! Floods of wrong passwords: noted as by Redis, in bounds, and no secret is told to anybody.

use crate::common::client::Client;
use crate::common::resp::Reply;
use crate::common::server::{Options, Peer, Server};
use crate::support::{MIB, info, with};

const FLOOD: usize = 5_000;

fn locked(peer: Peer) -> Server {
    Server::start(&Options { requirepass: Some("secret"), ..Options::new(peer) })
}

fn insider(server: &Server) -> Client {
    let mut client = server.client();
    assert_eq!(client.cmd("AUTH secret"), Reply::ok());
    client
}

/// ACL LOG without the ages and connections.
fn log(client: &mut Client) -> Vec<String> {
    let Reply::Array(entries) = client.cmd("ACL LOG 1000") else {
        panic!("ACL LOG is no array");
    };
    let shown = |entry: &Reply| {
        let Reply::Array(fields) = entry else {
            panic!("{entry:?}");
        };
        let pairs = fields.chunks(2).map(|pair| format!("{:?} {:?}", pair[0], pair[1]));
        pairs.filter(|pair| !pair.contains("age-") && !pair.contains("client-info")).collect()
    };
    entries
        .iter()
        .map(|entry| {
            let pairs: Vec<String> = shown(entry);
            pairs.join(", ")
        })
        .collect()
}

fn flood(server: &Server) {
    let mut stranger = server.client();
    for n in 0..FLOOD / 100 {
        for guess in 0..100 {
            stranger.queue(&["AUTH", &format!("guess{n}{guess}")]);
        }
        for guess in 0..10 {
            stranger.queue(&["AUTH", "root", &format!("guess{n}{guess}")]);
            stranger.queue(&["HELLO", "3", "AUTH", "root", &format!("guess{n}{guess}")]);
        }
        stranger.flush().expect("an open connection");
        for _ in 0..120 {
            let reply = stranger.read().expect("a reply");
            assert_eq!(reply.error_code().as_deref(), Some("WRONGPASS"));
        }
    }
    assert_eq!(stranger.cmd("PING").error_code().as_deref(), Some("NOAUTH"));
}

#[test]
fn a_flood_is_a_few_entries_with_counts_as_in_redis() {
    let logs = [Peer::Redis, Peer::under_test()].map(|peer| {
        let server = locked(peer);
        flood(&server);
        let mut inside = insider(&server);
        inside.cmd("AUTH wrong");
        log(&mut inside)
    });
    assert_eq!(logs[1], logs[0], "left: ours, right: Redis'");
    assert_eq!(logs[1].len(), 3);
    assert!(logs[1][0].contains(&format!(":{}", FLOOD + 1)), "{}", logs[1][0]);
}

#[test]
fn a_flood_of_names_is_bounded_as_in_redis() {
    for peer in [Peer::Redis, Peer::under_test()] {
        let server = locked(peer);
        let mut stranger = server.client();
        let before = server.memory_bytes("VmRSS");
        let long = "n".repeat(16_000);
        for n in 0..2_000 {
            let reply = stranger.run(&["AUTH", &format!("{n}{long}"), "guess"]);
            assert_eq!(reply.error_code().as_deref(), Some("WRONGPASS"));
        }
        let grown = server.memory_bytes("VmRSS").saturating_sub(before);
        let mut inside = insider(&server);
        let names = log(&mut inside);
        assert_eq!(names.len(), 128, "{peer:?}");
        if peer == Peer::Aft {
            assert!(grown < 16 * MIB, "{grown} bytes of 32 MB of names");
            assert_eq!(inside.cmd("ACL LOG RESET"), Reply::ok());
            assert_eq!(log(&mut inside).len(), 0);
        }
    }
}

#[test]
fn no_secret_is_in_slowlog_monitor_or_the_log() {
    let options = Options { requirepass: Some("secret"), ..Options::new(Peer::Aft) };
    let settings = ["--slowlog-slower-than-us", "0", "--log-level", "trace"];
    let server = Server::start(&with(options, &settings));
    let mut inside = insider(&server);
    let mut monitor = insider(&server);
    assert_eq!(monitor.cmd("MONITOR"), Reply::ok());
    let mut stranger = server.client();
    for line in [
        "AUTH hunter2",
        "AUTH default hunter2",
        "AUTH my hunter2 has blanks",
        "HELLO 3 AUTH default hunter2",
        "HELLO 3 SETNAME x AUTH default hunter2",
        "HELLO 9 AUTH default hunter2",
        "SET k hunter2",
        "NOSUCH hunter2",
        "PING hunter2",
        "AUTH secret",
        "CONFIG SET requirepass hunter2",
        "ACL SETUSER u on >hunter2 ~* +@all",
        "AUTH u hunter2",
        "AUTH u hunter2 hunter2",
    ] {
        stranger.cmd(line);
    }
    assert_eq!(stranger.cmd("ECHO end"), Reply::bulk("end"));
    let mut seen = String::new();
    while !seen.contains("end") {
        seen += &format!("{:?}\n", monitor.read().expect("a line"));
    }
    assert!(seen.contains("(redacted)"), "{seen}");
    assert!(!seen.contains("hunter2"), "MONITOR tells:\n{seen}");
    let slow = format!("{:?}", inside.cmd("SLOWLOG GET -1"));
    assert!(slow.contains("(redacted)"), "{slow}");
    assert!(!slow.contains("hunter2"), "SLOWLOG keeps:\n{slow}");
    let logged = format!("{:?}", inside.cmd("ACL LOG"));
    assert!(!logged.contains("hunter2"), "ACL LOG keeps:\n{logged}");
    let said = server.said();
    assert!(!said.contains("hunter2"), "the log says:\n{said}");
    // What is refused is no command that took long.
    assert!(!slow.contains("NOSUCH") && !seen.contains("NOSUCH"));
    assert!(info(&mut inside, "total_error_replies") > 0);
}
