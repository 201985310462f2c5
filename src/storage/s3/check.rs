//! What a start asks of a bucket before it trusts it with anything.

use super::{S3Store, upload};
use crate::storage::Created;
use crate::storage::fault::Fault;
use bytes::Bytes;

/// Begins the object that says what all this is; a random id follows.
const FORMAT: &str = "aft 1 ";

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
        return Err(ignores_conditions());
    }
    let warning = "this bucket keeps old versions: what aft deletes stays, and is paid for, until a \
                   lifecycle rule expires noncurrent versions";
    let warnings = keeps_versions.then(|| warning.to_owned()).into_iter().collect();
    Ok(Found { format, warnings })
}

/// Says that this is a store of aft, and reads what is there then: another start may have been
/// quicker. A server that takes it twice is left as it was.
async fn mark(store: &S3Store, entropy: u128) -> Result<Bytes, Fault> {
    let (key, format) = (store.format_key(), format!("{FORMAT}{entropy:032x}"));
    let put = async || store.put_if_new(key.clone(), format.clone().into()).await;
    if (put().await?, put().await?) == (Created::Created, Created::Created) {
        store.delete_keys([key]).await?;
        return Err(ignores_conditions());
    }
    let there = look_at_format(store).await?;
    there.ok_or_else(|| Fault::Passing(format!("{key} is written, and does not show yet")))
}

fn ignores_conditions() -> Fault {
    Fault::Refused(
        "this server ignores If-None-Match, so two nodes could write over each other: use one that \
         has conditional writes"
            .to_owned(),
    )
}

/// Whether this is still what the start has seen.
pub(super) async fn whether_same(store: &S3Store, format: &Bytes) -> Result<(), Fault> {
    match look_at_format(store).await? {
        Some(found) if found == *format => Ok(()),
        _ => Err(Fault::Foreign(
            "this bucket does not hold the data that this node has written: it was emptied, or is \
             another one"
                .to_owned(),
        )),
    }
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

async fn look_at_format(store: &S3Store) -> Result<Option<Bytes>, Fault> {
    let key = store.format_key();
    /// More is not shown of something else.
    const BYTES_MAX: u64 = 100;
    let Some(found) = store.get(key.clone(), 0, BYTES_MAX).await? else {
        return Ok(None);
    };
    if found.starts_with(FORMAT.as_bytes()) {
        return Ok(Some(found));
    }
    Err(Fault::Foreign(format!(
        "the object {key} is \"{}\": not a store of aft, or one of a newer version: use \
         another prefix, or a newer aft",
        found.escape_ascii()
    )))
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
