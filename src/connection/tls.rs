//! TLS: what it takes at the start, the handshake, and the end.
//!
//! ```text
//!   accepted ─ a place among clients_max ─ handshake ──── serve ─── close_notify ─ closed
//!                                          │ within tls_handshake_timeout_ms,     │ within
//!                                          │ until killed or drained              │ CLOSE_TIMEOUT
//! ```
//! All of it happens on the connection's own task, so a peer that stalls holds its own place
//! and nothing else. In between, the stream is to `serve` what a socket is, except that it
//! has a buffer of its own, which `serve` flushes.

use super::pem::{self, PemFile};
use crate::config::{Settings, TlsAuthClients};
use crate::server::{Client, Server};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

/// How long the last words to a peer may take. Who reads has them after a round trip; who
/// doesn't gets no more of them than of anything else.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Everything a handshake needs to know.
#[derive(Clone)]
pub(super) struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It holds the private key.
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads certificates and key; `None` if no address is served with TLS.
    ///
    /// # Errors
    /// A message that names the setting and what is wrong with its file.
    pub(super) fn load(settings: &Settings) -> Result<Option<Self>, String> {
        if settings.tls_listen.is_none() {
            return Ok(None);
        }
        let provider = Arc::new(ring::default_provider());
        let certificate = read("tls-cert-file", settings.tls_cert_file.as_deref())?;
        let key = read("tls-key-file", settings.tls_key_file.as_deref())?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match client_verifier(settings, provider)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        // Early data stays off, as rustls has it: who records it could send a write again.
        let config = builder
            .with_single_cert(certificate.certificates()?, key.private_key()?)
            .map_err(|error| pem::unfit(error, &certificate, &key))?;
        Ok(Some(Self(TlsAcceptor::from(Arc::new(config)))))
    }

    /// Makes an encrypted stream of a new connection; `None` if that failed, took too long,
    /// or the connection has to end.
    pub(super) async fn handshake<S>(
        &self,
        server: &Server,
        client: &Client,
        stream: S,
    ) -> Option<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let limit = Duration::from_millis(server.settings().tls_handshake_timeout_ms);
        let handshake = timeout(limit, self.0.accept(stream).into_fallible());
        let (why, stream) = tokio::select! {
            handshake = handshake => match handshake {
                Ok(Ok(stream)) => return Some(stream),
                Ok(Err((error, stream))) => (error.to_string(), Some(stream)),
                Err(_) => ("it took too long".to_owned(), None),
            },
            () = called_off(server, client) => return None,
        };
        tracing::debug!(client = client.id, address = client.address, why, "no TLS handshake");
        if let Some(mut stream) = stream {
            linger(&mut stream).await;
        }
        None
    }
}

/// Ready when the connection was killed or the server ends.
async fn called_off(server: &Server, client: &Client) {
    while !client.killed.load(Ordering::Acquire) && !server.is_draining() {
        client.wake.notified().await;
    }
}

/// Lets the peer read the alert that says why it is refused: to close with bytes unread
/// (a client may have sent its first command by now) would take it back.
async fn linger<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let until_it_hangs_up = async {
        stream.shutdown().await?;
        let mut unread = [0; 1024];
        while stream.read(&mut unread).await? > 0 {}
        io::Result::Ok(())
    };
    // Whether it listens is its own affair.
    let _ = timeout(CLOSE_TIMEOUT, until_it_hangs_up).await;
}

/// Says goodbye, so that the peer knows that nothing was cut off.
pub(super) async fn close<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut TlsStream<S>) {
    // Whether it listens is its own affair.
    let _ = timeout(CLOSE_TIMEOUT, stream.shutdown()).await;
}

fn client_verifier(
    settings: &Settings,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    if settings.tls_auth_clients == TlsAuthClients::No {
        return Ok(None);
    }
    let file = read("tls-ca-cert-file", settings.tls_ca_cert_file.as_deref())?;
    let mut authorities = RootCertStore::empty();
    for certificate in file.certificates()? {
        authorities.add(certificate).map_err(|error| file.unusable(&error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider);
    let builder = match settings.tls_auth_clients {
        TlsAuthClients::Optional => builder.allow_unauthenticated(),
        TlsAuthClients::Yes | TlsAuthClients::No => builder,
    };
    builder.build().map(Some).map_err(|error| file.unusable(&error.to_string()))
}

fn read<'a>(setting: &'static str, path: Option<&'a Path>) -> Result<PemFile<'a>, String> {
    PemFile::read(setting, path.ok_or_else(|| format!("--tls-listen needs --{setting}"))?)
}
