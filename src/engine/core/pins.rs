//! What readers that stay keep from going.

use super::super::version::Position;
use crate::small_bytes::SmallKey;
use std::collections::BTreeMap;
use std::ops::Range;

/// A reader that stays: where it is, and since when, in milliseconds since the Unix epoch.
pub type Pin = (Position, u64);

/// Readers that stay until they go, and how many at one place, the oldest first: both positions
/// and times only grow. Whoever holds one sees to that it goes in time: an open transaction does.
#[derive(Debug, Default)]
pub(super) struct Pins(BTreeMap<Pin, usize>);

impl Pins {
    /// One more at this place.
    pub(super) fn hold(&mut self, pin: Pin) {
        *self.0.entry(pin).or_default() += 1;
    }

    /// One less; `true` if the oldest is another one now.
    pub(super) fn let_go(&mut self, pin: Pin) -> bool {
        let was_oldest = self.oldest() == Some(pin);
        let Some(count) = self.0.get_mut(&pin) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            self.0.remove(&pin);
        }
        was_oldest && self.oldest() != Some(pin)
    }

    /// The oldest reader.
    pub(super) fn oldest(&self) -> Option<Pin> {
        self.0.keys().next().copied()
    }

    /// Whether somebody reads at one of these positions.
    pub(super) fn any_in(&self, positions: Range<Position>) -> bool {
        let range = (positions.start, 0)..(positions.end, 0);
        self.0.range(range).next().is_some()
    }

    /// Whether nobody stays.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
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
