//! `aft txn`, for the person on call.

use crate::common::resp::Reply;
use crate::common::wait::{self, PATIENCE};
use crate::function::{Place, Ran, ended};

fn txn(place: &Place, words: &[&str]) -> Ran {
    Ran::of(place.aft(&[&["txn"], words].concat()).output().unwrap())
}

#[test]
fn who_is_on_call_sees_what_is_open_and_ends_it() {
    let place = Place::in_memory();
    txn(&place, &["list", "--json"]).is(0, "[]\n");
    let script = "echo $AFT_TOKEN > token; aft incr n > began; aft get r > began; await go";
    let runner = place.start("--request order:17 --step reserve", script);
    let token = place.note("token").trim().to_owned();
    wait::until("two commands", PATIENCE, || (place.note("began") == "\n").then_some(()));
    let list = txn(&place, &["list"]);
    let line = list.said.lines().nth(1).unwrap();
    for part in [&token[..token.len() - 2], "default", "order:17", "reserve begun", "127.0.0.1:"] {
        assert!(line.contains(part), "{part}: {list:?}");
    }
    let shown = txn(&place, &["show", &token]);
    for part in ["order:17", "read-atomic", "keys written  0:n", "keys checked  0:n", "held by"] {
        assert!(shown.code == 0 && shown.said.contains(part), "{part}: {shown:?}");
    }
    assert!(!shown.said.contains("last refused"), "{shown:?}");
    let json = txn(&place, &["show", "--request", "order:17", "--json"]).said;
    for part in [
        "\"state\":\"open\"",
        "\"keys\":1",
        "\"steps\":{\"reserve\":\"begun\"}",
        "\"refused\":null",
        "\"keys_written\":[\"0:n\"]",
    ] {
        assert!(json.contains(part), "{part}: {json}");
    }
    // Its step is not done, so it can't be committed: that is what there is to see.
    let mut client = place.client();
    let whole = &token[..token.len() - 2];
    assert!(client.cmd(&format!("AFT.COMMIT {whole}")).is_error());
    let list = txn(&place, &["list"]).said;
    assert!(list.contains("last refused: ERR step \"reserve\" is not done"), "{list}");

    txn(&place, &["abort", whole]).is(0, &format!("aborted {whole}\n"));
    ended(runner).complains(121, "NOTXN");
    txn(&place, &["list", "--json"]).is(0, "[]\n");
    txn(&place, &["abort", whole]).complains(1, "NOTXN");
    txn(&place, &["show", "nothing"]).complains(1, "NOTXN");
    assert_eq!(place.get("n"), None);
    let nobody = ["list", "--url", "redis://127.0.0.1:1"];
    txn(&place, &nobody).complains(2, "redis://127.0.0.1:1: Connection refused");
    txn(&place, &["show"]).complains(2, "TOKEN");
}

#[test]
fn why_a_commit_was_refused_is_known_afterwards() {
    let place = Place::in_memory();
    let (mut client, mut other) = (place.client(), place.client());
    let token = client.cmd("AFT.BEGIN REQUEST a").items()[0].text().unwrap();
    client.cmd("INCR n");
    other.cmd("INCR n");
    assert_eq!(client.cmd("AFT.COMMIT").error_code().as_deref(), Some("CONFLICT"));
    let why = "CONFLICT nothing was written: key \"n\" has changed since it was read";
    for words in [&["show", &token][..], &["show", "--request", "a"]] {
        let shown = txn(&place, words);
        assert!(shown.said.contains("refused\n") && shown.said.contains(why), "{shown:?}");
    }
    let json = txn(&place, &["show", &token, "--json"]).said;
    assert!(json.contains("\"state\":\"refused\"") && json.contains("key \\\"n\\\" has"), "{json}");
    // The next attempt shows it, too, until the request has committed.
    client.cmd("AFT.BEGIN REQUEST a");
    assert!(txn(&place, &["list"]).said.contains(&format!("last refused: {why}")));
    client.cmd("AFT.COMMIT RESULT fine");
    let shown = txn(&place, &["show", "--request", "a"]).said;
    assert!(shown.contains("committed") && shown.contains("fine") && !shown.contains("CONFLICT"));
}

#[test]
fn only_who_sees_all_of_them_may_touch_those_of_others() {
    let mut place = Place::in_memory();
    let mut client = place.client();
    for user in [
        "shop on >a ~* +@all -@admin",
        "other on >a ~* +@all -@admin",
        "call on >a +aft.list +aft.status +aft.abort",
    ] {
        assert_eq!(client.cmd(&format!("ACL SETUSER {user}")), Reply::ok());
    }
    assert_eq!(client.cmd("AUTH shop a"), Reply::ok());
    let token = client.cmd("AFT.BEGIN").items()[0].text().unwrap();
    client.cmd("SET k v");
    let address = place.server.addr();
    place.url = format!("redis://other:a@{address}");
    txn(&place, &["list"]).complains(1, "NOPERM");
    txn(&place, &["show", &token]).complains(1, "NOPERM");
    txn(&place, &["abort", &token]).complains(1, "NOPERM");
    place.url = format!("redis://call:a@{address}");
    assert!(txn(&place, &["list"]).said.contains(&token));
    assert!(txn(&place, &["show", &token]).said.contains("keys written  0:k"));
    assert_eq!(txn(&place, &["abort", &token]).code, 0);
    assert_eq!(client.cmd("GET k").error_code().as_deref(), Some("NOTXN"));
}
