//! Writes wait for compaction where they outrun it: otherwise the store would grow without end.
//!
//! Up to a debt of `debt_percent_max` nobody waits. Beyond it writes live on what compaction
//! earns: for each byte that it goes through they may add some. That begins with four bytes and
//! ends, at twice that debt, with half a byte. A round goes through all there is, `S` bytes of
//! which `L` are alive, so with half a byte there are `L + S/2` behind it, and however many
//! rounds follow, never more than `2 L` for long.
//!
//! ```text
//!   bytes written   4 |--------.
//!   for each byte     |          `.
//!   gone through      |             `-.
//!                 1/2 |                `-------------
//!                     +--------|-------|--------------> debt
//!                  any number   max    2 x max
//! ```
//! The bound is looked at with each group, and not only when compaction has come further: while
//! a slow disk holds up one of its steps, writes would add any number of bytes.
//!
//! Where compaction can't go on (damage, a store that answers with errors) nobody waits for it.

use super::Core;
use super::compaction::CompactionLimits;

/// What writes may still add, if they have to ask.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// In bytes; less than nothing if a large one came last.
    room: Option<i64>,
    /// How far the debt is between its bound and twice that.
    percent: u64,
    /// While compaction is at work: at which size of the store writes begin to ask.
    asks_at: Option<u64>,
    /// What they may add then, until compaction has come further, in bytes.
    at_first: i64,
}

impl Core {
    /// Compaction is at work and has just gone through so many bytes.
    pub fn pace_writes(&mut self, limits: &CompactionLimits, gone_through: u64) {
        let debt = self.compaction_debt_bytes(limits);
        let allowed = self.allowed_bytes(limits);
        let bound = (allowed.saturating_mul(limits.debt_percent_max) / 100).max(1);
        let at_first = i64::try_from(self.step_bytes(limits)).unwrap_or(i64::MAX);
        if debt <= bound {
            let asks_at = Some(allowed.saturating_add(bound));
            self.pace = Pace { asks_at, at_first, ..Pace::default() };
            return;
        }
        let percent = ((debt - bound).saturating_mul(100) / bound).min(100);
        let for_each_byte = 2f64.powf(2.0 - 3.0 * percent as f64 / 100.0);
        // Nobody saves much: a step earns what is written until the next.
        let earned = (gone_through as f64 * for_each_byte) as i64;
        let room = self.pace.room.unwrap_or(at_first);
        self.pace.room = Some(room.saturating_add(earned).min(earned.max(at_first)));
        self.pace.percent = percent;
    }

    /// The store has grown.
    pub(super) fn press(&mut self) {
        let bytes = self.ledger.bytes();
        if self.pace.room.is_none() && self.pace.asks_at.is_some_and(|asks_at| bytes > asks_at) {
            self.pace.room = Some(self.pace.at_first);
        }
    }

    /// Nothing is compacted now, or nothing can be.
    pub fn let_writes_go(&mut self) {
        self.pace = Pace::default();
    }

    /// Whether who writes has to wait until compaction has come further.
    #[inline]
    pub fn writes_must_wait(&self) -> bool {
        self.pace.room.is_some_and(|room| room <= 0)
    }

    /// How far the debt is between its bound and twice that; `None` if it is below.
    pub fn write_pressure_percent(&self) -> Option<u64> {
        self.pace.room.map(|_| self.pace.percent)
    }

    pub(super) fn spend(&mut self, bytes: usize) {
        if let Some(room) = &mut self.pace.room {
            *room = room.saturating_sub(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }
}
