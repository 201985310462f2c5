//! Commands between MULTI and EXEC.

use crate::resp::{Slices, slices};
use bytes::Bytes;

/// Commands with their arguments. It holds three buffers however many there are, and those are
/// used again.
#[derive(Debug, Default)]
pub struct Queue {
    commands: Vec<Queued>,
    /// The arguments of all, one after the other.
    args: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    /// Bytes of arguments that were not copied.
    large_bytes: usize,
}

#[derive(Debug)]
struct Queued {
    command: u16,
    /// So many arguments has it and what was queued before.
    args_end: usize,
    /// One that was not copied, and which that is.
    large: Option<Box<(usize, Bytes)>>,
}

/// An empty queue keeps no larger buffers.
const SPARE_BYTES_MAX: usize = 2 << 10;

impl Queue {
    /// How many commands.
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Bytes of all arguments.
    pub fn bytes(&self) -> usize {
        self.args.len() + self.large_bytes
    }

    /// What it takes, in bytes.
    pub fn held_bytes(&self) -> usize {
        let ends = self.ends.capacity() * size_of::<usize>();
        let commands = self.commands.capacity() * size_of::<Queued>();
        self.args.capacity() + self.large_bytes + ends + commands
    }

    /// Keeps a command by its number and a copy of its arguments, but for one that needn't be
    /// copied.
    pub fn push(&mut self, command: u16, args: &[&[u8]], large: Option<(usize, Bytes)>) {
        let apart = large.as_ref().map(|(at, _)| *at);
        for (at, arg) in args.iter().enumerate() {
            if apart != Some(at) {
                self.args.extend_from_slice(arg);
            }
            self.ends.push(self.args.len());
        }
        self.large_bytes += large.as_ref().map_or(0, |(_, bytes)| bytes.len());
        let large = large.map(Box::new);
        self.commands.push(Queued { command, args_end: self.ends.len(), large });
    }

    /// The number of a command.
    pub fn command(&self, at: usize) -> u16 {
        self.commands[at].command
    }

    /// The argument of a command that was not copied.
    pub fn large(&self, at: usize) -> Option<&Bytes> {
        self.commands[at].large.as_deref().map(|(_, bytes)| bytes)
    }

    /// The arguments of a command.
    pub fn args(&self, at: usize) -> Slices<'_> {
        let queued = &self.commands[at];
        let first = at.checked_sub(1).map_or(0, |before| self.commands[before].args_end);
        let mut start = first.checked_sub(1).map_or(0, |before| self.ends[before]);
        let mut args = slices(self.ends[first..queued.args_end].iter().map(|end| {
            let arg = &self.args[start..*end];
            start = *end;
            arg
        }));
        if let Some((at, large)) = queued.large.as_deref() {
            args[*at] = large;
        }
        args
    }

    /// The same without commands, for those of the next MULTI.
    pub fn emptied(mut self) -> Self {
        if self.held_bytes() > SPARE_BYTES_MAX {
            return Self::default();
        }
        self.commands.clear();
        self.args.clear();
        self.ends.clear();
        self.large_bytes = 0;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::{Queue, SPARE_BYTES_MAX};
    use bytes::Bytes;

    #[test]
    fn arguments_come_out_as_they_went_in() {
        let large = Bytes::from_static(b"large");
        let mut queue = Queue::default();
        for _ in 0..2 {
            queue.push(3, &[b"SET", b"", b"one"], None);
            queue.push(1, &[b"SET", &large, b"two"], Some((1, large.clone())));
            queue.push(7, &[b"PING"], None);
            assert_eq!((queue.len(), queue.bytes()), (3, 6 + 11 + 4));
            assert_eq!([0, 1, 2].map(|at| queue.command(at)), [3, 1, 7]);
            assert_eq!(queue.args(0).as_slice(), [b"SET".as_slice(), b"", b"one"]);
            assert_eq!(queue.args(1).as_slice(), [b"SET".as_slice(), b"large", b"two"]);
            assert_eq!(queue.args(2).as_slice(), [b"PING"]);
            assert_eq!(queue.large(1).map(|large| large.as_ptr()), Some(large.as_ptr()));
            queue = queue.emptied();
            assert!(queue.is_empty() && queue.bytes() == 0 && queue.held_bytes() > 0);
        }
        queue.push(0, &[&[0; SPARE_BYTES_MAX]], None);
        assert_eq!(queue.emptied().held_bytes(), 0);
    }
}
