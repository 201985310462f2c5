//! Errors of the service, and what each means.

use crate::storage::Created;
use crate::storage::aws::errors::{self, code};
use crate::storage::fault::Fault;
use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata, SdkError};
use std::error::Error;

/// A request that could not even be made.
pub(super) fn of_request(error: BuildError) -> Fault {
    Fault::Refused(error.to_string())
}

/// What an error of a request means.
pub(super) fn fault<E>(error: SdkError<E>) -> Fault
where
    E: ProvideErrorMetadata + Error + 'static,
{
    errors::fault(error, of_answer)
}

/// The answer to a create that was not carried out, if it says that the key is taken.
pub(super) fn taken<E>(error: SdkError<E>) -> Result<Created, Fault>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match code(&error) {
        "ConditionalCheckFailedException" => Ok(Created::AlreadyExists),
        _ => Err(fault(error)),
    }
}

/// Whether nothing was done, for want of throughput.
pub(super) fn is_throttle<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    matches!(
        code(error),
        "ProvisionedThroughputExceededException" | "RequestLimitExceeded" | "ThrottlingException"
    )
}

/// Whether a table was not made because there is one.
pub(super) fn is_there<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    code(error) == "ResourceInUseException"
}

/// What an answer means: by its code, or by the status, where something before the service has
/// answered. What is not known may pass. See [the list of them].
///
/// [the list of them]: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
fn of_answer(code: &str, message: &str, status: Option<u16>) -> Fault {
    let said = match status {
        Some(status) => format!("{code} {message} (HTTP {status})"),
        None => format!("{code} {message}"),
    };
    let advice = match code {
        "ResourceNotFoundException" => {
            "there is no such table in this region: name another one, or let aft store init make it"
        }
        "AccessDeniedException" => "docs/stores.md says what aft needs",
        // Its message says so, and not its code.
        "InvalidSignatureException" | "RequestExpired" if message.contains("Signature expired") => {
            "the clock of this machine is wrong"
        }
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "MissingAuthenticationTokenException"
        | "MissingAuthenticationToken"
        | "IncompleteSignatureException" => "the credentials are not those of this service",
        "ExpiredTokenException" | "ExpiredToken" => "the credentials have expired: get new ones",
        "OptInRequired" | "SubscriptionRequiredException" => "this account has no DynamoDB",
        "InaccessibleEncryptionCredentialsException" | "KMSAccessDeniedException" => {
            "the key with which the table is encrypted can't be used: see its state and its policy"
        }
        "UnknownOperationException" => "this server can't do what aft needs of DynamoDB",
        "ValidationException" if is_of_schema(message) => {
            "this is no table of aft: name another one, or let aft store init make it"
        }
        "ValidationException" if message.contains("Item size") => return Fault::Object(said),
        // The same request will never be a valid one.
        "ValidationException" | "SerializationException" => "the server refuses what aft asks",
        "ItemCollectionSizeLimitExceededException" => return Fault::Full(said),
        _ => match status {
            Some(401 | 403) => "docs/stores.md says what aft needs",
            Some(413) => return Fault::Object(said),
            Some(507) => return Fault::Full(said),
            _ => return Fault::Passing(said),
        },
    };
    Fault::Refused(format!("{said}: {advice}"))
}

/// A key that does not fit the table's.
fn is_of_schema(message: &str) -> bool {
    ["key element", "key schema", "Missing the key", "missed key"]
        .iter()
        .any(|words| message.contains(words))
}

#[cfg(test)]
mod tests;
