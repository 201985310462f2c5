//! Errors of the service and of the SDK, and what each means.

use crate::storage::Created;
use crate::storage::aws::errors::{code, fault, status};
use crate::storage::fault::Fault;
use aws_sdk_s3::error::{BuildError, ProvideErrorMetadata, SdkError};
use bytes::Bytes;
use std::error::Error;

/// A request that could not even be made.
pub(super) fn of_request(error: BuildError) -> Fault {
    Fault::Refused(error.to_string())
}

/// The answer to a create that was not carried out, if it says that the name is taken.
pub(super) fn taken<E>(error: SdkError<E>) -> Result<Created, Fault>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    const PRECONDITION_FAILED: u16 = 412;
    // The end of an upload may answer 200, with the error in the body.
    match (code(&error), status(&error)) {
        ("PreconditionFailed", _) | ("", Some(PRECONDITION_FAILED)) => Ok(Created::AlreadyExists),
        _ => Err(error.into()),
    }
}

/// The answer to a read that gave nothing: an object that has nothing there, or none.
pub(super) fn missing<E>(error: SdkError<E>) -> Result<Option<Bytes>, Fault>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match code(&error) {
        "InvalidRange" => Ok(Some(Bytes::new())),
        // Any other 404 may come from something in between, and would be believed.
        "NoSuchKey" => Ok(None),
        _ => Err(error.into()),
    }
}

impl<E> From<SdkError<E>> for Fault
where
    E: ProvideErrorMetadata + Error + 'static,
{
    fn from(error: SdkError<E>) -> Self {
        fault(error, of_answer)
    }
}

/// What an error of the service means: by its code, or by the status, where a server or something
/// before it has no code that is known.
fn of_answer(code: &str, message: &str, status: Option<u16>) -> Fault {
    let said = match status {
        Some(status) => format!("{message} (HTTP {status})"),
        None => message.to_owned(),
    };
    match (of_code(code, &said), status) {
        (Fault::Passing(why), Some(401 | 403)) => {
            Fault::Refused(format!("{why}: docs/stores.md says what aft needs"))
        }
        (Fault::Passing(why), Some(413)) => Fault::Object(why),
        (Fault::Passing(why), Some(507)) => Fault::Full(why),
        (fault, _) => fault,
    }
}

/// What a code of the service means; see [the list of them]. What is not known may pass.
///
/// [the list of them]: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
pub(super) fn of_code(code: &str, message: &str) -> Fault {
    let said = format!("{code} {message}");
    let advice = match code {
        "EntityTooLarge" => return Fault::Object(said),
        "QuotaExceeded" | "InsufficientCapacity" | "XMinioStorageFull" | "StorageQuotaExceeded" => {
            return Fault::Full(said);
        }
        "NoSuchBucket" => "make the bucket, or name another one",
        "InvalidBucketName" => "no bucket can have that name",
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => {
            "docs/stores.md says what aft needs"
        }
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" => {
            "the credentials are not those of this service"
        }
        "ExpiredToken" | "TokenRefreshRequired" => "the credentials have expired: get new ones",
        "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => "?region= names the region of the bucket",
        "NotImplemented" | "MethodNotAllowed" => "this server can't do what aft needs of S3",
        "RequestTimeTooSkewed" => "the clock of this machine is wrong",
        "InvalidObjectState" => {
            "a lifecycle rule has moved it to an archive; no rule may touch these objects"
        }
        _ if code.starts_with("KMS.") && !code.contains("Throttling") => {
            "the key with which the bucket encrypts can't be used: see its state and its policy"
        }
        _ => return Fault::Passing(said),
    };
    Fault::Refused(format!("{said}: {advice}"))
}

#[cfg(test)]
mod tests;
