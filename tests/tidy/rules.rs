//! The rules. Each takes files and answers complaints, and looks at nothing else, so that
//! it can be tried on planted mistakes.

use std::collections::BTreeSet;

use crate::house::{FILE_LINES_MAX, FUNCTION_LINES_MAX, OTHER_CRATES};
use crate::source::{Source, leading_name, matching_brace, words};

/// Words that only some modules may use.
pub(crate) struct Owned {
    pub(crate) words: &'static [&'static str],
    pub(crate) owners: &'static [&'static str],
    pub(crate) advice: &'static str,
}

/// A file, or a function of it, that is longer than it should be.
pub(crate) struct TooLong {
    pub(crate) what: &'static str,
    pub(crate) lines: usize,
}

/// A test file that may sleep.
pub(crate) struct MaySleep {
    pub(crate) path: &'static str,
    /// For the reader.
    pub(crate) _why: &'static str,
}

/// A module uses only modules of lower layers, and every module has a layer.
pub(crate) fn import_direction(sources: &[Source], layers: &[&[&str]]) -> Vec<String> {
    let height = |module: &str| layers.iter().position(|layer| layer.contains(&module));
    let mut complaints = Vec::new();
    let mut homeless = BTreeSet::new();
    for source in sources {
        let Some(own) = source.layer() else { continue };
        let Some(own_height) = height(own) else {
            homeless.insert(own);
            continue;
        };
        for (line, used) in imports(source) {
            // What is no module is a macro or a function of the root.
            let Some(used_height) = height(&used).filter(|_| used != own) else {
                continue;
            };
            if used_height >= own_height {
                complaints.push(format!(
                    "{}:{line}: `{own}` uses `{used}`, which is not below it: move what both \
                     need down, or pass it in as a value or a trait",
                    source.path
                ));
            }
        }
    }
    complaints.extend(homeless.iter().map(|module| {
        format!(
            "src/{module}: a module without a layer: place it in LAYERS of tests/tidy/house.rs, \
             below all that will use it"
        )
    }));
    complaints
}

/// The first names after `crate::` (or as many `super::` as lead there), with their lines.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut note = |at: usize, path: &str| {
        for name in first_names(path) {
            found.push((source.line_of(at), name.to_owned()));
        }
    };
    for at in words(&source.code, "crate") {
        if let Some(path) = source.code[at..].strip_prefix("crate::") {
            note(at, path);
        }
    }
    for at in words(&source.code, "super") {
        // Only the first of a chain; the file's own depth leads to the root. (One more
        // `super` inside of `mod tests {` leads to the file, which is below the root.)
        if source.code[..at].ends_with("super::") {
            continue;
        }
        let mut path = &source.code[at..];
        let mut supers = 0;
        while let Some(rest) = path.strip_prefix("super::") {
            (path, supers) = (rest, supers + 1);
        }
        if supers >= depth(&source.path) {
            note(at, path);
        }
    }
    found
}

/// How many modules deep a file is: 1 for `src/clock.rs` and `src/engine/mod.rs`.
fn depth(path: &str) -> usize {
    let slashes = path.matches('/').count();
    if path.ends_with("/mod.rs") { slashes - 1 } else { slashes }
}

/// `engine` of `engine::Index`; `clock` and `engine` of `{clock::Clock, engine}`.
fn first_names(path: &str) -> Vec<&str> {
    if !path.starts_with('{') {
        return vec![leading_name(path)];
    }
    let group = &path[1..matching_brace(path).unwrap_or(path.len())];
    let mut names = Vec::new();
    let mut depth = 0;
    let mut expected = true;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => expected = true,
            c if expected && !c.is_whitespace() => {
                names.push(leading_name(&group[at..]));
                expected = false;
            }
            _ => {}
        }
    }
    names
}

/// Only the owners use the words. Tests may: they stand outside.
pub(crate) fn owned_words(sources: &[Source], owned: &Owned) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| source.path.starts_with("src/")) {
        if source.layer().is_some_and(|layer| owned.owners.contains(&layer)) {
            continue;
        }
        for word in owned.words {
            for at in words(&source.code, word) {
                if is_path_root(&source.code, at, word) {
                    let line = source.line_of(at);
                    complaints.push(format!("{}:{line}: `{word}`: {}", source.path, owned.advice));
                }
            }
        }
    }
    complaints
}

/// Whether a word names a crate or type, rather than a field, a variable or a module of our
/// own (`storage::redis`): types and paths always do, a lower-case word does at the front of
/// a path or behind `use`.
fn is_path_root(code: &str, at: usize, word: &str) -> bool {
    if word.contains("::") || word.starts_with(char::is_uppercase) {
        return true;
    }
    // A module's own child of that name: `mod redis; pub use redis::SetError;`.
    let is_child = |&at: &usize| code[..at].trim_end().ends_with("mod");
    if words(code, word).iter().any(is_child) {
        return false;
    }
    let before = code[..at].trim_end();
    let follows = code[at + word.len()..].trim_start();
    !before.ends_with("::")
        && (follows.starts_with("::") || before.ends_with("use") || before.ends_with("crate"))
}

/// Every file is reached from a root of the build by `mod`.
pub(crate) fn dead_files(sources: &[Source]) -> Vec<String> {
    let mut alive = BTreeSet::new();
    let mut waiting: Vec<&Source> = sources.iter().filter(|file| is_root(&file.path)).collect();
    while let Some(source) = waiting.pop() {
        if !alive.insert(&source.path) {
            continue;
        }
        let children = children(source);
        waiting.extend(sources.iter().filter(|file| children.contains(&file.path)));
    }
    let dead = sources.iter().filter(|file| !alive.contains(&file.path));
    dead.map(|file| {
        format!("{}: no `mod` leads here, so nobody compiles it: declare or delete it", file.path)
    })
    .collect()
}

/// What cargo builds by itself.
fn is_root(path: &str) -> bool {
    let path = OTHER_CRATES.iter().find_map(|home| path.strip_prefix(home)).unwrap_or(path);
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        ["src", file] => file == "lib.rs" || file == "main.rs",
        ["src", "bin", _] | ["tests" | "benches" | "examples", _] => true,
        ["tests" | "benches" | "examples", _, file] => file == "main.rs",
        _ => false,
    }
}

/// Where the files of a file's `mod name;` may be.
fn children(source: &Source) -> BTreeSet<String> {
    let (directory, file) = source.path.rsplit_once('/').unwrap_or(("", &source.path));
    let home = if is_root(&source.path) || file == "mod.rs" {
        directory.to_owned()
    } else {
        format!("{directory}/{}", file.trim_end_matches(".rs"))
    };
    let mut files = BTreeSet::new();
    let mut explicit = None;
    for (code, text) in source.code.lines().zip(source.text.lines()) {
        if code.trim_start().starts_with("#[path") {
            explicit = text.split('"').nth(1).map(|path| joined(directory, path));
        }
        let Some(at) = words(code, "mod").first().copied() else {
            continue;
        };
        let rest = code[at + "mod".len()..].trim_start();
        let name = leading_name(rest);
        if name.is_empty() || !rest[name.len()..].trim_start().starts_with(';') {
            continue;
        }
        match explicit.take() {
            Some(path) => files.insert(path),
            None => {
                files.insert(format!("{home}/{name}/mod.rs"));
                files.insert(format!("{home}/{name}.rs"))
            }
        };
    }
    files
}

/// A path from a directory on, `..` worked out.
fn joined(directory: &str, path: &str) -> String {
    let mut parts: Vec<&str> = directory.split('/').collect();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// Files and functions within the limits, or on the list and not longer than it says.
pub(crate) fn sizes(sources: &[Source], too_long: &[TooLong]) -> Vec<String> {
    let mut measured = Vec::new();
    for source in sources {
        let path = &source.path;
        measured.push((path.clone(), source.text.lines().count(), FILE_LINES_MAX));
        for function in source.functions() {
            let what = format!("{path}: {}", function.name);
            measured.push((what, function.lines, FUNCTION_LINES_MAX));
        }
    }
    let mut complaints = Vec::new();
    for (what, lines, max) in &measured {
        let listed = too_long.iter().find(|entry| entry.what == what);
        if *lines > listed.map_or(*max, |entry| entry.lines) {
            complaints.push(format!("{what}: {lines} lines, {max} at most: split it"));
        }
    }
    for TooLong { what, lines } in too_long {
        // Of several functions of one name the longest counts.
        let same = measured.iter().filter(|(name, ..)| name == what);
        match same.max_by_key(|(_, lines, _)| *lines) {
            Some((_, now, max)) if now > max && now < lines => complaints.push(format!(
                "{what}: has shrunk to {now} lines: write that into TOO_LONG of \
                 tests/tidy/house.rs, so that it stays"
            )),
            Some((_, now, max)) if now > max => {}
            _ => complaints.push(format!(
                "{what}: no longer too long: delete it from TOO_LONG of tests/tidy/house.rs"
            )),
        }
    }
    complaints
}

/// Nothing unfinished in `src`.
pub(crate) fn leftovers(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|source| source.path.starts_with("src/")) {
        let path = &source.path;
        for name in ["todo", "unimplemented", "dbg"] {
            for at in words(&source.code, name) {
                if source.code[at + name.len()..].starts_with('!') {
                    let line = source.line_of(at);
                    complaints.push(format!("{path}:{line}: `{name}!`: finish or remove it"));
                }
            }
        }
        for (index, line) in source.text.lines().enumerate() {
            for name in ["TODO", "FIXME"] {
                if !words(line, name).is_empty() {
                    let line = index + 1;
                    complaints.push(format!("{path}:{line}: {name}: do it, or open an issue"));
                }
            }
        }
    }
    complaints
}

/// A test that does not run proves nothing.
pub(crate) fn ignored_tests(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        for line in source.lines_with("ignore") {
            let code = source.code.lines().nth(line - 1).unwrap_or_default();
            if code.contains("#[ignore") || code.contains("#[cfg_attr") {
                complaints
                    .push(format!("{}:{line}: an ignored test: mend it or delete it", source.path));
            }
        }
    }
    complaints
}

/// Sleeping makes tests slow on a fast machine and wrong on a slow one.
pub(crate) fn sleeping_tests(sources: &[Source], may_sleep: &[MaySleep]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        let from = tests_start(source);
        // Under tokio's paused clock its sleep takes no time; a thread's always does.
        let virtual_time =
            source.code.contains("start_paused") || source.code.contains("time::pause(");
        let sleeps: Vec<usize> = ["sleep", "sleep_until", "sleep_ms"]
            .iter()
            .flat_map(|name| words(&source.code, name))
            .filter(|&at| at >= from && is_sleep(&source.code, at))
            .filter(|&at| !virtual_time || source.code[..at].ends_with("thread::"))
            .collect();
        if let Some(entry) = may_sleep.iter().find(|entry| entry.path == source.path) {
            if sleeps.is_empty() {
                complaints.push(format!(
                    "{}: sleeps no longer: delete it from MAY_SLEEP of tests/tidy/house.rs",
                    entry.path
                ));
            }
            continue;
        }
        complaints.extend(sleeps.iter().map(|&at| {
            let line = source.line_of(at);
            format!(
                "{}:{line}: a test that sleeps: wait for the condition (tests/common/wait.rs), \
                 or use tokio's paused clock",
                source.path
            )
        }));
    }
    complaints
}

/// A call or an import of a free function; `clock.sleep()` is somebody's own.
fn is_sleep(code: &str, at: usize) -> bool {
    let (before, rest) = (&code[..at], &code[at..]);
    let called = rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
    let own = before.ends_with('.') || before.trim_end().ends_with("fn");
    !own && (before.ends_with("::") || called.starts_with('('))
}

/// Where a file's tests begin; its end if it has none.
fn tests_start(source: &Source) -> usize {
    let path = &source.path;
    if path.starts_with("tests/") || path.ends_with("/tests.rs") || path.contains("/tests/") {
        return 0;
    }
    let code = &source.code;
    code.match_indices("#[cfg(test)]")
        .find(|(at, found)| {
            let item = code[at + found.len()..].trim_start();
            let line = item.lines().next().unwrap_or_default();
            !words(line, "mod").is_empty() && line.contains('{')
        })
        .map_or(code.len(), |(at, _)| at)
}

/// No tracked file works, or makes sense, on one machine only.
pub(crate) fn machine_paths(files: &[(String, String)], beginnings: &[&str]) -> Vec<String> {
    let mut complaints = Vec::new();
    for (path, text) in files {
        for (index, line) in text.lines().enumerate() {
            if beginnings.iter().any(|beginning| has_path(line, beginning)) {
                let line = index + 1;
                complaints.push(format!(
                    "{path}:{line}: a path of one machine: make it relative, or an option"
                ));
            }
        }
    }
    complaints
}

/// Whether a path begins so; the middle of a longer one, or of an address, does not count.
fn has_path(line: &str, beginning: &str) -> bool {
    line.match_indices(beginning).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-~/}*".contains(c))
    })
}
