//! A node without sockets: requests go to `command::execute`, replies come back.

use aft::clock::{Clock, SystemClock};
use aft::command::{self, Execution, Hold, Request};
use aft::config::Settings;
use aft::engine::gate::{Gate, Outcome};
use aft::engine::{Engine, EngineOptions};
use aft::resp::Reply;
use aft::server::Server;
use aft::session::Session;
use aft::storage::memory::MemoryStore;
use aft::storage::resilient::{ResilientStore, RetryPolicy};
use aft::storage::{Created, Limits, Store, StoreFuture};
use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::future::poll_fn;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

/// A node and what it needs to run.
pub(crate) struct Node {
    pub(crate) server: Server,
    store: Arc<dyn Store>,
    runtime: Runtime,
}

/// What a node writes to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kept {
    /// Nothing: every commit is acknowledged at once.
    Nowhere,
    /// A store as if it outlived the process: commits go through groups and gates.
    InLog,
}

impl Node {
    /// A node without data, with everybody's settings as they are by default.
    pub(crate) fn new(kept: Kept) -> Self {
        Self::on(match kept {
            Kept::Nowhere => Arc::new(MemoryStore::new()),
            Kept::InLog => Arc::new(Logged(MemoryStore::new())),
        })
    }

    /// The next start on what this one has brought to its store.
    pub(crate) fn restart(self) -> Self {
        Self::on(self.store)
    }

    /// The same with another number of databases.
    pub(crate) fn restart_with_databases(self, databases: usize) -> Self {
        Self::with(self.store, EngineOptions { databases, ..EngineOptions::default() })
    }

    fn on(store: Arc<dyn Store>) -> Self {
        Self::with(store, EngineOptions::default())
    }

    fn with(store: Arc<dyn Store>, options: EngineOptions) -> Self {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let mut rng = StdRng::seed_from_u64(7);
        let kept = Arc::clone(&store);
        let store = Arc::new(ResilientStore::new(store, RetryPolicy::default(), &mut rng));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let opened = Engine::open(store, Arc::clone(&clock), options, &mut rng);
        let (engine, recovered) = runtime.block_on(opened).unwrap();
        let running = Arc::clone(&engine);
        runtime.spawn(async move { running.run().await });
        let run_id = "0123456789abcdef0123456789abcdef01234567".to_owned();
        let server = Server::new(engine, clock, Settings::default(), run_id, 6379);
        server.set_recovered(recovered);
        Self { server, store: kept, runtime }
    }

    /// A new connection.
    pub(crate) fn connect(&self) -> Session {
        let address = format!("10.0.0.1:{}", 40_000 + self.server.connected_count());
        let client = self.server.connect(address, "10.0.0.2:6379".to_owned());
        Session::new(client.unwrap(), &self.server)
    }

    /// Ends a connection.
    pub(crate) fn disconnect(&self, mut session: Session) {
        let engine = &self.server.engine;
        engine.with_core(|core| command::transactions::forget_watches(&mut session, core));
        self.server.disconnect(&session.client);
    }

    /// What becomes of a request at once. Nothing is brought to the store meanwhile: the node's
    /// tasks run only while somebody waits.
    pub(crate) fn execute(&self, session: &mut Session, line: &str) -> Execution {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let settings = self.server.settings();
        self.server.engine.with_core(|core| {
            command::execute(&self.server, &settings, session, core, Request::new(&args, None))
        })
    }

    /// What a connection would answer to a request, and the gate it waits for.
    pub(crate) fn send(&self, session: &mut Session, line: &str) -> (Reply, Option<Arc<Gate>>) {
        match self.execute(session, line) {
            Execution::Reply(reply, gate) => (reply, gate),
            other => panic!("{line}: {other:?}"),
        }
    }

    /// What a connection answers to a request, once all it depends on is durable.
    pub(crate) fn run(&self, session: &mut Session, args: &[impl AsRef<[u8]>]) -> Reply {
        let args: Vec<&[u8]> = args.iter().map(AsRef::as_ref).collect();
        let engine = &self.server.engine;
        let mut fetched = Vec::new();
        loop {
            let settings = self.server.settings();
            let execution = engine.with_core(|core| {
                core.lend(std::mem::take(&mut fetched));
                command::begin_turn(session, core);
                let execution = command::execute(
                    &self.server,
                    &settings,
                    session,
                    core,
                    Request::new(&args, None),
                );
                match &execution {
                    Execution::Fetch(_) => fetched = core.take_back(),
                    _ => core.keep_lent(),
                }
                execution
            });
            command::end_turn(&self.server, session);
            match execution {
                Execution::Reply(reply, gate) => {
                    let reply = session.filter_reply(reply);
                    if let Some(gate) = gate {
                        let outcome = self.runtime.block_on(poll_fn(|c| gate.poll(c)));
                        assert_eq!(outcome, Outcome::Durable);
                    }
                    return reply;
                }
                Execution::Wait(gate) => {
                    self.runtime.block_on(poll_fn(|c| gate.poll(c)));
                }
                // As if its time had come.
                Execution::Held(reply, Hold::For(_)) => return session.filter_reply(reply),
                Execution::Held(reply, Hold::ForEver) => panic!("{reply:?} never comes"),
                Execution::NoRoom => self.runtime.block_on(engine.room_to_write()),
                Execution::Fetch(missing) => {
                    fetched.extend(self.runtime.block_on(engine.fetch(&missing)).unwrap());
                }
            }
        }
    }
}

/// A store in memory that says it outlives the process.
struct Logged(MemoryStore);

impl Store for Logged {
    fn limits(&self) -> Limits {
        Limits { survives_process: true, ..self.0.limits() }
    }

    fn create<'a>(&'a self, name: &'a str, object: Bytes) -> StoreFuture<'a, Created> {
        self.0.create(name, object)
    }

    fn read<'a>(&'a self, name: &'a str, offset: u64, length: u64) -> StoreFuture<'a, Bytes> {
        self.0.read(name, offset, length)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> StoreFuture<'a, Vec<String>> {
        self.0.list(prefix, after, limit)
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> StoreFuture<'a, ()> {
        self.0.delete(names)
    }
}
