use super::super::EmbeddedOptions;
use super::super::system_disk::SystemDisk;
use super::*;
use std::path::PathBuf;
use tokio::sync::Semaphore;

/// A directory that goes away.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
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
    let options = EmbeddedOptions { segment_bytes: 64 << 10, ..EmbeddedOptions::default() };
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
    wait_for_removal(&mut segments, &inbox, &mut mail, &chores);
    assert!(!segments.awaits_removal());
    assert!(matches!(mail.make_contiguous(), [ToWriter::Write(_)]), "writes keep their place");
}
