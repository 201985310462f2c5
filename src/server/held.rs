//! What connections hold in memory, all of them together, and who has to go when that is
//! too much. Each connection is bounded by limits of its own, but a crowd of such bounds is
//! none.

use super::{Client, Server};
use std::sync::atomic::{AtomicU64, Ordering};

/// Less is not counted: it is about what an idle connection costs anyway, and most never
/// hold more.
pub const UNIT_BYTES: u64 = 4 << 10;

/// Bytes held by all connections.
#[derive(Debug, Default)]
pub struct Held(AtomicU64);

impl Held {
    /// How many there are.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Server {
    /// A connection holds so many bytes now: requests that are not whole or not run, replies
    /// that are not read, what MULTI has queued, watched keys. If all hold too much, those
    /// with the most are ended.
    pub fn hold(&self, client: &Client, bytes: u64) {
        if client.killed.load(Ordering::Acquire) {
            return;
        }
        let before = client.held_bytes.swap(bytes, Ordering::Relaxed);
        // In this order: the sum never falls below zero.
        self.held.0.fetch_add(bytes, Ordering::Relaxed);
        self.held.0.fetch_sub(before, Ordering::Relaxed);
        if bytes > before {
            self.evict();
        }
    }

    /// A connection is on its way out.
    pub(super) fn let_go(&self, client: &Client) {
        let before = client.held_bytes.swap(0, Ordering::Relaxed);
        self.held.0.fetch_sub(before, Ordering::Relaxed);
    }

    fn evict(&self) {
        let bytes_max = self.settings().clients_bytes_max;
        while bytes_max > 0 && self.held.bytes() > bytes_max {
            let clients = self.connected();
            let evictable = clients.iter().filter(|client| !client.state().no_evict);
            let held = |client: &&std::sync::Arc<Client>| client.held_bytes.load(Ordering::Relaxed);
            let Some(largest) = evictable.max_by_key(held).filter(|client| held(client) > 0) else {
                return;
            };
            let bytes = held(&largest);
            tracing::warn!(
                client = largest.id,
                address = largest.address,
                bytes,
                "closed: all connections together passed clients-bytes-max, and this one held most"
            );
            self.counters.evicted_clients.fetch_add(1, Ordering::Relaxed);
            largest.kill();
            self.let_go(largest);
        }
    }
}
