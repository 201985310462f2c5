//! Replies on their way out, some of them waiting for the groups that they depend on.

use super::buffers::{self, READ_BYTES};
use crate::command;
use crate::engine::gate::{Gate, Outcome};
use crate::resp::{Protocol, Reply, Sink};
use crate::session::Session;
use crate::small_bytes::SmallBytes;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

/// Replies that wait for a group: a run of them, next to each other.
#[derive(Debug)]
struct Mark {
    gate: Arc<Gate>,
    /// Where the run begins and ends, counted from the first byte ever replied.
    start: u64,
    end: u64,
    /// What is held back begins here, see [`Output::held_from`].
    held_from: u64,
    replies: u32,
}

/// A large value inside of a reply: it is sent from where it is.
#[derive(Debug)]
struct Inserted {
    /// The byte of the others that it stands before, counted from the first ever replied.
    at: u64,
    value: SmallBytes,
}

/// Replies on their way out.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// All but the inserted values. What is counted is counted without those.
    bytes: Vec<u8>,
    inserted: VecDeque<Inserted>,
    /// What is left of these, in bytes.
    inserted_bytes: usize,
    /// How much of the first of them is written.
    first_written: usize,
    /// How many of `bytes` are written.
    written: usize,
    /// What was written before `bytes`, counted from the first byte ever replied.
    base: u64,
    marks: VecDeque<Mark>,
    /// Where the last reply begins.
    last_start: u64,
    /// Where the MULTI begins whose commands are being queued, if they were all well.
    multi_start: Option<u64>,
}

impl Mark {
    fn holds(&self, inserted: &Inserted) -> bool {
        (self.start..self.end).contains(&inserted.at)
    }
}

impl Sink for Output {
    fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    fn insert(&mut self, value: &SmallBytes) {
        self.inserted.push_back(Inserted { at: self.end(), value: value.clone() });
        self.inserted_bytes += value.len();
    }
}

impl Output {
    fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }

    fn take_buffer(&mut self) {
        if self.bytes.capacity() == 0 {
            self.bytes = buffers::lend_output();
        }
    }

    /// Appends what is no reply.
    pub(super) fn push_bytes(&mut self, bytes: &[u8]) {
        self.take_buffer();
        self.bytes.extend_from_slice(bytes);
    }

    /// The group that the next replies wait for.
    pub(super) fn waits_for(&self) -> Option<&Gate> {
        self.marks.front().map(|mark| &*mark.gate)
    }

    /// Whether a part of what is here is written already.
    pub(super) fn is_partly_written(&self) -> bool {
        self.written > 0 || self.first_written > 0
    }

    /// Bytes not yet written.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.bytes.len() - self.written + self.inserted_bytes
    }

    /// Bytes that may be written now, in pieces.
    pub(super) fn sendable(&self) -> SmallVec<[IoSlice<'_>; 1]> {
        /// More than that the system doesn't take at once, or has little from.
        const PIECES_MAX: usize = 64;
        let end = match self.marks.front() {
            // Some of it may have gone out before the EXEC came.
            Some(mark) => (mark.held_from.min(mark.start).saturating_sub(self.base) as usize)
                .max(self.written),
            None => self.bytes.len(),
        };
        let mut pieces = SmallVec::new();
        let (mut from, mut skip) = (self.written, self.first_written);
        for Inserted { at, value } in &self.inserted {
            let at = (*at - self.base) as usize;
            // It stands inside of a reply, never at the end of one.
            if at >= end {
                break;
            }
            if at > from {
                pieces.push(IoSlice::new(&self.bytes[from..at]));
            }
            pieces.push(IoSlice::new(&value[std::mem::take(&mut skip)..]));
            from = at;
            if pieces.len() >= PIECES_MAX {
                return pieces;
            }
        }
        if end > from {
            pieces.push(IoSlice::new(&self.bytes[from..end]));
        }
        pieces
    }

    pub(super) fn push(&mut self, reply: Reply, session: &mut Session, gate: Option<Arc<Gate>>) {
        self.take_buffer();
        let start = self.end();
        let before = std::mem::replace(&mut self.last_start, start);
        let multi_start = self.multi_start.take();
        if matches!(reply, Reply::Queued) {
            self.multi_start = multi_start.or(Some(before));
        }
        let reply = session.filter_reply(reply);
        reply.write(session.protocol, self);
        let end = self.end();
        let Some(gate) = gate else { return };
        if end == start {
            return;
        }
        if let Some(last) = self.marks.back_mut()
            && last.end == start
            && Arc::ptr_eq(&last.gate, &gate)
        {
            last.end = end;
            last.replies += 1;
            return;
        }
        let held_from = self.held_from(start, multi_start, command::inside::has_committed(session));
        self.marks.push_back(Mark { gate, start, end, held_from, replies: 1 });
    }

    /// Where what is held back with a reply begins, which would be a packet of its own: in front of
    /// an EXEC's the `QUEUED`s and the `OK` of its MULTI, which nobody can use without it; in
    /// front of an AFT.COMMIT's the replies to what was sent along with it.
    fn held_from(&self, start: u64, multi_start: Option<u64>, commits: bool) -> u64 {
        let along = commits && self.marks.is_empty() && self.first_written == 0;
        multi_start.unwrap_or(if along { self.base + self.written as u64 } else { start })
    }

    /// Lets go of replies whose groups have met their fate, in order.
    pub(super) fn settle(&mut self, protocol: Protocol) {
        while let Some(mark) = self.marks.front() {
            let error = match mark.gate.outcome() {
                Outcome::Pending => return,
                Outcome::Durable => None,
                Outcome::NotCommitted => Some(command::dropped()),
                Outcome::Uncertain => Some(command::uncertain()),
            };
            if let Some(error) = error {
                self.replace_front(&error, protocol);
            }
            self.marks.pop_front();
        }
    }

    /// Puts an error in the place of each reply under the first mark.
    fn replace_front(&mut self, error: &Reply, protocol: Protocol) {
        let Some(mark) = self.marks.front() else {
            return;
        };
        let (start, end) = ((mark.start - self.base) as usize, (mark.end - self.base) as usize);
        let mut errors = Vec::new();
        for _ in 0..mark.replies {
            error.write(protocol, &mut errors);
        }
        let replaced = self.inserted.iter().filter(|inserted| mark.holds(inserted));
        self.inserted_bytes -= replaced.map(|inserted| inserted.value.len()).sum::<usize>();
        self.inserted.retain(|inserted| !mark.holds(inserted));
        let grown = errors.len() as i64 - (end - start) as i64;
        self.bytes.splice(start..end, errors);
        // All that is remembered lies behind the replaced replies.
        let later = [Some(&mut self.last_start), self.multi_start.as_mut()];
        for place in later.into_iter().flatten() {
            *place = place.saturating_add_signed(grown);
        }
        for inserted in &mut self.inserted {
            inserted.at = inserted.at.saturating_add_signed(grown);
        }
        for mark in &mut self.marks {
            mark.start = mark.start.saturating_add_signed(grown);
            mark.end = mark.end.saturating_add_signed(grown);
            mark.held_from = mark.held_from.saturating_add_signed(grown);
        }
    }

    pub(super) fn wrote(&mut self, mut count: usize) {
        while let Some(first) = self.inserted.front() {
            let before = ((first.at - self.base) as usize - self.written).min(count);
            self.written += before;
            count -= before;
            let left = first.value.len() - self.first_written;
            let of_it = left.min(count);
            self.inserted_bytes -= of_it;
            if of_it < left {
                self.first_written += of_it;
                return;
            }
            count -= of_it;
            self.first_written = 0;
            self.inserted.pop_front();
        }
        self.written += count;
        if self.written == self.bytes.len() {
            self.base += self.written as u64;
            self.written = 0;
            buffers::return_output(std::mem::take(&mut self.bytes));
        } else if self.written >= READ_BYTES && self.written * 2 >= self.bytes.len() {
            // Half is written: worth moving the rest to the front.
            self.base += self.written as u64;
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }
}

#[cfg(test)]
mod tests;
