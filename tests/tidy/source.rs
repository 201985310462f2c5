//! Rust, read just well enough for the rules: no parser, but comments and literals can't
//! be mistaken for code.

/// A file and its code.
pub(crate) struct Source {
    /// Below the root of the checkout, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text with spaces for comments and the contents of literals; same lines, and the
    /// same length in characters.
    pub(crate) code: String,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.into(), text: text.into(), code: blank(text) }
    }

    /// The module below `src` that the file belongs to: `engine` of `src/engine/index.rs`.
    /// None for `lib.rs`, `main.rs`, `src/bin`, tests and benches.
    pub(crate) fn layer(&self) -> Option<&str> {
        let below = self.path.strip_prefix("src/")?;
        let layer = below.split('/').next()?;
        let layer = layer.strip_suffix(".rs").unwrap_or(layer);
        (!["lib", "main", "bin"].contains(&layer)).then_some(layer)
    }

    /// Lines where `word` stands in the code by itself, not as part of a longer name.
    pub(crate) fn lines_with(&self, word: &str) -> Vec<usize> {
        let found = words(&self.code, word);
        found.into_iter().map(|at| self.line_of(at)).collect()
    }

    pub(crate) fn line_of(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }

    /// All functions with a body, nested ones too.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let found = words(&self.code, "fn").into_iter();
        found.filter_map(|at| self.function_at(at)).collect()
    }

    fn function_at(&self, at: usize) -> Option<Function> {
        let rest = &self.code[at..];
        let name = leading_name(rest["fn".len()..].trim_start());
        // A function pointer's type, or a macro's `fn $name`.
        if name.is_empty() {
            return None;
        }
        let body = body_start(rest)?;
        let length = body + matching_brace(&rest[body..])?;
        Some(Function {
            name: name.into(),
            line: self.line_of(at),
            lines: rest[..length].matches('\n').count() + 1,
        })
    }
}

/// The `{` of a function's body; none if a `;` ends it first (a trait's method).
fn body_start(function: &str) -> Option<usize> {
    let mut depth = 0;
    for (index, byte) in function.bytes().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(index),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The length of a block that begins with `{`.
pub(crate) fn matching_brace(block: &str) -> Option<usize> {
    let mut depth = 0;
    for (index, byte) in block.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some(index + 1),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Where `word` stands by itself.
pub(crate) fn words(code: &str, word: &str) -> Vec<usize> {
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(|&at| {
            let before = code[..at].chars().next_back();
            let after = code[at + word.len()..].chars().next();
            !before.is_some_and(is_name) && !after.is_some_and(is_name)
        })
        .collect()
}

/// The name that the code begins with; empty if it begins with none.
pub(crate) fn leading_name(code: &str) -> &str {
    let end = code.find(|c| !is_name(c)).unwrap_or(code.len());
    &code[..end]
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Spaces for comments and for what is between the quotes of literals.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let after_name = at > 0 && is_name(chars[at - 1]);
        let length = match rest {
            ['/', '/', ..] => line_comment(rest),
            ['/', '*', ..] => block_comment(rest),
            ['"', ..] => string(rest),
            ['\'', ..] => character(rest),
            ['r', '#' | '"', ..] if !after_name || is_raw_prefix(&chars[..at]) => raw_string(rest),
            _ => 0,
        };
        if length == 0 {
            code.push(rest[0]);
            at += 1;
            continue;
        }
        // The first character stays, so that a literal is still something; lines stay too.
        for (index, &c) in rest[..length].iter().enumerate() {
            let keep = c == '\n' || (index == 0 && c != '/');
            code.push(if keep { c } else { ' ' });
        }
        at += length;
    }
    code
}

/// Whether an `r` here may follow a `b` or `c`: `br"…"`, `cr"…"`.
fn is_raw_prefix(before: &[char]) -> bool {
    match before {
        [.., c, 'b' | 'c'] => !is_name(*c),
        ['b' | 'c'] => true,
        _ => false,
    }
}

fn line_comment(rest: &[char]) -> usize {
    rest.iter().position(|&c| c == '\n').unwrap_or(rest.len())
}

/// Block comments nest.
fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '"' => return at + 1,
            '\\' => at += 2,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `'x'` and `'\n'`; 0 for a lifetime.
fn character(rest: &[char]) -> usize {
    match rest {
        [_, '\\', _, tail @ ..] => {
            let end = tail.iter().position(|&c| c == '\'');
            end.map_or(rest.len(), |end| end + 4)
        }
        [_, _, '\'', ..] => 3,
        _ => 0,
    }
}

/// `r"…"`, `r#"…"#`; 0 for a raw name such as `r#type`.
fn raw_string(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|&&c| c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let mut end = vec!['"'];
    end.resize(1 + hashes, '#');
    let begin = 2 + hashes;
    let found = rest[begin..].windows(end.len()).position(|part| part == end);
    found.map_or(rest.len(), |found| begin + found + end.len())
}
