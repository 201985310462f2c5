//! What a start asks of a bucket before it trusts it with anything.

use super::{S3Store, upload};
use crate::storage::fault::Fault;
use crate::storage::{Created, aws, claim};
use bytes::Bytes;

/// What was found.
pub(super) struct Found {
    /// The object that says what this is.
    pub(super) format: Bytes,
    /// What the owner should know.
    pub(super) warnings: Vec<String>,
}

/// Tries every verb in a form that changes nothing, and says that this is a store of aft, where
/// nothing says so yet.
pub(super) async fn make_usable(store: &S3Store, entropy: u128) -> Result<Found, Fault> {
    store.list_once("", "", 1).await?;
    let found = look_at_format(store).await?;
    let keeps_versions = keeps_versions(store).await;
    // Where versions are kept, a delete of nothing leaves a marker: one for each store is enough.
    if !keeps_versions || found.is_none() {
        delete_nothing(store).await?;
    }
    let format = match found {
        Some(format) => format,
        None => mark(store, entropy).await?,
    };
    // What comes now must be refused, both ways, or fences would hold nobody back. Nothing is
    // changed by it where it is not.
    let put = store.put_if_new(store.format_key(), format.clone()).await?;
    let uploaded = upload::in_parts(store, store.format_key(), &format.clone().into()).await?;
    if (put, uploaded) != (Created::AlreadyExists, Created::AlreadyExists) {
        return Err(aws::ignores_conditions());
    }
    let warning = "this bucket keeps old versions: what aft deletes stays, and is paid for, until a \
                   lifecycle rule expires noncurrent versions";
    let warnings = keeps_versions.then(|| warning.to_owned()).into_iter().collect();
    Ok(Found { format, warnings })
}

/// Says that this is a store of aft, and reads what is there then: another start may have been
/// quicker. A server that takes it twice is left as it was.
async fn mark(store: &S3Store, entropy: u128) -> Result<Bytes, Fault> {
    let (key, format) = (store.format_key(), claim::new(entropy));
    let put = async || store.put_if_new(key.clone(), format.clone()).await;
    if (put().await?, put().await?) == (Created::Created, Created::Created) {
        store.delete_keys([key]).await?;
        return Err(aws::ignores_conditions());
    }
    let there = look_at_format(store).await?;
    there.ok_or_else(|| Fault::Passing(format!("{key} is written, and does not show yet")))
}

/// For who only reads: the store has to be there already.
pub(super) async fn whether_there(store: &S3Store) -> Result<(), Fault> {
    match look_at_format(store).await? {
        Some(_) => Ok(()),
        None => Err(Fault::Refused(format!(
            "there is no store of aft: the object {} is missing",
            store.format_key()
        ))),
    }
}

/// What says now what this is.
pub(super) async fn look_at_format(store: &S3Store) -> Result<Option<Bytes>, Fault> {
    let key = store.format_key();
    /// More is not shown of something else.
    const BYTES_MAX: u64 = 100;
    let Some(found) = store.get(key.clone(), 0, BYTES_MAX).await? else {
        return Ok(None);
    };
    claim::checked(found, &format!("the object {key}")).map(Some)
}

/// A delete that is not allowed shows now, and not when the bucket is full of garbage.
async fn delete_nothing(store: &S3Store) -> Result<(), Fault> {
    store.delete_keys([format!("{}absent", store.prefix)]).await
}

/// As far as we may know.
async fn keeps_versions(store: &S3Store) -> bool {
    let versioning = store.client.get_bucket_versioning().bucket(&store.bucket).send().await;
    versioning.is_ok_and(|answer| answer.status.is_some())
}
