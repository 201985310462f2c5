//! SWAPDB: which database a number means.
//!
//! A swap moves no key. Keys are in *slots*, and a number means a slot; a swap exchanges
//! what two numbers mean, at a position, as any write does:
//!
//! ```text
//!                 acknowledged        | swap 0 1 at 8
//!     number 0 -> slot 0              | -> slot 1
//!     number 1 -> slot 1              | -> slot 0
//!                 the visible state,  | the tip
//!                 snapshots before 8  |
//! ```
//! So a swap costs the same however much the two hold, versions stay with their commit
//! ids and flushes, whoever reads an older position looks through the swaps behind it
//! backwards, and a swap that is given up is taken back like any other write. The log names
//! slots, too: recovery installs each version where it stays and exchanges numbers only,
//! so what the two hold may be moved to a base without regard to the swaps around it.

use super::super::version::{Position, RECOVERED, Snapshot};
use super::{Core, DATABASES_MAX, Database};
use crate::layout::Write;

/// Two numbers that exchanged what they mean.
#[derive(Debug, Clone, Copy)]
struct Swap {
    position: Position,
    one: u8,
    other: u8,
}

impl Swap {
    fn partner(&self, number: u8) -> Option<u8> {
        match number {
            number if number == self.one => Some(self.other),
            number if number == self.other => Some(self.one),
            _ => None,
        }
    }
}

/// What numbers of databases mean.
#[derive(Debug)]
pub(super) struct Slots {
    /// On the tip, of every number there can be: a number that the settings don't know
    /// today can have been exchanged when they did.
    tip: Vec<u8>,
    /// How many numbers the settings know.
    known: u8,
    /// Those behind the oldest reader, oldest first.
    swaps: Vec<Swap>,
    /// How often what a number means has changed; it never goes back.
    changes: Vec<u64>,
}

impl Slots {
    pub(super) fn new(databases: u8) -> Self {
        let changes = vec![0; DATABASES_MAX];
        let tip = (0..=u8::MAX).take(DATABASES_MAX).collect();
        Self { tip, known: databases, swaps: Vec::new(), changes }
    }

    /// Lets go of swaps that no reader can look behind any more.
    pub(super) fn settle(&mut self, oldest: Position) {
        self.swaps.retain(|swap| swap.position > oldest);
    }

    /// Whether a reader may have to look behind a swap.
    #[inline]
    pub(super) fn are_settled(&self) -> bool {
        self.swaps.is_empty()
    }

    /// Takes back every swap after `last`.
    pub(super) fn fall_back(&mut self, last: Position) {
        while let Some(swap) = self.swaps.pop_if(|swap| swap.position > last) {
            self.exchange(swap.one, swap.other);
        }
    }

    /// Exchanges what two numbers mean.
    pub(super) fn swap(&mut self, one: u8, other: u8, position: Position) {
        if one < self.known && other < self.known {
            self.exchange(one, other);
            self.swaps.push(Swap { position, one, other });
        }
    }

    fn exchange(&mut self, one: u8, other: u8) {
        let (one, other) = (usize::from(one), usize::from(other));
        self.tip.swap(one, other);
        self.changes[one] += 1;
        self.changes[other] += 1;
    }

    /// What a number means on the tip.
    #[inline]
    pub(super) fn on_tip(&self, number: u8) -> Option<u8> {
        (number < self.known).then(|| self.tip[usize::from(number)])
    }
}

impl Core {
    /// How many databases there are.
    pub fn databases(&self) -> u8 {
        self.slots.known
    }

    /// The slot that a database's number means in a snapshot.
    #[inline]
    pub fn slot(&self, database: u8, snapshot: Snapshot) -> Option<u8> {
        let later = self.slots.swaps.iter().filter(|swap| swap.position > snapshot.position);
        let on_tip = later.fold(database, |number, swap| swap.partner(number).unwrap_or(number));
        self.slots.on_tip(on_tip)
    }

    /// A database in a snapshot by its number.
    #[inline]
    pub fn database(&self, database: u8, snapshot: Snapshot) -> Option<&Database> {
        self.in_slot(self.slot(database, snapshot)?)
    }

    #[inline]
    pub(super) fn in_slot(&self, slot: u8) -> Option<&Database> {
        self.databases.get(usize::from(slot))
    }

    /// The position of the newest swap of a database, where some reader may still look
    /// behind it.
    #[inline]
    pub fn swapped_at(&self, database: u8) -> Position {
        let mut swaps = self.slots.swaps.iter().rev();
        let newest = swaps.find(|swap| swap.partner(database).is_some());
        newest.map_or(0, |swap| swap.position)
    }

    /// The position of the newest flush on the tip that is not carried out yet.
    pub fn flushed_at(&self, database: u8) -> Position {
        self.slots.on_tip(database).map_or(RECOVERED, |slot| self.flushed_in(slot))
    }

    /// The same, of a slot.
    pub fn flushed_in(&self, slot: u8) -> Position {
        let flush = self.in_slot(slot).and_then(|db| db.flushes.first());
        flush.map_or(RECOVERED, |flush| flush.position)
    }

    pub(super) fn apply_swap(&mut self, one: u8, other: u8, position: Position) {
        if self.options.logged {
            self.open.builder.write(&Write::Swap { one, other });
            self.open.swaps.push((one, other));
        }
        self.slots.swap(one, other, position);
    }

    /// A database as its number is meant on the tip, and its slot.
    pub(super) fn on_tip(&mut self, number: u8) -> Option<(u8, &mut Database)> {
        let slot = self.slots.on_tip(number)?;
        Some((slot, self.databases.get_mut(usize::from(slot))?))
    }

    /// How often a database was swapped, or that was taken back: what WATCH compares.
    pub fn swaps(&self, database: u8) -> u64 {
        self.slots.changes.get(usize::from(database)).copied().unwrap_or(0)
    }

    /// Two numbers exchange what they mean, at the beginning.
    pub fn recover_swap(&mut self, one: u8, other: u8) {
        let there = |number: u8| usize::from(number) < DATABASES_MAX;
        if there(one) && there(other) {
            self.slots.exchange(one, other);
            // A number that the settings know may mean a slot behind their count.
            let slots = [one, other].map(|number| self.slots.tip[usize::from(number)]);
            slots.into_iter().for_each(|slot| _ = self.recovering(slot));
        }
    }

    /// A database that recovery installs in.
    pub(super) fn recovering(&mut self, slot: u8) -> &mut Database {
        let at = usize::from(slot);
        let seed = self.options.hash_seed;
        if at >= self.databases.len() {
            self.databases.resize_with(at + 1, || Database::new(seed));
        }
        &mut self.databases[at]
    }
}
