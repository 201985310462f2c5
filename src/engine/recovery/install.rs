//! Installs what objects hold, on several threads.
//!
//! ```text
//!   reading         o o o o o o   batches, in order, to every thread
//!                        |
//!             +----------+----------+
//!        hashes 00..   01..   10..  11..    each installs the keys of its share
//!             +----------+----------+
//!                        |
//!                  one index           by putting the shares side by side
//! ```
//! Most of a start is looking up keys in an index much larger than the processor's caches.
//! Every thread reads all directories, which is little work, and installs only the keys whose
//! hashes begin with its bits: what is said of one key is installed by one thread, in order,
//! and between different keys there is no order. What concerns a whole database (a flush)
//! each thread does for its share, at the same place in the order.

use super::super::core::blobs::Blobs;
use super::super::core::{Core, Recovering, Said, What};
use super::super::index::{Share, hash_key};
use super::super::interactive::Outcome;
use super::super::version::{Inherited, ObjectId, State, StoredValue, Version};
use crate::layout::directory::TYPE_STRING;
use crate::layout::group::checked_directory;
use crate::layout::{CommitId, FormatError, Header, Kind, ObjectName, Place, Write};
use crate::storage::StoreError;
use bytes::Bytes;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Objects are handed to the threads when they have gathered so many bytes: to wake a thread
/// costs as much as some hundred keys.
const BATCH_BYTES: usize = 1 << 20;

/// So many batches wait for a thread at the most; who reads waits then.
const BATCHES_MAX: usize = 4;

/// Writes whose keys are looked for together, see [`Installing::install`].
const SLICE_WRITES: usize = 32;

/// An object whose directory is to be installed.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) name: ObjectName,
    pub(super) object: ObjectId,
    pub(super) header: Header,
    /// Header and directory at least.
    pub(super) bytes: Bytes,
}

/// Objects in order, for every thread.
type Batch = Arc<Vec<Loaded>>;

/// What installing has shown.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// Keys whose values are lost.
    pub(super) lost: bool,
    /// What could not be read, one line each.
    pub(super) damages: Vec<String>,
}

/// The threads.
#[derive(Debug)]
pub(super) struct Installers {
    gathered: Vec<Loaded>,
    gathered_bytes: usize,
    threads: Vec<(SyncSender<Batch>, JoinHandle<Installing>)>,
}

impl Installers {
    /// Starts `1 << share_bits` threads.
    ///
    /// # Errors
    /// The system has no thread for us.
    pub(super) fn start(hash_seed: u64, share_bits: u32) -> Result<Self, StoreError> {
        let threads = (0..1 << share_bits).map(|number| {
            let share = Share { number, bits: share_bits };
            let (sender, receiver) = sync_channel(BATCHES_MAX);
            let install = move || Installing::new(hash_seed, share).run(&receiver);
            let thread = std::thread::Builder::new().name("aft-recover".to_owned()).spawn(install);
            Ok((sender, thread?))
        });
        let threads = threads.collect::<std::io::Result<_>>();
        let threads =
            threads.map_err(|error| StoreError::Fatal(format!("starting a thread: {error}")))?;
        Ok(Self { gathered: Vec::new(), gathered_bytes: 0, threads })
    }

    /// Takes one more object, behind all before.
    pub(super) fn add(&mut self, loaded: Loaded) {
        self.gathered_bytes += loaded.bytes.len();
        self.gathered.push(loaded);
        if self.gathered_bytes >= BATCH_BYTES {
            self.hand_out();
        }
    }

    fn hand_out(&mut self) {
        self.gathered_bytes = 0;
        let batch = Arc::new(std::mem::take(&mut self.gathered));
        for (sender, _) in &self.threads {
            // A thread that has panicked is found out about at the end.
            let _ = sender.send(Arc::clone(&batch));
        }
    }

    /// Brings all that was installed into the state.
    pub(super) fn finish(mut self, core: &mut Core) -> Shown {
        self.hand_out();
        let (senders, threads): (Vec<_>, Vec<_>) = self.threads.into_iter().unzip();
        drop(senders);
        let done =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|p| resume_unwind(p)));
        let mut shown = Shown::default();
        let mut shares = Vec::new();
        for installed in done {
            shown.lost |= installed.shown.lost;
            // Each thread has read the same.
            shown.damages = installed.shown.damages;
            if shares.is_empty() {
                for (object, swaps) in installed.swaps {
                    swaps.iter().for_each(|&(one, other)| core.recover_swap(one, other));
                    core.recover_swaps_of(object, swaps);
                }
                core.recover_outcomes(installed.outcomes.into_iter());
            }
            core.recover_blobs(installed.blobs, installed.named_by);
            shares.push(installed.keys);
        }
        core.recover_keys(shares);
        shown
    }
}

/// What one thread has installed.
#[derive(Debug)]
struct Installing {
    hash_seed: u64,
    share: Share,
    keys: Recovering,
    /// The swaps in each object that has any.
    swaps: Vec<(ObjectId, Vec<(u8, u8)>)>,
    /// Of interactive transactions; the first share alone gathers them.
    outcomes: Vec<Outcome>,
    shown: Shown,
    /// Those that are named by what its keys put.
    blobs: Blobs,
    /// By which object, and how large they are in bytes.
    named_by: Vec<(ObjectId, u64)>,
}

/// A write of a key of this share.
struct Found<'a> {
    hash: u64,
    commit: CommitId,
    write: Write<'a>,
}

impl Installing {
    fn new(hash_seed: u64, share: Share) -> Self {
        let blobs = Blobs::of_share(share);
        let keys = Recovering::new(hash_seed, share);
        let (swaps, outcomes) = (Vec::new(), Vec::new());
        Self {
            hash_seed,
            share,
            keys,
            swaps,
            outcomes,
            shown: Shown::default(),
            blobs,
            named_by: Vec::new(),
        }
    }

    fn run(mut self, batches: &Receiver<Batch>) -> Self {
        while let Ok(batch) = batches.recv() {
            for loaded in batch.iter() {
                if let Err(error) = self.read(loaded) {
                    let is_base = loaded.header.kind == Kind::Base;
                    let lost = if is_base { "keys" } else { "transactions" };
                    let name = loaded.name;
                    self.shown.damages.push(format!("{name}: {error}: the {lost} in it are lost"));
                }
            }
        }
        self
    }

    fn read(&mut self, loaded: &Loaded) -> Result<(), FormatError> {
        let Loaded { object, header, bytes, .. } = loaded;
        let mut directory = checked_directory(header, bytes)?;
        let mut slice = Vec::with_capacity(SLICE_WRITES);
        let mut swaps = Vec::new();
        let read = loop {
            let commit = match directory.next_commit() {
                Ok(Some(commit)) => commit,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            if self.share.number == 0 {
                self.outcomes.extend(Outcome::of_stored(&commit));
            }
            for write in &commit.writes {
                match *write {
                    Write::Put { key, .. }
                    | Write::Delete { key, .. }
                    | Write::Meta { key, .. }
                    | Write::Patch { key, .. } => {
                        let hash = hash_key(self.hash_seed, key);
                        if self.share.has(hash) {
                            slice.push(Found { hash, commit: commit.id, write: *write });
                        }
                    }
                    Write::Flush { database } => {
                        self.install(*object, &mut slice);
                        self.keys.flush(database);
                    }
                    // A base tells them all at once, and the newest base for all.
                    Write::Swap { .. } if header.kind == Kind::Base => {}
                    Write::Swap { one, other } => swaps.push((one, other)),
                    Write::Control(_) => {}
                }
                if slice.len() == SLICE_WRITES {
                    self.install(*object, &mut slice);
                }
            }
            directory.reuse(commit);
        };
        self.install(*object, &mut slice);
        if !swaps.is_empty() {
            self.swaps.push((*object, swaps));
        }
        read
    }

    /// Installs some writes.
    fn install(&mut self, object: ObjectId, slice: &mut Vec<Found<'_>>) {
        self.keys.look_ahead(slice.iter().map(|found| (slot_of(&found.write), found.hash)));
        for Found { hash, commit, write } in slice.drain(..) {
            let (key, expires_ms, what) = match write {
                Write::Put { key, value_type: TYPE_STRING, expires_ms, place, .. } => {
                    (key, expires_ms, self.value_of(object, place))
                }
                Write::Delete { key, .. } => (key, None, What::State(State::Tombstone)),
                Write::Meta { database, key, predecessor, expires_ms } => {
                    let state = inherited(self.keys.newest(database, hash, key), predecessor);
                    (key, expires_ms, What::State(state))
                }
                // Of a kind that no version writes yet.
                Write::Put { key, expires_ms, .. } | Write::Patch { key, expires_ms, .. } => {
                    (key, expires_ms, What::State(State::Lost))
                }
                Write::Flush { .. } | Write::Swap { .. } | Write::Control(_) => continue,
            };
            self.shown.lost |= matches!(what, What::State(State::Lost));
            let said = Said { expires_ms: expires_ms.unwrap_or(0), what };
            self.keys.install(slot_of(&write), hash, key, commit, said);
        }
    }

    /// What a put says of its key.
    fn value_of<'p>(&mut self, object: ObjectId, place: Place<'p>) -> What<'p> {
        let stored =
            |object, offset, length, crc| match (u32::try_from(offset), u32::try_from(length)) {
                (Ok(offset), Ok(length)) => {
                    State::Stored(StoredValue { object, offset, length, crc })
                }
                _ => State::Lost,
            };
        What::State(match place {
            Place::Inline(bytes) => return What::Inline(bytes),
            Place::Values { offset, length, crc } => stored(object, offset, length, crc),
            Place::Blob { blob, crc } => {
                self.named_by.push((object, blob.bytes()));
                stored(self.blobs.recover(blob), 0, blob.length, crc)
            }
        })
    }
}

fn slot_of(write: &Write<'_>) -> u8 {
    match *write {
        Write::Put { database, .. }
        | Write::Delete { database, .. }
        | Write::Meta { database, .. }
        | Write::Patch { database, .. }
        | Write::Flush { database } => database,
        Write::Swap { .. } | Write::Control(_) => 0,
    }
}

/// The value that a change of its expiry leaves as it is. Until format 2 the predecessor
/// was the version before, from 3 on it is the one that put the value.
fn inherited(older: Option<&Version>, predecessor: CommitId) -> State {
    match older {
        Some(Version { commit, state: State::Inherited(inherited), .. })
            if *commit == predecessor || inherited.put == predecessor =>
        {
            State::Inherited(inherited.clone())
        }
        Some(Version { commit, state: state @ (State::Live(_) | State::Stored(_)), .. })
            if *commit == predecessor =>
        {
            State::Inherited(Box::new(Inherited { put: *commit, state: state.clone() }))
        }
        _ => State::Lost,
    }
}
