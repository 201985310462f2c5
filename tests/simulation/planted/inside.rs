//! Interactive transactions, and what was told of them: wrong in one way each.

use super::{A, B, NIL, Story, put_by};
use crate::history::{Inside, Key, Op, Outcome, Seen, Told, TxnId, value_of};
use crate::order::Stored;
use aft::engine::interactive::{Terms, Token};
use aft::layout::CommitId;
use std::time::Duration;

/// The only request, where there is one.
const ORDER: usize = 0;

impl Story {
    /// An attempt is open; what it reads it has read at this moment.
    fn attempts(&mut self, serializable: bool, ops: &[Op], seen: &[Seen]) -> TxnId {
        let id = self.ask(ops, seen);
        self.ticks += 1;
        let timeout = Duration::from_secs(60);
        let terms = Terms { user: [].into(), request: None, serializable, timeout };
        let token = Token { node: 1, id: id.into(), part: 0 };
        let mut inside = Inside::new(token, Some(ORDER), &terms, Duration::ZERO);
        let txn = &mut self.txns[id as usize];
        inside.nows_ms = vec![txn.now_ms; ops.len()];
        inside.commit_ms = txn.now_ms;
        txn.inside = Some(inside);
        txn.pinned = Some(self.ticks);
        id
    }

    fn inside(&mut self, id: TxnId) -> &mut Inside {
        self.txns[id as usize].inside.as_mut().unwrap()
    }

    fn commits(&mut self, id: TxnId) -> CommitId {
        self.commit(id);
        self.tell(id, Outcome::Done);
        self.commits.last().unwrap().id
    }
}

/// An attempt that reads one key and writes the other, while somebody overwrites what it has read.
fn overtaken(serializable: bool, read: Op, seen: impl Fn(TxnId) -> Seen) -> &'static str {
    let mut story = Story::default();
    let before = story.puts(&[A]);
    let ops = [read, Op::Put(B, 0, None)];
    let attempt = story.attempts(serializable, &ops, &[seen(before), Seen::Nothing]);
    story.puts(&[A]);
    story.commits(attempt);
    story.name()
}

#[test]
fn an_honest_attempt_is_let_pass() {
    let mut story = Story::default();
    let before = story.puts(&[A]);
    let ops = [Op::Mark, Op::Put(B, 0, None), Op::TakeBack, Op::Increment(A), Op::Get(B)];
    let seen = [Seen::Nothing, Seen::Nothing, Seen::Nothing, put_by(before, 0), NIL];
    let attempt = story.attempts(true, &ops, &seen);
    let id = story.commits(attempt);
    story.inside(attempt).told = Some(Told::Committed(id));
    story.restarts();
    let retry = story.attempts(false, &[], &[]);
    story.inside(retry).told = Some(Told::Never);
    assert_eq!(story.name(), "nothing");
}

#[test]
fn what_was_read_to_write_has_changed() {
    let increment = |before| put_by(before, 0);
    assert_eq!(overtaken(false, Op::Increment(A), increment), "ConflictIgnored");
    assert_eq!(overtaken(false, Op::PutIfAbsent(A, 0), |_| Seen::Exists(true)), "ConflictIgnored");
}

#[test]
fn what_a_serializable_one_has_read_has_changed() {
    assert_eq!(overtaken(true, Op::Get(A), |before| put_by(before, 0)), "ConflictIgnored");
    // The default level allows it.
    assert_eq!(overtaken(false, Op::Get(A), |before| put_by(before, 0)), "nothing");
}

#[test]
fn a_conflict_with_nobody() {
    let mut story = Story::default();
    let before = story.puts(&[A]);
    let attempt = story.attempts(false, &[Op::Increment(A)], &[put_by(before, 0)]);
    story.puts(&[B]);
    story.tell(attempt, Outcome::NotCommitted);
    let inside = story.inside(attempt);
    (inside.conflict, inside.told) = (true, Some(Told::Never));
    assert_eq!(story.name(), "ConflictWithNobody");
}

#[test]
fn two_snapshots_in_one() {
    for (one, other, name) in [(0, 0, "nothing"), (0, 1, "FracturedRead"), (1, 1, "nothing")] {
        let mut story = Story::default();
        let attempt = story.attempts(false, &[Op::Get(A), Op::Get(A)], &[]);
        let puts = [story.puts(&[A]), story.puts(&[A])];
        let txn = &mut story.txns[attempt as usize];
        txn.pinned = Some(story.ticks + 1);
        txn.seen = vec![put_by(puts[one], 0), put_by(puts[other], 0)];
        assert_eq!(story.name(), name, "{one} and {other}");
    }
}

#[test]
fn a_write_that_another_reads_before_the_commit() {
    let mut story = Story::default();
    let attempt = story.attempts(false, &[Op::Put(A, 0, None)], &[Seen::Nothing]);
    story.reads(A, put_by(attempt, 0));
    assert_eq!(story.name(), "DirtyRead");
    // Nor later, if it was given up.
    story.tell(attempt, Outcome::NotCommitted);
    assert_eq!(story.name(), "RefusedWriteRead");
}

#[test]
fn a_step_that_was_taken_back_has_written() {
    let mut story = Story::default();
    let put = |key: Key| Op::Put(key, 0, None);
    let ops = [Op::Mark, put(A), Op::TakeBack, put(B)];
    let attempt = story.attempts(false, &ops, &[const { Seen::Nothing }; 4]);
    story.commits(attempt);
    assert_eq!(story.name(), "nothing");
    story.commits[0].writes.push(Stored::Put(A, value_of(attempt, 1, 0), 0));
    assert_eq!(story.name(), "TornTransaction");
}

#[test]
fn a_request_that_commits_twice() {
    let mut story = Story::default();
    for _ in 0..2 {
        let attempt = story.attempts(false, &[Op::Put(A, 0, None)], &[Seen::Nothing]);
        story.commits(attempt);
    }
    assert_eq!(story.name(), "RequestCommittedTwice");
}

#[test]
fn an_attempt_that_commits_although_another_has_begun() {
    let mut story = Story::default();
    let zombie = story.attempts(false, &[Op::Put(A, 0, None)], &[Seen::Nothing]);
    story.attempts(false, &[], &[]);
    story.inside(zombie).told = Some(Told::Never);
    story.commit(zombie);
    assert_eq!(story.name(), "RuledOutYetCommitted");
}

#[test]
fn an_outcome_that_was_told_and_is_not_there() {
    let mut story = Story::default();
    let attempt = story.attempts(false, &[Op::Put(A, 0, None)], &[Seen::Nothing]);
    story.inside(attempt).told = Some(Told::Committed(CommitId { time: 1, node: 1 }));
    assert_eq!(story.name(), "LostOutcome");
    // Or it is another.
    story.commit(attempt);
    story.commits[0].id.time += 1;
    assert_eq!(story.name(), "LostOutcome");
}

#[test]
fn a_commit_that_stands_under_another_request() {
    let mut story = Story::default();
    let attempt = story.attempts(false, &[Op::Put(A, 0, None)], &[Seen::Nothing]);
    story.commits(attempt);
    story.commits[0].request = None;
    assert_eq!(story.name(), "WrongRequest");
}
