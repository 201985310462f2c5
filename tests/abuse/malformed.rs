//! Bytes that are no request: answered, or not, as by redis-server, in every state of a
//! connection, and however they are cut.

use std::io::Read;
use std::net::{Shutdown, SocketAddr};

use crate::common::client::{Client, is_closed};
use crate::common::resp::encode;
use crate::common::server::{Options, Peer, Server};
use crate::common::wait::{self, PATIENCE};
use crate::odd::ODD_STREAMS;
use crate::support::{aft, info, pong};

/// What a connection is when the bytes come.
struct State {
    name: &'static str,
    password: Option<&'static str>,
    before: &'static [u8],
}

const STATES: &[State] = &[
    State { name: "no password is needed", password: None, before: b"" },
    State { name: "a stranger", password: Some("secret"), before: b"" },
    State { name: "logged in", password: Some("secret"), before: b"AUTH secret\r\n" },
    State { name: "inside MULTI", password: None, before: b"MULTI\r\nSET queued 1\r\n" },
    State {
        name: "inside MULTI, logged in",
        password: Some("secret"),
        before: b"AUTH secret\r\nMULTI\r\n",
    },
];

/// Beside those of the decoder's own test: other protocols, limits, things inside things.
const STREAMS: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nUser-Agent: x\r\nHost: 127.0.0.1\r\n\r\nSET k v\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nSET k v\r\n",
    b"*2\r\n$4\r\nPOST\r\n$1\r\n/\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n",
    b"PING\r\nhost: x\r\nSET k v\r\n",
    // The beginning of a TLS 1.2 handshake, and of SSH, SMTP, the PROXY protocol.
    b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03\x03\r\n\x0a",
    b"\x16\x03\x03\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0b\x0c\x0e\x0f\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"EHLO example\r\n",
    b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nPING\r\n",
    b"\x80\x81\xfe\xff\n\xc3\x28\r\n",
    // Arrays in arrays, maps, pushes: replies, but no requests.
    b"*1\r\n*1\r\n$4\r\nPING\r\n",
    b"*2\r\n$4\r\nECHO\r\n*1\r\n$1\r\na\r\n",
    b"*2\r\n$4\r\nECHO\r\n%1\r\n$1\r\na\r\n$1\r\nb\r\n",
    b">2\r\n$4\r\nPING\r\n$4\r\nPING\r\n",
    b"*1\r\n$4\r\nPING\r\n*1\r\n*0\r\n",
    b"*2\r\n$4\r\nECHO\r\n_\r\n",
    // Wrong ends.
    b"*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n",
    b"*1\r\n$3\r\nPING\r\n",
    b"*1\r\n$5\r\nPING\r\n\r\n*1\r\n$4\r\nPING\r\n",
    b"*1\n\n$4\n\nPING\n\nPING\r\n",
    b"*2147483647\r\n$-1\r\n",
    b"*1000000\r\n$4\r\nPING\r\n",
    b"*1\r\n$536870912\r\n",
    b"*1\r\n$-9223372036854775808\r\n",
    b"*-2147483648\r\nPING\r\n",
    // What follows an error is nothing.
    b"*x\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n",
    b"SET k \"v\r\nSET k v\r\n",
];

/// Those that are too long to write down.
fn long_streams() -> Vec<Vec<u8>> {
    let argument = |bytes| {
        let mut stream = Vec::new();
        encode(&[b"ECHO".to_vec(), vec![b'x'; bytes]], &mut stream);
        stream
    };
    let many = |count| {
        let mut stream = Vec::new();
        encode(&vec!["ECHO"; count], &mut stream);
        stream
    };
    let line = |start: &str, bytes| {
        let mut stream = start.as_bytes().to_vec();
        stream.resize(start.len() + bytes, b'1');
        stream
    };
    let mut streams = vec![argument(16_384), argument(16_385), many(10), many(11)];
    for bytes in [65_530, 65_537, 70_000] {
        for start in ["", "*", "*1\r\n$", "PING "] {
            streams.push(line(start, bytes));
            // A longer line passes in Redis if it arrives at once, and in aft never.
            if bytes < 65_536 {
                streams.push([line(start, bytes), b"\r\nPING\r\n".to_vec()].concat());
            }
        }
    }
    streams.push(vec![0; 70_000]);
    streams
}

/// All that a server says to these bytes until it closes the connection, which it does at
/// their end at the latest.
fn answers(addr: SocketAddr, pieces: &mut dyn Iterator<Item = &[u8]>) -> Vec<u8> {
    let mut client = Client::connect(addr).expect("a connection");
    for piece in pieces {
        // After an error nobody reads any more: then it can't be expected to go well.
        if client.send_raw(piece).is_err() {
            break;
        }
    }
    let _ = client.stream().shutdown(Shutdown::Write);
    let mut said = Vec::new();
    match client.reader().read_to_end(&mut said) {
        Err(error) if !is_closed(&error) => panic!("it stays open: {error}"),
        _ => said,
    }
}

fn is_http(stream: &[u8]) -> bool {
    let text = String::from_utf8_lossy(stream).to_lowercase();
    text.contains("host:") || text.contains("post")
}

fn start(peer: Peer, state: &State) -> Server {
    Server::start(&Options { requirepass: state.password, ..Options::new(peer) })
}

#[track_caller]
fn assert_same(state: &State, stream: &[u8], how: &str, ours: &[u8], theirs: &[u8]) {
    assert_eq!(
        ours.escape_ascii().to_string(),
        theirs.escape_ascii().to_string(),
        "left: ours, right: Redis'; {how}, {}: {}",
        state.name,
        stream[..stream.len().min(200)].escape_ascii()
    );
}

fn compare(state: &State) {
    let redis = start(Peer::Redis, state);
    let mut ours = start(Peer::under_test(), state);
    let streams = ODD_STREAMS.iter().chain(STREAMS).map(|stream| stream.to_vec());
    for stream in streams.chain(long_streams()) {
        let whole = [state.before, &stream].concat();
        let theirs = answers(redis.addr(), &mut std::iter::once(whole.as_slice()));
        let at_once = answers(ours.addr(), &mut std::iter::once(whole.as_slice()));
        assert_same(state, &stream, "at once", &at_once, &theirs);
        // Whom Redis takes for a browser is not told what was answered before: in one piece
        // that is all, byte by byte it depends on what was already sent.
        if whole.len() < 1_000 && !is_http(&stream) {
            let by_bytes = answers(ours.addr(), &mut whole.chunks(1));
            assert_same(state, &stream, "byte by byte", &by_bytes, &theirs);
        }
    }
    assert!(ours.is_running());
    let mut client = ours.client();
    if let Some(password) = state.password {
        client.cmd(&format!("AUTH {password}"));
    }
    assert_eq!(client.cmd("PING"), pong());
    assert_eq!(client.cmd("DBSIZE").int(), 0, "nothing of it was done");
    if Peer::under_test() == Peer::Aft {
        wait::until("all of them are gone", PATIENCE, || {
            (info(&mut client, "connected_clients") == 1).then_some(())
        });
    }
}

#[test]
fn to_anybody() {
    compare(&STATES[0]);
}

#[test]
fn to_a_stranger() {
    compare(&STATES[1]);
}

#[test]
fn to_who_is_logged_in() {
    compare(&STATES[2]);
}

#[test]
fn inside_multi() {
    compare(&STATES[3]);
    compare(&STATES[4]);
}

/// Every place to cut at, with the server known to have seen what comes before the cut.
#[test]
fn cut_at_every_byte() {
    let server = aft(&[]);
    let mut watcher = server.client();
    let streams = [
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$2\r\nvv\r\n*x\r\n".as_slice(),
        b"ECHO \"a b\"\r\n*2\r\n$4\r\nECHO\r\n:1\r\n",
        b"*-1\r\n\r\n*1\r\n$4\r\nPINGxx*1\r\n$-1\r\n",
    ];
    for stream in streams {
        let expected = answers(server.addr(), &mut std::iter::once(stream));
        for cut in 1..stream.len() {
            let seen = info(&mut watcher, "total_net_input_bytes");
            let mut client = server.client();
            client.send_raw(&stream[..cut]).expect("an open connection");
            let mut questions = 0;
            wait::until("the first piece is read", PATIENCE, || {
                questions += b"*1\r\n$4\r\nINFO\r\n".len() as u64;
                let read = info(&mut watcher, "total_net_input_bytes") - seen - questions;
                (read == cut as u64).then_some(())
            });
            client.send_raw(&stream[cut..]).expect("an open connection");
            let said = client.read_to_close().expect("closed after the error");
            let at = String::from_utf8_lossy(&stream[..cut]).into_owned();
            assert_eq!(
                said.escape_ascii().to_string(),
                expected.escape_ascii().to_string(),
                "{at}"
            );
        }
    }
}
