//! What the clients do: a transaction sets two keys, in one round trip.

use crate::requests::{Dice, Requests, key, value, write_command};

/// How many keys a transaction sets.
pub(crate) const WRITES: usize = 2;

/// `MULTI`, two `SET`, `EXEC` on random keys.
#[derive(Clone, Debug)]
pub(crate) struct Transactions {
    pub(crate) keys: u64,
    pub(crate) value_bytes: usize,
}

impl Requests for Transactions {
    fn replies(&self) -> usize {
        WRITES + 2
    }

    fn may_repeat(&self) -> bool {
        false
    }

    fn write_request(&self, _: usize, dice: &mut Dice, out: &mut Vec<u8>) {
        write_command(out, &[b"MULTI"]);
        for _ in 0..WRITES {
            let number = dice.below(self.keys);
            let value = value(number, dice.below(10_000), self.value_bytes);
            write_command(out, &[b"SET", &key("key", number), &value]);
        }
        write_command(out, &[b"EXEC"]);
    }
}
