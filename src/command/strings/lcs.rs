//! LCS: the longest common subsequence of two strings.
//!
//! The table of lengths has a cell for each pair of positions. Redis keeps all of them, in
//! four bytes each; which way back leads from a cell is one bit, and that is all that is
//! kept here, with the lengths of one row. Redis' limit for its table holds, though: it is also
//! one for the time it takes.

use super::super::parse::{integer_arg, syntax_error};
use super::super::{CommandResult, Context, Stop};
use super::read_all;
use crate::resp::Reply;
use crate::small_bytes::SmallBytes;

/// What a cell takes in Redis' table, which must not be larger than `proto-max-bulk-len`.
const CELL_BYTES: u64 = 4;

/// The options of LCS.
#[derive(Default)]
struct Options {
    length_only: bool,
    ranges: bool,
    with_lengths: bool,
    length_min: i64,
}

impl Options {
    fn parse(args: &[&[u8]]) -> Result<Self, Stop> {
        let mut options = Self::default();
        let mut rest = args.iter();
        while let Some(option) = rest.next() {
            match option.to_ascii_lowercase().as_slice() {
                b"idx" => options.ranges = true,
                b"len" => options.length_only = true,
                b"withmatchlen" => options.with_lengths = true,
                b"minmatchlen" => {
                    options.length_min = integer_arg(rest.next().ok_or_else(syntax_error)?)?;
                }
                _ => return Err(syntax_error()),
            }
        }
        if options.ranges && options.length_only {
            let text = "ERR If you want both the length and indexes, please just use IDX.";
            return Err(Reply::error(text).into());
        }
        Ok(options)
    }
}

/// LCS key1 key2 [LEN] [IDX] [MINMATCHLEN length] [WITHMATCHLEN]
pub(in crate::command) fn lcs(context: &mut Context<'_, '_>, args: &[&[u8]]) -> CommandResult {
    let values = read_all(context, &args[1..3])?;
    let options = Options::parse(&args[3..])?;
    let [a, b] = [0, 1].map(|at| values.get(at).cloned().flatten().unwrap_or(SmallBytes::empty()));
    let cells = (a.len() as u64 + 1).saturating_mul(b.len() as u64 + 1);
    if cells.saturating_mul(CELL_BYTES) > context.settings.bulk_bytes_max {
        let text = "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len";
        return Err(Reply::error(text).into());
    }
    let table = Table::new(&a, &b, !options.length_only).ok_or_else(|| {
        let text = "ERR Insufficient memory, failed allocating transient memory for LCS";
        Stop::from(Reply::error(text))
    })?;
    if options.length_only {
        return Ok(Reply::Integer(table.length as i64));
    }
    let matches = table.matches(&a, &b);
    if !options.ranges {
        let parts: Vec<&[u8]> = matches.iter().rev().map(|found| found.of(&a)).collect();
        return Ok(Reply::bulk(parts.concat()));
    }
    let long_enough = matches.iter().filter(|found| found.length as i64 >= options.length_min);
    let shown = long_enough.map(|found| found.reply(options.with_lengths));
    Ok(Reply::Map(vec![
        (Reply::bulk("matches"), Reply::Array(shown.collect())),
        (Reply::bulk("len"), Reply::Integer(table.length as i64)),
    ]))
}

/// A run of bytes that is in both strings.
struct Match {
    start_a: usize,
    start_b: usize,
    length: usize,
}

impl Match {
    fn of<'s>(&self, a: &'s [u8]) -> &'s [u8] {
        &a[self.start_a..self.start_a + self.length]
    }

    fn reply(&self, with_length: bool) -> Reply {
        let range = |start: usize| {
            let last = start + self.length - 1;
            Reply::Array(vec![Reply::Integer(start as i64), Reply::Integer(last as i64)])
        };
        let mut parts = vec![range(self.start_a), range(self.start_b)];
        parts.extend(with_length.then_some(Reply::Integer(self.length as i64)));
        Reply::Array(parts)
    }
}

/// The ways back through the table of lengths.
struct Table {
    /// The length of the longest common subsequence.
    length: u32,
    /// A bit for each pair of positions: whether more is in common without the byte of `a`
    /// there than without that of `b`.
    without_a: Vec<u64>,
    /// The string whose positions make the rows is `b`.
    rows_are_b: bool,
    columns: usize,
}

impl Table {
    /// `None` if there is no memory for it.
    fn new(a: &[u8], b: &[u8], with_ways: bool) -> Option<Self> {
        // One row is kept, so the rows are to be short.
        let rows_are_b = a.len() < b.len();
        let (rows, columns) = if rows_are_b { (b, a) } else { (a, b) };
        let bits = if with_ways { rows.len() * columns.len() } else { 0 };
        let mut without_a = zeros(bits.div_ceil(64))?;
        let mut lengths = zeros(columns.len())?;
        for (row, one) in rows.iter().enumerate() {
            let (mut diagonal, mut left) = (0, 0);
            for (column, (other, length)) in columns.iter().zip(&mut lengths).enumerate() {
                let above: u32 = *length;
                *length = if one == other { diagonal + 1 } else { above.max(left) };
                if with_ways {
                    let more = if rows_are_b { left > above } else { above > left };
                    let at = row * columns.len() + column;
                    without_a[at / 64] |= u64::from(more) << (at % 64);
                }
                (diagonal, left) = (above, *length);
            }
        }
        let length = lengths.last().copied().unwrap_or(0);
        Some(Self { length, without_a, rows_are_b, columns: columns.len() })
    }

    /// From the last to the first.
    fn matches(&self, a: &[u8], b: &[u8]) -> Vec<Match> {
        let mut matches: Vec<Match> = Vec::new();
        let (mut i, mut j) = (a.len(), b.len());
        while i > 0 && j > 0 {
            if a[i - 1] == b[j - 1] {
                match matches.last_mut() {
                    Some(last) if (last.start_a, last.start_b) == (i, j) => {
                        (last.start_a, last.start_b) = (i - 1, j - 1);
                        last.length += 1;
                    }
                    _ => matches.push(Match { start_a: i - 1, start_b: j - 1, length: 1 }),
                }
                (i, j) = (i - 1, j - 1);
            } else if self.goes_without_a(i - 1, j - 1) {
                i -= 1;
            } else {
                j -= 1;
            }
        }
        matches
    }

    fn goes_without_a(&self, i: usize, j: usize) -> bool {
        let (row, column) = if self.rows_are_b { (j, i) } else { (i, j) };
        let at = row * self.columns + column;
        self.without_a[at / 64] >> (at % 64) & 1 == 1
    }
}

/// So many zeros, if there is memory for them.
fn zeros<T: Default + Clone>(count: usize) -> Option<Vec<T>> {
    let mut zeros = Vec::new();
    zeros.try_reserve_exact(count).ok()?;
    zeros.resize(count, T::default());
    Some(zeros)
}
