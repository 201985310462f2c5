//! What AFT.STATUS and AFT.LIST say, for people and as JSON.

use crate::inspect::string_json;
use crate::resp::Reply;
use std::collections::HashMap;

/// What the server says of its connections, by id: `address`, and `(name)` if it has one.
#[derive(Debug, Default)]
pub(super) struct Connections(HashMap<i64, String>);

impl Connections {
    /// Who may not see them goes without.
    pub(super) fn parse(list: &Reply) -> Self {
        let Reply::Bulk(text) = list else { return Self::default() };
        let text = String::from_utf8_lossy(text);
        let line = |line: &str| {
            let field = |name: &str| {
                let mut fields = line.split(' ').filter_map(|field| field.split_once('='));
                fields.find(|(own, _)| *own == name).map_or("", |(_, value)| value)
            };
            let name = match field("name") {
                "" => String::new(),
                name => format!(" ({name})"),
            };
            Some((field("id").parse().ok()?, format!("{}{name}", field("addr"))))
        };
        Self(text.lines().filter_map(line).collect())
    }
}

/// A transaction, field by field, in the server's order.
#[derive(Debug)]
pub(super) struct Described(Vec<(String, Value)>);

#[derive(Debug)]
enum Value {
    Nothing,
    Number(i64),
    Text(String),
    List(Vec<String>),
    Pairs(Vec<(String, String)>),
}

impl Described {
    pub(super) fn new(reply: &Reply, connections: &Connections) -> Self {
        let Reply::Array(items) = reply else { return Self(Vec::new()) };
        let mut fields = Vec::new();
        for pair in items.chunks_exact(2) {
            let name = shown(&pair[0]);
            let value = match (name.as_str(), &pair[1]) {
                (_, Reply::Null | Reply::NullArray) => Value::Nothing,
                (_, Reply::Integer(number)) => Value::Number(*number),
                ("steps", Reply::Array(steps)) => {
                    let step = |step: &[Reply]| (shown(&step[0]), shown(&step[1]));
                    Value::Pairs(steps.chunks_exact(2).map(step).collect())
                }
                ("clients", Reply::Array(ids)) => {
                    let who = |id: &Reply| match id {
                        Reply::Integer(id) => connections.0.get(id).map_or_else(
                            || format!("id {id}"),
                            |known| format!("id {id}, {known}"),
                        ),
                        other => shown(other),
                    };
                    Value::List(ids.iter().map(who).collect())
                }
                (_, Reply::Array(items)) => Value::List(items.iter().map(shown).collect()),
                (_, other) => Value::Text(shown(other)),
            };
            fields.push((name, value));
        }
        Self(fields)
    }

    /// A line for each field that says something.
    pub(super) fn text(&self) -> String {
        let mut lines = String::new();
        for (name, value) in &self.0 {
            let value = value.text(name);
            if !value.is_empty() {
                lines.push_str(&format!("{:<14}{value}\n", label(name)));
            }
        }
        lines
    }

    pub(super) fn json(&self) -> String {
        let fields = self.0.iter();
        let fields = fields.map(|(name, value)| format!("{}:{}", string_json(name), value.json()));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    }

    fn field(&self, name: &str) -> String {
        let value = self.0.iter().find(|(own, _)| own == name);
        value.map_or(String::new(), |(name, value)| value.text(name))
    }
}

impl Value {
    fn text(&self, field: &str) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Number(number) if field.ends_with("_ms") => {
                format!("{}.{:03} s", number / 1000, number % 1000)
            }
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
            Self::List(items) => items.join("; "),
            Self::Pairs(pairs) => {
                let pairs = pairs.iter().map(|(name, value)| format!("{name} {value}"));
                pairs.collect::<Vec<_>>().join("; ")
            }
        }
    }

    fn json(&self) -> String {
        match self {
            Self::Nothing => "null".to_owned(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => string_json(text),
            Self::List(items) => {
                let items = items.iter().map(|item| string_json(item));
                format!("[{}]", items.collect::<Vec<_>>().join(","))
            }
            Self::Pairs(pairs) => {
                let pairs = pairs.iter();
                let pairs = pairs
                    .map(|(name, value)| format!("{}:{}", string_json(name), string_json(value)));
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
            }
        }
    }
}

/// What a person calls a field.
fn label(field: &str) -> String {
    match field {
        "clients" => "held by".to_owned(),
        "keys" => "writes keys".to_owned(),
        "checked" => "checks keys".to_owned(),
        "refused" => "last refused".to_owned(),
        _ => field.trim_end_matches("_ms").replace('_', " "),
    }
}

/// Whatever may stand in a key or a request, on one line.
fn shown(reply: &Reply) -> String {
    match reply {
        Reply::Bulk(bytes) => match str::from_utf8(bytes) {
            Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
            _ => bytes.escape_ascii().to_string(),
        },
        Reply::Integer(number) => number.to_string(),
        Reply::Simple(line) | Reply::Error(line) => {
            String::from_utf8_lossy(line.as_bytes()).into_owned()
        }
        _ => String::new(),
    }
}

/// Why the server refuses.
pub(super) fn error(reply: &Reply) -> String {
    match reply {
        Reply::Error(_) => shown(reply),
        _ => "the server's reply is not what it should be".to_owned(),
    }
}

pub(super) fn list_json(all: &[Described]) -> String {
    let all = all.iter().map(Described::json).collect::<Vec<_>>();
    format!("[{}]\n", all.join(","))
}

/// A table whose columns are as wide as what stands in them; the last ones may be long.
pub(super) fn list_text(all: &[Described]) -> String {
    const COLUMNS: [(&str, &str); 9] = [
        ("TOKEN", "token"),
        ("AGE", "age_ms"),
        ("IDLE", "idle_ms"),
        ("KEYS", "keys"),
        ("BYTES", "bytes"),
        ("USER", "user"),
        ("REQUEST", "request"),
        ("STEPS", "steps"),
        ("HELD BY", "clients"),
    ];
    let mut rows = vec![COLUMNS.map(|(title, _)| title.to_owned())];
    rows.extend(all.iter().map(|one| COLUMNS.map(|(_, field)| one.field(field))));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..COLUMNS.len()).map(|at| width(at).unwrap_or(0)).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(line.trim_end());
        text.push('\n');
        let one = number.checked_sub(1).and_then(|at| all.get(at));
        let refused = one.map(|one| one.field("refused")).filter(|why| !why.is_empty());
        if let Some(why) = refused {
            text.push_str(&format!("  last refused: {why}\n"));
        }
    }
    text
}
