//! What may come between a command and its resend: loops, steps, other connections, the end.

use crate::common::resp::Reply;
use crate::world::{Place, begin_on};

#[test]
fn multi_and_exec() {
    let place = Place::new();
    let commands = ["MULTI", "INCR n", "SET k v", "EXEC"];
    place.lose(place.bound(), &commands);
    let mut again = place.bound();
    let replies = again.all(&commands);
    assert_eq!(replies[..3], [Reply::ok(), Reply::queued(), Reply::queued()]);
    assert_eq!(replies[3].items(), [Reply::Int(1), Reply::ok()]);
    assert_eq!(place.count(), 1);
    assert_eq!(again.all(&["MULTI", "INCR n", "EXEC"])[2].items(), [Reply::Int(2)]);
}

#[test]
fn a_multi_without_its_exec_is_run() {
    let place = Place::new();
    place.lose(place.bound(), &["MULTI", "INCR n"]);
    let replies = place.bound().all(&["MULTI", "INCR n", "EXEC"]);
    assert_eq!(replies[2].items(), [Reply::Int(1)]);
    // One that goes another way is run as it is.
    place.lose(place.bound(), &["MULTI", "INCR n", "EXEC"]);
    let replies = place.bound().all(&["MULTI", "INCR n", "INCR n", "EXEC"]);
    assert_eq!(replies[3].items(), [Reply::Int(3), Reply::Int(4)]);
}

/// A loop to its EXEC, whose reply is lost.
fn lose_a_loop(place: &Place) {
    let mut first = place.bound();
    assert_eq!(first.cmd("WATCH n"), Reply::ok());
    assert!(first.cmd("GET n").is_nil());
    place.lose(first, &["MULTI", "SET n 1", "EXEC"]);
    assert_eq!(place.count(), 1);
}

#[test]
fn a_loop_of_watch_is_begun_again_by_clients() {
    let place = Place::new();
    lose_a_loop(&place);
    let mut again = place.bound();
    assert_eq!(again.cmd("WATCH n"), Reply::ok());
    assert!(again.cmd("GET n").is_nil(), "as it was told before");
    let replies = again.all(&["MULTI", "SET n 1", "EXEC"]);
    assert_eq!(replies[2].items(), [Reply::ok()]);
    // The next loop is another one.
    assert_eq!(again.cmd("WATCH n"), Reply::ok());
    assert_eq!(again.cmd("GET n"), Reply::bulk("1"));
    assert_eq!(again.all(&["MULTI", "SET n 2", "EXEC"])[2].items(), [Reply::ok()]);
    assert_eq!(place.count(), 2);
}

#[test]
fn a_library_repeats_only_the_end_of_a_loop() {
    let place = Place::new();
    lose_a_loop(&place);
    let mut again = place.bound();
    assert_eq!(again.all(&["MULTI", "SET n 1", "EXEC"])[2].items(), [Reply::ok()]);
    assert_eq!((place.count(), place.repeated()), (1, 1));
}

#[test]
fn some_repeat_what_is_queued_without_its_multi() {
    let place = Place::new();
    let mut first = place.bound();
    assert_eq!(first.cmd("MULTI"), Reply::ok());
    assert_eq!(first.cmd("INCR n"), Reply::queued());
    place.lose(first, &["EXEC"]);
    let mut again = place.bound();
    let replies = again.all(&["INCR n", "EXEC"]);
    assert_eq!((&replies[0], replies[1].items()), (&Reply::queued(), &[Reply::Int(1)][..]));
    assert_eq!((place.count(), again.cmd("INCR n")), (1, Reply::Int(2)));
}

#[test]
fn a_loop_may_be_given_up_and_begun_again() {
    let place = Place::new();
    lose_a_loop(&place);
    let mut again = place.bound();
    assert_eq!(again.cmd("UNWATCH"), Reply::ok());
    for end in ["UNWATCH", "PING"] {
        assert_eq!(again.cmd("WATCH n"), Reply::ok());
        assert!(again.cmd("GET n").is_nil());
        again.cmd(end);
    }
    assert_eq!(again.cmd("WATCH n"), Reply::ok());
    assert!(again.cmd("GET n").is_nil());
    assert_eq!(again.all(&["MULTI", "SET n 1", "EXEC"])[2].items(), [Reply::ok()]);
    assert_eq!(place.count(), 1);
}

#[test]
fn a_loop_that_goes_another_way_fails_as_its_watch_says() {
    let place = Place::new();
    lose_a_loop(&place);
    let mut again = place.bound();
    assert_eq!(again.cmd("WATCH n"), Reply::ok());
    assert!(again.cmd("GET n").is_nil());
    let replies = again.all(&["MULTI", "SET n other", "EXEC"]);
    assert!(replies[2].is_nil(), "what it was told is not what is: {replies:?}");
    assert_eq!(again.cmd("GET n"), Reply::bulk("1"));
}

#[test]
fn a_loop_that_was_read_is_over() {
    let place = Place::new();
    let mut first = place.bound();
    assert_eq!(first.all(&["WATCH n", "GET n"])[0], Reply::ok());
    assert_eq!(first.all(&["MULTI", "INCR n", "EXEC"])[2].items(), [Reply::Int(1)]);
    place.lose(first, &["GET n"]);
    let mut again = place.bound();
    assert_eq!(again.cmd("WATCH n"), Reply::ok());
    assert_eq!(again.cmd("GET n"), Reply::bulk("1"));
    assert_eq!(place.repeated(), 0);
}

#[test]
fn lost_twice() {
    let place = Place::new();
    for _ in 0..3 {
        place.lose(place.bound(), &["INCR n", "INCR n"]);
    }
    assert_eq!(place.bound().all(&["INCR n", "INCR n"]), [1, 2].map(Reply::Int));
    assert_eq!(place.count(), 2);
}

#[test]
fn several_connections_lose_each_its_own() {
    let place = Place::new();
    let (one, two, idle) = (place.bound(), place.bound(), place.bound());
    place.lose(one, &["MULTI", "INCR n", "EXEC"]);
    // It was there before, so it doesn't come back for anything.
    place.lose(two, &["MULTI", "INCRBY n 10", "EXEC"]);
    assert_eq!({ idle }.all(&["MULTI", "INCR m", "EXEC"])[2].items(), [Reply::Int(1)]);
    // In the other order.
    let replies = place.bound().all(&["MULTI", "INCRBY n 10", "EXEC"]);
    assert_eq!(replies[2].items(), [Reply::Int(11)]);
    // Somebody who has something else to do takes nothing away.
    assert_eq!(place.bound().cmd("GET n"), Reply::bulk("11"));
    let replies = place.bound().all(&["MULTI", "INCR n", "EXEC"]);
    assert_eq!(replies[2].items(), [Reply::Int(1)]);
    assert_eq!(place.count(), 11);
}

#[test]
fn in_another_database_it_is_another_command() {
    let place = Place::new();
    place.lose(place.bound(), &["INCR n"]);
    let mut other = place.bound();
    assert_eq!(other.cmd("SELECT 1"), Reply::ok());
    assert_eq!(other.cmd("INCR n"), Reply::Int(1));
    assert_eq!(place.repeated(), 0);
    assert_eq!(place.bound().cmd("INCR n"), Reply::Int(1));
    assert_eq!(place.repeated(), 1);
}

#[test]
fn refused_commands_are_refused_anew() {
    let place = Place::new();
    let mut first = place.bound();
    assert_eq!(first.cmd("SET text x"), Reply::ok());
    place.lose(first, &["INCR text", "INCR n"]);
    let mut again = place.bound();
    assert!(again.cmd("INCR text").is_error());
    assert_eq!(again.cmd("INCR n"), Reply::Int(1));
}

#[test]
fn a_step_that_is_done_tells_again_and_one_that_was_taken_back_does_not() {
    let place = Place::new();
    let first = begin_on(&place.server, "REQUEST r STEP one");
    place.lose(place.bound_to(&first), &["INCR n", "AFT.DONE"]);
    let replies = place.bound_to(&first).all(&["INCR n", "AFT.DONE"]);
    assert_eq!(replies, [Reply::Int(1), Reply::ok()]);

    let second = begin_on(&place.server, "REQUEST r STEP two AFTER one");
    place.lose(place.bound_to(&second), &["INCR n"]);
    let retry = begin_on(&place.server, "REQUEST r STEP two AFTER one");
    let reply = place.bound_to(&second).cmd("INCR n");
    assert_eq!(reply.error_code().as_deref(), Some("STALE"));
    let mut bound = place.bound_to(&retry);
    assert_eq!(bound.cmd("INCR n"), Reply::Int(2));
    let commit = format!("AFT.COMMIT {retry}");
    assert!(!bound.cmd(&commit).is_error());
    assert_eq!(place.server.client().cmd("GET n"), Reply::bulk("2"));
}

#[test]
fn what_has_ended_is_never_run_again() {
    let place = Place::new();
    place.lose(place.bound(), &["INCR n", "AFT.COMMIT"]);
    let replies = place.bound().all(&["INCR n", &format!("AFT.COMMIT {}", place.token)]);
    assert_eq!(replies[0].error_code().as_deref(), Some("NOTXN"));
    assert!(replies[1].text().is_some(), "{replies:?}");
    assert_eq!(place.server.client().cmd("GET n"), Reply::bulk("1"));
}

#[test]
fn more_than_is_remembered_counts_again() {
    let place = Place::with(&["--resend-commands-max", "3"], "");
    place.lose(place.bound(), &["INCR n"; 3]);
    assert_eq!(place.bound().all(&["INCR n"; 3]), [1, 2, 3].map(Reply::Int));
    place.lose(place.bound(), &["INCR n"; 4]);
    assert_eq!(place.bound().cmd("INCR n"), Reply::Int(8));
}
