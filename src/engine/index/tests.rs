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

fn expiring(time: u64, expires_ms: u64) -> Version {
    Version { expires_ms, ..version(time, 1, "v") }
}

/// Takes what is due until nothing is found that could still go.
fn reaped(index: &mut Index, now_ms: u64, limit: usize) -> Vec<String> {
    let mut keys = Vec::new();
    loop {
        let due = index.take_due(now_ms, limit);
        let progress = due.keys.len() + due.in_vain;
        for (expires_ms, id) in due.keys {
            let entry = index.remove(id).unwrap();
            assert_eq!(entry.newest().expires_ms, expires_ms);
            keys.push(String::from_utf8(entry.key().to_vec()).unwrap());
        }
        if !due.more || progress == 0 {
            keys.sort();
            return keys;
        }
    }
}

#[test]
fn what_has_expired_is_found_whatever_was_changed_before() {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand::rngs::StdRng::seed_from_u64(5);
    let mut index = Index::new(7);
    let mut model: HashMap<String, u64> = HashMap::new();
    let mut commit = 1;
    for round in 0..40u64 {
        for _ in 0..2_000 {
            commit += 1;
            let key = format!("key:{}", rng.random_range(0..1_000));
            let hash = index.hash(key.as_bytes());
            match rng.random_range(0..8) {
                0 => {
                    if let Some(id) = index.find(hash, key.as_bytes()) {
                        index.remove(id);
                    }
                    model.remove(&key);
                }
                // A tombstone that says when its key would have expired.
                1 => {
                    if let Some(id) = index.find(hash, key.as_bytes()) {
                        let newest = index.get(id).unwrap().newest().commit;
                        index.fill(id, newest, State::Tombstone);
                        model.insert(key, 0);
                    }
                }
                2 => {
                    put(&mut index, &key, expiring(commit, 0), false);
                    model.insert(key, 0);
                }
                _ => {
                    let expires_ms = round * 100 + rng.random_range(1..1_000);
                    put(&mut index, &key, expiring(commit, expires_ms), false);
                    model.insert(key, expires_ms);
                }
            }
        }
        let times = || model.values().filter(|&&expires_ms| expires_ms != 0);
        assert_eq!(index.expiring(), times().count());
        assert_eq!(index.expiries_sum_ms(), times().map(|&ms| u128::from(ms)).sum());

        let now_ms = round * 100 + 100;
        let over = |ms: &u64| *ms != 0 && *ms <= now_ms;
        let mut due: Vec<_> =
            model.iter().filter(|(_, ms)| over(ms)).map(|(key, _)| key.clone()).collect();
        due.sort();
        assert!(!due.is_empty());
        assert_eq!(reaped(&mut index, now_ms, 1 + round as usize * 20), due);
        model.retain(|_, ms| !over(ms));
        assert_eq!(index.len(), model.len());
    }
}

#[test]
fn a_look_for_expired_keys_ends_at_its_limit_also_where_it_finds_none() {
    const KEYS: u64 = 10_000;
    let mut index = Index::new(7);
    for n in 0..KEYS {
        put(&mut index, &n.to_string(), expiring(1, 100), false);
    }
    // What was to expire is moved forward: their places know nothing of that.
    for n in 0..KEYS {
        put(&mut index, &n.to_string(), expiring(2, 1_000), false);
    }
    let places = (KEYS as usize).div_ceil(64);
    let first = index.take_due(100, 10);
    assert!(first.keys.is_empty() && first.more);
    assert_eq!(first.in_vain, 10);
    let rest = index.take_due(100, places);
    assert!(rest.keys.is_empty() && !rest.more);
    assert_eq!(rest.in_vain, places - 10);
    // From now on it is known.
    assert_eq!(index.take_due(999, places).in_vain, 0);
    assert_eq!(reaped(&mut index, 1_000, places).len(), KEYS as usize);
    // Nothing is left to look at.
    assert_eq!((index.expiring(), index.take_due(u64::MAX - 1, 10).in_vain), (0, 0));
}

#[test]
fn an_expiry_takes_less_than_a_byte() {
    let mut index = Index::new(7);
    for n in 0..100_000u64 {
        put(&mut index, &format!("key:{n}"), expiring(1, 0), false);
    }
    let before = index.bytes();
    for n in 0..100_000u64 {
        put(&mut index, &format!("key:{n}"), expiring(2, 1_000_000 - n), false);
    }
    assert!(index.bytes() > before && index.bytes() < before + 100_000);
}
