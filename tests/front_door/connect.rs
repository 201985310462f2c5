//! What clients send when they connect, in both protocols, with and without a password.

use crate::common::client::Client;
use crate::common::resp::Reply;
use crate::common::server::{Options, Peer, Server};
use crate::common::session::{Scenario, same_replies, same_replies_with};
use crate::common::wait::{PATIENCE, until};

const fn scenario(name: &'static str, script: &'static str) -> Scenario {
    Scenario { name, script }
}

#[test]
fn the_connect_set_is_as_in_redis() {
    same_replies(CONNECT);
}

#[test]
fn passwords_are_as_in_redis() {
    same_replies_with(PASSWORD, |options| options.requirepass = Some("secret"));
}

/// Texts that differ between any two servers, but that clients and tools look things up in.
#[test]
fn info_and_client_list_have_the_fields_that_clients_parse() {
    let server = Server::start(&Options::memory());
    let mut client = server.client();
    assert_eq!(client.cmd("CLIENT SETNAME me"), Reply::ok());
    let info = client.cmd("INFO").text().expect("a text");
    for field in ["redis_version:7.0.15", "redis_mode:standalone", "role:master", "loading:0"] {
        assert!(info.lines().any(|line| line == field), "no {field} in {info}");
    }
    for section in ["# Server", "# Clients", "# Memory", "# Stats", "# Replication", "# Keyspace"] {
        assert!(info.contains(section), "no {section} in {info}");
    }
    if Peer::under_test() == Peer::Aft {
        let version = format!("aft_version:{}", env!("CARGO_PKG_VERSION"));
        assert!(info.contains(&version), "no {version} in {info}");
    }
    let id = client.cmd("CLIENT ID").int();
    let port = client.stream().local_addr().expect("an address").port();
    for command in ["CLIENT INFO", "CLIENT LIST"] {
        let list = client.cmd(command).text().expect("a text");
        let own = list.lines().find(|line| line.contains(" name=me ")).expect("its own line");
        let fields = [format!("id={id}"), format!("addr=127.0.0.1:{port}"), "db=0".to_owned()];
        for field in fields.iter().map(String::as_str).chain(["resp=2", "user=default"]) {
            assert!(own.split(' ').any(|word| word == field), "no {field} in {own}");
        }
    }
}

/// What RedisInsight and dashboards draw.
#[test]
fn info_says_how_busy_the_server_is() {
    let server = Server::start(&Options::memory());
    let mut client = server.client();
    until("a busy server", PATIENCE, || {
        rates(&mut client).iter().all(|rate| *rate > 0.0).then_some(())
    });
    assert_eq!(client.cmd("CONFIG RESETSTAT"), Reply::ok());
    until("rates in step", PATIENCE, || {
        let [operations, _, output] = rates(&mut client);
        // One INFO after the other: each counts as one, and answers with a kilobyte.
        (operations > 10.0 && output > 10.0).then_some(())
    });
}

/// Operations a second, and KiB a second in and out.
fn rates(client: &mut Client) -> [f64; 3] {
    let info = client.cmd("INFO stats").text().expect("a text");
    ["ops_per_sec", "input_kbps", "output_kbps"].map(|name| {
        let name = format!("instantaneous_{name}:");
        let value = info.lines().find_map(|line| line.strip_prefix(&name)).expect("a rate");
        value.parse().expect("a number")
    })
}

#[test]
fn info_counts_the_keys_that_have_expired() {
    let server = Server::start(&Options::memory());
    let mut client = server.client();
    for key in ["a", "b", "c"] {
        client.run(&["SET", key, "1", "PX", "1"]);
    }
    client.cmd("SET stays 1");
    let counted = |client: &mut Client, count: u64| {
        let info = client.cmd("INFO stats").text().expect("a text");
        info.lines().any(|line| line == format!("expired_keys:{count}")).then_some(())
    };
    until("three keys are gone", PATIENCE, || counted(&mut client, 3));
    assert_eq!(client.cmd("DBSIZE"), Reply::Int(1));
    assert_eq!(client.cmd("CONFIG RESETSTAT"), Reply::ok());
    counted(&mut client, 0).expect("the count begins anew");
}

/// Nothing that was refused or only queued counts as processed, and each look-up counts once.
#[test]
fn counts_are_those_of_redis() {
    let servers = [Peer::Aft, Peer::Redis].map(|peer| Server::start(&Options::new(peer)));
    let counts = servers.map(|server| {
        let mut client = server.client();
        let names = ["total_commands_processed", "keyspace_hits", "keyspace_misses"];
        let mut look = || -> Vec<i64> {
            let info = client.cmd("INFO stats").text().expect("a text");
            let field = |name: &str| {
                let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                line.expect("a field").parse().expect("a number")
            };
            names.map(field).to_vec()
        };
        let mut others = server.client();
        let mut deltas = Vec::new();
        for command in COUNTED {
            let before = look();
            others.cmd(command);
            let after = look();
            let delta: Vec<i64> = after.iter().zip(before).map(|(a, b)| a - b).collect();
            deltas.push((*command, delta));
        }
        deltas
    });
    assert_eq!(counts[0], counts[1]);
}

const COUNTED: &[&str] = &[
    "SET k v",
    "GET k",
    "GET none",
    "SET k w GET",
    "SET none w NX GET",
    "GET a b",
    "NOSUCH",
    "INCR",
    "EXISTS k none",
    "OBJECT ENCODING k",
    "OBJECT ENCODING gone",
    "OBJECT FREQ k",
    "COPY k c",
    "COPY gone d",
    "MGET k gone",
    "STRLEN k",
    "TTL k",
    "TYPE k",
    "MULTI",
    "GET k",
    "NOSUCH x",
    "EXEC",
    "WATCH k",
    "MULTI",
    "GET k",
    "INCR n",
    "EXEC",
    "PING",
    "GETRANGE k 0 1",
    "TOUCH k gone",
    "GETEX k",
    "GETEX gone EX 100",
    "GETSET k x",
    "GETDEL k",
    "GETDEL k",
    "APPEND k x",
    "SETRANGE k 1 x",
    "SUBSTR k 0 0",
    "SETBIT k 1 1",
    "GETBIT k 1",
    "GETBIT gone 1",
    "BITCOUNT k",
    "BITPOS gone 0",
    "BITOP NOT b k",
    "BITOP OR b k gone",
    "BITFIELD k GET u8 0",
    "BITFIELD k SET u8 0 1",
    "BITFIELD_RO gone GET u8 0",
    "LCS k gone",
    "INCRBYFLOAT n 1",
    "DECR n",
    "MSETNX k 1 gone 2",
    "SETNX k 1",
    "SET k v XX",
    "SET k v KEEPTTL",
    "EXPIRE k 100",
    "EXPIRE gone 100",
    "PEXPIRETIME gone",
    "PERSIST k",
    "MOVE k 1",
    "MOVE gone 1",
    "RENAME n m",
    "RENAMENX m n",
    "OBJECT REFCOUNT n",
    "MEMORY USAGE n",
    "MEMORY USAGE gone",
    "UNLINK n gone",
    "EXPIREAT b 1",
];

/// Of a transaction the slow log has the command that took long.
#[test]
fn the_slow_log_looks_into_transactions() {
    for peer in [Peer::Aft, Peer::Redis] {
        let server = Server::start(&Options::new(peer));
        let mut client = server.client();
        // Nine million steps.
        assert_eq!(client.run(&["SET", "k", &"x".repeat(3000)]), Reply::ok());
        assert_eq!(client.cmd("CONFIG SET slowlog-log-slower-than 2000"), Reply::ok());
        assert_eq!(client.cmd("SLOWLOG RESET"), Reply::ok());
        for line in ["MULTI", "GET n", "LCS k k LEN", "GET n"] {
            client.cmd(line);
        }
        assert_eq!(client.cmd("EXEC").items()[1], Reply::Int(3000));
        let log = client.cmd("SLOWLOG GET -1");
        let slow: Vec<&Reply> = log.items().iter().map(|e| &e.items()[3].items()[0]).collect();
        assert!(slow.contains(&&Reply::bulk("LCS")), "{peer:?}: {slow:?}");
        assert!(!slow.contains(&&Reply::bulk("EXEC")), "{peer:?}: {slow:?}");
    }
}

#[test]
fn a_blocked_client_is_shown_as_one() {
    let server = Server::start(&Options::memory());
    let (mut client, mut waits) = (server.client(), server.client());
    let blocked = |client: &mut Client, count: u8| {
        let info = client.cmd("INFO clients").text().expect("a text");
        info.lines().any(|line| line == format!("blocked_clients:{count}")).then_some(())
    };
    // Not any more when its time is over.
    waits.queue(&["WAIT", "1", "300"]);
    waits.flush().expect("sent");
    until("a blocked client", PATIENCE, || blocked(&mut client, 1));
    assert_eq!(waits.read().expect("a reply"), Reply::Int(0));
    until("no blocked client", PATIENCE, || blocked(&mut client, 0));
    waits.queue(&["WAIT", "1", "0"]);
    waits.flush().expect("sent");
    until("a blocked client", PATIENCE, || blocked(&mut client, 1));
    let list = client.cmd("CLIENT LIST").text().expect("a text");
    assert!(list.lines().any(|line| line.contains(" flags=b ")), "{list}");
}

/// Whoever has connected can be meant, before it has said anything.
#[test]
fn client_kill_finds_a_client_that_has_said_nothing() {
    let server = Server::start(&Options::memory());
    let mut killer = server.client();
    for _ in 0..50 {
        let mut victim = server.client();
        let address = victim.stream().local_addr().expect("an address").to_string();
        let killed = |killer: &mut Client| {
            (killer.run(&["CLIENT", "KILL", &address]) == Reply::ok()).then_some(())
        };
        until("the client is accepted", PATIENCE, || killed(&mut killer));
        assert_eq!(victim.read_to_close().expect("closed"), b"");
    }
}

#[test]
fn client_kill_closes_the_other_connection() {
    let server = Server::start(&Options::memory());
    let (mut killer, mut victim) = (server.client(), server.client());
    let id = victim.cmd("CLIENT ID").int().to_string();
    assert_eq!(killer.run(&["CLIENT", "KILL", "ID", &id]), Reply::Int(1));
    assert_eq!(victim.read_to_close().expect("closed"), b"");
    assert_eq!(killer.run(&["CLIENT", "KILL", "ID", &id]), Reply::Int(0));
    assert_eq!(killer.cmd("PING"), Reply::Simple(b"PONG".to_vec()));
}

/// By what either end of a connection is called; all that is said must be true of it.
#[test]
fn client_kill_knows_both_ends_of_a_connection() {
    for peer in [Peer::Aft, Peer::Redis] {
        let server = Server::start(&Options::new(peer));
        let mut killer = server.client();
        let ends = |client: &Client| {
            let stream = client.stream();
            (stream.local_addr().unwrap().to_string(), stream.peer_addr().unwrap().to_string())
        };
        let (mut one, mut other) = (server.client(), server.client());
        assert_eq!((one.cmd("DBSIZE"), other.cmd("DBSIZE")), (Reply::Int(0), Reply::Int(0)));
        let (address, here) = ends(&one);
        let mut kill = |words: &[&str]| killer.run(&[&["CLIENT", "KILL"], words].concat());
        assert_eq!(kill(&["LADDR", &address]), Reply::Int(0), "{peer:?}");
        assert_eq!(kill(&["ADDR", &address, "LADDR", &address]), Reply::Int(0), "{peer:?}");
        assert_eq!(kill(&["ADDR", &address, "LADDR", &here]), Reply::Int(1), "{peer:?}");
        assert_eq!(one.read_to_close().expect("closed"), b"");
        assert_eq!(kill(&["LADDR", &here]), Reply::Int(1), "{peer:?}");
        assert_eq!(other.read_to_close().expect("closed"), b"");
        assert_eq!(killer.cmd("PING"), Reply::Simple(b"PONG".to_vec()));
    }
}

const CONNECT: &[Scenario] = &[
    scenario("PING and ECHO", "a: PING | a: PING hello | a: ECHO hello | a: ECHO \"\""),
    scenario("HELLO 2", "?a: HELLO 2 | a: GET none | a: MGET none"),
    scenario("HELLO 3", "?a: HELLO 3 | a: GET none | a: MGET none | a: CONFIG GET nosuch"),
    scenario("HELLO 3 and back", "?a: HELLO 3 | a: GET none | ?a: HELLO 2 | a: GET none"),
    scenario("HELLO alone keeps the protocol", "?a: HELLO | ?a: HELLO 3 | ?a: HELLO | a: GET none"),
    scenario(
        "HELLO wrong",
        "a: HELLO 1 | a: HELLO 4 | a: HELLO x | a: HELLO 3 NOPE | a: HELLO 3 AUTH default | \
         a: GET none",
    ),
    scenario(
        "HELLO with a name",
        "?a: HELLO 3 SETNAME me | a: CLIENT GETNAME | a: HELLO 3 SETNAME \"a b\" | \
         a: CLIENT GETNAME",
    ),
    scenario(
        "HELLO AUTH without a password set",
        "?a: HELLO 3 AUTH default any | a: HELLO 3 AUTH nobody x | a: PING",
    ),
    scenario(
        "AUTH without a password set",
        "a: AUTH x | a: AUTH default x | a: AUTH nobody x | a: AUTH | a: AUTH a b c",
    ),
    scenario(
        "names",
        "a: CLIENT GETNAME | a: CLIENT SETNAME me | a: CLIENT GETNAME | \
         a: CLIENT SETNAME \"with space\" | a: CLIENT SETNAME \"line\\n\" | \
         a: CLIENT GETNAME | a: CLIENT SETNAME \"\" | a: CLIENT GETNAME",
    ),
    scenario(
        "names in RESP3",
        "?a: HELLO 3 | a: CLIENT GETNAME | a: CLIENT SETNAME x | a: CLIENT GETNAME",
    ),
    scenario("CLIENT ID", "?a: CLIENT ID | a: CLIENT ID x"),
    scenario(
        "CLIENT REPLY",
        "a: CLIENT REPLY ON | a: CLIENT REPLY NOPE | \
         a: !send \"*3\\r\\n$6\\r\\nCLIENT\\r\\n$5\\r\\nREPLY\\r\\n$4\\r\\nSKIP\\r\\n\" | \
         a: !send \"*1\\r\\n$4\\r\\nPING\\r\\n\" | a: ECHO next | \
         a: !send \"*3\\r\\n$6\\r\\nCLIENT\\r\\n$5\\r\\nREPLY\\r\\n$3\\r\\nOFF\\r\\n\" | \
         a: !send \"*1\\r\\n$4\\r\\nPING\\r\\n\" | a: CLIENT REPLY ON | a: ECHO again",
    ),
    scenario(
        "CLIENT NO-EVICT",
        "a: CLIENT NO-EVICT ON | a: CLIENT NO-EVICT OFF | a: CLIENT NO-EVICT NOPE",
    ),
    scenario(
        "RESET",
        "?a: HELLO 3 | a: CLIENT SETNAME me | a: SELECT 3 | a: SET k 3 | a: RESET | a: GET k | \
         a: CLIENT GETNAME | a: GET none",
    ),
    scenario("QUIT", "a: QUIT | a: !closed"),
    scenario(
        "nothing after QUIT",
        "a: !send \"*1\\r\\n$4\\r\\nQUIT\\r\\n*3\\r\\n$3\\r\\nSET\\r\\n$1\\r\\nk\\r\\n$1\\r\\nv\\r\\n\" | \
         a: !read | a: !closed | b: GET k",
    ),
    scenario(
        "CONFIG GET of nothing",
        "a: CONFIG GET nosuch | a: CONFIG GET save x | a: CONFIG GET databases",
    ),
    scenario(
        "COMMAND",
        "a: COMMAND INFO nosuch | a: COMMAND DOCS nosuch | a: COMMAND GETKEYS SET k v | \
         a: COMMAND GETKEYS MSET a 1 b 2 | a: COMMAND GETKEYS PING | \
         a: COMMAND GETKEYS NOSUCH | a: COMMAND GETKEYS GET",
    ),
    scenario(
        "COMMAND INFO of the basic ones",
        "a: COMMAND INFO get | a: COMMAND INFO set | a: COMMAND INFO mset ping",
    ),
    scenario("READONLY and CLUSTER", "a: READONLY | a: CLUSTER INFO | a: CLUSTER NODES"),
];

const PASSWORD: &[Scenario] = &[
    scenario(
        "nothing without it",
        "a: GET k | a: PING | a: SET k v | a: SELECT 1 | a: MULTI | a: EXEC | a: CLIENT ID | \
         a: NOSUCH | a: GET | a: ECHO x",
    ),
    scenario(
        "AUTH",
        "a: AUTH wrong | a: GET k | a: AUTH secret | a: GET k | a: AUTH wrong | a: GET k",
    ),
    scenario(
        "AUTH with the user",
        "a: AUTH nobody secret | a: AUTH default wrong | a: AUTH default secret | a: GET k",
    ),
    scenario(
        "HELLO",
        "a: HELLO | a: HELLO 3 | a: HELLO 3 AUTH default wrong | a: GET k | \
         ?a: HELLO 3 AUTH default secret | a: GET k",
    ),
    scenario(
        "HELLO AUTH SETNAME",
        "?a: HELLO 3 AUTH default secret SETNAME me | a: CLIENT GETNAME",
    ),
    scenario(
        "RESET needs it again",
        "a: AUTH secret | a: SET k v | a: RESET | a: GET k | a: AUTH secret | a: GET k",
    ),
    scenario("QUIT without it", "a: QUIT | a: !closed"),
    scenario("large requests without it", "a: !send \"*11\\r\\n\" | a: !read | a: !closed"),
    scenario(
        "large arguments without it",
        "a: !send \"*2\\r\\n$4\\r\\nAUTH\\r\\n$16385\\r\\n\" | a: !read | a: !closed",
    ),
    scenario(
        "in a transaction",
        "a: AUTH secret | a: MULTI | a: AUTH wrong | a: GET k | a: EXEC | a: GET k",
    ),
];

/// What CONFIG SET says is in force is in force, also on connections that were there before.
#[test]
fn settings_change_while_the_server_runs() {
    let server = Server::start(&Options::memory());
    let (mut before, mut other) = (server.client(), server.client());
    let announced = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2000000\r\n";
    assert!(!before.cmd("PING").is_error());
    assert_eq!(other.cmd("CONFIG SET proto-max-bulk-len 1mb"), Reply::ok());
    before.send_raw(announced).expect("a few bytes");
    let refused = before.read().expect("a reply before the close");
    let expected = b"ERR Protocol error: invalid bulk length".to_vec();
    assert_eq!(refused, Reply::Error(expected));
    assert_eq!(other.cmd("CONFIG SET loglevel debug timeout 7"), Reply::ok());
    assert_eq!(other.cmd("CONFIG GET timeout").items().last(), Some(&Reply::bulk("7")));
}

/// Lines about commands of the same pipeline come before the reply that ends the watching, so
/// that nothing follows it.
#[test]
fn monitor_is_told_up_to_its_end() {
    for peer in [Peer::Aft, Peer::Redis] {
        let server = Server::start(&Options::new(peer));
        let mut client = server.client();
        assert_eq!(client.cmd("MONITOR"), Reply::ok());
        for words in [&["PING", "told"] as &[&str], &["RESET"], &["PING", "after"]] {
            client.queue(words);
        }
        client.flush().expect("sent");
        let mut seen = Vec::new();
        while seen.last() != Some(&Reply::bulk("after")) {
            seen.push(client.read().expect("a reply"));
        }
        let is_line = |reply: &Reply| matches!(reply, Reply::Simple(text) if text.contains(&b'"'));
        let end = seen.iter().position(|reply| *reply == Reply::Simple(b"RESET".to_vec()));
        let end = end.expect("RESET is answered");
        assert_eq!(seen.len(), end + 2, "{peer:?}: {seen:?}");
        assert_eq!(seen[..end].iter().filter(|reply| is_line(reply)).count(), 1, "{seen:?}");

        assert_eq!(client.cmd("MONITOR"), Reply::ok());
        client.queue(&["QUIT"]);
        client.flush().expect("sent");
        assert_eq!(client.read_to_close().expect("closed"), b"+OK\r\n", "{peer:?}");
    }
}
