//! Values too large for a group: in objects of their own, on every store, until nobody needs them.

use std::process::Command;

use crate::common::backing::Kind;
use crate::common::client::Client;
use crate::common::resp::Reply;
use crate::common::server::{Options, Server};
use crate::common::stores::impatient;
use crate::common::temp_dir::TempDir;
use crate::common::wait;

/// More than one piece, the last of them not a whole one.
const BYTES: usize = (8 << 20) + (1 << 20) + 1;

/// The smallest value that is one here.
const SMALL_BLOB: usize = 64 << 10;

fn options(dir: &TempDir, more: &[&str]) -> Options {
    let mut options = calm(dir, more);
    options.extra.extend(Options::RESTLESS.map(str::to_owned));
    options
}

fn calm(dir: &TempDir, more: &[&str]) -> Options {
    let mut options = Options::durable(dir.path());
    let settings = ["--blob-bytes-min", "64kb"].iter().chain(more);
    options.extra = settings.map(|word| (*word).to_owned()).collect();
    options
}

/// Bytes that no two places have in common, and no two seeds.
fn value(seed: u8, bytes: usize) -> Vec<u8> {
    let word = |at: u64| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from(seed)).to_le_bytes();
    let mut value: Vec<u8> = (0..bytes as u64 / 8 + 1).flat_map(word).collect();
    value.truncate(bytes);
    value
}

fn set(client: &mut Client, key: &str, value: &[u8]) {
    assert_eq!(client.run(&[b"SET", key.as_bytes(), value]), Reply::ok());
}

fn is(client: &mut Client, key: &str, wanted: &[u8]) {
    let found = client.run(&["GET", key]);
    assert!(found == Reply::bulk(wanted), "{key} is another value");
}

fn blobs(client: &mut Client) -> u64 {
    let text = client.run(&["INFO", "aft"]).text().expect("INFO");
    let value = text.lines().find_map(|line| line.strip_prefix("blobs:"));
    value.expect("the field").trim().parse().expect("a number")
}

fn blobs_become(client: &mut Client, wanted: u64) {
    let what = format!("{wanted} blobs");
    wait::until(&what, wait::PATIENCE, || Some(blobs(client)).filter(|found| *found == wanted));
}

/// What `aft store COMMAND` says of the store that no server has now, as JSON: that nothing is wrong,
/// as soon as all that is there shows.
fn examine(command: &str, server: &Server) -> serde_json::Value {
    let store = server.options().store();
    let words = ["store", command, "--store", &store, "--json"];
    let output = wait::until("a sound store", wait::PATIENCE, || {
        let output = Command::new(env!("CARGO_BIN_EXE_aft")).args(words).output().expect("aft");
        output.status.success().then_some(output)
    });
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Pieces of blobs that nothing names. A base that was replaced in the last moment may be there.
fn left_over(found: &serde_json::Value) -> Vec<&str> {
    let names =
        found["leftovers"].as_array().expect("names").iter().filter_map(|name| name.as_str());
    names.filter(|name| name.starts_with("blob/")).collect()
}

#[test]
fn a_large_value_is_kept_for_as_long_as_it_is_needed() {
    let dir = TempDir::named("blobs");
    let mut server = Server::start(&options(&dir, &["--cache-bytes", "1mb"]));
    let mut client = server.client();
    let mut wanted = value(1, BYTES);
    set(&mut client, "big", &wanted);
    is(&mut client, "big", &wanted);
    assert_eq!(client.cmd("GETRANGE big 8388600 8388615"), Reply::bulk(&wanted[8388600..8388616]));
    // A value that a command computes, and that only changes when it expires.
    assert_eq!(client.cmd("APPEND big end"), Reply::Int(BYTES as i64 + 3));
    wanted.extend(b"end");
    assert_eq!(client.cmd("EXPIRE big 100000"), Reply::Int(1));
    assert_eq!(client.cmd("COPY big other"), Reply::Int(1));
    blobs_become(&mut client, 2);
    for round in 0..20 {
        // Compaction goes through everything.
        assert_eq!(client.cmd(&format!("SET small {round}")), Reply::ok());
    }
    server.kill_9();
    server.restart();
    let mut client = server.client();
    is(&mut client, "big", &wanted);
    is(&mut client, "other", &wanted);
    assert_eq!(client.cmd("DEL other"), Reply::Int(1));
    blobs_become(&mut client, 1);
    set(&mut client, "big", b"now it is small");
    blobs_become(&mut client, 0);
    server.terminate();
    let found = examine("verify", &server);
    assert_eq!(found["faults"], serde_json::json!([]), "{found}");
    assert_eq!(left_over(&found), [""; 0]);
}

#[test]
fn a_transaction_with_large_values_is_whole_or_not_there() {
    let dir = TempDir::named("blobs-exec");
    let mut server = Server::start(&options(&dir, &[]));
    let mut client = server.client();
    let of = |round: u8| [value(round, BYTES), value(round ^ 0xff, SMALL_BLOB)];
    for round in 0..3 {
        let [large, less] = of(round);
        assert_eq!(client.cmd("MULTI"), Reply::ok());
        for (key, value) in [("large", &large), ("less", &less)] {
            assert_eq!(client.run(&[b"SET", key.as_bytes(), value]), Reply::queued());
        }
        assert_eq!(client.cmd(&format!("SET round {round}")), Reply::queued());
        client.queue(&["EXEC"]);
        client.flush().expect("an open connection");
        if round < 2 {
            let reply = client.read().expect("a reply");
            assert_eq!(reply.items().len(), 3, "{reply:?}");
        }
        // The last one is killed on its way, wherever that is.
    }
    server.kill_9();
    server.restart();
    let mut client = server.client();
    let round = client.cmd("GET round").text().expect("a round").parse().expect("its number");
    assert!(round == 1 || round == 2, "what was answered is there: {round}");
    let [large, less] = of(round);
    is(&mut client, "large", &large);
    is(&mut client, "less", &less);
    // What the last one had brought, named or not, is named or gone.
    blobs_become(&mut client, 2);
}

/// AFT's write buffer: what an open transaction writes may be more than memory allows it.
#[test]
fn an_open_transaction_leaves_large_writes_in_the_store() {
    const KEYS: u8 = 24;
    const VALUE_BYTES: usize = 256 << 10;
    let dir = TempDir::named("blobs-inside");
    let less_than_that = ["--transactions-bytes-max", "1mb", "--cache-bytes", "1mb"];
    // A copy that compaction is just making would be left over at the end.
    let mut server = Server::start(&calm(&dir, &less_than_that));
    let mut client = server.client();
    let begin = |client: &mut Client| {
        let reply = client.cmd("AFT.BEGIN");
        assert!(!reply.is_error(), "{reply:?}");
    };
    let fill = |client: &mut Client, round: u8| {
        for key in 0..KEYS {
            set(client, &format!("key:{key}"), &value(round + key, VALUE_BYTES));
        }
        // Own writes are read back from there.
        is(client, "key:0", &value(round, VALUE_BYTES));
    };
    let mut outside = server.client();
    begin(&mut client);
    fill(&mut client, 0);
    assert_eq!(outside.cmd("EXISTS key:0"), Reply::Int(0));
    blobs_become(&mut outside, KEYS.into());
    assert_eq!(client.cmd("AFT.ABORT"), Reply::ok());
    blobs_become(&mut outside, 0);

    begin(&mut client);
    fill(&mut client, 100);
    assert_eq!(client.cmd("DEL key:1"), Reply::Int(1));
    assert!(!client.cmd("AFT.COMMIT").is_error());
    for key in (0..KEYS).filter(|key| *key != 1) {
        is(&mut outside, &format!("key:{key}"), &value(100 + key, VALUE_BYTES));
    }
    blobs_become(&mut outside, u64::from(KEYS) - 1);

    // A crash leaves what nothing names; the next start deletes it.
    begin(&mut client);
    fill(&mut client, 200);
    server.kill_9();
    server.restart();
    let mut client = server.client();
    is(&mut client, "key:0", &value(100, VALUE_BYTES));
    blobs_become(&mut client, u64::from(KEYS) - 1);
    server.terminate();
    assert_eq!(examine("stats", &server)["blobs"], u64::from(KEYS) - 1);
    // Who takes a shared store over leaves the node before it time to notice, and sweeps later.
    if Kind::from_env() == Kind::Embedded {
        assert_eq!(left_over(&examine("verify", &server)), [""; 0]);
    }
}

/// An open transaction that nobody uses any more lets go of what it has written.
#[test]
fn what_nobody_commits_is_deleted() {
    let dir = TempDir::named("blobs-left");
    let server = Server::start(&options(&dir, &[]));
    let mut client = server.client();
    let large = value(9, SMALL_BLOB);
    let mut inside = server.client();
    let reply = inside.cmd("AFT.BEGIN TIMEOUT 1000");
    assert!(!reply.is_error(), "{reply:?}");
    set(&mut inside, "k", &large);
    assert_eq!(blobs(&mut client), 1);
    drop(inside);
    blobs_become(&mut client, 0);
    assert!(client.cmd("GET k").is_nil());
}

/// The same value under two names is there twice: one may go.
#[test]
fn two_keys_share_no_blob() {
    let dir = TempDir::named("blobs-twice");
    let server = Server::start(&options(&dir, &["--cache-bytes", "0"]));
    let mut client = server.client();
    let large = value(5, SMALL_BLOB);
    assert_eq!(client.run(&[b"MSET".as_slice(), b"a", &large, b"b", &large]), Reply::ok());
    assert_eq!(blobs(&mut client), 2);
    assert_eq!(client.cmd("DEL a"), Reply::Int(1));
    blobs_become(&mut client, 1);
    is(&mut client, "b", &large);
}

/// Several append to one value, each of them to what it has become by then.
#[test]
fn a_large_value_that_several_change_loses_nothing() {
    const CLIENTS: usize = 4;
    const TIMES: usize = 10;
    let dir = TempDir::named("blobs-append");
    let server = Server::start(&options(&dir, &[]));
    let mut wanted = value(3, SMALL_BLOB);
    set(&mut server.client(), "k", &wanted);
    std::thread::scope(|scope| {
        for name in ["a", "b", "c", "d"].into_iter().take(CLIENTS) {
            let mut client = server.client();
            scope.spawn(move || {
                for _ in 0..TIMES {
                    assert!(matches!(client.run(&["APPEND", "k", name]), Reply::Int(_)));
                }
            });
        }
    });
    let found = server.client().cmd("GET k");
    let Reply::Bulk(found) = found else { panic!("{found:?}") };
    assert!(found.starts_with(&wanted), "what was there before");
    let mut appended = found[wanted.len()..].to_vec();
    appended.sort_unstable();
    wanted = b"abcd".iter().flat_map(|name| [*name; TIMES]).collect();
    assert_eq!(appended, wanted);
}

/// Says it to the server, and does it to a value of the test's own.
struct Changed {
    value: Vec<u8>,
    replies: Vec<Reply>,
}

impl Changed {
    fn set_range(&mut self, client: &mut Client, offset: usize, part: &[u8]) {
        self.value.resize(self.value.len().max(offset + part.len()), 0);
        self.value[offset..offset + part.len()].copy_from_slice(part);
        let at = offset.to_string();
        let told = client.run(&[b"SETRANGE", b"k".as_slice(), at.as_bytes(), part]);
        self.told(told, Reply::Int(self.value.len() as i64));
    }

    fn append(&mut self, client: &mut Client, part: &[u8]) {
        self.value.extend_from_slice(part);
        let told = client.run(&[b"APPEND", b"k".as_slice(), part]);
        self.told(told, Reply::Int(self.value.len() as i64));
    }

    fn flip_bit(&mut self, client: &mut Client, byte: usize) {
        let was = self.value.get(byte).copied().unwrap_or(0) & 1;
        self.value.resize(self.value.len().max(byte + 1), 0);
        self.value[byte] ^= 1;
        let told = client.cmd(&format!("SETBIT k {} {}", byte * 8 + 7, was ^ 1));
        self.told(told, Reply::Int(was.into()));
    }

    fn look(&mut self, client: &mut Client) {
        let told = client.cmd("GETRANGE k 60000 65000");
        let wanted = &self.value[60_000..=65_000];
        self.told(told, Reply::bulk(wanted));
        let told = client.cmd("STRLEN k");
        self.told(told, Reply::Int(self.value.len() as i64));
    }

    /// What EXEC will answer, if the command is queued.
    fn told(&mut self, told: Reply, wanted: Reply) {
        if told == Reply::queued() {
            self.replies.push(wanted);
        } else {
            assert!(told == wanted, "another reply");
        }
    }

    fn change(&mut self, client: &mut Client) {
        let length = self.value.len();
        self.append(client, b"tail");
        self.set_range(client, 61_000, &value(7, 3000));
        self.look(client);
        self.flip_bit(client, 62_000);
        self.set_range(client, length + 40, b"behind a gap");
        self.flip_bit(client, length + 900);
        self.look(client);
    }
}

/// The expiry that the key was given is still what it was.
fn expires(client: &mut Client) {
    let left = client.cmd("TTL k");
    assert!(matches!(left, Reply::Int(1..=1000)), "{left:?} seconds to live");
}

/// In pieces or in one, in the cache or not, in the store, in the same transaction: it is one value.
#[test]
fn parts_of_a_large_value_change_in_every_kind_of_transaction() {
    // In the cache so many pieces become one; without it each change is read back from the store,
    // which may show it late.
    for (cache_bytes, pieces) in [("0", 3), ("100kb", 3), ("100mb", 100)] {
        let dir = TempDir::named("blobs-parts");
        let mut server = Server::start(&options(&dir, &["--cache-bytes", cache_bytes]));
        let mut client = server.client();
        let mut changed = Changed { value: value(1, SMALL_BLOB - 2), replies: Vec::new() };
        set(&mut client, "k", &changed.value);
        assert_eq!(client.cmd("EXPIRE k 1000"), Reply::Int(1));
        changed.change(&mut client);
        expires(&mut client);
        for _ in 0..pieces {
            changed.append(&mut client, b"a piece more");
        }
        is(&mut client, "k", &changed.value);

        assert_eq!(client.cmd("MULTI"), Reply::ok());
        changed.change(&mut client);
        changed.change(&mut client);
        let told = client.cmd("EXEC");
        assert!(told.items() == std::mem::take(&mut changed.replies), "other replies");
        is(&mut client, "k", &changed.value);
        expires(&mut client);

        assert!(!client.cmd("AFT.BEGIN").is_error());
        changed.change(&mut client);
        is(&mut client, "k", &changed.value);
        expires(&mut client);
        changed.change(&mut client);
        assert!(!client.cmd("AFT.COMMIT").is_error());
        expires(&mut client);
        changed.change(&mut client);
        server.kill_9();
        server.restart();
        let mut client = server.client();
        is(&mut client, "k", &changed.value);
        expires(&mut client);
        changed.change(&mut client);
        is(&mut client, "k", &changed.value);
        expires(&mut client);
        blobs_become(&mut client, 1);
    }
}

/// The store is gone: so it is said, nothing is written, and later it is again.
#[test]
fn a_large_value_that_the_store_does_not_take_is_refused() {
    if Kind::from_env() == Kind::Embedded {
        return; // It can't be ended by itself. A full disk: see `disk_faults`.
    }
    let dir = TempDir::named("blobs-outage");
    let options = impatient(options(&dir, &[]));
    let server = Server::start(&options);
    let backing = options.backing.as_ref().expect("a store of its own");
    let mut client = server.client();
    let before = value(1, SMALL_BLOB);
    set(&mut client, "k", &before);
    backing.end();
    let refused = client.run(&[b"SET".as_slice(), b"k", &value(2, SMALL_BLOB)]);
    assert_eq!(refused.error_code().as_deref(), Some("NOTCOMMITTED"), "{refused:?}");
    backing.restart();
    wait::until("writes are taken again", wait::PATIENCE, || {
        (client.cmd("SET small v") == Reply::ok()).then_some(())
    });
    is(&mut client, "k", &before);
    let after = value(3, SMALL_BLOB);
    set(&mut client, "k", &after);
    is(&mut client, "k", &after);
    blobs_become(&mut client, 1);
}
