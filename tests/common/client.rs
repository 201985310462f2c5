//! A blocking client that does exactly what it is told: no reconnects, no resends, no hidden
//! commands. Every read has a deadline, so a server that hangs fails the test instead of it.

use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::resp::{self, Reply};

const REPLY_DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Client {
    reader: BufReader<TcpStream>,
    out: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, REPLY_DEADLINE)?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    /// Over a connection that somebody else has made.
    pub(crate) fn over(stream: TcpStream) -> Self {
        let deadline = Some(REPLY_DEADLINE);
        stream.set_read_timeout(deadline).expect("a deadline");
        stream.set_write_timeout(deadline).expect("a deadline");
        Self { reader: BufReader::new(stream), out: Vec::new() }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    /// The buffered reading side, for replies too large to hold.
    pub(crate) fn reader(&mut self) -> &mut BufReader<TcpStream> {
        &mut self.reader
    }

    /// One command, one reply. Panics when the connection fails: for servers that should be up.
    pub(crate) fn run<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Reply {
        self.call(args).unwrap_or_else(|error| panic!("{}: {error}", show(args)))
    }

    /// A command written as words.
    pub(crate) fn cmd(&mut self, words: &str) -> Reply {
        self.run(&words.split_whitespace().collect::<Vec<_>>())
    }

    /// One command, one reply, on a connection that may die.
    pub(crate) fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Reply> {
        self.queue(args);
        self.flush()?;
        self.read()
    }

    /// Adds a command to the next `flush`.
    pub(crate) fn queue<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        resp::encode(args, &mut self.out);
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let out = std::mem::take(&mut self.out);
        self.send_raw(&out)
    }

    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    pub(crate) fn read(&mut self) -> io::Result<Reply> {
        resp::read_reply(&mut self.reader)
    }

    /// Reads to the end of the connection: `Ok` with what still came, an error if it stays open.
    pub(crate) fn read_to_close(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Ok(_) => Ok(rest),
            Err(error) if is_closed(&error) => Ok(rest),
            Err(error) => Err(error),
        }
    }

    /// Two handles on one connection, to write and read at once.
    pub(crate) fn split(self) -> io::Result<(TcpStream, BufReader<TcpStream>)> {
        Ok((self.reader.get_ref().try_clone()?, self.reader))
    }
}

/// A field of INFO that is a number.
pub(crate) fn info(client: &mut Client, field: &str) -> u64 {
    info_text(client, field).parse().expect("a number")
}

/// A field of INFO.
pub(crate) fn info_text(client: &mut Client, field: &str) -> String {
    let text = client.cmd("INFO").text().expect("INFO is a text");
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {field}:\n{text}")).trim_end().to_owned()
}

/// The connection is over, by whichever of TCP's ways.
pub(crate) fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::ConnectionRefused
    )
}

pub(crate) fn show<A: AsRef<[u8]>>(args: &[A]) -> String {
    let words = args.iter().map(|arg| {
        let arg = arg.as_ref();
        let shown = arg[..arg.len().min(60)].escape_ascii().to_string();
        if arg.len() > 60 { format!("{shown}… ({} bytes)", arg.len()) } else { shown }
    });
    words.collect::<Vec<_>>().join(" ")
}
