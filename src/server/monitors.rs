//! Who watches all commands, see MONITOR.

use super::Client;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The connections that watch.
#[derive(Debug, Default)]
pub struct Monitors {
    /// How many there are: all that a command looks at if there are none.
    count: AtomicUsize,
    clients: Mutex<Vec<Arc<Client>>>,
}

impl Monitors {
    /// Whether anybody watches.
    #[inline]
    pub fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// A connection watches from now on.
    pub fn add(&self, client: &Arc<Client>) {
        let mut clients = self.clients();
        if !clients.iter().any(|other| other.id == client.id) {
            clients.push(Arc::clone(client));
        }
        self.count.store(clients.len(), Ordering::Relaxed);
    }

    /// A connection watches no more.
    pub fn remove(&self, client: &Client) {
        let mut clients = self.clients();
        clients.retain(|other| other.id != client.id);
        self.count.store(clients.len(), Ordering::Relaxed);
    }

    /// Gives everybody who watches a line. Who has more than `bytes_max` waiting is ended
    /// instead (0 is no limit); says how many those were.
    pub fn tell(&self, line: &[u8], bytes_max: u64) -> u64 {
        let mut ended = 0;
        for client in &*self.clients() {
            let mut feed = client.feed.lock().unwrap_or_else(PoisonError::into_inner);
            if bytes_max > 0 && (feed.len() + line.len()) as u64 > bytes_max {
                ended += u64::from(!client.killed.load(Ordering::Acquire));
                client.kill();
                continue;
            }
            feed.extend_from_slice(line);
            client.wake.notify_one();
        }
        ended
    }

    fn clients(&self) -> MutexGuard<'_, Vec<Arc<Client>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
