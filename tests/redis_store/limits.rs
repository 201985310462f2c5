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
fn a_transaction_has_to_fit_into_one_string() {
    let dir = TempDir::named("limits");
    let backing = Backing::redis(dir.path(), &["--proto-max-bulk-len", "16mb"]);
    let mut server = Server::start(&Options::on(&backing));
    let mut client = server.client();
    let [large, more] = ["x", "y"].map(|letter| letter.repeat(9_000_000));
    assert_eq!(client.run(&["SET", "a", &large]), Reply::ok());
    assert_eq!(client.run(&["APPEND", "a", &more]), too_large());
    assert_eq!(client.run(&["SET", "b", &"z".repeat(16 << 20)]), too_large());
    assert_eq!(client.cmd("MULTI"), Reply::ok());
    for key in ["b", "c"] {
        assert_eq!(client.run(&["SET", key, &more]), Reply::queued());
    }
    assert_eq!(client.cmd("EXEC"), too_large());
    // Each for itself is not too large.
    client.queue(&["SET", "d", &more]);
    client.queue(&["SET", "e", &large]);
    client.flush().expect("an open connection");
    assert_eq!(client.read().expect("a reply"), Reply::ok());
    assert_eq!(client.read().expect("a reply"), Reply::ok());

    server.kill_9();
    server.restart();
    let mut client = server.client();
    assert_eq!(client.cmd("EXISTS b c"), Reply::Int(0));
    for (key, value) in [("a", &large), ("d", &more), ("e", &large)] {
        assert_eq!(client.run(&["GET", key]), Reply::bulk(value));
    }
}
