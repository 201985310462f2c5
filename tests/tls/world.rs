//! Certificates, and servers that use them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::client::{TlsClient, Version};
use crate::common::server::{Options, Peer, Server};
use crate::common::temp_dir::TempDir;
use crate::common::wait::{self, PATIENCE};

/// What `make_certificates` makes, for one test.
pub(crate) struct Certificates(TempDir);

impl Certificates {
    pub(crate) fn new() -> Self {
        let dir = TempDir::named("certificates");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/make_certificates");
        let made = Command::new("bash").arg(script).arg(dir.path()).output().expect("bash");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self(dir)
    }

    pub(crate) fn dir(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn name(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// The settings of a server with these certificates.
    pub(crate) fn settings(&self, auth: &str) -> Vec<String> {
        let files = [("cert", "server.crt"), ("key", "server.key"), ("ca-cert", "ca.crt")];
        let files = files.map(|(what, name)| [format!("--tls-{what}-file"), self.name(name)]);
        let auth = ["--tls-auth-clients".to_owned(), auth.to_owned()];
        files.into_iter().chain([auth]).flatten().collect()
    }
}

/// A server with a TLS port.
pub(crate) struct TlsServer {
    pub(crate) server: Server,
    pub(crate) addr: SocketAddr,
    pub(crate) certificates: Certificates,
}

impl TlsServer {
    pub(crate) fn start(auth: &str) -> Self {
        Self::start_with(auth, Options::memory())
    }

    pub(crate) fn start_with(auth: &str, mut options: Options) -> Self {
        let certificates = Certificates::new();
        options.extra.extend(certificates.settings(auth));
        let (server, addr) = match options.peer {
            Peer::Aft => {
                let listen = ["--tls-listen", "127.0.0.1:0"].map(str::to_owned);
                options.extra.extend(listen);
                let server = Server::start(&options);
                let addr = wait::until("the TLS address", PATIENCE, || announced(&server));
                (server, addr)
            }
            Peer::Redis | Peer::MiniStack | Peer::Moto => {
                let port = free_port();
                options.extra.extend(["--tls-port".to_owned(), port.to_string()]);
                (Server::start(&options), SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
            }
        };
        Self { server, addr, certificates }
    }

    /// A client with the certificate that the server wants.
    pub(crate) fn client(&self) -> TlsClient {
        self.client_as(Some("client"))
    }

    pub(crate) fn client_as(&self, who: Option<&str>) -> TlsClient {
        TlsClient::connect(self.addr, &self.certificates, who, Version::Any).expect("a connection")
    }
}

/// The address of the second `listening` line.
fn announced(server: &Server) -> Option<SocketAddr> {
    let lines = server.stdout();
    lines.iter().find_map(|line| line.strip_prefix("listening  tls ")?.parse().ok())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

pub(crate) fn is_aft() -> bool {
    Peer::under_test() == Peer::Aft
}
