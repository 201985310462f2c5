//! Damage to the files of an embedded store.

use crate::node::{Kept, Node, Time, futures_now};
use crate::temp_dir::TempDir;
use crate::world::{fill, get, keys_of, verify};
use aft::storage::embedded::{EmbeddedOptions, EmbeddedStore, ReadOnlyStore};
use aft::storage::{Created, Limits, Store, StoreError, StoreFuture};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

type Files = BTreeMap<String, Vec<u8>>;

fn open(path: &Path) -> Arc<dyn Store> {
    let options = EmbeddedOptions { segment_bytes: 16 << 10, ..EmbeddedOptions::default() };
    Arc::new(patiently(|| EmbeddedStore::open(path, options)))
}

fn open_read_only(path: &Path) -> ReadOnlyStore {
    patiently(|| ReadOnlyStore::open(path))
}

/// A test beside this one starts processes: between its fork and its exec a child has our files
/// open, the lock of a store that we have just closed among them.
fn patiently<S>(open: impl Fn() -> Result<S, StoreError>) -> S {
    loop {
        match open() {
            Ok(store) => return store,
            Err(StoreError::Fatal(why)) if why.contains("in use") => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn files(path: &Path) -> Files {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    entries.map(|path| (named(&path), fs::read(&path).unwrap())).collect()
}

#[test]
fn damaged_files_never_pass_for_data() {
    let directory = TempDir::named("files");
    let history = fill(|| open(directory.path()), Time::Real);
    let whole = files(directory.path());
    let verified = verify(&open_read_only(directory.path()));
    assert_eq!(verified.faults, []);
    assert_eq!(files(directory.path()), whole, "verify has changed something");

    let (mut found_faults, mut headers_told, mut mended) = (0, BTreeMap::new(), 0);
    for (name, contents) in whole.iter().filter(|(name, _)| name.starts_with("segment-")) {
        let written = contents.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        let records = (0..12).map(|part| 4096 + (written.max(4096) - 4096) * part / 12);
        // A segment's header stands there twice.
        let headers = [0, 12, 35, 2048, 2071];
        let flips = records.chain(headers).map(|at| (at, true));
        let cuts = [0, 4096, 4096 + written / 3, written].map(|at| (at, false));
        for (at, is_flip) in flips.chain(cuts) {
            let copy = TempDir::named("damaged");
            let mut damaged = contents.clone();
            if is_flip {
                damaged[at] ^= 0x10;
            } else {
                damaged.truncate(at);
            }
            for (other, contents) in &whole {
                let contents = if other == name { &damaged } else { contents };
                fs::write(copy.path().join(other), contents).unwrap();
            }
            let what = format!("{name} at {at}, flipped {is_flip}");
            let before = files(copy.path());
            let faults = verify(&open_read_only(copy.path())).faults;
            assert_eq!(files(copy.path()), before, "{what}: verify has changed something");
            found_faults += usize::from(!faults.is_empty());
            let is_of_header = is_flip && at < 4096;
            if is_of_header {
                let told = format!("one of the two headers of {name} is damaged");
                assert!(faults.iter().all(|fault| fault.what == told), "{what}: {faults:?}");
                // In one that is only kept ready, or dead, there is nothing to lose.
                assert!(faults.len() <= usize::from(written >= 4096), "{what}: {faults:?}");
                *headers_told.entry(at).or_insert(0) += faults.len();
            }

            let node = Node::start(open(copy.path()), Time::Real);
            let node = node.unwrap_or_else(|error| panic!("{what}: {error}"));
            // A start writes it anew; what was the last in there may have moved since.
            if is_of_header
                && !faults.is_empty()
                && let Ok(now) = fs::read(copy.path().join(name))
            {
                assert!(now[..4096] == contents[..4096], "{what}: it is as it was");
                mended += 1;
            }
            for key in history.keys() {
                let found = get(&node, key);
                let newest = history.newest(key);
                let as_it_was = matches!(&found, Ok(found) if found.as_deref() == newest);
                let may_be_lost = !faults.is_empty() && !is_of_header;
                assert!(as_it_was || may_be_lost, "{what}: {key} is {found:?}");
                if let Ok(Some(value)) = found {
                    assert!(history.ever(key, &value), "{what}: {key} is {value}");
                }
            }
        }
    }
    assert!(found_faults > 0);
    assert!(headers_told.len() == 5 && headers_told.values().all(|&told| told > 1));
    assert!(mended > 0);
}

/// Counts how often it is asked for each object that it doesn't have.
struct Asked {
    store: EmbeddedStore,
    in_vain: Mutex<BTreeMap<String, usize>>,
}

impl Store for Asked {
    fn limits(&self) -> Limits {
        self.store.limits()
    }

    fn create<'a>(&'a self, name: &'a str, object: Bytes) -> StoreFuture<'a, Created> {
        self.store.create(name, object)
    }

    fn read<'a>(&'a self, name: &'a str, offset: u64, length: u64) -> StoreFuture<'a, Bytes> {
        Box::pin(async move {
            let read = self.store.read(name, offset, length).await;
            if read == Err(StoreError::NotFound) {
                *self.in_vain.lock().unwrap().entry(name.to_owned()).or_default() += 1;
            }
            read
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<String>> {
        self.store.list(prefix, after, limit)
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> StoreFuture<'a, ()> {
        self.store.delete(names)
    }
}

/// What a directory doesn't have will not show later: a start doesn't wait for it.
#[test]
fn a_start_does_not_wait_for_what_a_directory_has_lost() {
    let written = Kept::with(&BTreeMap::new());
    let history = fill(|| Arc::clone(&written) as Arc<dyn Store>, Time::Virtual);
    let objects = written.objects();
    let bases: Vec<&String> = objects.keys().filter(|name| name.starts_with("base/")).collect();
    assert!(!bases.is_empty());
    for base in bases {
        let directory = TempDir::named("lost");
        let store = patiently(|| EmbeddedStore::open(directory.path(), EmbeddedOptions::default()));
        for (name, object) in objects.iter().filter(|(name, _)| *name != base) {
            assert_eq!(futures_now(store.create(name, object.clone())), Created::Created);
        }
        let store = Arc::new(Asked { store, in_vain: Mutex::default() });
        let node = Node::start(Arc::clone(&store) as Arc<dyn Store>, Time::Real).unwrap();
        assert!(node.damages.iter().any(|damage| damage.contains(base.as_str())), "{base}");
        // For what it says of others, and for the keys in it.
        let in_vain = store.in_vain.lock().unwrap().clone();
        assert!(in_vain.contains_key(base), "{base}: {in_vain:?}");
        assert!(in_vain.values().all(|times| *times <= 2), "{base}: {in_vain:?}");
        let lost = keys_of(&objects, base);
        assert!(lost.len() < history.keys().count(), "{base} had all keys");
        for key in history.keys().filter(|key| !lost.contains(*key)) {
            assert_eq!(
                get(&node, key),
                Ok(history.newest(key).map(str::to_owned)),
                "{base}: {key}"
            );
        }
    }
}
