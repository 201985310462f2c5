use super::{Open, Outcome, Outcomes, Registry, Said, Standing, Terms, Token};
use crate::engine::writes::Change;
use crate::layout::CommitId;
use std::sync::Arc;
use std::time::Duration;

fn token(id: u128) -> Token {
    Token { node: 1, id, part: 0 }
}

fn terms(request: Option<&str>, timeout_ms: u64) -> Terms {
    Terms {
        user: Arc::from(b"default".as_slice()),
        request: request.map(Into::into),
        serializable: false,
        timeout: Duration::from_millis(timeout_ms),
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Writes a key, as a command would.
fn write(registry: &mut Registry, id: u128, key: &str, now: Duration) {
    let mut open = registry.take(id).expect("it is open");
    open.writes.record(0, 1, key.into(), Change::Delete);
    open.used = now;
    registry.put_back(open);
}

fn end(registry: &mut Registry, open: Option<Box<Open>>) -> u128 {
    let open = open.expect("one to end");
    registry.end(&open);
    open.token.id
}

#[test]
fn whoever_is_idle_too_long_is_taken_out() {
    let mut registry = Registry::new(7);
    registry.begin(token(1), terms(None, 100), ms(0));
    registry.begin(token(2), terms(None, 50), ms(10));
    registry.begin(token(3), terms(None, 1000), ms(10));
    assert!(registry.take_idle(ms(59)).is_none());
    write(&mut registry, 1, "a", ms(90));
    let ended = registry.take_idle(ms(110));
    assert_eq!(end(&mut registry, ended), 2);
    assert!(registry.take_idle(ms(189)).is_none(), "it was used at 90");
    let ended = registry.take_idle(ms(190));
    assert_eq!(end(&mut registry, ended), 1);
    assert_eq!(registry.len(), 1);
    assert_eq!(registry.standing(token(1)), Standing::Unknown);
    assert_eq!(registry.standing(token(3)), Standing::Open);
    assert_eq!(registry.standing(Token { node: 2, ..token(3) }), Standing::Unknown);
}

#[test]
fn what_has_ended_takes_nothing() {
    let mut registry = Registry::new(7);
    registry.begin(token(1), terms(Some("order 7"), 100), ms(0));
    let empty = registry.bytes();
    write(&mut registry, 1, "a key that is too long to stand in its place", ms(1));
    assert!(registry.bytes() > empty && registry.reserved_bytes() > 0);
    assert_eq!(registry.of_request(b"order 7").map(|open| open.token), Some(token(1)));
    let open = registry.take(1);
    end(&mut registry, open);
    registry.fence(1);
    assert_eq!((registry.bytes(), registry.reserved_bytes(), registry.len()), (0, 0, 0));
    assert!(registry.of_request(b"order 7").is_none());
    assert_eq!(registry.standing(token(1)), Standing::Stale);
}

fn outcome(id: u128, position: u64) -> Outcome {
    let request = (id.is_multiple_of(2)).then(|| format!("request {id}").as_str().into());
    let result = (id.is_multiple_of(4)).then(|| "a result of some thirty bytes".into());
    let said = Said { request, result };
    let commit = CommitId { time: (id as u64) << CommitId::COUNTER_BITS, node: 1 };
    Outcome { token: token(id), commit, position, said: Some(Box::new(said)) }
}

fn found(outcomes: &Outcomes) -> Vec<u128> {
    let found = |id: &u128| {
        let by_id = outcomes.of(token(*id)).map(|found| found.token.id);
        if id.is_multiple_of(2) {
            let by_request = outcomes.of_request(format!("request {id}").as_bytes());
            assert_eq!(by_request.map(|found| found.token.id), by_id);
        }
        assert!(by_id.is_none_or(|by_id| by_id == *id));
        by_id.is_some()
    };
    (0..100).filter(found).collect()
}

#[test]
fn outcomes_leave_at_both_ends() {
    let mut outcomes = Outcomes::new(7);
    (1..=90).for_each(|id| outcomes.push(outcome(id, id as u64 / 10)));
    assert_eq!(found(&outcomes), (1..=90).collect::<Vec<_>>());
    outcomes.fall_back(7);
    outcomes.forget_before(20);
    assert_eq!(found(&outcomes), (20..80).collect::<Vec<_>>());
    (80..90).for_each(|id| outcomes.push(outcome(id, 8)));
    assert_eq!(
        outcomes.of_request(b"request 84").and_then(Outcome::result).map(|r| r.len()),
        Some(29)
    );
    outcomes.forget_before(1000);
    assert_eq!((outcomes.len(), outcomes.bytes(), outcomes.stored_bytes()), (0, 0, 0));
}

#[test]
fn recovery_may_find_outcomes_twice_and_in_any_order() {
    let mut outcomes = Outcomes::new(7);
    for id in [5, 3, 4, 3, 9, 5, 1] {
        outcomes.recover(outcome(id, 0));
    }
    outcomes.sort_recovered();
    outcomes.push(outcome(10, 1));
    outcomes.fall_back(0);
    assert_eq!(found(&outcomes), [1, 3, 4, 5, 9]);
    outcomes.forget_before(4);
    assert_eq!(found(&outcomes), [4, 5, 9]);
}
