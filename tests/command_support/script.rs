//! Scripted sessions: requests and the replies they must get.
//!
//! ```text
//! # A comment.
//! SET a "x y"     -> OK           Redis answers just so, too
//! b: GET a        -> "x y"        the same on another connection, called b
//! CLIENT ID       -> *            any reply: what Redis says differs by nature
//! SET a 2 IFEQ 1  => OK           only ours: Redis is not asked
//! AFT.BEGIN       => [$t, "begun", nil]     what stands there is called $t from now on
//! AFT.COMMIT $t   => *
//! !restart                        the next start of the node, and all connections anew
//! ```
//!
//! Words are those of an inline request; a quoted one may hold `\n`, `\x00` and so on.
//! How a reply is written here doesn't depend on the protocol:
//!
//! | reply | here |
//! |---|---|
//! | status | `OK` |
//! | error | `-ERR syntax error` |
//! | integer | `:5` |
//! | bulk, verbatim | `"x"` |
//! | nil, nil array | `nil`, `nil[]` |
//! | array, set, map | `["a", :1]`, `~["a"]`, `{"a": :1}` |
//! | none | `nothing` |

use aft::resp::{Decoded, Decoder, Reply};
use std::fmt::Write;

/// One request.
pub(crate) struct Step {
    /// Its line in the script.
    pub(crate) line: usize,
    /// The connection's name.
    pub(crate) connection: String,
    pub(crate) args: Vec<Vec<u8>>,
    pub(crate) expected: String,
    /// Whether Redis is to be asked, too.
    pub(crate) as_redis: bool,
}

/// All scripts of what Redis can, too, by name.
pub(crate) fn all() -> Vec<(String, Vec<Step>)> {
    of("scripts")
}

/// All scripts of what only aft can, by name.
pub(crate) fn only_ours() -> Vec<(String, Vec<Step>)> {
    of("scripts/aft")
}

fn of(directory: &str) -> Vec<(String, Vec<Step>)> {
    let directory = format!("{}/tests/{directory}", env!("CARGO_MANIFEST_DIR"));
    let mut scripts: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(path).unwrap();
            let steps = parse(&name, &text);
            (name, steps)
        })
        .collect();
    scripts.sort_by(|(one, _), (other, _)| one.cmp(other));
    scripts
}

fn parse(name: &str, text: &str) -> Vec<Step> {
    let numbered = text.lines().enumerate();
    let meant = numbered.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    meant
        .map(|(at, line)| {
            let line_number = at + 1;
            let line =
                if line.starts_with('!') { format!("{line} => nothing") } else { line.to_owned() };
            let split = |arrow| line.rsplit_once(arrow).map(|(l, r)| (l, r, arrow));
            let (left, expected, arrow) = split(" -> ")
                .or_else(|| split(" => "))
                .unwrap_or_else(|| panic!("{name}:{line_number}: no reply"));
            let (connection, request) = match left.split_once(": ") {
                Some((connection, request)) if !connection.contains([' ', '"']) => {
                    (connection, request)
                }
                _ => ("", left),
            };
            Step {
                line: line_number,
                connection: connection.to_owned(),
                args: words(request),
                expected: expected.trim().to_owned(),
                as_redis: arrow == " -> ",
            }
        })
        .collect()
}

/// The words of an inline request.
pub(crate) fn words(line: &str) -> Vec<Vec<u8>> {
    let line = format!("{}\r\n", line.trim());
    let mut decoder = Decoder::default();
    let decoded = decoder.decode(line.as_bytes(), true).unwrap();
    assert!(matches!(decoded, Decoded::Request { .. }), "{line}");
    let args = decoder.args(line.as_bytes());
    args.iter().map(<[u8]>::to_vec).collect()
}

/// What a step of a script got instead of what it expects.
pub(crate) fn complaint(name: &str, step: &Step, got: &str) -> String {
    let (line, expected) = (step.line, &step.expected);
    let request = step.args.join(&b' ');
    let request = request.escape_ascii();
    format!("{name}:{line}: {request}\n   {expected} was expected\n   {got} was answered")
}

/// A reply as scripts write it.
pub(crate) fn show(reply: &Reply) -> String {
    let all = |items: &[Reply]| items.iter().map(show).collect::<Vec<_>>().join(", ");
    match reply {
        Reply::None => "nothing".to_owned(),
        Reply::Ok => "OK".to_owned(),
        Reply::Queued => "QUEUED".to_owned(),
        Reply::Pong => "PONG".to_owned(),
        Reply::Simple(line) => line.as_bytes().escape_ascii().to_string(),
        Reply::Error(line) => format!("-{}", String::from_utf8_lossy(line.as_bytes()).trim()),
        Reply::Integer(value) => format!(":{value}"),
        Reply::Bulk(bytes) | Reply::Verbatim { text: bytes, .. } => {
            format!("\"{}\"", bytes.escape_ascii())
        }
        Reply::Null => "nil".to_owned(),
        Reply::NullArray => "nil[]".to_owned(),
        Reply::Array(items) => format!("[{}]", all(items)),
        Reply::Set(items) => format!("~[{}]", all(items)),
        Reply::Push(items) => format!(">[{}]", all(items)),
        Reply::Map(pairs) => {
            let mut shown = String::new();
            for (at, (key, value)) in pairs.iter().enumerate() {
                let comma = if at == 0 { "" } else { ", " };
                write!(shown, "{comma}{}: {}", show(key), show(value)).unwrap();
            }
            format!("{{{shown}}}")
        }
        Reply::Double(value) => format!(",{value}"),
        Reply::Boolean(value) => format!("#{value}"),
        Reply::BigNumber(digits) => format!("({}", digits.escape_ascii()),
    }
}
