//! What the tests of the wire share.

// Each test binary uses a part of it.
#![allow(dead_code)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

pub(crate) mod cuts;
pub(crate) mod frame;
pub(crate) mod odd;
pub(crate) mod redis;

/// A request as every client library sends it.
pub(crate) fn encode_request(args: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        out.extend(format!("${}\r\n", arg.len()).bytes());
        out.extend(arg);
        out.extend(b"\r\n");
    }
    out
}
