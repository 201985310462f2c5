//! What the embedded store makes of a disk that fails: each fault at the moment at which it is
//! hardest to get right. Random ones are in `power_cut`.

// In a test, an unwrap is an assertion.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use aft::storage::embedded::{
    Disk, Done, Durability, EmbeddedOptions, EmbeddedStore, Segments, Write,
};
use aft::storage::{Created, Store, StoreError};
use bytes::Bytes;
use common::sim_disk::SimDisk;
use common::wait::{self, PATIENCE};
use std::collections::BTreeSet;
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
        let options = EmbeddedOptions {
            segment_bytes,
            durability,
            entropy: seed,
            ..EmbeddedOptions::default()
        };
        let store = Segments::open(Arc::new(disk.clone()), options).unwrap();
        Self { disk, options, store }
    }

    fn commit(&mut self, writes: Vec<Write>) -> Vec<Result<Done, StoreError>> {
        self.store.commit(writes)
    }

    fn create(&mut self, name: &str, size: usize) -> Result<Done, StoreError> {
        self.commit(vec![create(name, size)]).remove(0)
    }

    fn delete(&mut self, name: &str) -> Result<Done, StoreError> {
        self.commit(vec![Write::Delete { names: vec![name.to_owned()] }]).remove(0)
    }

    fn there_is(&self, segment: &str) -> bool {
        self.disk.list().unwrap().iter().any(|name| name == segment)
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
        self.start();
    }

    fn start(&mut self) {
        self.try_start().unwrap();
    }

    fn try_start(&mut self) -> Result<(), StoreError> {
        self.store = Segments::open(Arc::new(self.disk.clone()), self.options)?;
        assert_eq!(self.store.damage(), []);
        Ok(())
    }

    /// Nothing more fits on the disk than there is.
    fn fill_disk(&self) {
        self.disk.set_pages_max(self.disk.pages_used());
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

/// A batch that crosses a segment's end is written in two runs. Where the first fails, nothing of
/// the second may be acknowledged before what was acknowledged earlier is safe again.
#[test]
fn a_batch_that_puts_its_segment_in_doubt_ends_there() {
    const SIZE: usize = 12_000;
    const LARGE: usize = 18_000;
    for seed in 0..SEEDS {
        let mut world = World::new(seed, Durability::EverySecond, 32 << 10);
        assert_eq!(world.create("log/1", SIZE), Ok(Done::Created));
        world.disk.fail_write_in(0);
        let absent = Write::Delete { names: vec!["log/9".to_owned()] };
        let batch = vec![create("log/2", 1000), create("log/3", LARGE), absent];
        let answers = world.commit(batch.clone());
        assert!(answers.iter().all(Result::is_err), "{answers:?}");
        let again = world.commit(batch);
        assert_eq!(again, [Ok(Done::Created), Ok(Done::Created), Ok(Done::Deleted)]);
        world.sync();
        world.power_cut();
        for (name, size) in [("log/1", SIZE), ("log/2", 1000), ("log/3", LARGE)] {
            assert!(world.has(name, size), "{name} is lost (seed {seed})");
        }
    }
}

/// A store whose oldest segment holds one small object, which the next commit is going to move.
fn about_to_move(durability: Durability) -> World {
    let mut world = World::new(7, durability, 64 << 10);
    for (name, size) in [("node/1", 100), ("log/1", 40 << 10), ("log/2", 40 << 10)] {
        assert_eq!(world.create(name, size), Ok(Done::Created));
    }
    world.sync();
    world
}

/// Begins a segment, and does what is to be done then.
fn begin_segment(world: &mut World) {
    for name in ["log/3", "log/4"] {
        assert_eq!(world.create(name, 40 << 10), Ok(Done::Created));
    }
    world.sync();
    world.do_chores();
}

#[test]
fn a_move_that_failed_is_tried_again() {
    for durability in [Durability::Always, Durability::EverySecond] {
        let mut world = about_to_move(durability);
        // The delete is written before what is moved.
        world.disk.fail_write_in(1);
        assert_eq!(world.delete("log/1"), Ok(Done::Deleted));
        world.sync();
        assert!(world.there_is("segment-1"));
        begin_segment(&mut world);
        assert!(!world.there_is("segment-1"), "{durability:?}: nothing is removed any more");
        assert!(world.has("node/1", 100));
    }
}

/// No segment can be begun on a full disk: that one is wanted has to be enough.
#[test]
fn a_removal_that_failed_is_tried_again_when_space_is_needed() {
    // With this seed no file is used again: all are removed.
    let mut world = World::new(6, Durability::Always, 64 << 10);
    for name in ["log/1", "log/2"] {
        assert_eq!(world.create(name, 40 << 10), Ok(Done::Created));
    }
    assert_eq!(world.delete("log/1"), Ok(Done::Deleted));
    world.disk.set_pages_max(world.disk.pages_used());
    world.disk.fail_remove_in(0);
    world.do_chores();
    assert!(world.there_is("segment-1"), "the removal has failed");
    assert_eq!(world.create("log/3", 40 << 10), Ok(Done::Created));
    assert!(!world.there_is("segment-1"), "nothing is removed any more");
}

/// An object of more than half a segment, in place of the one before: so one after the other is dead,
/// and the next ones are made of their files.
fn replace(world: &mut World, number: u32) {
    let delete = Write::Delete { names: vec![format!("log/{}", number - 1)] };
    let done = world.commit(vec![create(&format!("log/{number}"), 40 << 10), delete]);
    assert_eq!(done, [Ok(Done::Created), Ok(Done::Deleted)]);
}

#[test]
fn a_dead_file_that_can_be_neither_used_again_nor_removed_is_no_segment() {
    const NEVER: u64 = u64::MAX;
    /// What comes behind it, the process or the power.
    const ENDS: [&str; 3] = ["neither", "the process", "the power"];
    // Of the syncs between the two copies of the header, and behind them.
    let (mut failed, mut left) = ([0; 2], [0; ENDS.len()]);
    for (seed, sync) in (0..SEEDS).flat_map(|seed| [(seed, 0), (seed, 1)]) {
        for (at, end) in ENDS.into_iter().enumerate() {
            let mut world = World::new(seed, Durability::Always, 64 << 10);
            for number in 1..10 {
                replace(&mut world, number);
                world.do_chores();
            }
            replace(&mut world, 10);
            let (files, failures) = (world.disk.list().unwrap().len(), world.disk.failures());
            world.disk.fail_sync_in(sync);
            world.disk.fail_remove_in(0);
            world.do_chores();
            world.disk.fail_sync_in(NEVER);
            failed[sync as usize] += world.disk.failures() - failures;
            if end == "the power" {
                world.disk.power_cycle();
            }
            if end != "neither" {
                // What is neither the one segment nor the other has to go first.
                world.disk.fail_remove_in(0);
                left[at] += u64::from(world.try_start().is_err());
                world.start();
                assert!(world.has("log/10", 40 << 10) && !world.has("log/9", 40 << 10));
            }
            world.disk.fail_remove_in(NEVER);
            for number in 11..40 {
                replace(&mut world, number);
                world.do_chores();
            }
            assert!(world.disk.list().unwrap().len() <= files + 1, "files are left");
            world.power_cut();
            assert!(world.has("log/39", 40 << 10) && !world.has("log/38", 40 << 10));
        }
    }
    assert!(failed.iter().all(|&times| times > 0), "{failed:?}");
    assert!(left[1] > 0 && left[2] > 0, "{left:?}");
}

/// No write may come any more, and the system may drop what it couldn't write.
#[test]
fn a_failed_sync_in_the_background_is_made_good_without_another_write() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed, Durability::EverySecond, 64 << 10);
        assert_eq!(world.create("log/1", 30_000), Ok(Done::Created));
        world.disk.fail_sync_in(0);
        world.sync();
        world.power_cut();
        assert!(world.has("log/1", 30_000), "seed {seed}");
    }
}

#[test]
fn a_failed_sync_at_the_end_is_made_good() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed, Durability::EverySecond, 64 << 10);
        assert_eq!(world.create("log/1", 30_000), Ok(Done::Created));
        world.disk.fail_sync_in(0);
        world.store.close();
        world.power_cut();
        assert!(world.has("log/1", 30_000), "seed {seed}");
    }
}

/// A second after a failed attempt the disk may have space again.
#[test]
fn a_doubt_that_could_not_be_settled_is_settled_a_second_later() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed, Durability::EverySecond, 64 << 10);
        assert_eq!(world.create("log/1", 30_000), Ok(Done::Created));
        world.disk.set_pages_max(world.disk.pages_used());
        world.disk.fail_sync_in(0);
        world.sync();
        world.disk.set_pages_max(usize::MAX);
        world.sync();
        world.power_cut();
        assert!(world.has("log/1", 30_000), "seed {seed}");
    }
}

/// Who has looked up where an object stands goes there, whatever became of it meanwhile.
#[test]
fn what_was_copied_out_of_a_segment_in_doubt_can_be_read_there() {
    let mut world = World::new(7, Durability::EverySecond, 64 << 10);
    assert_eq!(world.create("log/0", 20_000), Ok(Done::Created));
    world.sync();
    assert_eq!(world.create("log/1", 3000), Ok(Done::Created));
    let holds = |world: &World| {
        let contents = world.disk.contents("segment-1");
        contents.windows(3000).any(|bytes| *bytes == body("log/1", 3000))
    };
    assert!(holds(&world));
    world.disk.fail_sync_in(0);
    world.sync();
    assert_eq!(world.create("log/2", 100), Ok(Done::Created));
    world.sync();
    world.do_chores();
    let whole = 64 << 10;
    assert!(world.disk.contents("segment-1").len() < whole, "it isn't cut at all");
    assert!(holds(&world), "it is cut under a reader");
    // Nor does a start take it from who reads beside it.
    world.start();
    world.do_chores();
    assert!(holds(&world), "a start cuts it under a reader");
}

/// What waits for space makes none by waiting.
#[test]
fn dead_segments_go_while_one_is_in_doubt() {
    let mut world = World::new(7, Durability::EverySecond, 64 << 10);
    for name in ["log/1", "log/2"] {
        assert_eq!(world.create(name, 40 << 10), Ok(Done::Created));
    }
    assert_eq!(world.delete("log/1"), Ok(Done::Deleted));
    world.sync();
    assert_eq!(world.create("log/3", 100), Ok(Done::Created));
    world.disk.set_pages_max(world.disk.pages_used());
    world.disk.fail_sync_in(0);
    world.sync();
    let refused = world.create("log/4", 100);
    assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
    world.do_chores();
    assert!(!world.there_is("segment-1"), "nothing is removed while the disk is full");
    assert_eq!(world.create("log/4", 100), Ok(Done::Created));
    world.sync();
    world.power_cut();
    assert!(world.has("log/2", 40 << 10) && world.has("log/3", 100) && world.has("log/4", 100));
}

/// Two objects of which a segment holds one: neither gives way to the other for ever.
#[test]
fn in_the_smallest_segments_nothing_is_moved_round_and_round() {
    for size in [500, 1000, 1900] {
        let mut world = World::new(7, Durability::Always, 8 << 10);
        for number in 0..4 {
            assert_eq!(world.create(&format!("node/{number}"), size), Ok(Done::Created));
        }
        let mut chores = 0;
        while let Some(chore) = world.store.take_chore() {
            world.store.finish_chore(chore.run(&world.disk));
            chores += 1;
            assert!(chores < 50, "objects of {size} bytes are moved for ever");
        }
    }
}

/// A segment is begun in the last free space, and the object it was begun for doesn't fit any
/// more: the seal of the one before is still to be written, and there is room kept for that.
#[test]
fn a_delete_of_what_is_not_there_is_answered_on_a_full_disk() {
    let begun = (0..6).filter(|&pages| {
        let mut world = World::new(7, Durability::Always, 16 << 10);
        for name in ["log/1", "log/2"] {
            assert_eq!(world.create(name, 10 << 10), Ok(Done::Created));
        }
        let segments = world.disk.list().unwrap().len();
        world.disk.set_pages_max(world.disk.pages_used() + pages);
        let full = world.create("log/3", 10 << 10);
        let begun = world.disk.list().unwrap().len() > segments;
        if begun && full.is_err() {
            assert_eq!(world.delete("log/9"), Ok(Done::Deleted), "{pages} pages");
        }
        begun && full.is_err()
    });
    assert_ne!(begun.count(), 0, "no segment was begun on a full disk");
}

/// What is kept for deletes takes some of them, and not as many as there may be in a batch. Where a
/// full disk has room again in that moment, the others must not get behind the segment's end: no
/// start looks there.
#[test]
fn deletes_that_the_reserve_does_not_hold_are_refused_on_a_full_disk() {
    const NAMES: usize = 400;
    let name = |number: usize| format!("log/{number:030}");
    let mut world = World::new(7, Durability::Always, 256 << 10);
    for first in (0..NAMES).step_by(100) {
        let created = world.commit((first..first + 100).map(|n| create(&name(n), 8)).collect());
        assert!(created.iter().all(|result| *result == Ok(Done::Created)));
    }
    let deletes = || vec![Write::Delete { names: (0..NAMES).map(name).collect() }];
    world.disk.fill_once();
    let refused = world.commit(deletes());
    assert!(matches!(refused[0], Err(StoreError::Full(_))), "{refused:?}");
    assert_eq!(world.commit(deletes()), [Ok(Done::Deleted)]);
    world.power_cut();
    assert!((0..NAMES).all(|number| !world.has(&name(number), 8)), "deleted objects are back");
}

/// How a store finds out that its disk is full: no segment can be made ahead, none when one is needed,
/// or an object has no room in the one that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FoundFull {
    Ahead,
    AtItsEnd,
    InTheMiddle,
}

/// A store on a full disk; its last object is larger than what it keeps for copies.
fn with_a_large_last_object(seed: u64, durability: Durability, found: FoundFull) -> World {
    let mut world = World::new(seed, durability, 64 << 10);
    let create = |world: &mut World, name| {
        assert_eq!(world.create(name, 20 << 10), Ok(Done::Created));
        world.sync();
    };
    create(&mut world, "log/1");
    if found == FoundFull::Ahead {
        create(&mut world, "log/2");
        world.fill_disk();
        world.do_chores();
    } else {
        // The next segment is made on the spot, and not filled.
        create(&mut world, "log/2");
        assert_eq!(world.create("log/3", 40 << 10), Ok(Done::Created));
        world.sync();
        world.fill_disk();
        let bytes = if found == FoundFull::AtItsEnd { 40 << 10 } else { 10 << 10 };
        let refused = world.create("log/4", bytes);
        assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
    }
    world.sync();
    world
}

/// A segment that is made of a dead one's file holds old bytes behind its last record, so a start can't
/// go on there. What is kept at its end holds none: there it can.
#[test]
fn a_store_of_files_that_were_used_again_starts_on_a_full_disk() {
    for seed in (0..30).filter(|seed| seed % 3 != 0) {
        let mut world = World::new(seed, Durability::Always, 2 << 20);
        let name = |number: u64| format!("log/{number}");
        let last = 300 + seed;
        let mut oldest = 0;
        for number in 0..=last {
            // The store gets smaller, and with it its segments: their files were larger ones.
            let kept = if number < 160 { 120 } else { 60 };
            let gone = oldest..number.saturating_sub(kept).min(oldest + 2).max(oldest);
            oldest = gone.end;
            let delete = Write::Delete { names: gone.map(name).collect() };
            let done = world.commit(vec![create(&name(number), 40 << 10), delete]);
            assert_eq!(done, [Ok(Done::Created), Ok(Done::Deleted)]);
            world.do_chores();
        }
        // A segment as small as these keeps 1 KB.
        for restart in 0..3 {
            world.fill_disk();
            world.store.close();
            world.disk.restart_process();
            world.start();
            assert!(world.has(&name(last), 40 << 10), "seed {seed}");
            let entry = format!("node/{restart}");
            assert_eq!(world.create(&entry, 50), Ok(Done::Created), "seed {seed}, {restart}");
        }
    }
}

/// What a crash leaves undecided is copied by the next start. Where the disk is full there is no room
/// for much, so that nothing is left.
#[test]
fn a_start_on_a_full_disk_has_no_large_object_to_copy() {
    for durability in [Durability::Always, Durability::EverySecond] {
        for found in [FoundFull::Ahead, FoundFull::AtItsEnd, FoundFull::InTheMiddle] {
            let mut world = with_a_large_last_object(7, durability, found);
            let there = world.store.list("", "", usize::MAX);
            // A start writes a little, and the power may go meanwhile.
            for cut in 0..3 {
                world.disk.restart_process();
                let started = world.try_start();
                assert_eq!(started, Ok(()), "{durability:?}, {found:?}, cut {cut}");
                assert!(there.iter().all(|name| world.store.read(name, 0, 1).is_ok()));
                world.disk.cut_power_in(cut);
                let created = world.create(&format!("node/{cut}"), 50);
                world.power_cut();
                if created.is_ok() && durability == Durability::Always {
                    assert!(world.has(&format!("node/{cut}"), 50));
                }
            }
            world.disk.set_pages_max(usize::MAX);
            assert_eq!(world.create("log/9", 40 << 10), Ok(Done::Created));
            assert!(world.has("log/2", 20 << 10));
        }
    }
}

/// The power may go while the store writes down what is durable: then that is so all the same.
#[test]
fn what_is_written_down_on_a_full_disk_is_true_whatever_of_it_is_lost() {
    for (seed, cut) in (0..SEEDS).flat_map(|seed| (0..12).map(move |cut| (seed, cut))) {
        for durability in [Durability::Always, Durability::EverySecond] {
            let mut world = World::new(seed, durability, 64 << 10);
            for name in ["log/1", "log/2"] {
                assert_eq!(world.create(name, 20 << 10), Ok(Done::Created));
                world.sync();
            }
            world.fill_disk();
            world.disk.cut_power_in(cut);
            world.do_chores();
            let third = world.create("log/3", 5 << 10);
            world.sync();
            let synced = !world.disk.is_dead();
            world.disk.set_pages_max(usize::MAX);
            world.power_cut();
            assert!(world.has("log/1", 20 << 10) && world.has("log/2", 20 << 10), "seed {seed}");
            if third.is_ok() && (synced || durability == Durability::Always) {
                assert!(world.has("log/3", 5 << 10), "seed {seed}, cut {cut}, {durability:?}");
            }
        }
    }
}

/// Making the next segment may take long, and what is acknowledged is to be synced each second.
#[test]
fn the_sync_of_each_second_waits_for_no_chore() {
    let disk = SimDisk::new(7, None);
    let durability = Durability::EverySecond;
    let options = EmbeddedOptions {
        durability,
        segment_bytes: 64 << 10,
        entropy: 7,
        ..EmbeddedOptions::default()
    };
    let store = EmbeddedStore::open_on(Arc::new(disk.clone()), options).unwrap();
    let _held = Held::new(&disk);
    let create = store.create("log/1", body("log/1", 3000));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert_eq!(runtime.block_on(create), Ok(Created::Created));
    wait::until("the sync", PATIENCE, || disk.is_synced().then_some(()));
}

/// A disk on which no file is created as long as this is there.
struct Held<'a>(&'a SimDisk);

impl<'a> Held<'a> {
    fn new(disk: &'a SimDisk) -> Self {
        disk.hold_creates(true);
        Self(disk)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.hold_creates(false);
    }
}

/// A start copies what a process has left, with a sync each second, to a new segment. The power may
/// go meanwhile, and leave of it whatever it likes: what is there then is as it was at some moment.
/// Otherwise something would be gone because of an object that is not there either.
#[test]
fn copies_that_are_torn_are_no_state_that_never_was() {
    const SEEDS: u64 = 60;
    let names = ["log/1", "log/2", "log/3", "log/4"];
    let moments = [&names[..1], &names[..2], &names[1..2], &names[1..3], &names[2..3], &names[2..]];
    let mut met = BTreeSet::new();
    for (seed, cut) in (0..SEEDS).flat_map(|seed| (0..16).map(move |cut| (seed, cut))) {
        let mut world = World::new(seed, Durability::EverySecond, 16 << 10);
        world.create(names[0], 300).unwrap();
        world.sync();
        // So much that its copies don't fit behind it.
        world.create(names[1], 3000).unwrap();
        world.delete(names[0]).unwrap();
        world.create(names[2], 3000).unwrap();
        world.delete(names[1]).unwrap();
        world.create(names[3], 3000).unwrap();
        world.disk.restart_process();
        world.disk.cut_power_in(cut);
        let opened = Segments::open(Arc::new(world.disk.clone()), world.options).map(drop);
        world.power_cut();
        let there = world.store.list("", "", usize::MAX);
        let moment = moments.iter().position(|moment| there == *moment);
        assert!(moment.is_some(), "{there:?} was never so (seed {seed}, cut {cut}, {opened:?})");
        met.insert(moment);
    }
    assert!(met.len() > 2, "the power took nothing: {met:?}");
}
