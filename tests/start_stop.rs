//! Starting, stopping, and what lies between when the disk is full. A refused start is exit code
//! 1 (2 for a wrong setting, as usual) and one line that a person can act on; nothing that was there is touched.

#![allow(clippy::expect_used, reason = "a failed expectation is how a test fails")]

mod common;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::client::Client;
use common::resp::Reply;
use common::server::{Options, Peer, Server};
use common::small_disk::SmallDisk;
use common::temp_dir::TempDir;
use common::wait::{self, PATIENCE};

/// Starts with these settings and returns the one line that says why not.
#[track_caller]
fn refusal(options: &Options) -> String {
    refusal_with(options, 1)
}

/// The same, with another exit code than 1.
#[track_caller]
fn refusal_with(options: &Options, code: i32) -> String {
    let Err(error) = Server::try_start(options) else { panic!("started with {options:?}") };
    assert_eq!(error.code, Some(code), "{error:#?}");
    if options.peer == Peer::Redis {
        return String::new();
    }
    let [line] = error.stderr.as_slice() else { panic!("one line is enough: {error:#?}") };
    assert!(line.starts_with("aft: "), "{line}");
    assert!(!error.stdout.iter().any(|line| line.starts_with("listening")), "{error:#?}");
    line.clone()
}

/// aft's own behaviour, which redis-server has no like of.
fn is_aft() -> bool {
    Peer::under_test() == Peer::Aft
}

#[test]
fn says_what_it_serves() {
    let dir = TempDir::named("banner");
    let mut server = Server::start(&Options::durable(dir.path()));
    assert_eq!(server.client().cmd("MSET a 1 b 2"), Reply::ok());
    assert_eq!(server.terminate().code(), Some(0));
    server.restart();
    assert_eq!(
        server.client().cmd("MGET a b"),
        Reply::Array(vec![Reply::bulk("1"), Reply::bulk("2")])
    );
    if is_aft() {
        let lines = server.stdout();
        let said = lines.join("\n");
        let first = lines.iter().rposition(|line| line.starts_with("aft ")).expect("its version");
        let [version, store, recovered, listening] = &lines[first..first + 4] else {
            panic!("four lines: {said}");
        };
        assert_eq!(*version, format!("aft {}", env!("CARGO_PKG_VERSION")));
        let stored = format!("store      {} (", server.options().store());
        assert!(store.starts_with(&stored), "{said}");
        let embedded = server.options().backing.is_none();
        assert!(!embedded || store.ends_with(" (durability always)"), "{said}");
        assert!(recovered.starts_with("recovered  2 keys in "), "{said}");
        assert_eq!(*listening, format!("listening  {}", server.addr()));
    }
}

#[test]
fn a_port_in_use_is_refused() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = taken.local_addr().expect("its address").port();
    let dir = TempDir::named("port");
    let line = refusal(&Options { port, ..Options::in_directory(dir.path()) });
    assert!(!is_aft() || line.contains(&port.to_string()), "names the port: {line}");
}

#[test]
fn a_directory_in_use_is_refused_and_its_owner_goes_on() {
    if !is_aft() {
        return;
    }
    let dir = TempDir::named("locked");
    let options = Options::in_directory(dir.path());
    let mut server = Server::start(&options);
    assert_eq!(server.client().cmd("SET k v"), Reply::ok());
    let line = refusal(&options);
    assert!(line.contains(&dir.path().display().to_string()), "names the directory: {line}");
    assert_eq!(server.client().cmd("SET k w"), Reply::ok());
    // The lock belongs to the process, not to a file that a crash leaves behind.
    server.kill_9();
    server.restart();
    assert_eq!(server.client().cmd("GET k"), Reply::bulk("w"));
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    let dir = TempDir::named("unwritable");
    let file = dir.path().join("file");
    std::fs::write(&file, "not a directory").expect("a file");
    refusal(&Options::in_directory(&file));
    refusal(&Options::in_directory(&file.join("below")));
    assert_eq!(std::fs::read(&file).expect("the file"), b"not a directory");

    let disk = SmallDisk::new("ro,size=1m");
    let options =
        Options { through: disk.through(), ..Options::in_directory(&disk.path().join("d")) };
    let line = refusal(&options);
    assert!(!is_aft() || line.contains("d"), "{line}");
}

#[test]
fn wrong_settings_are_refused() {
    let wrong = [
        &["--durability", "sometimes"][..],
        &["--listen", "nowhere"],
        &["--listen", "127.0.0.1:99999"],
        &["--store", "nosuch:x"],
        &["--clients-max", "many"],
        &["--output-buffer-bytes-max", "1zb"],
        &["--no-such-setting", "1"],
    ];
    if !is_aft() {
        return;
    }
    for words in wrong {
        let extra = words.iter().map(|word| (*word).to_owned()).collect();
        let line = refusal_with(&Options { extra, ..Options::memory() }, 2);
        println!("{words:?}: {line}");
    }
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.clone(), std::fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

#[test]
fn a_directory_of_something_else_is_refused_and_left_alone() {
    if !is_aft() {
        return;
    }
    let dir = TempDir::named("foreign");
    let below = dir.path().join("appendonlydir");
    std::fs::create_dir(&below).expect("a directory");
    std::fs::write(below.join("appendonly.aof.1.incr.aof"), "*2\r\n$6\r\nSELECT\r\n")
        .expect("a file");
    std::fs::write(dir.path().join("notes.txt"), "mine").expect("a file");
    let before = files(dir.path());
    refusal(&Options::in_directory(dir.path()));
    assert_eq!(files(dir.path()), before);
}

#[test]
fn damage_is_reported_and_never_becomes_data() {
    if !is_aft() {
        return;
    }
    let dir = TempDir::named("damaged");
    let mut server = Server::start(&Options::in_directory(dir.path()));
    let mut client = server.client();
    let value = |n: u32| format!("value-{n}-").repeat(40);
    for n in 0..400 {
        assert_eq!(client.run(&["SET", &format!("k{n}"), &value(n)]), Reply::ok());
    }
    server.kill_9();
    // In the middle, with intact data behind it: no torn tail of a crash can look so.
    let (path, mut bytes) =
        files(dir.path()).into_iter().max_by_key(|(_, bytes)| used(bytes)).expect("data files");
    let at = used(&bytes) / 2;
    bytes[at..at + 64].iter_mut().for_each(|byte| *byte ^= 0x5a);
    std::fs::write(&path, &bytes).expect("the damaged file");
    match Server::try_start(server.options()) {
        Err(error) => {
            let [line] = error.stderr.as_slice() else { panic!("one line: {error:#?}") };
            assert!(line.starts_with("aft: "), "{error:#?}");
            assert_eq!(error.code, Some(1));
        }
        Ok(server) => {
            let mut client = server.client();
            let (mut errors, mut missing) = (0, 0);
            for n in 0..400 {
                let reply = client.run(&["GET", &format!("k{n}")]);
                errors += u32::from(reply.is_error());
                missing += u32::from(reply.is_nil());
                let wrong = !reply.is_error() && !reply.is_nil() && reply != Reply::bulk(value(n));
                assert!(!wrong, "k{n} is {reply:?}");
            }
            println!("{errors} keys answer with an error, {missing} are missing");
            // Where even the names are lost, keys are missing: then the operator is told.
            assert!(missing < 50, "{missing} keys lost for 64 damaged bytes");
            let said = server.said();
            assert!(missing == 0 || said.contains("lost"), "{missing} keys lost: {said}");
        }
    }
}

/// Without the zeros of a preallocated end.
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

#[test]
fn sigterm_without_clients_and_with_idle_ones_exits_0_soon() {
    for clients in [0, 3] {
        let mut server = Server::start(&Options::memory());
        let mut idle: Vec<Client> = (0..clients).map(|_| server.client()).collect();
        assert!(idle.iter_mut().all(|c| c.cmd("PING") == Reply::Simple(b"PONG".to_vec())));
        let start = wait::now();
        assert_eq!(server.terminate().code(), Some(0));
        assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
    }
}

/// What is known of one write to the full disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    Yes,
    No,
    Unknown,
}

struct FullDisk {
    value_bytes: usize,
    writes: Vec<Written>,
    slowest: Duration,
}

impl FullDisk {
    fn value(&self, n: usize) -> String {
        format!("{n:08}").repeat(self.value_bytes / 8)
    }

    /// One write of a new key; says how it ended.
    fn write(&mut self, client: &mut Client) -> Written {
        let n = self.writes.len();
        let start = wait::now();
        let reply = client.run(&["SET", &format!("k{n}"), &self.value(n)]);
        self.slowest = self.slowest.max(start.elapsed());
        let written = match reply.error_code().as_deref() {
            None => Written::Yes,
            // redis-server's word, where it stands in for aft.
            Some("NOTCOMMITTED" | "MISCONF") => Written::No,
            Some("UNCERTAIN") => Written::Unknown,
            Some(other) => panic!("{other}: {reply:?}"),
        };
        self.writes.push(written);
        written
    }

    #[track_caller]
    fn check(&self, client: &mut Client) {
        for (n, written) in self.writes.iter().enumerate() {
            let value = client.run(&["GET", &format!("k{n}")]).text();
            match (value, written) {
                (Some(value), Written::Yes | Written::Unknown) => {
                    assert!(value == self.value(n), "k{n} is not what was written");
                }
                (None, Written::No | Written::Unknown) => {}
                (Some(_), Written::No) => panic!("k{n} was refused, yet it is there"),
                (None, Written::Yes) => panic!("k{n} was acknowledged and is lost"),
            }
        }
    }
}

/// A server on a disk that it has filled, all of it but for the ballast.
fn fill(disk: &SmallDisk, ballast_bytes: usize, value_bytes: usize) -> (Server, FullDisk, PathBuf) {
    let ballast = disk.seen_from_outside().join("ballast");
    std::fs::write(&ballast, vec![1; ballast_bytes]).expect("room for the ballast");
    // An attempt may not take longer than the whole commit, and segments are taken ahead.
    let small = match Peer::under_test() {
        Peer::Aft => ["--store-attempt-timeout-ms", "200"].map(str::to_owned).to_vec(),
        Peer::Redis | Peer::MiniStack | Peer::Moto => Vec::new(),
    };
    let options = Options {
        through: disk.through(),
        commit_deadline_ms: Some(500),
        extra: small,
        // redis-server would exit with `always`, and say so.
        durability: if is_aft() { "always" } else { "everysec" },
        ..Options::in_directory(&disk.path().join("data"))
    };
    std::fs::create_dir(disk.seen_from_outside().join("data")).expect("a directory");
    let server = Server::start(&options);
    let mut client = server.client();
    let mut full = FullDisk { value_bytes, writes: Vec::new(), slowest: Duration::ZERO };
    wait::until("the disk is full", PATIENCE, || {
        (full.write(&mut client) != Written::Yes).then_some(())
    });
    (server, full, ballast)
}

#[test]
fn a_full_disk_refuses_writes_reads_go_on_and_space_is_enough_to_recover() {
    let disk = SmallDisk::new("size=48m");
    let (mut server, mut full, ballast) = fill(&disk, 24 << 20, 32 << 10);
    let mut client = server.client();
    println!("full after {} writes", full.writes.len());
    for _ in 0..5 {
        assert_ne!(full.write(&mut client), Written::Yes, "the disk is still full");
        assert_eq!(client.cmd("PING").is_error(), !is_aft());
        full.check(&mut client);
    }
    let slowest = full.slowest;
    assert!(slowest < Duration::from_secs(3), "a refusal took {slowest:?}, the deadline is 0.5 s");

    std::fs::remove_file(&ballast).expect("the ballast");
    wait::until("writes succeed again by themselves", PATIENCE, || {
        (full.write(&mut client) == Written::Yes).then_some(())
    });
    for _ in 0..20 {
        assert_eq!(full.write(&mut client), Written::Yes);
    }
    full.check(&mut client);
    if is_aft() {
        server.kill_9();
    } else {
        server.terminate();
    }
    server.restart();
    full.check(&mut server.client());
}

/// Whoever comes back on a full disk reads what is there, however often, and writes when there is room.
#[test]
fn a_start_on_a_full_disk_serves_reads_and_later_writes() {
    /// Each takes a little of what is kept for starts.
    const STARTS: usize = 8;
    if !is_aft() {
        return;
    }
    // The last write may be larger than all that is kept for starts.
    for value_bytes in [32 << 10, 500 << 10] {
        starts_on_a_full_disk(value_bytes, STARTS);
    }
}

fn starts_on_a_full_disk(value_bytes: usize, starts: usize) {
    let disk = SmallDisk::new("size=32m");
    let (mut server, mut full, ballast) = fill(&disk, 16 << 20, value_bytes);
    for start in 0..starts {
        if start % 2 == 1 {
            server.terminate();
        } else {
            server.kill_9();
        }
        server.restart();
        let mut client = server.client();
        full.check(&mut client);
        // What was too little for a large value goes, too.
        wait::until("it is full for small values, too", PATIENCE, || {
            client.cmd("SET small 1").is_error().then_some(())
        });
        full.check(&mut client);
    }
    std::fs::remove_file(&ballast).expect("the ballast");
    let mut client = server.client();
    wait::until("writes succeed by themselves", PATIENCE, || {
        (client.cmd("DEL small") == Reply::Int(1)).then_some(())
    });
    assert_eq!(full.write(&mut client), Written::Yes);
    server.kill_9();
    server.restart();
    full.check(&mut server.client());
    assert_eq!(server.client().cmd("EXISTS small"), Reply::Int(0));
}

#[test]
fn info_names_the_file_of_settings() {
    if !is_aft() {
        return;
    }
    let dir = TempDir::named("settings");
    let file = dir.path().join("aft.toml");
    std::fs::write(&file, "databases = 3\n").expect("a file");
    let extra = vec!["--config".to_owned(), file.display().to_string()];
    let server = Server::start(&Options { extra, ..Options::memory() });
    let info = server.client().cmd("INFO server").text().expect("a text");
    assert!(info.contains(&format!("config_file:{}\r\n", file.display())), "{info}");
    assert!(server.client().cmd("SELECT 3").is_error());
}
