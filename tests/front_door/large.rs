//! The largest value there may be: 512 MB in, 512 MB out, within bounds of time and memory.

use std::io::{Read, Write};
use std::time::Duration;

use crate::common::backing::Kind;
use crate::common::client::Client;
use crate::common::resp::Reply;
use crate::common::server::{Options, Server};
use crate::common::temp_dir::TempDir;
use crate::common::wait;

/// What stands in for S3 and DynamoDB is slow, and a Redis copies a value more often: there it is of a
/// size at which that is within the same bounds.
fn bytes() -> usize {
    match Kind::from_env() {
        Kind::Embedded => 512 << 20,
        Kind::Redis | Kind::RedisCluster | Kind::S3 | Kind::LateS3 | Kind::DynamoDb => 64 << 20,
    }
}

const CHUNK: usize = 1 << 20;
/// The value itself, one copy on its way in or out, and what a log buffers of it.
fn memory_max() -> u64 {
    3 * bytes() as u64 + (256 << 20)
}

/// Against a hang, not a measurement: a shared disk may take ten seconds for it.
const TIME_MAX: Duration = Duration::from_secs(60);

/// Bytes that differ from chunk to chunk, so that a piece in the wrong place is noticed.
fn chunk(n: usize) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(n % 251).expect("a byte"); CHUNK];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    bytes
}

fn send(client: &mut Client) {
    let header = format!("*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n${}\r\n", bytes());
    client.send_raw(header.as_bytes()).expect("open");
    for n in 0..bytes() / CHUNK {
        client.send_raw(&chunk(n)).expect("an open connection");
    }
    client.send_raw(b"\r\n").expect("an open connection");
    client.stream().flush().expect("an open connection");
}

fn receive(client: &mut Client) {
    client.queue(&["GET", "big"]);
    client.flush().expect("an open connection");
    let reader = client.reader();
    let expected = format!("${}\r\n", bytes()).into_bytes();
    let mut header = vec![0; expected.len()];
    reader.read_exact(&mut header).expect("the length");
    assert_eq!(header, expected);
    let mut piece = vec![0; CHUNK];
    for n in 0..bytes() / CHUNK {
        reader.read_exact(&mut piece).expect("the value");
        assert!(piece == chunk(n), "megabyte {n} differs");
    }
    let mut end = [0; 2];
    reader.read_exact(&mut end).expect("the end");
    assert_eq!(&end, b"\r\n");
}

#[test]
fn the_largest_value_goes_in_and_comes_out() {
    let dir = TempDir::named("large");
    let mut server = Server::start(&Options::durable(dir.path()));
    let mut client = server.client();
    let start = wait::now();
    send(&mut client);
    // Others are served while it is written.
    assert_eq!(server.client().cmd("SET small v"), Reply::ok());
    assert_eq!(client.read().expect("a reply"), Reply::ok());
    let stored = start.elapsed();
    receive(&mut client);
    let fetched = start.elapsed() - stored;
    let most = server.memory_bytes("VmHWM");
    println!("SET {stored:?}, GET {fetched:?}, at most {} MB", most >> 20);
    assert!(start.elapsed() < TIME_MAX, "SET {stored:?}, GET {fetched:?}");
    assert!(most < memory_max(), "{most} bytes of memory");

    server.kill_9();
    server.restart();
    let mut client = server.client();
    receive(&mut client);
    assert_eq!(client.cmd("DEL big"), Reply::Int(1));
    assert_eq!(client.cmd("GET small"), Reply::bulk("v"));
}
