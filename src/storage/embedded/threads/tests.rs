use super::super::disk::SyncPoint;
use super::super::system_disk::SystemDisk;
use super::super::{Durability, EmbeddedOptions, EmbeddedStore};
use super::*;
use crate::storage::Store;
use std::fs::File;
use std::path::PathBuf;
use std::pin::pin;
use std::task::{Context, Waker};
use tokio::sync::Semaphore;

/// A directory that goes away.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Closes a mailbox, also where a test fails: somebody waits for that.
struct Closes<'m, T>(&'m Mailbox<T>);

impl<T> Drop for Closes<'_, T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// More than half of a segment: each begins one.
fn create(number: u32) -> Write {
    let body = Bytes::from(vec![7; 40 << 10]).into();
    Write::Create { name: format!("log/{number}"), body }
}

fn job(write: Write) -> ToWriter<<SystemDisk as Disk>::File> {
    let (answer, _) = oneshot::channel();
    let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    ToWriter::Write(WriteJob { write, answer, permit })
}

/// The end of a removal may have been taken out of the mailbox already, behind writes that did
/// not fit into the batch: nothing else would end the wait.
#[test]
fn the_end_of_a_removal_is_heard_where_it_lies_behind_writes() {
    let path = std::env::temp_dir().join(format!("aft-removal-{}", std::process::id()));
    let directory = Directory(path);
    let disk = Arc::new(SystemDisk::open(&directory.0).unwrap());
    let options = EmbeddedOptions {
        segment_bytes: 64 << 10,
        // None is kept for the next segments.
        reuse_batch_bytes_min: u64::MAX,
        ..EmbeddedOptions::default()
    };
    let mut segments = Segments::open(Arc::clone(&disk), options).unwrap();
    let mailbox = || Arc::new(Mailbox::default());
    let chores = ChoreBoxes { making: mailbox(), giving_back: mailbox(), syncing: mailbox() };

    // Three dead segments before a live one; the removal of the first is over, and not heard of.
    segments.commit((1..=4).map(create).collect());
    segments.commit(vec![Write::Delete { names: (1..=3).map(|n| format!("log/{n}")).collect() }]);
    chores.hand_out(&mut segments);
    chores.giving_back.close();
    let mut mail = VecDeque::from([job(create(6))]);
    while let Got::Item(chore) = chores.giving_back.pop(None) {
        mail.push_back(ToWriter::Finished(chore.run(&*disk)));
    }
    segments.commit(vec![create(5)]);
    assert!(segments.awaits_removal());

    // So nobody waits for mail that doesn't come.
    let inbox = Mailbox::default();
    inbox.close();
    let removals_lag = |segments: &Segments<_>| segments.awaits_removal();
    wait_while(removals_lag, &mut segments, &inbox, &mut mail, &chores);
    assert!(!segments.awaits_removal());
    assert!(matches!(mail.make_contiguous(), [ToWriter::Write(_)]), "writes keep their place");
}

/// To make another one on the spot would take as long, and this one would be made in vain.
#[test]
fn the_next_segment_is_waited_for_where_it_is_being_made() {
    let path = std::env::temp_dir().join(format!("aft-next-{}", std::process::id()));
    let directory = Directory(path);
    let disk = Arc::new(SystemDisk::open(&directory.0).unwrap());
    let options = EmbeddedOptions { segment_bytes: 64 << 10, ..EmbeddedOptions::default() };
    let mut segments = Segments::open(Arc::clone(&disk), options).unwrap();
    let mailbox = || Arc::new(Mailbox::default());
    let chores = ChoreBoxes { making: mailbox(), giving_back: mailbox(), syncing: mailbox() };
    segments.commit(vec![create(1)]);
    let inbox = Mailbox::default();
    thread::scope(|scope| {
        let _closes = Closes(&inbox);
        scope.spawn(|| write(segments, &inbox, &chores));
        // Nobody makes it yet.
        let Got::Item(next) = chores.making.pop(None) else { panic!("the next one is wanted") };
        let (answer, mut answered) = oneshot::channel();
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        inbox.push(ToWriter::Write(WriteJob { write: create(2), answer, permit }));
        let is_taken = || {
            let mail = inbox.lock();
            mail.items.is_empty() && mail.waiting == 1
        };
        while !is_taken() {
            thread::yield_now();
        }
        assert!(answered.try_recv().is_err(), "another one was made on the spot");
        inbox.push(ToWriter::Finished(next.run(&*disk)));
        assert_eq!(answered.blocking_recv().unwrap(), Ok(Done::Created));
    });
    let names = disk.list().unwrap();
    assert!(names.contains(&"segment-2".to_owned()), "{names:?}");
}

/// Whoever left the first of several reads calls the threads; it may be given up before it does.
#[test]
fn reads_are_answered_though_the_one_that_was_to_call_is_given_up() {
    let path = std::env::temp_dir().join(format!("aft-reads-{}", std::process::id()));
    let directory = Directory(path);
    let disk = Arc::new(SystemDisk::open(&directory.0).unwrap());
    let mut segments = Segments::open(Arc::clone(&disk), EmbeddedOptions::default()).unwrap();
    segments.commit(vec![create(1)]);
    let place = segments.index.get("log/1").unwrap();
    let threads = Threads::start(segments, disk, false).unwrap();
    let waiting = || threads.reader_box.lock().waiting;
    while waiting() < READERS {
        thread::yield_now();
    }

    let read = |offset| {
        let (answer, answered) = oneshot::channel();
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let name = "log/1".to_owned();
        (ReadJob { name, place: place.clone(), offset, length: 10, answer, permit }, answered)
    };
    let ((first, answered_first), (second, answered_second)) = (read(0), read(10));
    let mut context = Context::from_waker(Waker::noop());
    let mut calls = Box::pin(threads.read(first));
    assert!(calls.as_mut().poll(&mut context).is_pending());
    assert!(pin!(threads.read(second)).poll(&mut context).is_ready(), "one calls for both");
    drop(calls);
    for answered in [answered_first, answered_second] {
        assert_eq!(answered.blocking_recv().unwrap().unwrap(), vec![7; 10]);
    }
}

/// Panics where this is a thread of that name.
fn panic_in(thread: &str) {
    assert_ne!(thread::current().name(), Some(thread), "as is wanted");
}

/// A disk on which a thread of some name panics.
struct Panics {
    disk: SystemDisk,
    thread: &'static str,
}

struct PanicsInFile(File, &'static str);

impl DiskFile for PanicsInFile {
    fn length(&self) -> io::Result<u64> {
        DiskFile::length(&self.0)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_length(length)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        panic_in(self.1);
        DiskFile::read_at(&self.0, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        panic_in(self.1);
        DiskFile::write_at(&self.0, bytes, offset)
    }

    fn sync(&self, point: SyncPoint) -> io::Result<()> {
        self.0.sync(point)
    }
}

impl Disk for Panics {
    type File = PanicsInFile;

    fn create(&self, name: &str) -> io::Result<PanicsInFile> {
        Ok(PanicsInFile(self.disk.create(name)?, self.thread))
    }

    fn open(&self, name: &str) -> io::Result<PanicsInFile> {
        Ok(PanicsInFile(self.disk.open(name)?, self.thread))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn sync_directory(&self, point: SyncPoint) -> io::Result<()> {
        self.disk.sync_directory(point)
    }
}

/// The system tells once of what it has failed to write, and that may be among what was dropped.
#[test]
fn nothing_is_stated_to_be_durable_behind_a_thread_that_has_panicked() {
    for panicked in [false, true] {
        let path = std::env::temp_dir().join(format!("aft-stated-{}", std::process::id()));
        let directory = Directory(path);
        let disk = Arc::new(SystemDisk::open(&directory.0).unwrap());
        let durability = Durability::EverySecond;
        let options = EmbeddedOptions { durability, ..EmbeddedOptions::default() };
        let mut segments = Segments::open(disk, options).unwrap();
        segments.commit(vec![create(1)]);
        let mailbox = || Arc::new(Mailbox::default());
        let chores = ChoreBoxes { making: mailbox(), giving_back: mailbox(), syncing: mailbox() };
        let inbox = Mailbox::default();
        if panicked {
            inbox.end()
        } else {
            inbox.close()
        }

        let contents = || std::fs::read(directory.0.join("segment-1")).unwrap();
        let before = contents();
        write(segments, &inbox, &chores);
        assert_eq!(contents() == before, panicked);
    }
}

/// Whatever was asked of it before and after: nobody waits for ever.
#[test]
fn a_thread_that_panics_is_told_of_to_all_who_wait_for_it() {
    for thread in ["aft-chores", "aft-write", "aft-read"] {
        let path = std::env::temp_dir().join(format!("aft-{thread}-{}", std::process::id()));
        let directory = Directory(path);
        let disk = Panics { disk: SystemDisk::open(&directory.0).unwrap(), thread };
        let options = EmbeddedOptions { segment_bytes: 64 << 10, ..EmbeddedOptions::default() };
        let store = EmbeddedStore::open_on(Arc::new(disk), options).unwrap();
        let asks = async {
            match thread {
                "aft-read" => reads_fail(&store).await,
                _ => writes_end(&store).await,
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let in_time = runtime.block_on(async { tokio::time::timeout(PATIENCE, asks).await });
        assert!(in_time.is_ok(), "{thread}");
    }
}

const PATIENCE: Duration = Duration::from_secs(60);

async fn write_to(store: &EmbeddedStore<PanicsInFile>, number: u32) -> Result<(), StoreError> {
    let body = Bytes::from(vec![7; 40 << 10]);
    store.create(&format!("log/{number}"), body).await.map(drop)
}

/// More of them than there are threads.
async fn reads_fail(store: &EmbeddedStore<PanicsInFile>) {
    write_to(store, 1).await.unwrap();
    for _ in 0..READERS + 1 {
        let error = store.read("log/1", 0, 10).await.unwrap_err();
        assert!(error.to_string().contains("log/1: the read has panicked"), "{error}");
    }
}

async fn writes_end(store: &EmbeddedStore<PanicsInFile>) {
    let gone =
        |error: &StoreError| matches!(error, StoreError::Fatal(why) if why.contains("has stopped"));
    // Each needs another segment.
    let mut number = 0;
    let error = loop {
        number += 1;
        if let Err(error) = write_to(store, number).await {
            break error;
        }
        assert!(number < 1_000, "nothing has panicked");
    };
    assert!(gone(&error), "{error}");
    assert!(write_to(store, number + 1).await.is_err_and(|error| gone(&error)));
}
