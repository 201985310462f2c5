//! Looking at where many keys are in the index before anything is done with the first.

use super::{Core, Database};
use crate::engine::index::{EntryId, hash_key};

/// An index is much larger than the processor's caches, so what takes long about a key is to
/// wait for memory. Of keys that are looked at together it waits for all at once.
#[derive(Debug, Default)]
pub struct LookAhead {
    candidates: Vec<(u8, EntryId)>,
}

impl LookAhead {
    /// Looks at keys, by their slots and hashes.
    pub(super) fn look(&mut self, databases: &[Database], keys: impl Iterator<Item = (u8, u64)>) {
        let of_slot = |slot: u8| databases.get(usize::from(slot));
        self.candidates.clear();
        let candidate = |(slot, hash)| Some((slot, of_slot(slot)?.index.candidate(hash)?));
        self.candidates.extend(keys.filter_map(candidate));
        let entries = self.candidates.iter();
        let entries = entries.filter_map(|&(slot, id)| of_slot(slot)?.index.get(id));
        // An entry lies in two cache lines.
        let looks = entries.map(|entry| entry.newest().commit.time ^ entry.key().len() as u64);
        std::hint::black_box(looks.fold(0, |seen, look| seen ^ look));
    }
}

impl Core {
    /// Before [`Core::put_is_alive`] is asked about each of these keys, by their slots.
    pub fn look_ahead<'k>(
        &self,
        ahead: &mut LookAhead,
        keys: impl Iterator<Item = (u8, &'k [u8])>,
    ) {
        let seed = self.options.hash_seed;
        let hashes = keys.map(|(slot, key)| (slot, hash_key(seed, key)));
        ahead.look(&self.databases, hashes);
    }
}
