//! Damage to single objects, in a store in memory.

use crate::node::{Kept, Node, Time};
use crate::world::{fill, get, keys_in, keys_of, verify};
use aft::layout::{Header, Kind};
use aft::resp::Reply;
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
    for kind in [Kind::Node, Kind::Group, Kind::Seal, Kind::Base, Kind::Blob] {
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
        let touched = damage.names().into_iter().flat_map(|name| keys_of(&objects, name)).collect();
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
                    let named = damage.names().iter().any(|name| why.contains(name.as_str()));
                    // Of a value that the start has missed the log tells; one that has rotted is
                    // moved as it stands.
                    let told = why.contains("is lost in the store");
                    assert!(named || told || compacted, "{damage:?}: {key}: {why}");
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

/// What stands before a damaged object goes on being moved; that doesn't hide that it is there.
#[test]
fn damage_that_stops_compaction_stays_told() {
    const KEYS: usize = 20;
    let store = Kept::with(&Objects::new());
    let node = Node::start(Arc::clone(&store) as Arc<dyn Store>, Time::Virtual).unwrap();
    let set = |node: &Node, key: usize| {
        let written = node.run(&["SET", &format!("key{key}"), &"x".repeat(70)]);
        assert!(matches!(written, Ok(Reply::Ok | Reply::Simple(_))), "{written:?}");
    };
    (0..KEYS).for_each(|key| set(&node, key));
    // Too little to be compacted.
    assert_eq!(node.bases(), 0);
    node.stop();
    let mut objects = store.objects();
    let (name, object) = objects
        .iter()
        .filter(|(_, object)| Header::decode(object).unwrap().kind == Kind::Group)
        .find(|(_, object)| keys_in(object).contains("key5"))
        .unwrap();
    let (name, mut object) = (name.clone(), object.to_vec());
    // Of its directory: a value that has rotted is moved as it stands.
    let directory = Header::decode(&object).unwrap().encoded_bytes();
    object[directory] ^= 1;
    objects.insert(name.clone(), object.into());

    let node = Node::start(Kept::with(&objects) as Arc<dyn Store>, Time::Virtual).unwrap();
    for _ in 0..3 {
        (10..KEYS).for_each(|key| set(&node, key));
        node.compact();
        let failure = node.compaction_failure();
        assert!(failure.starts_with(&format!("{name}: ")), "{failure:?}");
    }
    // Those before it have been moved since it was met.
    assert!(node.bases() > 0);
    assert_eq!(get(&node, "key5"), Ok(None), "the start has told that it is lost");
    assert_eq!(get(&node, "key4").unwrap().unwrap().len(), 70);
}

/// Whom a fault affects is told by key, as far as anything can still tell.
#[test]
fn verify_names_the_keys_that_are_lost() {
    const KEYS: usize = 25;
    const SHOWN: usize = 20;
    let store = Kept::with(&Objects::new());
    let node = Node::start(Arc::clone(&store) as Arc<dyn Store>, Time::Virtual).unwrap();
    let mut words = vec!["MSET".to_owned()];
    words
        .extend((0..KEYS).flat_map(|key| [format!("key{key:02}"), format!("{key:03}").repeat(70)]));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    assert!(matches!(node.run(&words), Ok(Reply::Ok | Reply::Simple(_))));
    node.stop();
    let objects = store.objects();
    let (name, object) = objects.iter().find(|(_, object)| keys_in_group(object) == KEYS).unwrap();
    let values = Header::decode(object).unwrap().values_offset() as usize;
    let found = |damage: Damage| {
        let found = verify(&*Kept::with(&damage.apply(&objects)));
        let faults = found.faults.into_iter().filter(|fault| fault.object == *name);
        let [fault] = &faults.collect::<Vec<_>>()[..] else { panic!("one fault of {name}") };
        assert!(!fault.affects.is_empty(), "{fault:?}");
        fault.clone()
    };
    for key in [0, 7, KEYS - 1] {
        let lost = found(Damage::Flip(name.clone(), values + key * 210 + 100));
        assert!(lost.what.contains("bad checksum of its values"), "{lost:?}");
        assert_eq!((lost.keys, lost.keys_total), (vec![format!("0:key{key:02}")], 1));
    }
    let lost = found(Damage::Truncate(name.clone(), values));
    assert_eq!((lost.keys.len(), lost.keys_total), (SHOWN, KEYS as u64), "{lost:?}");
}

fn keys_in_group(object: &[u8]) -> usize {
    match Header::decode(object).unwrap().kind {
        Kind::Group => keys_in(object).len(),
        _ => 0,
    }
}

/// What a start has found missing is marked, and told by the next look.
#[test]
fn a_hole_stays_told() {
    let store = Kept::with(&Objects::new());
    let node = Node::start(Arc::clone(&store) as Arc<dyn Store>, Time::Virtual).unwrap();
    for key in 0..3 {
        node.run(&["SET", &format!("key{key}"), "value"]).unwrap();
    }
    node.stop();
    let objects = store.objects();
    let of = |key: &str| {
        let group = |object: &[u8]| keys_in_group(object) == 1 && keys_in(object).contains(key);
        objects.iter().find(|(_, object)| group(object)).unwrap().0.clone()
    };
    let lost = of("key1");
    let damaged = Kept::with(&Damage::Delete(lost.clone()).apply(&objects));
    let node = Node::start(Arc::clone(&damaged) as Arc<dyn Store>, Time::Virtual).unwrap();
    assert!(node.damages.iter().any(|line| line.contains(&lost)), "{:?}", node.damages);
    assert_eq!(get(&node, "key1"), Ok(None));
    assert_eq!(get(&node, "key2"), Ok(Some("value".to_owned())));
    node.stop();
    let again = verify(&*damaged);
    let hole = again.faults.iter().find(|fault| fault.object == lost);
    assert!(hole.is_some_and(|fault| fault.what.contains("hole")), "{:?}", again.faults);
}
