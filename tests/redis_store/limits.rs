//! What is too large for a string of the Redis.

use crate::common::backing::Backing;
use crate::common::resp::Reply;
use crate::common::server::{Options, Server};
use crate::common::temp_dir::TempDir;

fn too_large() -> Reply {
    let why = "the transaction is larger than transaction-bytes-max or the store's largest object";
    Reply::Error(format!("ERR {why}").into_bytes())
}

#[test]
fn a_transaction_that_is_larger_than_a_string_is_in_several() {
    let dir = TempDir::named("limits");
    let backing = Backing::redis(dir.path(), &["--proto-max-bulk-len", "16mb"]);
    let mut server = Server::start(&Options::on(&backing));
    let mut client = server.client();
    let [large, more] = ["x", "y"].map(|letter| letter.repeat(9_000_000));
    assert_eq!(client.run(&["SET", "a", &large]), Reply::ok());
    assert_eq!(client.run(&["APPEND", "a", &more]), Reply::Int(18_000_000));
    assert_eq!(client.run(&["SET", "b", &"z".repeat(16 << 20)]), Reply::ok());
    // Many values that are not large by themselves.
    let mut exec = |key: &str, values: usize, value: &str| {
        assert_eq!(client.cmd("MULTI"), Reply::ok());
        for number in 0..values {
            client.queue(&["SET", &format!("{key}:{number}"), &format!("{number:05}{value}")]);
        }
        client.flush().expect("an open connection");
        for _ in 0..values {
            assert_eq!(client.read().expect("a reply"), Reply::queued());
        }
        client.cmd("EXEC")
    };
    let [some, little] = [5_000, 4_000].map(|bytes| "v".repeat(bytes));
    assert!(matches!(exec("some", 4_000, &some), Reply::Array(_)));
    // What has to be in one object is too large.
    assert_eq!(exec("little", 4_500, &little), too_large());

    server.kill_9();
    server.restart();
    let mut client = server.client();
    for (key, value) in [("a", &[large, more].concat()), ("b", &"z".repeat(16 << 20))] {
        assert_eq!(client.run(&["GET", key]), Reply::bulk(value));
    }
    for number in 0..4_000 {
        let found = client.cmd(&format!("GET some:{number}"));
        assert_eq!(found, Reply::bulk(format!("{number:05}{some}")));
    }
    assert_eq!(client.cmd("EXISTS little:0 little:4499"), Reply::Int(0));
    assert_eq!(client.cmd("DBSIZE"), Reply::Int(4_002));
}
