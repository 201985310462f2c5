//! A connection to another server, as its client: blocking, for commands that do nothing else.

use crate::resp::Reply;
use crate::resp::incoming::read_reply;
use std::fmt;
use std::io::{self, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// How long a server may take to be there, and how long to say anything.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Where the system keeps the authorities it trusts (Debian, Alpine; Fedora).
const SYSTEM_AUTHORITIES: [&str; 2] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"];

/// Where a server is, and who we are there.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerAddress {
    user: Option<String>,
    password: Option<String>,
    host: String,
    port: u16,
    /// One database, if one was named.
    pub database: Option<u32>,
    tls: bool,
    /// What stands behind a question mark: options of client libraries.
    query: String,
}

impl ServerAddress {
    /// Takes a password, unless the address came with one.
    #[must_use]
    pub fn or_password(mut self, password: Option<String>) -> Self {
        self.password = self.password.or(password);
        self
    }

    /// The same as a URL, for whoever is to work in a transaction and needs to know nothing else:
    /// its token stands behind the user's name.
    pub fn url_inside(&self, token: &str) -> String {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let user = encoded(self.user.as_deref().unwrap_or("default"));
        // Libraries drop a user without a password; where none is asked for, any is right.
        let password = encoded(self.password.as_deref().unwrap_or("x"));
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        let database = self.database.map_or(String::new(), |number| number.to_string());
        let query = if self.query.is_empty() { "" } else { "?" };
        format!(
            "{scheme}://{user}~{token}:{password}@{host}:{}/{database}{query}{}",
            self.port, self.query
        )
    }
}

impl FromStr for ServerAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (tls, rest) = match text.split_once("://") {
            Some(("redis", rest)) => (false, rest),
            Some(("rediss", rest)) => (true, rest),
            _ => return Err("use redis://[user:password@]host[:port][/database]".to_owned()),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, place) = rest.rsplit_once('@').map_or((None, rest), |(l, p)| (Some(l), p));
        let (place, database) = place.split_once('/').map_or((place, ""), |(p, db)| (p, db));
        let database = match database {
            "" => None,
            number => Some(number.parse().map_err(|_| format!("'{number}' is no database"))?),
        };
        // An IPv6 address stands in brackets.
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| format!("'{port}' is no port"))?)
            }
            _ => (place, 6379),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err("no host is named".to_owned());
        }
        let (user, password) = match login.map(|login| login.split_once(':')) {
            Some(Some((user, password))) => (decoded(user)?, decoded(password)?),
            Some(None) => (decoded(login.unwrap_or_default())?, None),
            None => (None, None),
        };
        Ok(Self { user, password, host, port, database, tls, query: query.to_owned() })
    }
}

/// Without percent signs; `None` if it is empty.
fn decoded(text: &str) -> Result<Option<String>, String> {
    let mut bytes = Vec::new();
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let code = part.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        bytes.push(code.ok_or("a percent sign in a user or password is written %25")?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    let text = String::from_utf8(bytes).map_err(|_| "user and password are UTF-8".to_owned())?;
    Ok((!text.is_empty()).then_some(text))
}

/// With percent signs, where a URL needs them.
fn encoded(text: &str) -> String {
    let mut url = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                url.push(char::from(byte));
            }
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

/// Without the password.
impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// A connection.
pub struct Client {
    address: ServerAddress,
    reader: BufReader<Box<dyn Stream>>,
    unsent: Vec<u8>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.address)
    }
}

impl Client {
    /// Connects, and says who we are. `authorities` are those who may vouch for a server with
    /// TLS, in PEM; if none are named, those that the system trusts.
    ///
    /// # Errors
    /// The server is not there, is another, or refuses us. All errors name the server.
    pub fn connect(address: &ServerAddress, authorities: Option<&Path>) -> io::Result<Self> {
        /// Replies come in large pieces.
        const BUFFER_BYTES: usize = 256 << 10;
        let stream = open(address, authorities).map_err(|error| about(address, error))?;
        let reader = BufReader::with_capacity(BUFFER_BYTES, stream);
        let mut client = Self { address: address.clone(), reader, unsent: Vec::new() };
        let (user, password) = (address.user.as_deref(), address.password.as_deref());
        match (user, password) {
            (None, None) => {}
            (None, Some(password)) => client.expect_ok(&[b"AUTH", password.as_bytes()])?,
            (Some(user), Some(password)) => {
                client.expect_ok(&[b"AUTH", user.as_bytes(), password.as_bytes()])?;
            }
            (Some(_), None) => {
                let why = io::Error::other("a user is named without a password");
                return Err(about(address, why));
            }
        }
        Ok(client)
    }

    /// Adds a command to what is sent next.
    pub fn queue(&mut self, command: &[&[u8]]) {
        let out = &mut self.unsent;
        out.extend_from_slice(format!("*{}\r\n", command.len()).as_bytes());
        for argument in command {
            out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            out.extend_from_slice(argument);
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Sends what was queued.
    ///
    /// # Errors
    /// The connection failed.
    pub fn send(&mut self) -> io::Result<()> {
        let stream = self.reader.get_mut();
        let sent = stream.write_all(&self.unsent).and_then(|()| stream.flush());
        self.unsent.clear();
        sent.map_err(|error| about(&self.address, error))
    }

    /// The next reply.
    ///
    /// # Errors
    /// The connection failed, or the server says what is no reply.
    pub fn read(&mut self) -> io::Result<Reply> {
        read_reply(&mut self.reader).map_err(|error| {
            let late = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
            let error = match late {
                true => io::Error::other(format!("no answer in {} s", ANSWER_TIMEOUT.as_secs())),
                false => error,
            };
            about(&self.address, error)
        })
    }

    /// One command, one reply.
    ///
    /// # Errors
    /// As for [`Self::send`] and [`Self::read`].
    pub fn call(&mut self, command: &[&[u8]]) -> io::Result<Reply> {
        self.queue(command);
        self.send()?;
        self.read()
    }

    /// One command that has to be answered with OK.
    ///
    /// # Errors
    /// As for [`Self::call`], or the server says something else.
    pub fn expect_ok(&mut self, command: &[&[u8]]) -> io::Result<()> {
        match self.call(command)? {
            Reply::Ok => Ok(()),
            reply => Err(self.unexpected(command[0], &reply)),
        }
    }

    /// The reply to a command was none that it may have; an error is told as the server says it.
    pub fn unexpected(&self, command: &[u8], reply: &Reply) -> io::Error {
        let command = command.escape_ascii();
        let why = match reply {
            Reply::Error(line) => {
                format!("{command}: {}", String::from_utf8_lossy(line.as_bytes()))
            }
            _ => format!("the reply to {command} is not what it should be"),
        };
        about(&self.address, io::Error::other(why))
    }
}

fn about(address: &ServerAddress, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{address}: {error}"))
}

fn open(address: &ServerAddress, authorities: Option<&Path>) -> io::Result<Box<dyn Stream>> {
    let stream = connect_any(&address.host, address.port)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    Ok(match address.tls {
        true => Box::new(encrypted(&address.host, stream, authorities)?),
        false => Box::new(stream),
    })
}

fn connect_any(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failed = io::Error::other("no address of that name");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn encrypted(
    host: &str,
    stream: TcpStream,
    authorities: Option<&Path>,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let known = SYSTEM_AUTHORITIES.map(PathBuf::from).into_iter().find(|path| path.exists());
    let path = authorities.map(Path::to_path_buf).or(known);
    let path = path.ok_or_else(|| io::Error::other("whom to trust? name --tls-ca-cert-file"))?;
    let bad = |why: String| io::Error::other(format!("{}: {why}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&path).map_err(|e| bad(e.to_string()))? {
        let certificate = certificate.map_err(|error| bad(error.to_string()))?;
        // A system's list may hold what nobody understands any more.
        let added = roots.add(certificate);
        if authorities.is_some() {
            added.map_err(|error| bad(error.to_string()))?;
        }
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(session, stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_client_libraries_do() {
        let plain: ServerAddress = "redis://db.example".parse().unwrap();
        assert_eq!((&*plain.host, plain.port, plain.database), ("db.example", 6379, None));
        let full: ServerAddress = "rediss://me:p%40ss:w@[::1]:7000/3".parse().unwrap();
        assert_eq!((&*full.host, full.port, full.database), ("::1", 7000, Some(3)));
        assert_eq!((full.user.as_deref(), full.password.as_deref()), (Some("me"), Some("p@ss:w")));
        assert!(full.tls && full.to_string() == "rediss://::1:7000", "{full}");
        let default: ServerAddress = "redis://:secret@h/".parse().unwrap();
        assert_eq!((default.user, default.password.as_deref()), (None, Some("secret")));
        let options: ServerAddress = "redis://h/2?protocol=3".parse().unwrap();
        assert_eq!((&*options.host, options.database), ("h", Some(2)));
        for bad in ["h:1", "http://h", "redis://", "redis://h:x", "redis://h/a", "redis://%zz@h"] {
            assert!(bad.parse::<ServerAddress>().is_err(), "{bad}");
        }
    }
    #[test]
    fn a_url_tells_of_the_transaction_and_of_all_that_it_told_before() {
        for (given, inside) in [
            ("redis://h", "redis://default~T:x@h:6379/"),
            ("redis://:p%40ss@h:1/3", "redis://default~T:p%40ss@h:1/3"),
            ("rediss://a%20b:w@[::1]/?x=y", "rediss://a%20b~T:w@[::1]:6379/?x=y"),
        ] {
            let address: ServerAddress = given.parse().unwrap();
            assert_eq!(address.url_inside("T"), inside);
            assert_eq!(
                inside.parse::<ServerAddress>().unwrap().url_inside("U"),
                inside.replace("~T", "~T~U")
            );
        }
    }
}
