//! The SDK, set up: where it goes, what it tries, whom it trusts.

use crate::config::{S3Address, YesNo};
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{ResponseChecksumValidation, SharedHttpClient};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use std::fmt;
use std::path::Path;
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
    // Who gives credentials is not the server of the endpoint, nor vouched for by its authority.
    let of_aws = https(TrustStore::default())?;
    let plain = address.endpoint.as_ref().is_some_and(|url| url.starts_with("http://"));
    let of_bucket = match (plain, &address.ca_file) {
        (true, _) => aws_smithy_http_client::Builder::new().build_http(),
        (false, Some(file)) => https(authorities(file)?)?,
        (false, None) => of_aws.clone(),
    };
    let provider = ProviderConfig::without_region().with_http_client(of_aws.clone());
    let region = region(address, &provider).await?;
    let mut shared = aws_config::defaults(BehaviorVersion::latest())
        .http_client(of_aws)
        .region(region.clone())
        // Whether to try again, how often and how long is decided in one place, for all stores.
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(connect_timeout).build())
        // A range has no checksum, though some servers send that of the whole object with it.
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if let Some(endpoint) = &address.endpoint {
        shared = shared.endpoint_url(endpoint);
    }
    if let Some(profile) = &address.profile {
        shared = shared.profile_name(profile);
    }
    if address.profile.is_some() || address.credentials_file.is_some() {
        // What is asked for by name comes before what the environment has.
        let provider = provider.with_region(Some(region));
        let mut named = ProfileFileCredentialsProvider::builder().configure(&provider);
        if let Some(profile) = &address.profile {
            named = named.profile_name(profile);
        }
        if let Some(files) = credentials_files(address) {
            named = named.profile_files(files);
        }
        shared = shared.credentials_provider(named.build());
    }
    let shared = shared.load().await;
    let config = aws_sdk_s3::config::Builder::from(&shared).http_client(of_bucket);
    let path_style = match address.path_style {
        Some(choice) => choice == YesNo::Yes,
        None => address.endpoint.is_some(),
    };
    Ok(Client::from_conf(config.force_path_style(path_style).build()))
}

/// The region to sign for. A server of one's own has none, but the signature must name one.
async fn region(address: &S3Address, provider: &ProviderConfig) -> Result<Region, String> {
    if let Some(region) = &address.region {
        return Ok(Region::new(region.clone()));
    }
    let mut profile = ProfileFileRegionProvider::builder().configure(provider);
    if let Some(name) = &address.profile {
        profile = profile.profile_name(name);
    }
    let known = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new());
    let known = known.or_else(profile.build());
    let known = match &address.endpoint {
        Some(_) => known.or_else("us-east-1"),
        None => known.or_else(ImdsRegionProvider::builder().configure(provider).build()),
    };
    known.region().await.ok_or_else(|| {
        "no region: name it with ?region=, in AWS_REGION or in the profile".to_owned()
    })
}

fn credentials_files(address: &S3Address) -> Option<EnvConfigFiles> {
    let file = address.credentials_file.as_ref()?;
    let files = EnvConfigFiles::builder().include_default_config_file(true);
    Some(files.with_file(EnvConfigFileKind::Credentials, file).build())
}

fn https(trust: TrustStore) -> Result<SharedHttpClient, String> {
    let context = TlsContext::builder().with_trust_store(trust).build();
    let context = context.map_err(|error| error.to_string())?;
    let http = aws_smithy_http_client::Builder::new();
    Ok(http.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(context).build_https())
}

fn authorities(file: &Path) -> Result<TrustStore, String> {
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
    Ok(TrustStore::empty().with_pem_certificate(pem))
}
