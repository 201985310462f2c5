//! What stands behind a store: the directory, the redis-server, the three of a cluster, the S3 or the
//! DynamoDB. It outlives the server under test, which is killed and started again on it.
//!
//! `AFT_TEST_STORE` (embedded, redis, redis-cluster, s3, late-s3, dynamodb) says which one tests of a
//! durable server use.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::late;
use super::resp::Reply;
use super::server::{Options, Peer, Server, StartError};
use super::stores::{address, address_through};
use super::tls_front::Certificates;
use super::wait;

/// A cluster's nodes have to hear of each other first.
const CLUSTER_PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Embedded,
    Redis,
    RedisCluster,
    S3,
    /// One that lists late, and shows new objects late.
    LateS3,
    DynamoDb,
}

impl Kind {
    pub(crate) fn from_env() -> Self {
        match std::env::var("AFT_TEST_STORE").as_deref() {
            Ok("redis") => Self::Redis,
            Ok("redis-cluster") => Self::RedisCluster,
            Ok("s3") => Self::S3,
            Ok("late-s3") => Self::LateS3,
            Ok("dynamodb") => Self::DynamoDb,
            Ok("embedded") | Err(_) => Self::Embedded,
            Ok(other) => {
                panic!(
                    "AFT_TEST_STORE={other}: embedded, redis, redis-cluster, s3, late-s3 or dynamodb"
                )
            }
        }
    }
}

#[derive(Clone)]
pub(crate) struct Backing {
    store: String,
    servers: Arc<Mutex<Vec<Server>>>,
}

impl std::fmt::Debug for Backing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.store)
    }
}

impl Backing {
    /// Starts what a store of this kind needs; it keeps its data in `dir`.
    pub(crate) fn start(kind: Kind, dir: &Path) -> Self {
        match kind {
            Kind::Embedded => Self::of(format!("embedded:{}", dir.display()), Vec::new()),
            Kind::Redis => Self::redis(dir, &[]),
            Kind::RedisCluster => Self::cluster(dir, None),
            Kind::S3 => Self::s3(dir),
            Kind::LateS3 => {
                let there = Self::s3(dir);
                let store = address_through(&there, late::before(address(&there)));
                Self { store, ..there }
            }
            Kind::DynamoDb => Self::dynamodb(dir),
        }
    }

    /// One redis-server with further settings.
    pub(crate) fn redis(dir: &Path, extra: &[&str]) -> Self {
        std::fs::create_dir_all(dir).expect("a directory");
        let extra = extra.iter().map(|word| (*word).to_owned()).collect();
        let dir = Some(dir.to_owned());
        let server = Server::start(&Options { dir, extra, ..Options::new(Peer::Redis) });
        Self::of(format!("redis://{}", server.addr()), vec![server])
    }

    /// An S3 with one bucket.
    pub(crate) fn s3(dir: &Path) -> Self {
        Self::s3_of(Peer::MiniStack, dir)
    }

    /// The same of such a server.
    pub(crate) fn s3_of(peer: Peer, dir: &Path) -> Self {
        let (server, options) = Self::aws(peer, dir);
        assert_eq!(request(server.addr(), "PUT", "/aft-test", b"").0, 200, "a bucket");
        Self::of(format!("s3://aft-test/store?{options}"), vec![server])
    }

    /// A DynamoDB with one table.
    pub(crate) fn dynamodb(dir: &Path) -> Self {
        Self::dynamodb_of(Peer::MiniStack, dir)
    }

    /// The same of such a server.
    pub(crate) fn dynamodb_of(peer: Peer, dir: &Path) -> Self {
        let (server, options) = Self::aws(peer, dir);
        let backing = Self::of(format!("dynamodb://aft-test/store?{options}"), vec![server]);
        let words = ["store", "init", "--store", backing.store()];
        let made = Command::new(env!("CARGO_BIN_EXE_aft")).args(words).output().expect("aft");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        backing
    }

    pub(crate) fn dynamodb_without_table(dir: &Path) -> Self {
        let (server, options) = Self::aws(Peer::MiniStack, dir);
        Self::of(format!("dynamodb://aft-test/store?{options}"), vec![server])
    }

    /// The server, and what an address says of it.
    fn aws(peer: Peer, dir: &Path) -> (Server, String) {
        std::fs::create_dir_all(dir).expect("a directory");
        let credentials = dir.join("credentials");
        let lines = "[default]\naws_access_key_id = test\naws_secret_access_key = test\n";
        std::fs::write(&credentials, lines).expect("a file");
        let dir = Some(dir.to_owned());
        let server = Server::start(&Options { dir, ..Options::new(peer) });
        let options =
            format!("endpoint=http://{}&credentials={}", server.addr(), credentials.display());
        (server, options)
    }

    /// A cluster whose nodes talk over TLS, also among themselves, and want to see a certificate. Those
    /// who have none reach each on a port of its own, as tests do.
    pub(crate) fn tls_cluster(dir: &Path, certificates: &Certificates<'_>) -> Self {
        let Self { store, servers } = Self::cluster(dir, Some(certificates));
        let [ca, cert, key] = ["ca.crt", "client.crt", "client.key"]
            .map(|name| certificates.file(name).display().to_string());
        let store = store.replace("redis-cluster://", "rediss-cluster://");
        Self { store: format!("{store}?ca={ca}&cert={cert}&key={key}"), servers }
    }

    fn cluster(dir: &Path, certificates: Option<&Certificates<'_>>) -> Self {
        let start = |node: usize| ClusterNode::start(&dir.join(node.to_string()), certificates);
        let nodes: Vec<ClusterNode> = (0..3).map(start).collect();
        for (number, ClusterNode { server, port, bus }) in nodes.iter().enumerate() {
            let [first, last] = [number, number + 1].map(|node| node * 16_384 / 3);
            let slots = format!("CLUSTER ADDSLOTSRANGE {first} {}", last - 1);
            assert_eq!(server.client().cmd(&slots), Reply::ok());
            let meet = format!("CLUSTER MEET 127.0.0.1 {port} {bus}");
            assert_eq!(nodes[0].server.client().cmd(&meet), Reply::ok());
        }
        let addresses: Vec<String> =
            nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        let servers = nodes.into_iter().map(|node| node.server).collect();
        let backing = Self::of(format!("redis-cluster://{}", addresses.join(",")), servers);
        backing.wait_until_ready();
        backing
    }

    fn of(store: String, servers: Vec<Server>) -> Self {
        Self { store, servers: Arc::new(Mutex::new(servers)) }
    }

    /// For `--store`.
    pub(crate) fn store(&self) -> &str {
        &self.store
    }

    /// The servers behind it.
    pub(crate) fn servers(&self) -> MutexGuard<'_, Vec<Server>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it forces to its disk once a second; whether it knows such a thing.
    pub(crate) fn everysec(&self) -> bool {
        if !self.store.starts_with("redis") {
            return false;
        }
        for server in self.servers().iter() {
            let reply = server.client().cmd("CONFIG SET appendfsync everysec");
            assert_eq!(reply, Reply::ok());
        }
        true
    }

    /// As a crash of all of it.
    pub(crate) fn kill_9(&self) {
        self.servers().iter_mut().for_each(Server::kill_9);
    }

    /// Ends all of it, in a way after which it has what it has acknowledged: as a crash, but for the
    /// tables of MiniStack, which it writes to its disk when it ends in order, and only then.
    pub(crate) fn end(&self) {
        if !self.store.starts_with("dynamodb") {
            return self.kill_9();
        }
        for server in self.servers().iter_mut() {
            server.terminate();
        }
    }

    /// Starts it again, where it was.
    pub(crate) fn restart(&self) {
        self.servers().iter_mut().for_each(Server::restart_on_same_port);
        self.wait_until_ready();
    }

    fn wait_until_ready(&self) {
        if self.store.split_once(':').is_some_and(|(scheme, _)| scheme.ends_with("-cluster")) {
            for server in self.servers().iter() {
                wait::until("the cluster is whole", CLUSTER_PATIENCE, || {
                    let info = server.client().cmd("CLUSTER INFO").text().unwrap_or_default();
                    let whole = ["cluster_state:ok", "cluster_known_nodes:3"];
                    whole.iter().all(|line| info.contains(line)).then_some(())
                });
            }
        }
    }
}

/// A request without a signature; the status and the body of its answer.
pub(crate) fn request(addr: SocketAddr, method: &str, path: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).expect("a connection");
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {addr}\r\nContent-Length: {length}\r\n");
    let head = format!("{head}Content-Type: application/octet-stream\r\nConnection: close\r\n\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    (status.expect("a status"), body.expect("a body"))
}

/// One process of a cluster.
struct ClusterNode {
    server: Server,
    /// Where clients of the cluster find it.
    port: u16,
    /// Where the others of the cluster do.
    bus: u16,
}

impl ClusterNode {
    fn start(dir: &Path, certificates: Option<&Certificates<'_>>) -> Self {
        std::fs::create_dir_all(dir).expect("a directory");
        // Another process may be quicker.
        let tries = (0..5).map(|_| Self::try_start(dir, certificates));
        let mut tries = tries.skip_while(Result::is_err);
        tries.next().expect("a start on free ports").expect("just looked")
    }

    fn try_start(dir: &Path, certificates: Option<&Certificates<'_>>) -> Result<Self, StartError> {
        // All at once, or they might be the same.
        let listeners = [0; 3].map(|_| TcpListener::bind(("127.0.0.1", 0)).expect("a free port"));
        let [plain, bus, tls] =
            listeners.map(|listener| listener.local_addr().expect("its address").port());
        let settings =
            format!("--cluster-enabled yes --cluster-node-timeout 2000 --cluster-port {bus}");
        let mut extra: Vec<String> = settings.split(' ').map(str::to_owned).collect();
        if let Some(certificates) = certificates {
            extra.extend(certificates.of_redis(tls));
            extra.extend(["--tls-cluster", "yes"].map(str::to_owned));
        }
        let dir = Some(dir.to_owned());
        let options = Options { dir, port: plain, extra, ..Options::new(Peer::Redis) };
        let server = Server::try_start(&options)?;
        Ok(Self { server, port: certificates.map_or(plain, |_| tls), bus })
    }
}
