//! Where a bucket is.

use super::AwsAddress;
use crate::config::YesNo;
use crate::config::setting::Kind;
use crate::config::value::Value;
use std::fmt;

/// A bucket of S3, or of a server that speaks its protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Address {
    /// The name of the bucket.
    pub bucket: String,
    /// What all keys begin with, so that several can share a bucket; without a `/` at its end.
    pub prefix: String,
    /// Whether the bucket stands in the path of a URL, not in the host's name; by default where
    /// an endpoint is given.
    pub path_style: Option<YesNo>,
    /// The server, and who vouches for it.
    pub aws: AwsAddress,
}

impl S3Address {
    const PREFIX: &str = "aft";

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (path, options) = text.split_once('?').unwrap_or((text, ""));
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        let known = "the options of S3 are endpoint, region, profile, credentials, path-style and \
                     ca, such as ?endpoint=http://127.0.0.1:9000";
        let mut path_style = None;
        let own = |name: &str, value: &str| {
            if name == "path-style" {
                let choice = YesNo::parse(value, &Kind::Choice(YesNo::WORDS));
                path_style = Some(choice.map_err(|_| "path-style is yes or no")?);
            }
            Ok(name == "path-style")
        };
        let aws = AwsAddress::parse(options, known, own)?;
        let address = Self {
            bucket: bucket.to_owned(),
            prefix: match prefix {
                "" => Self::PREFIX.to_owned(),
                prefix => prefix.strip_suffix('/').unwrap_or(prefix).to_owned(),
            },
            path_style,
            aws,
        };
        address.check()?;
        Ok(address)
    }

    fn check(&self) -> Result<(), String> {
        /// A key has at most 1,024 bytes, of which a name takes up to 255.
        const PREFIX_BYTES_MAX: usize = 512;
        // Old buckets may have capitals and underscores, and be long.
        let of_bucket = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if !(3..=255).contains(&self.bucket.len()) || !self.bucket.bytes().all(of_bucket) {
            return Err("behind s3:// stands the name of a bucket, such as s3://my-bucket/aft; \
                        credentials come from the environment or a profile"
                .to_owned());
        }
        let of_prefix = |b: u8| b.is_ascii_alphanumeric() || b"-_.!/".contains(&b);
        let parts = || self.prefix.split('/');
        if self.prefix.len() > PREFIX_BYTES_MAX
            || !self.prefix.bytes().all(of_prefix)
            || parts().any(|part| part.is_empty() || part.bytes().all(|b| b == b'.'))
        {
            return Err("a prefix is of letters, digits and -_.! with single / between, and at \
                        most 512 long"
                .to_owned());
        }
        // Another protocol: sessions in place of signatures, and listings without an order.
        if self.bucket.ends_with("--x-s3") {
            return Err("a directory bucket does not list in order: use a general purpose bucket"
                .to_owned());
        }
        Ok(())
    }

    pub(super) fn to_text(&self) -> String {
        let path_style = self.path_style.map(|choice| choice.word().to_owned());
        let options = self.aws.options(&[("path-style", path_style)]);
        format!("s3://{}/{}{options}", self.bucket, self.prefix)
    }
}

impl fmt::Display for S3Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}
