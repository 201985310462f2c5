//! aft's own node on a delayed store, in a process of its own: the same code, runtime and allocator as
//! the binary's, with another store beneath.

use std::sync::Arc;

use aft::config::{self, Effective, Start};
use aft::node;
use aft::storage::Store;
use rustix::process::{Signal, getpid, kill_process};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::Result;
use crate::clouds::Cloud;
use crate::control::{self, Order};
use crate::delayed::DelayedStore;

/// Serves until SIGTERM; nodes come and go on the same store when that is ordered.
pub(crate) async fn serve(cloud: Cloud, settings: &[String]) -> Result<()> {
    const SEED: u64 = 1;
    let store = Arc::new(DelayedStore::new(cloud, SEED)?);
    let (sender, mut orders) = unbounded_channel();
    control::listen(Arc::clone(&store), Some(sender)).await?;
    let mut address = "127.0.0.1:0".to_owned();
    loop {
        let effective = effective(cloud, &address, settings)?;
        let opened: Arc<dyn Store> = store.clone();
        let mut running = std::pin::pin!(node::run_on(effective, Some(opened), |_| {}));
        let order = tokio::select! {
            ended = &mut running => return Ok(ended?),
            order = orders.recv() => order,
        };
        let Some(Order::Stop(stopped)) = order else { return Err("a node is running".into()) };
        kill_process(getpid(), Signal::TERM)?;
        running.await?;
        // Whoever wanted to know may have gone.
        let _ = stopped.send(());
        match next_start(&mut orders).await {
            Some(next) => address = next,
            None => return Ok(()),
        }
    }
}

async fn next_start(orders: &mut UnboundedReceiver<Order>) -> Option<String> {
    loop {
        if let Order::Start(address) = orders.recv().await? {
            return Some(address);
        }
    }
}

/// The settings of a node, as from a command line.
fn effective(cloud: Cloud, address: &str, settings: &[String]) -> Result<Effective> {
    let own = ["aft", "--listen", address, "--store", cloud.address()];
    let words = own.into_iter().chain(settings.iter().map(String::as_str));
    let no_file = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    match config::start(words.map(Into::into), &|_| None, &no_file)? {
        Start::Serve(effective) => Ok(*effective),
        Start::Print(text) => Err(text.into()),
    }
}
