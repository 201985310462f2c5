//! What `aft run` does when nothing breaks but the function.

use std::io::Write;
use std::process::Stdio;

use crate::common::resp::Reply;
use crate::common::server::Options;
use crate::common::temp_dir::TempDir;
use crate::function::{Place, Ran, ended};

#[test]
fn a_request_runs_once_and_its_result_is_told_again() {
    let mut place = Place::durable();
    let script = "aft incr n; aft get n; echo $AFT_REQUEST $AFT_ATTEMPT";
    place.run("--request a", script).is(0, "1\n1\na 1\n");
    place.run("--request a", script).is(0, "1\n1\na 1\n");
    assert_eq!(place.get("n").as_deref(), Some("1"));
    place.server.kill_9();
    place.server.restart_on_same_port();
    place.run("--request a", "echo never").is(0, "1\n1\na 1\n");
    place.run("--request b", script).is(0, "2\n2\nb 1\n");
    // What prints nothing, or says that it is no result, has none.
    for options in ["--request c", "--request d --no-result"] {
        let said = if options.contains("no-result") { "shown\n" } else { "" };
        let script = if said.is_empty() { "aft incr n > /dev/null" } else { "echo shown" };
        place.run(options, script).is(0, said);
        place.run(options, "echo never").is(0, "");
    }
    assert_eq!(place.get("n").as_deref(), Some("3"));
}

#[test]
fn a_function_that_fails_leaves_nothing_and_its_code_is_ours() {
    let place = Place::in_memory();
    let half = "aft incr n > half; aft set m half > /dev/null; echo said;";
    for (how, code) in [("exit 7", 7), ("kill -9 $$", 137), ("kill -15 $$", 143)] {
        place.run("--request a", &format!("{half} {how}")).is(code, "said\n");
        assert_eq!(place.note("half"), "1\n", "it saw its own write");
        assert_eq!((place.get("n"), place.get("m")), (None, None));
    }
    assert_eq!(place.client().cmd("AFT.LIST").items(), []);
    place.run("--request a", &format!("{half} exit 0")).is(0, "said\n");
    assert_eq!((place.get("n").as_deref(), place.get("m").as_deref()), (Some("1"), Some("half")));
}

#[test]
fn a_conflict_runs_it_again_and_only_the_last_output_counts() {
    let place = Place::in_memory();
    let other = format!("redis-cli -p {} incr n > /dev/null;", place.server.addr().port());
    let once = format!("echo try $AFT_ATTEMPT; aft incr n; [ $AFT_ATTEMPT = 2 ] || {other}");
    let ran = place.run("--request a", &once);
    ran.is(0, "try 2\n2\n");
    ran.complains(0, "CONFLICT");
    assert_eq!(place.get("n").as_deref(), Some("2"));
    let always = format!("echo try; aft incr n > /dev/null; {other}");
    let ran = place.run("--request b --attempts 2", &always);
    ran.is(121, "");
    ran.complains(121, "key \"n\" has changed since it was read; 2 attempts");
    assert_eq!(place.get("n").as_deref(), Some("4"));
    // What was only read counts where it is asked for.
    let skewed = format!("aft get n > /dev/null; {other} aft set m 1 > /dev/null");
    place.run("--request c --attempts 1", &skewed).is(0, "");
    place.run("--request d --attempts 1 --serializable", &skewed).is(121, "");
}

#[test]
fn steps_end_one_by_one_and_the_last_commits() {
    let place = Place::in_memory();
    let script = "aft incr n; [ ! -e fail ]";
    place.run("--request a --step two --after one --last", script).complains(121, "NOTXN");
    place.run("--request a --step one", script).is(0, "1\n");
    place.run("--request a --step one", "echo never").is(0, "1\n");
    assert_eq!(place.get("n"), None);
    place.leave("fail");
    place.run("--request a --step two --after one --last", script).is(1, "2\n");
    std::fs::remove_file(place.path("fail")).unwrap();
    place.run("--request a --step two --after one --last", script).is(0, "2\n");
    assert_eq!(place.get("n").as_deref(), Some("2"));
    place.run("--request a --step one", "echo never").is(0, "2\n");
    // After a conflict all of them have to run again, so none is run again alone.
    let other = format!("redis-cli -p {} incr n > /dev/null", place.server.addr().port());
    place.run("--request b --step one", "aft incr n").is(0, "3\n");
    let ran = place.run("--request b --step two --after one --last", &other);
    ran.complains(121, "restart the request with its first step");
    assert_eq!(place.get("n").as_deref(), Some("3"));
}

#[test]
fn limits_end_a_function_and_nothing_of_it_stays() {
    let place = Place::in_memory();
    // With what it has started, too.
    let hangs = "aft incr n > began; sh -c 'trap \"\" TERM; sleep 1000' & wait";
    place.run("--request a --timeout 1", hangs).complains(124, "--timeout");
    let talks = "aft incr n > began; while :; do echo 1234567; done";
    let ran = place.run("--request a --result-bytes-max 1000", talks);
    ran.complains(125, "--result-bytes-max (1000)");
    assert!(ran.said.starts_with("1234567\n") && ran.said.len() < 100_000);
    // The server has a limit of its own.
    assert_eq!(place.get("n"), None);
    assert_eq!(place.client().cmd("AFT.LIST").items(), []);
    // What it leaves behind ends with it, and holds up nothing.
    place.run("--request b", "sleep 1000 & echo done").is(0, "done\n");
    // The server has a limit of its own.
    let mut options = Options::memory();
    options.extra = vec!["--result-bytes-max".to_owned(), "5".to_owned()];
    let place = Place::with(&options, TempDir::named("functions"));
    let script = "aft incr n > began; echo 123456";
    place.run("--request a", script).complains(125, "see result-bytes-max");
    assert_eq!((place.get("n"), place.client().cmd("AFT.LIST").items().len()), (None, 0));
}

#[test]
fn what_can_not_be_run_is_said() {
    let place = Place::in_memory();
    let run = |words: &[&str]| Ran::of(place.aft(words).output().unwrap());
    run(&["run", "--request", "a", "--", "no-such-thing"]).complains(127, "no-such-thing");
    run(&["run", "--request", "a", "--", "/dev/null"]).complains(126, "/dev/null");
    run(&["run", "--request", "a"]).complains(2, "COMMAND");
    run(&["run", "--request", "a", "--after", "b", "--", "true"]).complains(2, "--step");
    let nobody = ["run", "--request", "a", "--url", "redis://127.0.0.1:1", "--", "true"];
    run(&nobody).complains(125, "redis://127.0.0.1:1: Connection refused");
    let too_long = ["run", "--request", "a", "--timeout", "901", "--", "true"];
    run(&too_long).complains(125, "the timeout must be 1 to 900000 milliseconds");
    // Inside of a function there is no other.
    let nested = format!("{} run --request b -- echo never", env!("CARGO_BIN_EXE_aft"));
    place.run("--request a", &nested).complains(125, "bound to a transaction");
    let help = run(&["run", "--help"]);
    assert!(help.code == 0 && help.said.contains("--attempts") && help.said.contains("122"));
}

#[test]
fn a_function_gets_stdin_where_it_is_asked_for() {
    let place = Place::in_memory();
    let (other, words) =
        (place.server.addr().port(), ["--request", "a", "--stdin", "--", "sh", "-c"]);
    let script = format!(
        "cat; redis-cli --no-auth-warning -u $REDIS_URL incr n > half
        [ $AFT_ATTEMPT = 2 ] || redis-cli -p {other} incr n > other"
    );
    let mut command = place.aft(&["run"]);
    let mut child = command.args(words).arg(script).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"an event\n").unwrap();
    let ran = ended(child);
    ran.is(0, "an event\n");
    ran.complains(0, "CONFLICT");
    assert_eq!(place.get("n").as_deref(), Some("2"));
    place.run("--request b", "cat").is(0, "");
}

#[test]
fn passwords_users_and_databases_reach_the_function() {
    let mut options = Options::memory();
    options.requirepass = Some("p@ss:w/rd");
    let mut place = Place::with(&options, TempDir::named("functions"));
    let address = place.server.addr();
    place.url = format!("redis://:p%40ss%3Aw%2Frd@{address}/3");
    place.run("--request a", "aft set k default > /dev/null; aft get k").is(0, "default\n");
    let mut client = place.client();
    assert_eq!(client.cmd("SELECT 3"), Reply::ok());
    assert_eq!(client.cmd("GET k").text().as_deref(), Some("default"));
    assert_eq!(client.cmd("ACL SETUSER shop on >secret ~* +@all -@admin"), Reply::ok());
    place.url = format!("redis://shop:secret@{address}/3");
    place.run("--request b", "aft acl whoami; aft get k").is(0, "shop\ndefault\n");
    place.url = format!("redis://shop:wrong@{address}/3");
    place.run("--request c", "echo never").complains(125, "WRONGPASS");
}
