//! Anomalies built by hand: each has to be caught, under its own name.

use crate::checker;
use crate::history::{Key, Op, Outcome, Seen, Tick, Txn, TxnId, Watch, counter_value, value_of};
use crate::model::{Effect, effects};
use crate::order::{Committed, Stored};
use aft::layout::CommitId;

mod inside;

const A: Key = Key { database: 0, number: 0 };
const B: Key = Key { database: 0, number: 1 };

/// A small history and the order that the store's logs would give for it.
#[derive(Default)]
struct Story {
    txns: Vec<Txn>,
    commits: Vec<Committed>,
    ticks: Tick,
    life: u32,
}

impl Story {
    /// Somebody asks; nothing is told yet. Every transaction has a client of its own.
    fn ask(&mut self, ops: &[Op], seen: &[Seen]) -> TxnId {
        let id = self.txns.len() as TxnId;
        self.ticks += 1;
        let mut txn = Txn::new(id, id as u32, self.life, self.ticks, ops.to_vec());
        txn.seen = seen.to_vec();
        txn.now_ms = 1_000 + self.ticks;
        txn.wall_ms = txn.now_ms;
        self.txns.push(txn);
        id
    }

    fn tell(&mut self, id: TxnId, outcome: Outcome) {
        self.ticks += 1;
        let txn = &mut self.txns[id as usize];
        txn.told = Some(self.ticks);
        txn.outcome = outcome;
    }

    /// It stands in the store, next in the order.
    fn commit(&mut self, id: TxnId) {
        let txn = &self.txns[id as usize];
        let (flushed, writes) = effects(txn);
        let writes = writes.into_iter().map(|(key, effect)| match effect {
            Effect::Put(value, expires_ms) => Stored::Put(key, value, expires_ms),
            Effect::Delete => Stored::Delete(key),
            Effect::Expiry(expires_ms) => Stored::Meta(key, CommitId::ZERO, expires_ms),
        });
        self.commits.push(Committed {
            id: CommitId { time: self.commits.len() as u64 + 1, node: 1 },
            txn: id,
            request: txn.inside.as_ref().and_then(|inside| inside.request),
            group: (1, 1),
            writes: flushed.into_iter().map(Stored::Flush).chain(writes).collect(),
        });
    }

    /// Asked, committed and told, with nothing in between.
    fn does(&mut self, ops: &[Op], seen: &[Seen]) -> TxnId {
        let id = self.ask(ops, seen);
        self.commit(id);
        self.tell(id, Outcome::Done);
        id
    }

    fn puts(&mut self, keys: &[Key]) -> TxnId {
        let ops: Vec<Op> = keys.iter().map(|&key| Op::Put(key, 0, None)).collect();
        self.does(&ops, &vec![Seen::Nothing; ops.len()])
    }

    /// Asked and told, with nothing in between.
    fn reads(&mut self, key: Key, seen: Seen) -> TxnId {
        let id = self.ask(&[Op::Get(key)], &[seen]);
        self.tell(id, Outcome::Done);
        id
    }

    fn restarts(&mut self) {
        self.life += 1;
    }

    fn name(&self) -> &'static str {
        match checker::check(&self.txns, &self.commits) {
            Ok(_) => "nothing",
            Err(violation) => violation.name,
        }
    }
}

/// What the command at `op` of a transaction has put.
fn put_by(id: TxnId, op: usize) -> Seen {
    Seen::Value(Some((value_of(id, op, 0), 0)))
}

const NIL: Seen = Seen::Value(None);

#[test]
fn an_honest_history_is_let_pass() {
    let mut story = Story::default();
    let put = story.puts(&[A, B]);
    story.reads(B, put_by(put, 1));
    let counted = story.does(&[Op::Increment(A)], &[put_by(put, 0)]);
    story.restarts();
    let counter = Seen::Value(Some((counter_value(counted, 1), 0)));
    story.reads(A, counter);
    story.does(&[Op::Delete(A), Op::Flush(0)], &[Seen::Exists(true), Seen::Nothing]);
    story.reads(A, NIL);
    assert_eq!(story.name(), "nothing");
}

#[test]
fn fractured_read() {
    let mut story = Story::default();
    let first = story.puts(&[A, B]);
    let second =
        story.ask(&[Op::Put(A, 0, None), Op::Put(B, 0, None)], &[Seen::Nothing, Seen::Nothing]);
    let reader = story.ask(&[Op::Get(A), Op::Get(B)], &[put_by(second, 0), put_by(first, 1)]);
    story.commit(second);
    story.tell(second, Outcome::Done);
    story.tell(reader, Outcome::Done);
    assert_eq!(story.name(), "FracturedRead");
}

#[test]
fn lost_acknowledged_write() {
    let mut story = Story::default();
    story.puts(&[A]);
    story.commits.clear();
    assert_eq!(story.name(), "LostAcknowledgedWrite");
}

#[test]
fn torn_transaction() {
    let mut story = Story::default();
    story.puts(&[A, B]);
    story.commits[0].writes.pop();
    assert_eq!(story.name(), "TornTransaction");
}

#[test]
fn transaction_in_two_commits() {
    let mut story = Story::default();
    let put = story.puts(&[A]);
    story.commit(put);
    assert_eq!(story.name(), "TornTransaction");
}

#[test]
fn resurrection_of_deleted() {
    let mut story = Story::default();
    let put = story.puts(&[A]);
    story.does(&[Op::Delete(A)], &[Seen::Exists(true)]);
    story.restarts();
    story.reads(A, put_by(put, 0));
    assert_eq!(story.name(), "ResurrectionOfDeleted");
}

#[test]
fn resurrection_of_overwritten() {
    let mut story = Story::default();
    let put = story.puts(&[A]);
    story.puts(&[A]);
    story.restarts();
    story.reads(A, put_by(put, 0));
    assert_eq!(story.name(), "ResurrectionOfOverwritten");
}

#[test]
fn resurrection_of_flushed() {
    let mut story = Story::default();
    let put = story.puts(&[A]);
    story.does(&[Op::Flush(0)], &[Seen::Nothing]);
    story.reads(A, put_by(put, 0));
    assert_eq!(story.name(), "ResurrectionOfFlushed");
}

#[test]
fn resurrection_of_expired() {
    let mut story = Story::default();
    let put = story.does(&[Op::Put(A, 0, Some(1_000))], &[Seen::Nothing]);
    let expires_ms = story.txns[put as usize].now_ms + 1_000;
    let late = story.reads(A, NIL);
    story.txns[late as usize].now_ms = expires_ms;
    // The clock is set back over the restart.
    story.restarts();
    story.reads(A, Seen::Value(Some((value_of(put, 0, 0), expires_ms))));
    assert_eq!(story.name(), "ResurrectionOfExpired");
}

#[test]
fn read_of_expired() {
    let mut story = Story::default();
    let put = story.does(&[Op::Put(A, 0, Some(10))], &[Seen::Nothing]);
    let expires_ms = story.txns[put as usize].now_ms + 10;
    let late = story.reads(A, Seen::Value(Some((value_of(put, 0, 0), expires_ms))));
    story.txns[late as usize].now_ms = expires_ms;
    assert_eq!(story.name(), "ReadOfExpired");
}

#[test]
fn refused_write_that_comes_back() {
    for outcome in [Outcome::NotCommitted, Outcome::Refused] {
        let mut story = Story::default();
        let put = story.ask(&[Op::Put(A, 0, None)], &[Seen::Nothing]);
        story.tell(put, outcome);
        story.commit(put);
        assert_eq!(story.name(), "RefusedWriteCommitted");
    }
}

#[test]
fn read_of_a_refused_write() {
    let mut story = Story::default();
    let put = story.ask(&[Op::Put(A, 0, None)], &[Seen::Nothing]);
    story.tell(put, Outcome::NotCommitted);
    story.reads(A, put_by(put, 0));
    assert_eq!(story.name(), "RefusedWriteRead");
}

#[test]
fn dirty_read() {
    let mut story = Story::default();
    let put = story.ask(&[Op::Put(A, 0, None)], &[Seen::Nothing]);
    story.reads(A, put_by(put, 0));
    // The process dies, and the write with it.
    story.restarts();
    story.reads(A, NIL);
    assert_eq!(story.name(), "DirtyRead");
}

#[test]
fn stale_read() {
    let mut story = Story::default();
    let put = story.puts(&[A]);
    story.puts(&[A]);
    story.reads(A, put_by(put, 0));
    assert_eq!(story.name(), "StaleRead");
}

#[test]
fn stale_read_of_nothing() {
    let mut story = Story::default();
    story.puts(&[A]);
    story.reads(A, NIL);
    assert_eq!(story.name(), "StaleRead");
}

#[test]
fn read_that_goes_back() {
    let mut story = Story::default();
    let first = story.puts(&[A]);
    let second = story.ask(&[Op::Put(A, 0, None)], &[Seen::Nothing]);
    story.reads(A, put_by(second, 0));
    story.reads(A, put_by(first, 0));
    story.commit(second);
    story.tell(second, Outcome::Done);
    assert_eq!(story.name(), "ReadWentBack");
}

#[test]
fn read_from_the_future() {
    let mut story = Story::default();
    let reader = story.ask(&[Op::Get(A)], &[put_by(1, 0)]);
    story.tell(reader, Outcome::Done);
    story.puts(&[A]);
    assert_eq!(story.name(), "ReadFromTheFuture");
}

#[test]
fn own_write_not_read() {
    let mut story = Story::default();
    // Pipelined: the read is asked before the write is told.
    let put = story.ask(&[Op::Put(A, 0, None)], &[Seen::Nothing]);
    let reader = story.ask(&[Op::Get(A)], &[NIL]);
    story.txns[reader as usize].client = story.txns[put as usize].client;
    story.commit(put);
    story.tell(put, Outcome::Done);
    story.tell(reader, Outcome::Done);
    assert_eq!(story.name(), "OwnWriteNotRead");
}

#[test]
fn lost_update() {
    let mut story = Story::default();
    let one = story.ask(&[Op::Increment(A)], &[NIL]);
    let other = story.ask(&[Op::Increment(A)], &[NIL]);
    for id in [one, other] {
        story.commit(id);
        story.tell(id, Outcome::Done);
    }
    assert_eq!(story.name(), "LostUpdate");
}

#[test]
fn put_if_absent_twice() {
    let mut story = Story::default();
    story.does(&[Op::PutIfAbsent(A, 0)], &[Seen::Exists(false)]);
    story.does(&[Op::PutIfAbsent(A, 0)], &[Seen::Exists(false)]);
    assert_eq!(story.name(), "PutIfAbsentIgnoredState");
}

/// WATCH, a read of nil, then EXEC; somebody else acts in between.
fn watched(story: &mut Story, held: bool, meanwhile: impl FnOnce(&mut Story)) {
    let (asked, done) = (story.ticks + 1, story.ticks + 2);
    story.ticks += 2;
    story.reads(A, NIL);
    meanwhile(story);
    let (ops, seen) = ([Op::Put(A, 0, None)], [Seen::Nothing]);
    let exec = story.ask(&ops, if held { &seen } else { &[] });
    story.txns[exec as usize].watch = Some(Watch { asked, done, reads: vec![(A, NIL)], held });
    if held {
        story.commit(exec);
    }
    story.tell(exec, Outcome::Done);
}

#[test]
fn watch_that_held() {
    let mut story = Story::default();
    watched(&mut story, true, |story| {
        story.puts(&[B]);
    });
    assert_eq!(story.name(), "nothing");
}

#[test]
fn watch_ignored() {
    let mut story = Story::default();
    watched(&mut story, true, |story| {
        story.puts(&[A]);
    });
    assert_eq!(story.name(), "WatchIgnored");
}

#[test]
fn watch_ignored_although_it_looks_the_same() {
    let mut story = Story::default();
    watched(&mut story, true, |story| {
        story.puts(&[A]);
        story.does(&[Op::Delete(A)], &[Seen::Exists(true)]);
    });
    assert_eq!(story.name(), "WatchIgnored");
}

#[test]
fn watch_broken_by_nobody() {
    let mut story = Story::default();
    watched(&mut story, false, |story| {
        story.puts(&[B]);
    });
    assert_eq!(story.name(), "WatchBrokenByNobody");
}

#[test]
fn watch_broken_by_a_write_that_was_lost() {
    let mut story = Story::default();
    watched(&mut story, false, |story| {
        story.ask(&[Op::Put(A, 0, None)], &[Seen::Nothing]);
    });
    assert_eq!(story.name(), "DirtyRefusal");
}

#[test]
fn commits_against_real_time() {
    let mut story = Story::default();
    story.puts(&[A]);
    story.puts(&[B]);
    story.commits.swap(0, 1);
    assert_eq!(story.name(), "CommitOrderAgainstRealTime");
}

#[test]
fn commit_of_a_dead_process_behind_its_successor() {
    let mut story = Story::default();
    let late = story.ask(&[Op::Put(A, 0, None)], &[Seen::Nothing]);
    story.restarts();
    story.puts(&[B]);
    story.commit(late);
    assert_eq!(story.name(), "CommitOfADeadProcess");
}

#[test]
fn own_commits_out_of_order() {
    let mut story = Story::default();
    let one = story.ask(&[Op::Put(A, 0, None)], &[Seen::Nothing]);
    let two = story.ask(&[Op::Put(B, 0, None)], &[Seen::Nothing]);
    story.txns[two as usize].client = story.txns[one as usize].client;
    story.commit(two);
    story.commit(one);
    assert_eq!(story.name(), "CommitOrderAgainstOwnOrder");
}

#[test]
fn now_behind_the_wall() {
    let mut story = Story::default();
    let put = story.puts(&[A]);
    story.txns[put as usize].wall_ms += 5;
    assert_eq!(story.name(), "NowBehindWall");
}

#[test]
fn expiry_of_a_version_that_is_not_there() {
    let mut story = Story::default();
    story.puts(&[A]);
    // Its predecessor is said to be another commit than the one that put it.
    story.does(&[Op::Expire(A, Some(5))], &[Seen::Exists(true)]);
    assert_eq!(story.name(), "MetaWithoutPredecessor");
}
