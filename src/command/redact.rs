//! What of a request nobody may read afterwards: passwords, in SLOWLOG and in MONITOR.

use super::table::Command;
use crate::config;
use smallvec::SmallVec;

const REDACTED: &[u8] = b"(redacted)";

/// The arguments of a request, with those replaced that are secret.
pub(super) fn redacted<'a>(command: &Command, args: &[&'a [u8]]) -> SmallVec<[&'a [u8]; 8]> {
    let mut shown = SmallVec::from_slice(args);
    match command.name {
        // However many: Redis shows those of an AUTH with too many, but these may be the words
        // of one password.
        "auth" => shown[1..].fill(REDACTED),
        "acl|setuser" => shown[2..].fill(REDACTED),
        "hello" => {
            // Whatever the protocol's version: Redis shows the password of a HELLO that it
            // refuses for its version, but the next one will have the same.
            let mut at = 2;
            while at + 2 < args.len() {
                if args[at].eq_ignore_ascii_case(b"auth") {
                    shown[at + 1..at + 3].fill(REDACTED);
                    at += 2;
                }
                at += 1;
            }
        }
        "config|set" => {
            for at in (2..args.len()).step_by(2) {
                if config::is_secret(args[at]) && at + 1 < args.len() {
                    shown[at + 1] = REDACTED;
                }
            }
        }
        _ => {}
    }
    shown
}
