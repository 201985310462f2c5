//! Entries into a store: all of them, or none.
//!
//! 1. A node's id is drawn, as at a start, so that no name was ever used before.
//! 2. Entries go into bases of that node, which nothing names: whoever stops here leaves objects
//!    that the next start, or the next restore, deletes.
//! 3. The last base holds no keys, but says which bases count and that all earlier logs are
//!    replaced. It comes last: a base that spoke of others before they are all there could be
//!    believed, should the newest header be damaged.
//! 4. One group names that base. With it, and not before, the store holds what was restored, and
//!    nothing else.
//! 5. The log is sealed, and what was replaced is deleted. The next start would do both.
//!
//! On a store that others can reach, whoever restores is its owner, see `engine::ownership`, and makes
//! sure of that behind step 1, and again before anything is deleted: another one that takes the store
//! in between closes the log of step 4.

use super::dump::count_keys;
use super::snapshot::{Failed, Snapshot};
use super::{BackupError, DATABASES_MAX, Entry};
use crate::layout::blob::{CHUNK_BYTES, ValueCrc, encode_chunk};
use crate::layout::directory::TYPE_STRING;
use crate::layout::{
    BlobName, Commit, CommitId, Control, GroupBuilder, Header, Kind, NodeId, ObjectName, Place,
    Write,
};
use crate::rope::Rope;
use crate::storage::{Created, Store, StoreError, list_all};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use std::ops::Range;

/// A base is written when it has so many bytes; a larger value goes to a blob.
const BASE_BYTES: usize = 4 << 20;

/// Names a store deletes at a time at the most (S3).
const DELETE_NAMES_MAX: usize = 1000;

/// What was restored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restored {
    /// Keys written.
    pub keys: u64,
    /// Keys that had expired, and were left out.
    pub expired: u64,
}

/// A store that is being filled.
pub struct Restore<'s> {
    store: &'s dyn Store,
    rng: StdRng,
    now_ms: u64,
    node: NodeId,
    /// What was there before.
    replaced: Vec<String>,
    /// Bases that count; those before them were begun for nothing.
    bases: Range<u64>,
    base: GroupBuilder,
    /// Objects of large values.
    blobs: Vec<String>,
    /// The number of the next one.
    next_blob: u64,
    last_commit: u64,
    restored: Restored,
}

impl std::fmt::Debug for Restore<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restore").field("restored", &self.restored).finish_non_exhaustive()
    }
}

/// What was restored, and is in the store; what it has replaced is there, too.
#[derive(Debug)]
pub struct Published {
    restored: Restored,
    replaced: Vec<String>,
}

impl Published {
    /// Deletes what was replaced.
    ///
    /// # Errors
    /// The store failed. The next start does it then.
    pub async fn sweep(self, store: &dyn Store) -> Result<Restored, BackupError> {
        for names in self.replaced.chunks(DELETE_NAMES_MAX) {
            store.delete(names).await?;
        }
        Ok(self.restored)
    }
}

impl<'s> Restore<'s> {
    /// Begins. With `replace`, what is in the store is gone when this is published; without, it
    /// has to be empty.
    ///
    /// # Errors
    /// [`BackupError::Refused`] if it is not; others if the store fails.
    pub async fn begin(
        store: &'s dyn Store,
        now_ms: u64,
        replace: bool,
        rng: &mut impl Rng,
    ) -> Result<Self, BackupError> {
        let (found, before) = match Snapshot::of(store).await {
            Ok(before) => (count_keys(store, &before, now_ms).await, before),
            Err(failed) => (Err(failed), Snapshot::default()),
        };
        match found {
            // Whoever has written it knows more than we do.
            Err(Failed::For(BackupError::Refused(why))) => return Err(BackupError::Refused(why)),
            _ if replace => {}
            Ok(0) => {}
            Ok(keys) => {
                return Err(BackupError::Refused(format!(
                    "the store holds {keys} keys: name an empty one, or --replace them all"
                )));
            }
            Err(failed) => {
                let why = match failed {
                    Failed::Vanished(name) => format!("{name}: is missing"),
                    Failed::For(error) => error.to_string(),
                };
                return Err(BackupError::Refused(format!(
                    "the store is not empty, and can't be read ({why}): name an empty one, or --replace it"
                )));
            }
        }
        let now_ms = now_ms.max(before.now_through_ms);
        let first_commit = (now_ms << CommitId::COUNTER_BITS).max(before.largest_commit.time);
        let mut restore = Self {
            store,
            rng: StdRng::from_rng(rng),
            now_ms,
            node: 0,
            replaced: Vec::new(),
            bases: 1..1,
            base: GroupBuilder::default(),
            blobs: Vec::new(),
            next_blob: 1,
            last_commit: first_commit,
            restored: Restored::default(),
        };
        restore.draw_node().await?;
        Ok(restore)
    }

    /// Step 1.
    async fn draw_node(&mut self) -> Result<(), BackupError> {
        let mut newest = 0;
        for name in list_all(self.store, "").await? {
            newest = newest.max(match name.parse() {
                Ok(ObjectName::Node(node)) => node,
                Ok(
                    ObjectName::Log(node, _)
                    | ObjectName::Base(node, _)
                    | ObjectName::Blob(node, _),
                ) => {
                    self.replaced.push(name);
                    node
                }
                _ => 0,
            });
        }
        loop {
            newest = newest.checked_add(1).ok_or_else(|| {
                StoreError::Fatal("no node ids are left in this store".to_owned())
            })?;
            let marker = self.header(Kind::Node, newest, 0);
            if self.create(ObjectName::Node(newest), marker, GroupBuilder::default()).await? {
                self.node = newest;
                return Ok(());
            }
        }
    }

    /// Adds an entry. Of two of one key the later counts.
    ///
    /// # Errors
    /// The store failed, or no node can have such a database.
    pub async fn add(&mut self, entry: Entry) -> Result<(), BackupError> {
        if u32::from(entry.database) >= DATABASES_MAX {
            let why = format!("no node has a database {}", entry.database);
            return Err(BackupError::Refused(why));
        }
        if entry.is_expired(self.now_ms) {
            self.restored.expired += 1;
            return Ok(());
        }
        let mut place = None;
        if entry.value.len() > BASE_BYTES {
            place = Some(self.write_blob(entry.value.to_bytes()).await?);
        }
        let bytes = entry.key.len() + if place.is_none() { entry.value.len() } else { 0 };
        if !self.base.is_empty() && self.base.len() + bytes > BASE_BYTES {
            self.write_base().await?;
        }
        self.last_commit += 1;
        let id = CommitId { time: self.last_commit, node: self.node };
        self.base.begin_commit(&Commit { id, ..Commit::default() }, 1);
        let expires_ms = (entry.expires_ms != 0).then_some(entry.expires_ms);
        let (database, key, value_type) = (entry.database, &entry.key, TYPE_STRING);
        match place {
            Some(place) => {
                self.base.write(&Write::Put { database, key, value_type, expires_ms, place });
            }
            None => {
                self.base.put(database, key, value_type, expires_ms, &entry.value);
            }
        }
        self.restored.keys += 1;
        Ok(())
    }

    /// What was added so far does not count.
    pub fn again(&mut self) {
        self.base = GroupBuilder::default();
        let given_up = std::mem::replace(&mut self.bases, 0..0);
        self.bases = given_up.end..given_up.end;
        self.replaced.extend(given_up.map(|n| ObjectName::Base(self.node, n).to_string()));
        self.replaced.append(&mut self.blobs);
        self.restored = Restored::default();
    }

    /// Step 2, for a value that is too large for a base.
    async fn write_blob(&mut self, value: Bytes) -> Result<Place<'static>, BackupError> {
        let (node, number) = (self.node, self.next_blob);
        let blob = BlobName { node, number, chunk_bytes: CHUNK_BYTES, length: value.len() as u64 };
        self.next_blob += blob.chunks();
        let mut crc = ValueCrc::default();
        for (at, name) in blob.objects().enumerate() {
            let (start, length) = blob.extent(at as u64);
            let chunk = value.slice(start as usize..(start + length) as usize);
            let header = self.header(Kind::Blob, node, number + at as u64);
            let (object, chunk_crc) = encode_chunk(header, chunk);
            crc.append(chunk_crc, length as usize);
            self.blobs.push(name.to_string());
            if !self.create_object(name, object).await? {
                return Err(was_there_before(name).into());
            }
        }
        Ok(Place::Blob { blob, crc: crc.of_value() })
    }

    /// Step 2.
    async fn write_base(&mut self) -> Result<(), BackupError> {
        let number = self.bases.end;
        let base = std::mem::take(&mut self.base);
        let header = self.header(Kind::Base, self.node, number);
        let name = ObjectName::Base(self.node, number);
        self.create_new(name, header, base).await?;
        self.bases.end = number + 1;
        Ok(())
    }

    /// Steps 3 to 5, but for the deleting: what was added is what the store holds.
    ///
    /// # Errors
    /// The store failed. Whether it holds the one or the other is not known then; restoring
    /// once more is safe.
    pub async fn publish(mut self) -> Result<Published, BackupError> {
        if !self.base.is_empty() {
            self.write_base().await?;
        }
        let node = self.node;
        let mut controls = vec![Control::LogTrimmed { node, through: 0 }];
        if !self.bases.is_empty() {
            let (first, last) = (self.bases.start, self.bases.end - 1);
            controls.push(Control::Bases { node, first, last });
        }
        self.add_controls(&controls);
        self.write_base().await?;
        self.add_controls(&controls);
        let base = (node, self.bases.end - 1);
        let mut group = self.header(Kind::Group, node, 1);
        group.base = base;
        group.window = 1;
        let directory = std::mem::take(&mut self.base);
        self.create_new(ObjectName::Log(node, 1), group, directory).await?;
        let mut seal = self.header(Kind::Seal, node, 2);
        seal.base = base;
        seal.acked_through = 1;
        self.create_new(ObjectName::Log(node, 2), seal, GroupBuilder::default()).await?;
        Ok(Published { restored: self.restored, replaced: self.replaced })
    }

    fn add_controls(&mut self, controls: &[Control]) {
        self.last_commit += 1;
        let id = CommitId { time: self.last_commit, node: self.node };
        self.base.begin_commit(&Commit { id, ..Commit::default() }, controls.len());
        controls.iter().for_each(|control| self.base.write(&Write::Control(*control)));
    }

    fn header(&mut self, kind: Kind, node: NodeId, number: u64) -> Header {
        let mut header = Header::new(kind, self.rng.random(), node, number);
        header.largest_commit = CommitId { time: self.last_commit, node };
        header.wall_ms = self.now_ms;
        header.now_through_ms = self.now_ms;
        header
    }

    async fn create_new(
        &self,
        name: ObjectName,
        header: Header,
        builder: GroupBuilder,
    ) -> Result<(), BackupError> {
        match self.create(name, header, builder).await? {
            true => Ok(()),
            false => Err(was_there_before(name).into()),
        }
    }

    /// `false` if the name was taken.
    async fn create(
        &self,
        name: ObjectName,
        header: Header,
        builder: GroupBuilder,
    ) -> Result<bool, BackupError> {
        let object = match builder.is_empty() {
            true => {
                let mut object = Vec::new();
                header.encode(&mut object);
                Rope::from(Bytes::from(object))
            }
            false => builder.finish(header).1,
        };
        self.create_object(name, object).await
    }

    /// `false` if the name was taken.
    async fn create_object(&self, name: ObjectName, object: Rope) -> Result<bool, BackupError> {
        let created = self.store.create_in_pieces(&name.to_string(), object).await?;
        Ok(created == Created::Created)
    }
}

fn was_there_before(name: ObjectName) -> StoreError {
    StoreError::Fatal(format!("{name} was there before: does somebody else write to this store?"))
}
