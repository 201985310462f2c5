//! A node: the one place where everything is wired together and started.
//!
//! Start: take the addresses, open the store, recover, serve. End, on SIGTERM or SIGINT:
//! no new connections, what was read is finished and made durable, the log is sealed.

use crate::clock::{Clock, SystemClock};
use crate::command;
use crate::config::{self, Effective, LogLevel, Settings, Succession, YesNo};
use crate::connection::listener::{BindError, Bound};
use crate::engine::core::compaction::CompactionLimits;
use crate::engine::{Claim, Engine, EngineOptions, OpenError, Recovered, Stopped};
use crate::layout::Owner;
use crate::machine;
use crate::server::Server;
use crate::server::rates::Readings;
#[cfg(feature = "dynamodb")]
use crate::storage::dynamodb::{DynamoDbOptions, DynamoDbStore};
use crate::storage::embedded::{Durability, EmbeddedOptions, EmbeddedStore};
use crate::storage::memory::MemoryStore;
#[cfg(feature = "redis")]
use crate::storage::redis::{RedisOptions, RedisStore};
use crate::storage::resilient::{ResilientStore, RetryPolicy};
#[cfg(feature = "s3")]
use crate::storage::s3::{S3Options, S3Store};
use crate::storage::{Store, StoreError, StoreFuture};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::fmt;
use std::io::{self, Write};
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinError;

/// Why a node didn't start, or had to stop; the message says what to do.
#[derive(Debug)]
pub struct NodeError(String);

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NodeError {}

impl From<io::Error> for NodeError {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<BindError> for NodeError {
    fn from(error: BindError) -> Self {
        Self(error.to_string())
    }
}

/// Runs a node until it is told to end. `set_log_level` is called when CONFIG SET has
/// changed that.
///
/// # Errors
/// It can't start, or it had to stop.
pub fn run(
    effective: Effective,
    set_log_level: impl Fn(LogLevel) + Send + Sync + 'static,
) -> impl Future<Output = Result<(), NodeError>> {
    run_on(effective, None, set_log_level)
}

/// The same on a store that the caller has opened, in place of the one that the settings name: they
/// still say whether others can reach it.
///
/// # Errors
/// As for [`run`].
pub async fn run_on(
    effective: Effective,
    opened: Option<Arc<dyn Store>>,
    set_log_level: impl Fn(LogLevel) + Send + Sync + 'static,
) -> Result<(), NodeError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let Effective { mut settings, file, succession, .. } = effective;
    fit_to_file_limit(&mut settings);
    let early = take_addresses(&settings, succession)?;
    println!("aft {}", env!("CARGO_PKG_VERSION"));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut rng = seeded_rng()?;
    let (could_serve, ready) = watch::channel(early.is_some());
    let claim = claim(&settings, early.as_ref(), succession, ready, clock.wall_ms());
    let opening = open_engine(&settings, opened, claim, &clock, &mut rng);
    let ((engine, recovered), bound) = tokio::select! {
        both = async { tokio::try_join!(opening, wait_for_addresses(&settings, early, &could_serve)) } => both?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    report(&recovered);
    let listeners = bound.listen().map_err(NodeError)?;
    let port = listeners.first().map_or(0, |listener| listener.address().port());
    let run_id = format!("{:032x}{:08x}", rng.random::<u128>(), rng.random::<u32>());
    let server = Arc::new(Server::new(Arc::clone(&engine), clock, settings, run_id, port));
    command::load_users(&server).map_err(NodeError)?;
    server.set_recovered(recovered);
    server.set_config_file(file);
    let adjusted = Arc::clone(&engine);
    server.when_changed(move |settings| {
        set_log_level(settings.log_level);
        adjust(&adjusted, settings);
    });
    let mut accepting = Vec::new();
    for listener in listeners {
        println!("listening  {listener}");
        accepting.push(tokio::spawn(listener.accept(Arc::clone(&server))));
    }
    io::stdout().flush()?;
    let sweeping = tokio::spawn(close_idle(Arc::clone(&server)));
    let reading = tokio::spawn(read_counters(Arc::clone(&server)));
    // One task to the very end: groups are on their way in it. And a task, since what the
    // runtime blocks on is woken only after a look at the sockets.
    let engine = Arc::clone(&engine);
    let mut running = tokio::spawn(async move { engine.run().await });
    let stopped = tokio::select! {
        stopped = &mut running => Err(why_stopped(stopped)),
        _ = terminate.recv() => Ok("SIGTERM"),
        _ = interrupt.recv() => Ok("SIGINT"),
    };
    for task in accepting.iter().chain([&sweeping, &reading]) {
        task.abort();
    }
    let shutdown = Duration::from_millis(server.settings().shutdown_timeout_ms);
    let signal = match stopped {
        Ok(signal) => signal,
        Err(error) => {
            // Those whose writes were pending are told that these are uncertain.
            let _ = tokio::time::timeout(shutdown, server.drain()).await;
            return Err(error);
        }
    };
    tracing::info!(signal, "draining");
    tokio::select! {
        drained = drain(&server, shutdown) => drained,
        stopped = &mut running => Err(why_stopped(stopped)),
    }
}

fn why_stopped(stopped: Result<Stopped, JoinError>) -> NodeError {
    NodeError(match stopped {
        Ok(Stopped(why)) => why,
        Err(error) => format!("the engine ended: {error}"),
    })
}

/// Gives the engine those of its settings that may change.
fn adjust(engine: &Engine, settings: &Settings) {
    let commit = Duration::from_millis(settings.commit_deadline_ms);
    let read = Duration::from_millis(settings.read_deadline_ms);
    engine.adjust(commit, read, settings.expired_keys_per_turn as usize);
    let compaction = compaction_limits(settings);
    engine.adjust_outcomes(Duration::from_millis(settings.outcomes_keep_ms));
    engine.adjust_space(settings.cache_bytes, settings.memory_bytes_max, compaction);
}

/// Finishes what was read, makes it durable and seals the log, each within `patience`.
async fn drain(server: &Server, patience: Duration) -> Result<(), NodeError> {
    if tokio::time::timeout(patience, server.drain()).await.is_err() {
        let clients = server.connected_count();
        tracing::warn!(clients, "some do not read their replies: they are left behind");
    }
    let durable = async {
        let durable = server.engine.drain().await;
        server.engine.seal().await;
        durable
    };
    if tokio::time::timeout(patience, durable).await != Ok(true) {
        return Err(NodeError(
            "the store does not answer: some writes, none of them acknowledged, may be lost".into(),
        ));
    }
    tracing::info!("everything is durable");
    Ok(())
}

/// The operating system's randomness seeds the one generator that everything draws from.
fn seeded_rng() -> Result<StdRng, NodeError> {
    StdRng::try_from_rng(&mut rand::rngs::SysRng)
        .map_err(|error| NodeError(format!("the system gives no randomness: {error}")))
}

/// A connection that can't be accepted for want of a descriptor is worse than one that
/// is refused with an error, so the limits have to fit each other.
fn fit_to_file_limit(settings: &mut Settings) {
    let fitting = machine::clients_that_fit(settings.clients_max);
    if fitting < settings.clients_max {
        settings.clients_max = fitting;
        eprintln!(
            "aft: too few files may be open: clients-max is {fitting} now (raise `ulimit -n` for more)"
        );
    }
}

fn report(recovered: &Recovered) {
    println!("recovered  {} keys in {} ms", recovered.keys, recovered.took.as_millis());
    for damage in &recovered.damages {
        eprintln!("aft: damaged: {damage}");
    }
}

/// Takes the addresses to serve, unless another process has them: the predecessor on this machine
/// that is waited for lets go of them when it ends.
fn take_addresses(settings: &Settings, succession: Succession) -> Result<Option<Bound>, BindError> {
    let waits = succession == Succession::WhenItEnds && settings.store.is_shared();
    match Bound::to(settings) {
        Err(BindError::InUse(_)) if waits => Ok(None),
        bound => bound.map(Some),
    }
}

/// Takes the addresses when they are free. Until then the store must not be taken over: the one who
/// has them may be somebody else, and then nobody would serve.
async fn wait_for_addresses(
    settings: &Settings,
    early: Option<Bound>,
    could_serve: &watch::Sender<bool>,
) -> Result<Bound, NodeError> {
    /// Clients that find nobody there try again about as often.
    const LOOK_EVERY: Duration = Duration::from_millis(50);
    let mut bound = early;
    loop {
        if let Some(bound) = bound {
            could_serve.send_replace(true);
            return Ok(bound);
        }
        tokio::time::sleep(LOOK_EVERY).await;
        bound = take_addresses(settings, Succession::WhenItEnds)?;
    }
}

/// What the node says of itself on a store that others can reach, too.
fn claim(
    settings: &Settings,
    early: Option<&Bound>,
    succession: Succession,
    ready: watch::Receiver<bool>,
    started_ms: u64,
) -> Option<Claim> {
    let wanted = || {
        let wanted = settings.listen.addresses().iter().map(ToString::to_string);
        wanted.collect::<Vec<_>>().join(", ")
    };
    let address = early.map_or_else(wanted, Bound::addresses);
    let (host, process) = (machine::host_name(), std::process::id());
    settings.store.is_shared().then(|| Claim {
        owner: Owner { address, host, process, started_ms },
        lease: Duration::from_millis(settings.lease_ms),
        succession,
        stale_reads: settings.stale_reads == YesNo::Yes,
        ready: Some(ready),
    })
}

async fn open_engine(
    settings: &Settings,
    opened: Option<Arc<dyn Store>>,
    claim: Option<Claim>,
    clock: &Arc<dyn Clock>,
    rng: &mut StdRng,
) -> Result<(Arc<Engine>, Recovered), NodeError> {
    let started = clock.monotonic();
    let (store, durability) = match opened {
        Some(store) => (store, "opened by the caller".to_owned()),
        None => {
            // Behind a pointer: what the libraries of the stores wait for is nested deeply.
            let opening: StoreFuture<'_, _> = Box::pin(open_store(settings, rng));
            let failed = |error| NodeError(format!("{}: {error}", settings.store.shown()));
            opening.await.map_err(failed)?
        }
    };
    println!("store      {} ({durability})", settings.store.shown());
    let policy = RetryPolicy {
        attempt_timeout: Duration::from_millis(settings.store_attempt_timeout_ms),
        hedge_after: match settings.store_hedge_ms {
            0 => Duration::MAX,
            ms => Duration::from_millis(ms),
        },
        retry_first: Duration::from_millis(settings.store_retry_first_ms),
        retry_max: Duration::from_millis(settings.store_retry_max_ms),
        read_deadline: Duration::from_millis(settings.read_deadline_ms),
    };
    let store = Arc::new(ResilientStore::new(store, policy, rng));
    let opening_took = clock.monotonic().saturating_sub(started);
    let options = EngineOptions {
        databases: settings.databases as usize,
        group_bytes_max: settings.group_bytes_max as usize,
        blob_bytes_min: settings.blob_bytes_min as usize,
        groups_in_flight_max: settings.groups_in_flight_max as usize,
        commit_deadline: Duration::from_millis(settings.commit_deadline_ms),
        opening_took,
        recovery_reads_in_flight: settings.recovery_reads_in_flight as usize,
        recovery_share_bits: recovery_share_bits(),
        expired_keys_per_turn: settings.expired_keys_per_turn as usize,
        outcomes_keep: Duration::from_millis(settings.outcomes_keep_ms),
        cache_bytes: settings.cache_bytes,
        memory_bytes_max: settings.memory_bytes_max,
        compaction: compaction_limits(settings),
        ..EngineOptions::default()
    };
    let clock_of_engine = Arc::clone(clock);
    let opened = match claim {
        Some(claim) => Engine::open_shared(store, clock_of_engine, options, claim, rng).await,
        None => Engine::open(store, clock_of_engine, options, rng).await,
    };
    opened.map_err(|error: OpenError| {
        NodeError(format!("can't open {}: {error}", settings.store.shown()))
    })
}

/// A thread for each processor that this process may use.
fn recovery_share_bits() -> u32 {
    /// All threads read all that is recovered, so more of them gain little.
    const SHARE_BITS_MAX: u32 = 3;
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    processors.ilog2().min(SHARE_BITS_MAX)
}

fn compaction_limits(settings: &Settings) -> CompactionLimits {
    CompactionLimits {
        store_percent_max: settings.store_percent_max,
        store_bytes_min: settings.store_bytes_min,
        groups_max: settings.groups_max as usize,
        logs_max: settings.logs_max as usize,
        debt_percent_max: settings.compaction_debt_percent_max,
        step_bytes: settings.compaction_step_bytes,
    }
}

/// The store, and what it promises of an answered write.
async fn open_store(
    settings: &Settings,
    rng: &mut StdRng,
) -> Result<(Arc<dyn Store>, String), StoreError> {
    match &settings.store {
        config::Store::Memory => Ok((Arc::new(MemoryStore::new()), "keeps nothing".to_owned())),
        config::Store::Embedded { dir } => {
            let (durability, said) = match settings.durability {
                config::Durability::Always => (Durability::Always, "durability always"),
                config::Durability::Everysec => (
                    Durability::EverySecond,
                    "durability everysec: a power cut can lose the last second of answered writes",
                ),
            };
            let segment_bytes = settings.segment_bytes;
            let options = EmbeddedOptions {
                segment_bytes,
                durability,
                entropy: rng.random(),
                ..EmbeddedOptions::default()
            };
            Ok((Arc::new(EmbeddedStore::open(dir, options)?), said.to_owned()))
        }
        #[cfg(feature = "redis")]
        config::Store::Redis(address) => open_redis(address, settings, rng).await,
        #[cfg(feature = "s3")]
        config::Store::S3(address) => open_s3(address, settings, rng).await,
        #[cfg(feature = "dynamodb")]
        config::Store::DynamoDb(address) => open_dynamodb(address, settings, rng).await,
        #[cfg(not(all(feature = "redis", feature = "s3", feature = "dynamodb")))]
        other => Err(StoreError::Fatal(other.missing_feature())),
    }
}

#[cfg(feature = "redis")]
async fn open_redis(
    address: &config::RedisAddress,
    settings: &Settings,
    rng: &mut StdRng,
) -> Result<(Arc<dyn Store>, String), StoreError> {
    let options = RedisOptions {
        replicas_min: settings.redis_replicas_min,
        fsync: settings.redis_fsync,
        attempt_timeout: Duration::from_millis(settings.store_attempt_timeout_ms),
        start_deadline: Duration::from_millis(settings.read_deadline_ms),
        entropy: rng.random(),
    };
    let store = RedisStore::open(address, options).await?;
    warn(store.warnings());
    let durability = store.durability().to_owned();
    Ok((Arc::new(store), durability))
}

#[cfg(feature = "s3")]
async fn open_s3(
    address: &config::S3Address,
    settings: &Settings,
    rng: &mut StdRng,
) -> Result<(Arc<dyn Store>, String), StoreError> {
    let options = S3Options {
        connect_timeout: connect_timeout(settings),
        start_deadline: Duration::from_millis(settings.read_deadline_ms),
        entropy: rng.random(),
    };
    let store = S3Store::open(address, options).await?;
    warn(store.warnings());
    Ok((Arc::new(store), "what is answered is in the bucket".to_owned()))
}

#[cfg(feature = "dynamodb")]
async fn open_dynamodb(
    address: &config::DynamoDbAddress,
    settings: &Settings,
    rng: &mut StdRng,
) -> Result<(Arc<dyn Store>, String), StoreError> {
    let options = DynamoDbOptions {
        connect_timeout: connect_timeout(settings),
        start_deadline: Duration::from_millis(settings.read_deadline_ms),
        entropy: rng.random(),
        ..DynamoDbOptions::default()
    };
    let store = DynamoDbStore::open(address, options).await?;
    warn(store.warnings());
    Ok((Arc::new(store), "what is answered is in the table".to_owned()))
}

/// An attempt to connect ends before the whole attempt does, so that it says why.
#[cfg(feature = "aws")]
fn connect_timeout(settings: &Settings) -> Duration {
    Duration::from_millis(settings.store_attempt_timeout_ms) * 2 / 3
}

#[cfg(any(feature = "redis", feature = "aws"))]
fn warn(warnings: &[String]) {
    for warning in warnings {
        eprintln!("aft: warning: {warning}");
    }
}

/// Reads the counters that rates are made of.
async fn read_counters(server: Arc<Server>) {
    loop {
        server.readings.take(server.monotonic(), &server.counters);
        tokio::time::sleep(Readings::EVERY).await;
    }
}

/// Closes connections that have said nothing for longer than `idle_timeout_s`.
async fn close_idle(server: Arc<Server>) {
    /// As often as Redis looks.
    const EVERY: Duration = Duration::from_secs(1);
    loop {
        tokio::time::sleep(EVERY).await;
        let timeout_ms = server.settings().idle_timeout_s.saturating_mul(1000);
        if timeout_ms == 0 {
            continue;
        }
        let now_ms = server.uptime_ms();
        for client in server.connected() {
            let idle_ms = now_ms.saturating_sub(client.last_ms.load(Ordering::Relaxed));
            // Who waits for a reply isn't idle; who doesn't read it is.
            if idle_ms > timeout_ms && !client.is_due.load(Ordering::Relaxed) {
                client.kill();
            }
        }
    }
}
