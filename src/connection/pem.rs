//! Files with certificates and keys, in PEM, that settings name.

use std::fs;
use std::path::Path;
use tokio_rustls::rustls::Error;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A file that a setting names, with its content.
pub(super) struct PemFile<'a> {
    setting: &'static str,
    path: &'a Path,
    content: Vec<u8>,
}

impl<'a> PemFile<'a> {
    pub(super) fn read(setting: &'static str, path: &'a Path) -> Result<Self, String> {
        let content = fs::read(path)
            .map_err(|error| format!("can't read --{setting} '{}': {error}", path.display()))?;
        Ok(Self { setting, path, content })
    }

    /// How messages call it.
    pub(super) fn name(&self) -> String {
        format!("--{} '{}'", self.setting, self.path.display())
    }

    pub(super) fn unusable(&self, why: &str) -> String {
        format!("{} can't be used: {why}", self.name())
    }

    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&self.content)
            .collect::<Result<_, pem::Error>>()
            .map_err(|error| self.unusable(&error.to_string()))?;
        if certificates.is_empty() {
            return Err(self.unusable("it holds no certificate in PEM"));
        }
        Ok(certificates)
    }

    pub(super) fn private_key(&self) -> Result<PrivateKeyDer<'static>, String> {
        PrivateKeyDer::from_pem_slice(&self.content).map_err(|error| match error {
            pem::Error::NoItemsFound => {
                self.unusable("it holds no private key in PEM (encrypted ones are not read)")
            }
            error => self.unusable(&error.to_string()),
        })
    }
}

/// Why a certificate and a key make no identity.
pub(super) fn unfit(error: Error, certificate: &PemFile<'_>, key: &PemFile<'_>) -> String {
    match error {
        Error::InconsistentKeys(_) => format!(
            "the key in {} does not belong to the certificate in {}",
            key.name(),
            certificate.name()
        ),
        Error::InvalidCertificate(why) => certificate.unusable(&why.to_string()),
        other => key.unusable(&other.to_string()),
    }
}
