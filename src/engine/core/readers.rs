//! Readers that stay, and keys whose time is over.

use super::{Core, Health, Pin};

impl Core {
    /// A snapshot: keeps everything that can be seen now, until it is unpinned.
    pub fn pin(&mut self) -> Pin {
        let pin = (self.acked, self.now.ms());
        self.pins.add(pin);
        pin
    }

    /// Lets go of a snapshot.
    pub fn unpin(&mut self, pin: Pin) {
        if self.pins.remove(pin) {
            self.settle_deferred();
        }
    }

    /// Keeps what shows that a key came and went since now, until it is unwatched.
    pub fn watch(&mut self, database: u8, key: &[u8]) {
        self.watched.add(database, key);
    }

    /// Lets go of a watched key.
    pub fn unwatch(&mut self, database: u8, key: &[u8]) {
        if !self.watched.remove(database, key) {
            return;
        }
        let found = self.database(database).and_then(|db| db.index.find(db.index.hash(key), key));
        if let Some(id) = found {
            self.settle(database, id);
        }
    }

    fn settle_deferred(&mut self) {
        for (number, id) in std::mem::take(&mut self.deferred) {
            self.settle(number, id);
        }
        self.settle_flushes();
    }

    /// The oldest snapshot.
    pub fn oldest_pin(&self) -> Option<Pin> {
        self.pins.oldest()
    }

    /// Removes keys that have expired, at most `limit`; says whether more are waiting.
    ///
    /// No tombstone is written: the expiry stands in the log. A key only goes when a
    /// restart, too, would find it expired; until then the group that says so is asked for.
    pub fn reap(&mut self, limit: usize) -> bool {
        let (pinned, pinned_ms) = self.oldest_pin().unwrap_or((self.acked, u64::MAX));
        let durable_ms = self.now_through_acked_ms();
        let now_ms = self.now.ms();
        let mut left = limit;
        let (mut wanted, mut reaped) = (false, 0);
        let watched = &self.watched;
        for (number, db) in self.databases.iter_mut().enumerate() {
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
                let settled = !buried
                    && newest.position <= self.acked.min(pinned)
                    && expires_ms <= pinned_ms
                    && !watched.has(number as u8, entry.key());
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
