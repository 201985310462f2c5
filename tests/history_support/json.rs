//! A history as a file: a transaction a line, in JSON. docs/history-format.md is for who reads it.

use super::record::{Action, Commit, CommitId, Operation, Status, Transaction, Version};
use serde_json::{Value, json};

impl Status {
    const ALL: [Self; 3] = [Self::Committed, Self::Aborted, Self::Unknown];

    fn word(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Aborted => "aborted",
            Self::Unknown => "unknown",
        }
    }
}

/// The line of a transaction, without its end.
pub(crate) fn line(transaction: &Transaction) -> String {
    let Transaction { run, session, id, request, status, commit, operations } = transaction;
    let commit = commit.as_ref().map(|Commit { began, ended, id }| {
        json!({"began": began, "ended": ended, "id": id.map(|id| id.to_string())})
    });
    let operations: Vec<Value> = operations.iter().map(operation).collect();
    json!({
        "run": run,
        "session": session,
        "transaction": id,
        "request": request,
        "status": status.word(),
        "commit": commit,
        "operations": operations,
    })
    .to_string()
}

fn operation(operation: &Operation) -> Value {
    let Operation { key, action, began, ended } = operation;
    let (name, value) = match action {
        Action::Read(value) => ("read", value.as_ref()),
        Action::Write(value) => ("write", Some(value)),
    };
    json!({name: key, "value": value.map(Version::to_string), "began": began, "ended": ended})
}

/// Writes a history down as `NAME.jsonl` in the directory that `AFT_HISTORY` names, if it does, and
/// sees that it says the same there.
pub(crate) fn leave(history: &[Transaction], name: &str) {
    let Some(directory) = std::env::var_os("AFT_HISTORY") else {
        return;
    };
    let path = std::path::Path::new(&directory).join(format!("{name}.jsonl"));
    let lines: String = history.iter().map(|one| line(one) + "\n").collect();
    let written = std::fs::write(&path, &lines).and_then(|()| std::fs::read_to_string(&path));
    let read = written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(parse(&read).as_deref(), Ok(history));
    println!("{} transactions written to {}", history.len(), path.display());
}

/// The transactions of a file.
///
/// # Errors
/// The number of the first line that is none, and what it lacks.
pub(crate) fn parse(text: &str) -> Result<Vec<Transaction>, String> {
    let lines = text.lines().enumerate();
    lines
        .map(|(at, line)| transaction(line).map_err(|why| format!("line {}: {why}", at + 1)))
        .collect()
}

fn transaction(line: &str) -> Result<Transaction, String> {
    let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let status = text(&value, "status")?;
    let operations = value["operations"].as_array().ok_or("no operations")?;
    Ok(Transaction {
        run: text(&value, "run")?,
        session: text(&value, "session")?,
        id: text(&value, "transaction")?,
        request: text(&value, "request")?,
        status: Status::ALL
            .into_iter()
            .find(|known| known.word() == status)
            .ok_or("an unknown status")?,
        commit: match &value["commit"] {
            Value::Null => None,
            commit => Some(Commit {
                began: number(commit, "began")?,
                ended: number(commit, "ended")?,
                id: match &commit["id"] {
                    Value::Null => None,
                    _ => Some(CommitId::parse(&text(commit, "id")?).ok_or("no commit id")?),
                },
            }),
        },
        operations: operations.iter().map(parse_operation).collect::<Result<_, _>>()?,
    })
}

fn parse_operation(value: &Value) -> Result<Operation, String> {
    let version = match &value["value"] {
        Value::Null => None,
        _ => Some(Version::parse(&text(value, "value")?).ok_or("a value that is no version")?),
    };
    let (name, action) = match (value.get("read").is_some(), version) {
        (true, seen) => ("read", Action::Read(seen)),
        (false, Some(written)) => ("write", Action::Write(written)),
        (false, None) => return Err("a write of nothing".to_owned()),
    };
    let (began, ended) = (number(value, "began")?, number(value, "ended")?);
    Ok(Operation { key: text(value, name)?, action, began, ended })
}

fn text(value: &Value, name: &str) -> Result<String, String> {
    value[name].as_str().map(str::to_owned).ok_or_else(|| format!("no text {name}"))
}

fn number(value: &Value, name: &str) -> Result<u64, String> {
    value[name].as_u64().ok_or_else(|| format!("no number {name}"))
}
