use super::*;
use crate::engine::version::{Snapshot, Value};
use std::collections::HashMap;

fn version(time: u64, position: Position, value: &str) -> Version {
    Version {
        commit: CommitId { time, node: 1 },
        position,
        expires_ms: 0,
        state: State::Live(Value::String(value.into())),
    }
}

fn put(index: &mut Index, key: &str, version: Version, keep: bool) -> EntryId {
    let hash = index.hash(key.as_bytes());
    match index.find(hash, key.as_bytes()) {
        Some(id) => {
            index.replace(id, version, keep);
            id
        }
        None => index.insert(hash, key.into(), version),
    }
}

fn seen(index: &Index, key: &str, position: Position) -> Option<CommitId> {
    let id = index.find(index.hash(key.as_bytes()), key.as_bytes())?;
    let snapshot = Snapshot { position, now_ms: 0 };
    index.get(id)?.visible(&[], snapshot).map(|version| version.commit)
}

#[test]
fn fifty_thousand_keys_survive_splits_removals_and_reuse() {
    let mut index = Index::new(7);
    let mut model = HashMap::new();
    for round in 0..3u64 {
        for n in 0..50_000u64 {
            let key = format!("key:{n}");
            if (n + round) % 3 == 0 {
                if let Some(id) = index.find(index.hash(key.as_bytes()), key.as_bytes()) {
                    assert!(index.remove(id).is_some());
                    assert!(index.remove(id).is_none(), "a removed entry stays removed");
                }
                model.remove(&key);
            } else {
                put(&mut index, &key, version(round + 1, round + 1, "v"), false);
                model.insert(key, round + 1);
            }
        }
        assert_eq!(index.len(), model.len());
        assert_eq!(index.entries().count(), model.len());
        for n in 0..50_000u64 {
            let key = format!("key:{n}");
            let expected = model.get(&key).map(|&time| CommitId { time, node: 1 });
            assert_eq!(seen(&index, &key, Snapshot::TIP), expected);
        }
    }
    assert!(index.segments.iter().all(|s| s.table.len() <= SEGMENT_KEYS_MAX));
}

#[test]
fn readers_keep_what_they_see_until_it_is_pruned() {
    let mut index = Index::new(1);
    for time in 1..=5 {
        put(&mut index, "k", version(time, time, "v"), true);
    }
    let id = put(&mut index, "k", version(6, 6, "v"), true);
    for position in 1..=6 {
        assert_eq!(seen(&index, "k", position), Some(CommitId { time: position, node: 1 }));
    }
    assert_eq!(seen(&index, "k", 0), None);
    // Visible is 5; somebody reads at 3; 6 is pending.
    index.prune(id, 5, |positions| positions.contains(&3), |_| ());
    let left: Vec<_> = index.get(id).unwrap().versions().map(|v| v.position).collect();
    assert_eq!(left, [6, 5, 3]);
    assert_eq!(seen(&index, "k", 3), Some(CommitId { time: 3, node: 1 }));
    assert_eq!(seen(&index, "k", 2), None);
    index.prune(id, 9, |_| false, |_| ());
    assert_eq!(index.get(id).unwrap().versions().count(), 1);
}

#[test]
fn falling_back_takes_new_entries_away_and_old_ones_back() {
    let mut index = Index::new(1);
    let old = put(&mut index, "old", version(1, 1, "v"), true);
    put(&mut index, "old", version(3, 3, "w"), true);
    let new = put(&mut index, "new", version(4, 3, "v"), true);
    index.fall_back(old, 2);
    index.fall_back(new, 2);
    assert_eq!(seen(&index, "old", Snapshot::TIP), Some(CommitId { time: 1, node: 1 }));
    assert_eq!(index.find(index.hash(b"new"), b"new"), None);
    assert_eq!(index.len(), 1);
}
