//! What the runs have met: a simulation that no longer meets it has gone blind.

use std::collections::BTreeMap;
use std::fmt;

/// Events, counted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Coverage(BTreeMap<&'static str, u64>);

/// What the default seeds must meet at least once each.
pub(crate) const REQUIRED: &[&str] = &[
    "bases created",
    "bases deleted",
    "clean shutdowns",
    "clock set back between starts",
    "clock set back while running",
    "clock set forward",
    "commits in the order",
    "created behind a seal, late",
    "creates applied after their process died",
    "creates refused as full",
    "creates rejected",
    "creates whose reply was lost",
    "exec: watch broken",
    "exec: watch held",
    "expired keys seen after a restart",
    "fetched values that had moved",
    "values that were at hand",
    "fetches",
    "flushes in the order",
    "gaps that only showed late",
    "groups deleted",
    "groups of several transactions",
    "inside: aborts",
    "inside: commands of somebody who joined",
    "inside: commits",
    "inside: commits asked for again",
    "inside: conflicts",
    "inside: functions that crashed",
    "inside: retries of steps that were done",
    "inside: retries of what had committed",
    "inside: steps taken back",
    "inside: timeouts",
    "inside: told after a restart what had committed",
    "inside: told what had committed",
    "inside: zombies turned away",
    "kills during recovery",
    "kills",
    "killed after a create",
    "killed after a delete",
    "killed after a listing",
    "killed after a read",
    "killed before a create",
    "killed before a delete",
    "killed before a listing",
    "killed before a read",
    "late creates of deleted names",
    "late creates that met a seal",
    "lives longer than a sweep",
    "lives",
    "log names listed late",
    "node names listed late",
    "objects read late",
    "opens that failed",
    "outages",
    "own seals after a rejection",
    "pieces of blobs created",
    "pieces of blobs deleted",
    "pipelined reads on the tip",
    "seals",
    "step 2: killed at a read beside a base on its way",
    "step 2: killed at a read",
    "step 2: killed before the base",
    "step 3: killed behind the base",
    "step 4: killed with a base without a name",
    "step 4: killed with several bases without a name",
    "step 4: killed before the group that names the base",
    "step 4: killed after the group that names the base",
    "step 5: killed with a base and what it replaces",
    "step 5: killed before a delete",
    "step 5: killed after a delete",
    "too many groups alone",
    "too many logs alone",
    "too many objects, and a base is left",
    "told NOTCOMMITTED",
    "told UNCERTAIN",
    "told done",
    "told refused",
    "unanswered, and never committed",
    "unanswered, yet committed",
    "uncertain, and never committed",
    "uncertain, yet committed",
    "values fetched again beside a base on its way",
    "values fetched again that the cache had let go",
];

impl Coverage {
    pub(crate) fn hit(&mut self, event: &'static str) {
        self.add(event, 1);
    }

    pub(crate) fn add(&mut self, event: &'static str, count: u64) {
        *self.0.entry(event).or_default() += count;
    }

    pub(crate) fn count(&self, event: &str) -> u64 {
        self.0.get(event).copied().unwrap_or(0)
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (event, count) in &other.0 {
            self.add(event, *count);
        }
    }

    pub(crate) fn missing(&self) -> Vec<&'static str> {
        REQUIRED.iter().copied().filter(|event| self.count(event) == 0).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (event, count) in &self.0 {
            writeln!(f, "{count:>10}  {event}")?;
        }
        Ok(())
    }
}
