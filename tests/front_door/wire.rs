//! Bytes on the wire that no client library sends: inline commands, protocol errors and what the
//! connection does then, requests in pieces.

use crate::common::client::Client;
use crate::common::resp::{Reply, encode};
use crate::common::server::{Options, Server};
use crate::common::session::{Scenario, same_replies};

const fn scenario(name: &'static str, script: &'static str) -> Scenario {
    Scenario { name, script }
}

#[test]
fn inline_commands_are_as_in_redis() {
    same_replies(INLINE);
}

#[test]
fn protocol_errors_are_as_in_redis() {
    same_replies(ERRORS);
}

#[test]
fn a_request_may_come_byte_by_byte_and_half_of_one_does_nothing() {
    let server = Server::start(&Options::memory());
    let mut request = Vec::new();
    encode(&["SET", "k", "a\r\nb"], &mut request);
    let mut client = server.client();
    for byte in &request {
        client.send_raw(std::slice::from_ref(byte)).expect("an open connection");
    }
    assert_eq!(client.read().expect("a reply"), Reply::ok());
    // Others are served while any part of a request is missing, and a lost rest means nothing.
    let mut other = server.client();
    for cut in 1..request.len() {
        let mut half = server.client();
        half.send_raw(&request[..cut]).expect("an open connection");
        assert_eq!(other.cmd("GET k"), Reply::bulk("a\r\nb"));
        assert_eq!(other.cmd("SET k kept"), Reply::ok());
        drop(half);
        assert_eq!(other.cmd("GET k"), Reply::bulk("kept"));
        assert_eq!(other.run(&["SET", "k", "a\r\nb"]), Reply::ok());
    }
    assert_eq!(other.cmd("DBSIZE"), Reply::Int(1));
}

#[test]
fn replies_before_a_protocol_error_arrive() {
    let server = Server::start(&Options::memory());
    let mut client = server.client();
    client
        .send_raw(b"*1\r\n$4\r\nPING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n*1\r\n+PING\r\n")
        .expect("open");
    let rest = client.read_to_close().expect("closed after the error");
    let expected = "+PONG\r\n+OK\r\n-ERR Protocol error: expected '$', got '+'\r\n";
    assert_eq!(String::from_utf8_lossy(&rest), expected);
    assert_eq!(server.client().cmd("GET k"), Reply::bulk("v"));
}

#[test]
fn random_bytes_never_stop_the_server() {
    use rand::RngExt;
    let seed = crate::common::seed::from_env();
    let mut rng = crate::common::seed::rng(seed, 1);
    let mut server = Server::start(&Options::memory());
    let pieces: [&[u8]; 12] = [
        b"*",
        b"$",
        b"\r\n",
        b"*3\r\n",
        b"$3\r\nSET\r\n",
        b"$1\r\nk\r\n",
        b"-1",
        b"1",
        b"PING\r\n",
        b"\"",
        b"\0\xff",
        b"99999999999999999999",
    ];
    for _ in 0..300 {
        let mut client = Client::connect(server.addr()).expect("a connection");
        let bytes: Vec<u8> = (0..rng.random_range(1..12))
            .flat_map(|_| pieces[rng.random_range(0..pieces.len())])
            .copied()
            .collect();
        // Closed on the way is fine: the next bytes may find no reader.
        let _ = client.send_raw(&bytes);
    }
    assert!(server.is_running(), "AFT_SEED={seed}");
    assert_eq!(server.client().cmd("PING"), Reply::Simple(b"PONG".to_vec()), "AFT_SEED={seed}");
}

const INLINE: &[Scenario] = &[
    scenario("PING", "a: !send \"PING\\r\\n\" | a: !read"),
    scenario("a bare LF", "a: !send \"PING\\n\" | a: !read"),
    scenario(
        "arguments and spaces",
        "a: !send \"  SET   k    v  \\r\\nGET k\\r\\n\" | a: !read | a: !read",
    ),
    scenario(
        "quotes",
        "a: !send \"SET k \\\"a b\\\\x41\\\\n\\\"\\r\\nGET k\\r\\nSET k 'a\\\\'b'\\r\\nGET k\\r\\n\" | \
         a: !read | a: !read | a: !read | a: !read",
    ),
    scenario("an open quote", "a: !send \"SET k \\\"open\\r\\n\" | a: !read | a: !closed"),
    scenario("text behind a quote", "a: !send \"SET k \\\"a\\\"b\\r\\n\" | a: !read | a: !closed"),
    scenario("empty lines are nothing", "a: !send \"\\r\\n\\r\\nPING\\r\\n\" | a: !read"),
    scenario(
        "mixed with arrays",
        "a: !send \"SET k 1\\r\\n*2\\r\\n$4\\r\\nINCR\\r\\n$1\\r\\nk\\r\\nGET k\\r\\n\" | \
         a: !read | a: !read | a: !read",
    ),
    scenario("unknown", "a: !send \"HTTP/1.1 hello\\r\\n\" | a: !read | a: PING"),
    scenario(
        "inside MULTI",
        "a: !send \"MULTI\\r\\nSET k 1\\r\\nEXEC\\r\\n\" | a: !read | a: !read | a: !read",
    ),
];

const ERRORS: &[Scenario] = &[
    scenario("a count that is no number", "a: !send \"*x\\r\\n\" | a: !read | a: !closed"),
    scenario("a count too large", "a: !send \"*2147483648\\r\\n\" | a: !read | a: !closed"),
    scenario(
        "a count far too large",
        "a: !send \"*99999999999999999999\\r\\n\" | a: !read | a: !closed",
    ),
    scenario(
        "a negative or zero count is nothing",
        "a: !send \"*-1\\r\\n*0\\r\\n*-99\\r\\nPING\\r\\n\" | a: !read",
    ),
    scenario("no dollar", "a: !send \"*1\\r\\n+PING\\r\\n\" | a: !read | a: !closed"),
    scenario(
        "no dollar after one argument",
        "a: !send \"*2\\r\\n$3\\r\\nGET\\r\\n:1\\r\\n\" | a: !read | a: !closed",
    ),
    scenario("a length that is no number", "a: !send \"*1\\r\\n$x\\r\\n\" | a: !read | a: !closed"),
    scenario("a negative length", "a: !send \"*1\\r\\n$-1\\r\\n\" | a: !read | a: !closed"),
    scenario(
        "a length beyond 512 MB",
        "a: !send \"*3\\r\\n$3\\r\\nSET\\r\\n$1\\r\\nk\\r\\n$536870913\\r\\n\" | a: !read | \
         a: !closed",
    ),
    scenario(
        "a length with spaces",
        "a: !send \"*1\\r\\n$ 4\\r\\nPING\\r\\n\" | a: !read | a: !closed",
    ),
    scenario(
        "a length with a plus",
        "a: !send \"*1\\r\\n$+4\\r\\nPING\\r\\n\" | a: !read | a: !closed",
    ),
    scenario("an empty count", "a: !send \"*\\r\\n\" | a: !read | a: !closed"),
    scenario("an empty length", "a: !send \"*1\\r\\n$\\r\\n\" | a: !read | a: !closed"),
    scenario(
        "nothing is done after the error",
        "a: !send \"*x\\r\\n*3\\r\\n$3\\r\\nSET\\r\\n$1\\r\\nk\\r\\n$1\\r\\nv\\r\\n\" | \
         a: !read | a: !closed | b: GET k",
    ),
    scenario(
        "inside MULTI nothing stays",
        "a: MULTI | a: SET k 1 | a: !send \"*x\\r\\n\" | a: !read | a: !closed | b: GET k",
    ),
    scenario("a NUL in a name", "a: \"PI\\x00NG\" | a: PING"),
    scenario("an empty name", "a: \"\" | a: PING"),
];
