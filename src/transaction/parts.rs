//! Values of which a part changes or is looked at: the rest is not copied.

use super::{Held, ReadError, Transaction};
use crate::engine::body::Body;
use crate::engine::version::Value;
use crate::engine::writes::Change;
use crate::small_bytes::{SmallBytes, SmallKey};

impl Transaction<'_> {
    /// Reads a key for its length, for a range of it, or to change it in parts; and when it expires.
    pub fn body(&mut self, database: u8, key: &[u8]) -> Result<Option<(Body, u64)>, ReadError> {
        let (database, hash) = self.place(database, key);
        let Some((held, expires_ms)) = self.find(database, hash, key)? else {
            return Ok(None);
        };
        let body = match held {
            Held::Body(body) => body,
            Held::Stored(place) => match self.core.body_at(&place) {
                Some(body) => body,
                None => return Err(self.miss(key, place)),
            },
        };
        Ok(Some((body, expires_ms)))
    }

    /// Brings a value together that it has written itself, once for all who read it.
    pub(super) fn join_own(&mut self, database: u8, hash: u64, key: &[u8], pieces: &Body) -> Value {
        let joined = self.writes.join(database, hash, key);
        joined.unwrap_or_else(|| Value::String(pieces.to_whole()))
    }

    /// A value that the command has written when it ran before, and that had to be in the store first:
    /// who makes the same again needn't hold it twice for that.
    pub fn written_before(&self, is_it: impl Fn(&Body) -> bool) -> Option<Body> {
        self.core.lent_value(is_it)
    }

    /// Puts other parts into a value that [`Transaction::body`] has read, each at its offset, in order, and
    /// gives it to a key; how long it is then.
    pub fn splice(
        &mut self,
        database: u8,
        key: &[u8],
        (body, expires_ms): (Body, u64),
        parts: &[(usize, SmallBytes)],
    ) -> usize {
        let body = body.splice(parts, self.core.pieces_bytes_min());
        let length = body.len();
        self.put_body(database, key, body, expires_ms);
        length
    }

    /// Gives a key a value as it is, and an expiry (milliseconds since the Unix epoch, 0 for never).
    pub fn put_body(&mut self, database: u8, key: &[u8], body: Body, expires_ms: u64) {
        let change = match body {
            Body::Whole(value) => Change::Put { value: Value::String(value), expires_ms },
            pieces @ Body::InPieces(_) => Change::Pieces { pieces, expires_ms },
        };
        let (database, hash) = self.place(database, key);
        self.writes.record(database, hash, SmallKey::from(key), change);
    }
}
