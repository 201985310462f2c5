//! The checkers, tested on planted anomalies: a checker that finds nothing proves nothing.

use std::collections::HashMap;
use std::time::Duration;

use crate::anomaly::{Checked, End, Kind, Outcome};
use crate::bank::{ACCOUNTS, Bank, BankSeen, INITIAL, Transfer};
use crate::common::wait;
use crate::expiry::{Lease, Read, Slot};
use crate::history_support::record::{
    Action, Commit, CommitId, Operation, Status, Transaction, Version,
};
use crate::private::{Data, Op, Private};
use crate::requests;
use crate::shared::{Shared, SharedSeen, Trace, Write};

#[track_caller]
fn finds(kind: Kind, checked: Checked) {
    assert_eq!(checked.expect_err("the planted anomaly").kind, kind);
}

fn transfer(id: &str, outcome: Outcome) -> Transfer {
    Transfer { id: id.to_owned(), from: 0, to: 1, amount: 7, outcome, round: 1 }
}

/// A bank with a transfer of each outcome, and what a correct server shows where the unknown one
/// took effect.
fn bank() -> (Bank, BankSeen) {
    let done = transfer("done", Outcome::Done);
    let unknown = transfer("unknown", Outcome::Unknown);
    let mut balances = vec![INITIAL; ACCOUNTS];
    balances[0] -= 14;
    balances[1] += 14;
    let transfers = [&done, &unknown].map(|t| (t.id.clone(), t.value()));
    let bank = Bank {
        base: vec![INITIAL; ACCOUNTS],
        transfers: vec![done, unknown, transfer("refused", Outcome::NotDone)],
        retired: vec![transfer("retired", Outcome::Done)],
    };
    (bank, BankSeen { balances, transfers: HashMap::from(transfers) })
}

#[test]
fn bank_accepts_either_outcome_of_an_unanswered_transfer() {
    let (bank, mut seen) = bank();
    assert_eq!(bank.check(&seen), Ok(()));
    seen.transfers.remove("unknown");
    seen.balances[0] += 7;
    seen.balances[1] -= 7;
    assert_eq!(bank.check(&seen), Ok(()));
}

#[test]
fn bank_finds_a_lost_acknowledgement() {
    let (bank, mut seen) = bank();
    seen.transfers.remove("done");
    seen.balances[0] += 7;
    seen.balances[1] -= 7;
    finds(Kind::LostAck, bank.check(&seen));
}

#[test]
fn bank_finds_torn_transfers() {
    let (bank, seen) = bank();
    // The key is there, one account did not move: even if the sum were made right elsewhere.
    let mut torn = BankSeen { balances: seen.balances.clone(), transfers: seen.transfers.clone() };
    torn.balances[1] -= 7;
    finds(Kind::Torn, bank.check(&torn));
    torn.balances[2] += 7;
    finds(Kind::Torn, bank.check(&torn));
    // Both accounts moved, the key is missing.
    let mut torn = seen;
    torn.transfers.remove("unknown");
    finds(Kind::Torn, bank.check(&torn));
}

#[test]
fn bank_finds_resurrections() {
    for id in ["refused", "retired"] {
        let (bank, mut seen) = bank();
        seen.transfers.insert(id.to_owned(), transfer(id, Outcome::Done).value());
        finds(Kind::Resurrected, bank.check(&seen));
    }
}

fn data(pairs: &[(&str, &str)]) -> Data {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn set(key: &str, value: &str) -> Op {
    Op::Set(key.to_owned(), value.to_owned())
}

/// Answered: a=1, b=1, a deleted. Not answered: {a=2, c=2}, then b=3.
fn private() -> Private {
    let both = Op::Multi(vec![set("a", "2"), set("c", "2")]);
    let ops = vec![set("a", "1"), set("b", "1"), Op::Del(vec!["a".into()]), both, set("b", "3")];
    Private { ops, acked: 3, ..Private::new(1) }
}

#[test]
fn private_accepts_every_prefix_after_the_answered_ones() {
    for seen in [
        data(&[("b", "1")]),
        data(&[("a", "2"), ("b", "1"), ("c", "2")]),
        data(&[("a", "2"), ("b", "3"), ("c", "2")]),
    ] {
        assert_eq!(private().check(&seen, End::Crash), Ok(()));
    }
    let unanswered = data(&[("a", "2"), ("b", "1"), ("c", "2")]);
    // A drained server answers all that it does.
    finds(Kind::Phantom, private().check(&unanswered, End::Drained));
}

#[test]
fn private_finds_each_anomaly() {
    let finds = |kind, seen: &[(&str, &str)]| finds(kind, private().check(&data(seen), End::Crash));
    finds(Kind::LostAck, &[]);
    finds(Kind::Torn, &[("a", "2"), ("b", "1")]);
    finds(Kind::Torn, &[("b", "3")]);
    finds(Kind::Phantom, &[("b", "9")]);
    finds(Kind::LostAck, &[("a", "1"), ("b", "1")]);
}

#[test]
fn private_finds_what_comes_back_after_a_delete_or_flush() {
    for end in [Op::Del(vec!["a".into()]), Op::Flush] {
        let ops = vec![set("a", "1"), end, set("b", "1")];
        let private = Private { ops, acked: 3, ..Private::new(1) };
        let seen = data(&[("a", "1"), ("b", "1")]);
        finds(Kind::Resurrected, private.check(&seen, End::Crash));
    }
}

fn shared() -> (Shared, SharedSeen) {
    let start = wait::now();
    let at = |ms| start + Duration::from_millis(ms);
    let write = |value: &str, began, acked: Option<u64>| Write {
        pair: 0,
        value: value.to_owned(),
        began: at(began),
        acked: acked.map(at),
    };
    // first | second and third overlap | lost was never answered
    let writes = vec![
        write("first", 1, Some(2)),
        write("second", 3, Some(6)),
        write("third", 5, Some(8)),
        write("lost", 7, None),
    ];
    let counted = [vec![1, 2, 4], vec![], vec![]];
    let trace = Trace { attempted: [5, 0, 0], counted, writes, ..Trace::default() };
    let pair = |value: &str| (Some(value.to_owned()), Some(value.to_owned()));
    let pairs = [pair("third"), (None, None), (None, None)];
    let shared = Shared { traces: vec![trace], ..Shared::default() };
    (shared, SharedSeen { counts: [4, 0, 0], pairs })
}

#[test]
fn shared_accepts_what_real_time_allows() {
    let (shared, mut seen) = shared();
    for value in ["second", "third", "lost"] {
        seen.pairs[0] = (Some(value.to_owned()), Some(value.to_owned()));
        assert_eq!(shared.check(&seen, End::Crash), Ok(()), "{value}");
    }
    seen.counts[0] = 5;
    assert_eq!(shared.check(&seen, End::Crash), Ok(()));
}

#[test]
fn shared_finds_each_anomaly() {
    let plant = |kind, change: &dyn Fn(&mut Shared, &mut SharedSeen)| {
        let (mut shared, mut seen) = shared();
        change(&mut shared, &mut seen);
        finds(kind, shared.check(&seen, End::Crash));
    };
    let pair = |value: &str| (Some(value.to_owned()), Some(value.to_owned()));
    plant(Kind::LostAck, &|_, seen| seen.pairs[0] = pair("first"));
    plant(Kind::LostAck, &|_, seen| seen.pairs[0] = (None, None));
    plant(Kind::Phantom, &|_, seen| seen.pairs[0] = pair("never"));
    plant(Kind::Torn, &|_, seen| seen.pairs[0].0 = Some("second".to_owned()));
    plant(Kind::LostAck, &|_, seen| seen.counts[0] = 3);
    plant(Kind::Phantom, &|_, seen| seen.counts[0] = 6);
    plant(Kind::WrongReply, &|shared, _| shared.traces[0].counted[0][2] = 2);
    // What a reader was shown counts as acknowledged.
    plant(Kind::LostAck, &|shared, _| shared.traces[0].seen_count[0] = 5);
    plant(Kind::LostAck, &|shared, _| {
        let shown = shared.traces[0].writes[3].began;
        let third = &mut shared.traces[0].writes[2];
        third.acked = Some(shown - Duration::from_millis(1));
        let lost = (0, "lost".to_owned(), shown + Duration::from_millis(1));
        shared.traces[0].seen_pairs.push(lost);
    });
}

fn lease(value: &str, ttl_ms: i64, gone: bool) -> Option<Lease> {
    let value = value.to_owned();
    Some(Lease { value, sent: 10_000, acked: Some(10_002), ttl_ms, gone })
}

fn read(at: i64, value: Option<&str>, pttl: i64) -> Read {
    Read { began: at, ended: at + 1, value: value.map(str::to_owned), pttl }
}

#[test]
fn expiry_accepts_what_the_clock_allows() {
    let slot = Slot { known: lease("lease a", 1_000, false), pending: None };
    assert_eq!(slot.check(&read(10_500, Some("lease a"), 501)), Ok(()));
    assert_eq!(slot.check(&read(11_003, None, -2)), Ok(()));
    let slot = Slot { pending: lease("lease b", 5_000, false), ..slot };
    assert_eq!(slot.check(&read(10_500, Some("lease b"), 4_501)), Ok(()));
}

#[test]
fn expiry_finds_each_anomaly() {
    let plant = |kind, gone, read| {
        let slot = Slot { known: lease("lease a", 1_000, gone), pending: None };
        finds(kind, slot.check(&read));
    };
    plant(Kind::LostAck, false, read(10_100, None, -2));
    plant(Kind::LostAck, false, read(10_100, Some("lease older"), 900));
    plant(Kind::Resurrected, true, read(10_500, Some("lease a"), 501));
    plant(Kind::Resurrected, false, read(11_100, Some("lease a"), 1));
    // A time to live that starts again with the restart, or is forgotten.
    plant(Kind::WrongReply, false, read(10_500, Some("lease a"), 1_000));
    plant(Kind::WrongReply, false, read(10_500, Some("lease a"), -1));
    plant(Kind::WrongReply, false, read(10_100, Some("lease a"), 100));
}

/// A transaction that begins with tick `at`, the operations of which take a tick each.
fn transaction(id: &str, at: u64, actions: &[(&str, Action)]) -> Transaction {
    let ticks = at..;
    let operations = actions.iter().zip(ticks).map(|((key, action), tick)| Operation {
        key: (*key).to_owned(),
        action: action.clone(),
        began: tick,
        ended: tick,
    });
    Transaction {
        run: "planted".to_owned(),
        session: id.to_owned(),
        id: id.to_owned(),
        request: id.to_owned(),
        status: Status::Committed,
        commit: Some(Commit { began: at + 50, ended: at + 51, id: Some(CommitId(at, 0, 1)) }),
        operations: operations.collect(),
    }
}

#[test]
fn requests_find_what_is_lost_and_what_is_torn() {
    let version = |writer: &str, number| {
        let keys = vec!["a".to_owned(), "b".to_owned()];
        Version { writer: writer.to_owned(), number, keys }
    };
    let writes = |writer| {
        [("a", Action::Write(version(writer, 0))), ("b", Action::Write(version(writer, 1)))]
    };
    let history = [transaction("old", 0, &writes("old")), transaction("new", 100, &writes("new"))];
    let look = |a: Option<&str>, b: Option<&str>| {
        let read = |writer: Option<&str>, number| {
            Action::Read(writer.map(|writer| version(writer, number)))
        };
        let audit = transaction("audit", 200, &[("a", read(a, 0)), ("b", read(b, 1))]);
        requests::check(&[&history[..], std::slice::from_ref(&audit)].concat(), &audit)
    };
    assert_eq!(look(Some("new"), Some("new")), Ok(()));
    finds(Kind::LostAck, look(Some("old"), Some("old")));
    finds(Kind::LostAck, look(None, None));
    finds(Kind::Torn, look(Some("new"), Some("old")));
    finds(Kind::Torn, look(Some("new"), None));
    finds(Kind::Torn, look(Some("nobody"), Some("new")));
}
