//! A node without sockets on a store that may be damaged.

use aft::clock::{Clock, SystemClock};
use aft::command::{self, Execution, Request};
use aft::config::Settings;
use aft::engine::core::compaction::CompactionLimits;
use aft::engine::gate::Outcome;
use aft::engine::{Engine, EngineOptions, OpenError};
use aft::resp::Reply;
use aft::server::Server;
use aft::session::Session;
use aft::storage::memory::MemoryStore;
use aft::storage::resilient::{ResilientStore, RetryPolicy};
use aft::storage::{Created, Limits, Store, StoreFuture};
use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// A node, and what its start has reported.
pub(crate) struct Node {
    server: Server,
    runtime: Runtime,
    pub(crate) damages: Vec<String>,
}

/// Values from this size on are in blobs.
pub(crate) const BLOB_BYTES_MIN: usize = 400;

/// Whether time is virtual: it can't be where a store has threads of its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Time {
    Virtual,
    Real,
}

impl Node {
    pub(crate) fn start(store: Arc<dyn Store>, time: Time) -> Result<Self, OpenError> {
        let paused = time == Time::Virtual;
        let runtime = Builder::new_current_thread().enable_time().start_paused(paused).build();
        let runtime = runtime.unwrap();
        let mut rng = StdRng::seed_from_u64(7);
        let read_deadline = Duration::from_millis(500);
        let policy = RetryPolicy { read_deadline, ..RetryPolicy::default() };
        let store = Arc::new(ResilientStore::new(store, policy, &mut rng));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let compaction = match time {
            Time::Virtual => CompactionLimits {
                store_percent_max: 150,
                store_bytes_min: 8 << 10,
                groups_max: 24,
                logs_max: 3,
                debt_percent_max: 20,
                step_bytes: 2 << 10,
            },
            // How often it would be due depends on how fast the disk is.
            Time::Real => EngineOptions::default().compaction,
        };
        let options = EngineOptions {
            compaction,
            cache_bytes: 0,
            blob_bytes_min: BLOB_BYTES_MIN,
            // Some are in several pieces.
            blob_chunk_bytes: BLOB_BYTES_MIN as u32,
            ..EngineOptions::default()
        };
        let opened = Engine::open(store, Arc::clone(&clock), options, &mut rng);
        let (engine, recovered) = runtime.block_on(opened)?;
        let running = Arc::clone(&engine);
        runtime.spawn(async move { running.run().await });
        let run_id = "0123456789abcdef0123456789abcdef01234567".to_owned();
        let damages = recovered.damages.clone();
        let server = Server::new(engine, clock, Settings::default(), run_id, 6379);
        Ok(Self { server, runtime, damages })
    }

    fn connect(&self) -> Session {
        let client = self.server.connect("10.0.0.1:4000".to_owned(), "10.0.0.2:6379".to_owned());
        Session::new(client.unwrap(), &self.server)
    }

    /// What is answered, or why a value could not be read.
    pub(crate) fn run(&self, line: &[&str]) -> Result<Reply, String> {
        let mut session = self.connect();
        let args: Vec<&[u8]> = line.iter().map(|arg| arg.as_bytes()).collect();
        let engine = &self.server.engine;
        let mut lent = Vec::new();
        let mut waited = false;
        let reply = loop {
            let settings = self.server.settings();
            let execution = engine.with_core(|core| {
                command::begin_turn(&mut session, core);
                core.lend(std::mem::take(&mut lent));
                let execution = command::execute(
                    &self.server,
                    &settings,
                    &mut session,
                    core,
                    Request::new(&args, None).after_waiting(waited),
                );
                core.take_back();
                execution
            });
            command::end_turn(&self.server, &mut session);
            match execution {
                Execution::Reply(reply, gate) => {
                    if let Some(gate) = gate {
                        let outcome = self.runtime.block_on(poll_fn(|c| gate.poll(c)));
                        assert_eq!(outcome, Outcome::Durable);
                    }
                    break reply;
                }
                Execution::Fetch(missing) => {
                    lent = match self.runtime.block_on(engine.fetch(&missing)) {
                        Ok(fetched) => fetched,
                        Err(why) => {
                            self.server.disconnect(&session.client);
                            return Err(why.to_string());
                        }
                    };
                }
                Execution::NoRoom => {
                    self.runtime.block_on(engine.room_to_write());
                    waited = true;
                }
                other => panic!("{line:?}: {other:?}"),
            }
        };
        self.server.disconnect(&session.client);
        Ok(reply)
    }

    /// Lets what runs in the background do so, until nothing more comes of it.
    pub(crate) fn compact(&self) {
        self.runtime.block_on(async { tokio::time::sleep(Duration::from_secs(20)).await });
    }

    pub(crate) fn bases(&self) -> u64 {
        self.server.engine.compaction().bases
    }

    /// Why compaction can't go on, as INFO tells it.
    pub(crate) fn compaction_failure(&self) -> String {
        self.server.engine.compaction().failure
    }

    /// Drains and seals.
    pub(crate) fn stop(self) {
        self.runtime.block_on(async {
            assert!(self.server.engine.drain().await);
            self.server.engine.seal().await;
        });
    }
}

/// A store in memory that says it outlives the process.
#[derive(Default)]
pub(crate) struct Kept(MemoryStore);

impl Kept {
    pub(crate) fn with(objects: &BTreeMap<String, Bytes>) -> Arc<Self> {
        let kept = Arc::new(Self::default());
        for (name, object) in objects {
            futures_now(kept.create(name, object.clone()));
        }
        kept
    }

    pub(crate) fn objects(&self) -> BTreeMap<String, Bytes> {
        let names = futures_now(self.list("", "", usize::MAX));
        let read = |name: &String| futures_now(self.read(name, 0, u64::MAX));
        names.iter().map(|name| (name.clone(), read(name))).collect()
    }
}

/// A store in memory answers at once.
pub(crate) fn futures_now<T>(answer: StoreFuture<'_, T>) -> T {
    Builder::new_current_thread().build().unwrap().block_on(answer).unwrap()
}

impl Store for Kept {
    fn limits(&self) -> Limits {
        // As of a shared store: what is missing is asked for again. Directories are read as they are.
        Limits { survives_process: true, shows_at_once: false, ..self.0.limits() }
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
