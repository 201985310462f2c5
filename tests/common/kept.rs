//! Stores that were kept, see tests/upgrades.rs: what must be found in them, and that all goes on.

use super::backing::Backing;
use super::client::Client;
use super::program::{aft, figure, said};
use super::resp::Reply;
use super::server::{Options, Server, installed};
use super::stores::address;
use super::temp_dir::TempDir;
use super::wait;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A key, and what must be found: whether it has an expiry, and its value.
type Keys = BTreeMap<(String, String), Option<(bool, String)>>;

fn stored(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upgrades").join(name)
}

/// Unpacks a store; the directory that holds it.
pub(crate) fn unpack(name: &str, dir: &TempDir) -> PathBuf {
    let archive = stored(&format!("{name}.tar.gz"));
    let status = Command::new("tar").arg("-C").arg(dir.path()).arg("-xzf").arg(archive).status();
    assert!(status.expect("tar").success());
    dir.path().join("store")
}

fn keys_of(name: &str) -> Keys {
    let text = std::fs::read_to_string(stored(&format!("{name}.keys"))).expect("its keys");
    let line = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let value = |word: &str| match word.split_once('*') {
            Some((letter, times)) => letter.repeat(times.parse().expect("a number")),
            None => word.to_owned(),
        };
        let wanted = match words[2] {
            "gone" => None,
            state => Some((state == "expires", value(words[3]))),
        };
        ((words[0].to_owned(), words[1].to_owned()), wanted)
    };
    text.lines().map(line).collect()
}

fn check(client: &mut Client, keys: &Keys) {
    let mut selected = "";
    for ((database, key), wanted) in keys {
        if selected != database {
            assert_eq!(client.run(&["SELECT", database]), Reply::ok());
            selected = database;
        }
        let value = client.run(&["GET", key]).text();
        assert_eq!(value.as_ref(), wanted.as_ref().map(|(_, value)| value), "{database} {key}");
        let expires = client.run(&["PTTL", key]).int();
        let wanted_expiry = wanted.as_ref().map(|(expires, _)| *expires);
        assert_eq!(wanted_expiry.unwrap_or(false), expires > 0, "{database} {key}: {expires}");
    }
    assert_eq!(client.run(&["SELECT", "0"]), Reply::ok());
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// For how long it can be known what has committed, in days.
const OUTCOMES_DAYS_MAX: u64 = 365;

/// What has committed is known for as long as can be set.
pub(crate) fn small_steps(options: Options) -> Options {
    let keep_ms = (OUTCOMES_DAYS_MAX * DAY_MS).to_string();
    let outcomes_keep = ["--outcomes-keep-ms", keep_ms.as_str()];
    let extra = Options::RESTLESS.iter().chain(&outcomes_keep).map(|word| (*word).to_owned());
    Options { extra: extra.collect(), ..options }
}

/// Changes some keys in the store and in the model alike.
fn change(client: &mut Client, keys: &mut Keys, round: usize) {
    for number in (1 + round..=40).step_by(3) {
        let name = format!("large:{number}");
        let value = format!("new-{round}-{}", "y".repeat(400));
        assert_eq!(client.run(&["SET", &name, &value]), Reply::ok());
        keys.insert(("0".to_owned(), name), Some((false, value)));
    }
    for number in (20 + round..=40).step_by(4) {
        let name = format!("small:{number}");
        let entry = keys.entry(("0".to_owned(), name.clone())).or_default();
        let there = i64::from(entry.is_some());
        assert_eq!(client.run(&["EXPIRE", &name, "100000"]).int(), there);
        *entry = entry.take().map(|(_, value)| (true, value));
    }
    let name = format!("small:{}", 30 + round);
    client.run(&["DEL", &name]);
    keys.insert(("0".to_owned(), name), None);
}

/// The same of one in a service; its node was killed.
pub(crate) fn upgrade_behind(name: &str, backing: &Backing) {
    upgrade_with(name, &Options { takeover: true, ..Options::on(backing) });
}

/// Puts what was kept of a store into the empty service behind this one.
pub(crate) fn restore(name: &str, kind: &str, backing: &Backing) {
    let endpoint = format!("http://{}", address(backing));
    let archive = stored(&format!("{name}.json.gz"));
    let mut command = Command::new(installed("python"));
    command.arg(stored("service")).args(["restore", kind, &endpoint]).arg(archive);
    assert!(command.status().expect("python").success());
}

/// Reads the store of this name to the last key, goes on with it for some starts, and compacts it.
pub(crate) fn upgrade_with(name: &str, options: &Options) {
    let options = &small_steps(options.clone());
    let verified = aft(&["store", "verify", "--store", &options.store()]);
    assert!(verified.status.success(), "{name}: {}", said(&verified));
    let stats = aft(&["store", "stats", "--json", "--store", &options.store()]);
    let written_ms = figure(&said(&stats), "last_start_ms");
    let mut keys = keys_of(name);
    assert!(keys.values().flatten().count() > 70, "{name} has keys");
    let mut server = Server::start(options);
    check(&mut server.client(), &keys);
    let check_requests = |client: &mut Client, keys: &Keys| {
        if written_ms + (OUTCOMES_DAYS_MAX - 1) * DAY_MS > wait::wall_ms() as u64 {
            check_requests(client, keys);
        }
    };
    check_requests(&mut server.client(), &keys);
    // What is old is changed, compacted with what is new, and read by the next start.
    for round in 0..6 {
        change(&mut server.client(), &mut keys, round);
        check(&mut server.client(), &keys);
        if round % 2 == 0 {
            server.kill_9();
        } else {
            assert!(server.terminate().success());
        }
        server.restart();
        check(&mut server.client(), &keys);
        check_requests(&mut server.client(), &keys);
    }
}

/// A request that is told again has committed, if its writes are there; so has a transaction whose
/// token is. When the store is a year old nobody knows it any more; that it stands there is counted for ever
/// (tests/upgrades.rs).
fn check_requests(client: &mut Client, keys: &Keys) {
    let value = |key: &str| {
        let known = keys.get(&("0".to_owned(), key.to_owned()))?.as_ref()?;
        Some(known.1.clone())
    };
    let begun = |client: &mut Client, words: &str| {
        let Reply::Array(begun) = client.cmd(&format!("AFT.BEGIN REQUEST {words}")) else {
            panic!("{words}")
        };
        (begun[1].text().expect("a state"), begun[2].text())
    };
    let committed = |result: Option<&str>| ("committed".to_owned(), result.map(str::to_owned));
    if let Some(ordered) = value("ordered") {
        assert_eq!(begun(client, "order:1"), committed(Some("accepted")));
        assert_eq!(begun(client, "order:2 STEP a").0, "committed");
        assert_eq!(client.cmd("AFT.LEAVE"), Reply::ok());
        if ordered == "3" {
            assert_eq!(begun(client, "order:3"), committed(Some("late")));
        }
    }
    if let Some(token) = value("token") {
        let told = client.run(&["AFT.COMMIT", &token]);
        assert!(!told.is_error(), "{told:?}");
    }
}
