//! Functions, runners, connections and aft itself die half-way, and everything is delivered twice.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::common::wait::{self, PATIENCE};
use crate::function::{Place, ended};

/// Tells of its first write, waits for a note, and writes more.
const SLOW: &str = "aft incr n > began; await go; aft incr n > $AFT_TOKEN; cat $AFT_TOKEN";

#[test]
fn the_second_delivery_counts_and_the_first_is_told() {
    let place = Place::durable();
    let first = place.start("--request a", SLOW);
    assert_eq!(place.note("began"), "1\n");
    place.run("--request a", "aft incr n").is(0, "1\n");
    // It is told that it is late, and ended, whether it asks or not.
    let first = ended(first);
    first.is(120, "");
    first.complains(120, "a later attempt of this request has taken the place");
    assert_eq!(place.get("n").as_deref(), Some("1"));
    place.run("--request a", "aft incr n").is(0, "1\n");
}

#[test]
fn deliveries_at_once_count_once() {
    let place = Place::durable();
    let all: Vec<_> =
        (0..6).map(|_| place.start("--request a", "aft incr n; aft incr m")).collect();
    for ran in all.into_iter().map(ended) {
        let lost = ran.code == 120 || (ran.code == 121 && ran.said.is_empty());
        assert!(lost || (ran.code == 0 && ran.said == "1\n1\n"), "{ran:?}");
    }
    place.run("--request a", "aft incr n; aft incr m").is(0, "1\n1\n");
    assert_eq!((place.get("n").as_deref(), place.get("m").as_deref()), (Some("1"), Some("1")));
}

#[test]
fn a_zombie_whose_runner_was_killed_writes_nothing() {
    let place = Place::durable();
    let script = "echo $AFT_TOKEN > token; aft incr n > began; await go; aft incr n > zombie; aft set m half >> zombie";
    let mut runner = place.start("--request a", script);
    assert_eq!(place.note("began"), "1\n");
    runner.kill().unwrap();
    runner.wait().unwrap();
    // Its function goes on while the retry runs, and when that has committed.
    let retry = place.start("--request a", "aft incr n; echo > retried; await end");
    place.note("retried");
    place.leave("go");
    wait::until("the zombie's end", PATIENCE, || {
        (place.note("zombie").lines().filter(|line| line.starts_with("STALE")).count() == 2)
            .then_some(())
    });
    place.leave("end");
    ended(retry).is(0, "1\n");
    let late = format!("redis://default~{}:x@{}", place.note("token").trim(), place.server.addr());
    let late = std::process::Command::new("redis-cli")
        .args(["--no-auth-warning", "-u", &late, "SET", "m", "half"])
        .output();
    let said = String::from_utf8(late.unwrap().stdout).unwrap();
    assert!(said.starts_with("STALE"), "{said}");
    assert_eq!((place.get("n").as_deref(), place.get("m")), (Some("1"), None));
}

#[test]
fn signals_are_passed_on_and_what_was_written_is_dropped() {
    let place = Place::in_memory();
    let polite = "trap 'echo asked > asked; exit 0' TERM; trap 'exit 9' INT; aft incr n > began; while :; do sleep 0.01; done";
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 9)] {
        let runner = place.start("--request a", polite);
        place.note("began");
        kill_process(Pid::from_child(&runner), signal).unwrap();
        assert_eq!(ended(runner).code, code);
        std::fs::remove_file(place.path("began")).unwrap();
        assert_eq!(place.client().cmd("AFT.LIST").items(), []);
    }
    assert_eq!(place.note("asked"), "asked\n");
    // Who does not listen is ended.
    let runner = place.start("--request a", "trap '' TERM; aft incr n > began; sleep 1000");
    place.note("began");
    kill_process(Pid::from_child(&runner), Signal::TERM).unwrap();
    assert_eq!(ended(runner).code, 137);
    assert_eq!(place.get("n"), None);
    assert_eq!(place.client().cmd("AFT.LIST").items(), []);
}

#[test]
fn when_aft_dies_the_function_is_told_and_run_again() {
    let mut place = Place::durable();
    let runner = place.start("--request a", &format!("[ $AFT_ATTEMPT = 1 ] || : > go; {SLOW}"));
    assert_eq!(place.note("began"), "1\n");
    place.server.kill_9();
    place.server.restart_on_same_port();
    let ran = ended(runner);
    ran.is(0, "2\n");
    ran.complains(0, "NOTXN");
    assert_eq!(place.get("n").as_deref(), Some("2"));

    // It stays away for a while: that is said, and the function goes on.
    let script = "aft incr n > again; await go2; echo done";
    let mut runner = place.start("--request b", script);
    place.note("again");
    place.server.kill_9();
    let mut told = std::io::BufReader::new(runner.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut told, &mut line).unwrap();
    assert!(line.contains("lost the connection to aft"), "{line}");
    place.leave("go2");
    std::io::BufRead::read_line(&mut told, &mut line).unwrap();
    assert!(line.contains("not known whether") && line.contains("asked again, for 60 s"), "{line}");
    place.server.restart_on_same_port();
    ended(runner).is(0, "done\n");
    assert_eq!(place.get("n").as_deref(), Some("3"));
}

#[test]
fn a_lost_reply_of_the_commit_is_asked_for_again() {
    for mode in [Lose::Reply, Lose::Request] {
        let mut place = Place::durable();
        let proxy = Proxy::start(place.server.addr(), mode, 2);
        place.url = format!("redis://{}", proxy.address);
        let ran = place.run("--request a", "aft incr n");
        ran.is(0, "1\n");
        ran.complains(0, "it is not known whether it was committed");
        assert_eq!(proxy.lost.load(Ordering::SeqCst), 2);
        assert_eq!(place.get("n").as_deref(), Some("1"));
        // As long as it takes, but not for ever.
        let proxy = Proxy::start(place.server.addr(), mode, usize::MAX);
        place.url = format!("redis://{}", proxy.address);
        let ran = place.run("--request b --commit-timeout 1", "aft incr n");
        ran.is(122, "");
        ran.complains(122, "run it again with the same id");
        place.url = format!("redis://{}", place.server.addr());
        place.run("--request b", "aft incr n").is(0, "2\n");
        assert_eq!(place.get("n").as_deref(), Some("2"));
    }
}

#[derive(Clone, Copy, Debug)]
enum Lose {
    /// The COMMIT arrives, its reply does not.
    Reply,
    /// It doesn't arrive.
    Request,
}

/// Between a client and the server; it cuts connections at AFT.COMMIT.
struct Proxy {
    address: SocketAddr,
    lost: Arc<AtomicUsize>,
}

impl Proxy {
    fn start(server: SocketAddr, lose: Lose, times: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let lost = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&lost);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let count = Arc::clone(&count);
                // A connection that breaks ends its own thread only.
                thread::spawn(move || pass(client, server, lose, times, &count));
            }
        });
        Self { address, lost }
    }
}

fn pass(
    mut client: TcpStream,
    server: SocketAddr,
    lose: Lose,
    times: usize,
    lost: &AtomicUsize,
) -> std::io::Result<()> {
    let mut server = TcpStream::connect(server)?;
    let mut bytes = [0; 65536];
    loop {
        let count = client.read(&mut bytes)?;
        if count == 0 {
            return server.shutdown(Shutdown::Both);
        }
        let is_commit = bytes[..count].windows(10).any(|window| window == b"AFT.COMMIT");
        let loses = is_commit && lost.load(Ordering::SeqCst) < times;
        if !(loses && matches!(lose, Lose::Request)) {
            server.write_all(&bytes[..count])?;
            // One request, one reply: none here is longer.
            let count = server.read(&mut bytes)?;
            if !loses {
                client.write_all(&bytes[..count])?;
                continue;
            }
        }
        lost.fetch_add(1, Ordering::SeqCst);
        return client.shutdown(Shutdown::Both);
    }
}
