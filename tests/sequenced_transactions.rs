//! Interactive transactions and the fate of their groups: at the sequencer, without a store and
//! without a clock.

// In a test, an expectation is an assertion.
#![allow(clippy::expect_used)]

use aft::engine::core::interactive::{Attempt, Began, Room, Unusable};
use aft::engine::core::{Core, CoreOptions};
use aft::engine::gate::Outcome;
use aft::engine::interactive::{Terms, Token};
use aft::engine::version::Value;
use aft::layout::{Commit, CommitId};
use aft::transaction::{Finished, NotCommitted, Transaction, View};
use std::sync::Arc;
use std::time::Duration;

const BYTES_MAX: usize = 1 << 20;
const ROOM: Room = Room { open_max: 10, open_bytes_max: BYTES_MAX, outcome_bytes_max: BYTES_MAX };
const USER: &[u8] = b"default";

fn core() -> Core {
    let mut core = Core::new(CoreOptions {
        blob_bytes_min: 1 << 20,
        blob_chunk_bytes: 1 << 20,
        blobs_move: false,
        step_bytes_min: 256 << 10,
        object_bytes_max: u64::MAX,
        databases: 1,
        group_bytes_max: BYTES_MAX,
        logged: true,
        hash_seed: 7,
        cache_bytes: 0,
    });
    core.advance(1_000, Duration::ZERO);
    core.begin(1, CommitId::ZERO, 0);
    core
}

fn terms(request: Option<&str>) -> Terms {
    Terms {
        user: Arc::from(USER),
        request: request.map(Into::into),
        serializable: false,
        timeout: Duration::from_secs(60),
    }
}

fn begin(core: &mut Core, id: u128, request: Option<&str>) -> Result<Began, Unusable> {
    let token = Token { node: 1, id, part: 0 };
    let attempt = Attempt { step: None, after: None, resume: false, timeout: None };
    core.begin_interactive(token, terms(request), attempt, &ROOM)
}

fn begun(core: &mut Core, id: u128, request: Option<&str>) -> Token {
    match begin(core, id, request) {
        Ok(Began::Begun(token)) => token,
        other => panic!("{other:?}"),
    }
}

/// Sets a key, inside of a transaction or outside.
fn set(core: &mut Core, inside: Option<Token>, key: &str, value: &str) {
    let mut transaction = Transaction::begin(core, View::Tip, BYTES_MAX);
    assert!(inside.is_none_or(|token| transaction.enter(token, BYTES_MAX)), "it is open");
    transaction.put(0, key.as_bytes(), Value::String(value.into()), 0);
    assert!(matches!(transaction.finish(&Commit::default()), Finished::Done { .. }));
}

/// Reads a key, inside of a transaction or what is visible; to write, or only to know.
fn get(core: &mut Core, inside: Option<Token>, key: &str, to_write: bool) -> Option<String> {
    let mut transaction = Transaction::begin(core, View::Visible, BYTES_MAX);
    assert!(inside.is_none_or(|token| transaction.enter(token, BYTES_MAX)), "it is open");
    transaction.reads_to_write(to_write);
    let found = transaction.get(0, key.as_bytes()).expect("it is in memory");
    assert!(matches!(transaction.finish(&Commit::default()), Finished::Done { .. }));
    found.map(|found| {
        let Value::String(bytes) = found.value;
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// What COMMIT comes to, and what becomes of the group that the answer waits for.
type Committed = (Result<CommitId, NotCommitted>, Option<Arc<aft::engine::gate::Gate>>);

fn commit(core: &mut Core, token: Token) -> Committed {
    let mut transaction = Transaction::begin(core, View::Visible, BYTES_MAX);
    let committed = transaction.commit_interactive(token, Some(b"done"), BYTES_MAX);
    match transaction.finish(&Commit::default()) {
        Finished::Done { gate, .. } => (committed, gate),
        other => panic!("{other:?}"),
    }
}

fn acknowledge(core: &mut Core) {
    while core.depart().is_some() {
        core.acknowledge();
    }
}

#[test]
fn an_answer_to_commit_waits_for_its_group_and_so_does_one_to_a_retry() {
    let mut core = core();
    let token = begun(&mut core, 1, Some("order"));
    set(&mut core, Some(token), "k", "new");
    let (committed, gate) = commit(&mut core, token);
    let id = committed.expect("nothing has changed");
    let gate = gate.expect("the store has not acknowledged it");
    assert_eq!(gate.outcome(), Outcome::Pending);
    assert_eq!(get(&mut core, None, "k", false), None, "nobody sees it before");
    assert_eq!(begin(&mut core, 2, Some("order")), Ok(Began::Committed));
    let position = core.interactive().outcomes.of(token).expect("it is sequenced").position;
    assert!(position > core.visible().position, "a retry has to wait for the same");
    assert!(!core.abort_interactive(token.id), "too late");
    acknowledge(&mut core);
    assert_eq!(gate.outcome(), Outcome::Durable);
    assert_eq!(core.interactive().outcomes.of(token).map(|kept| kept.commit), Some(id));
    assert_eq!(get(&mut core, None, "k", false).as_deref(), Some("new"));
}

#[test]
fn a_commit_that_was_given_up_has_never_been_and_the_request_begins_anew() {
    // Before it was sent, and after that, by this node's own seal.
    for sent in [false, true] {
        let mut core = core();
        let token = begun(&mut core, 1, Some("order"));
        set(&mut core, Some(token), "k", "new");
        let (committed, gate) = commit(&mut core, token);
        assert!(committed.is_ok());
        if sent {
            assert!(core.depart().is_some());
            core.restart_as(2);
        } else {
            core.refuse("the store is away".to_owned());
        }
        assert_eq!(gate.expect("it waited").outcome(), Outcome::NotCommitted);
        assert!(core.interactive().outcomes.of(token).is_none());
        assert_eq!(core.check_token(token, USER), Err(Unusable::NotOpen));
        core.serve();
        let again = begun(&mut core, 2, Some("order"));
        assert_eq!(get(&mut core, Some(again), "k", false), None);
        assert!(commit(&mut core, again).0.is_ok());
        acknowledge(&mut core);
        assert!(core.interactive().outcomes.of(again).is_some());
        assert_eq!(core.interactive().outcomes.len(), 1);
    }
}

#[test]
fn an_uncertain_commit_is_told_as_such_until_the_store_has_decided() {
    let mut core = core();
    let token = begun(&mut core, 1, Some("order"));
    set(&mut core, Some(token), "k", "new");
    let (committed, gate) = commit(&mut core, token);
    assert!(committed.is_ok() && core.depart().is_some());
    core.refuse("the store is away".to_owned());
    assert_eq!(gate.expect("it waited").outcome(), Outcome::Uncertain);
    // The request can't begin anew: it may have committed.
    assert_eq!(begin(&mut core, 2, Some("order")), Ok(Began::Committed));
    let position = core.interactive().outcomes.of(token).expect("it may be there").position;
    assert_eq!(core.gate(position).expect("not decided").outcome(), Outcome::Uncertain);
    core.acknowledge();
    core.serve();
    assert!(core.gate(position).is_none(), "now it is decided");
    assert_eq!(get(&mut core, None, "k", false).as_deref(), Some("new"));
}

#[test]
fn a_commit_that_the_node_refuses_can_be_repeated() {
    let mut core = core();
    let token = begun(&mut core, 1, None);
    set(&mut core, Some(token), "k", "new");
    core.refuse("the store is away".to_owned());
    assert!(matches!(commit(&mut core, token).0, Err(NotCommitted::Refused(_))));
    assert_eq!(core.check_token(token, USER), Ok(()));
    core.serve();
    assert!(commit(&mut core, token).0.is_ok());
    acknowledge(&mut core);
    assert_eq!(get(&mut core, None, "k", false).as_deref(), Some("new"));
}

#[test]
fn a_conflict_with_what_is_not_acknowledged_waits_for_it() {
    let mut core = core();
    let token = begun(&mut core, 1, None);
    assert_eq!(get(&mut core, Some(token), "k", true), None);
    set(&mut core, None, "k", "other");
    let (committed, gate) = commit(&mut core, token);
    assert_eq!(committed, Err(NotCommitted::Conflict("k".into())));
    assert_eq!(gate.expect("the refusal tells of it").outcome(), Outcome::Pending);
    assert_eq!(core.check_token(token, USER), Err(Unusable::NotOpen));
    assert!(core.interactive().registry.is_empty() && core.oldest_pin().is_none());
}

#[test]
fn a_snapshot_stays_as_long_as_its_transaction_is_used() {
    let mut core = core();
    set(&mut core, None, "k", "old");
    acknowledge(&mut core);
    let token = begun(&mut core, 1, None);
    assert_eq!(get(&mut core, Some(token), "k", true).as_deref(), Some("old"));
    set(&mut core, None, "other", "new");
    acknowledge(&mut core);
    for seconds in [30, 80, 130] {
        core.advance(1_000 * (seconds + 1), Duration::from_secs(seconds));
        core.reap(100);
        assert!(!core.tidy_interactive(Duration::MAX, 100));
        assert_eq!(get(&mut core, Some(token), "k", false).as_deref(), Some("old"));
        assert_eq!(get(&mut core, Some(token), "other", false), None);
    }
    // What came and went meanwhile is not forgotten either.
    set(&mut core, None, "k", "old");
    acknowledge(&mut core);
    assert!(matches!(commit(&mut core, token).0, Err(NotCommitted::Conflict(_))));
    // Idle for longer than its time, one goes with all it held.
    let idle = begun(&mut core, 2, None);
    get(&mut core, Some(idle), "k", true);
    core.advance(192_000, Duration::from_secs(191));
    core.tidy_interactive(Duration::MAX, 100);
    assert_eq!(core.check_token(idle, USER), Err(Unusable::NotOpen));
    assert!(core.oldest_pin().is_none());
}

#[test]
fn a_command_that_is_refused_writes_nothing() {
    let mut core = core();
    let mut transaction = Transaction::begin(&mut core, View::Tip, BYTES_MAX);
    transaction.put(0, b"k", Value::String("old".into()), 900_000);
    assert!(matches!(transaction.finish(&Commit::default()), Finished::Done { .. }));
    acknowledge(&mut core);
    let token = begun(&mut core, 1, None);
    // A restart might not know yet that its time is over, and nobody can tell it now.
    core.advance(1_000_000, Duration::from_secs(999));
    core.refuse("the store is away".to_owned());
    let mut transaction = Transaction::begin(&mut core, View::Visible, BYTES_MAX);
    assert!(transaction.enter(token, BYTES_MAX));
    assert_eq!(transaction.get(0, b"k"), Ok(None));
    transaction.put(0, b"k", Value::String("new".into()), 0);
    assert!(matches!(transaction.finish(&Commit::default()), Finished::ExpiryUnknown(_)));
    core.serve();
    let open = core.interactive().registry.get(token.id).expect("it is open");
    assert!(open.writes.is_empty(), "the client was told that it failed");
    assert!(commit(&mut core, token).0.is_ok());
}
