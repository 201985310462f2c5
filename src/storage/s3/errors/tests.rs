use super::*;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::operation::get_object::GetObjectError;

#[test]
fn an_answer_says_what_has_to_happen() {
    for (code, status, meaning, word) in [
        ("SlowDown", 503, "passing", "HTTP 503"),
        ("ServiceUnavailable", 503, "passing", ""),
        ("InternalError", 500, "passing", ""),
        ("RequestTimeout", 400, "passing", ""),
        ("ConditionalRequestConflict", 409, "passing", ""),
        ("OperationAborted", 409, "passing", ""),
        ("KMS.ThrottlingException", 400, "passing", ""),
        ("", 502, "passing", "HTTP 502"),
        ("", 403, "refused", "docs/stores.md"),
        ("", 401, "refused", "docs/stores.md"),
        ("", 413, "object", "HTTP 413"),
        ("EntityTooLarge", 400, "object", ""),
        ("", 507, "full", "HTTP 507"),
        ("QuotaExceeded", 403, "full", ""),
        ("ExpiredToken", 400, "refused", "get new ones"),
        ("InvalidAccessKeyId", 403, "refused", "not those of this service"),
        ("SignatureDoesNotMatch", 403, "refused", "not those of this service"),
        ("AccessDenied", 403, "refused", "docs/stores.md"),
        ("NoSuchBucket", 404, "refused", "make the bucket"),
        ("PermanentRedirect", 301, "refused", "?region="),
        ("NotImplemented", 501, "refused", "can't do what aft needs"),
        ("RequestTimeTooSkewed", 403, "refused", "clock"),
        ("InvalidObjectState", 403, "refused", "lifecycle"),
        ("KMS.DisabledException", 400, "refused", "the key with which"),
    ] {
        let fault = of_answer(code, "as it says", Some(status));
        assert_eq!(fault.kind(), meaning, "{code} {status}: {fault:?}");
        let said = format!("{fault:?}");
        for word in [code, "as it says", word] {
            assert!(said.contains(word), "{word:?} is not in {said}");
        }
    }
    assert_eq!(of_answer("AccessDenied", "of one key", None).kind(), "refused");
}

#[test]
fn no_credentials_are_for_a_person_and_late_ones_for_time() {
    let fault = |why: CredentialsError| {
        let error = SdkError::<GetObjectError>::construction_failure(why);
        Fault::from(error)
    };
    for (why, meaning) in [
        (CredentialsError::not_loaded("none"), "refused"),
        (CredentialsError::invalid_configuration("a loop"), "refused"),
        (CredentialsError::provider_timed_out(std::time::Duration::from_secs(1)), "passing"),
        (CredentialsError::provider_error("503"), "passing"),
    ] {
        let fault = fault(why);
        assert_eq!(fault.kind(), meaning, "{fault:?}");
        assert!(format!("{fault:?}").contains("AWS_ACCESS_KEY_ID"), "{fault:?}");
    }
    let other = SdkError::<GetObjectError>::construction_failure("no credentials in this text");
    assert!(!format!("{:?}", Fault::from(other)).contains("AWS_ACCESS_KEY_ID"));
    let timeout = SdkError::<GetObjectError>::timeout_error("credentials");
    assert_eq!(Fault::from(timeout).kind(), "passing");
}
