//! A store that is as slow as one in a cloud: objects in this process's memory, behind delays that a
//! seed draws. It outlives the node in front of it, so that another can start on what that left.
//!
//! What is missing of the real thing is the work of HTTP, TLS and signatures; MiniStack, which has
//! that, makes some 2,000 requests a second, and would be what is measured.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aft::rope::Rope;
use aft::storage::memory::MemoryStore;
use aft::storage::{Created, Limits, Store, StoreFuture};
use bytes::Bytes;
use tokio::time::sleep;

use crate::Result;
use crate::clock::now;
use crate::clouds::{Cloud, Lognormal};
use crate::counts::Tally;
use crate::prices;
use crate::requests::Dice;

#[derive(Debug)]
pub(crate) struct DelayedStore {
    objects: MemoryStore,
    cloud: Cloud,
    dice: Mutex<Dice>,
    tally: Mutex<Tally>,
}

impl DelayedStore {
    pub(crate) fn new(cloud: Cloud, seed: u64) -> Result<Self> {
        Ok(Self {
            objects: MemoryStore::new(),
            cloud,
            dice: Mutex::new(Dice::new(seed)),
            tally: Mutex::new(Tally::new()?),
        })
    }

    /// What was asked of it.
    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self, times: Option<Lognormal>) -> Duration {
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        times.map_or(Duration::ZERO, |times| times.draw(&mut dice))
    }

    async fn wait(&self, times: Option<Lognormal>, bytes: u64) {
        let delay = self.draw(times) + self.cloud.carry(bytes);
        if !delay.is_zero() {
            sleep(delay).await;
        }
    }

    /// A create on DynamoDB is one request, or two steps: of those before the head the slowest counts.
    async fn wait_for_pieces(&self, batches: u64) {
        if self.cloud == Cloud::DynamoDb
            && let Some(slowest) = (0..batches).map(|_| self.draw(self.cloud.put())).max()
        {
            sleep(slowest).await;
        }
    }
}

impl Store for DelayedStore {
    fn limits(&self) -> Limits {
        self.cloud.limits()
    }

    fn create<'a>(&'a self, name: &'a str, object: Bytes) -> StoreFuture<'a, Created> {
        self.create_in_pieces(name, object.into())
    }

    fn create_in_pieces<'a>(&'a self, name: &'a str, object: Rope) -> StoreFuture<'a, Created> {
        Box::pin(async move {
            let bytes = object.len() as u64;
            let writes = prices::dynamodb_create(bytes);
            {
                let counts = &mut self.tally().counts;
                counts.creates += 1;
                counts.bytes_created += bytes;
                counts.write_units += writes.write_units;
            }
            self.wait_for_pieces(writes.batches).await;
            let began = now();
            self.wait(self.cloud.put(), bytes).await;
            // The clients of all these services have the object in one piece.
            let created = self.objects.create(name, object.to_bytes()).await;
            self.tally().put_us.saturating_record(began.elapsed().as_micros() as u64);
            created
        })
    }

    fn read<'a>(&'a self, name: &'a str, offset: u64, length: u64) -> StoreFuture<'a, Bytes> {
        Box::pin(async move {
            let found = self.objects.read(name, offset, length).await;
            let bytes = found.as_ref().map_or(0, Bytes::len) as u64;
            {
                let counts = &mut self.tally().counts;
                counts.reads += 1;
                counts.bytes_read += bytes;
                counts.read_units += prices::dynamodb_read(offset, bytes);
            }
            self.wait(self.cloud.get(), bytes).await;
            found
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<String>> {
        Box::pin(async move {
            let names = self.objects.list(prefix, after, limit).await?;
            {
                let counts = &mut self.tally().counts;
                counts.lists += 1;
                // A listing reads the heads whole, of 4 KB at the most.
                counts.read_units += names.len().max(1) as u64;
            }
            self.wait(self.cloud.get(), 0).await;
            Ok(names)
        })
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let mut units = (0, 0);
            for name in names {
                let size =
                    self.objects.read(name, 0, u64::MAX).await.map_or(0, |object| object.len());
                let (writes, reads) = prices::dynamodb_delete(size as u64);
                units = (units.0 + writes, units.1 + reads);
            }
            {
                let counts = &mut self.tally().counts;
                counts.deletes += 1;
                counts.objects_deleted += names.len() as u64;
                counts.write_units += units.0;
                counts.read_units += units.1;
            }
            self.wait(self.cloud.put(), 0).await;
            self.objects.delete(names).await
        })
    }
}
