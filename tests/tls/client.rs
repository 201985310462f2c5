//! A blocking client over TLS that does exactly what it is told.

use std::io::{self, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::common::resp::{Reply, encode, read_reply};
use crate::world::Certificates;

const REPLY_DEADLINE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Any,
    Tls12,
    Tls13,
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

pub(crate) struct TlsClient {
    reader: BufReader<Stream>,
    out: Vec<u8>,
}

impl TlsClient {
    /// Connects as `who` (a name of `make_certificates`); the handshake happens with the first
    /// bytes.
    pub(crate) fn connect(
        addr: SocketAddr,
        certificates: &Certificates,
        who: Option<&str>,
        version: Version,
    ) -> io::Result<Self> {
        let socket = TcpStream::connect_timeout(&addr, REPLY_DEADLINE)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(REPLY_DEADLINE))?;
        socket.set_write_timeout(Some(REPLY_DEADLINE))?;
        let stream = StreamOwned::new(connection(certificates, who, version), socket);
        Ok(Self { reader: BufReader::new(stream), out: Vec::new() })
    }

    pub(crate) fn tls(&self) -> &ClientConnection {
        &self.reader.get_ref().conn
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.reader.get_ref().sock
    }

    pub(crate) fn cmd(&mut self, words: &str) -> Reply {
        self.run(&words.split_whitespace().collect::<Vec<_>>())
    }

    #[track_caller]
    pub(crate) fn run<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Reply {
        self.call(args).expect("a reply")
    }

    pub(crate) fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Reply> {
        self.queue(args);
        self.flush()?;
        self.read()
    }

    pub(crate) fn queue<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        encode(args, &mut self.out);
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let out = std::mem::take(&mut self.out);
        let stream = self.reader.get_mut();
        stream.write_all(&out)?;
        stream.flush()
    }

    pub(crate) fn read(&mut self) -> io::Result<Reply> {
        read_reply(&mut self.reader)
    }

    /// What still comes before the server says goodbye; an error if the connection just ends.
    pub(crate) fn read_to_goodbye(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest)?;
        Ok(rest)
    }

    /// Says that nothing more will come, and goes on listening.
    pub(crate) fn say_goodbye(&mut self) {
        let stream = self.reader.get_mut();
        stream.conn.send_close_notify();
        stream.flush().expect("an open connection");
    }

    /// Hangs up without a word of TLS, as many clients do, and goes on listening.
    pub(crate) fn hang_up(&mut self) {
        self.socket().shutdown(Shutdown::Write).expect("an open connection");
    }
}

fn connection(
    certificates: &Certificates,
    who: Option<&str>,
    version: Version,
) -> ClientConnection {
    let read = |name: &str| CertificateDer::from_pem_file(certificates.path(name));
    let mut roots = RootCertStore::empty();
    roots.add(read("ca.crt").expect("a certificate")).expect("an authority");
    let versions: &[_] = match version {
        Version::Any => &[&TLS13, &TLS12],
        Version::Tls12 => &[&TLS12],
        Version::Tls13 => &[&TLS13],
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions that there are")
        .with_root_certificates(roots);
    let config = match who {
        None => builder.with_no_client_auth(),
        Some(who) => {
            let key = PrivateKeyDer::from_pem_file(certificates.path(&format!("{who}.key")));
            let chain = vec![read(&format!("{who}.crt")).expect("a certificate")];
            builder.with_client_auth_cert(chain, key.expect("a key")).expect("a pair")
        }
    };
    let name = ServerName::IpAddress(Ipv4Addr::LOCALHOST.into());
    ClientConnection::new(Arc::new(config), name).expect("a client")
}
