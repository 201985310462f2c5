//! What is written before the damage, and what may be read after it.

use crate::node::{BLOB_BYTES_MIN, Node, Time};
use aft::inspect::{self, Depth, Inspection, Moment};
use aft::layout::group::checked_directory;
use aft::layout::{Header, Kind, Place, Write};
use aft::resp::Reply;
use aft::storage::Store;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// All values that each key has ever had, the newest last; `None` is no value.
#[derive(Default)]
pub(crate) struct History(BTreeMap<String, Vec<Option<String>>>);

impl History {
    fn set(&mut self, node: &Node, key: &str, value: String) {
        assert!(matches!(node.run(&["SET", key, &value]), Ok(Reply::Ok | Reply::Simple(_))));
        self.0.entry(key.to_owned()).or_default().push(Some(value));
    }

    fn delete(&mut self, node: &Node, key: &str) {
        node.run(&["DEL", key]).unwrap();
        self.0.entry(key.to_owned()).or_default().push(None);
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    pub(crate) fn newest(&self, key: &str) -> Option<&str> {
        self.0[key].last().and_then(Option::as_deref)
    }

    pub(crate) fn ever(&self, key: &str, value: &str) -> bool {
        self.0[key].iter().flatten().any(|written| written == value)
    }
}

fn value(key: usize, round: usize) -> String {
    // For a directory, too large for one, and for a group, too.
    let bytes = [8, 200, BLOB_BYTES_MIN * 3 / 2][key % 3];
    format!("{key}.{round}.{}", "x".repeat(bytes))
}

/// Three lives: one that compacts, one with what it left, one on top of both.
pub(crate) fn fill(open: impl Fn() -> Arc<dyn Store>, time: Time) -> History {
    const KEYS: usize = 12;
    let mut history = History::default();
    for life in 0..3 {
        let node = Node::start(open(), time).unwrap();
        for round in 0..if life == 0 { 4 } else { 1 } {
            for key in (life..KEYS).step_by(life + 1) {
                history.set(&node, &format!("key{key}"), value(key, life * 10 + round));
            }
        }
        // Only the expiry changes: the value stays where it was.
        node.run(&["EXPIRE", &format!("key{}", life + 5), "100000"]).unwrap();
        history.delete(&node, &format!("key{}", life * 3));
        if life == 0 && time == Time::Virtual {
            node.compact();
            assert!(node.bases() > 0);
        }
        node.stop();
    }
    history
}

/// What GET answers.
pub(crate) fn get(node: &Node, key: &str) -> Result<Option<String>, String> {
    match node.run(&["GET", key])? {
        Reply::Bulk(bytes) => Ok(Some(String::from_utf8(bytes.as_ref().to_vec()).unwrap())),
        Reply::Null => Ok(None),
        other => Err(format!("{other:?}")),
    }
}

pub(crate) fn verify(store: &dyn Store) -> Inspection {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(inspect::inspect(store, Depth::Whole, Moment::default(), |_, _| {})).unwrap()
}

/// Keys that an object says anything of.
pub(crate) fn keys_in(object: &[u8]) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for_each_write(object, |write| {
        if let Write::Put { key, .. } | Write::Delete { key, .. } | Write::Meta { key, .. } = write
        {
            keys.insert(String::from_utf8(key.to_vec()).unwrap());
        }
    });
    keys
}

/// Keys that lose something with an object: those it says anything of, or whose value it has a
/// piece of.
pub(crate) fn keys_of(objects: &BTreeMap<String, Bytes>, name: &str) -> BTreeSet<String> {
    let mut keys = keys_in(&objects[name]);
    for object in objects.values() {
        for_each_write(object, |write| {
            if let Write::Put { key, place: Place::Blob { blob, .. }, .. } = write
                && blob.objects().any(|piece| piece.to_string() == name)
            {
                keys.insert(String::from_utf8(key.to_vec()).unwrap());
            }
        });
    }
    keys
}

fn for_each_write(object: &[u8], mut with: impl FnMut(Write<'_>)) {
    let header = Header::decode(object).unwrap();
    if header.kind == Kind::Blob {
        return;
    }
    let mut directory = checked_directory(&header, object).unwrap();
    while let Some(commit) = directory.next_commit().unwrap() {
        commit.writes.into_iter().for_each(&mut with);
    }
}
