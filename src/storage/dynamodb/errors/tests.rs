use super::*;

#[test]
fn an_answer_says_what_has_to_happen() {
    let schema = "The provided key element does not match the schema";
    let expired = "Signature expired: 20261129T030000Z is now earlier than 20261129T031000Z";
    let too_large = "Item size has exceeded the maximum allowed size";
    for (code, message, status, meaning, word) in [
        ("ProvisionedThroughputExceededException", "", 400, "passing", "HTTP 400"),
        ("ThrottlingException", "", 400, "passing", ""),
        ("RequestLimitExceeded", "", 400, "passing", ""),
        ("InternalServerError", "", 500, "passing", ""),
        ("ServiceUnavailable", "", 503, "passing", ""),
        ("TransactionConflictException", "", 400, "passing", ""),
        ("ReplicatedWriteConflictException", "", 400, "passing", ""),
        ("LimitExceededException", "", 400, "passing", ""),
        ("", "", 502, "passing", "HTTP 502"),
        ("", "", 403, "refused", "docs/stores.md"),
        ("", "", 413, "object", "HTTP 413"),
        ("", "", 507, "full", "HTTP 507"),
        ("ResourceNotFoundException", "", 400, "refused", "aft store init"),
        ("AccessDeniedException", "", 400, "refused", "docs/stores.md"),
        ("UnrecognizedClientException", "", 400, "refused", "not those of this service"),
        ("InvalidSignatureException", "", 400, "refused", "not those of this service"),
        ("InvalidSignatureException", expired, 400, "refused", "clock"),
        ("MissingAuthenticationTokenException", "", 400, "refused", "not those of this service"),
        ("ExpiredTokenException", "", 400, "refused", "get new ones"),
        ("UnknownOperationException", "", 400, "refused", "can't do what aft needs"),
        ("ValidationException", schema, 400, "refused", "no table of aft"),
        ("ValidationException", too_large, 400, "object", ""),
        ("ValidationException", "Invalid ProjectionExpression", 400, "refused", "what aft asks"),
        ("ItemCollectionSizeLimitExceededException", "", 400, "full", ""),
        ("KMSAccessDeniedException", "", 400, "refused", "the key with which"),
    ] {
        let fault = of_answer(code, message, Some(status));
        assert_eq!(fault.kind(), meaning, "{code} {status}: {fault:?}");
        let said = format!("{fault:?}");
        for word in [code, message, word] {
            assert!(said.contains(word), "{word:?} is not in {said}");
        }
    }
}
