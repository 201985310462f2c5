//! What a start asks of a bucket before it trusts it with anything.

use super::{S3Store, errors, upload};
use crate::storage::Created;
use crate::storage::fault::Fault;
use aws_sdk_s3::types::{BucketVersioningStatus, Delete, ObjectIdentifier};
use bytes::Bytes;

/// Begins the object that says what all this is; a random id follows.
const FORMAT: &[u8] = b"aft 1 ";

/// Tries every verb in a form that changes nothing, and says that this is a store of aft, where
/// nothing says so yet. What its owner should know is answered.
pub(super) async fn make_usable(store: &S3Store, entropy: u128) -> Result<Vec<String>, Fault> {
    store.list_once("", "", 1).await?;
    let found = look_at_format(store).await?;
    delete_nothing(store).await?;
    let format = match found {
        Some(format) => format,
        None => [FORMAT, format!("{entropy:032x}").as_bytes()].concat().into(),
    };
    // The first may be ours. What comes then must be refused, both ways, or fences would hold
    // nobody back.
    let key = store.format_key();
    store.put_if_new(key.clone(), format.clone()).await?;
    let put = store.put_if_new(key.clone(), format.clone()).await?;
    let uploaded = upload::in_parts(store, key, &format.into()).await?;
    if (put, uploaded) == (Created::AlreadyExists, Created::AlreadyExists) {
        return Ok(warnings(store).await);
    }
    Err(Fault::Refused(
        "this server ignores If-None-Match, so two nodes could write over each other: use one that \
         has conditional writes"
            .to_owned(),
    ))
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
    if found.starts_with(FORMAT) {
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
    let key = format!("{}absent", store.prefix);
    let absent = ObjectIdentifier::builder().key(key).build().map_err(errors::of_request)?;
    let delete = Delete::builder().objects(absent).quiet(true).build();
    store.delete_objects(delete.map_err(errors::of_request)?).await
}

/// What can be known is said; who may not ask has nothing wrong.
async fn warnings(store: &S3Store) -> Vec<String> {
    let versioning = store.client.get_bucket_versioning().bucket(&store.bucket).send().await;
    let keeps_versions =
        versioning.is_ok_and(|answer| answer.status == Some(BucketVersioningStatus::Enabled));
    let warning = "this bucket keeps old versions: what aft deletes stays, and is paid for, until a \
                   lifecycle rule expires noncurrent versions";
    keeps_versions.then(|| warning.to_owned()).into_iter().collect()
}
