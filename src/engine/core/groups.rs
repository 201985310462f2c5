//! Groups on their way to the store: sent, acknowledged, or given up.

use super::super::gate::Outcome;
use super::super::index::EntryId;
use super::super::version::Position;
use super::census::Census;
use super::ledger::Held;
use super::{Core, Database, Departure, Health, PendingGroup};
use crate::layout::{CommitId, Header, Kind, NodeId, ObjectName};

/// Whether this log is to be closed, and what the node goes on in then.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextLog {
    /// It goes on.
    #[default]
    None,
    /// Another is to be begun. Meanwhile it goes on.
    Wanted,
    /// This one was. Nothing departs any more.
    Begun(NodeId),
}

impl Core {
    /// Whether a group waits to be sent.
    pub fn has_unsent(&self) -> bool {
        if self.next_log().is_some() {
            // What is under way comes first.
            return self.log_is_to_end() && !self.cut.front().is_some_and(|group| group.sent);
        }
        !self.closed && (self.cut.back().is_some_and(|group| !group.sent) || self.open_is_wanted())
    }

    /// Nothing is sent from now on: what this node does by itself must not meet its own seal.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Whether nothing departs any more.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn open_is_wanted(&self) -> bool {
        // The words for a base go into the next group that is sent: this one, if all others are.
        let tells = self.base_is_unsaid() && self.cut.back().is_none_or(|group| group.sent);
        let wanted = self.open.wanted || !self.open.builder.is_empty() || tells;
        self.options.logged && wanted
    }

    /// The next group to be sent, if there is one.
    pub fn depart(&mut self) -> Option<Departure> {
        if self.health != Health::Serving || self.closed || self.next_log().is_some() {
            return None;
        }
        if self.cut.back().is_none_or(|group| group.sent) {
            if !self.open_is_wanted() {
                return None;
            }
            self.close_open_group();
        }
        self.tell_of_base();
        let largest = CommitId { time: self.last_commit_time, node: self.node };
        let oldest_snapshot = self.oldest_snapshot();
        let (acked, log_begins, node) = (self.acked, self.log_begins, self.node);
        let at = self.cut.iter().position(|group| !group.sent)?;
        let group = self.cut.get_mut(at)?;
        group.sent = true;
        group.sent_at = self.now.monotonic();
        group.bytes = group.builder.len();
        if group.builder.is_empty() {
            group.largest_commit = largest;
        }
        if let Some(terms) = &mut self.lease {
            terms.lease.sent(group.sent_at);
        }
        let position = acked + at as u64 + 1;
        let header = Header::new(Kind::Group, 0, node, position - log_begins);
        group.extent = group.builder.extent(&header);
        Some(Departure {
            sent_at: self.now.monotonic(),
            position,
            seq: position - log_begins,
            node,
            builder: std::mem::take(&mut group.builder),
            largest_commit: group.largest_commit,
            acked_through: acked.saturating_sub(log_begins),
            now_through_ms: group.now_through_ms,
            oldest_snapshot,
            base: self.base,
        })
    }

    /// The store has acknowledged the oldest sent group: it becomes visible.
    pub fn acknowledge(&mut self) {
        let Some(mut group) = self.cut.pop_front() else {
            return;
        };
        self.acked += 1;
        self.base_is_told(group.tells_of);
        if let Some(terms) = &mut self.lease {
            terms.lease.acknowledged(group.sent_at);
        }
        let (values_offset, bytes) = group.extent;
        let place = (self.node, self.acked - self.log_begins);
        let name = ObjectName::Log(place.0, place.1);
        let swaps = std::mem::take(&mut group.swaps);
        // The first of its log says where others have ended.
        self.ended.clear();
        let blob_bytes = group.blobs.iter().map(|blob| blob.name().bytes()).sum();
        let held = Held { name, place, bytes, blob_bytes, values_offset, swaps };
        let object = self.ledger.push(held);
        self.name_blobs(&group.blobs);
        self.press();
        self.pending_bytes = self.pending_bytes.saturating_sub(group.bytes);
        self.now_through_acked_ms = self.now_through_acked_ms.max(group.now_through_ms);
        for (&number, delta) in &group.live_delta {
            self.databases[usize::from(number)].live_visible += *delta;
        }
        self.settle_group(&group);
        self.store_values(object, &group.placed);
        self.slots.settle(self.oldest_reader());
        group.gate.open(Outcome::Durable);
    }

    /// Lets go of what a newly visible group has superseded.
    pub(super) fn settle_group(&mut self, group: &PendingGroup) {
        for &(number, id) in &group.touched {
            self.settle(number, id);
        }
        if !group.live_delta.is_empty() {
            self.settle_flushes();
        }
    }

    /// Readers at or after this position are all there are or will be.
    pub(super) fn oldest_reader(&self) -> Position {
        self.oldest_pin().map_or(self.acked, |(position, _)| position.min(self.acked))
    }

    /// Lets go of what of an entry nobody needs any more.
    pub(super) fn settle(&mut self, number: u8, id: EntryId) {
        let oldest = self.oldest_reader();
        let (acked, pins, watched) = (self.acked, &self.pins, &self.watched);
        let db = &mut self.databases[usize::from(number)];
        let values = &mut self.values;
        db.index.prune(id, acked, |positions| pins.any_in(positions), |gone| values.drop(gone));
        let Some(entry) = db.index.get(id) else {
            return;
        };
        let newest = entry.newest();
        if newest.position > acked {
            return; // Its own group will settle it.
        }
        let alone = entry.versions().nth(1).is_none();
        let dead = !newest.state.is_alive();
        if alone && dead && newest.position <= oldest {
            // A watched one goes when it is watched no longer.
            if !watched.has(number, entry.key()) {
                db.index.remove(id);
            }
        } else if !alone || dead {
            self.deferred.insert((number, id));
        }
    }

    /// Carries flushes out that no reader can look behind any more.
    pub(super) fn settle_flushes(&mut self) {
        let oldest = self.oldest_reader();
        let watched = &self.watched;
        for (number, db) in self.databases.iter_mut().enumerate() {
            let Some(flush) = db.flushes.iter().copied().find(|f| f.position <= oldest) else {
                continue;
            };
            let untouched = db.written <= flush.position && db.flushes.len() == 1;
            if untouched && db.live_tip == Census::default() && watched.is_empty() {
                // Nothing was written since: the whole database goes at once.
                *db = Database { written: db.written, ..Database::new(self.options.hash_seed) };
                continue;
            }
            for id in db.index.bury(flush.commit) {
                match db.index.get(id) {
                    Some(entry) if watched.has(number as u8, entry.key()) => db.bury(id),
                    _ => _ = db.index.remove(id),
                }
            }
            db.flushes.retain(|f| f.position > oldest);
        }
    }

    /// A deadline has passed: what was not sent is dropped, what was sent is uncertain,
    /// and until the store answers nothing new is taken.
    pub fn refuse(&mut self, why: String) {
        self.fall_back_behind(|group| group.sent);
        for group in &self.cut {
            group.gate.open(Outcome::Uncertain);
        }
        if !matches!(self.health, Health::Fenced(_)) {
            self.health = Health::Refusing(why);
        }
    }

    /// Writes are refused still, for what is known now.
    pub fn still_refuses(&mut self, newest: String) {
        if let Health::Refusing(why) = &mut self.health {
            *why = newest;
        }
    }

    /// The store answers again.
    pub fn serve(&mut self) {
        if matches!(self.health, Health::Refusing(_)) {
            self.health = Health::Serving;
        }
    }

    /// This node has sealed its own log in place of its oldest sent group: that group and
    /// all behind it never happened. It goes on as `node`, with a log of its own.
    pub fn restart_as(&mut self, node: NodeId) {
        self.fall_back_behind(|_| false);
        self.go_on_as(node);
    }

    /// The log is to be closed and another begun, so that it can be compacted.
    pub fn want_next_log(&mut self) {
        if self.next_log == NextLog::None {
            self.next_log = NextLog::Wanted;
        }
    }

    /// Whether another log is to be begun.
    pub fn next_log_is_wanted(&self) -> bool {
        self.next_log == NextLog::Wanted
    }

    /// Another log was begun, as `node`.
    pub fn next_log_is_there(&mut self, node: NodeId) {
        self.next_log = NextLog::Begun(node);
    }

    /// The log that was begun, and is not used yet.
    pub fn next_log(&self) -> Option<NodeId> {
        match self.next_log {
            NextLog::Begun(node) => Some(node),
            NextLog::None | NextLog::Wanted => None,
        }
    }

    /// Whether the log is to be closed, as soon as no group is under way.
    pub fn log_is_to_end(&self) -> bool {
        self.next_log().is_some() && self.health == Health::Serving && !self.closed
    }

    /// The log could not be closed; it goes on.
    pub fn give_up_rolling(&mut self) {
        self.next_log = NextLog::None;
    }

    /// The log was closed behind all that is acknowledged, and nothing is under way: what
    /// waits to be sent goes to the log of `node`.
    pub fn roll_to(&mut self, node: NodeId) {
        debug_assert!(self.cut.iter().all(|group| !group.sent));
        self.go_on_as(node);
    }

    /// The seal counts among what is stored; the first group of the new log tells of it.
    fn go_on_as(&mut self, node: NodeId) {
        self.next_log = NextLog::None;
        let (closed, end) = (self.node, self.acked - self.log_begins);
        let seal = Header::new(Kind::Seal, 0, closed, end + 1);
        let name = ObjectName::Log(closed, end + 1);
        let (place, bytes, swaps) = ((closed, end + 1), seal.object_bytes(), Vec::new());
        let values_offset = seal.values_offset();
        self.ledger.push(Held { name, place, bytes, blob_bytes: 0, values_offset, swaps });
        self.node = node;
        self.log_begins = self.acked;
        self.ended.push((closed, end));
        self.note_ended();
    }

    /// Somebody else has closed this node's log: pending writes are uncertain for good.
    pub fn fence(&mut self, why: String) {
        for group in &self.cut {
            let sent = group.sent;
            group.gate.open(if sent { Outcome::Uncertain } else { Outcome::NotCommitted });
        }
        self.open.gate.open(Outcome::NotCommitted);
        self.health = Health::Fenced(why);
    }

    /// Drops every group behind the last one that `keep` keeps, newest first.
    fn fall_back_behind(&mut self, keep: impl Fn(&PendingGroup) -> bool) {
        let mut dropped = vec![std::mem::take(&mut self.open)];
        while let Some(group) = self.cut.pop_back_if(|group| !keep(group)) {
            dropped.push(group);
        }
        let last = self.acked + self.cut.len() as u64;
        for group in &dropped {
            self.base_is_not_told(group.tells_of);
            let bytes = group.bytes.max(group.builder.len());
            self.pending_bytes = self.pending_bytes.saturating_sub(bytes);
            for &(number, id) in &group.touched {
                self.databases[usize::from(number)].index.fall_back(id, last);
            }
            for (&number, delta) in &group.live_delta {
                self.databases[usize::from(number)].live_tip -= *delta;
            }
            group.gate.open(Outcome::NotCommitted);
        }
        for db in &mut self.databases {
            db.flushes.retain(|flush| flush.position <= last);
            db.written = db.written.min(last);
        }
        self.slots.fall_back(last);
        self.interactive.outcomes.fall_back(last);
        self.interactive.refusals.fall_back(last);
        // What lay under a dropped version was left to that version's group to settle.
        for (number, id) in dropped.iter().flat_map(|group| group.touched.iter().copied()) {
            self.settle(number, id);
        }
    }
}
