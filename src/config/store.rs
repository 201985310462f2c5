//! Where data is kept, as one text: the scheme says which store, the rest where it is.
//!
//! ```text
//! embedded:DIR
//! memory:
//! redis://[user[:password]@]host[:port][/database][?option=value&…]
//! rediss://…                                         the same over TLS
//! redis-cluster://host[:port][,host[:port]…][?…]     any nodes of it; rediss-cluster:// over TLS
//! s3://bucket[/prefix][?option=value&…]
//! dynamodb://table[/prefix][?option=value&…]
//! ```

mod aws;
mod dynamodb;
mod redis;
mod s3;

pub use aws::AwsAddress;
pub use dynamodb::{DynamoDbAddress, Reads};
pub use redis::RedisAddress;
pub use s3::S3Address;

use super::setting::{Kind, Refusal};
use super::value::{MASK, Value};
use std::path::PathBuf;
use std::str::FromStr;

/// What to write instead of something that is no store.
const USE: &str = "use 'embedded:DIR', 'memory:', 'redis://HOST:PORT', \
                   'redis-cluster://HOST:PORT,HOST:PORT' (rediss and rediss-cluster with TLS), \
                   's3://BUCKET/PREFIX' or 'dynamodb://TABLE'";

/// Where data is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// In files of this directory, which is made if missing.
    Embedded {
        /// The directory; a relative one starts where the server was started.
        dir: PathBuf,
    },
    /// Nowhere: all is lost when the server ends.
    Memory,
    /// In a Redis.
    Redis(Box<RedisAddress>),
    /// In a bucket of S3.
    S3(Box<S3Address>),
    /// In a table of DynamoDB.
    DynamoDb(Box<DynamoDbAddress>),
}

impl Store {
    /// The embedded store in this directory.
    pub fn embedded(dir: &str) -> Self {
        Self::Embedded { dir: dir.into() }
    }

    /// Its kind in one word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Embedded { .. } => "embedded",
            Self::Memory => "memory",
            Self::Redis(address) if address.cluster => "redis-cluster",
            Self::Redis(_) => "redis",
            Self::S3(_) => "s3",
            Self::DynamoDb(_) => "dynamodb",
        }
    }

    /// What to say where this build has no store for it.
    pub fn missing_feature(&self) -> String {
        let feature = self.kind().trim_end_matches("-cluster");
        format!("this build has no store for it: build with the cargo feature `{feature}`")
    }

    /// Whether what it holds outlives the server.
    pub fn keeps(&self) -> bool {
        *self != Self::Memory
    }

    /// Whether other machines can reach it, so that two nodes might meet there.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Redis(_) | Self::S3(_) | Self::DynamoDb(_))
    }

    /// Its text without a password, for messages.
    pub fn shown(&self) -> String {
        without_password(&self.to_text())
    }
}

impl FromStr for Store {
    type Err = String;

    /// The error says what to write instead.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("embedded", dir)) if !dir.is_empty() => Ok(Self::embedded(dir)),
            Some(("memory", "")) => Ok(Self::Memory),
            Some((scheme @ ("redis" | "rediss" | "redis-cluster" | "rediss-cluster"), rest)) => {
                let rest = rest.strip_prefix("//").ok_or_else(|| USE.to_owned())?;
                RedisAddress::parse(scheme, rest).map(|address| Self::Redis(Box::new(address)))
            }
            Some(("s3", rest)) => {
                let rest = rest.strip_prefix("//").ok_or_else(|| USE.to_owned())?;
                S3Address::parse(rest).map(|address| Self::S3(Box::new(address)))
            }
            Some(("dynamodb", rest)) => {
                let rest = rest.strip_prefix("//").ok_or_else(|| USE.to_owned())?;
                let address = DynamoDbAddress::parse(rest)?;
                Ok(Self::DynamoDb(Box::new(address)))
            }
            _ => Err(USE.to_owned()),
        }
    }
}

impl Value for Store {
    fn parse(text: &str, _: &Kind) -> Result<Self, Refusal> {
        text.parse().map_err(|_: String| Refusal::NotAllowed)
    }

    fn to_text(&self) -> String {
        match self {
            Self::Embedded { dir } => format!("embedded:{}", dir.display()),
            Self::Memory => "memory:".to_owned(),
            Self::Redis(address) => address.to_text(),
            Self::S3(address) => address.to_text(),
            Self::DynamoDb(address) => address.to_text(),
        }
    }
}

/// Why a text is no store: what to write instead.
pub(super) fn advice(text: &str) -> String {
    text.parse::<Store>().err().unwrap_or_else(|| USE.to_owned())
}

/// The text of a store, well formed or not, with a mask where its password stands.
pub(super) fn without_password(text: &str) -> String {
    if text.starts_with("s3:") {
        return without_credentials(text);
    }
    let masked = || {
        let (scheme, rest) = text.split_once("://")?;
        // A password that should have been encoded may have any of these in it.
        let (credentials, rest) = rest.rsplit_once('@')?;
        let (user, _) = credentials.split_once(':')?;
        Some(format!("{scheme}://{user}:{MASK}@{rest}"))
    };
    masked().unwrap_or_else(|| text.to_owned())
}

/// Nobody should have written credentials into the address of a bucket: where it looks as if, these
/// parts are not shown at all.
fn without_credentials(text: &str) -> String {
    let suspect = |part: &&str| part.contains('@') || part.contains("%40");
    let parts = text.split_inclusive(['?', '&']);
    parts.map(|part| if suspect(&part) { MASK } else { part }).collect()
}

/// Undoes percent-encoding; `None` if it is none, or no UTF-8 comes of it.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = rest.split_off(..2)?;
        let digits = digits.iter().map(|&digit| char::from(digit).to_digit(16));
        let value = digits.collect::<Option<Vec<u32>>>()?;
        bytes.push((value[0] * 16 + value[1]) as u8);
    }
    String::from_utf8(bytes).ok()
}

/// Percent-encodes all that could be taken for a part of the address.
fn encode(text: &str) -> String {
    encode_but(text, b"-_.~")
}

/// The same for the value of an option, in which paths and addresses stay readable.
fn encode_option(text: &str) -> String {
    encode_but(text, b"-_.~:/[]")
}

fn encode_but(text: &str, plain: &[u8]) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || plain.contains(&b);
    text.bytes()
        .map(|b| if is_plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

#[cfg(test)]
mod tests;
