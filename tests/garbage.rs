//! What nobody needs any more leaves the store, and nothing else does, on any of them:
//! `AFT_TEST_STORE` says on which.

mod common;

use common::client::{Client, info};
use common::overwritten::Model;
use common::program::{aft, figure, said};
use common::resp::Reply;
use common::server::{Options, Server};
use common::temp_dir::TempDir;
use common::wait::{self, PATIENCE};
use std::time::Duration;

const KEYS: usize = 300;
const VALUE_BYTES: usize = 2_000;
const ROUNDS: usize = 20;
const ROUNDS_A_LIFE: usize = 10;

/// What a step of compaction takes at the least, in bytes.
const STEP_BYTES: u64 = 256 << 10;

/// Compaction begins as early as it can, and closes logs for it.
const RESTLESS: [&str; 12] = [
    "--segment-bytes",
    "1mb",
    "--store-bytes-min",
    "0",
    "--store-percent-max",
    "110",
    "--compaction-step-bytes",
    "256kb",
    "--groups-max",
    "4",
    "--logs-max",
    "1",
];

/// Entries of starts and of logs that were begun, the seals of these, views.
const ENTRIES_MAX: u64 = 24;

/// Views but the newest.
const VIEWS_MAX: usize = 4;

/// What INFO and `aft store stats` both tell, under these names.
const FIGURES: [(&str, &str); 6] = [
    ("live_keys", "keys"),
    ("live_bytes", "live_bytes"),
    ("groups", "groups"),
    ("bases", "bases"),
    ("logs", "logs"),
    ("outcomes", "outcomes"),
];

/// Transactions with a request and a result in each round: what became of them is alive for long.
const REQUESTS_A_ROUND: usize = 10;

/// They leave nothing but what became of them.
fn run_requests(client: &mut Client, round: usize) {
    for number in 0..REQUESTS_A_ROUND {
        let commands = [
            format!("AFT.BEGIN REQUEST {round}-{number}"),
            "SET of-the-request 1".to_owned(),
            "DEL of-the-request".to_owned(),
            format!("AFT.COMMIT RESULT result-{}", "r".repeat(number * 20)),
        ];
        for command in commands {
            let reply = client.cmd(&command);
            assert!(!reply.is_error(), "{command}: {reply:?}");
        }
    }
}

/// As a node says it.
fn told(client: &mut Client) -> [u64; 6] {
    FIGURES.map(|(name, _)| info(client, name))
}

/// Whether it is as small as is promised, and nothing waits for being deleted.
fn is_small(client: &mut Client, model: &Model) -> bool {
    let small = info(client, "store_bytes") <= model.live_bytes() * 5 / 2;
    let gone = info(client, "live_keys") == model.live_keys();
    small && gone && info(client, "replaced_objects") == 0
}

/// What is told when nothing is done to the store any more.
fn at_rest(client: &mut Client, model: &Model) -> [u64; 6] {
    /// Shorter than the time between two signs of life.
    const STILL: Duration = Duration::from_millis(300);
    wait::until("the store is small and at rest", PATIENCE, || {
        let before = told(client);
        // Nothing is what has to happen here.
        wait::pause(STILL);
        (is_small(client, model) && told(client) == before).then_some(before)
    })
}

/// Waits until a listing shows that this process has given up the store, if it has owners: a start
/// deletes all views before the newest one it sees.
fn is_listed_as_given_up(store: &str, process: &str) {
    wait::until("the view of the end is listed", PATIENCE, || {
        let stats = said(&aft(&["store", "stats", "--json", "--store", store]));
        let owner = stats.split("\"owner\":").nth(1)?;
        (owner.starts_with("null") || owner.starts_with("\"nobody") && owner.contains(process))
            .then_some(())
    });
}

/// What is said of the store that a server has left. A listing may be late: it is waited for.
fn left_behind(server: &Server, told: &[u64; 6]) -> String {
    let store = server.options().store();
    let mut seen = String::new();
    let found = wait::poll(PATIENCE, || {
        let verified = aft(&["store", "verify", "--store", &store]);
        let stats = said(&aft(&["store", "stats", "--json", "--store", &store]));
        seen = format!("{}{stats}{told:?}", said(&verified));
        // Whoever gives up the store creates a view, as did its start and each further log: those
        // before it stay until the next start.
        let left: Vec<&str> = seen.lines().filter(|line| line.contains(": left over")).collect();
        let clean = left.len() <= VIEWS_MAX && left.iter().all(|line| line.starts_with("view/"));
        let agree = FIGURES.iter().zip(told).all(|((_, name), told)| figure(&stats, name) == *told);
        (verified.status.success() && clean && agree).then_some(stats)
    });
    found.unwrap_or_else(|| panic!("something is wrong, or without a name: {seen}"))
}

#[test]
fn garbage_goes_and_nothing_is_lost() {
    let dir = TempDir::named("garbage");
    let mut options = Options::durable(dir.path());
    options.extra = RESTLESS.map(str::to_owned).to_vec();
    let mut brief = options.clone();
    let lease = ["--lease-ms", "1000", "--store-attempt-timeout-ms", "1000"];
    brief.extra.extend(lease.map(str::to_owned));
    let mut server = Server::start(&brief);
    let mut model = Model::of_values(VALUE_BYTES);
    for round in 0..ROUNDS {
        run_requests(&mut server.client(), round);
        model.overwrite(&server, KEYS, round);
        if round % ROUNDS_A_LIFE == ROUNDS_A_LIFE - 1 {
            model.kill_in_the_middle(&mut server, KEYS, round);
            server.restart();
            model.check(&mut server.client());
        }
    }
    wait::until("the store is small", PATIENCE, || {
        is_small(&mut server.client(), &model).then_some(())
    });
    let last = format!("process {}", server.pid().as_raw_nonzero());
    assert!(server.terminate().success());
    is_listed_as_given_up(&server.options().store(), &last);
    // What those have left that were killed goes with a start that succeeds nobody.
    let mut server = Server::start(&options);
    model.check(&mut server.client());
    let told = at_rest(&mut server.client(), &model);
    assert!(server.terminate().success());
    let stats = left_behind(&server, &told);
    println!("{stats}");
    let [_, live_bytes, groups, bases, logs, outcomes] = told;
    assert_eq!(outcomes, (ROUNDS * REQUESTS_A_ROUND) as u64);
    // A base for each step, and for each of them a group that tells of it.
    assert!(bases <= 8 + live_bytes / STEP_BYTES && groups <= 8 + 4 * bases, "{told:?}");
    assert!(logs <= 2 && figure(&stats, "objects") <= groups + bases + ENTRIES_MAX, "{stats}");
}

/// What is said of the store of a server that is killed, once all is listed: these figures are
/// right.
fn of_the_killed(server: &mut Server, figures: &[(&str, &dyn Fn(u64) -> bool)]) -> String {
    server.kill_9();
    let store = server.options().store();
    wait::until("what the store is said to hold", PATIENCE, || {
        let stats = said(&aft(&["store", "stats", "--json", "--store", &store]));
        figures.iter().all(|(name, is_right)| is_right(figure(&stats, name))).then_some(stats)
    })
}

/// Which snapshots a node had open when it last wrote, and when and how long it has recovered.
#[test]
fn stats_tell_of_the_oldest_snapshot_and_of_the_last_recovery() {
    let dir = TempDir::named("snapshots");
    let before_ms = wait::wall_ms() as u64;
    let mut server = Server::start(&Options::durable(dir.path()));
    let started_ms = wait::wall_ms() as u64;
    let mut writer = server.client();
    let mut forgetful = server.client();
    assert_eq!(writer.cmd("MSET a 1 b 1 c 1"), Reply::ok());
    // These hold no snapshot.
    assert_eq!(forgetful.cmd("WATCH a b"), Reply::ok());
    assert!(!forgetful.cmd("SCAN 0 COUNT 1").is_error());
    assert_eq!(writer.cmd("MSET a 2 b 2 c 2"), Reply::ok());
    let recovery_ms = info(&mut writer, "recovery_ms");
    let stats = of_the_killed(
        &mut server,
        &[("groups", &|groups| groups >= 3), ("last_recovery_ms", &|ms| ms > 0)],
    );
    assert_eq!(figure(&stats, "oldest_snapshot_ms"), 0, "{stats}");
    assert_eq!(figure(&stats, "oldest_snapshot_age_ms"), 0, "{stats}");
    let (start_ms, took_ms) = (figure(&stats, "last_start_ms"), figure(&stats, "last_recovery_ms"));
    assert!((before_ms..=started_ms).contains(&start_ms), "{before_ms} {started_ms}: {stats}");
    // What comes after the first group has left is not in it; each clock rounds for itself.
    assert!((1..=recovery_ms + 2).contains(&took_ms), "{recovery_ms}: {stats}");

    server.restart();
    let mut reader = server.client();
    assert!(!reader.cmd("AFT.BEGIN").is_error());
    let from_ms = wait::wall_ms() as u64;
    assert_eq!(reader.cmd("GET a"), Reply::bulk("2"));
    let to_ms = wait::wall_ms() as u64;
    assert_eq!(server.client().cmd("SET a 3"), Reply::ok());
    let wrote_ms = wait::wall_ms() as u64;
    let since = |ms: u64| (from_ms..=to_ms).contains(&ms);
    let stats = of_the_killed(&mut server, &[("oldest_snapshot_ms", &since)]);
    let age_ms = figure(&stats, "oldest_snapshot_age_ms");
    assert!(age_ms <= wrote_ms.max(to_ms) - from_ms, "{stats}");

    // Who ends in order leaves none behind, though it was open to the end.
    server.restart();
    let mut reader = server.client();
    assert!(!reader.cmd("AFT.BEGIN").is_error());
    assert_eq!(reader.cmd("GET a"), Reply::bulk("3"));
    assert_eq!(server.client().cmd("SET a 4"), Reply::ok());
    assert!(server.terminate().success());
    of_the_killed(&mut server, &[("oldest_snapshot_ms", &|ms| ms == 0)]);
}
