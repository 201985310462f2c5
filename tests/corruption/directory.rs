//! Damage to the files of an embedded store.

use crate::node::{Node, Time};
use crate::temp_dir::TempDir;
use crate::world::{fill, get, verify};
use aft::storage::embedded::{EmbeddedOptions, EmbeddedStore, ReadOnlyStore};
use aft::storage::{Store, StoreError};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

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

    let mut found_faults = 0;
    for (name, contents) in whole.iter().filter(|(name, _)| name.starts_with("segment-")) {
        let written = contents.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        let flips = (0..12).map(|part| (4096 + (written.max(4096) - 4096) * part / 12, true));
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

            let node = Node::start(open(copy.path()), Time::Real);
            let node = node.unwrap_or_else(|error| panic!("{what}: {error}"));
            for key in history.keys() {
                let found = get(&node, key);
                let newest = history.newest(key);
                let as_it_was = matches!(&found, Ok(found) if found.as_deref() == newest);
                assert!(as_it_was || !faults.is_empty(), "{what}: {key} is {found:?}");
                if let Ok(Some(value)) = found {
                    assert!(history.ever(key, &value), "{what}: {key} is {value}");
                }
            }
        }
    }
    assert!(found_faults > 0);
}
