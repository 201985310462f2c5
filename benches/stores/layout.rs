//! The layout of AFT, as little of it as there can be: each transaction creates an object for each of
//! its writes, all at once, and when they are there a commit record. No index, no cache, no garbage
//! collection; what all that costs is left out in its favour.
//!
//! It speaks as much of Redis' protocol as the load does: MULTI, SET, EXEC.

use std::future::poll_fn;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::task::Poll;

use aft::storage::{Created, Store, StoreError, StoreFuture};
use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::Result;
use crate::clouds::Cloud;
use crate::commands::Commands;
use crate::control;
use crate::delayed::DelayedStore;

/// Serves until it is killed.
pub(crate) async fn serve(cloud: Cloud) -> Result<()> {
    const SEED: u64 = 2;
    let store = Arc::new(DelayedStore::new(cloud, SEED)?);
    control::listen(Arc::clone(&store), None).await?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("listening  {}", listener.local_addr()?);
    for connection in 0_u64.. {
        let (stream, _) = listener.accept().await?;
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let client = Client { store, connection, transactions: 0, queued: Vec::new() };
            // One that goes away, or says what is not known here, ends only itself.
            if let Err(error) = client.serve(stream).await {
                eprintln!("client: {error}");
            }
        });
    }
    Ok(())
}

struct Client {
    store: Arc<DelayedStore>,
    connection: u64,
    transactions: u64,
    /// Writes of the open transaction: keys and values.
    queued: Vec<[Bytes; 2]>,
}

impl Client {
    async fn serve(mut self, mut stream: TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let mut commands = Commands::new();
        let mut out = Vec::new();
        while commands.receive(&mut stream).await? {
            out.clear();
            while let Some(done) = commands.next(|words| self.queue(words, &mut out))? {
                if let Some(writes) = done? {
                    self.commit(&writes).await?;
                    out.extend_from_slice(format!("*{}\r\n", writes.len()).as_bytes());
                    out.extend_from_slice(&b"+OK\r\n".repeat(writes.len()));
                }
            }
            stream.write_all(&out).await?;
        }
        Ok(())
    }

    /// Takes a command; the transaction, if it ends with this one.
    fn queue(&mut self, words: &[&[u8]], out: &mut Vec<u8>) -> Result<Option<Vec<[Bytes; 2]>>> {
        match words {
            [b"MULTI"] => out.extend_from_slice(b"+OK\r\n"),
            [b"SET", key, value] => {
                self.queued.push([Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)]);
                out.extend_from_slice(b"+QUEUED\r\n");
            }
            [b"EXEC"] => return Ok(Some(std::mem::take(&mut self.queued))),
            other => return Err(format!("not known here: {other:?}").into()),
        }
        Ok(None)
    }

    async fn commit(&mut self, writes: &[[Bytes; 2]]) -> Result<()> {
        self.transactions += 1;
        let id = format!("{}/{}", self.connection, self.transactions);
        let names: Vec<String> = (0..writes.len()).map(|at| format!("data/{id}/{at}")).collect();
        let objects = names.iter().zip(writes);
        let creates = objects.map(|(name, [_, value])| self.store.create(name, value.clone()));
        all(creates.collect()).await?;
        // Which keys it has written, and where.
        let record = writes
            .iter()
            .zip(&names)
            .flat_map(|([key, _], name)| [key.as_ref(), b" ", name.as_bytes(), b"\n"].concat());
        self.store.create(&format!("commit/{id}"), record.collect()).await?;
        Ok(())
    }
}

/// Waits for all of them, which are under way at once.
async fn all(mut creates: Vec<StoreFuture<'_, Created>>) -> std::result::Result<(), StoreError> {
    poll_fn(|context| {
        let mut error = None;
        creates.retain_mut(|create| match create.as_mut().poll(context) {
            Poll::Pending => true,
            Poll::Ready(done) => {
                error = error.take().or(done.err());
                false
            }
        });
        match error {
            Some(error) => Poll::Ready(Err(error)),
            None if creates.is_empty() => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    })
    .await
}
