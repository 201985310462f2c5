//! Damage to single objects, in a store in memory.

use crate::node::{Kept, Node, Time};
use crate::world::{fill, get, keys_in, verify};
use aft::layout::{Header, Kind};
use aft::storage::Store;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Objects = BTreeMap<String, Bytes>;

#[derive(Debug, Clone)]
enum Damage {
    Flip(String, usize),
    Truncate(String, usize),
    Delete(String),
    Swap(String, String),
}

impl Damage {
    /// All that is tried on a store.
    fn all(objects: &Objects) -> Vec<Self> {
        let mut all = Vec::new();
        for (name, object) in objects {
            let header = Header::decode(object).unwrap();
            let directory = header.encoded_bytes();
            let values = header.values_offset() as usize;
            let end = object.len() - 1;
            // Magic, format, kind, length, nonce, checksum; directory; values.
            let mut at = vec![0, 8, 10, 12, 20, directory - 1, directory, (directory + values) / 2];
            at.extend([values - 1, values, (values + end) / 2, end]);
            let at: BTreeSet<usize> = at.into_iter().filter(|at| *at <= end).collect();
            all.extend(at.into_iter().map(|at| Self::Flip(name.clone(), at)));
            for length in BTreeSet::from([0, 10, directory - 1, directory, values, end]) {
                if length <= end {
                    all.push(Self::Truncate(name.clone(), length));
                }
            }
            all.push(Self::Delete(name.clone()));
        }
        let names: Vec<&String> = objects.keys().collect();
        let swap = |pair: &[&String]| Self::Swap(pair[0].clone(), pair[1].clone());
        all.extend(names.windows(2).map(swap));
        all.push(swap(&[names[0], names[names.len() - 1]]));
        all
    }

    fn apply(&self, objects: &Objects) -> Objects {
        let mut objects = objects.clone();
        match self {
            Self::Flip(name, at) => {
                let mut object = objects[name].to_vec();
                object[*at] ^= 0x10;
                objects.insert(name.clone(), object.into());
            }
            Self::Truncate(name, length) => {
                let object = objects[name].slice(..*length);
                objects.insert(name.clone(), object);
            }
            Self::Delete(name) => {
                objects.remove(name);
            }
            Self::Swap(one, other) => {
                let (first, second) = (objects[one].clone(), objects[other].clone());
                objects.insert(one.clone(), second);
                objects.insert(other.clone(), first);
            }
        }
        objects
    }

    fn names(&self) -> Vec<&String> {
        match self {
            Self::Flip(name, _) | Self::Truncate(name, _) | Self::Delete(name) => vec![name],
            Self::Swap(one, other) => vec![one, other],
        }
    }
}

#[test]
fn damage_is_named_and_costs_what_it_hit() {
    let store = Kept::with(&Objects::new());
    let history = fill(|| Arc::clone(&store) as Arc<dyn Store>, Time::Virtual);
    let objects = store.objects();
    let undamaged = verify(&*store);
    assert_eq!(undamaged.faults, [], "{undamaged:?}");
    assert_eq!(
        undamaged.keys,
        history.keys().filter(|k| history.newest(k).is_some()).count() as u64
    );
    for kind in [Kind::Node, Kind::Group, Kind::Seal, Kind::Base] {
        assert!(objects.values().any(|o| Header::decode(o).unwrap().kind == kind), "no {kind:?}");
    }
    // Older entries of starts go by themselves.
    let mut starts = objects.keys().rev().filter(|name| name.starts_with("node/"));
    let newest_starts = [starts.next().unwrap(), starts.next().unwrap()];
    let newest_seal = objects.keys().rfind(|name| name.starts_with("log/")).unwrap();
    for damage in Damage::all(&objects) {
        let damaged = Kept::with(&damage.apply(&objects));
        let before = damaged.objects();
        // Without the newest seal it is the store of a node that was killed.
        let shows = !matches!(&damage, Damage::Delete(name) if name == newest_seal
            || name.starts_with("node/") && !newest_starts.contains(&name));
        let found = verify(&*damaged);
        for name in damage.names().into_iter().filter(|_| shows) {
            let named = found.faults.iter().any(|fault| fault.object.contains(name.as_str()));
            assert!(named, "{damage:?}: {:?}", found.faults);
        }
        assert_eq!(damaged.objects(), before, "{damage:?}: verify has changed something");
        let touched = damage.names().into_iter().flat_map(|name| keys_in(&objects[name])).collect();
        check_start(&damage, damaged, &history, &touched);
    }
}

fn check_start(
    damage: &Damage,
    store: Arc<Kept>,
    history: &crate::world::History,
    touched: &BTreeSet<String>,
) {
    let before = store.objects();
    let node = Node::start(Arc::clone(&store) as Arc<dyn Store>, Time::Virtual);
    let node = node.unwrap_or_else(|error| panic!("{damage:?}: {error}"));
    for compacted in [false, true] {
        if compacted {
            node.compact();
        }
        let mut errors = 0;
        for key in history.keys() {
            let newest = history.newest(key);
            match get(&node, key) {
                Ok(found) if found.as_deref() == newest => {}
                // Lost, or what it was before.
                Ok(found) => {
                    assert!(touched.contains(key), "{damage:?}: {key} is {found:?}");
                    let said = damage
                        .names()
                        .iter()
                        .any(|name| node.damages.iter().any(|line| line.contains(name.as_str())));
                    assert!(said, "{damage:?}: {key} is {found:?}: {:?}", node.damages);
                    if let Some(value) = found {
                        assert!(history.ever(key, &value), "{damage:?}: {key} is {value}");
                    }
                }
                Err(why) => {
                    assert!(touched.contains(key), "{damage:?}: {key}: {why}");
                    errors += 1;
                }
            }
        }
        assert!(errors <= touched.len());
    }
    // What is damaged may still be mended by hand.
    if node.damages.is_empty() {
        return;
    }
    let after = store.objects();
    for name in damage.names() {
        let kept = before.get(name).is_none_or(|object| after.get(name) == Some(object));
        assert!(kept, "{damage:?}: deleted {name}");
    }
}
