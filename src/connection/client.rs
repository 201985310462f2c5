//! A connection to another server, as its client: blocking, for commands that do nothing else.

mod address;
mod trust;

pub use address::ServerAddress;
pub use trust::Trust;

use crate::resp::Reply;
use crate::resp::incoming::read_reply;
use std::fmt;
use std::io::{self, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long a server may take to be there, and how long to say anything.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

/// A connection.
pub struct Client {
    /// Of the server, as errors tell it.
    address: String,
    reader: BufReader<Box<dyn Stream>>,
    unsent: Vec<u8>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.address)
    }
}

impl Client {
    /// Connects, and says who we are; `trust` is for a server with TLS.
    ///
    /// # Errors
    /// The server is not there, is another, or refuses us. All errors name the server.
    pub fn connect(address: &ServerAddress, trust: &Trust) -> io::Result<Self> {
        /// Replies come in large pieces.
        const BUFFER_BYTES: usize = 256 << 10;
        let stream = open(address, trust).map_err(|error| about(address, error))?;
        let reader = BufReader::with_capacity(BUFFER_BYTES, stream);
        let mut client = Self { address: address.to_string(), reader, unsent: Vec::new() };
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
        self.unsent.extend_from_slice(format!("*{}\r\n", command.len()).as_bytes());
        for argument in command {
            self.begin_argument(argument);
            self.unsent.extend_from_slice(argument);
            self.unsent.extend_from_slice(b"\r\n");
        }
    }

    fn begin_argument(&mut self, argument: &[u8]) {
        self.unsent.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
    }

    /// Sends what was queued and a command behind it, of which no argument is copied.
    ///
    /// # Errors
    /// The connection failed.
    pub fn send_at_once(&mut self, command: &[&[u8]]) -> io::Result<()> {
        self.unsent.extend_from_slice(format!("*{}\r\n", command.len()).as_bytes());
        for argument in command {
            self.begin_argument(argument);
            self.send()?;
            let sent = self.reader.get_mut().write_all(argument);
            sent.map_err(|error| about(&self.address, error))?;
            self.unsent.extend_from_slice(b"\r\n");
        }
        self.send()
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

fn about(address: impl fmt::Display, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{address}: {error}"))
}

fn open(address: &ServerAddress, trust: &Trust) -> io::Result<Box<dyn Stream>> {
    let stream = connect_any(&address.host, address.port)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
    Ok(match address.tls {
        true => Box::new(trust.encrypt(&address.host, stream)?),
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
