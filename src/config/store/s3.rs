//! Where a bucket is.

use super::{decode, encode_option};
use crate::config::YesNo;
use crate::config::setting::Kind;
use crate::config::value::Value;
use std::fmt;
use std::path::PathBuf;

/// A bucket of S3, or of a server that speaks its protocol. Who we are is not said here: the
/// credentials come from where all programs that use AWS look for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Address {
    /// The name of the bucket.
    pub bucket: String,
    /// What all keys begin with, so that several can share a bucket; without a `/` at its end.
    pub prefix: String,
    /// The server, with `http://` or `https://`; AWS' own without.
    pub endpoint: Option<String>,
    /// The region; from the environment or the profile without.
    pub region: Option<String>,
    /// The profile of the AWS configuration that has the credentials.
    pub profile: Option<String>,
    /// The file that has them, in the form of `~/.aws/credentials`.
    pub credentials_file: Option<PathBuf>,
    /// Whether the bucket stands in the path of a URL, not in the host's name; by default where
    /// an endpoint is given.
    pub path_style: Option<YesNo>,
    /// Certificates of the authorities that may vouch for the server, in PEM; the system's without.
    pub ca_file: Option<PathBuf>,
}

impl S3Address {
    const PREFIX: &str = "aft";

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (path, options) = text.split_once('?').unwrap_or((text, ""));
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        let mut address = Self {
            bucket: bucket.to_owned(),
            prefix: match prefix {
                "" => Self::PREFIX.to_owned(),
                prefix => prefix.strip_suffix('/').unwrap_or(prefix).to_owned(),
            },
            endpoint: None,
            region: None,
            profile: None,
            credentials_file: None,
            path_style: None,
            ca_file: None,
        };
        let mut taken = Vec::new();
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let name = address.take_option(option)?;
            if taken.contains(&name) {
                return Err(format!("{name} is there twice"));
            }
            taken.push(name);
        }
        address.check()?;
        Ok(address)
    }

    /// Takes one, and says which it was.
    fn take_option<'o>(&mut self, option: &'o str) -> Result<&'o str, String> {
        let known = "the options of S3 are endpoint, region, profile, credentials, path-style and \
                     ca, such as ?endpoint=http://127.0.0.1:9000";
        let (name, value) = option.split_once('=').ok_or(known)?;
        let wrong = "in the value of an option write %25 for %, %26 for & and %20 for a space";
        let value = decode(value).ok_or(wrong)?;
        if value.is_empty() {
            return Err(known.to_owned());
        }
        match name {
            "endpoint" => self.endpoint = Some(value),
            "region" => self.region = Some(value),
            "profile" => self.profile = Some(value),
            "credentials" => self.credentials_file = Some(value.into()),
            "path-style" => {
                let choice = YesNo::parse(&value, &Kind::Choice(YesNo::WORDS));
                self.path_style = Some(choice.map_err(|_| "path-style is yes or no")?);
            }
            "ca" => self.ca_file = Some(value.into()),
            _ => return Err(known.to_owned()),
        }
        Ok(name)
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
        self.endpoint.as_deref().map_or(Ok(()), Self::check_endpoint)
    }

    /// Whether this is the URL of a server, and no more: it is shown, so there may be no secret in it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_endpoint(text: &str) -> Result<(), String> {
        let wrong = "an endpoint begins with http:// or https://, and a host and a port follow, such as \
                     http://127.0.0.1:9000";
        let url = url::Url::parse(text).map_err(|error| format!("{wrong} ({error})"))?;
        if !["http", "https"].contains(&url.scheme()) || url.host().is_none() {
            return Err(wrong.to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("there are no credentials in the URL of an endpoint: they come from the \
                        environment or a profile"
                .to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("an endpoint ends with its port or path, without ? and #".to_owned());
        }
        Ok(())
    }

    pub(super) fn to_text(&self) -> String {
        let file = |file: &Option<PathBuf>| Some(file.as_ref()?.display().to_string());
        let options = [
            ("endpoint", self.endpoint.clone()),
            ("region", self.region.clone()),
            ("profile", self.profile.clone()),
            ("credentials", file(&self.credentials_file)),
            ("path-style", self.path_style.map(|choice| choice.word().to_owned())),
            ("ca", file(&self.ca_file)),
        ];
        let options: Vec<String> = options
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", encode_option(&value?))))
            .collect();
        let mark = if options.is_empty() { "" } else { "?" };
        format!("s3://{}/{}{mark}{}", self.bucket, self.prefix, options.join("&"))
    }
}

impl fmt::Display for S3Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}
