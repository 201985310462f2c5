//! Crashes: the server is killed at a random moment under load, started again on the same
//! directory, and everything it had answered must be there, everything else whole or not at all.
//!
//! `AFT_CRASH_ROUNDS` asks for more than CI's 50 rounds; `AFT_SEED` repeats the random choices
//! (the interleaving with the server stays its own). A failure prints both.

#![allow(clippy::expect_used, reason = "a failed expectation is how a test fails")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../history_support/mod.rs"]
mod history_support;

mod anomaly;
mod bank;
mod expiry;
mod planted;
mod private;
mod requests;
mod shared;
mod world;

use std::time::Duration;

use common::backing::Backing;
use common::resp::Reply;
use common::server::{Options, Peer, Server};
use common::temp_dir::TempDir;
use common::{seed, wait};
use rand::RngExt;

use anomaly::End;
use requests::{Clock, Requester};
use world::World;

fn rounds() -> u32 {
    let text = std::env::var("AFT_CRASH_ROUNDS").unwrap_or_else(|_| "50".to_owned());
    text.parse().expect("AFT_CRASH_ROUNDS is a number")
}

/// Prints how to run a failed test again.
struct Replay {
    seed: u64,
    rounds: u32,
    round: u32,
}

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, rounds, round } = self;
            eprintln!("in round {round}; again: AFT_SEED={seed} AFT_CRASH_ROUNDS={rounds}");
        }
    }
}

#[test]
fn acknowledged_writes_survive_kill_9_and_nothing_is_torn() {
    let mut replay = Replay { seed: seed::from_env(), rounds: rounds(), round: 0 };
    let mut rng = seed::rng(replay.seed, u64::MAX);
    let dir = TempDir::named("crash");
    let mut server = Server::start(&Options::durable(dir.path()));
    let mut world = World::create(&mut server.client());
    let mut done = 0;
    for round in 1..=replay.rounds {
        replay.round = round;
        let load = Duration::from_millis(rng.random_range(20..400));
        world.load(&mut server, replay.seed, round, |server| {
            wait::pause(load);
            server.kill_9();
        });
        // Now and then the recovery is killed too, perhaps more than once.
        while rng.random_bool(0.2) {
            let after = Duration::from_millis(rng.random_range(0..60));
            Server::start_and_kill(server.options(), after);
        }
        server.restart();
        done += world.verify(&mut server.client(), End::Crash, round);
    }
    println!("{} rounds, {done} answered operations", replay.rounds);
    assert!(done > u64::from(replay.rounds) * 20, "hardly any load: {done} answered operations");
}

#[test]
fn requests_count_once_and_whole_when_the_server_is_killed() {
    const REQUESTERS: usize = 4;
    if Peer::under_test() != Peer::Aft {
        return;
    }
    let mut replay = Replay { seed: seed::from_env(), rounds: rounds().min(20), round: 0 };
    let mut rng = seed::rng(replay.seed, u64::MAX - 1);
    let dir = TempDir::named("requests");
    let mut server = Server::start(&Options::durable(dir.path()));
    let clock = Clock::default();
    let mut requesters: Vec<Requester> = (0..=REQUESTERS)
        .map(|n| Requester::new(n, seed::rng(replay.seed, 0x100 + n as u64)))
        .collect();
    for round in 1..=replay.rounds {
        replay.round = round;
        let (clock, addr) = (&clock, server.addr());
        let load = Duration::from_millis(rng.random_range(20..300));
        let (auditor, workers) = requesters.split_last_mut().expect("an auditor");
        std::thread::scope(|scope| {
            for worker in &mut *workers {
                scope.spawn(move || worker.work(clock, addr));
            }
            wait::pause(load);
            server.kill_9();
        });
        server.restart();
        let mut client = server.client();
        workers.iter_mut().for_each(|worker| worker.ask(clock, &mut client));
        auditor.audit(clock, &mut client);
        let audit = auditor.history.last().expect("an audit").clone();
        let all = requesters.iter().flat_map(|requester| requester.history.clone());
        let checked = requests::check(&all.collect::<Vec<_>>(), &audit);
        checked.unwrap_or_else(|anomaly| panic!("{anomaly:?}"));
    }
    let history: Vec<_> = requesters.into_iter().flat_map(|requester| requester.history).collect();
    history_support::json::leave(&history, &format!("crash-{}", replay.seed));
    let done = history.iter().filter(|transaction| transaction.commit.is_some()).count();
    println!("{} rounds, {done} of {} attempts count", replay.rounds, history.len());
    assert!(done > replay.rounds as usize * 5, "hardly any load: {done} requests");
}

#[test]
fn sigterm_under_load_answers_or_does_not_do_it() {
    let seed = seed::from_env();
    let replay = Replay { seed, rounds: 5, round: 0 };
    let dir = TempDir::named("sigterm");
    let mut server = Server::start(&Options::durable(dir.path()));
    let mut world = World::create(&mut server.client());
    // redis-server may leave replies of its last moment unsent.
    let end = if Peer::under_test() == Peer::Aft { End::Drained } else { End::Crash };
    let mut rng = seed::rng(seed, u64::MAX);
    for round in 1..=replay.rounds {
        let load = Duration::from_millis(rng.random_range(20..300));
        let mut code = None;
        world.load(&mut server, seed, round, |server| {
            wait::pause(load);
            code = server.terminate().code();
        });
        assert_eq!(code, Some(0), "the exit code of a drained server");
        server.restart();
        world.verify(&mut server.client(), end, round);
    }
}

#[test]
fn everysec_says_that_durability_is_given_up() {
    let dir = TempDir::named("everysec");
    let options = Options { durability: "everysec", ..Options::durable(dir.path()) };
    // What is acknowledged by S3 is durable in any case.
    let is_given_up = options.backing.as_ref().is_none_or(Backing::everysec);
    let mut server = Server::start(&options);
    if is_given_up && Peer::under_test() == Peer::Aft {
        let said = server.stdout().join("\n").to_lowercase();
        assert!(said.contains("everysec"), "{said}");
        let plain = ["lose", "lost", "given up", "gives up", "not durable"];
        assert!(plain.iter().any(|words| said.contains(words)), "says what it costs: {said}");
    }
    // An orderly end loses nothing all the same.
    assert_eq!(server.client().cmd("SET k v"), Reply::ok());
    assert_eq!(server.terminate().code(), Some(0));
    server.restart();
    assert_eq!(server.client().cmd("GET k"), Reply::bulk("v"));
}
