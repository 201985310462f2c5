//! The gate before an S3: it decides by method and path.

use crate::common::gate;
use std::net::SocketAddr;

/// What becomes of a request.
pub(crate) enum Verdict {
    Passes,
    /// Without the headers that begin like this.
    PassesWithout(&'static str),
    /// An answer with this status and this code of S3.
    Refused(u16, &'static str),
}

/// Its address. It is there until the tests end.
pub(crate) fn before(
    server: SocketAddr,
    rule: impl Fn(&str, &str) -> Verdict + Send + Sync + 'static,
) -> SocketAddr {
    gate::before(server, move |request| match rule(&request.method, &request.path) {
        Verdict::Passes => gate::Verdict::Passes,
        Verdict::PassesWithout(header) => gate::Verdict::PassesWithout(header),
        Verdict::Refused(status, code) => {
            let message = "<Message>says the gate</Message>";
            let body = format!("<Error><Code>{code}</Code>{message}</Error>");
            gate::Verdict::Answered(status, "application/xml", body)
        }
    })
}
