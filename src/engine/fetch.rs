//! Values that commands miss: from the store into the state, for as long as the command runs.

use super::core::{Core, Fetched, Located, Missing};
use super::in_order::InOrder;
use super::version::StoredValue;
use super::{Engine, FetchFailed};
use crate::layout::{FormatError, ObjectName};
use crate::storage::StoreError;
use bytes::Bytes;
use std::collections::HashSet;

impl Engine {
    /// Reads those of some values that the store has at hand, and takes them out of `missing`. For
    /// who holds the state, and has no time: of a command that misses many it reads none.
    pub fn fetch_at_once(&self, core: &Core, missing: &mut Vec<Missing>) -> Vec<Fetched> {
        /// Each takes some microseconds, and may begin a read that the store's queue has to take.
        const AT_ONCE_MAX: usize = 16;
        let mut fetched = Vec::new();
        if missing.len() <= AT_ONCE_MAX {
            missing.retain_mut(|missing| {
                // A command may name a key many times.
                if fetched.iter().any(|fetched: &Fetched| fetched.place() == missing.place()) {
                    return false;
                }
                let value = self.fetch_one_at_once(core, missing);
                let waits = value.is_none();
                fetched.extend(value);
                waits
            });
        }
        fetched
    }

    fn fetch_one_at_once(&self, core: &Core, missing: &mut Missing) -> Option<Fetched> {
        let Missing::Value { place, was_tried, .. } = missing else { return None };
        let Some(Located::In(name, offset)) = core.locate(place) else { return None };
        *was_tried = true;
        let bytes = self.store.read_at_once(&name.text(), offset, u64::from(place.length))?;
        // Who waits for it is told what is wrong with it.
        is_value_of(place, &bytes).then(|| Fetched::Value(*place, bytes.into()))
    }

    /// Reads values that commands miss, and writes those that have to be in the store before a
    /// command puts them. Whoever asked lends them to the state ([`Core::lend`]) while the command
    /// runs again.
    ///
    /// # Errors
    /// The store didn't give or take them in time, or gave bytes with a wrong checksum: the
    /// message names the object.
    pub async fn fetch(&self, missing: &[Missing]) -> Result<Vec<Fetched>, FetchFailed> {
        // Nearly always. What is seldom is boxed: the future of a miss is moved some times.
        if let [one] = missing {
            return Ok(self.fetch_one(one).await?.into_iter().collect());
        }
        Box::pin(self.fetch_many(missing)).await
    }

    async fn fetch_many(&self, missing: &[Missing]) -> Result<Vec<Fetched>, FetchFailed> {
        /// Hides the latency of a store; what is read is held anyway until the command ran.
        const IN_FLIGHT_MAX: usize = 16;
        /// They may all be at hand: so many are read in about a millisecond, then others get their turn.
        const BETWEEN_YIELDS: usize = 128;
        let mut asked = HashSet::with_capacity(missing.len());
        // A command may name a key many times.
        let mut missing = missing.iter().filter(|missing| match missing {
            Missing::Value { place, .. } => asked.insert(*place),
            Missing::Blob { .. } => true,
        });
        let mut reading = InOrder::default();
        let mut fetched = Vec::new();
        loop {
            while reading.len() < IN_FLIGHT_MAX
                && let Some(missing) = missing.next()
            {
                reading.push(self.fetch_one(missing));
            }
            match reading.next().await {
                Some(value) => fetched.extend(value?),
                None => return Ok(fetched),
            }
            if (fetched.len() + 1).is_multiple_of(BETWEEN_YIELDS) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Reads a value for somebody who may do without.
    pub async fn try_fetch(&self, missing: &Missing) -> Option<Fetched> {
        self.fetch_one(missing).await.ok().flatten()
    }

    /// Where the value has moved meanwhile there is none: the command asks again.
    async fn fetch_one(&self, missing: &Missing) -> Result<Option<Fetched>, FetchFailed> {
        let (key, place, was_tried) = match missing {
            Missing::Value { key, place, was_tried } => (key, place, *was_tried),
            Missing::Blob { value } => {
                let blob = Box::pin(self.write_blob(value)).await?;
                return Ok(Some(Fetched::Blob(blob, value.clone())));
            }
        };
        let read = match self.with_core(|core| core.locate(place)) {
            Some(Located::In(name, offset)) => {
                self.read_value(name, offset, place, was_tried).await
            }
            Some(Located::Blob(blob)) => Box::pin(self.read_blob(blob, place)).await,
            None => return Ok(None),
        };
        let value = read.map_err(|why| {
            FetchFailed::Read(format!("{why}: the value of \"{}\"", key.escape_ascii()))
        })?;
        Ok(value.map(|value| Fetched::Value(*place, value.into())))
    }

    /// Reads a value from the object that holds it, where it begins at `offset`.
    async fn read_value(
        &self,
        name: ObjectName,
        offset: u64,
        place: &StoredValue,
        was_tried: bool,
    ) -> Result<Option<Bytes>, String> {
        let text = name.text();
        let length = u64::from(place.length);
        let read = match was_tried {
            true => self.store.try_read_later(&text, offset, length).await,
            false => self.store.try_read(&text, offset, length).await,
        };
        let read = match read {
            // It shows late, or was deleted on our way.
            Err(StoreError::NotFound) => match self.with_core(|core| core.locate(place)) {
                Some(_) => self.store.read(&text, offset, length).await,
                None => return Ok(None),
            },
            read => read,
        };
        let bytes = read.map_err(|error| format!("{name}: {error}"))?;
        if !is_value_of(place, &bytes) {
            return Err(format!("{name}: {}", FormatError::Checksum("values")));
        }
        Ok(Some(bytes))
    }
}

/// Whether these are the bytes that were written there.
fn is_value_of(place: &StoredValue, bytes: &[u8]) -> bool {
    bytes.len() as u64 == u64::from(place.length) && crc32c::crc32c(bytes) == place.crc
}
