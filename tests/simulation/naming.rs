//! Gives an anomaly its name. That something is wrong has been found already.

use crate::checker::{Bounds, Checker, Violation, effects_touch, own_earlier, values};
use crate::history::{Key, Op, Outcome, Txn, writer_of};
use crate::model::Cause;

/// It wrote on a state that was not the one before its commit.
pub(crate) fn wrote_on_wrong_state(
    checker: &Checker<'_>,
    txn: &Txn,
    op: usize,
    place: usize,
) -> Violation {
    if let Some(violation) = uncommitted_read(checker, txn) {
        return violation;
    }
    let name = match txn.ops.get(op) {
        Some(Op::Increment(_)) => "LostUpdate",
        Some(Op::PutIfAbsent(..)) => "PutIfAbsentIgnoredState",
        _ => "WroteOnWrongState",
    };
    let key = txn.ops.get(op).and_then(|op| key_of(*op));
    let held = key.map(|key| checker.model.found(key, place, txn.now_ms));
    let what = format!("command {op} at {place}, where {key:?} holds {held:?}: {txn}");
    Violation::of(name, txn, what)
}

/// It read and no point explains what.
pub(crate) fn no_point(checker: &Checker<'_>, txn: &Txn, bounds: &Bounds) -> Violation {
    if let Some(violation) = uncommitted_read(checker, txn) {
        return violation;
    }
    let all = 0..=checker.commits.len();
    let fits: Vec<usize> =
        all.clone().filter(|&point| checker.model.replay(txn, point).is_ok()).collect();
    let (Some(&first), Some(&last)) = (fits.first(), fits.last()) else {
        let mut timeless = txn.clone();
        timeless.now_ms = 0;
        let each_alone =
            (0..txn.ops.len()).all(|op| all.clone().any(|at| checker.model.single(txn, op, at)));
        let name = if each_alone {
            "FracturedRead"
        } else if all.clone().any(|at| checker.model.replay(&timeless, at).is_ok()) {
            "ReadOfExpired"
        } else {
            "ImpossibleRead"
        };
        return Violation::of(name, txn, format!("{txn}"));
    };
    let what = format!("fits {first}..={last}, allowed {bounds:?}: {txn}");
    let name = if last < bounds.from() {
        if last < bounds.own && last >= bounds.told.max(bounds.read) {
            "OwnWriteNotRead"
        } else if last < bounds.told {
            stale(checker, txn, last)
        } else {
            "ReadWentBack"
        }
    } else if first > bounds.through {
        "ReadFromTheFuture"
    } else {
        "ReadWentBack"
    };
    Violation::of(name, txn, what)
}

/// What superseded the state that was read, although that had been told.
fn stale(checker: &Checker<'_>, txn: &Txn, last: usize) -> &'static str {
    let superseded = txn
        .ops
        .iter()
        .filter_map(|op| key_of(*op))
        .filter_map(|key| {
            let older = checker.model.at(key, last)?;
            older.value.as_ref()?;
            checker.model.after(key, last).first()
        })
        .min_by_key(|version| version.from);
    let Some(version) = superseded else {
        return "StaleRead";
    };
    let by = checker.txn(checker.commits[version.from - 1].txn);
    match version.cause {
        Cause::Deleted => "ResurrectionOfDeleted",
        Cause::Flushed => "ResurrectionOfFlushed",
        Cause::Written if by.is_some_and(|by| by.life < txn.life) => "ResurrectionOfOverwritten",
        Cause::Written => "StaleRead",
    }
}

/// It read a value of a transaction that is not in the order.
fn uncommitted_read(checker: &Checker<'_>, txn: &Txn) -> Option<Violation> {
    values(txn).find_map(|(op, value)| {
        let writer = writer_of(value)?;
        if writer == txn.id || checker.places.contains_key(&writer) {
            return None;
        }
        let by = checker.txn(writer);
        let refused = by.is_some_and(|by| {
            matches!(by.outcome, Outcome::NotCommitted | Outcome::Refused | Outcome::Failed)
        });
        let name = if refused { "RefusedWriteRead" } else { "DirtyRead" };
        let by = by.map_or_else(|| format!("t{writer}, unknown"), ToString::to_string);
        let what = format!("{op:?} read a value of {by}\n  {txn}");
        Some(Violation::of(name, txn, what))
    })
}

/// EXEC answered nil: somebody has touched a key, or may have.
pub(crate) fn broken_watch(checker: &Checker<'_>, txn: &Txn) -> Result<(), Violation> {
    let Some(watch) = &txn.watch else {
        return Ok(());
    };
    let keys: Vec<Key> = watch.reads.iter().map(|(key, _)| *key).collect();
    let touches =
        |other: &Txn| keys.iter().any(|&key| other.ops.iter().any(|op| op.may_touch(key)));
    let may_expire = |other: &Txn| {
        keys.iter().any(|&key| {
            other.ops.iter().any(
                |op| matches!(op, Op::Put(k, _, Some(_)) | Op::Expire(k, Some(_)) if *k == key),
            )
        })
    };
    let committed = checker.commits.iter().any(|commit| {
        let by = checker.txn(commit.txn);
        let at_the_time = by.is_some_and(|by| {
            txn.told.is_none_or(|told| by.asked < told) && !by.done_before(watch.asked)
        });
        at_the_time && keys.iter().any(|&key| effects_touch(commit, key))
    });
    // A watch on the client's own pending write breaks when that is given up.
    let own = checker
        .txns
        .iter()
        .any(|other| own_earlier(other, txn) && other.outcome != Outcome::Done && touches(other));
    if committed || own || checker.txns.iter().any(may_expire) {
        return Ok(());
    }
    let lost = checker
        .txns
        .iter()
        .any(|other| other.id != txn.id && touches(other) && !other.done_before(watch.asked));
    let name = if lost { "DirtyRefusal" } else { "WatchBrokenByNobody" };
    Err(Violation::of(name, txn, format!("{txn}")))
}

/// The key a command is about.
fn key_of(op: Op) -> Option<Key> {
    match op {
        Op::Get(key)
        | Op::Exists(key)
        | Op::Put(key, ..)
        | Op::Delete(key)
        | Op::Increment(key)
        | Op::PutIfAbsent(key, _)
        | Op::Expire(key, _) => Some(key),
        Op::Count(_) | Op::Flush(_) | Op::Mark | Op::TakeBack => None,
    }
}
