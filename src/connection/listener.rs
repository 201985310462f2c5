//! Listening: addresses are taken first, so that a port in use is found before the store
//! is opened, and served once there is something to serve.

use super::serve;
use super::tls::{self, Tls};
use crate::config::{Listen, ListenAddress, Settings};
use crate::server::{Client, Server};
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connections that wait to be accepted, as in Redis (its `tcp-backlog` is 511, and the
/// system has the last word).
const BACKLOG: u32 = 1024;

/// Why addresses can't be taken: a message that names the address or the file and what is wrong
/// with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindError {
    /// Another process has an address.
    InUse(String),
    /// Anything else, which time doesn't mend.
    Wrong(String),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::InUse(why) | Self::Wrong(why)) = self;
        f.write_str(why)
    }
}

/// Addresses taken, and not yet served, with what those served with TLS need.
#[derive(Debug)]
pub struct Bound(Vec<(TcpSocket, Option<Tls>)>);

impl Bound {
    /// Takes the addresses of the settings, those without TLS first.
    ///
    /// # Errors
    /// An address can't be taken, or a file of TLS is wrong.
    pub fn to(settings: &Settings) -> Result<Self, BindError> {
        let tls = Tls::load(settings).map_err(BindError::Wrong)?;
        let mut bound = Vec::new();
        for address in settings.listen.addresses() {
            bound.extend(take(address)?.into_iter().map(|socket| (socket, None)));
        }
        for address in settings.tls_listen.iter().flat_map(Listen::addresses) {
            bound.extend(take(address)?.into_iter().map(|socket| (socket, tls.clone())));
        }
        Ok(Self(bound))
    }

    /// The addresses, for people: of a port that the system chose, the number.
    pub fn addresses(&self) -> String {
        let addresses = self.0.iter().filter_map(|(socket, _)| socket.local_addr().ok());
        let addresses: Vec<String> = addresses.map(|address| address.to_string()).collect();
        addresses.join(", ")
    }

    /// Lets clients connect; they wait until they are accepted.
    ///
    /// # Errors
    /// As for [`Bound::to`]: the system finds some addresses in use only now.
    pub fn listen(self) -> Result<Vec<Listener>, String> {
        let listen = |(socket, tls): (TcpSocket, Option<Tls>)| {
            let address = socket.local_addr().map_err(|error| error.to_string())?;
            let failed = |error| format!("can't listen on {address}: {error}");
            Ok(Listener { address, listener: socket.listen(BACKLOG).map_err(failed)?, tls })
        };
        self.0.into_iter().map(listen).collect()
    }
}

/// Takes an address, or several where its host has several.
fn take(address: &ListenAddress) -> Result<Vec<TcpSocket>, BindError> {
    let failed = |error: io::Error| {
        let why = format!("can't listen on {address}: {error}");
        match error.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse(why),
            _ => BindError::Wrong(why),
        }
    };
    let resolved = (address.host.as_str(), address.port).to_socket_addrs().map_err(failed)?;
    resolved.map(|address| bind(address).map_err(failed)).collect()
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // A restart need not wait for connections of its predecessor to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// An address that is served.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    listener: TcpListener,
    tls: Option<Tls>,
}

/// As it is announced: `127.0.0.1:6379`, `tls 127.0.0.1:6380`.
impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = if self.tls.is_some() { "tls " } else { "" };
        write!(f, "{tls}{}", self.address)
    }
}

impl Listener {
    /// The address, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections for ever and serves each in a task of its own.
    pub async fn accept(self, server: Arc<Server>) {
        /// After an error such as too many open files: time for others to close some.
        const PAUSE: Duration = Duration::from_millis(50);
        /// It may last, and nothing new is to be said twenty times a second.
        const SILENCE_MS: u64 = 10_000;
        let mut silent_until_ms = 0;
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    if let Err(error) = prepare(&server, &stream) {
                        tracing::debug!(%error, "a socket option could not be set");
                    }
                    // Before anything else runs: others may mean it already, by CLIENT KILL.
                    let place = Place::take(&server, &stream, peer);
                    let server = Arc::clone(&server);
                    match &self.tls {
                        None => tokio::spawn(admit(server, stream, place)),
                        Some(tls) => tokio::spawn(admit_tls(server, stream, place, tls.clone())),
                    };
                }
                Err(error) => {
                    let now_ms = server.uptime_ms();
                    if now_ms >= silent_until_ms {
                        silent_until_ms = now_ms + SILENCE_MS;
                        tracing::warn!(%error, "can't accept connections: they wait");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

fn prepare(server: &Server, stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = server.settings().tcp_keepalive_s;
    if keepalive > 0 {
        let after = Duration::from_secs(keepalive);
        // Three probes within as long again, as Redis does.
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(after)
            .with_interval(after.div_f64(3.0).max(Duration::from_secs(1)))
            .with_retries(3);
        socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
    }
    Ok(())
}

/// A place among the connected, given back at the end, however that comes.
struct Place {
    server: Arc<Server>,
    client: Arc<Client>,
}

impl Place {
    fn take(server: &Arc<Server>, stream: &TcpStream, peer: SocketAddr) -> Option<Self> {
        let local = stream.local_addr().map_or_else(|_| String::new(), |local| local.to_string());
        let client = server.connect(peer.to_string(), local)?;
        Some(Self { server: Arc::clone(server), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.server.disconnect(&self.client);
    }
}

async fn admit(server: Arc<Server>, mut stream: TcpStream, place: Option<Place>) {
    match place {
        Some(place) => serve(server, stream, Arc::clone(&place.client)).await,
        None => {
            // Whether the refused client reads it is its own affair.
            let _ = stream.write_all(b"-ERR max number of clients reached\r\n").await;
        }
    }
}

async fn admit_tls(server: Arc<Server>, stream: TcpStream, place: Option<Place>, tls: Tls) {
    // Who is one too many is told nothing, as in Redis: that would take the handshake that
    // there is no place for.
    let Some(place) = place else {
        return;
    };
    let Some(mut stream) = tls.handshake(&server, &place.client, stream).await else {
        return;
    };
    serve(server, &mut stream, Arc::clone(&place.client)).await;
    tls::close(&mut stream).await;
}
