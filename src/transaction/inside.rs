//! A command inside of an interactive transaction: it reads that one's snapshot and writes,
//! and leaves its own writes there.
//!
//! The essay is in [`crate::engine::interactive`]. Here is what differs from a transaction
//! that runs in one go:
//!
//! - Foreign versions are read, and their expiry is judged, at the snapshot; what it wrote
//!   itself, and the times that commands compute, go by the present time.
//! - A command that has to run again takes its writes back first.
//! - Keys that the commit depends on are noted as they are read.

use super::{Finished, Transaction, Watched, answer, is_too_large};
use crate::engine::core::Refused;
use crate::engine::interactive::{Open, Pinned, RESULT_RESERVED_BYTES, SAID_BYTES, Token};
use crate::engine::version::{Position, Snapshot};
use crate::layout::CommitId;
use crate::small_bytes::{SmallBytes, SmallKey};

/// What a command changes of the transaction that it runs in.
#[derive(Debug)]
pub(super) struct Inside {
    open: Box<Open>,
    token: Token,
    /// Where the journal of writes was when it began.
    mark: usize,
    /// What the transaction took then, in bytes.
    bytes: usize,
    /// What it and all others may take.
    all_bytes_max: usize,
    /// It has read, so the snapshot stays.
    looked: bool,
    /// What it reads now decides what it writes.
    reads_to_write: bool,
}

/// Why a transaction was not committed.
#[derive(Debug, PartialEq, Eq)]
pub enum NotCommitted {
    /// It isn't open.
    NotOpen,
    /// Somebody has changed this key since it was read: the transaction has ended.
    Conflict(SmallKey),
    /// This step of it is not done: it is open still.
    Unfinished(SmallBytes),
    /// With its result it is more than there is room for: it is open still.
    TooLarge,
    /// The node takes no writes: it is open still.
    Refused(Refused),
}

impl Transaction<'_> {
    /// Goes on inside of an open transaction, before anything else is done. All that are open
    /// may take `all_bytes_max` bytes. `false` if it isn't there.
    pub fn enter(&mut self, token: Token, all_bytes_max: usize) -> bool {
        let bytes = self.core.interactive().registry.bytes();
        let Some(mut open) = self.core.take_interactive(token) else {
            return false;
        };
        let pinned = open.snapshot.as_ref().map(Pinned::snapshot);
        self.snapshot = pinned.unwrap_or_else(|| self.core.visible());
        self.now_ms = self.core.now_ms();
        self.writes = std::mem::take(&mut open.writes);
        let mark = self.writes.keep_journal();
        let inside = Inside {
            open,
            token,
            mark,
            bytes,
            all_bytes_max,
            looked: false,
            reads_to_write: false,
        };
        self.inside = Some(Box::new(inside));
        true
    }

    /// Whether what is read from now on decides what is written: then the commit of an
    /// interactive transaction depends on it.
    #[inline]
    pub fn reads_to_write(&mut self, reads_to_write: bool) {
        if let Some(inside) = &mut self.inside {
            inside.reads_to_write = reads_to_write;
        }
    }

    /// Whether it runs inside of an interactive transaction.
    pub fn is_inside(&self) -> bool {
        self.inside.is_some()
    }

    /// Whether it runs inside of an interactive transaction of the highest isolation.
    pub fn is_serializable(&self) -> bool {
        self.inside.as_ref().is_some_and(|inside| inside.open.terms.serializable)
    }

    /// A key is read.
    #[cold]
    pub(super) fn note(&mut self, database: u8, key: &[u8]) {
        if let Some(inside) = &mut self.inside {
            inside.looked = true;
            if inside.reads_to_write || inside.open.terms.serializable {
                inside.open.checks.add(database, key);
            }
        }
    }

    /// Something of the snapshot is read that is no single key.
    pub(super) fn note_look(&mut self) {
        if let Some(inside) = &mut self.inside {
            inside.looked = true;
        }
    }

    /// How many keys the snapshot has, if that was counted.
    pub(super) fn pinned_count(&self, database: u8) -> Option<u64> {
        let pinned = self.inside.as_ref()?.open.snapshot.as_ref()?;
        let count = pinned.keys.iter().find(|(of, _)| *of == database);
        let reaped = self.core.reaped_keys(database, self.snapshot);
        Some(count.map_or(0, |(_, keys)| keys.saturating_sub(reaped)))
    }

    /// What WATCH remembers of a key inside: what others do to it the commit will find, and
    /// what is done in here its revision tells.
    pub(super) fn watch_inside(&mut self, database: u8, key: &[u8]) -> Option<Watched> {
        let (home, hash) = self.place(database, key);
        let inside = self.inside.as_mut()?;
        inside.looked = true;
        inside.open.checks.add(home, key);
        let revision = self.writes.revision(home, hash, key);
        Some(Watched::Inside { id: inside.token.id, revision })
    }

    /// Whether that still holds.
    pub(super) fn watched_inside_holds(
        &self,
        database: u8,
        key: &[u8],
        id: u128,
        revision: u32,
    ) -> bool {
        let (home, hash) = self.place(database, key);
        let here = self.inside.as_ref().is_some_and(|inside| inside.token.id == id);
        here && self.writes.revision(home, hash, key) == revision
    }

    /// Leaves what was written in the transaction, or takes it back.
    pub(super) fn finish_inside(&mut self) -> Finished {
        let Some(mut inside) = self.inside.take() else {
            return answer(self.core, 0, 0);
        };
        if self.missing.is_empty() {
            self.misses_blobs();
        }
        let open = &mut inside.open;
        open.writes = std::mem::take(&mut self.writes);
        let cannot_commit =
            self.missing.is_empty() && open.writes.bytes() > self.core.transaction_bytes_max();
        let too_large = is_too_large(&open.writes, self.bytes_max) || cannot_commit;
        let all_bytes = self.core.interactive().registry.bytes() + open.bytes();
        let too_many = all_bytes > inside.all_bytes_max && all_bytes > inside.bytes;
        let answered = answer(self.core, self.saw, self.saw_expired_ms);
        let fails = !matches!(answered, Finished::Done { .. });
        let stands = self.missing.is_empty() && !too_large && !too_many && !fails;
        if stands {
            open.checks.stand();
            if open.writes.journal_len() > inside.mark {
                open.steps.wrote(inside.token.part);
            }
        } else {
            open.checks.take_back();
            open.writes.take_back_to(inside.mark);
        }
        if !open.steps.newest_is_open() {
            open.writes.clear_journal();
        }
        if inside.looked && stands && open.snapshot.is_none() {
            open.snapshot = Some(self.core.pin_interactive());
        }
        self.core.put_back_interactive(inside.open);
        if !self.missing.is_empty() {
            return Finished::Fetch(std::mem::take(&mut self.missing));
        }
        match (too_large, too_many) {
            (true, _) => Finished::TooLarge,
            (_, true) => Finished::TooManyOpen,
            _ => answered,
        }
    }

    /// The answer depends on a group.
    pub fn depends_on(&mut self, position: Position) {
        self.saw = self.saw.max(position);
    }

    /// Commits an open transaction; that it has committed is told once it is durable.
    ///
    /// # Errors
    /// Nothing of it happened.
    pub fn commit_interactive(
        &mut self,
        token: Token,
        result: Option<&[u8]>,
        outcome_bytes_max: usize,
    ) -> Result<CommitId, NotCommitted> {
        let interactive = self.core.interactive();
        let result_bytes = result.map_or(0, <[u8]>::len);
        let kept = interactive.outcomes.bytes() + interactive.registry.reserved_bytes();
        let Some(open) = interactive.registry.get(token.id) else {
            return Err(NotCommitted::NotOpen);
        };
        if let Some(step) = open.steps.unfinished_beside(token.part) {
            return Err(NotCommitted::Unfinished(step.name.clone()));
        }
        /// The token's text, and some lengths.
        const META_BYTES: usize = 128;
        let request_bytes = open.terms.request.as_ref().map_or(0, |request| request.len());
        let bytes = self.core.bytes_of(&open.writes) + request_bytes + result_bytes + META_BYTES;
        // A request has room for a small one from its beginning.
        let more = match open.terms.request {
            Some(_) => result_bytes.saturating_sub(RESULT_RESERVED_BYTES),
            None => result.map_or(0, |result| result.len() + SAID_BYTES),
        };
        let no_room = more > 0 && kept + more > outcome_bytes_max;
        let too_large = is_too_large(&open.writes, self.bytes_max)
            || bytes > self.bytes_max.min(self.core.transaction_bytes_max());
        if too_large || no_room {
            return Err(NotCommitted::TooLarge);
        }
        let Some(open) = self.core.take_interactive(token) else {
            return Err(NotCommitted::NotOpen);
        };
        if let Some(key) = self.conflict(&open) {
            self.core.end_interactive(&open);
            return Err(NotCommitted::Conflict(key));
        }
        match self.core.commit_interactive(open, token, result) {
            Ok((commit, position)) => {
                self.depends_on(position);
                Ok(commit)
            }
            Err(refused) => Err(NotCommitted::Refused(refused)),
        }
    }

    /// A key that the commit depends on and that is not as it was read. What it is now counts
    /// as read: a refusal, too, tells of it.
    fn conflict(&mut self, open: &Open) -> Option<SmallKey> {
        let before = open.snapshot.as_ref()?.snapshot();
        let changed = open.checks.iter().find(|(database, key)| {
            let was = self.version_of(*database, key, before);
            let is = self.version_of(*database, key, self.core.tip());
            match (was, is) {
                (Some((slot, _)), Some((now, _))) if slot != now => true,
                (Some((_, was)), Some((_, Some(is)))) => was.unwrap_or_default() != is,
                // A tombstone that has gone from the index since is no change.
                (Some((_, was)), _) => was.is_some_and(|(_, alive)| alive),
                (None, _) => true,
            }
        });
        changed.map(|(_, key)| key.clone())
    }

    /// The slot of a database in a snapshot; the commit that changed a key there last, and
    /// whether it is alive.
    fn version_of(
        &mut self,
        database: u8,
        key: &[u8],
        from: Snapshot,
    ) -> Option<(u8, Option<(CommitId, bool)>)> {
        if from.position == Snapshot::TIP {
            self.depends_on(self.core.swapped_at(database));
        }
        let slot = self.core.slot(database, from)?;
        Some((slot, self.see_newest(slot, key, from)))
    }
}
