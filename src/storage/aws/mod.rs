//! What the services of AWS have in common: where they are, as whom to go there, and what goes
//! wrong on the way.
//!
//! | module        | what                                            |
//! |---------------|-------------------------------------------------|
//! | `credentials` | credentials that take their time                |
//! | `trust`       | who vouches for a server                        |
//! | `errors`      | what goes wrong before the service has answered |

mod credentials;
pub(super) mod errors;
mod trust;

use super::fault::Fault;
use crate::config::AwsAddress;
use crate::rope::Rope;
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::identity::IdentityCache;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_smithy_http_client::tls::TrustStore;
use aws_types::sdk_config::{ResponseChecksumValidation, SharedHttpClient};
use aws_types::service_config::ServiceConfigKey;
use credentials::ToTheEnd;
use std::time::Duration;

/// Larger objects would be possible; but the engine holds a group in memory.
pub(super) const OBJECT_BYTES_MAX: u64 = 1 << 30;

/// Whether a name can be part of a key: of other bytes, servers make something else, or keys could
/// be taken for each other.
pub(super) fn is_plain(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'/')
}

/// # Errors
/// The object is larger than [`OBJECT_BYTES_MAX`].
pub(super) fn check_size(object: &Rope) -> Result<(), Fault> {
    let bytes = object.len();
    if bytes as u64 > OBJECT_BYTES_MAX {
        return Err(Fault::Object(format!("{bytes} bytes are more than {OBJECT_BYTES_MAX}")));
    }
    Ok(())
}

/// Of a server that takes what must not be taken.
pub(super) fn ignores_conditions() -> Fault {
    Fault::Refused(
        "this server ignores conditions (If-None-Match, attribute_not_exists), so two nodes could \
         write over each other: use one that has conditional writes"
            .to_owned(),
    )
}

/// The SDK, set up: what it tries, as whom, and where it goes.
pub(super) struct SetUp {
    pub(super) config: SdkConfig,
    /// The server, where it is not AWS' own. For the client of the service to be told: or it would
    /// look for one itself, and put what the environment says before the address.
    pub(super) endpoint: Option<String>,
}

/// Sets the SDK up for a service, by the name that AWS gives it (`S3`, as in
/// `AWS_ENDPOINT_URL_S3`); nothing is sent yet, but what looks for the region.
///
/// # Errors
/// What is wrong with the address, for who wrote it.
pub(super) async fn set_up(
    address: &AwsAddress,
    service: &str,
    connect_timeout: Duration,
) -> Result<SetUp, String> {
    if let Some(file) = &address.credentials_file {
        // The SDK would only say that there are none.
        std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    // Who gives credentials is not the server of the endpoint, nor vouched for by its authority.
    let of_system = trust::of_system();
    let of_aws = trust::https(of_system.clone().unwrap_or_else(TrustStore::empty))?;
    let provider = ProviderConfig::without_region().with_http_client(of_aws.clone());
    let around = loader(address, &of_aws, connect_timeout).no_credentials();
    let around = around.region(known_region(address, &provider)).load().await;
    let endpoint = endpoint(address, service, &around)?;
    let region = region(around.region(), endpoint.is_some(), &provider).await?;

    let plain = endpoint.as_ref().is_some_and(|url| url.starts_with("http://"));
    let of_service = match (plain, &address.ca_file) {
        (true, _) => aws_smithy_http_client::Builder::new().build_http(),
        (false, Some(file)) => trust::https(trust::of_file(file)?)?,
        (false, None) => trust::https(of_system.ok_or(
            "this machine has no certificates of authorities that could vouch for the server: \
             install them (ca-certificates), or name a file of them with ?ca=",
        )?)?,
    };
    let shared = loader(address, &of_aws, connect_timeout).region(region.clone()).load().await;
    let credentials = match named_credentials(address, &provider.with_region(Some(region))) {
        Some(named) => SharedCredentialsProvider::new(named),
        None => shared.credentials_provider().ok_or("no credentials")?,
    };
    let config = shared
        .into_builder()
        .http_client(of_service)
        .credentials_provider(SharedCredentialsProvider::new(ToTheEnd::new(credentials)))
        // How long that may take is for who waits to say.
        .identity_cache(IdentityCache::lazy().load_timeout(Duration::MAX).build());
    Ok(SetUp { config: config.build(), endpoint })
}

fn loader(
    address: &AwsAddress,
    of_aws: &SharedHttpClient,
    connect_timeout: Duration,
) -> ConfigLoader {
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(of_aws.clone())
        // Whether to try again, how often and how long is decided in one place, for all stores.
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(connect_timeout).build())
        // A range has no checksum, though some servers send that of the whole object with it.
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    match &address.profile {
        Some(profile) => loader.profile_name(profile),
        None => loader,
    }
}

/// The server: what the address says comes before what the environment or the profile do.
fn endpoint(
    address: &AwsAddress,
    service: &str,
    around: &SdkConfig,
) -> Result<Option<String>, String> {
    if address.endpoint.is_some() {
        return Ok(address.endpoint.clone());
    }
    // As AWS_ENDPOINT_URL_S3, or in a `services` section of the profile.
    let key = ServiceConfigKey::builder().service_id(service).env("AWS_ENDPOINT_URL");
    let key = key.profile("endpoint_url").build().map_err(|error| error.to_string())?;
    let of_service = around.service_config().and_then(|config| config.load_config(key));
    let found = of_service.or_else(|| around.endpoint_url().map(str::to_owned));
    match found.as_deref().map(AwsAddress::check_endpoint) {
        Some(Err(why)) => Err(format!("AWS_ENDPOINT_URL, or the profile: {why}")),
        Some(Ok(())) | None => Ok(found),
    }
}

/// The region as far as it is written somewhere.
fn known_region(address: &AwsAddress, provider: &ProviderConfig) -> RegionProviderChain {
    let mut profile = ProfileFileRegionProvider::builder().configure(provider);
    if let Some(name) = &address.profile {
        profile = profile.profile_name(name);
    }
    RegionProviderChain::first_try(address.region.clone().map(Region::new))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(profile.build())
}

/// The region to sign for. A server of one's own has none, but the signature must name one.
async fn region(
    known: Option<&Region>,
    has_endpoint: bool,
    provider: &ProviderConfig,
) -> Result<Region, String> {
    match known {
        Some(region) => return Ok(region.clone()),
        None if has_endpoint => return Ok(Region::from_static("us-east-1")),
        None => {}
    }
    let of_machine = ImdsRegionProvider::builder().configure(provider).build();
    of_machine.region().await.ok_or_else(|| {
        "no region: name it with ?region=, in AWS_REGION or in the profile".to_owned()
    })
}

/// What is asked for by name comes before what the environment has.
fn named_credentials(
    address: &AwsAddress,
    provider: &ProviderConfig,
) -> Option<ProfileFileCredentialsProvider> {
    if address.profile.is_none() && address.credentials_file.is_none() {
        return None;
    }
    let mut named = ProfileFileCredentialsProvider::builder().configure(provider);
    if let Some(profile) = &address.profile {
        named = named.profile_name(profile);
    }
    if let Some(file) = &address.credentials_file {
        let files = EnvConfigFiles::builder().include_default_config_file(true);
        named = named.profile_files(files.with_file(EnvConfigFileKind::Credentials, file).build());
    }
    Some(named.build())
}
