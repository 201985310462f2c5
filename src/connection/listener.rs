//! Listening: addresses are taken first, so that a port in use is found before the store
//! is opened, and served once there is something to serve.

use super::serve;
use crate::config::ListenAddress;
use crate::server::Server;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connections that wait to be accepted, as in Redis (its `tcp-backlog` is 511, and the
/// system has the last word).
const BACKLOG: u32 = 1024;

/// Addresses taken, and not yet served.
#[derive(Debug)]
pub struct Bound(Vec<TcpSocket>);

impl Bound {
    /// Takes addresses.
    ///
    /// # Errors
    /// A message that names the address and what is wrong with it.
    pub fn to(addresses: &[ListenAddress]) -> Result<Self, String> {
        let mut sockets = Vec::new();
        for address in addresses {
            let failed = |error: io::Error| {
                format!("can't listen on {}:{}: {error}", address.host, address.port)
            };
            let host = address.host.trim_start_matches('[').trim_end_matches(']');
            for address in (host, address.port).to_socket_addrs().map_err(failed)? {
                sockets.push(bind(address).map_err(failed)?);
            }
        }
        Ok(Self(sockets))
    }

    /// Lets clients connect; they wait until they are accepted.
    ///
    /// # Errors
    /// As for [`Bound::to`]: the system finds some addresses in use only now.
    pub fn listen(self) -> Result<Vec<Listener>, String> {
        let listen = |socket: TcpSocket| {
            let address = socket.local_addr().map_err(|error| error.to_string())?;
            let failed = |error| format!("can't listen on {address}: {error}");
            Ok(Listener { address, listener: socket.listen(BACKLOG).map_err(failed)? })
        };
        self.0.into_iter().map(listen).collect()
    }
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
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    if let Err(error) = prepare(&server, &stream) {
                        tracing::debug!(%error, "a socket option could not be set");
                    }
                    tokio::spawn(admit(Arc::clone(&server), stream, peer));
                }
                Err(error) => {
                    tracing::warn!(%error, "can't accept a connection");
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

async fn admit(server: Arc<Server>, mut stream: TcpStream, peer: SocketAddr) {
    let local = stream.local_addr().map_or_else(|_| String::new(), |local| local.to_string());
    match server.connect(peer.to_string(), local) {
        Some(client) => serve(server, stream, client).await,
        None => {
            // Whether the refused client reads it is its own affair.
            let _ = stream.write_all(b"-ERR max number of clients reached\r\n").await;
        }
    }
}
