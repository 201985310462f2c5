//! What the embedded store makes of a disk that fails: each fault at the moment at which it is
//! hardest to get right. Random ones are in `power_cut`.

// In a test, an unwrap is an assertion.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use aft::storage::StoreError;
use aft::storage::embedded::{Done, Durability, EmbeddedOptions, Segments, Write};
use bytes::Bytes;
use common::sim_disk::SimDisk;
use std::sync::Arc;

/// How the disk's chances fall: which of the sectors of a failed sync it keeps, for one.
const SEEDS: u64 = 8;

/// A store and its disk.
struct World {
    disk: SimDisk,
    options: EmbeddedOptions,
    store: Segments<SimDisk>,
}

impl World {
    fn new(seed: u64, durability: Durability, segment_bytes: u64) -> Self {
        let disk = SimDisk::new(seed, None);
        let options = EmbeddedOptions { segment_bytes, durability, entropy: seed };
        let store = Segments::open(Arc::new(disk.clone()), options).unwrap();
        Self { disk, options, store }
    }

    fn commit(&mut self, writes: Vec<Write>) -> Vec<Result<Done, StoreError>> {
        self.store.commit(writes)
    }

    fn create(&mut self, name: &str, size: usize) -> Result<Done, StoreError> {
        self.commit(vec![create(name, size)]).remove(0)
    }

    fn has(&self, name: &str, size: usize) -> bool {
        self.store.read(name, 0, u64::MAX) == Ok(body(name, size))
    }

    /// Does all that is to be done in the background.
    fn do_chores(&mut self) {
        while let Some(chore) = self.store.take_chore() {
            self.store.finish_chore(chore.run(&self.disk));
        }
    }

    /// A second passes.
    fn sync(&mut self) {
        if let Some(sync) = self.store.take_sync() {
            self.store.finish_chore(sync.run(&self.disk));
        }
    }

    fn power_cut(&mut self) {
        self.disk.power_cycle();
        self.store = Segments::open(Arc::new(self.disk.clone()), self.options).unwrap();
        assert_eq!(self.store.damage(), []);
    }
}

fn create(name: &str, size: usize) -> Write {
    Write::Create { name: name.to_owned(), body: body(name, size).into() }
}

/// Bytes that no other object has.
fn body(name: &str, size: usize) -> Bytes {
    name.bytes().cycle().take(size).collect()
}

/// The system tells of what it couldn't write once. Between a failed sync in the background and
/// the writer hearing of it, the writer may sync the same file: to begin the next segment.
#[test]
fn a_failed_sync_in_the_background_is_not_lost_on_a_sync_of_the_writer() {
    const SIZE: usize = 12_000;
    for seed in 0..SEEDS {
        let mut world = World::new(seed, Durability::EverySecond, 32 << 10);
        let mut acknowledged = Vec::new();
        let mut write = |world: &mut World, name: &str| {
            if world.create(name, SIZE) == Ok(Done::Created) {
                acknowledged.push(name.to_owned());
            }
        };
        write(&mut world, "log/1");
        world.disk.fail_sync_in(0);
        let failed = world.store.take_sync().unwrap().run(&world.disk);
        assert!(!failed.is_ok());
        // The third doesn't fit any more.
        for name in ["log/2", "log/3"] {
            write(&mut world, name);
        }
        world.store.finish_chore(failed);
        write(&mut world, "log/4");
        world.sync();
        assert!(acknowledged.len() > 2, "{acknowledged:?}");
        world.power_cut();
        for name in &acknowledged {
            assert!(world.has(name, SIZE), "{name} is lost (seed {seed})");
        }
    }
}
