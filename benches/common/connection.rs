//! A connection to a server, and what is done with one outside of a load.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Result;
use super::replies::{Reply, first_reply, skip_replies};
use super::requests::{key, write_command};

/// One connection and what has come back on it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) received: BytesMut,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: BytesMut::with_capacity(64 << 10) })
    }

    /// The next reply that has been received whole.
    pub(crate) fn take_reply(&mut self) -> Result<Option<Reply>> {
        let Some(reply) = first_reply(&self.received)? else {
            return Ok(None);
        };
        if let Some(error) = reply.error {
            return Err(format!("the server answered: {error}").into());
        }
        self.received.advance(reply.bytes);
        Ok(Some(reply))
    }

    /// Waits for a number of replies.
    pub(crate) async fn skip_replies(&mut self, count: usize) -> Result<()> {
        let mut missing = count;
        loop {
            let skipped = skip_replies(&self.received, &mut missing)?;
            self.received.advance(skipped);
            if missing == 0 {
                return Ok(());
            }
            self.receive().await?;
        }
    }

    /// Waits for a number of replies and adds up their integers.
    pub(crate) async fn read_replies(&mut self, count: usize) -> Result<i64> {
        let mut sum = 0;
        for _ in 0..count {
            sum += loop {
                if let Some(reply) = self.take_reply()? {
                    break reply.sum;
                }
                self.receive().await?;
            };
        }
        Ok(sum)
    }

    /// Sends a command, and waits for what it says: a bulk string, or the line of any other
    /// reply.
    pub(crate) async fn ask(&mut self, arguments: &[&[u8]]) -> Result<Option<Bytes>> {
        let mut out = Vec::new();
        write_command(&mut out, arguments);
        self.stream.write_all(&out).await?;
        self.read_text().await
    }

    /// The same, where the reply is a list of bulk strings.
    pub(crate) async fn ask_list(&mut self, arguments: &[&[u8]]) -> Result<Vec<Option<Bytes>>> {
        let mut out = Vec::new();
        write_command(&mut out, arguments);
        self.stream.write_all(&out).await?;
        self.read_list().await
    }

    /// Waits for a list of bulk strings.
    pub(crate) async fn read_list(&mut self) -> Result<Vec<Option<Bytes>>> {
        let head = loop {
            match self.received.iter().position(|&byte| byte == b'\n') {
                Some(end) if self.received.starts_with(b"*") => {
                    break self.received.split_to(end + 1);
                }
                Some(_) => return Err(format!("no list: {:?}", self.read_text().await?).into()),
                None => self.receive().await?,
            }
        };
        let count: usize = String::from_utf8_lossy(&head[1..]).trim().parse()?;
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(self.read_text().await?);
        }
        Ok(list)
    }

    /// Waits for a bulk string, or the line of any other reply.
    pub(crate) async fn read_text(&mut self) -> Result<Option<Bytes>> {
        let reply = loop {
            match first_reply(&self.received)? {
                Some(reply) => break reply,
                None => self.receive().await?,
            }
        };
        if let Some(error) = reply.error {
            return Err(format!("the server answered: {error}").into());
        }
        let whole = self.received.split_to(reply.bytes).freeze();
        if reply.nil {
            return Ok(None);
        }
        let line = whole.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let from = if whole.starts_with(b"$") { line } else { 1 };
        Ok(Some(whole.slice(from..whole.len() - 2)))
    }

    async fn receive(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err("the server closed the connection".into()),
            _ => Ok(()),
        }
    }
}

/// Has a server run numbered commands, from 0 to below `count`, on a few connections. Each
/// answers with one reply that is no error.
pub(crate) async fn run_numbered(
    address: SocketAddr,
    count: u64,
    write: impl Fn(u64, &mut Vec<u8>) + Clone + Send + 'static,
) -> Result<()> {
    /// Enough to keep a server busy while a reply is on its way.
    const CONNECTIONS: u64 = 4;
    const BATCH_BYTES: usize = 64 << 10;
    let mut running: JoinSet<Result<()>> = JoinSet::new();
    for part in 0..CONNECTIONS {
        let (mut next, end) = (count * part / CONNECTIONS, count * (part + 1) / CONNECTIONS);
        let mut connection = Connection::open(address).await?;
        let write = write.clone();
        running.spawn(async move {
            let mut batch = Vec::new();
            while next < end {
                batch.clear();
                let first = next;
                while next < end && batch.len() < BATCH_BYTES {
                    write(next, &mut batch);
                    next += 1;
                }
                connection.stream.write_all(&batch).await?;
                connection.skip_replies((next - first) as usize).await?;
            }
            Ok(())
        });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}

/// Whether a server has a numbered key.
pub(crate) async fn has_key(address: SocketAddr, number: u64) -> Result<bool> {
    Ok(get(&mut Connection::open(address).await?, number).await?.is_some())
}

/// The value of a numbered key.
pub(crate) async fn get(connection: &mut Connection, number: u64) -> Result<Option<Bytes>> {
    connection.ask(&[b"GET", &key("key", number)]).await
}

/// A section of INFO.
pub(crate) async fn info(address: SocketAddr, section: &str) -> Result<Info> {
    info_on(&mut Connection::open(address).await?, section).await
}

/// The same on a connection that there is.
pub(crate) async fn info_on(connection: &mut Connection, section: &str) -> Result<Info> {
    let text = connection.ask(&[b"INFO", section.as_bytes()]).await?.unwrap_or_default();
    Ok(Info { text: String::from_utf8_lossy(&text).into_owned() })
}

/// What INFO answered.
#[derive(Debug)]
pub(crate) struct Info {
    text: String,
}

impl Info {
    /// All fields with their values.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text.lines().filter_map(|line| line.trim().split_once(':'))
    }

    /// A field's value.
    pub(crate) fn text(&self, name: &str) -> Result<&str> {
        let value = self.fields().find(|(field, _)| *field == name);
        Ok(value.ok_or_else(|| format!("no {name} in INFO"))?.1)
    }

    /// The same, of a field that is a number.
    pub(crate) fn number(&self, name: &str) -> Result<u64> {
        let value = self.text(name)?;
        value.parse().map_err(|_| format!("{name}:{value} in INFO is no number").into())
    }
}

/// Has redis-server write its append-only file anew, and waits for it.
pub(crate) async fn rewrite_append_only_file(address: SocketAddr) -> Result<()> {
    // One that it has begun by itself.
    end_of_rewriting(address).await?;
    Connection::open(address).await?.ask(&[b"BGREWRITEAOF"]).await?;
    match end_of_rewriting(address).await?.text("aof_last_bgrewrite_status")? {
        "ok" => Ok(()),
        other => Err(format!("BGREWRITEAOF ended with {other:?}").into()),
    }
}

async fn end_of_rewriting(address: SocketAddr) -> Result<Info> {
    const LOOK_EVERY: Duration = Duration::from_millis(20);
    loop {
        let info = info(address, "persistence").await?;
        let waits =
            info.number("aof_rewrite_in_progress")? + info.number("aof_rewrite_scheduled")?;
        if waits == 0 {
            return Ok(info);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
