//! The program as it is called, and what came of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Child;

use aft::backup::Entry;
use aft::backup::format::{DumpReader, Item};

use crate::common::client::Client;
pub(crate) use crate::common::program::{aft, command};
use crate::common::program::{figure, said};
use crate::common::resp::Reply;
use crate::common::server::{Options, Server};

pub(crate) fn store_of(directory: &Path) -> String {
    format!("embedded:{}", directory.display())
}

pub(crate) fn spawn(words: &[&str]) -> Child {
    command(words).spawn().unwrap()
}

/// It has to end with this exit code; what it said on stderr.
pub(crate) fn expect(code: i32, words: &[&str]) -> String {
    let output = aft(words);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn dump_to(directory: &Path, file: &Path) -> String {
    dump_store(&store_of(directory), file)
}

pub(crate) fn dump_store(store: &str, file: &Path) -> String {
    expect(0, &["store", "dump", "--store", store, "--output", text(file)])
}

pub(crate) fn load_from(directory: &Path, file: &Path) -> String {
    expect(0, &["store", "load", "--store", &store_of(directory), "--input", text(file)])
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Nothing is wrong with a store, and it holds so many keys.
pub(crate) fn verified_keys(directory: &Path) -> u64 {
    let output = aft(&["store", "verify", "--json", "--store", &store_of(directory)]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    figure(&said(&output), "keys")
}

/// What a dump says, by database and key.
pub(crate) type Data = BTreeMap<(u8, Vec<u8>), (u64, Vec<u8>)>;

pub(crate) fn data_of(dump: &[u8]) -> Data {
    let mut reader = DumpReader::new(dump).unwrap();
    let mut data = Data::new();
    loop {
        match reader.next_item().unwrap() {
            Item::Entry(Entry { database, key, expires_ms, value }) => {
                let before = data.insert((database, key), (expires_ms, value.to_vec()));
                assert_eq!(before, None, "a key stands in a dump once");
            }
            Item::Again => data.clear(),
            Item::End(keys) => {
                assert_eq!(keys, data.len() as u64);
                return data;
            }
        }
    }
}

/// They are the same, or some of what is not is named.
#[track_caller]
pub(crate) fn assert_same(left: &Data, right: &Data) {
    let keys: BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let differ = keys.into_iter().filter(|key| left.get(key) != right.get(key));
    let shown = differ.take(5).map(|key| {
        let brief = |data: &Data| {
            data.get(key).map(|(expires_ms, value)| {
                (*expires_ms, value.len(), value[..value.len().min(20)].escape_ascii().to_string())
            })
        };
        format!("{}:{} {:?} {:?}", key.0, key.1.escape_ascii(), brief(left), brief(right))
    });
    let shown: Vec<String> = shown.collect();
    assert!(shown.is_empty(), "{shown:#?}");
}

/// A server on a directory, and a client of it.
pub(crate) fn serve(directory: &Path) -> (Server, Client) {
    let server = Server::start(&Options::in_directory(directory));
    let client = server.client();
    (server, client)
}

/// Everything that a server holds, as it answers.
pub(crate) fn data_in(client: &mut Client, databases: std::ops::Range<u8>) -> Data {
    let mut data = Data::new();
    for database in databases {
        client.cmd(&format!("SELECT {database}"));
        for key in client.cmd("KEYS *").items() {
            let Reply::Bulk(key) = key else { panic!("{key:?}") };
            let expires_ms = client.run(&[&b"PEXPIRETIME"[..], key]).int();
            let Reply::Bulk(value) = client.run(&[&b"GET"[..], key]) else { continue };
            let expires_ms = u64::try_from(expires_ms).unwrap_or(0);
            data.insert((database, key.clone()), (expires_ms, value));
        }
    }
    client.cmd("SELECT 0");
    data
}

/// Something of everything: two databases that were swapped, expiries set with and after the
/// value, deleted and emptied keys, values of all sizes, binary keys.
pub(crate) fn fill(client: &mut Client) {
    for n in 0..300 {
        client.run(&["SET", &format!("key:{n}"), &"x".repeat(n)]);
    }
    client.run(&[&b"SET"[..], b"\x00\xff\r\n*3", b"\x80\r\n"]);
    client.cmd("SET expires 1 PXAT 4000000000000");
    client.cmd("SET later 1 EX 5");
    client.cmd("PEXPIREAT later 4000000000001");
    client.cmd("SET stays 1 EX 5");
    client.cmd("PERSIST stays");
    client.cmd("DEL key:7 key:8");
    client.cmd("RENAME key:9 renamed");
    client.run(&["SET", "large", &"y".repeat(3_000_000)]);
    client.run(&["SET", "empty", ""]);
    client.cmd("SELECT 3");
    client.cmd("SET other 3");
    client.cmd("SWAPDB 0 3");
    client.cmd("SELECT 5");
    client.cmd("SET gone 5");
    client.cmd("FLUSHDB");
    client.cmd("SET here 5");
    client.cmd("SELECT 0");
}
