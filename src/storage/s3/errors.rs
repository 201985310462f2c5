//! Errors of the service and of the SDK, and what each means.

use crate::storage::Created;
use crate::storage::fault::Fault;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{BuildError, ProvideErrorMetadata, SdkError};
use bytes::Bytes;
use std::error::Error;

/// An error with all that caused it, on one line.
pub(super) fn chain(error: &(impl Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text.replace('\n', " ")
}

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

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response: &HttpResponse| response.status().as_u16())
}

fn code<E: ProvideErrorMetadata>(error: &SdkError<E>) -> &str {
    error.as_service_error().and_then(|error| error.meta().code()).unwrap_or_default()
}

impl<E> From<SdkError<E>> for Fault
where
    E: ProvideErrorMetadata + Error + 'static,
{
    fn from(error: SdkError<E>) -> Self {
        if let Some(of_service) = error.as_service_error() {
            let message = of_service.meta().message().unwrap_or_default();
            let fault = of_code(code(&error), message);
            return match (fault, status(&error)) {
                (Self::Passing(why), Some(status @ (401 | 403))) => {
                    Self::Refused(format!("{why} (HTTP {status})"))
                }
                (Self::Passing(why), Some(status)) => {
                    Self::Passing(format!("{why} (HTTP {status})"))
                }
                (fault, _) => fault,
            };
        }
        let said = chain(&error);
        match error {
            SdkError::ConstructionFailure(_) => Self::Refused(said),
            _ if said.contains("credentials") || said.contains("identity") => {
                Self::Refused(format!(
                    "no credentials for AWS ({said}): set AWS_ACCESS_KEY_ID and \
                     AWS_SECRET_ACCESS_KEY, name a ?profile=, or give the machine a role"
                ))
            }
            _ if said.contains("certificate") => Self::Refused(format!(
                "{said}: ?ca=FILE names the authorities that may vouch for the server"
            )),
            _ => Self::Passing(said),
        }
    }
}

/// What a code of the service means; see [the list of them].
///
/// [the list of them]: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
pub(super) fn of_code(code: &str, message: &str) -> Fault {
    let said = format!("{code} {message}");
    match code {
        "NoSuchBucket" => Fault::Refused(format!("{said}: make the bucket, or name another one")),
        "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => {
            Fault::Refused(format!("{said}: docs/stores.md says what aft needs"))
        }
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired" => {
            Fault::Refused(format!("{said}: the credentials are not those of this service"))
        }
        "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => {
            Fault::Refused(format!("{said}: ?region= names the region of the bucket"))
        }
        "InvalidBucketName" => Fault::Refused(said),
        "NotImplemented" => {
            Fault::Refused(format!("{said}: this server can't do what aft needs of S3"))
        }
        "RequestTimeTooSkewed" => {
            Fault::Refused(format!("{said}: the clock of this machine is wrong"))
        }
        "InvalidObjectState" => Fault::Refused(format!(
            "{said}: a lifecycle rule has moved it to an archive; no rule may touch these objects"
        )),
        "MethodNotAllowed" => {
            Fault::Refused(format!("{said}: this server can't do what aft needs of S3"))
        }
        "EntityTooLarge" => Fault::Object(said),
        "QuotaExceeded" | "InsufficientCapacity" | "XMinioStorageFull" | "StorageQuotaExceeded" => {
            Fault::Full(said)
        }
        _ => Fault::Passing(said),
    }
}
