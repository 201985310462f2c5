//! A disk in memory that forgets what was not synced, as real ones may.
//!
//! What is modelled:
//! - A power cut keeps, of what was not synced, any version of each 512-byte sector on
//!   its own, or a torn one: the first bytes of a newer version, the rest of an older.
//!   Bytes equal in both never change ("powersafe overwrite").
//! - File lengths, and names (creations, renames, removals), survive each on its own.
//! - A write may fail and have written a part, a removal may fail.
//! - A sync may fail. Like Linux, the system then holds the pages for clean: they
//!   stay readable until they are evicted, and the next sync says nothing of them.
//! - Space is counted in pages; a write may end early for want of it.
//! - The end of a process alone keeps everything that was written.
//!
//! Mutations leave out or delay one kind of sync: the tests must notice each.
#![allow(clippy::unwrap_used)] // A test helper: a poisoned lock is a failed test already.

use aft::storage::embedded::{Disk, DiskFile, SyncPoint};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

const SECTOR: usize = 512;
const PAGE: usize = 4096;

/// What is wrong with this disk on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// These syncs do nothing, and say they did.
    Ignore(SyncPoint),
    /// These syncs are done only when the file or directory is next written to, as if
    /// the caller had gone on before them.
    Late(SyncPoint),
}

/// The disk; clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    released: Arc<Condvar>,
}

#[derive(Debug)]
struct State {
    rng: StdRng,
    mutation: Option<Mutation>,
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Changes of names since the last sync of the directory.
    unsynced_names: Vec<NameChange>,
    late_directory_sync: bool,
    /// How many more changes until the power goes.
    power_for: Option<u64>,
    /// How many more syncs until one fails.
    sync_fails_in: Option<u64>,
    failures: u64,
    /// The same of writes and removals.
    write_fails_in: Option<u64>,
    /// Whether the next write finds no room, and the one behind it does.
    full_once: bool,
    remove_fails_in: Option<u64>,
    /// Whether who creates a file has to wait.
    holds_creates: bool,
    dead: bool,
    pages_max: usize,
    /// Whether nobody else has files open.
    reuses: bool,
}

#[derive(Debug, Clone)]
enum NameChange {
    Create(String, usize),
    Rename(String, String, usize),
    Remove(String),
}

#[derive(Debug, Default)]
struct File {
    /// What a reader sees.
    current: Vec<u8>,
    durable: Vec<u8>,
    /// Contents of a sector since it was last durable, oldest first.
    versions: BTreeMap<usize, Vec<Vec<u8>>>,
    dirty_pages: BTreeSet<usize>,
    /// Pages that differ from the disk and are held for clean, after a failed sync.
    lost_pages: BTreeSet<usize>,
    allocated: BTreeSet<usize>,
    late_sync: bool,
}

/// An open file.
#[derive(Debug)]
pub struct SimFile {
    state: Arc<Mutex<State>>,
    id: usize,
}

fn dead() -> io::Error {
    io::Error::other("the power is off")
}

impl SimDisk {
    pub fn new(seed: u64, mutation: Option<Mutation>) -> Self {
        Self {
            state: Arc::new(Mutex::new(State {
                rng: StdRng::seed_from_u64(seed ^ 0x5eed_d15c),
                mutation,
                files: Vec::new(),
                names: BTreeMap::new(),
                durable_names: BTreeMap::new(),
                unsynced_names: Vec::new(),
                late_directory_sync: false,
                power_for: None,
                sync_fails_in: None,
                failures: 0,
                write_fails_in: None,
                full_once: false,
                remove_fails_in: None,
                holds_creates: false,
                dead: false,
                pages_max: usize::MAX,
                reuses: !seed.is_multiple_of(3),
            })),
            released: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Cuts the power in the middle of a change, `changes` from now.
    pub fn cut_power_in(&self, changes: u64) {
        self.state().power_for = Some(changes);
    }

    /// Lets a sync fail, `syncs` from now.
    pub fn fail_sync_in(&self, syncs: u64) {
        self.state().sync_fails_in = Some(syncs);
    }

    /// How many syncs and writes have failed so far.
    pub fn failures(&self) -> u64 {
        self.state().failures
    }

    /// Lets a write fail, `writes` from now.
    pub fn fail_write_in(&self, writes: u64) {
        self.state().write_fails_in = Some(writes);
    }

    /// Has no room for the next write, and for those behind it: somebody else has freed some.
    pub fn fill_once(&self) {
        self.state().full_once = true;
    }

    /// Lets a removal fail, `removals` from now.
    pub fn fail_remove_in(&self, removals: u64) {
        self.state().remove_fails_in = Some(removals);
    }

    /// From now on who creates a file waits, until it is told not to.
    pub fn hold_creates(&self, hold: bool) {
        self.state().holds_creates = hold;
        self.released.notify_all();
    }

    /// Whether all that files hold is durable.
    pub fn is_synced(&self) -> bool {
        self.state().files.iter().all(|file| file.dirty_pages.is_empty())
    }

    /// What a file holds now.
    pub fn contents(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.files[state.names[name]].current.clone()
    }

    /// How much fits; files with names count.
    pub fn set_pages_max(&self, pages: usize) {
        self.state().pages_max = pages;
    }

    pub fn pages_used(&self) -> usize {
        self.state().pages_used()
    }

    /// Whether the power is off.
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// The power goes, if it hasn't, and comes back: what wasn't synced is settled.
    pub fn power_cycle(&self) {
        self.state().power_cycle();
    }

    /// The process ends and another begins: memory goes on, though some of what the
    /// system failed to write may drop out of it.
    pub fn restart_process(&self) {
        let mut state = self.state();
        let State { rng, files, .. } = &mut *state;
        for file in files {
            for page in std::mem::take(&mut file.lost_pages) {
                match rng.random_bool(0.5) {
                    true => file.evict(page),
                    false => _ = file.lost_pages.insert(page),
                }
            }
        }
    }
}

impl State {
    /// Counts a change; at the fatal one, says whether it still takes place.
    fn change(&mut self) -> io::Result<bool> {
        if self.dead {
            return Err(dead());
        }
        let Some(left) = &mut self.power_for else {
            return Ok(true);
        };
        if *left > 0 {
            *left -= 1;
            return Ok(true);
        }
        self.dead = true;
        Ok(self.rng.random_bool(0.5))
    }

    /// What a change answers: nobody hears a success once the power is off.
    fn answer<T>(&self, value: T) -> io::Result<T> {
        if self.dead { Err(dead()) } else { Ok(value) }
    }

    fn pages_used(&self) -> usize {
        let ids: BTreeSet<usize> = self.names.values().copied().collect();
        ids.iter().map(|&id| self.files[id].allocated.len()).sum()
    }

    fn name_change(&mut self, change: NameChange) {
        if std::mem::take(&mut self.late_directory_sync) {
            self.sync_names();
        }
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    fn sync_names(&mut self) {
        self.durable_names = self.names.clone();
        self.unsynced_names.clear();
    }

    /// Counts a sync that isn't mutated away; Some: what to answer at once.
    fn skip_sync(&mut self, point: SyncPoint) -> Option<io::Result<Late>> {
        match self.change() {
            Err(error) => return Some(Err(error)),
            Ok(false) => return Some(Err(dead())),
            Ok(true) => {}
        }
        if self.mutation == Some(Mutation::Ignore(point)) {
            return Some(self.answer(Late::Never));
        }
        if self.mutation == Some(Mutation::Late(point)) {
            return Some(self.answer(Late::Later));
        }
        None
    }

    fn this_sync_fails(&mut self) -> bool {
        let fails = is_due(&mut self.sync_fails_in);
        self.failures += u64::from(fails);
        fails
    }

    fn power_cycle(&mut self) {
        let State { rng, files, durable_names, unsynced_names, .. } = self;
        // Often all or nothing survives, sometimes any part.
        let kept = [0.0, 0.1, 0.5, 0.9, 1.0][rng.random_range(0..5)];
        for change in unsynced_names.drain(..) {
            if rng.random_bool(kept) {
                change.apply(durable_names);
            }
        }
        for file in files.iter_mut() {
            file.power_cycle(rng, kept);
        }
        self.names = self.durable_names.clone();
        self.late_directory_sync = false;
        self.power_for = None;
        self.sync_fails_in = None;
        self.write_fails_in = None;
        self.remove_fails_in = None;
        self.dead = false;
    }
}

/// Counts down to a fault.
fn is_due(fails_in: &mut Option<u64>) -> bool {
    *fails_in = match *fails_in {
        Some(0) => {
            *fails_in = None;
            return true;
        }
        left => left.map(|left| left - 1),
    };
    false
}

enum Late {
    Never,
    Later,
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Create(name, id) => _ = names.insert(name.clone(), *id),
            Self::Rename(from, to, id) => {
                names.remove(from);
                names.insert(to.clone(), *id);
            }
            Self::Remove(name) => _ = names.remove(name),
        }
    }
}

fn sector_of(bytes: &[u8], sector: usize) -> Vec<u8> {
    let mut content = vec![0; SECTOR];
    let start = (sector * SECTOR).min(bytes.len());
    let end = (start + SECTOR).min(bytes.len());
    content[..end - start].copy_from_slice(&bytes[start..end]);
    content
}

fn put_sector(bytes: &mut [u8], sector: usize, content: &[u8]) {
    let start = (sector * SECTOR).min(bytes.len());
    let end = (start + SECTOR).min(bytes.len());
    bytes[start..end].copy_from_slice(&content[..end - start]);
}

impl File {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        if std::mem::take(&mut self.late_sync) {
            self.sync();
        }
        let end = offset + bytes.len();
        if self.current.len() < end {
            self.current.resize(end, 0);
        }
        self.current[offset..end].copy_from_slice(bytes);
        for page in offset / PAGE..end.div_ceil(PAGE) {
            self.dirty_pages.insert(page);
            self.allocated.insert(page);
            // The whole page goes to the disk, with what it holds from before.
            self.lost_pages.remove(&page);
            for sector in page * (PAGE / SECTOR)..(page + 1) * (PAGE / SECTOR) {
                let content = sector_of(&self.current, sector);
                let versions = self.versions.entry(sector).or_default();
                let last = versions.last().cloned();
                if last.unwrap_or_else(|| sector_of(&self.durable, sector)) != content {
                    versions.push(content);
                }
            }
        }
    }

    fn sync(&mut self) {
        self.durable.resize(self.current.len(), 0);
        for page in std::mem::take(&mut self.dirty_pages) {
            for sector in page * (PAGE / SECTOR)..(page + 1) * (PAGE / SECTOR) {
                put_sector(&mut self.durable, sector, &sector_of(&self.current, sector));
            }
        }
        self.versions.clear();
    }

    /// Some sectors reach the disk, the others never will; memory holds all for clean.
    fn fail_sync(&mut self, rng: &mut StdRng) {
        self.durable.resize(self.current.len(), 0);
        let kept = [0.0, 0.5, 0.9][rng.random_range(0..3)];
        self.settle_sectors(rng, kept);
        self.lost_pages.append(&mut self.dirty_pages);
    }

    fn settle_sectors(&mut self, rng: &mut StdRng, kept: f64) {
        for (sector, versions) in std::mem::take(&mut self.versions) {
            let Some(newest) = versions.len().checked_sub(1) else {
                continue;
            };
            if !rng.random_bool(kept) {
                continue;
            }
            let pick = |rng: &mut StdRng| match rng.random_bool(0.7) {
                true => newest,
                false => rng.random_range(0..=newest),
            };
            let mut content = versions[pick(rng)].clone();
            if rng.random_bool(0.15) {
                let older = match rng.random_range(0..=newest) {
                    0 => sector_of(&self.durable, sector),
                    version => versions[version - 1].clone(),
                };
                let torn = rng.random_range(0..SECTOR);
                content[torn..].copy_from_slice(&older[torn..]);
            }
            put_sector(&mut self.durable, sector, &content);
        }
    }

    fn evict(&mut self, page: usize) {
        for sector in page * (PAGE / SECTOR)..(page + 1) * (PAGE / SECTOR) {
            let content = sector_of(&self.durable, sector);
            put_sector(&mut self.current, sector, &content);
        }
    }

    fn power_cycle(&mut self, rng: &mut StdRng, kept: f64) {
        if self.current.len() != self.durable.len() && rng.random_bool(kept) {
            self.durable.resize(self.current.len(), 0);
        }
        self.settle_sectors(rng, kept);
        self.current = self.durable.clone();
        self.dirty_pages.clear();
        self.lost_pages.clear();
        self.late_sync = false;
    }
}

impl SimDisk {
    fn handle(&self, id: usize) -> SimFile {
        SimFile { state: Arc::clone(&self.state), id }
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let held = self.released.wait_while(self.state(), |state| state.holds_creates);
        let mut state = held.unwrap();
        let id = state.files.len();
        if state.change()? {
            state.files.push(File::default());
            state.name_change(NameChange::Create(name.to_owned(), id));
        }
        state.answer(self.handle(id))
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let state = self.state();
        let id = state.names.get(name).copied();
        let id = id.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        state.answer(self.handle(id))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let id = state.names.get(from).copied();
        let id = id.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        if state.change()? {
            state.name_change(NameChange::Rename(from.to_owned(), to.to_owned(), id));
        }
        state.answer(())
    }

    fn write_over(&self, file: &SimFile, bytes: &[u8]) -> io::Result<bool> {
        if !self.state().reuses {
            return Ok(false);
        }
        let mut written = 0;
        while written < bytes.len() {
            written += file.write_at(&bytes[written..], written as u64)?;
        }
        Ok(true)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if is_due(&mut state.remove_fails_in) {
            return Err(io::Error::other("removing failed"));
        }
        if state.change()? {
            state.name_change(NameChange::Remove(name.to_owned()));
        }
        state.answer(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.state();
        state.answer(state.names.keys().cloned().collect())
    }

    fn sync_directory(&self, point: SyncPoint) -> io::Result<()> {
        let mut state = self.state();
        match state.skip_sync(point) {
            Some(Ok(Late::Later)) => state.late_directory_sync = true,
            Some(result) => return result.map(|_| ()),
            None if state.this_sync_fails() => return Err(io::Error::other("sync failed")),
            None => state.sync_names(),
        }
        state.answer(())
    }
}

impl DiskFile for SimFile {
    fn length(&self) -> io::Result<u64> {
        let state = self.state.lock().unwrap();
        state.answer(state.files[self.id].current.len() as u64)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        if state.change()? {
            let file = &mut state.files[self.id];
            file.current.resize(length as usize, 0);
            file.allocated.retain(|&page| page < (length as usize).div_ceil(PAGE));
        }
        state.answer(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.state.lock().unwrap();
        let current = &state.files[self.id].current;
        let start = (offset as usize).min(current.len());
        let count = buffer.len().min(current.len() - start);
        buffer[..count].copy_from_slice(&current[start..start + count]);
        state.answer(count)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.state.lock().unwrap();
        let offset = offset as usize;
        // As many whole pages as there is space for.
        let file = &state.files[self.id];
        let mut free = state.pages_max.saturating_sub(state.pages_used());
        let mut fits = bytes.len();
        for page in offset / PAGE..(offset + bytes.len()).div_ceil(PAGE) {
            if !file.allocated.contains(&page) {
                if free == 0 {
                    fits = (page * PAGE).saturating_sub(offset);
                    break;
                }
                free -= 1;
            }
        }
        if fits == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if std::mem::take(&mut state.full_once) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let fails = is_due(&mut state.write_fails_in);
        if fails {
            state.failures += 1;
            fits = state.rng.random_range(0..=fits);
        }
        if state.change()? {
            state.files[self.id].write(&bytes[..fits], offset);
        }
        match fails {
            true => Err(io::Error::other("writing failed")),
            false => state.answer(fits),
        }
    }

    fn sync(&self, point: SyncPoint) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        match state.skip_sync(point) {
            Some(Ok(Late::Later)) => state.files[self.id].late_sync = true,
            Some(result) => return result.map(|_| ()),
            None if state.this_sync_fails() => {
                let State { rng, files, .. } = &mut *state;
                files[self.id].fail_sync(rng);
                return Err(io::Error::other("sync failed"));
            }
            None => state.files[self.id].sync(),
        }
        state.answer(())
    }
}
