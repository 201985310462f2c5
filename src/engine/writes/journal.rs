//! What a transaction can take back of its writes: those of a command that has to run again,
//! and those of a step that is begun again.

use super::{Change, WriteSet, change_blob_bytes, change_bytes, key_bytes};

/// What takes a write back.
#[derive(Debug)]
pub(super) enum Undo {
    /// It was the first to its key, and the newest in the set.
    Added,
    /// It replaced an earlier one.
    Replaced {
        /// Where in the set.
        place: u32,
        /// The earlier one's revision.
        revision: u32,
        /// And what it made of the key.
        replaced: Change,
    },
}

/// What takes back the newest writes, in their order.
#[derive(Debug, Default)]
pub(super) struct Journal {
    undos: Vec<Undo>,
    /// What the replaced changes hold.
    bytes: usize,
    /// And what of that is in blobs.
    blob_bytes: u64,
}

impl Journal {
    pub(super) fn push(&mut self, undo: Undo) {
        self.bytes += undo.bytes();
        self.blob_bytes += undo.blob_bytes();
        self.undos.push(undo);
    }

    pub(super) fn blob_bytes(&self) -> u64 {
        self.blob_bytes
    }
}

impl Undo {
    fn bytes(&self) -> usize {
        match self {
            Self::Added => size_of::<Self>(),
            Self::Replaced { replaced, .. } => size_of::<Self>() + change_bytes(replaced),
        }
    }

    fn blob_bytes(&self) -> u64 {
        match self {
            Self::Added => 0,
            Self::Replaced { replaced, .. } => change_blob_bytes(replaced),
        }
    }
}

impl WriteSet {
    /// From here on writes can be taken back; where that is in the journal.
    pub fn keep_journal(&mut self) -> usize {
        self.journal.get_or_insert_default().undos.len()
    }

    /// How many writes can be taken back.
    pub fn journal_len(&self) -> usize {
        self.journal.as_ref().map_or(0, |journal| journal.undos.len())
    }

    /// What is kept for that, in bytes.
    pub fn journal_bytes(&self) -> usize {
        self.journal.as_ref().map_or(0, |journal| journal.bytes)
    }

    /// What was written so far stands.
    pub fn clear_journal(&mut self) {
        if let Some(journal) = &mut self.journal {
            **journal = Journal::default();
        }
    }

    /// Takes back every write behind a place in the journal.
    pub fn take_back_to(&mut self, mark: usize) {
        while self.journal_len() > mark {
            let Some(journal) = &mut self.journal else { return };
            let Some(undo) = journal.undos.pop() else { return };
            journal.bytes -= undo.bytes();
            journal.blob_bytes -= undo.blob_bytes();
            match undo {
                Undo::Added => self.drop_newest(),
                Undo::Replaced { place, revision, replaced } => {
                    let write = &mut self.writes[place as usize];
                    self.bytes += change_bytes(&replaced);
                    self.bytes -= change_bytes(&write.change);
                    self.blob_bytes += change_blob_bytes(&replaced);
                    self.blob_bytes -= change_blob_bytes(&write.change);
                    self.longest = self.longest.max(change_bytes(&replaced));
                    write.change = replaced;
                    write.revision = revision;
                }
            }
        }
    }

    fn drop_newest(&mut self) {
        let Some(write) = self.writes.pop() else { return };
        self.bytes -= key_bytes(&write.key) + change_bytes(&write.change);
        self.blob_bytes -= change_blob_bytes(&write.change);
        let at = self.writes.len() as u32;
        if let Some(places) = &mut self.places
            && let Ok(found) = places.find_entry(write.hash, |&place| place == at)
        {
            found.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Change, Own, WriteSet};
    use crate::engine::body::Body;
    use crate::engine::version::Value;
    use crate::small_bytes::SmallKey;

    fn put(writes: &mut WriteSet, key: usize, value: &str) {
        let value = Value::String(value.into());
        let key = SmallKey::from(format!("key:{key}").as_str());
        writes.record(0, key.len() as u64, key, Change::Put { value, expires_ms: 0 });
    }

    fn append(writes: &mut WriteSet, body: &Body) -> Body {
        let pieces = body.splice(&[(body.len(), "tail".into())], 1);
        let change = Change::Pieces { pieces: pieces.clone(), expires_ms: 9 };
        writes.record(0, 5, SmallKey::from("key:0"), change);
        pieces
    }

    fn shown(writes: &WriteSet) -> Vec<String> {
        let look = |key: usize| {
            let key = format!("key:{key}");
            match writes.own(0, key.len() as u64, key.as_bytes()) {
                Own::Written(change) => {
                    let revision = writes.revision(0, key.len() as u64, key.as_bytes());
                    format!("{change:?} {revision}")
                }
                other => format!("{other:?}"),
            }
        };
        (0..30).map(look).collect()
    }

    #[test]
    fn what_is_taken_back_was_never_written() {
        // Few writes, which are looked through, and many, which are found by hash.
        for before in [0, 1, 5, 8, 9, 20] {
            let mut writes = WriteSet::default();
            for key in 0..before {
                put(&mut writes, key, "before");
            }
            let (bytes, wanted) = (writes.bytes(), shown(&writes));
            let mark = writes.keep_journal();
            for round in ["one", "a longer value than fits into the place of a short one"] {
                for key in (0..30).step_by(3) {
                    put(&mut writes, key, round);
                }
            }
            assert!(writes.bytes() > bytes && writes.journal_bytes() > 0);
            assert_ne!(shown(&writes), wanted);
            writes.take_back_to(mark);
            assert_eq!((writes.bytes(), writes.journal_bytes()), (bytes, 0));
            assert_eq!(shown(&writes), wanted, "{before} before");
            // And it can be used on.
            put(&mut writes, 29, "after");
            assert!(!matches!(writes.own(0, 6, b"key:29"), Own::Untouched));
        }
    }

    /// Of the key with a value in pieces, which ends in so many tails.
    fn is(writes: &WriteSet, tails: usize, wanted: (usize, usize, u32)) {
        let value = match writes.own(0, 5, b"key:0") {
            Own::Written(Change::Put { value: Value::String(value), expires_ms: 9 }) => {
                value.clone()
            }
            Own::Written(Change::Pieces { pieces, expires_ms: 9 }) => pieces.to_whole(),
            other => panic!("{other:?}"),
        };
        assert_eq!(*value, *format!("value{}", "tail".repeat(tails)).as_bytes());
        let revision = writes.revision(0, 5, b"key:0");
        assert_eq!((writes.bytes(), writes.longest(), revision), wanted);
    }

    #[test]
    fn what_is_brought_together_is_the_same_write() {
        let mut writes = WriteSet::default();
        let once = append(&mut writes, &Body::Whole("value".into()));
        let sizes = |writes: &WriteSet, revision| (writes.bytes(), writes.longest(), revision);
        let before = sizes(&writes, 1);
        let mark = writes.keep_journal();
        assert!(writes.join(0, 5, b"key:0").is_some());
        assert_eq!(writes.journal_len(), mark, "nothing to take back");
        is(&writes, 1, before);
        assert!(writes.join(0, 5, b"key:0").is_none(), "it is in one piece now");

        let twice = append(&mut writes, &once);
        let after = sizes(&writes, 2);
        let later = writes.keep_journal();
        assert!(writes.join(0, 5, b"key:0").is_some());
        is(&writes, 2, after);
        append(&mut writes, &twice);
        assert!(writes.join(0, 5, b"key:0").is_some());
        writes.take_back_to(later);
        is(&writes, 2, (after.0, after.1 + "tail".len(), 2));
        writes.take_back_to(mark);
        is(&writes, 1, (before.0, after.1 + "tail".len(), 1));
        assert_eq!(writes.journal_bytes(), 0);
    }
}
