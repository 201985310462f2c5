//! Readers that stay, and keys whose time is over.

use super::super::version::Position;
use super::{Core, Health};

impl Core {
    /// Keeps everything a reader of the visible state can see now, until it is unpinned.
    pub fn pin(&mut self) -> (Position, u64) {
        let pin = (self.acked, self.now.ms());
        *self.pins.entry(pin).or_default() += 1;
        pin
    }

    /// Lets go of a pin.
    pub fn unpin(&mut self, pin: (Position, u64)) {
        let Some(count) = self.pins.get_mut(&pin) else {
            return;
        };
        *count -= 1;
        if *count > 0 {
            return;
        }
        let oldest = self.oldest_reader();
        self.pins.remove(&pin);
        if self.oldest_reader() > oldest {
            for (number, id) in std::mem::take(&mut self.deferred) {
                self.settle(number, id);
            }
            self.settle_flushes();
        }
    }

    /// The oldest reader that stays: where it is, and since when in milliseconds since the
    /// Unix epoch.
    pub fn oldest_pin(&self) -> Option<(Position, u64)> {
        self.pins.keys().next().copied()
    }

    /// Removes keys that have expired, at most `limit`; says whether more are waiting.
    ///
    /// No tombstone is written: the expiry stands in the log. A key only goes when a
    /// restart, too, would find it expired; until then the group that says so is asked for.
    pub fn reap(&mut self, limit: usize) -> bool {
        let (pinned, pinned_ms) =
            self.pins.keys().next().copied().unwrap_or((self.acked, u64::MAX));
        let durable_ms = self.now_through_acked_ms();
        let now_ms = self.now.ms();
        let mut left = limit;
        let (mut wanted, mut reaped) = (false, 0);
        for db in &mut self.databases {
            let due = db.take_due(now_ms, left);
            left -= due.len();
            for (expires_ms, id) in due {
                let Some(entry) = db.index.get(id) else {
                    continue;
                };
                let newest = entry.newest();
                wanted |= expires_ms > durable_ms;
                // What a flush has buried is already counted out: it goes with the flush,
                // or, should that be given up, is counted in again and goes then.
                let buried = db.flushes.iter().any(|f| f.commit > newest.commit);
                let settled =
                    !buried && newest.position <= self.acked.min(pinned) && expires_ms <= pinned_ms;
                if !settled || expires_ms > durable_ms {
                    continue;
                }
                let alive = i64::from(db.alive_on_tip(id));
                db.remove(id);
                db.live_tip -= alive;
                db.live_visible -= alive;
                reaped += 1;
            }
        }
        if wanted && self.health == Health::Serving {
            self.want_group();
        }
        left == 0 && reaped > 0
    }
}
