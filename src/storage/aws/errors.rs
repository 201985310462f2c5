//! Errors of the SDK, and what each means where the service has not answered.

use crate::storage::fault::Fault;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use std::error::Error;

type SdkError<E> = result::SdkError<E, HttpResponse>;

/// An error with all that caused it, on one line.
pub(in crate::storage) fn chain(error: &(impl Error + 'static)) -> String {
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

/// The status of the answer, if there was one.
pub(in crate::storage) fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// What the service calls it; empty if it has no word for it.
pub(in crate::storage) fn code<E: ProvideErrorMetadata>(error: &SdkError<E>) -> &str {
    error.as_service_error().and_then(|error| error.meta().code()).unwrap_or_default()
}

/// What an error means: if the service has answered, by its code, its message and the status.
pub(in crate::storage) fn fault<E>(
    error: SdkError<E>,
    of_answer: impl FnOnce(&str, &str, Option<u16>) -> Fault,
) -> Fault
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(of_service) = error.as_service_error() {
        let message = of_service.meta().message().unwrap_or_default();
        return of_answer(code(&error), message, status(&error));
    }
    let said = chain(&error);
    if let Some(why) = cause::<CredentialsError>(&error) {
        return of_credentials(why, &said);
    }
    match error {
        SdkError::ConstructionFailure(_) => Fault::Refused(said),
        _ if said.contains("certificate") => Fault::Refused(format!(
            "{said}: ?ca=FILE names the authorities that may vouch for the server"
        )),
        _ => Fault::Passing(said),
    }
}

/// The first cause of this kind.
fn cause<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// Where nobody has credentials for us, a person has to give some; who has them and does not answer,
/// or has an error of its own, may do better next time.
fn of_credentials(why: &CredentialsError, said: &str) -> Fault {
    let advice = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a ?profile=, or give the \
                  machine a role; an address with ?profile= or ?credentials= uses nothing else";
    let text = format!("no credentials for AWS ({said}): {advice}");
    match why {
        CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => {
            Fault::Refused(text)
        }
        _ => Fault::Passing(text),
    }
}
