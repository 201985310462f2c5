//! At which verb of the store, and in which step of compaction, processes have died: told by what
//! they had asked of the store.
//!
//! The steps are those of `engine/compactor`. The first asks for nothing: who dies there dies at the
//! first read of the second.

use crate::coverage::Coverage;
use crate::faults::Verb;
use aft::layout::{Header, Kind, NodeId, ObjectName};
use std::collections::BTreeSet;

/// A request, as far as it tells what a process is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    CreateBase(NodeId, u64),
    /// It names a base.
    CreateGroup(NodeId, u64),
    CreateOther,
    /// The beginning of an object: of a node that serves, only compaction wants that.
    ReadDirectory,
    ReadValues,
    List,
    /// Of groups or bases.
    DeleteObjects,
    DeleteOther,
}

impl Asks {
    pub(crate) fn create(bytes: &[u8]) -> Self {
        match Header::decode(bytes) {
            Ok(header) if header.kind == Kind::Base => Self::CreateBase(header.node, header.number),
            Ok(header) if header.kind == Kind::Group => {
                Self::CreateGroup(header.base.0, header.base.1)
            }
            _ => Self::CreateOther,
        }
    }

    pub(crate) fn read(offset: u64) -> Self {
        if offset == 0 { Self::ReadDirectory } else { Self::ReadValues }
    }

    pub(crate) fn delete(names: &[String]) -> Self {
        let is_object =
            |name: &String| matches!(name.parse(), Ok(ObjectName::Log(..) | ObjectName::Base(..)));
        if names.iter().any(is_object) { Self::DeleteObjects } else { Self::DeleteOther }
    }

    pub(crate) fn verb(self) -> Verb {
        match self {
            Self::CreateBase(..) | Self::CreateGroup(..) | Self::CreateOther => Verb::Create,
            _ => Verb::Other,
        }
    }

    fn killed_at(self, after: bool) -> &'static str {
        match (self, after) {
            (Self::ReadDirectory | Self::ReadValues, false) => "killed before a read",
            (Self::ReadDirectory | Self::ReadValues, true) => "killed after a read",
            (Self::List, false) => "killed before a listing",
            (Self::List, true) => "killed after a listing",
            (Self::DeleteObjects | Self::DeleteOther, false) => "killed before a delete",
            (Self::DeleteObjects | Self::DeleteOther, true) => "killed after a delete",
            (_, false) => "killed before a create",
            (_, true) => "killed after a create",
        }
    }
}

/// How far the compaction of the process that is alive has come, by what is in the store.
#[derive(Debug, Default)]
pub(crate) struct Deaths {
    serves: bool,
    /// A base is on its way to the store.
    creates: bool,
    /// Bases that neither a group names nor a later base has taken the place of.
    unnamed: BTreeSet<(NodeId, u64)>,
    /// A base is named, and what it replaces is still there.
    undeleted: bool,
}

impl Deaths {
    /// Before that it recovers.
    pub(crate) fn serves(&mut self) {
        self.serves = true;
    }

    /// Whether a base is on its way.
    pub(crate) fn creates_base(&self) -> bool {
        self.creates
    }

    /// Whether compaction enters its next step by this request.
    pub(crate) fn gets_on(&self, asks: Asks) -> bool {
        self.serves
            && match asks {
                Asks::CreateBase(..) | Asks::DeleteObjects => true,
                Asks::CreateGroup(node, number) => self.unnamed.contains(&(node, number)),
                _ => false,
            }
    }

    /// A request has left the process.
    pub(crate) fn asked(&mut self, asks: Asks) {
        self.creates |= self.serves && matches!(asks, Asks::CreateBase(..));
    }

    /// A request was carried out.
    pub(crate) fn done(&mut self, asks: Asks) {
        match asks {
            Asks::CreateBase(node, number) => {
                self.creates = false;
                self.unnamed.insert((node, number));
            }
            Asks::CreateGroup(node, number) if self.unnamed.contains(&(node, number)) => {
                self.unnamed.retain(|base| *base > (node, number));
                self.undeleted = true;
            }
            Asks::DeleteObjects => self.undeleted = false,
            _ => {}
        }
    }

    /// The process dies, with a request on its way if the store has killed it: before that is
    /// carried out or after it.
    pub(crate) fn died(&self, last: Option<(Asks, bool)>, coverage: &mut Coverage) {
        if let Some((asks, after)) = last {
            coverage.hit(asks.killed_at(after));
        }
        if !self.serves {
            return;
        }
        match last {
            Some((Asks::ReadDirectory | Asks::ReadValues, _)) if self.creates => {
                coverage.hit("step 2: killed at a read beside a base on its way");
            }
            Some((Asks::ReadDirectory, _)) => coverage.hit("step 2: killed at a read"),
            Some((Asks::CreateBase(..), false)) => coverage.hit("step 2: killed before the base"),
            Some((Asks::CreateBase(..), true)) => coverage.hit("step 3: killed behind the base"),
            Some((Asks::DeleteObjects, false)) => coverage.hit("step 5: killed before a delete"),
            Some((Asks::DeleteObjects, true)) => coverage.hit("step 5: killed after a delete"),
            _ => {}
        }
        match last {
            Some((asks @ Asks::CreateGroup(..), after)) if self.gets_on(asks) => {
                coverage.hit(if after {
                    "step 4: killed after the group that names the base"
                } else {
                    "step 4: killed before the group that names the base"
                });
            }
            _ if self.unnamed.len() > 1 => {
                coverage.hit("step 4: killed with several bases without a name");
            }
            _ if !self.unnamed.is_empty() => {
                coverage.hit("step 4: killed with a base without a name");
            }
            _ => {}
        }
        if self.undeleted {
            coverage.hit("step 5: killed with a base and what it replaces");
        }
    }
}
