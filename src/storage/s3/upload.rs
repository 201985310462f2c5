//! A large object goes up in parts, several at a time, and is there when the last request has
//! said so. Parts of an upload that has no end are paid for until somebody aborts it. One that
//! fails, or that nobody waits for any more, is aborted here, if the service answers then; what a
//! crash or an outage leaves, a lifecycle rule of the bucket has to clear away (docs/stores.md).

use super::{PART_BYTES, S3Store, errors};
use crate::rope::Rope;
use crate::storage::Created;
use crate::storage::aws::errors::chain;
use crate::storage::fault::Fault;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use tokio::task::JoinSet;

/// Parts on their way at once; each is in memory a second time.
const PARTS_IN_FLIGHT: usize = 4;

/// An upload that is aborted unless it comes to its end.
struct Upload {
    store: S3Store,
    key: String,
    id: String,
    ended: bool,
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if self.ended {
            return;
        }
        let abort = self.store.client.abort_multipart_upload().bucket(&self.store.bucket);
        let abort = abort.key(&self.key).upload_id(&self.id);
        runtime.spawn(async move {
            if let Err(error) = abort.send().await {
                let error = chain(&error);
                tracing::debug!(error, "an upload in parts could not be aborted");
            }
        });
    }
}

/// Creates an object.
pub(super) async fn in_parts(
    store: &S3Store,
    key: String,
    object: &Rope,
) -> Result<Created, Fault> {
    let begin = store.client.create_multipart_upload().bucket(&store.bucket).key(&key);
    // The SDK sends one with each part, so the whole has to be of the same kind.
    let begun = begin.checksum_algorithm(ChecksumAlgorithm::Crc32).send().await?;
    let id = begun.upload_id.ok_or_else(|| Fault::Passing("an upload without an id".into()))?;
    let mut upload = Upload { store: store.clone(), key, id, ended: false };
    let parts = upload.send(object).await?;
    let complete = store.client.complete_multipart_upload().bucket(&store.bucket);
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let complete = complete.key(&upload.key).upload_id(&upload.id).multipart_upload(parts);
    match complete.if_none_match("*").send().await {
        Ok(_) => {
            upload.ended = true;
            Ok(Created::Created)
        }
        Err(error) => errors::taken(error),
    }
}

impl Upload {
    async fn send(&self, object: &Rope) -> Result<Vec<CompletedPart>, Fault> {
        let mut under_way = JoinSet::new();
        let mut sent = Vec::new();
        for (number, bytes) in (1..).zip(object.chunks(PART_BYTES)) {
            if under_way.len() == PARTS_IN_FLIGHT {
                sent.extend(finished(under_way.join_next().await)?);
            }
            let part = self.store.client.upload_part().bucket(&self.store.bucket);
            let part = part.key(&self.key).upload_id(&self.id).part_number(number);
            let part = part.checksum_algorithm(ChecksumAlgorithm::Crc32);
            let part = part.body(ByteStream::from(bytes));
            under_way.spawn(async move {
                let done = part.send().await?;
                // Where the service keeps checksums of parts it wants to be told them again.
                let part = CompletedPart::builder().part_number(number).set_e_tag(done.e_tag);
                Ok(part.set_checksum_crc32(done.checksum_crc32).build())
            });
        }
        while let Some(done) = under_way.join_next().await {
            sent.extend(finished(Some(done))?);
        }
        sent.sort_unstable_by_key(CompletedPart::part_number);
        Ok(sent)
    }
}

type Part = Result<Result<CompletedPart, Fault>, tokio::task::JoinError>;

fn finished(part: Option<Part>) -> Result<Option<CompletedPart>, Fault> {
    match part {
        Some(Ok(part)) => part.map(Some),
        Some(Err(error)) => Err(Fault::Passing(error.to_string())),
        None => Ok(None),
    }
}
