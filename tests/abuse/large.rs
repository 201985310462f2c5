//! Values of 512 MB: every way in and out, refused one byte later, in stated memory.

use std::io::{Read, Write};

use crate::common::client::Client;
use crate::common::resp::{Reply, encode};
use crate::common::server::{Options, Peer, Server};
use crate::support::{SERVED_WITHIN, aft, ping};

const BYTES: usize = 512 << 20;
const CHUNK: usize = 1 << 20;
/// The value, which is the request, what is queued, and the reply; half of one for everything else.
const MEMORY_MAX: u64 = BYTES as u64 * 3 / 2;

const TOO_LONG: &str = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";

fn send_value(client: &mut Client, before: &str) {
    client.send_raw(before.as_bytes()).expect("an open connection");
    client.send_raw(format!("${BYTES}\r\n").as_bytes()).expect("an open connection");
    let chunk = vec![b'v'; CHUNK];
    for _ in 0..BYTES / CHUNK {
        client.stream().write_all(&chunk).expect("an open connection");
    }
    client.send_raw(b"\r\n").expect("an open connection");
}

fn receive_value(client: &mut Client) {
    let mut header = vec![0; format!("${BYTES}\r\n").len()];
    client.reader().read_exact(&mut header).expect("the length");
    assert_eq!(header, format!("${BYTES}\r\n").into_bytes());
    let mut bytes = vec![0; CHUNK];
    for n in 0..BYTES / CHUNK {
        client.reader().read_exact(&mut bytes).expect("the value");
        assert!(bytes.iter().all(|byte| *byte == b'v'), "megabyte {n} differs");
    }
    client.reader().read_exact(&mut bytes[..2]).expect("the end");
    assert_eq!(&bytes[..2], b"\r\n");
}

#[test]
fn the_largest_value_by_every_way() {
    let server = aft(&[]);
    let (mut client, mut served) = (server.client(), server.client());
    send_value(&mut client, "*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n");
    assert!(ping(&mut served) < SERVED_WITHIN);
    assert_eq!(client.read().expect("a reply"), Reply::ok());
    assert_eq!(client.cmd("STRLEN big"), Reply::Int(BYTES as i64));
    let after_set = server.memory_bytes("VmHWM");

    // A part is a part, in memory too.
    assert_eq!(client.cmd("GETRANGE big 536870907 536870999"), Reply::bulk("vvvvv"));
    client.queue(&["GETRANGE", "big", "0", "-1"]);
    client.flush().expect("an open connection");
    receive_value(&mut client);
    client.queue(&["GET", "big"]);
    client.flush().expect("an open connection");
    assert!(ping(&mut served) < SERVED_WITHIN);
    receive_value(&mut client);
    let after_get = server.memory_bytes("VmHWM");

    // One byte more is too much, however it comes, and leaves all as it was.
    for line in ["APPEND big v", "SETRANGE big 536870912 v", "SETBIT big 4294967296 1"] {
        let reply = client.cmd(line);
        assert!(reply.is_error(), "{line}: {reply:?}");
    }
    assert_eq!(client.cmd("APPEND big v"), Reply::Error(TOO_LONG.into()));
    assert_eq!(client.cmd("STRLEN big"), Reply::Int(BYTES as i64));
    let mut larger = Vec::new();
    larger.extend(b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$536870913\r\n");
    let mut refused = server.client();
    refused.send_raw(&larger).expect("an open connection");
    let said = refused.read_to_close().expect("closed");
    assert_eq!(String::from_utf8_lossy(&said), "-ERR Protocol error: invalid bulk length\r\n");

    // Queued in a MULTI, and read there.
    assert_eq!(client.cmd("DEL big"), Reply::Int(1));
    assert_eq!(client.cmd("MULTI"), Reply::ok());
    send_value(&mut client, "*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n");
    assert_eq!(client.read().expect("a reply"), Reply::queued());
    assert_eq!(client.cmd("APPEND big v"), Reply::queued());
    assert_eq!(client.cmd("GETRANGE big 0 4"), Reply::queued());
    let done = vec![Reply::ok(), Reply::Error(TOO_LONG.into()), Reply::bulk("vvvvv")];
    assert_eq!(client.cmd("EXEC"), Reply::Array(done));
    assert!(ping(&mut served) < SERVED_WITHIN);
    let most = server.memory_bytes("VmHWM");
    let megabytes = [after_set, after_get, most].map(|bytes| bytes >> 20);
    println!("at most, in MB: SET, also GET, also MULTI: {megabytes:?}");
    assert!(most < MEMORY_MAX, "{most} bytes of memory");
}

/// The same limits where redis-server can be asked, with small numbers.
#[test]
fn one_byte_too_many_is_refused_as_by_redis() {
    let servers = [Peer::Redis, Peer::under_test()].map(|peer| Server::start(&Options::new(peer)));
    let value = "v".repeat(1 << 20);
    let mut answers = servers.iter().map(|server| {
        let mut client = server.client();
        let mut said = vec![client.cmd("CONFIG SET proto-max-bulk-len 1mb")];
        for words in [
            &["SET", "big", &value][..],
            &["APPEND", "big", "v"],
            &["APPEND", "big", ""],
            &["SETRANGE", "big", "1048576", "v"],
            &["SETRANGE", "big", "1048575", "v"],
            &["SETRANGE", "other", "1048576", "v"],
            &["SETBIT", "big", "8388608", "1"],
            &["SETBIT", "big", "8388607", "1"],
            &["BITFIELD", "big", "SET", "u8", "8388608", "1"],
            &["GETRANGE", "big", "1048570", "2000000"],
            &["STRLEN", "big"],
            &["MULTI"],
            &["APPEND", "big", "v"],
            &["STRLEN", "big"],
            &["EXEC"],
        ] {
            said.push(client.run(words));
        }
        let mut longer = Vec::new();
        encode(&["SET", "big", &format!("{value}v")], &mut longer);
        // The header is enough: the rest may find nobody.
        client.send_raw(&longer[..60]).expect("an open connection");
        said.push(Reply::Bulk(client.read_to_close().expect("closed")));
        said
    });
    let (theirs, ours) = (answers.next().expect("two"), answers.next().expect("two"));
    assert_eq!(ours, theirs, "left: ours, right: Redis'");
}
