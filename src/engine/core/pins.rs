//! What readers that stay keep from going.

use super::super::version::Position;
use crate::small_bytes::SmallKey;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// A reader that stays: where it is, and since when, in milliseconds since the Unix epoch.
pub type Pin = (Position, u64);

/// Those at one place.
#[derive(Debug, Default)]
struct Readers {
    count: usize,
    /// When the last of them came, on the monotonic clock.
    since: Duration,
}

/// Readers that stay, the oldest first: both positions and times only grow.
#[derive(Debug, Default)]
pub(super) struct Pins {
    /// Those whose time will be over.
    timed: BTreeMap<Pin, Readers>,
    /// How many stay until they go: whoever holds one sees to that.
    held: BTreeMap<Pin, usize>,
}

impl Pins {
    /// One more at this place.
    pub(super) fn add(&mut self, pin: Pin, since: Duration) {
        let readers = self.timed.entry(pin).or_default();
        readers.count += 1;
        readers.since = since;
    }

    /// One less; `true` if the oldest is another one now.
    pub(super) fn remove(&mut self, pin: Pin) -> bool {
        let was_oldest = self.oldest() == Some(pin);
        let Some(readers) = self.timed.get_mut(&pin) else {
            return false;
        };
        readers.count -= 1;
        if readers.count == 0 {
            self.timed.remove(&pin);
        }
        was_oldest && self.oldest() != Some(pin)
    }

    /// One more at this place, for as long as it wants.
    pub(super) fn hold(&mut self, pin: Pin) {
        *self.held.entry(pin).or_default() += 1;
    }

    /// One of those less; `true` if the oldest is another one now.
    pub(super) fn let_go(&mut self, pin: Pin) -> bool {
        let was_oldest = self.oldest() == Some(pin);
        let Some(count) = self.held.get_mut(&pin) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            self.held.remove(&pin);
        }
        was_oldest && self.oldest() != Some(pin)
    }

    /// None is left that came before; `true` if there were any.
    pub(super) fn expire(&mut self, before: Duration) -> bool {
        let mut expired = false;
        while let Some(oldest) = self.timed.first_entry()
            && oldest.get().since < before
        {
            oldest.remove();
            expired = true;
        }
        expired
    }

    /// Whether somebody is there whose time is not over.
    pub(super) fn has(&self, pin: Pin) -> bool {
        self.timed.contains_key(&pin)
    }

    /// The oldest reader.
    pub(super) fn oldest(&self) -> Option<Pin> {
        let (timed, held) = (self.timed.keys().next(), self.held.keys().next());
        timed.into_iter().chain(held).min().copied()
    }

    /// Whether somebody reads at one of these positions.
    pub(super) fn any_in(&self, positions: Range<Position>) -> bool {
        let range = (positions.start, 0)..(positions.end, 0);
        self.timed.range(range.clone()).next().is_some() || self.held.range(range).next().is_some()
    }

    /// Whether nobody stays.
    pub(super) fn is_empty(&self) -> bool {
        self.timed.is_empty() && self.held.is_empty()
    }
}

/// Keys that sessions watch, by slot, and how many do.
#[derive(Debug, Default)]
pub(super) struct WatchedKeys(BTreeMap<(u8, SmallKey), usize>);

impl WatchedKeys {
    /// One more session watches a key.
    pub(super) fn add(&mut self, slot: u8, key: &[u8]) {
        *self.0.entry((slot, key.into())).or_default() += 1;
    }

    /// One less; `true` if nobody watches it now.
    pub(super) fn remove(&mut self, slot: u8, key: &[u8]) -> bool {
        let watched = (slot, SmallKey::from(key));
        let Some(count) = self.0.get_mut(&watched) else {
            return false;
        };
        *count -= 1;
        *count == 0 && self.0.remove(&watched).is_some()
    }

    /// Whether somebody watches a key.
    #[inline]
    pub(super) fn has(&self, slot: u8, key: &SmallKey) -> bool {
        !self.0.is_empty() && self.0.contains_key(&(slot, key.clone()))
    }

    /// Whether nobody watches anything.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
