//! What an address says of any service of AWS, or of a server that speaks its protocol.

use super::{decode, encode_option};
use std::path::PathBuf;

/// Where a service is, and who vouches for what. Who we are is not said here: the credentials come
/// from where all programs that use AWS look for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsAddress {
    /// The server, with `http://` or `https://`; AWS' own without.
    pub endpoint: Option<String>,
    /// The region; from the environment or the profile without.
    pub region: Option<String>,
    /// The profile of the AWS configuration that has the credentials.
    pub profile: Option<String>,
    /// The file that has them, in the form of `~/.aws/credentials`.
    pub credentials_file: Option<PathBuf>,
    /// Certificates of the authorities that may vouch for the server, in PEM; the system's without.
    pub ca_file: Option<PathBuf>,
}

impl AwsAddress {
    /// Reads the options of an address; those that are not of every service go to `own`, which
    /// answers whether it knows them. `known` says which there are.
    pub(super) fn parse(
        options: &str,
        known: &str,
        mut own: impl FnMut(&str, &str) -> Result<bool, String>,
    ) -> Result<Self, String> {
        let mut address = Self::default();
        let mut taken = Vec::new();
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').ok_or(known)?;
            let wrong = "in the value of an option write %25 for %, %26 for & and %20 for a space";
            let value = decode(value).ok_or(wrong)?;
            if value.is_empty() || !(own(name, &value)? || address.take(name, value)) {
                return Err(known.to_owned());
            }
            if taken.contains(&name) {
                return Err(format!("{name} is there twice"));
            }
            taken.push(name);
        }
        address.endpoint.as_deref().map_or(Ok(()), Self::check_endpoint)?;
        Ok(address)
    }

    fn take(&mut self, name: &str, value: String) -> bool {
        match name {
            "endpoint" => self.endpoint = Some(value),
            "region" => self.region = Some(value),
            "profile" => self.profile = Some(value),
            "credentials" => self.credentials_file = Some(value.into()),
            "ca" => self.ca_file = Some(value.into()),
            _ => return false,
        }
        true
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

    /// The options as a text, behind those of one service.
    pub(super) fn options(&self, own: &[(&str, Option<String>)]) -> String {
        let file = |file: &Option<PathBuf>| Some(file.as_ref()?.display().to_string());
        let common = [
            ("endpoint", self.endpoint.clone()),
            ("region", self.region.clone()),
            ("profile", self.profile.clone()),
            ("credentials", file(&self.credentials_file)),
            ("ca", file(&self.ca_file)),
        ];
        let options: Vec<String> = own
            .iter()
            .chain(&common)
            .filter_map(|(name, value)| Some(format!("{name}={}", encode_option(value.as_ref()?))))
            .collect();
        let mark = if options.is_empty() { "" } else { "?" };
        format!("{mark}{}", options.join("&"))
    }
}
