//! Which blobs there are: large values in objects of their own.
//!
//! A blob is begun before its value is written, and *named* when the group of the commit that
//! puts the value is acknowledged. From then on it stays for as long as an object that counts
//! names it: compaction moves the name of one that is alive, and not the value; of one that is
//! dead it lets go together with the object that named it.

use super::super::blob::Blob;
use super::super::index::Share;
use super::super::version::ObjectId;
use super::super::writes::WriteSet;
use super::ledger::{BLOB, KIND_BITS, NUMBER_MAX};
use super::{Core, Missing};
use crate::layout::{BlobName, NodeId};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// All of them.
#[derive(Debug)]
pub struct Blobs {
    by_id: HashMap<ObjectId, Known>,
    /// By node and the number of the first chunk.
    ids: BTreeMap<(NodeId, u64), ObjectId>,
    /// The last id that was given, without its kind; they wrap around.
    last: u32,
    /// How far it is to the next.
    step: u32,
    /// What those that are named take in the store, in bytes.
    bytes: u64,
    /// What the others do.
    unnamed_bytes: u64,
}

#[derive(Debug)]
struct Known {
    name: BlobName,
    /// It counts among what the store holds.
    named: bool,
}

impl Default for Blobs {
    fn default() -> Self {
        Self::of_share(Share { number: 0, bits: 0 })
    }
}

impl Blobs {
    /// Those of the keys of a share, which gives them ids that no other share gives.
    pub fn of_share(share: Share) -> Self {
        let (by_id, ids) = (HashMap::new(), BTreeMap::new());
        Self {
            by_id,
            ids,
            last: share.number as u32,
            step: 1 << share.bits,
            bytes: 0,
            unnamed_bytes: 0,
        }
    }

    /// Takes in those of another share.
    pub fn append(&mut self, mut other: Self) {
        self.by_id.extend(other.by_id.drain());
        self.ids.append(&mut other.ids);
        self.last = self.last.max(other.last);
        self.bytes += other.bytes;
        self.unnamed_bytes += other.unnamed_bytes;
    }

    /// Takes in one that nothing names yet.
    pub fn begin(&mut self, name: BlobName) -> ObjectId {
        let id = loop {
            self.last = self.last.wrapping_add(self.step) & NUMBER_MAX;
            let id = self.last << KIND_BITS | BLOB;
            if !self.by_id.contains_key(&id) {
                break id;
            }
        };
        self.by_id.insert(id, Known { name, named: false });
        self.unnamed_bytes += name.bytes();
        self.ids.insert((name.node, name.number), id);
        id
    }

    /// Something that counts names it from now on.
    pub fn name(&mut self, id: ObjectId) {
        if let Some(known) = self.by_id.get_mut(&id).filter(|known| !known.named) {
            known.named = true;
            self.bytes += known.name.bytes();
            self.unnamed_bytes -= known.name.bytes();
        }
    }

    /// Nothing that counts names it any more. It can be read until it is forgotten.
    pub fn unname(&mut self, blob: &BlobName) {
        if let Some(known) = self.id_of(blob).and_then(|id| self.by_id.get_mut(&id))
            && std::mem::take(&mut known.named)
        {
            self.bytes -= known.name.bytes();
            self.unnamed_bytes += known.name.bytes();
        }
    }

    /// It is deleted.
    pub fn forget(&mut self, blob: &BlobName) {
        self.unname(blob);
        let id = self.ids.remove(&(blob.node, blob.number));
        if let Some(known) = id.and_then(|id| self.by_id.remove(&id)) {
            self.unnamed_bytes -= known.name.bytes();
        }
    }

    /// Something that counts names it, as a start has found.
    pub fn recover(&mut self, name: BlobName) -> ObjectId {
        let id = self.id_of(&name).unwrap_or_else(|| self.begin(name));
        self.name(id);
        id
    }

    /// Its name, if it is there.
    pub fn get(&self, id: ObjectId) -> Option<BlobName> {
        self.by_id.get(&id).map(|known| known.name)
    }

    fn id_of(&self, blob: &BlobName) -> Option<ObjectId> {
        self.ids.get(&(blob.node, blob.number)).copied()
    }

    /// All that are named, or will be.
    pub fn names(&self) -> impl Iterator<Item = BlobName> {
        self.by_id.values().map(|known| known.name)
    }

    /// Whether one has a chunk of that name.
    pub fn hold(&self, node: NodeId, number: u64) -> bool {
        let before = self.ids.range((node, 0)..=(node, number)).next_back();
        let blob = before.and_then(|(_, id)| self.get(*id));
        blob.is_some_and(|blob| number - blob.number < blob.chunks())
    }

    /// How many there are, named or not.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// What those that are named take in the store, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What those take that no commit names, or none any more: open transactions hold them, they are
    /// on their way, or are about to be deleted.
    pub fn unnamed_bytes(&self) -> u64 {
        self.unnamed_bytes
    }

    /// What is known of them takes so many bytes of memory, about.
    pub fn memory_bytes(&self) -> usize {
        self.len() * 2 * (size_of::<Known>() + size_of::<(NodeId, u64, ObjectId)>())
    }
}

/// Of a transaction that no object could hold values from this size on go to blobs, in bytes:
/// what is left of it are keys and little.
const OVERSIZE_BLOB_BYTES_MIN: usize = 4 << 10;

impl Core {
    /// A name for a value of so many bytes.
    pub fn begin_blob(&mut self, length: u64) -> (BlobName, ObjectId) {
        self.begin_blob_like(length, self.options.blob_chunk_bytes)
    }

    /// The same, in chunks of a given size.
    pub fn begin_blob_like(&mut self, length: u64, chunk_bytes: u32) -> (BlobName, ObjectId) {
        let (node, number) = (self.node, self.next_blob);
        let name = BlobName { node, number, chunk_bytes, length };
        self.next_blob += name.chunks();
        (name, self.ledger.blobs_mut().begin(name))
    }

    /// From so many bytes on a value that is changed in parts is not copied: it goes to a blob.
    pub fn pieces_bytes_min(&self) -> usize {
        if self.options.logged { self.options.blob_bytes_min } else { usize::MAX }
    }

    /// Puts blobs into the place of large values that are written: those that were lent. What
    /// has to be in the store before the transaction can go on is returned.
    ///
    /// A value that is another whenever the command runs (somebody else appends to it, say) goes
    /// into the group after the first try, if it fits.
    pub fn place_blobs(&mut self, writes: &mut WriteSet) -> Vec<Missing> {
        let oversize = writes.bytes() > self.transaction_bytes_max();
        let bytes_min = self.options.blob_bytes_min;
        let bytes_min = if oversize { bytes_min.min(OVERSIZE_BLOB_BYTES_MIN) } else { bytes_min };
        if !self.options.logged || writes.longest() < bytes_min || self.takes_no_writes().is_some()
        {
            return Vec::new();
        }
        let (mut missing, mut placed) = (Vec::new(), Vec::new());
        let tried = self.values.has_lent_blobs();
        for (at, value) in writes.large(bytes_min) {
            match self.take_lent_blob(&value) {
                Some(blob) => placed.push((at, blob, value)),
                None if oversize || !tried => missing.push(Missing::Blob { value }),
                None => {}
            }
        }
        if missing.is_empty() {
            writes.move_to_blobs(placed.into_iter().map(|(at, blob, _)| (at, blob)));
        } else {
            // It runs again, and puts them then. None is in two places: nothing would say when the
            // last that names a blob is gone.
            placed.into_iter().for_each(|(_, blob, value)| self.give_blob_back(blob, value));
        }
        missing
    }

    /// A group or base names these from now on.
    pub fn name_blobs(&mut self, blobs: &[Arc<Blob>]) {
        for blob in blobs {
            blob.keep();
            self.ledger.blobs_mut().name(blob.place().object);
        }
    }

    /// What recovery has found named, and by which objects how much.
    pub fn recover_blobs(&mut self, blobs: Blobs, named_by: Vec<(ObjectId, u64)>) {
        self.ledger.blobs_mut().append(blobs);
        named_by.into_iter().for_each(|(object, bytes)| self.ledger.add_blob_bytes(object, bytes));
    }

    /// They are deleted.
    pub fn forget_blobs(&mut self, blobs: &[BlobName]) {
        blobs.iter().for_each(|blob| self.ledger.blobs_mut().forget(blob));
    }
}

#[cfg(test)]
mod tests {
    use super::Blobs;
    use crate::layout::BlobName;

    #[test]
    fn a_blob_counts_from_when_it_is_named_until_it_is_not() {
        let mut blobs = Blobs::default();
        let blob = BlobName { node: 2, number: 5, chunk_bytes: 10, length: 25 };
        let id = blobs.begin(blob);
        assert_eq!((blobs.get(id), blobs.bytes(), blobs.len()), (Some(blob), 0, 1));
        assert_eq!(blobs.unnamed_bytes(), blob.bytes());
        let held = |blobs: &Blobs| {
            [(2, 4), (2, 5), (2, 7), (2, 8), (3, 6)].map(|(n, at)| blobs.hold(n, at))
        };
        assert_eq!(held(&blobs), [false, true, true, false, false]);
        blobs.name(id);
        blobs.name(id);
        assert_eq!(blobs.bytes(), blob.bytes());
        blobs.unname(&blob);
        assert_eq!((blobs.bytes(), blobs.get(id)), (0, Some(blob)), "who reads it still can");
        blobs.forget(&blob);
        assert_eq!(blobs.unnamed_bytes(), 0);
        assert_eq!((blobs.get(id), blobs.is_empty(), held(&blobs)), (None, true, [false; 5]));
        assert_ne!(blobs.begin(blob), id, "a place names one value");
    }
}
