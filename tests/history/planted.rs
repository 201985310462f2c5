//! Each anomaly, planted.

use crate::history_support::detect::{Kind, count, detect};
use crate::history_support::record::{
    Action, Commit, CommitId, Operation, Status, Tick, Transaction, Version,
};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// A history in the making: what it tells happens in the order in which it is told.
#[derive(Default)]
struct Story {
    tick: Tick,
    history: Vec<Transaction>,
}

/// `key writer/number`: a value that its writer writes together with `a` and `b`.
fn version(name: &str) -> Version {
    Version::parse(&format!("{name} a,b")).unwrap()
}

impl Story {
    fn tick(&mut self) -> Tick {
        self.tick += 1;
        self.tick
    }

    fn begin(&mut self, id: &str) {
        let request = id.split('.').next().unwrap().to_owned();
        self.history.push(Transaction {
            run: String::new(),
            session: id.to_owned(),
            id: id.to_owned(),
            request,
            status: Status::Aborted,
            commit: None,
            operations: Vec::new(),
        });
    }

    fn of(&mut self, id: &str) -> &mut Transaction {
        if self.history.iter().all(|transaction| transaction.id != id) {
            self.begin(id);
        }
        self.history.iter_mut().find(|transaction| transaction.id == id).unwrap()
    }

    fn push(&mut self, id: &str, key: &str, action: Action) -> &mut Self {
        let (began, ended) = (self.tick(), self.tick());
        let operation = Operation { key: key.to_owned(), action, began, ended };
        self.of(id).operations.push(operation);
        self
    }

    /// Writes its next value.
    fn write(&mut self, id: &str, key: &str) -> &mut Self {
        let number = self.of(id).operations.len();
        self.push(id, key, Action::Write(version(&format!("{id}/{number}"))))
    }

    /// Reads a value, or nothing.
    fn read(&mut self, id: &str, key: &str, name: &str) -> &mut Self {
        let seen = (!name.is_empty()).then(|| version(name));
        self.push(id, key, Action::Read(seen))
    }

    /// As on a store where each write counts by itself.
    fn end(&mut self, id: &str, status: Status) -> &mut Self {
        self.of(id).status = status;
        self
    }

    fn commit(&mut self, id: &str) -> &mut Self {
        let (began, ended) = (self.tick(), self.tick());
        self.commit_within(id, began, ended, None)
    }

    fn commit_within(
        &mut self,
        id: &str,
        began: Tick,
        ended: Tick,
        order: Option<u64>,
    ) -> &mut Self {
        let id_of_commit = order.map(|order| CommitId(order, 0, 1));
        self.of(id).commit = Some(Commit { began, ended, id: id_of_commit });
        self.end(id, Status::Committed)
    }

    #[track_caller]
    fn has(&self, expected: &[Kind]) {
        let anomalies = detect(&self.history);
        let kinds: Vec<Kind> = anomalies.iter().map(|anomaly| anomaly.kind).collect();
        assert_eq!(kinds, expected, "{anomalies:#?}");
    }
}

/// Two transactions that both wrote `a` and `b`, one after the other.
fn two_writers() -> Story {
    let mut story = Story::default();
    for id in ["1.1", "2.1"] {
        story.write(id, "a").write(id, "b").commit(id);
    }
    story
}

#[test]
fn the_new_of_both_and_the_old_of_both_are_no_anomaly() {
    for [a, b] in [["1.1/0", "1.1/1"], ["2.1/0", "2.1/1"], ["", ""]] {
        two_writers().read("3.1", "a", a).read("3.1", "b", b).commit("3.1").has(&[]);
    }
}

#[test]
fn a_fractured_read_is_found_whichever_key_is_read_first() {
    two_writers().read("3.1", "a", "2.1/0").read("3.1", "b", "1.1/1").has(&[Kind::FracturedRead]);
    two_writers().read("3.1", "a", "1.1/0").read("3.1", "b", "2.1/1").has(&[Kind::FracturedRead]);
    two_writers().read("3.1", "a", "2.1/0").read("3.1", "b", "").has(&[Kind::FracturedRead]);
    two_writers().read("3.1", "b", "").read("3.1", "a", "2.1/0").has(&[Kind::FracturedRead]);
}

#[test]
fn what_was_written_over_since_is_no_fractured_read() {
    let of_b = || Version::parse("3.1/0 b").unwrap();
    let mut story = two_writers();
    story.push("3.1", "b", Action::Write(of_b())).commit("3.1");
    story.read("4.1", "a", "2.1/0").push("4.1", "b", Action::Read(Some(of_b()))).has(&[]);
}

#[test]
fn one_write_of_two_is_a_fractured_read_before_the_other_one_is_there() {
    let mut story = Story::default();
    story.write("1.1", "a").write("1.1", "b").end("1.1", Status::Committed);
    story.write("2.1", "a");
    story.read("3.1", "a", "2.1/0").read("3.1", "b", "1.1/1").commit("3.1");
    story.write("2.1", "b").end("2.1", Status::Committed);
    story.has(&[Kind::FracturedRead]);
}

#[test]
fn what_is_to_be_written_again_is_a_fractured_read() {
    let mut story = Story::default();
    story.write("1.1", "a").read("2.1", "a", "1.1/0").write("1.1", "a").commit("1.1");
    story.has(&[Kind::FracturedRead]);
}

#[test]
fn the_order_of_commits_is_the_store_s_or_else_what_is_certain() {
    let at_once = |order: [Option<u64>; 2]| {
        let of_b = || Version::parse("1.1/0 b").unwrap();
        let mut story = Story::default();
        story.push("1.1", "b", Action::Write(of_b())).write("2.1", "a").write("2.1", "b");
        for (id, order) in ["1.1", "2.1"].into_iter().zip(order) {
            story.commit_within(id, 100, 200, order);
        }
        story.read("3.1", "a", "2.1/0").push("3.1", "b", Action::Read(Some(of_b())));
        story
    };
    at_once([Some(1), Some(2)]).has(&[Kind::FracturedRead]);
    at_once([Some(2), Some(1)]).has(&[]);
    at_once([None, None]).has(&[]);
    at_once([Some(1), None]).has(&[]);
}

#[test]
fn own_writes_that_are_not_read_are_found() {
    two_writers().write("3.1", "a").read("3.1", "a", "2.1/0").has(&[Kind::ReadYourWrites]);
    two_writers().write("3.1", "a").read("3.1", "a", "").has(&[Kind::ReadYourWrites]);
    let mut story = two_writers();
    story.write("3.1", "a").write("3.1", "a").read("3.1", "a", "3.1/0");
    story.has(&[Kind::ReadYourWrites]);
    let mut story = two_writers();
    story.read("3.1", "a", "2.1/0").write("3.1", "a").read("3.1", "a", "3.1/1").has(&[]);
}

#[test]
fn a_key_that_changes_under_a_reader_is_found() {
    let mut story = two_writers();
    story.read("3.1", "a", "1.1/0").read("3.1", "a", "2.1/0").has(&[Kind::UnrepeatableRead]);
    two_writers().read("3.1", "a", "").read("3.1", "a", "2.1/0").has(&[Kind::UnrepeatableRead]);
    two_writers().read("3.1", "a", "2.1/0").read("3.1", "a", "2.1/0").has(&[]);
}

#[test]
fn what_failed_must_not_be_seen() {
    let mut story = Story::default();
    story.write("1.1", "a").end("1.1", Status::Aborted).has(&[]);
    story.write("1.2", "a").write("1.2", "b").commit("1.2").has(&[]);
    story.read("2.1", "a", "1.1/0");
    // The same read shows that both attempts had an effect.
    story.has(&[Kind::HalfWritten, Kind::Doubled]);
}

#[test]
fn what_failed_is_half_a_request_to_who_reads_the_other_half() {
    let mut story = Story::default();
    story.write("1.1", "a").write("1.1", "b").commit("1.1").write("2.1", "a");
    story.read("3.1", "a", "2.1/0").read("3.1", "b", "1.1/1");
    story.has(&[Kind::FracturedRead, Kind::HalfWritten]);
}

#[test]
fn two_attempts_that_count_are_found() {
    let mut story = two_writers();
    story.write("1.2", "a").write("1.2", "b").commit("1.2").has(&[Kind::Doubled]);
    let mut story = Story::default();
    story.write("1.1", "a").write("1.1", "b").end("1.1", Status::Unknown);
    story.write("1.2", "a").write("1.2", "b").end("1.2", Status::Committed).has(&[]);
    story.read("2.1", "b", "1.1/1").has(&[Kind::Doubled]);
}

#[test]
fn a_value_that_nobody_wrote_there_is_found() {
    two_writers().read("3.1", "a", "9.1/0").has(&[Kind::Unheard]);
    two_writers().read("3.1", "b", "2.1/0").has(&[Kind::Unheard]);
    two_writers().read("3.1", "a", "3.1/7").has(&[Kind::Unheard]);
}

/// Each kind, into an honest history.
pub(crate) fn into(honest: &[Transaction], seed: u64) -> Vec<Vec<Transaction>> {
    Kind::ALL.map(|kind| plant(honest, kind, seed)).to_vec()
}

/// An honest history in which later transactions do something that may not be.
fn plant(honest: &[Transaction], kind: Kind, seed: u64) -> Vec<Transaction> {
    let mut rng = StdRng::seed_from_u64(seed);
    let tick = honest.iter().flat_map(|t| &t.operations).map(|operation| operation.ended).max();
    let mut story = Story { tick: tick.unwrap() + 1_000, history: honest.to_vec() };
    // Before it and behind it others do what they may.
    let quiet = |story: &mut Story, id: &str| {
        story.write(id, "a").write(id, "b").commit(id);
    };
    quiet(&mut story, "quiet-1.1");
    quiet(&mut story, "quiet-2.1");
    let keys: &[_; 2] = [["a", "b"], ["b", "a"]].choose(&mut rng).unwrap();
    let number = |key: &str| usize::from(key == "b");
    let of = |request: u32, key: &str| format!("quiet-{request}.1/{}", number(key));
    let [first, second] = keys.map(|key| [of(1, key), of(2, key)]);
    match kind {
        Kind::ReadYourWrites => story.write("x.1", keys[0]).read("x.1", keys[0], &first[1]),
        Kind::FracturedRead => {
            story.read("x.1", keys[0], &first[1]).read("x.1", keys[1], &second[0])
        }
        Kind::UnrepeatableRead => {
            story.read("x.1", keys[0], &first[0]).read("x.1", keys[0], &first[1])
        }
        Kind::HalfWritten => story.write("x.1", keys[0]).read("y.1", keys[0], "x.1/0"),
        Kind::Doubled => {
            story.write("x.1", keys[0]).commit("x.1").write("x.2", keys[0]).commit("x.2")
        }
        Kind::Unheard => story.read("x.1", keys[0], &format!("z.1/{}", rng.random_range(0..9))),
    };
    quiet(&mut story, "quiet-3.1");
    story.history
}

#[test]
fn each_kind_is_found_among_honest_transactions_and_only_that() {
    for seed in 0..50 {
        let honest = crate::honest::history(seed);
        for (kind, history) in Kind::ALL.into_iter().zip(into(&honest, seed)) {
            let anomalies = detect(&history);
            assert_eq!(count(&anomalies, kind), 1, "seed {seed}, {kind:?}: {anomalies:#?}");
            assert_eq!(anomalies.len(), 1, "seed {seed}, {kind:?}: {anomalies:#?}");
        }
    }
}
