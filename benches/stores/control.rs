//! A process that has a store tells another one what the store was asked for, and is told what to do.
//! Both speak the protocol of Redis, on a port beside the one that is measured.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::Result;
use crate::commands::Commands;
use crate::connection::{self, Connection};
use crate::counts::Told;
use crate::delayed::DelayedStore;
use crate::servers::{Kind, Server};

/// Where a process says at which address it is told what to do: a file in its directory.
const ADDRESS: &str = "control";

/// What it may be told beside INFO and RESET.
const STOP: &[u8] = b"STOP";
const START: &[u8] = b"START";

/// What a process with a node is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// The node ends as on SIGTERM; whoever wants it hears when it has.
    Stop(oneshot::Sender<()>),
    /// A node starts at this address on the same store.
    Start(String),
}

/// Tells of a store, and takes orders for whoever takes them.
pub(crate) async fn listen(
    store: Arc<DelayedStore>,
    orders: Option<UnboundedSender<Order>>,
) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    std::fs::write(ADDRESS, listener.local_addr()?.to_string())?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (store, orders) = (Arc::clone(&store), orders.clone());
            tokio::spawn(async move {
                if let Err(error) = answer(stream, &store, orders).await {
                    eprintln!("control: {error}");
                }
            });
        }
    });
    Ok(())
}

async fn answer(
    mut stream: TcpStream,
    store: &DelayedStore,
    orders: Option<UnboundedSender<Order>>,
) -> Result<()> {
    let mut commands = Commands::new();
    while commands.receive(&mut stream).await? {
        while let Some(obeyed) = commands.next(|words| obey(words, store, orders.as_ref()))? {
            let (said, done) = obeyed?;
            if let Some(done) = done {
                done.await?;
            }
            stream.write_all(format!("${}\r\n{said}\r\n", said.len()).as_bytes()).await?;
        }
    }
    Ok(())
}

/// Does what a command says, or has it done: then the answer has to wait.
fn obey(
    words: &[&[u8]],
    store: &DelayedStore,
    orders: Option<&UnboundedSender<Order>>,
) -> Result<(String, Option<oneshot::Receiver<()>>)> {
    let pass_on = |order| -> Result<()> { Ok(orders.ok_or("no node here")?.send(order)?) };
    let mut done = None;
    match words {
        [b"INFO", ..] => return Ok((store.tally().to_text()?, None)),
        [b"RESET"] => store.tally().reset(),
        [STOP] => {
            let (sender, stopped) = oneshot::channel();
            pass_on(Order::Stop(sender))?;
            done = Some(stopped);
        }
        [START, address] => pass_on(Order::Start(String::from_utf8_lossy(address).into_owned()))?,
        other => return Err(format!("not known here: {other:?}").into()),
    }
    Ok(("OK".to_owned(), done))
}

/// A process of this program with a store in it.
pub(crate) struct Host {
    server: Server,
    control: Connection,
}

impl Host {
    /// Starts it, with its data below `data`.
    pub(crate) async fn start(
        name: &'static str,
        arguments: Vec<String>,
        data: &Path,
    ) -> Result<Self> {
        let server = Server::start(&Kind::Itself { name, arguments }, data, &[]).await?;
        let address = std::fs::read_to_string(server.directory().join(ADDRESS))?;
        let control = Connection::open(address.parse()?).await?;
        Ok(Self { server, control })
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What its store was asked for since the last reset.
    pub(crate) async fn told(&mut self) -> Result<Told> {
        Told::read(&connection::info_on(&mut self.control, "all").await?)
    }

    pub(crate) async fn reset(&mut self) -> Result<()> {
        self.tell(&[b"RESET"]).await
    }

    /// The node ends in order.
    pub(crate) async fn stop_node(&mut self) -> Result<()> {
        self.tell(&[STOP]).await
    }

    /// Another node starts at the address of the first one.
    pub(crate) async fn start_node(&mut self) -> Result<()> {
        let address = self.address().to_string();
        self.tell(&[START, address.as_bytes()]).await
    }

    /// Ends it, and what its store has.
    pub(crate) async fn end(self) -> Result<()> {
        self.server.stop().await.map(drop)
    }

    async fn tell(&mut self, words: &[&[u8]]) -> Result<()> {
        self.control.ask(words).await.map(drop)
    }
}
