//! What a pipeline will need of the store.
//!
//! While a command waits for a value, those behind it in the same pipeline wait, too, and then
//! each for its own. So what they will read is read with it: as many round trips to the store
//! as a pipeline has misses become one. It is a guess. A command before them may change what they
//! read, or they run in a transaction that sees something older: then they ask for themselves.

use super::table::{self, Command};
use crate::engine::core::{Core, Missing};
use crate::engine::version::{State, StoredValue};

/// So many values are read for what comes later, at the most: as many as are under way for one command.
pub const VALUES_MAX: usize = 16;
/// Longer ones are not: they would only be held for longer than they must be. In bytes.
const VALUE_BYTES_MAX: u32 = 16 << 10;
/// So many requests are looked at, at the most: all of it happens again at the next miss.
pub const REQUESTS_MAX: usize = 16;
/// And so many keys in them.
const KEYS_MAX: usize = 64;

/// What requests behind one that waits will miss.
#[derive(Debug)]
pub struct Ahead {
    missing: Vec<Missing>,
    /// On their way already, or asked for here.
    asked: Vec<StoredValue>,
    values_left: usize,
    keys_left: usize,
}

impl Ahead {
    /// There is room for what is not `under_way`; what the one that waits has `asked` for is not
    /// asked for again.
    pub fn new(asked: Vec<StoredValue>, under_way: usize) -> Self {
        let values_left = VALUES_MAX.saturating_sub(under_way);
        Self { missing: Vec::new(), asked, values_left, keys_left: KEYS_MAX }
    }

    /// Adds what a request to a database will read. `false`: that is enough.
    pub fn look(&mut self, core: &Core, database: u8, args: &[&[u8]]) -> bool {
        // Others look at keys only: TTL, say, and EXISTS.
        let reads = |command: &&Command| {
            matches!(command.group, "string" | "bitmap") && command.keys.access == ["RO", "access"]
        };
        if let Some(command) = table::asked_for(args).filter(reads) {
            for position in command.keys.positions(args.len()) {
                if self.missing.len() == self.values_left || self.keys_left == 0 {
                    return false;
                }
                self.keys_left -= 1;
                self.look_at(core, database, args[position]);
            }
        }
        true
    }

    fn look_at(&mut self, core: &Core, database: u8, key: &[u8]) {
        let version = core.read(database, core.hash(key), key, core.tip());
        let Some(State::Stored(place)) = version.map(|version| version.state.held()) else {
            return;
        };
        let is_wanted = place.length <= VALUE_BYTES_MAX && !self.asked.contains(place);
        if is_wanted && core.value_at(place).is_none() {
            self.asked.push(*place);
            self.missing.push(Missing::Value { key: key.into(), place: *place, was_tried: false });
        }
    }

    /// What there is to read.
    pub fn missing(self) -> Vec<Missing> {
        self.missing
    }
}
