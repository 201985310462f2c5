//! What all connections share: the engine, the settings, who is connected, and counters.

pub mod held;
pub mod monitors;
pub mod rates;
pub mod slowlog;
pub mod statistics;
pub mod users;

use crate::clock::Clock;
use crate::config::Settings;
use crate::engine::interactive::Token;
use crate::engine::{Engine, Recovered};
use crate::machine::{Memory, MemoryGauge};
use crate::resp::Reply;
use held::Held;
use monitors::Monitors;
use rates::Readings;
use slowlog::Slowlog;
use statistics::CommandStatistics;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Notify;
use users::Users;

/// Counters since start, for INFO.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections accepted.
    pub connections: AtomicU64,
    /// Connections refused because there were too many.
    pub rejected_connections: AtomicU64,
    /// Commands run.
    pub commands: AtomicU64,
    /// Bytes read from clients.
    pub bytes_in: AtomicU64,
    /// Bytes written to clients.
    pub bytes_out: AtomicU64,
    /// Reads that found their key.
    pub hits: AtomicU64,
    /// Reads that didn't.
    pub misses: AtomicU64,
    /// Commands that waited for values from the store, each time they did.
    pub fetches: AtomicU64,
    /// Replies that a client had lost and was told again.
    pub replies_repeated: AtomicU64,
    /// Error replies.
    pub errors: AtomicU64,
    /// Connections closed because their replies piled up.
    pub output_limit_closes: AtomicU64,
    /// Connections closed because all together held too much.
    pub evicted_clients: AtomicU64,
    by_code: Mutex<BTreeMap<Vec<u8>, u64>>,
}

/// Codes beyond these are not told apart: a client may make up as many as it likes.
const ERROR_CODES_MAX: usize = 128;

impl Counters {
    /// Counts an error reply, by its first word; any other reply is none.
    pub fn count_error(&self, reply: &Reply) {
        let Reply::Error(line) = reply else {
            return;
        };
        self.errors.fetch_add(1, Ordering::Relaxed);
        let code = line.as_bytes().split(|byte| *byte == b' ').next();
        let code = code.unwrap_or_default();
        let mut by_code = self.by_code.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_code.get_mut(code) {
            *count += 1;
        } else if by_code.len() < ERROR_CODES_MAX {
            by_code.insert(code.to_vec(), 1);
        }
    }

    /// How many error replies began with which word.
    pub fn errors_by_code(&self) -> Vec<(String, u64)> {
        let by_code = self.by_code.lock().unwrap_or_else(PoisonError::into_inner);
        let shown =
            |(code, count): (&Vec<u8>, &u64)| (String::from_utf8_lossy(code).into_owned(), *count);
        by_code.iter().map(shown).collect()
    }

    /// Begins anew, for CONFIG RESETSTAT.
    pub fn reset(&self) {
        for counter in [
            &self.connections,
            &self.rejected_connections,
            &self.commands,
            &self.bytes_in,
            &self.bytes_out,
            &self.hits,
            &self.misses,
            &self.fetches,
            &self.replies_repeated,
            &self.errors,
            &self.output_limit_closes,
            &self.evicted_clients,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
        let mut by_code = self.by_code.lock().unwrap_or_else(PoisonError::into_inner);
        by_code.clear();
    }
}

/// What others may know of a connection, and do to it.
#[derive(Debug)]
pub struct Client {
    /// Unique, rising.
    pub id: u64,
    /// The peer's address.
    pub address: String,
    /// The address it connected to.
    pub local_address: String,
    /// Monotonic milliseconds at which it connected.
    pub since_ms: u64,
    /// Monotonic milliseconds at which it last sent or took a byte.
    pub last_ms: AtomicU64,
    /// Whether a reply is due and it is not the client who keeps it waiting.
    pub is_due: AtomicBool,
    /// Replies not yet written, in bytes.
    pub output_bytes: AtomicU64,
    /// What it holds in memory, see [`Server::hold`].
    pub held_bytes: AtomicU64,
    /// What changes with its commands.
    pub state: Mutex<ClientState>,
    /// What MONITOR has still to tell it.
    pub feed: Mutex<Vec<u8>>,
    /// Set by CLIENT KILL.
    pub killed: AtomicBool,
    /// Wakes the connection to notice that it was killed.
    pub wake: Notify,
}

/// The part of a client that its commands change.
#[derive(Debug, Clone, Default)]
pub struct ClientState {
    /// CLIENT SETNAME.
    pub name: Vec<u8>,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: Vec<u8>,
    /// CLIENT SETINFO LIB-VER.
    pub lib_version: Vec<u8>,
    /// Selected database.
    pub database: u8,
    /// Commands queued since MULTI; `None` outside.
    pub queued: Option<usize>,
    /// Bytes of their arguments.
    pub queued_bytes: usize,
    /// Keys watched.
    pub watched: usize,
    /// 2 or 3.
    pub protocol: u8,
    /// MONITOR.
    pub monitoring: bool,
    /// Its reply is held back: WAIT, DEBUG SLEEP.
    pub blocked: bool,
    /// CLIENT NO-EVICT.
    pub no_evict: bool,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// The interactive transaction that it is in.
    pub inside: Option<Token>,
    /// The last command's name.
    pub last_command: &'static str,
    /// The user it is authenticated as.
    pub user: Arc<[u8]>,
    /// Input read and not yet run, in bytes.
    pub input_bytes: usize,
}

impl Client {
    /// Ends the connection soon.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Takes what MONITOR has to tell it.
    pub fn take_feed(&self) -> Vec<u8> {
        std::mem::take(&mut *self.feed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What its commands change.
    pub fn state(&self) -> MutexGuard<'_, ClientState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts settings in force that don't live here.
type Apply = Box<dyn Fn(&Settings) + Send + Sync>;

/// Everything shared. One per process.
pub struct Server {
    /// The transaction engine.
    pub engine: Arc<Engine>,
    /// Counters.
    pub counters: Counters,
    /// Who may do what.
    pub users: Users,
    /// Who watches all commands.
    pub monitors: Monitors,
    /// How busy it is.
    pub readings: Readings,
    /// What all connections hold in memory.
    pub held: Held,
    /// Forty hexadecimal digits, drawn at start.
    pub run_id: String,
    /// The port that is served first.
    pub port: u16,
    clock: Arc<dyn Clock>,
    settings: RwLock<Arc<Settings>>,
    apply: OnceLock<Apply>,
    clients: Mutex<BTreeMap<u64, Arc<Client>>>,
    statistics: Mutex<CommandStatistics>,
    slowlog: Mutex<Slowlog>,
    next_client: AtomicU64,
    memory: MemoryGauge,
    recovered: OnceLock<Recovered>,
    config_file: OnceLock<PathBuf>,
    draining: AtomicBool,
    /// Somebody has disconnected.
    departed: Notify,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("run_id", &self.run_id).finish_non_exhaustive()
    }
}

impl Server {
    /// What connections share, with nobody connected.
    pub fn new(
        engine: Arc<Engine>,
        clock: Arc<dyn Clock>,
        settings: Settings,
        run_id: String,
        port: u16,
    ) -> Self {
        Self {
            engine,
            counters: Counters::default(),
            users: Users::new(
                settings.requirepass.as_ref().map(|secret| secret.expose().as_bytes()),
            ),
            monitors: Monitors::default(),
            readings: Readings::default(),
            held: Held::default(),
            run_id,
            port,
            clock,
            settings: RwLock::new(Arc::new(settings)),
            apply: OnceLock::new(),
            clients: Mutex::new(BTreeMap::new()),
            statistics: Mutex::default(),
            slowlog: Mutex::default(),
            next_client: AtomicU64::new(1),
            memory: MemoryGauge::default(),
            recovered: OnceLock::new(),
            config_file: OnceLock::new(),
            draining: AtomicBool::new(false),
            departed: Notify::new(),
        }
    }

    /// Remembers for INFO which file the settings were read from, if there is one.
    pub fn set_config_file(&self, path: Option<PathBuf>) {
        if let Some(path) = path {
            // The first one stands: a process starts once.
            let _ = self.config_file.set(path);
        }
    }

    /// The file that the settings were read from; empty without one.
    pub fn config_file(&self) -> &Path {
        self.config_file.get().map_or(Path::new(""), PathBuf::as_path)
    }

    /// Remembers for INFO what the start found in the store.
    pub fn set_recovered(&self, recovered: Recovered) {
        // The first one stands: a process starts once.
        let _ = self.recovered.set(recovered);
    }

    /// What the start found in the store.
    pub fn recovered(&self) -> Option<&Recovered> {
        self.recovered.get()
    }

    /// The memory of this process.
    pub fn memory(&self) -> Memory {
        self.memory.read(self.uptime_ms())
    }

    /// The settings of this moment.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Has `apply` called after each change of the settings, for those that are in force
    /// elsewhere. It runs inside a command: it must not wait, nor use the engine's state.
    pub fn when_changed(&self, apply: impl Fn(&Settings) + Send + Sync + 'static) {
        // Only the first counts: there is one node.
        let _ = self.apply.set(Box::new(apply));
    }

    /// Changes the settings in force, or with an error leaves them as they are. Two changes
    /// at once come one after the other.
    ///
    /// # Errors
    /// Those of `change`.
    pub fn change_settings<E>(
        &self,
        change: impl FnOnce(&mut Settings) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut settings = self.settings.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Settings::clone(&settings);
        change(&mut changed)?;
        if let Some(apply) = self.apply.get() {
            apply(&changed);
        }
        *settings = Arc::new(changed);
        Ok(())
    }

    /// Milliseconds since the server started.
    pub fn uptime_ms(&self) -> u64 {
        self.clock.monotonic().as_millis() as u64
    }

    /// Monotonic time.
    #[inline]
    pub fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }

    /// How often commands ran and how long they took.
    #[inline]
    pub fn statistics(&self) -> MutexGuard<'_, CommandStatistics> {
        self.statistics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The commands that took long.
    pub fn slowlog(&self) -> MutexGuard<'_, Slowlog> {
        self.slowlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wall time in milliseconds since the Unix epoch.
    pub fn wall_ms(&self) -> u64 {
        self.clock.wall_ms()
    }

    /// Wall time in microseconds since the Unix epoch.
    pub fn wall_us(&self) -> u64 {
        self.clock.wall_us()
    }

    /// Takes a connection in, unless there are too many.
    pub fn connect(&self, address: String, local_address: String) -> Option<Arc<Client>> {
        let clients_max = self.settings().clients_max;
        let mut clients = self.clients();
        if clients.len() as u64 >= clients_max {
            self.counters.rejected_connections.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.counters.connections.fetch_add(1, Ordering::Relaxed);
        let now_ms = self.uptime_ms();
        let client = Arc::new(Client {
            id: self.next_client.fetch_add(1, Ordering::Relaxed),
            address,
            local_address,
            since_ms: now_ms,
            last_ms: AtomicU64::new(now_ms),
            is_due: AtomicBool::new(false),
            output_bytes: AtomicU64::new(0),
            held_bytes: AtomicU64::new(0),
            state: Mutex::new(ClientState {
                protocol: 2,
                user: Arc::clone(&self.users.default_user().name),
                ..Default::default()
            }),
            feed: Mutex::default(),
            killed: AtomicBool::new(false),
            wake: Notify::new(),
        });
        clients.insert(client.id, Arc::clone(&client));
        Some(client)
    }

    /// Forgets a connection that has ended.
    pub fn disconnect(&self, client: &Client) {
        self.monitors.remove(client);
        self.clients().remove(&client.id);
        self.let_go(client);
        self.departed.notify_one();
    }

    /// Lets connections finish what they have read, and end.
    pub async fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        for client in self.connected() {
            client.wake.notify_one();
        }
        while self.connected_count() > 0 {
            self.departed.notified().await;
        }
    }

    /// Whether no further requests are read.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Everybody connected, in the order of their ids.
    pub fn connected(&self) -> Vec<Arc<Client>> {
        self.clients().values().cloned().collect()
    }

    /// How many are connected.
    pub fn connected_count(&self) -> usize {
        self.clients().len()
    }

    fn clients(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Client>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
