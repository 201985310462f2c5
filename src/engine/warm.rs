//! What a start reads while it waits for its turn.
//!
//! A start that waits for the owner of a shared store to end has nothing else to do: it reads what
//! there is, again and again only what is new, so that little is left to be read when the store is
//! handed over. Nothing is concluded from it. Objects never change, and their names are never used
//! again: it only matters that they need not be asked for a second time.

use super::Engine;
use super::read::{Object, ReadAhead};
use super::recovery::OpenError;
use crate::layout::{Header, ObjectName};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// As much is kept, in bytes: the directories of some million keys. What is beyond is read when
/// it is its turn.
const BYTES_MAX: usize = 256 << 20;

/// How often it is looked for what is new: a listing of everything is not for free.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Headers and directories of objects, by name.
#[derive(Debug, Default)]
pub(super) struct Warm(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    objects: HashMap<ObjectName, Bytes>,
    bytes: usize,
    /// When it was looked last, on the monotonic clock.
    looked_at: Option<Duration>,
}

impl Kept {
    fn keep(&mut self, name: ObjectName, directory: Bytes) {
        self.bytes += directory.len();
        if let Some(before) = self.objects.insert(name, directory) {
            self.bytes -= before.len();
        }
    }

    fn keep_only(&mut self, wanted: impl Fn(&ObjectName) -> bool) {
        let bytes = &mut self.bytes;
        self.objects.retain(|name, directory| {
            let keep = wanted(name);
            *bytes -= if keep { 0 } else { directory.len() };
            keep
        });
    }
}

impl Warm {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Header and directory of an object, if it was read before.
    pub(super) fn get(&self, name: ObjectName) -> Option<Bytes> {
        self.kept().objects.get(&name).cloned()
    }

    /// Keeps header and directory of an object.
    pub(super) fn keep(&self, name: ObjectName, header: &Header, bytes: &[u8]) {
        let directory = bytes.get(..header.values_offset() as usize).unwrap_or(bytes);
        self.kept().keep(name, Bytes::copy_from_slice(directory));
    }

    /// The start is over.
    pub(super) fn clear(&self) {
        *self.kept() = Kept::default();
    }

    /// Reads objects that have just come to be. Should it fail, they are read in their turn.
    pub(super) async fn read(&self, engine: &Engine, names: Vec<ObjectName>) {
        if let Err(error) = self.read_new(engine, names).await {
            tracing::debug!(%error, "new groups could not be read ahead");
        }
    }

    /// Lists what there is, unless that has just been done, forgets what is gone, and reads what is
    /// not known: bases, and what was listed late.
    pub(super) async fn read_ahead(&self, engine: &Engine) {
        let now = engine.clock.monotonic();
        let looked_at = self.kept().looked_at;
        if looked_at.is_none_or(|at| now.saturating_sub(at) >= LOOK_EVERY) {
            if let Err(error) = self.look(engine).await {
                tracing::debug!(%error, "nothing could be read ahead");
            }
            self.kept().looked_at = Some(engine.clock.monotonic());
        }
    }

    async fn look(&self, engine: &Engine) -> Result<(), OpenError> {
        let mut names: Vec<ObjectName> = Vec::new();
        for prefix in [ObjectName::BASES, ObjectName::LOGS] {
            let listed = engine.store.list(prefix).await?;
            names.extend(listed.iter().filter_map(|name| name.parse::<ObjectName>().ok()));
        }
        names.sort_unstable();
        self.kept().keep_only(|name| names.binary_search(name).is_ok());
        self.read_new(engine, names).await
    }

    /// Reads these, as far as that has not been done.
    async fn read_new(&self, engine: &Engine, mut names: Vec<ObjectName>) -> Result<(), OpenError> {
        {
            let kept = self.kept();
            names.retain(|name| !kept.objects.contains_key(name));
        }
        // The newest first: the oldest may be compacted away before they are wanted.
        let mut objects = ReadAhead::new(engine, names.into_iter().rev());
        while self.kept().bytes < BYTES_MAX
            && let Some((name, object)) = objects.next().await?
        {
            if let Object::Sound(header, bytes) = object {
                self.keep(name, &header, &bytes);
            }
        }
        Ok(())
    }
}
