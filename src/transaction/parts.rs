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

    /// Puts `part` at `offset` into a value that [`Transaction::body`] has read, and gives it to a key;
    /// how long it is then.
    pub fn splice(
        &mut self,
        database: u8,
        key: &[u8],
        (body, expires_ms): (Body, u64),
        (offset, part): (usize, SmallBytes),
    ) -> usize {
        let body = body.splice(offset, part, self.core.pieces_bytes_min());
        let length = body.len();
        let change = match body {
            Body::Whole(value) => Change::Put { value: Value::String(value), expires_ms },
            pieces @ Body::InPieces(_) => Change::Pieces { pieces, expires_ms },
        };
        let (database, hash) = self.place(database, key);
        self.writes.record(database, hash, SmallKey::from(key), change);
        length
    }
}
