//! A store in a service as one that tries again: for commands that use it without an engine.

use super::resilient::{Decided, ResilientStore, time_to_carry};
use super::{Created, Limits, Store, StoreError, StoreFuture};
use crate::layout::Header;
use crate::rope::Rope;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long a create is tried beside the time that its bytes take. Nobody waits for an answer but
/// the one who has given the command: longer than most outages that end by themselves.
const CREATE_DEADLINE: Duration = Duration::from_secs(60);

/// Every verb tries again, until its deadline.
#[derive(Debug)]
pub struct PatientStore(pub Arc<ResilientStore>);

impl Store for PatientStore {
    fn limits(&self) -> Limits {
        self.0.limits()
    }

    fn damage(&self) -> Vec<String> {
        self.0.damage()
    }

    fn create<'a>(&'a self, name: &'a str, object: Bytes) -> StoreFuture<'a, Created> {
        self.create_in_pieces(name, object.into())
    }

    /// The object has a header of aft, whose nonce tells it from another's under the same name.
    fn create_in_pieces<'a>(&'a self, name: &'a str, object: Rope) -> StoreFuture<'a, Created> {
        Box::pin(async move {
            let first = object.pieces().first().map(Bytes::as_ref).unwrap_or_default();
            let header = Header::decode(first)
                .map_err(|error| StoreError::Rejected(format!("{name}: {error}")))?;
            let deadline = CREATE_DEADLINE + time_to_carry(object.len() as u64);
            match timeout(deadline, self.0.create(name, object, header.nonce)).await {
                Ok(Decided::Ours) => Ok(Created::Created),
                Ok(Decided::Theirs(_)) => Ok(Created::AlreadyExists),
                Ok(Decided::Rejected(why)) => Err(StoreError::Rejected(why)),
                Ok(Decided::Fatal(why)) => Err(StoreError::Fatal(why)),
                Err(_) => {
                    let why = self.0.last_failure().unwrap_or_else(|| "no answer".to_owned());
                    Err(StoreError::Unavailable(format!("{name}, in {deadline:?}: {why}")))
                }
            }
        })
    }

    fn read<'a>(&'a self, name: &'a str, offset: u64, length: u64) -> StoreFuture<'a, Bytes> {
        Box::pin(self.0.try_read(name, offset, length))
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<String>> {
        Box::pin(self.0.list_page(prefix, after, limit))
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> StoreFuture<'a, ()> {
        Box::pin(self.0.delete(names))
    }
}
