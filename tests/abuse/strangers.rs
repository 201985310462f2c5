//! Clients that have given no password: no effect, and little cost.

use std::io::Read;

use crate::common::client::Client;
use crate::common::resp::{Reply, encode};
use crate::common::server::{Options, Peer, Server};
use crate::common::session::{Scenario, same_replies_with};
use crate::common::wait::{self, PATIENCE};
use crate::support::{MIB, SERVED_WITHIN, Sent, aft, info, ping, send, send_all, with};

const NOAUTH: &str = "NOAUTH Authentication required.";

fn locked(settings: &[&str]) -> Server {
    let options = Options { requirepass: Some("secret"), ..Options::new(Peer::Aft) };
    Server::start(&with(options, settings))
}

fn insider(server: &Server) -> Client {
    let mut client = server.client();
    assert_eq!(client.cmd("AUTH secret"), Reply::ok());
    client
}

fn texts(reply: &Reply) -> Vec<String> {
    let Reply::Array(items) = reply else {
        panic!("no array: {reply:?}");
    };
    let text = |item: &Reply| match item {
        Reply::Bulk(text) | Reply::Simple(text) => String::from_utf8_lossy(text).into_owned(),
        other => format!("{other:?}"),
    };
    items.iter().map(text).collect()
}

#[test]
fn every_command_but_four_is_refused() {
    let server = locked(&[]);
    let mut inside = insider(&server);
    let names = texts(&inside.cmd("COMMAND LIST"));
    let mut open = Vec::new();
    for name in &names {
        // A container is none by itself: there is no subcommand `1`.
        if names.iter().any(|other| other.starts_with(&format!("{name}|"))) {
            continue;
        }
        let mut stranger = server.client();
        // As many arguments as it takes, or more: what is wrong with them is not looked at.
        let mut words: Vec<&str> = name.split('|').collect();
        let Reply::Array(found) = inside.run(&["COMMAND", "INFO", name]) else {
            panic!("{name} is not known");
        };
        let Reply::Array(fields) = &found[0] else {
            panic!("{name} is not known");
        };
        let arity = fields[1].int().unsigned_abs() as usize;
        words.resize(arity.max(words.len()), "1");
        let reply = stranger.run(&words);
        let aborted = format!("EXECABORT Transaction discarded because of: {NOAUTH}");
        if ![NOAUTH, &aborted].map(|text| Reply::Error(text.into())).contains(&reply) {
            open.push(name.as_str());
        }
    }
    open.sort_unstable();
    assert_eq!(open, ["auth", "hello", "quit", "reset"]);
    assert!(names.len() > 100, "{} commands", names.len());
    assert_eq!(inside.cmd("DBSIZE"), Reply::Int(0));
}

#[test]
fn what_is_left_to_strangers_is_as_in_redis() {
    const SCRIPTS: &[Scenario] = &[
        Scenario {
            name: "MULTI queues nothing",
            script: "a: MULTI | a: SET k 1 | a: EXEC | a: AUTH secret | a: EXEC | a: DBSIZE",
        },
        Scenario { name: "QUIT", script: "a: QUIT | a: !closed" },
        Scenario {
            name: "RESET",
            script: "a: RESET | a: PING | a: AUTH secret | a: PING | a: RESET | a: PING",
        },
        Scenario {
            name: "HELLO",
            script: "a: HELLO | a: HELLO 3 | a: HELLO 4 | a: HELLO 3 AUTH default wrong | a: HELLO 3 SETNAME x | a: PING",
        },
        Scenario {
            name: "AUTH",
            script: "a: AUTH wrong | a: AUTH nobody secret | a: AUTH a b c | a: AUTH | a: PING | a: AUTH default secret | a: PING",
        },
        Scenario {
            name: "unknown commands and wrong numbers of arguments",
            script: "a: NOSUCH | a: GET | a: SET k | a: PING 1 2 3 | a: CONFIG NOSUCH",
        },
        Scenario {
            name: "a wrong password throws nobody out",
            script: "a: AUTH secret | a: AUTH wrong | a: SET k v | a: GET k",
        },
        Scenario {
            name: "MULTI is kept through a failed AUTH",
            script: "a: AUTH secret | a: MULTI | a: AUTH wrong | a: GET k | a: EXEC | a: PING",
        },
    ];
    same_replies_with(SCRIPTS, |options| options.requirepass = Some("secret"));
}

/// However it came that a password is needed.
#[test]
fn limits_hold_for_whoever_needs_a_password_and_for_nobody_else() {
    let eleven = b"*11\r\n$4\r\nPING\r\n";
    let refused = Reply::Error("ERR Protocol error: unauthenticated multibulk length".into());
    for peer in [Peer::Redis, Peer::under_test()] {
        let server = Server::start(&Options::new(peer));
        let mut inside = server.client();
        let mut answer = |rules: &str| {
            assert_eq!(inside.cmd(rules), Reply::ok(), "{peer:?}");
            let mut stranger = server.client();
            stranger.send_raw(eleven).expect("an open connection");
            stranger.send_raw(b"$1\r\nx\r\n".repeat(10).as_slice()).expect("an open connection");
            stranger.read().expect("a reply")
        };
        let arity = Reply::Error("ERR wrong number of arguments for 'ping' command".into());
        assert_eq!(answer("ACL SETUSER default >secret"), refused, "{peer:?}: a password");
        assert_eq!(answer("ACL SETUSER default nopass"), arity, "{peer:?}: any password");
        assert_eq!(answer("ACL SETUSER default off"), refused, "{peer:?}: no default user");
        assert_eq!(answer("ACL SETUSER default on"), arity, "{peer:?}: back again");
        assert_eq!(answer("CONFIG SET requirepass secret"), refused, "{peer:?}: requirepass");
        assert_eq!(answer("ACL SETUSER default nopass"), arity, "{peer:?}: overruled");
    }
}

#[test]
fn who_never_reads_its_errors_is_closed() {
    let server = locked(&[]);
    let mut inside = insider(&server);
    let before = server.memory_bytes("VmHWM");
    let stranger = server.client();
    let pings = b"PING\r\n".repeat(20_000);
    wait::until("the stranger is closed", PATIENCE, || {
        assert!(ping(&mut inside) < SERVED_WITHIN);
        (send(&stranger, &pings) == Sent::Closed).then_some(())
    });
    assert_eq!(info(&mut inside, "client_output_buffer_limit_disconnections"), 1);
    let grown = server.memory_bytes("VmHWM").saturating_sub(before);
    println!("{} KB for a stranger that never reads", grown >> 10);
    assert!(grown < 4 * MIB, "{grown} bytes for a stranger that never reads");
}

/// A long pipeline of somebody who reads is no reason.
#[test]
fn who_reads_its_errors_may_go_on() {
    let server = locked(&[]);
    let (mut to, mut from) = server.client().split().expect("a second handle");
    let pings = 100_000;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::io::Write::write_all(&mut to, &b"PING\r\n".repeat(pings)).expect("all is sent");
        });
        let mut errors = vec![0; pings * format!("-{NOAUTH}\r\n").len()];
        from.read_exact(&mut errors).expect("all errors");
        assert!(errors == format!("-{NOAUTH}\r\n").repeat(pings).into_bytes());
    });
}

#[test]
fn half_of_the_largest_request_of_each_of_many_strangers_is_little() {
    const STRANGERS: usize = 400;
    let server = locked(&[]);
    let mut inside = insider(&server);
    let before = server.memory_bytes("VmHWM");
    let mut request = Vec::new();
    encode(&vec![vec![b'x'; 16 << 10]; 10], &mut request);
    request.truncate(request.len() - 1);
    let strangers: Vec<Client> = (0..STRANGERS).map(|_| server.client()).collect();
    for stranger in &strangers {
        assert_eq!(send_all(stranger, &request), Sent::All);
    }
    let all = (STRANGERS * request.len()) as u64;
    wait::until("all is read", PATIENCE, || {
        (info(&mut inside, "total_net_input_bytes") >= all).then_some(())
    });
    let grown = server.memory_bytes("VmHWM").saturating_sub(before);
    println!("{} KB for each stranger", (grown >> 10) / STRANGERS as u64);
    assert!(grown < STRANGERS as u64 * 400 * 1024, "{grown} bytes");
    assert!(ping(&mut inside) < SERVED_WITHIN);
    drop(strangers);
    crate::support::until_alone(&mut inside);
}

/// What would need more is refused before it is sent.
#[test]
fn more_is_not_even_listened_to() {
    let server = locked(&[]);
    let mut inside = insider(&server);
    let before = server.memory_bytes("VmHWM");
    for claim in ["*1\r\n$16385\r\n", "*1\r\n$536870912\r\n", "*11\r\n", "*2147483647\r\n"] {
        let stranger = server.client();
        assert_eq!(send_all(&stranger, claim.as_bytes()), Sent::All);
        let rest = vec![b'x'; MIB as usize];
        let closed = || (send(&stranger, &rest) == Sent::Closed).then_some(());
        wait::until("the stranger is closed", PATIENCE, closed);
    }
    let grown = server.memory_bytes("VmHWM").saturating_sub(before);
    assert!(grown < 4 * MIB, "{grown} bytes");
    assert_eq!(inside.cmd("DBSIZE"), Reply::Int(0));
}

/// Names and such that a stranger may give are dropped with the connection.
#[test]
fn a_crowd_that_comes_and_goes_leaves_nothing() {
    let server = locked(&[]);
    let mut inside = insider(&server);
    let name = "n".repeat(16_000);
    let mut visit = |times: usize| {
        for _ in 0..times {
            let mut stranger = server.client();
            stranger.run(&["HELLO", "3", "SETNAME", &name]);
            stranger.run(&["MULTI"]);
            stranger.run(&["SET", "k", &name]);
            stranger
                .run(&[&format!("NOSUCH{}", stranger.stream().local_addr().expect("an address"))]);
        }
        crate::support::until_alone(&mut inside);
        server.memory_bytes("VmRSS")
    };
    let first = visit(300);
    let then = visit(2_000);
    let grown = then.saturating_sub(first);
    assert!(grown < 8 * MIB, "{grown} bytes after 2,000 visits of 32 KB");
}

#[test]
fn without_a_password_nobody_is_a_stranger() {
    let server = aft(&[]);
    let mut client = server.client();
    let mut request = Vec::new();
    encode(&[b"ECHO".to_vec(), vec![b'x'; 1 << 20]], &mut request);
    client.send_raw(&request).expect("an open connection");
    assert_eq!(client.read().expect("a reply"), Reply::Bulk(vec![b'x'; 1 << 20]));
}
