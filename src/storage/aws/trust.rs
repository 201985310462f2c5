//! Whose word counts for who a server is.

use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_types::sdk_config::SharedHttpClient;
use std::fmt;
use std::path::Path;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

/// A client that believes these authorities.
pub(super) fn https(trust: TrustStore) -> Result<SharedHttpClient, String> {
    let context = TlsContext::builder().with_trust_store(trust).build();
    let context = context.map_err(|error| error.to_string())?;
    let http = aws_smithy_http_client::Builder::new();
    Ok(http.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(context).build_https())
}

/// The authorities that this machine believes, if there are any: the SDK takes for granted that
/// there are, and a container may well have none.
pub(super) fn of_system() -> Option<TrustStore> {
    let found = rustls_native_certs::load_native_certs().certs;
    let (usable, _) = RootCertStore::empty().add_parsable_certificates(found);
    (usable > 0).then(TrustStore::default)
}

/// The authorities in a file.
pub(super) fn of_file(file: &Path) -> Result<TrustStore, String> {
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
