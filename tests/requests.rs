//! Interactive transactions and requests on the real binary: over crashes, restarts, compaction,
//! timeouts and pipelines. What needs no process is in `tests/transactions.rs`.

// In a test, an expectation is an assertion.
#![allow(clippy::expect_used)]

mod common;

use common::client::Client;
use common::resp::Reply;
use common::server::{Options, Server};
use common::temp_dir::TempDir;
use common::wait;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

fn options(store: &Path, settings: &[&str]) -> Options {
    let mut options = Options::durable(store);
    options.extra = settings.iter().map(|&setting| setting.to_owned()).collect();
    options
}

fn in_memory(settings: &[&str]) -> Options {
    let mut options = Options::memory();
    options.extra = settings.iter().map(|&setting| setting.to_owned()).collect();
    options
}

/// Token, state and result of AFT.BEGIN.
fn begin(client: &mut Client, words: &str) -> (String, String, Option<String>) {
    let reply = client.cmd(&format!("AFT.BEGIN {words}"));
    let items = reply.items();
    assert_eq!(items.len(), 3, "{words}: {reply:?}");
    let text = |at: usize| items[at].text().expect("a text");
    (text(0), text(1), items[2].text())
}

fn begun(client: &mut Client, words: &str) -> String {
    let (token, state, result) = begin(client, words);
    assert_eq!((state.as_str(), result), ("begun", None), "{words}");
    token
}

fn commit(client: &mut Client, words: &str) -> String {
    let reply = client.cmd(&format!("AFT.COMMIT {words}"));
    reply.text().unwrap_or_else(|| panic!("{words}: {reply:?}"))
}

fn code(reply: &Reply) -> String {
    reply.error_code().unwrap_or_else(|| panic!("{reply:?} is no error"))
}

/// A number of INFO.
fn info(client: &mut Client, name: &str) -> u64 {
    let text = client.cmd("INFO aft").text().expect("a text");
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name} in {text}"))
}

#[test]
fn what_was_committed_is_known_after_crashes_and_compaction() {
    let dir = TempDir::named("outcomes");
    let mut server = Server::start(&options(dir.path(), &Options::RESTLESS));
    let mut outcomes: BTreeMap<String, (String, String, String)> = BTreeMap::new();
    for round in 0..6 {
        let mut client = server.client();
        for number in 0..15 {
            let request = format!("request-{round}-{number}");
            let token = begun(&mut client, &format!("REQUEST {request}"));
            assert_eq!(client.cmd("INCR applied").int(), round * 15 + number + 1);
            let value = format!("{round}-{}", "x".repeat(300));
            assert_eq!(client.cmd(&format!("SET overwritten {value}")), Reply::ok());
            let result = format!("result-{round}-{number}");
            let id = commit(&mut client, &format!("RESULT {result}"));
            outcomes.insert(request, (token, id, result));
        }
        let bases = |client: &mut Client| info(client, "compaction_bases_written");
        let before = bases(&mut client);
        wait::until("compaction", Duration::from_secs(30), || {
            client.cmd(&format!("SET overwritten {}", "y".repeat(300)));
            (bases(&mut client) > before + 2).then_some(())
        });
        // An attempt that the end of the process meets.
        let open = begun(&mut client, "REQUEST never");
        assert_eq!(client.cmd("SET applied wrong"), Reply::ok());
        if round % 2 == 0 {
            server.kill_9();
        } else {
            assert!(server.terminate().success());
        }
        server.restart();
        let mut client = server.client();
        for (request, (token, id, result)) in &outcomes {
            let known = begin(&mut client, &format!("REQUEST {request}"));
            assert_eq!(known, (token.clone(), "committed".to_owned(), Some(result.clone())));
            assert_eq!(&commit(&mut client, token), id);
        }
        assert_eq!(info(&mut client, "outcomes"), outcomes.len() as u64);
        assert_eq!(code(&client.cmd(&format!("AFT.COMMIT {open}"))), "NOTXN");
        assert_eq!(client.cmd("GET applied").text(), Some((round * 15 + 15).to_string()));
    }
}

#[test]
fn whoever_says_nothing_is_aborted_and_leaves_nothing() {
    let server = Server::start(&in_memory(&["--transaction-timeout-ms", "30000"]));
    let (mut idle, mut busy) = (server.client(), server.client());
    let token = begun(&mut idle, "TIMEOUT 50");
    begun(&mut busy, "");
    assert_eq!(idle.cmd("SET k idle"), Reply::ok());
    assert!(idle.cmd("GET other").is_nil());
    assert_eq!(busy.cmd("SET k busy"), Reply::ok());
    let mut other = server.client();
    wait::until("the timeout", Duration::from_secs(10), || {
        (info(&mut other, "open_transactions") == 1).then_some(())
    });
    assert_eq!(code(&idle.cmd("GET k")), "NOTXN");
    assert_eq!(code(&idle.cmd("AFT.COMMIT")), "NOTXN");
    assert_eq!(code(&other.cmd(&format!("AFT.JOIN {token}"))), "NOTXN");
    assert_eq!(other.cmd("AFT.LEAVE"), Reply::ok());
    assert_eq!(info(&mut other, "oldest_pin_age_ms"), 0, "its snapshot is gone, too");
    commit(&mut busy, "");
    assert_eq!(info(&mut other, "open_transactions_bytes"), 0);
    assert_eq!(other.cmd("GET k").text().as_deref(), Some("busy"));
}

#[test]
fn a_transaction_sees_what_its_connection_wrote_before_in_one_pipeline() {
    let dir = TempDir::named("pipeline");
    let server = Server::start(&options(dir.path(), &[]));
    let mut client = server.client();
    for round in 0..200 {
        let value = round.to_string();
        client.queue(&["SET", "k", &value]);
        client.queue(&["AFT.BEGIN"]);
        client.queue(&["GET", "k"]);
        client.queue(&["SET", "l", &value]);
        client.queue(&["AFT.COMMIT"]);
        client.queue(&["GET", "l"]);
        client.flush().expect("sent");
        let mut next = || client.read().expect("a reply");
        assert_eq!(next(), Reply::ok());
        assert_eq!(next().items().len(), 3);
        assert_eq!(next().text(), Some(value.clone()), "round {round}");
        assert_eq!(next(), Reply::ok());
        assert!(next().text().is_some());
        assert_eq!(next().text(), Some(value));
    }
}

#[test]
fn values_that_are_only_in_the_store_are_read_inside_and_nothing_is_done_twice() {
    let dir = TempDir::named("fetched");
    let server = Server::start(&options(dir.path(), &["--cache-bytes", "0"]));
    let mut client = server.client();
    let large = "x".repeat(5000);
    for key in ["a", "b", "c"] {
        assert_eq!(client.run(&["SET", key, &large]), Reply::ok());
    }
    begun(&mut client, "");
    assert_eq!(client.cmd("INCR n").int(), 1);
    assert_eq!(client.cmd("APPEND a y").int(), 5001);
    for words in ["MULTI", "INCR n", "APPEND b y", "APPEND b y", "INCR n", "STRLEN c"] {
        assert!(!client.cmd(words).is_error(), "{words}");
    }
    let replies: Vec<i64> = client.cmd("EXEC").items().iter().map(Reply::int).collect();
    assert_eq!(replies, [2, 5001, 5002, 3, 5000], "what it had to fetch it ran once");
    // The snapshot outlives what comes after it, in the store as well.
    let mut other = server.client();
    assert_eq!(other.run(&["SET", "c", "new"]), Reply::ok());
    assert_eq!(client.cmd("GET c").text().as_deref(), Some(large.as_str()));
    commit(&mut client, "");
    assert_eq!(other.cmd("GET n").text().as_deref(), Some("3"));
    assert_eq!(other.cmd("STRLEN b").int(), 5002);
    assert_eq!(other.cmd("GET c").text().as_deref(), Some("new"));
}

#[test]
fn limits_refuse_and_nothing_is_forgotten_early() {
    let settings = ["--outcomes-bytes-max", "64kb", "--outcomes-keep-ms", "3000"];
    let dir = TempDir::named("limits");
    let server = Server::start(&options(dir.path(), &settings));
    let mut client = server.client();
    let mut committed = Vec::new();
    let full = loop {
        let request = format!("request-{}", committed.len());
        let reply = client.cmd(&format!("AFT.BEGIN REQUEST {request}"));
        if reply.is_error() {
            break reply;
        }
        commit(&mut client, "");
        committed.push(request);
        assert!(committed.len() < 10_000);
    };
    assert!(committed.len() > 100 && format!("{full:?}").contains("outcomes-bytes-max"));
    // Tokens are kept as long, and take what is left.
    while !client.cmd("AFT.BEGIN").is_error() {
        commit(&mut client, "");
    }
    assert!(client.cmd("SET plain 1").is_error(), "it did not begin");
    assert_eq!(client.cmd("AFT.LEAVE"), Reply::ok());
    assert_eq!(client.cmd("SET plain 1"), Reply::ok());
    // Its time over, it may begin again.
    wait::until("room", Duration::from_secs(20), || {
        let reply = client.cmd(&format!("AFT.BEGIN REQUEST {}", committed[0]));
        let state = reply.items().get(1).and_then(Reply::text);
        (state.as_deref() == Some("begun")).then_some(())
    });
    assert_eq!(client.cmd("AFT.ABORT"), Reply::ok());

    let server = Server::start(&in_memory(&["--transactions-bytes-max", "1mb"]));
    let (mut one, mut two) = (server.client(), server.client());
    begun(&mut one, "");
    begun(&mut two, "");
    let value = "x".repeat(600_000);
    assert_eq!(one.run(&["SET", "k", &value]), Reply::ok());
    let refused = two.run(&["SET", "k", &value]);
    assert!(format!("{refused:?}").contains("transactions-bytes-max"), "{refused:?}");
    assert!(two.cmd("GET k").is_nil(), "it was taken back");
    assert_eq!(one.cmd("AFT.ABORT"), Reply::ok());
    assert_eq!(two.run(&["SET", "k", &value]), Reply::ok());
    commit(&mut two, "");
    assert_eq!(one.cmd("STRLEN k").int(), 600_000);
}

/// Steps and their results count as what is written does.
#[test]
fn steps_have_limits() {
    let server = Server::start(&in_memory(&["--transactions-bytes-max", "1mb"]));
    let mut client = server.client();
    let result = "r".repeat(300_000);
    let ended = (0..10).position(|step| {
        begun(&mut client, &format!("REQUEST big STEP s{step}"));
        client.run(&["AFT.DONE", "RESULT", &result]).is_error()
    });
    assert_eq!(ended, Some(3), "three results fit into a megabyte");
    assert_eq!(client.cmd("AFT.DONE"), Reply::ok(), "the step is open still, and ends without");
    let mut more = (0..2000).map(|step| {
        let name = format!("{step:0>1000}");
        let begun = client.run(&["AFT.BEGIN", "REQUEST", "big", "STEP", &name]);
        if !begun.is_error() {
            assert_eq!(client.cmd("AFT.DONE"), Reply::ok());
        }
        begun
    });
    let full = more.find(Reply::is_error).expect("no more room");
    assert!(format!("{full:?}").contains("transactions-bytes-max"), "{full:?}");
    // A step that there is begins again all the same.
    let (_, state, _) = begin(&mut client, "REQUEST big STEP s0");
    assert_eq!(state, "done");
}

#[test]
fn a_retry_without_room_leaves_the_attempt_before() {
    let server = Server::start(&in_memory(&["--transactions-bytes-max", "2mb"]));
    let (mut large, mut attempt, mut retry) = (server.client(), server.client(), server.client());
    begun(&mut large, "");
    begun(&mut attempt, "REQUEST r");
    assert_eq!(attempt.cmd("SET k 1"), Reply::ok());
    assert_eq!(large.run(&["SET", "filler", &"f".repeat(1_500_000)]), Reply::ok());
    assert_eq!(retry.cmd("CONFIG SET aft-transactions-bytes-max 1mb"), Reply::ok());
    let refused = retry.cmd("AFT.BEGIN REQUEST r");
    assert!(format!("{refused:?}").contains("transactions-bytes-max"), "{refused:?}");
    assert_eq!(attempt.cmd("GET k").text().as_deref(), Some("1"));
    assert_eq!(large.cmd("AFT.ABORT"), Reply::ok());
    // Outcomes need no more room for it than they have kept already.
    assert_eq!(large.cmd("CONFIG SET aft-outcomes-bytes-max 64kb"), Reply::ok());
    while !large.cmd("AFT.BEGIN").is_error() {
        commit(&mut large, "");
    }
    begun(&mut retry, "REQUEST r");
    assert_eq!(code(&attempt.cmd("GET k")), "STALE");
}

/// Where no outcome has room any more.
#[test]
fn a_request_that_has_begun_may_end_with_a_small_result() {
    let server = Server::start(&in_memory(&["--outcomes-bytes-max", "64kb"]));
    let (mut request, mut other) = (server.client(), server.client());
    begun(&mut request, "REQUEST r");
    while !other.cmd("AFT.BEGIN").is_error() {
        commit(&mut other, "");
    }
    let refused = request.run(&["AFT.COMMIT", "RESULT", &"r".repeat(4000)]);
    assert!(format!("{refused:?}").contains("outcomes-bytes-max"), "{refused:?}");
    let small = "r".repeat(1024);
    assert!(!request.run(&["AFT.COMMIT", "RESULT", &small]).is_error());
    let (_, state, result) = begin(&mut request, "REQUEST r");
    assert_eq!((&*state, result), ("committed", Some(small)));
}

/// From then on it may be unused for as long as the newest of its steps has said.
#[test]
fn a_step_may_ask_for_more_time() {
    let server = Server::start(&in_memory(&[]));
    let (mut client, mut other) = (server.client(), server.client());
    begun(&mut client, "REQUEST r STEP a TIMEOUT 60000");
    assert_eq!(client.cmd("AFT.DONE"), Reply::ok());
    let timeout = |other: &mut Client| {
        let status = other.cmd("AFT.STATUS REQUEST r");
        let Reply::Array(pairs) = status else { panic!("{status:?}") };
        let at = pairs
            .iter()
            .position(|item| matches!(item, Reply::Bulk(name) if name == b"timeout_ms"))
            .expect("a timeout");
        pairs[at + 1].int()
    };
    assert_eq!(timeout(&mut other), 60_000);
    begun(&mut client, "REQUEST r STEP b AFTER a TIMEOUT 900000");
    assert_eq!(timeout(&mut other), 900_000);
    begun(&mut client, "REQUEST r STEP b AFTER a TIMEOUT 50");
    wait::until("the timeout", Duration::from_secs(10), || {
        (info(&mut other, "open_transactions") == 0).then_some(())
    });
}

const MANY: usize = 100_000;
const AT_ONCE: usize = 1000;

/// A WATCH that is refused has not been; one that is asked for again has.
#[test]
fn a_watch_that_failed_counts_when_it_is_repeated() {
    let server = Server::start(&in_memory(&["--transactions-bytes-max", "1mb"]));
    let (mut client, mut other) = (server.client(), server.client());
    begun(&mut client, "");
    begun(&mut other, "");
    // So large that nothing more has room.
    let fits = |bytes: &usize| other.run(&["SET", "filler", &"f".repeat(*bytes)]) == Reply::ok();
    (0..).map(|less| (1 << 20) - less * 64).find(fits).expect("a size that fits");
    (0..).map(|key| client.cmd(&format!("WATCH full:{key}"))).find(Reply::is_error);
    assert!(client.cmd("WATCH k").is_error());
    assert_eq!(other.cmd("AFT.ABORT"), Reply::ok());
    assert_eq!(client.cmd("WATCH k"), Reply::ok());
    assert_eq!(server.client().cmd("SET k foreign"), Reply::ok());
    assert_eq!(code(&client.cmd("AFT.COMMIT")), "CONFLICT");
}

/// Begins many requests over one connection, each with a read, a write and one that reads to
/// write; their tokens.
fn open_many(client: &mut Client) -> Vec<String> {
    let mut tokens = Vec::new();
    for batch in 0..MANY / AT_ONCE {
        for number in 0..AT_ONCE {
            client.queue(&["AFT.BEGIN", "REQUEST", &format!("request:{batch}:{number}:and-more")]);
            client.queue(&["GET", "a"]);
            client.queue(&["SET", &format!("key:{number}"), "a value of some thirty bytes or so"]);
            client.queue(&["INCR", "counter"]);
            client.queue(&["AFT.LEAVE"]);
        }
        client.flush().expect("sent");
        for _ in 0..AT_ONCE {
            let replies = [(); 5].map(|()| client.read().expect("a reply"));
            assert!(replies.iter().all(|reply| !reply.is_error()), "{replies:?}");
            tokens.push(replies[0].items()[0].text().expect("a token"));
        }
    }
    tokens
}

fn abort_all(client: &mut Client, tokens: &[String]) {
    for some in tokens.chunks(AT_ONCE) {
        some.iter().for_each(|token| client.queue(&["AFT.ABORT", token]));
        client.flush().expect("sent");
        some.iter().for_each(|_| assert_eq!(client.read().expect("a reply"), Reply::ok()));
    }
}

#[test]
fn a_hundred_thousand_open_transactions_fit_in_a_gigabyte() {
    let server = Server::start(&in_memory(&[]));
    let mut client = server.client();
    open_many(&mut client);
    assert_eq!(info(&mut client, "open_transactions"), MANY as u64);
    assert!(client.cmd("AFT.BEGIN").is_error(), "one more is too many");
    let bytes = server.memory_bytes("VmHWM");
    println!("{MANY} open transactions: {} bytes each", bytes / MANY as u64);
    assert!(bytes < 1 << 30, "{bytes}");

    // All of them are tried again, which takes the places of those before: none is too many. Then all
    // are aborted, and begun for the third time. Nothing of it stays.
    let tokens = open_many(&mut client);
    assert_eq!(info(&mut client, "open_transactions"), MANY as u64);
    abort_all(&mut client, &tokens);
    for name in ["open_transactions", "open_transactions_bytes", "oldest_pin_age_ms"] {
        assert_eq!(info(&mut client, name), 0, "{name}");
    }
    let tokens = open_many(&mut client);
    let later = server.memory_bytes("VmHWM");
    println!("three times: {} bytes each", later / MANY as u64);
    // What stays of one time would double it; the allocator may hold some for itself.
    assert!(later < bytes / 2 * 3, "{later} bytes, {bytes} the first time");
    abort_all(&mut client, &tokens);
    assert_eq!(client.cmd("DBSIZE").int(), 0);
}

fn aft_store(words: &[&str]) -> Output {
    let mut aft = Command::new(env!("CARGO_BIN_EXE_aft"));
    let output = aft.arg("store").args(words).output().expect("aft");
    assert!(output.status.success(), "{words:?}: {output:?}");
    output
}

#[test]
fn tools_know_what_committed_and_a_dump_leaves_it_out() {
    let dir = TempDir::named("tools");
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    let mut server = Server::start(&options(&old, &[]));
    let mut client = server.client();
    for number in 0..3 {
        begun(&mut client, &format!("REQUEST request-{number}"));
        assert_eq!(client.cmd("INCR applied").int(), number + 1);
        commit(&mut client, "RESULT fine");
    }
    begun(&mut client, "REQUEST never");
    assert_eq!(client.cmd("SET applied wrong"), Reply::ok());
    assert!(server.terminate().success());
    let [from, to] = [&old, &new].map(|path| format!("embedded:{}", path.display()));
    let stats = aft_store(&["stats", "--json", "--store", &from]).stdout;
    let stats = String::from_utf8(stats).expect("text");
    assert!(stats.contains("\"keys\":1,\"outcomes\":3,"), "{stats}");
    let verified = aft_store(&["verify", "--store", &from]).stdout;
    assert!(verified.ends_with(b"nothing is wrong\n"), "{verified:?}");

    let dump = dir.path().join("dump").display().to_string();
    aft_store(&["dump", "--store", &from, "--output", &dump]);
    aft_store(&["load", "--store", &to, "--input", &dump]);
    let server = Server::start(&options(&new, &[]));
    let mut client = server.client();
    assert_eq!(client.cmd("GET applied").text().as_deref(), Some("3"));
    assert_eq!(info(&mut client, "outcomes"), 0);
    begun(&mut client, "REQUEST request-0");
}
