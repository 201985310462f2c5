//! TLS in front of a server that has none, with certificates of a private authority.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The certificates of `tests/tls`.
pub(crate) struct Certificates<'d>(&'d Path);

impl<'d> Certificates<'d> {
    pub(crate) fn make(dir: &'d Path) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/make_certificates");
        let made = Command::new("bash").arg(script).arg(dir).output().expect("bash");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self(dir)
    }

    /// One of the files: `server.crt`.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The settings of a redis-server that serves on this port over TLS, too, and wants to see a
    /// certificate. To others of its kind it shows that of a client.
    pub(crate) fn of_redis(&self, port: u16) -> Vec<String> {
        let files = [
            ("cert-file", "server.crt"),
            ("key-file", "server.key"),
            ("client-cert-file", "client.crt"),
            ("client-key-file", "client.key"),
            ("ca-cert-file", "ca.crt"),
        ];
        let file =
            |(setting, name)| [format!("--tls-{setting}"), self.file(name).display().to_string()];
        let settings = format!("--tls-port {port} --tls-auth-clients yes");
        let settings = settings.split(' ').map(str::to_owned);
        settings.chain(files.into_iter().flat_map(file)).collect()
    }

    fn of_server(&self) -> ServerConfig {
        let chain = CertificateDer::pem_file_iter(self.file("server.crt")).expect("a file");
        let chain: Vec<_> = chain.collect::<Result<_, _>>().expect("certificates");
        let key = PrivateKeyDer::from_pem_file(self.file("server.key")).expect("a key");
        let provider = Arc::new(ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions().expect("versions");
        config.with_no_client_auth().with_single_cert(chain, key).expect("that they match")
    }
}

/// Its port, of `localhost`. It is there until the tests end.
pub(crate) fn before(server: SocketAddr, certificates: &Certificates<'_>) -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.set_nonblocking(true).expect("a socket");
    let port = listener.local_addr().expect("its address").port();
    let acceptor = TlsAcceptor::from(Arc::new(certificates.of_server()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.expect("a runtime");
    std::thread::spawn(move || {
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).expect("a socket");
            while let Ok((client, _)) = listener.accept().await {
                // Whoever hangs up in the middle is done.
                tokio::spawn(carry(client, server, acceptor.clone()));
            }
        });
    });
    port
}

async fn carry(client: TcpStream, server: SocketAddr, acceptor: TlsAcceptor) -> Option<()> {
    let mut client = acceptor.accept(client).await.ok()?;
    let mut server = TcpStream::connect(server).await.ok()?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await.ok()?;
    Some(())
}
