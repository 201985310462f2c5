//! What goes wrong with a Redis, and what it means.

use crate::storage::fault::Fault;
use redis::{ErrorKind, RedisError, ServerError};

/// An error that the Redis answered with.
impl From<&ServerError> for Fault {
    fn from(error: &ServerError) -> Self {
        let details = error.details().unwrap_or_default();
        let said = format!("{} {details}", error.code());
        match error.code() {
            "OOM" => Self::Full(format!(
                "{said}: raise its maxmemory, or free what else is in this Redis"
            )),
            "WRONGTYPE" => Self::Foreign(format!(
                "a key of this store holds something else ({said}): does another program write \
                 there? Give aft a prefix of its own, such as ?prefix=aft2"
            )),
            "READONLY" => Self::Passing(format!("{said}: this Redis is a replica now")),
            "NOREPLICAS" => Self::Passing(format!(
                "{said}: min-replicas-to-write of this Redis asks for more than it has"
            )),
            "NOAUTH" | "WRONGPASS" => Self::Refused(format!(
                "{said}: give user and password as in redis://user:password@host"
            )),
            "NOPERM" => Self::Refused(format!("{said}: docs/stores.md says what aft needs")),
            "ERR" if details.contains("cluster support disabled") => {
                Self::Refused("this is no Redis Cluster: use redis://".to_owned())
            }
            "ERR" if !details.starts_with("max number of clients") => Self::Refused(said),
            _ => Self::Passing(said),
        }
    }
}

/// An error of the client library: mostly that it has no connection.
impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        let said = error.to_string();
        // The client of a cluster tells in words only what its first connections have met.
        let credentials = error.kind() == ErrorKind::AuthenticationFailed
            || said.ends_with("AuthenticationFailed");
        // "invalid peer certificate: UnknownIssuer"; "received fatal alert: CertificateRequired".
        let certificate = ["ertificate", "alert: UnknownCA"].iter().any(|word| said.contains(word));
        if credentials {
            return Self::Refused(format!(
                "the Redis refuses the user or the password ({error}): give them as in \
                 redis://user:password@host"
            ));
        }
        match error.kind() {
            ErrorKind::InvalidClientConfig => Self::Refused(error.to_string()),
            ErrorKind::Io if certificate => Self::Refused(format!(
                "{error}: ?ca=FILE names the authorities that may vouch for the Redis, \
                 ?cert=FILE&key=FILE what to show it"
            )),
            ErrorKind::Server(_) | ErrorKind::Extension => match error.clone().into_server_errors()
            {
                Some(errors) if !errors.is_empty() => Self::from(&errors[0].1),
                _ => Self::Passing(error.to_string()),
            },
            _ => Self::Passing(error.to_string()),
        }
    }
}
