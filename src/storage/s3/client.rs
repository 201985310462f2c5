//! The SDK, set up: where it goes, what it tries, whom it trusts.

use crate::config::{S3Address, YesNo};
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::profile::profile_file::{ProfileFileKind, ProfileFiles};
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use std::fmt;
use std::time::Duration;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

/// A client for this bucket; nothing is sent yet, but what looks for credentials.
///
/// # Errors
/// What is wrong with the address, for who wrote it.
pub(super) async fn connect(
    address: &S3Address,
    connect_timeout: Duration,
) -> Result<Client, String> {
    let http = aws_smithy_http_client::Builder::new();
    let http = if address.endpoint.as_ref().is_some_and(|url| url.starts_with("http://")) {
        http.build_http()
    } else {
        let http = http.tls_provider(Provider::Rustls(CryptoMode::Ring));
        http.tls_context(trust(address)?).build_https()
    };
    let mut shared = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        // Whether to try again, how often and how long is decided in one place, for all stores.
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(connect_timeout).build());
    let files = credentials_files(address);
    if let Some(profile) = &address.profile {
        shared = shared.profile_name(profile);
    }
    if let Some(files) = &files {
        shared = shared.profile_files(files.clone());
    }
    if address.profile.is_some() || files.is_some() {
        // What is asked for by name comes before what the environment has.
        let mut named = ProfileFileCredentialsProvider::builder();
        if let Some(profile) = &address.profile {
            named = named.profile_name(profile);
        }
        if let Some(files) = files {
            named = named.profile_files(files);
        }
        shared = shared.credentials_provider(named.build());
    }
    if let Some(region) = &address.region {
        shared = shared.region(Region::new(region.clone()));
    }
    if let Some(endpoint) = &address.endpoint {
        shared = shared.endpoint_url(endpoint);
    }
    let shared = shared.load().await;
    let mut config = aws_sdk_s3::config::Builder::from(&shared);
    if shared.region().is_none() {
        if address.endpoint.is_none() {
            let why = "no region: name it with ?region=, in AWS_REGION or in the profile";
            return Err(why.to_owned());
        }
        // A server of one's own has none, but the signature must name one.
        config = config.region(Region::from_static("us-east-1"));
    }
    let path_style = match address.path_style {
        Some(choice) => choice == YesNo::Yes,
        None => address.endpoint.is_some(),
    };
    Ok(Client::from_conf(config.force_path_style(path_style).build()))
}

fn credentials_files(address: &S3Address) -> Option<ProfileFiles> {
    let file = address.credentials_file.as_ref()?;
    let files = ProfileFiles::builder().include_default_config_file(true);
    Some(files.with_file(ProfileFileKind::Credentials, file).build())
}

fn trust(address: &S3Address) -> Result<TlsContext, String> {
    let store = match &address.ca_file {
        None => TrustStore::default(),
        Some(file) => {
            let wrong = |error: &dyn fmt::Display| format!("{}: {error}", file.display());
            let pem = std::fs::read(file).map_err(|error| wrong(&error))?;
            // The SDK would panic on what is no certificate.
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|error| wrong(&error))?;
                roots.add(certificate).map_err(|error| wrong(&error))?;
            }
            if roots.is_empty() {
                return Err(wrong(&"there are no certificates in it"));
            }
            TrustStore::empty().with_pem_certificate(pem)
        }
    };
    TlsContext::builder().with_trust_store(store).build().map_err(|error| error.to_string())
}
