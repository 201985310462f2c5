//! The connection to a Redis, which comes back by itself.
//!
//! One connection carries all requests, one behind the other. When it fails, or a request on it
//! has been given up without an answer, it is *in doubt*: the next request makes a new one. So
//! a peer that vanished without a word costs one attempt, not the minutes in which TCP would
//! notice. Nothing is sent twice here; who asks decides whether to ask again.

use crate::config::RedisAddress;
use crate::storage::fault::Fault;
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, SingleNodeRoutingInfo, SlotAddr};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo,
    IntoConnectionInfo, Pipeline, ProtocolVersion, RedisConnectionInfo, RedisError,
    TlsCertificates, Value, cmd,
};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;

/// A way to a Redis.
pub(super) struct Link {
    target: Target,
    connect_timeout: Duration,
    current: Mutex<Current>,
    /// Connections up to this number are in doubt.
    doubted: AtomicU64,
    /// A key and its value that a new connection has to find.
    landmark: Option<(String, Vec<u8>)>,
}

enum Target {
    One(Box<Client>),
    Cluster(Box<ClusterClient>),
}

#[derive(Default)]
struct Current {
    /// Counts the connections, from 1.
    number: u64,
    connection: Option<Connection>,
}

#[derive(Clone)]
enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// Doubts a connection, unless it is told that all went well.
struct Doubt<'l> {
    link: &'l Link,
    number: u64,
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        self.link.doubted.fetch_max(self.number, Ordering::AcqRel);
    }
}

impl Link {
    /// Not connected yet. The message of an error says what is wrong with the address.
    pub(super) fn new(address: &RedisAddress, attempt_timeout: Duration) -> Result<Self, String> {
        let connect_timeout = attempt_timeout * 2 / 3;
        let said = |error: RedisError| error.to_string();
        let certificates = certificates(address)?;
        let target = if address.cluster {
            let mut builder = ClusterClient::builder(infos(address).map_err(said)?)
                .use_protocol(ProtocolVersion::RESP2)
                .connection_timeout(connect_timeout)
                // Whoever has waited long enough drops the request, and with it the connection.
                .response_timeout(Duration::MAX)
                .tcp_settings(TcpSettings::default().set_nodelay(true))
                // For redirections; everything else is tried again by who asks.
                .retries(3);
            if address.tls {
                builder = builder.certs(certificates);
            }
            Target::Cluster(Box::new(builder.build().map_err(said)?))
        } else {
            let info = infos(address).map_err(said)?.remove(0);
            Target::One(Box::new(match address.tls {
                true => Client::build_with_tls(info, certificates).map_err(said)?,
                false => Client::open(info).map_err(said)?,
            }))
        };
        let (current, doubted) = (Mutex::default(), AtomicU64::new(0));
        Ok(Self { target, connect_timeout, current, doubted, landmark: None })
    }

    /// From now on a new connection that doesn't find this value there is not to ours.
    pub(super) fn must_find(&mut self, key: String, value: Vec<u8>) {
        self.landmark = Some((key, value));
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.target, Target::Cluster(_))
    }

    /// Sends commands to where `key` is, in one go; one reply for each, errors among them.
    pub(super) async fn ask(&self, key: String, commands: Vec<Cmd>) -> Result<Vec<Value>, Fault> {
        let (number, mut connection) = self.connection().await?;
        // Until the answer is there, also if nobody waits for it any more.
        let doubt = Doubt { link: self, number };
        let replies = connection.ask(&key, commands).await?;
        if !replies.iter().any(calls_for_a_new_connection) {
            std::mem::forget(doubt);
        }
        Ok(replies)
    }

    /// The present connection, or a new one if that is in doubt.
    async fn connection(&self) -> Result<(u64, Connection), Fault> {
        let mut current = self.current.lock().await;
        if let Some(connection) = &current.connection
            && current.number > self.doubted.load(Ordering::Acquire)
        {
            return Ok((current.number, connection.clone()));
        }
        current.connection = None;
        let connecting = async {
            let mut connection = self.connect().await?;
            self.look_for_landmark(&mut connection).await?;
            Ok::<_, Fault>(connection)
        };
        let connected = tokio::time::timeout(self.connect_timeout, connecting).await;
        let connection =
            connected.map_err(|_| Fault::Passing("no connection in time".to_owned()))??;
        current.number += 1;
        current.connection = Some(connection.clone());
        Ok((current.number, connection))
    }

    async fn connect(&self) -> Result<Connection, RedisError> {
        Ok(match &self.target {
            Target::One(client) => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(self.connect_timeout))
                    .set_response_timeout(None);
                let connecting = client.get_multiplexed_async_connection_with_config(&config);
                Connection::One(connecting.await?)
            }
            Target::Cluster(client) => Connection::Cluster(client.get_async_connection().await?),
        })
    }

    async fn look_for_landmark(&self, connection: &mut Connection) -> Result<(), Fault> {
        let Some((key, value)) = &self.landmark else {
            return Ok(());
        };
        match connection.ask(key, vec![cmd("GET").arg(key).take()]).await?.pop() {
            Some(Value::BulkString(found)) if found == *value => Ok(()),
            Some(Value::ServerError(error)) => Err(Fault::from(&error)),
            _ => Err(Fault::Foreign(
                "this Redis does not hold the data that this node has written: it was emptied, \
                 restarted without anything on its disk, or is another one"
                    .to_owned(),
            )),
        }
    }
}

impl Connection {
    async fn ask(&mut self, key: &str, commands: Vec<Cmd>) -> Result<Vec<Value>, RedisError> {
        let count = commands.len();
        let mut pipeline = Pipeline::with_capacity(count);
        for command in commands {
            pipeline.add_command(command);
        }
        match self {
            Self::One(connection) => connection.send_packed_commands(&pipeline, 0, count).await,
            Self::Cluster(connection) => {
                let route = Route::with_key(key, SlotAddr::Master);
                let route = SingleNodeRoutingInfo::SpecificNode(route);
                connection.route_pipeline(pipeline, 0, count, route).await
            }
        }
    }
}

/// The server has become a replica, or wants to know who we are: only a new connection can find
/// the new primary, or say so.
fn calls_for_a_new_connection(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error) if ["READONLY", "NOAUTH"].contains(&error.code()))
}

fn infos(address: &RedisAddress) -> Result<Vec<ConnectionInfo>, RedisError> {
    let mut redis = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP2)
        .set_db(i64::from(address.database))
        .set_skip_set_lib_name();
    if let Some(user) = &address.user {
        redis = redis.set_username(user);
    }
    if let Some(password) = &address.password {
        redis = redis.set_password(password.expose());
    }
    let node = |(host, port): &(String, u16)| {
        let (host, port) = (host.clone(), *port);
        let addr = match address.tls {
            true => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
            false => ConnectionAddr::Tcp(host, port),
        };
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = addr.into_connection_info()?;
        Ok(info.set_tcp_settings(tcp).set_redis_settings(redis.clone()))
    };
    address.nodes.iter().map(node).collect()
}

fn certificates(address: &RedisAddress) -> Result<TlsCertificates, String> {
    let read = |file: &Path| {
        fs::read(file).map_err(|error| format!("can't read {}: {error}", file.display()))
    };
    let root_cert = address.ca_file.as_deref().map(read).transpose()?;
    let client_tls = match (&address.cert_file, &address.key_file) {
        (Some(cert), Some(key)) => {
            Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? })
        }
        _ => None,
    };
    Ok(TlsCertificates { client_tls, root_cert })
}
