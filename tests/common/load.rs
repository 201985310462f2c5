//! Clients that write keys of their own, one after the other, and remember what they were told.

use super::client::Client;
use super::resp::Reply;
use super::wait;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// What is known of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Done,
    Refused,
    Nothing,
}

/// What one client was told of its writes: write n is of key n, and adds one to its counter.
pub(crate) struct Writes {
    name: String,
    told: Vec<Told>,
    pub(crate) slowest: Duration,
}

/// What a load has come to.
#[derive(Default)]
pub(crate) struct Progress {
    pub(crate) done: AtomicU64,
    pub(crate) refused: AtomicU64,
    stop: AtomicBool,
}

impl Progress {
    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Runs clients as long as `meanwhile` takes. The server must answer all of that time.
pub(crate) fn under_load(addr: SocketAddr, meanwhile: impl FnOnce(&Progress)) -> Vec<Writes> {
    const CLIENTS: usize = 4;
    let progress = Progress::default();
    std::thread::scope(|scope| {
        let clients = (0..CLIENTS).map(|n| {
            let (client, progress) = (Client::connect(addr).expect("a connection"), &progress);
            scope.spawn(move || write(client, n, progress))
        });
        let clients: Vec<_> = clients.collect();
        // Also if it fails: or the clients would go on for ever.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| meanwhile(&progress)));
        progress.stop.store(true, Ordering::Relaxed);
        let writes = clients.into_iter().map(|client| client.join().expect("a client")).collect();
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        writes
    })
}

fn write(mut client: Client, n: usize, progress: &Progress) -> Writes {
    let mut writes =
        Writes { name: format!("client{n}"), told: Vec::new(), slowest: Duration::ZERO };
    while !progress.stop.load(Ordering::Relaxed) {
        let key = format!("{}:{}", writes.name, writes.told.len());
        // Large enough to be in the store only, once it is there.
        let value = format!("{key}:").repeat(20);
        let began = wait::now();
        client.queue(&["MULTI"]);
        client.queue(&["SET", &key, &value]);
        client.queue(&["INCR", &writes.name]);
        client.queue(&["EXEC"]);
        client.flush().expect("a server that answers");
        let replies: Vec<Reply> = (0..4).map(|_| client.read().expect("a reply")).collect();
        writes.slowest = writes.slowest.max(began.elapsed());
        let told = match replies[3].error_code().as_deref() {
            None => Told::Done,
            Some("NOTCOMMITTED" | "EXECABORT") => Told::Refused,
            Some("UNCERTAIN") => Told::Nothing,
            Some(other) => panic!("{other}: {replies:?}"),
        };
        let counter = if told == Told::Done { &progress.done } else { &progress.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        writes.told.push(told);
    }
    writes
}

impl Writes {
    /// What was acknowledged is there, what was refused is not, and no transaction is torn.
    #[track_caller]
    pub(crate) fn check(&self, client: &mut Client) {
        let mut there = 0;
        for (n, told) in self.told.iter().enumerate() {
            let key = format!("{}:{n}", self.name);
            let reply = client.run(&["GET", &key]);
            let is_there = match reply.text() {
                Some(value) => {
                    assert_eq!(value, format!("{key}:").repeat(20));
                    true
                }
                None => {
                    assert!(reply.is_nil(), "{key}: {reply:?}");
                    false
                }
            };
            match told {
                Told::Done => assert!(is_there, "{key} was acknowledged and is lost"),
                Told::Refused => assert!(!is_there, "{key} was refused and is there"),
                Told::Nothing => {}
            }
            there += i64::from(is_there);
        }
        let counted = client.run(&["GET", &self.name]).text().unwrap_or_else(|| "0".to_owned());
        assert_eq!(counted, there.to_string(), "{} is torn", self.name);
    }
}
