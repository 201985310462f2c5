//! What is broken on purpose, and that each of it is noticed.

use crate::garbage::EAGER;
use crate::world;
use aft::engine::EngineOptions;
use aft::layout::{Checkpoint, Header, Kind, ObjectName};
use std::collections::BTreeSet;

/// A store or a server broken on purpose: the checker has to notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Nothing is broken.
    Honest,
    /// Some creates are acknowledged and not kept.
    AcknowledgesBeforeKeeping,
    /// Of two creates of a name both win; the later one's bytes stay.
    TwoWinners,
    /// The server tells before the store has acknowledged.
    TellsEarly,
    /// The server reads what is visible even where own writes are on their way.
    ForgetsOwnWrites,
    /// The server remembers own writes on their way, but not what else it has answered
    /// from the tip.
    ForgetsOwnReads,
    /// The server doesn't note what an interactive transaction reads to write.
    ForgetsWhatWasRead,
    /// It begins a request anew, whatever became of it before.
    ForgetsRequests,
    /// It lets go of the snapshot of an interactive transaction while that is open.
    LetsGoOfSnapshots,
    /// It never lets go of some snapshot.
    HoldsSnapshotsForEver,
    /// It lets go of what it watches at once, so that tombstones leave too early.
    UnwatchesAtOnce,
    /// Objects go as soon as the base is there that takes their place, before a group names it.
    DeletesWithTheBase,
    /// They go with that group, while snapshots are held that still need them.
    DeletesUnderReaders,
    /// Of each object that is to go the next one goes, too, although it counts.
    DeletesOneMore,
    /// Deletes are acknowledged, and nothing goes.
    AcknowledgesDeletesOnly,
}

impl Mutant {
    /// The options with which it shows.
    pub(crate) fn shows_with(self, options: EngineOptions) -> EngineOptions {
        if self != Self::DeletesUnderReaders {
            return options;
        }
        // Values are read in groups and bases again and again, and those that are replaced go soon.
        let (cache_bytes, blob_bytes_min) = (0, 4 << 20);
        EngineOptions { cache_bytes, blob_bytes_min, compaction: EAGER, ..options }
    }

    /// Which of the objects that are there go when this one comes.
    pub(crate) fn deletes_at_create<'o>(
        self,
        object: &[u8],
        there: impl Iterator<Item = &'o String>,
    ) -> Vec<String> {
        let at = match self {
            Self::DeletesWithTheBase => Kind::Base,
            Self::DeletesUnderReaders => Kind::Group,
            _ => return Vec::new(),
        };
        let Some(said) = said_in(object, at) else { return Vec::new() };
        let replaced = |name: &&String| match name.parse() {
            Ok(ObjectName::Log(node, seq)) => said.replaces(node, seq),
            Ok(ObjectName::Base(node, number)) => {
                (node, number) < said.base && !said.bases.contains(&(node, number))
            }
            _ => false,
        };
        there.filter(replaced).cloned().collect()
    }

    /// What goes with those that were to go and are gone.
    pub(crate) fn deletes_behind(self, gone: &[&String]) -> Vec<String> {
        if self != Self::DeletesOneMore {
            return Vec::new();
        }
        let next = |name: &&String| match name.parse().ok()? {
            ObjectName::Log(node, seq) => Some(ObjectName::Log(node, seq + 1)),
            ObjectName::Base(node, number) => Some(ObjectName::Base(node, number + 1)),
            _ => None,
        };
        gone.iter().filter_map(next).map(|name| name.to_string()).collect()
    }
}

/// What an object of this kind says of the newest base and what that replaces, if it does.
fn said_in(object: &[u8], kind: Kind) -> Option<Checkpoint> {
    let header = Header::decode(object).ok().filter(|header| header.kind == kind)?;
    let base = if kind == Kind::Base { (header.node, header.number) } else { header.base };
    Checkpoint::said_in(base, &header, object).ok()?
}

/// The names under which a broken world is caught, over some seeds.
fn caught(mutant: Mutant, seeds: u64) -> BTreeSet<&'static str> {
    let violations = (0..seeds).filter_map(|seed| world::run(seed, mutant).violation);
    violations.map(|violation| violation.name).collect()
}

#[test]
fn a_store_that_acknowledges_before_it_keeps_is_caught() {
    let names = caught(Mutant::AcknowledgesBeforeKeeping, 40);
    assert!(names.contains("LostAcknowledgedWrite"), "{names:?}");
}

#[test]
fn a_store_where_two_creates_win_is_caught() {
    let names = caught(Mutant::TwoWinners, 200);
    assert!(!names.is_empty());
}

#[test]
fn a_server_that_tells_early_is_caught() {
    let names = caught(Mutant::TellsEarly, 40);
    assert!(names.contains("LostAcknowledgedWrite"), "{names:?}");
}

#[test]
fn a_server_that_forgets_own_writes_is_caught() {
    let names = caught(Mutant::ForgetsOwnWrites, 40);
    assert!(names.contains("OwnWriteNotRead"), "{names:?}");
}

/// What a connection has answered from the tip binds its later reads, too, although it
/// has written nothing itself.
#[test]
fn a_server_that_forgets_own_reads_is_caught() {
    let names = caught(Mutant::ForgetsOwnReads, 300);
    assert!(names.contains("ReadWentBack"), "{names:?}");
}

#[test]
fn a_server_that_forgets_what_was_read_inside_is_caught() {
    let names = caught(Mutant::ForgetsWhatWasRead, 100);
    assert!(names.contains("ConflictIgnored"), "{names:?}");
}

#[test]
fn a_server_that_forgets_requests_is_caught() {
    let names = caught(Mutant::ForgetsRequests, 100);
    assert!(names.contains("RequestCommittedTwice"), "{names:?}");
}

#[test]
fn a_server_that_lets_go_of_snapshots_is_caught() {
    let names = caught(Mutant::LetsGoOfSnapshots, 60);
    assert!(names.contains("FracturedRead"), "{names:?}");
}

#[test]
fn a_server_that_holds_snapshots_for_ever_is_caught() {
    let names = caught(Mutant::HoldsSnapshotsForEver, 60);
    // In memory, and in the store.
    assert!(names.contains("OldVersionsKept"), "{names:?}");
    assert!(names.contains("GarbageKept"), "{names:?}");
}

#[test]
fn a_tombstone_that_leaves_under_a_watch_is_caught() {
    let names = caught(Mutant::UnwatchesAtOnce, 200);
    assert!(names.contains("WatchIgnored"), "{names:?}");
}

/// A start that finds neither the base, which no header names, nor what it replaces.
#[test]
fn objects_deleted_before_a_group_names_their_base_are_caught() {
    let names = caught(Mutant::DeletesWithTheBase, 100);
    assert!(names.contains("FracturedRead"), "{names:?}");
}

#[test]
fn objects_deleted_under_readers_are_caught() {
    let names = caught(Mutant::DeletesUnderReaders, 240);
    assert!(names.contains("ValueNowhere"), "{names:?}");
}

#[test]
fn deleted_objects_that_count_are_caught() {
    let names = caught(Mutant::DeletesOneMore, 20);
    assert!(names.contains("NamedMissing"), "{names:?}");
}

#[test]
fn garbage_that_is_never_deleted_is_caught() {
    let names = caught(Mutant::AcknowledgesDeletesOnly, 5);
    assert!(names.contains("GarbageKept"), "{names:?}");
}
