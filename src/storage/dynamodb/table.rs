//! The few requests that the store is made of, each within the limits of the service.

use super::errors;
use super::items::{Item, PARTITION, SORT, key_of};
use crate::storage::Created;
use crate::storage::fault::Fault;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{
    AttributeValue, DeleteRequest, KeysAndAttributes, PutRequest, WriteRequest,
};
use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;
use tokio::task::JoinSet;

/// Items of one request to write.
pub(super) const WRITES_MAX: usize = 25;

/// Items of one request to read.
pub(super) const READS_MAX: usize = 100;

/// Requests of one verb that are under way at once.
const REQUESTS_IN_FLIGHT: usize = 16;

/// A table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) client: Client,
    pub(super) name: String,
}

/// Of what was asked for, the service does as much as it can at a time: the pauses between.
struct Pauses {
    next: Duration,
}

impl Pauses {
    const FIRST: Duration = Duration::from_millis(10);
    /// When nothing at all is done for so long, whoever waits should hear of it.
    const LAST: Duration = Duration::from_millis(500);

    fn new() -> Self {
        Self { next: Self::FIRST }
    }

    async fn pause(&mut self, some_done: bool) -> Result<(), Fault> {
        if some_done {
            self.next = Self::FIRST;
        }
        if self.next > Self::LAST {
            let why = "the table is throttled: it does nothing of what is asked at the moment";
            return Err(Fault::Passing(why.to_owned()));
        }
        tokio::time::sleep(self.next).await;
        self.next *= 2;
        Ok(())
    }

    /// The answer to a request; none, after a pause, if the service had no room for it at all.
    async fn unless_throttled<T, E>(
        &mut self,
        answer: Result<T, SdkError<E>>,
    ) -> Result<Option<T>, Fault>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        match answer {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if errors::is_throttle(&error) => {
                let paused = self.pause(false).await;
                paused.map(|()| None).map_err(|_| errors::fault(error))
            }
            Err(error) => Err(errors::fault(error)),
        }
    }
}

impl Table {
    /// Puts an item, unless there is one with its key.
    pub(super) async fn put_if_new(&self, item: Item) -> Result<Created, Fault> {
        let put = self.client.put_item().table_name(&self.name).set_item(Some(item));
        match put.condition_expression(format!("attribute_not_exists({PARTITION})")).send().await {
            Ok(_) => Ok(Created::Created),
            Err(error) => errors::taken(error),
        }
    }

    /// Those of the items that are there, or what `projection` names of them, by their keys.
    pub(super) async fn get(
        &self,
        keys: Vec<Item>,
        projection: Option<&str>,
        consistent: bool,
    ) -> Result<HashMap<(String, String), Item>, Fault> {
        let requests = keys.chunks(READS_MAX).map(|keys| {
            let projection = projection.map(|names| format!("{PARTITION}, {names}"));
            let wanted = KeysAndAttributes::builder().set_keys(Some(keys.to_vec()));
            let wanted = wanted.consistent_read(consistent).set_projection_expression(projection);
            let table = self.clone();
            async move { table.get_all_of(wanted.build().map_err(errors::of_request)?).await }
        });
        let items = side_by_side(requests).await?.into_iter().flatten();
        Ok(items.filter_map(|item| Some((key_of(&item)?, item))).collect())
    }

    async fn get_all_of(&self, mut wanted: KeysAndAttributes) -> Result<Vec<Item>, Fault> {
        let (mut items, mut pauses) = (Vec::new(), Pauses::new());
        loop {
            let get = self.client.batch_get_item().request_items(&self.name, wanted.clone());
            let Some(mut answer) = pauses.unless_throttled(get.send().await).await? else {
                continue;
            };
            let found = answer.responses.as_mut().and_then(|tables| tables.remove(&self.name));
            let found = found.unwrap_or_default();
            let some_done = !found.is_empty();
            items.extend(found);
            let left = answer.unprocessed_keys.as_mut().and_then(|left| left.remove(&self.name));
            match left {
                Some(left) if !left.keys.is_empty() => wanted = left,
                _ => return Ok(items),
            }
            pauses.pause(some_done).await?;
        }
    }

    /// Writes items, in any order; `done` hears of each batch, by its number.
    pub(super) async fn put(
        &self,
        batches: impl Iterator<Item = (usize, Vec<Item>)>,
        done: impl Fn(usize) + Clone + Send + 'static,
    ) -> Result<(), Fault> {
        let requests = batches.map(|(batch, items)| {
            let (table, done) = (self.clone(), done.clone());
            async move {
                let puts = items.into_iter().map(|item| {
                    let put = PutRequest::builder().set_item(Some(item)).build();
                    Ok(WriteRequest::builder().put_request(put?).build())
                });
                table.write(puts.collect::<Result<_, _>>().map_err(errors::of_request)?).await?;
                done(batch);
                Ok(())
            }
        });
        side_by_side(requests).await.map(drop)
    }

    /// Deletes items, in any order.
    pub(super) async fn delete(&self, keys: Vec<Item>) -> Result<(), Fault> {
        let requests = keys.chunks(WRITES_MAX).map(|keys| {
            let (table, keys) = (self.clone(), keys.to_vec());
            async move {
                let deletes = keys.into_iter().map(|key| {
                    let delete = DeleteRequest::builder().set_key(Some(key)).build();
                    Ok(WriteRequest::builder().delete_request(delete?).build())
                });
                table.write(deletes.collect::<Result<_, _>>().map_err(errors::of_request)?).await
            }
        });
        side_by_side(requests).await.map(drop)
    }

    async fn write(&self, mut wanted: Vec<WriteRequest>) -> Result<(), Fault> {
        let mut pauses = Pauses::new();
        loop {
            let asked = wanted.len();
            let write = self.client.batch_write_item().request_items(&self.name, wanted);
            let mut answer = write.send().await.map_err(errors::fault)?;
            let left = answer.unprocessed_items.as_mut().and_then(|left| left.remove(&self.name));
            match left {
                Some(left) if !left.is_empty() => wanted = left,
                _ => return Ok(()),
            }
            pauses.pause(wanted.len() < asked).await?;
        }
    }

    /// Items of a partition whose sort keys are in a range, in order, at most `limit`, and whether
    /// there may be more behind the last.
    pub(super) async fn query(
        &self,
        partition: String,
        (from, to): (&str, &str),
        limit: usize,
        projection: Option<&str>,
    ) -> Result<(Vec<Item>, bool), Fault> {
        let (mut items, mut pauses) = (Vec::new(), Pauses::new());
        let mut start = None;
        loop {
            let query = self.client.query().table_name(&self.name).consistent_read(true);
            let range = format!("{PARTITION} = :p AND {SORT} BETWEEN :from AND :to");
            let text = |text: &str| AttributeValue::S(text.to_owned());
            let query = query
                .key_condition_expression(range)
                .expression_attribute_values(":p", text(&partition))
                .expression_attribute_values(":from", text(from))
                .expression_attribute_values(":to", text(to))
                .set_projection_expression(projection.map(str::to_owned))
                .limit(i32::try_from(limit - items.len()).unwrap_or(i32::MAX))
                .set_exclusive_start_key(start.clone());
            let Some(page) = pauses.unless_throttled(query.send().await).await? else {
                continue;
            };
            items.extend(page.items.unwrap_or_default());
            start = page.last_evaluated_key;
            // A page ends after a megabyte, too.
            if start.is_none() || items.len() >= limit {
                return Ok((items, start.is_some()));
            }
        }
    }
}

/// Runs requests, a number of them at once; their answers in any order, or the first error, when
/// those that were under way have come to their end: their work should not be in vain.
pub(super) async fn side_by_side<T: Send + 'static>(
    requests: impl Iterator<Item = impl Future<Output = Result<T, Fault>> + Send + 'static>,
) -> Result<Vec<T>, Fault> {
    let (mut under_way, mut answers) = (JoinSet::new(), Vec::new());
    let (mut requests, mut failed) = (requests.fuse(), None);
    loop {
        while failed.is_none()
            && under_way.len() < REQUESTS_IN_FLIGHT
            && let Some(request) = requests.next()
        {
            under_way.spawn(request);
        }
        match under_way.join_next().await {
            Some(Ok(Ok(answer))) => answers.push(answer),
            Some(Ok(Err(fault))) => failed = failed.or(Some(fault)),
            Some(Err(error)) => failed = failed.or(Some(Fault::Passing(error.to_string()))),
            None => return failed.map_or(Ok(answers), Err),
        }
    }
}
