use super::dump::dump_in_parts;
use super::format::{DumpReader, DumpWriter, Item};
use super::snapshot::Failed;
use super::*;
use crate::layout::directory::TYPE_STRING;
use crate::layout::{Commit, CommitId, GroupBuilder, Header, Kind, ObjectName};
use crate::storage::Store;
use crate::storage::memory::MemoryStore;
use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;

const NOW_MS: u64 = 1_900_000_000_000;

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

fn entry(n: u64) -> Entry {
    Entry {
        database: (n % 3) as u8,
        key: n.to_string().into_bytes(),
        expires_ms: if n.is_multiple_of(5) { NOW_MS + n + 1 } else { 0 },
        value: n.to_string().repeat((n % 100) as usize).into(),
    }
}

async fn restore(
    store: &MemoryStore,
    entries: impl Iterator<Item = Entry>,
    replace: bool,
) -> Result<Restored, BackupError> {
    let mut rng = StdRng::seed_from_u64(1);
    let mut restore = Restore::begin(store, NOW_MS, replace, &mut rng).await?;
    for entry in entries {
        restore.add(entry).await?;
    }
    restore.publish().await?.sweep(store).await
}

/// All entries of a dump, sorted.
fn entries_of(dump: &[u8]) -> Vec<Entry> {
    let mut reader = DumpReader::new(dump).unwrap();
    let mut entries = Vec::new();
    while let Item::Entry(entry) = reader.next_item().unwrap() {
        entries.push(entry);
    }
    entries.sort_by_key(|entry| (entry.database, entry.key.clone()));
    entries
}

fn sorted(entries: impl Iterator<Item = Entry>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = entries.collect();
    entries.sort_by_key(|entry| (entry.database, entry.key.clone()));
    entries
}

async fn dumped(store: &MemoryStore, keys_max: usize) -> Vec<Entry> {
    let mut writer = DumpWriter::new(Vec::new(), "").unwrap();
    let (mut done, mut all) = (0, 0);
    let progress = |now, of| (done, all) = (now, of);
    dump_in_parts(store, &mut writer, NOW_MS, keys_max, progress).await.unwrap();
    assert!(done <= all && all > 0);
    entries_of(&writer.end().unwrap().0)
}

#[test]
fn a_dump_in_many_parts_is_the_same() {
    let store = MemoryStore::new();
    run(async {
        assert_eq!(restore(&store, (0..2_000).map(entry), false).await.unwrap().keys, 2_000);
        let whole = dumped(&store, usize::MAX).await;
        assert_eq!(whole, sorted((0..2_000).map(entry)));
        for keys_max in [1_999, 500, 7] {
            assert_eq!(dumped(&store, keys_max).await, whole, "{keys_max}");
        }
    });
}

#[test]
fn of_two_entries_of_one_key_the_later_counts() {
    let store = MemoryStore::new();
    let newer = |n| Entry { value: b"newer".into(), ..entry(n) };
    run(async {
        let entries = (0..100).map(entry).chain((0..100).map(newer));
        restore(&store, entries, false).await.unwrap();
        assert_eq!(dumped(&store, 10).await, sorted((0..100).map(newer)));
    });
}

#[test]
fn what_is_replaced_is_gone_and_what_was_begun_never_was() {
    let store = MemoryStore::new();
    run(async {
        restore(&store, (0..50).map(entry), false).await.unwrap();
        let refused = restore(&store, (0..1).map(entry), false).await.unwrap_err();
        assert!(matches!(&refused, BackupError::Refused(why) if why.contains("50 keys")));
        // Begun, and left: several bases that nothing names.
        let mut rng = StdRng::seed_from_u64(2);
        let mut left = Restore::begin(&store, NOW_MS, true, &mut rng).await.unwrap();
        let large = |n: u8| Entry { value: vec![n; 3 << 20].into(), ..entry(n.into()) };
        for n in 0..5 {
            left.add(large(n)).await.unwrap();
        }
        drop(left);
        assert_eq!(dumped(&store, 10).await, sorted((0..50).map(entry)));
        // Begun anew in the middle, and finished.
        let mut rng = StdRng::seed_from_u64(3);
        let mut again = Restore::begin(&store, NOW_MS, true, &mut rng).await.unwrap();
        for n in 0..5 {
            again.add(large(n)).await.unwrap();
        }
        again.again();
        again.add(large(7)).await.unwrap();
        let expired = Entry { expires_ms: NOW_MS, ..entry(8) };
        again.add(expired).await.unwrap();
        let beyond = Entry { database: 255, ..entry(9) };
        assert!(matches!(again.add(beyond).await, Err(BackupError::Refused(_))));
        let done = again.publish().await.unwrap().sweep(&store).await;
        assert_eq!(done.unwrap(), Restored { keys: 1, expired: 1 });
        assert_eq!(dumped(&store, 10).await, [large(7)]);
        let left_over = store.list("base/", "", 100).await.unwrap();
        assert_eq!(left_over.len(), 2, "{left_over:?}");
        // Nothing at all is something to restore, too.
        restore(&store, std::iter::empty(), true).await.unwrap();
        assert_eq!(dumped(&store, 10).await, []);
        restore(&store, (0..3).map(entry), false).await.unwrap();
    });
}

/// A group in the log of node 2 that sets the key of its number.
async fn log_group(store: &MemoryStore, seq: u64, acked_through: u64) {
    let mut builder = GroupBuilder::default();
    let id = CommitId { time: (NOW_MS << 17) + seq, node: 2 };
    builder.begin_commit(&Commit { id, ..Commit::default() }, 1);
    builder.put(0, format!("group {seq}").as_bytes(), TYPE_STRING, None, &b"value".into());
    let mut header = Header::new(Kind::Group, 0, 2, seq);
    header.acked_through = acked_through;
    // What the restore of node 1 has published.
    header.base = (1, 2);
    let name = ObjectName::Log(2, seq).to_string();
    store.create(&name, builder.finish(header).1.to_bytes()).await.unwrap();
}

fn is_dumped(entries: &[Entry], seq: u64) -> bool {
    entries.iter().any(|entry| entry.key == format!("group {seq}").into_bytes())
}

#[test]
fn a_log_goes_as_far_as_it_has_no_gap() {
    let store = MemoryStore::new();
    run(async {
        restore(&store, (0..10).map(entry), false).await.unwrap();
        log_group(&store, 1, 0).await;
        // Lost long ago: what is behind it counts.
        let mut hole = Vec::new();
        Header::new(Kind::Hole, 0, 2, 2).encode(&mut hole);
        let name = ObjectName::Log(2, 2).to_string();
        store.create(&name, Bytes::from(hole)).await.unwrap();
        log_group(&store, 3, 0).await;
        // Sent before the fourth was there.
        log_group(&store, 5, 2).await;
        let entries = dumped(&store, 100).await;
        assert_eq!(entries.len(), 12);
        assert!(is_dumped(&entries, 1) && is_dumped(&entries, 3) && !is_dumped(&entries, 5));
        // The fourth was acknowledged, and is not there: nothing is made of that.
        log_group(&store, 6, 5).await;
        let mut writer = DumpWriter::new(Vec::new(), "").unwrap();
        let dumped = dump_in_parts(&store, &mut writer, NOW_MS, 100, |_, _| {}).await;
        assert!(matches!(dumped, Err(Failed::Vanished(ObjectName::Log(2, 4)))), "{dumped:?}");
        // It only showed late.
        log_group(&store, 4, 0).await;
        assert_eq!(self::dumped(&store, 100).await.len(), 15);
    });
}
