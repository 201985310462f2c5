//! TLS, as its client: whom to believe, and who we are.

use crate::connection::pem::{self, PemFile};
use clap::{Arg, ArgMatches, value_parser};
use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const AUTHORITIES: &str = "tls-ca-cert-file";
const CERTIFICATE: &str = "tls-cert-file";
const KEY: &str = "tls-key-file";

/// Where the system keeps the authorities it trusts (Debian, Alpine; Fedora).
const SYSTEM_AUTHORITIES: [&str; 2] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// Files in PEM, for servers with TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// Who may vouch for the server; without it those that the system trusts.
    pub authorities: Option<PathBuf>,
    /// Our certificate, and the key of it, for a server that asks.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Trust {
    /// The options of a command line that name them, called as those of the server.
    pub fn arguments() -> [Arg; 3] {
        let file = |name| {
            let file = Arg::new(name).long(name).value_name("FILE");
            file.value_parser(value_parser!(PathBuf))
        };
        [
            file(AUTHORITIES)
                .help("Who may vouch for a server with TLS, in PEM, instead of the system's list"),
            file(CERTIFICATE)
                .requires(KEY)
                .help("Our certificate, in PEM, for a server that asks for one"),
            file(KEY).requires(CERTIFICATE).help("The key of our certificate, in PEM"),
        ]
    }

    /// As a command line has it.
    pub fn of(matches: &ArgMatches) -> Self {
        let file = |name| matches.get_one::<PathBuf>(name).cloned();
        Self { authorities: file(AUTHORITIES), identity: file(CERTIFICATE).zip(file(KEY)) }
    }

    /// The other side of a connection, if it is who it says.
    pub(super) fn encrypt(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let config = self.config().map_err(io::Error::other)?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        Ok(StreamOwned::new(session, stream))
    }

    fn config(&self) -> Result<ClientConfig, String> {
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(self.roots()?);
        let Some((certificate, key)) = &self.identity else {
            return Ok(builder.with_no_client_auth());
        };
        let certificate = PemFile::read(CERTIFICATE, certificate)?;
        let key = PemFile::read(KEY, key)?;
        builder
            .with_client_auth_cert(certificate.certificates()?, key.private_key()?)
            .map_err(|error| pem::unfit(error, &certificate, &key))
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let known = SYSTEM_AUTHORITIES.map(Path::new).into_iter().find(|path| path.exists());
        let path = self.authorities.as_deref().or(known);
        let path = path.ok_or_else(|| format!("whom to trust? name --{AUTHORITIES}"))?;
        let file = PemFile::read(AUTHORITIES, path)?;
        let mut roots = RootCertStore::empty();
        for certificate in file.certificates()? {
            // A system's list may hold what nobody understands any more.
            let added = roots.add(certificate);
            if self.authorities.is_some() {
                added.map_err(|error| file.unusable(&error.to_string()))?;
            }
        }
        Ok(roots)
    }
}
