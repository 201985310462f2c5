//! The detector of anomalies is tried on histories without any, on such with each one planted, and on
//! what is read back from a file.

#![allow(clippy::unwrap_used, reason = "a failed expectation is how a test fails")]

#[path = "../history_support/mod.rs"]
mod history_support;
mod honest;
mod planted;

use history_support::detect::{Kind, count, detect};
use history_support::json;
use history_support::record::{Action, Transaction};
use std::collections::HashSet;

fn written(history: &[Transaction]) -> String {
    history.iter().map(|transaction| json::line(transaction) + "\n").collect()
}

#[test]
fn an_honest_history_is_clean() {
    for seed in 0..200 {
        let history = honest::history(seed);
        assert_eq!(detect(&history), [], "seed {seed}");
    }
}

/// Or its being clean would mean nothing.
#[test]
fn an_honest_history_has_all_that_is_allowed() {
    let stories: Vec<_> = (0..200).map(honest::history).collect();
    let transactions = || stories.iter().flatten();
    let some = |what: &str, is: fn(&Transaction) -> bool| {
        assert!(transactions().any(is), "no {what}");
    };
    some("abort", |transaction| transaction.status == honest::Status::Aborted);
    some("read of something", |t| honest::reads(t).any(|seen| seen.is_some()));
    some("read of nothing", |t| honest::reads(t).any(|seen| seen.is_none()));
    some("read of an own write", |t| honest::reads(t).flatten().any(|seen| seen.writer == t.id));
    some("key that is written twice", |transaction| {
        let mut keys = HashSet::new();
        let mut written =
            transaction.operations.iter().filter(|o| matches!(o.action, Action::Write(_)));
        written.any(|operation| !keys.insert(&operation.key))
    });
    some("retry", |transaction| !transaction.id.ends_with(".1"));
}

#[test]
fn a_file_says_what_the_history_does() {
    let mut anomalies = 0;
    for seed in 0..50 {
        let honest = honest::history(seed);
        for history in std::iter::once(honest.clone()).chain(planted::into(&honest, seed)) {
            let read = json::parse(&written(&history)).unwrap();
            assert_eq!(read, history, "seed {seed}");
            assert_eq!(detect(&read), detect(&history), "seed {seed}");
            anomalies += Kind::ALL.map(|kind| count(&detect(&read), kind)).iter().sum::<usize>();
        }
    }
    assert!(anomalies >= 50 * Kind::ALL.len(), "{anomalies}");
}

/// docs/history-format.md shows what is written.
#[test]
fn the_example_in_the_documentation_is_a_history() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/history-format.md");
    let page = std::fs::read_to_string(page).unwrap();
    let example = page.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let lines = example.replace("\n  ", "");
    let history = json::parse(&lines).unwrap();
    assert_eq!(history.len(), lines.lines().count());
    assert_eq!(count(&detect(&history), Kind::FracturedRead), 1, "{:?}", detect(&history));
    let again = json::parse(&written(&history)).unwrap();
    assert_eq!(again, history);
}

#[test]
fn what_is_no_history_is_refused_with_its_line() {
    let history = honest::history(1);
    let line = json::line(history.iter().find(|transaction| transaction.commit.is_some()).unwrap());
    let cut = &line[..line.len() - 1];
    let mut bad = vec![cut.to_owned(), "{}".to_owned(), String::new()];
    for (good, wrong) in [
        ("\"committed\"", "\"finished\""),
        ("\"committed\"", "7"),
        ("\"began\":", "\"start\":"),
        (
            "\"operations\":[",
            "\"operations\":[{\"write\":\"k\",\"value\":null,\"began\":1,\"ended\":2},",
        ),
        (
            "\"operations\":[",
            "\"operations\":[{\"read\":\"k\",\"value\":\"x\",\"began\":1,\"ended\":2},",
        ),
    ] {
        bad.extend(line.contains(good).then(|| line.replace(good, wrong)));
    }
    assert!(bad.len() > 6, "{line}");
    for bad in bad {
        let error = json::parse(&format!("{line}\n{bad}\n")).unwrap_err();
        assert!(error.starts_with("line 2: "), "{bad}: {error}");
    }
}
