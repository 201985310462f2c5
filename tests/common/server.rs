//! A server process: `aft` itself, or redis-server where a test is checked or compared.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process};

use super::backing::{Backing, Kind};
use super::client::Client;
use super::wait::{self, PATIENCE};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Aft,
    Redis,
    /// S3 and DynamoDB, kept in its directory.
    MiniStack,
    /// The same by other people, in memory.
    Moto,
}

impl Peer {
    /// What this run tests: `aft`, or with `AFT_TEST_PEER=redis` the tests themselves.
    pub(crate) fn under_test() -> Self {
        match std::env::var("AFT_TEST_PEER").as_deref() {
            Ok("redis") => Self::Redis,
            Ok("aft") | Err(_) => Self::Aft,
            Ok(other) => panic!("AFT_TEST_PEER={other}: either aft or redis"),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) peer: Peer,
    /// Without a directory all is in memory.
    pub(crate) dir: Option<PathBuf>,
    /// The store, where it is not in that directory.
    pub(crate) backing: Option<Backing>,
    pub(crate) durability: &'static str,
    /// 0: any free port.
    pub(crate) port: u16,
    pub(crate) clients_max: Option<u32>,
    pub(crate) idle_timeout_s: Option<u32>,
    pub(crate) output_buffer_bytes_max: Option<&'static str>,
    pub(crate) requirepass: Option<&'static str>,
    pub(crate) commit_deadline_ms: Option<u32>,
    /// What the server is started through (`prlimit …`, `nsenter …`): each must `exec`, so that
    /// the process we signal is the server.
    pub(crate) through: Vec<String>,
    /// It is known that the node before it on a shared store has stopped: what a person says who
    /// has killed it.
    pub(crate) takeover: bool,
    /// Settings given as they are, in place of ours: for those that must be refused.
    pub(crate) extra: Vec<String>,
}

impl Options {
    pub(crate) fn new(peer: Peer) -> Self {
        Self {
            peer,
            dir: None,
            backing: None,
            durability: "always",
            port: 0,
            clients_max: None,
            idle_timeout_s: None,
            output_buffer_bytes_max: None,
            requirepass: None,
            commit_deadline_ms: None,
            through: Vec::new(),
            takeover: false,
            extra: Vec::new(),
        }
    }

    pub(crate) fn memory() -> Self {
        Self::new(Peer::under_test())
    }

    /// On the kind of store that `AFT_TEST_STORE` names, with its data in this directory.
    pub(crate) fn durable(dir: &Path) -> Self {
        let options = Self::in_directory(dir);
        match (options.peer, Kind::from_env()) {
            (Peer::Redis | Peer::MiniStack | Peer::Moto, _) | (_, Kind::Embedded) => options,
            (Peer::Aft, kind) => Self { backing: Some(Backing::start(kind, dir)), ..options },
        }
    }

    /// Compaction moves everything again and again: it begins as early as it can, in steps as
    /// small as they get.
    pub(crate) const RESTLESS: [&str; 12] = [
        "--segment-bytes",
        "1mb",
        "--store-bytes-min",
        "0",
        "--store-percent-max",
        "110",
        "--compaction-step-bytes",
        "4kb",
        "--groups-max",
        "4",
        "--logs-max",
        "1",
    ];

    /// On files in this directory, for tests that are about those.
    pub(crate) fn in_directory(dir: &Path) -> Self {
        Self { dir: Some(dir.to_owned()), ..Self::memory() }
    }

    /// On this store.
    pub(crate) fn on(backing: &Backing) -> Self {
        Self { backing: Some(backing.clone()), ..Self::new(Peer::Aft) }
    }

    /// The text of `--store`.
    pub(crate) fn store(&self) -> String {
        match (&self.backing, &self.dir) {
            (Some(backing), _) => backing.store().to_owned(),
            (None, Some(dir)) => format!("embedded:{}", dir.display()),
            (None, None) => "memory:".to_owned(),
        }
    }

    fn command(&self, port: u16) -> Command {
        let words = match self.peer {
            Peer::Aft => self.aft_words(port),
            Peer::Redis => self.redis_words(port),
            Peer::MiniStack => self.ministack_words(port),
            Peer::Moto => {
                let port = port.to_string();
                vec![
                    installed("moto_server"),
                    "--host=127.0.0.1".to_owned(),
                    "--port".to_owned(),
                    port,
                ]
            }
        };
        let mut words = self.through.iter().cloned().chain(words);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn aft_words(&self, port: u16) -> Vec<String> {
        let mut words = vec![env!("CARGO_BIN_EXE_aft").to_owned()];
        let mut set = |name: &str, value: Option<String>| {
            let flag = format!("--{name}");
            if let Some(value) = value.filter(|_| !self.extra.contains(&flag)) {
                words.extend([flag, value]);
            }
        };
        set("listen", Some(format!("127.0.0.1:{port}")));
        set("store", Some(self.store()));
        set("durability", Some(self.durability.to_owned()));
        set("clients-max", self.clients_max.map(|n| n.to_string()));
        set("idle-timeout-s", self.idle_timeout_s.map(|n| n.to_string()));
        set("output-buffer-bytes-max", self.output_buffer_bytes_max.map(str::to_owned));
        set("requirepass", self.requirepass.map(str::to_owned));
        set("commit-deadline-ms", self.commit_deadline_ms.map(|n| n.to_string()));
        words.extend(self.takeover.then(|| "--takeover".to_owned()));
        words.extend(self.extra.iter().cloned());
        words
    }

    fn ministack_words(&self, port: u16) -> Vec<String> {
        let dir = self.dir.as_ref().expect("where it keeps its data").display().to_string();
        let settings = [
            // Without this it listens everywhere.
            "BIND_HOST=127.0.0.1".to_owned(),
            format!("GATEWAY_PORT={port}"),
            "S3_PERSIST=1".to_owned(),
            format!("S3_DATA_DIR={dir}/s3"),
            "PERSIST_STATE=1".to_owned(),
            format!("STATE_DIR={dir}/state"),
        ];
        ["env".to_owned()].into_iter().chain(settings).chain([installed("ministack")]).collect()
    }

    fn redis_words(&self, port: u16) -> Vec<String> {
        let mut words = vec!["redis-server".to_owned()];
        let mut set = |text: String| words.extend(text.split('|').map(str::to_owned));
        set(format!("--port|{port}|--bind|127.0.0.1|--save|"));
        match &self.dir {
            Some(dir) => set(format!(
                "--appendonly|yes|--appendfsync|{}|--dir|{}",
                self.durability,
                dir.display()
            )),
            None => set("--appendonly|no".to_owned()),
        }
        set(format!("--maxclients|{}", self.clients_max.unwrap_or(10_000)));
        set(format!("--timeout|{}", self.idle_timeout_s.unwrap_or(0)));
        if let Some(bytes) = self.output_buffer_bytes_max {
            set(format!("--client-output-buffer-limit|normal {bytes} 0 0"));
        }
        if let Some(password) = self.requirepass {
            set(format!("--requirepass|{password}"));
        }
        words.extend(self.extra.iter().cloned());
        words
    }
}

/// Where tests/run puts it.
pub(crate) fn installed(program: &str) -> String {
    let path = format!("{}/target/test-servers/bin/{program}", env!("CARGO_MANIFEST_DIR"));
    assert!(Path::new(&path).exists(), "no {path}: tests/servers/install puts it there");
    path
}

/// A server that refused to start.
#[derive(Debug)]
pub(crate) struct StartError {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
}

pub(crate) struct Server {
    child: Child,
    addr: SocketAddr,
    options: Options,
    log: Log,
}

impl Server {
    pub(crate) fn start(options: &Options) -> Self {
        Self::try_start(options).unwrap_or_else(|error| panic!("no start: {error:#?}"))
    }

    pub(crate) fn try_start(options: &Options) -> Result<Self, StartError> {
        // Only aft can pick a port itself; before others another process may be quicker: try again.
        let tries = if options.peer != Peer::Aft && options.port == 0 { 5 } else { 1 };
        let mut result = Self::start_once(options, Log::default());
        for _ in 1..tries {
            if result.is_ok() {
                break;
            }
            result = Self::start_once(options, Log::default());
        }
        result
    }

    fn start_once(options: &Options, log: Log) -> Result<Self, StartError> {
        Self::begin_once(options, log).served()
    }

    /// Starts one that will have to wait before it serves.
    pub(crate) fn begin(options: &Options) -> Starting {
        Self::begin_once(options, Log::default())
    }

    fn begin_once(options: &Options, log: Log) -> Starting {
        let (child, ready) = Self::spawn(options, &log);
        let server = Self { child, addr: ready.hint, options: options.clone(), log };
        Starting { server, ready }
    }

    /// Starts the process without waiting for anything.
    fn spawn(options: &Options, log: &Log) -> (Child, Ready) {
        let port = match (options.peer, options.port) {
            (Peer::Redis | Peer::MiniStack | Peer::Moto, 0) => free_port(),
            (_, port) => port,
        };
        let mut command = options.command(port);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (sender, addr) = channel();
        let hint = SocketAddr::from(([127, 0, 0, 1], port));
        let announce = |sender| Announce { peer: options.peer, hint, sender };
        let (out, err) = match options.peer {
            Peer::MiniStack | Peer::Moto => (None, Some(sender)),
            Peer::Aft | Peer::Redis => (Some(sender), None),
        };
        log.follow(false, child.stdout.take().expect("piped"), announce(out));
        log.follow(true, child.stderr.take().expect("piped"), announce(err));
        (child, Ready { hint, addr })
    }

    /// Starts on this server's directory and kills it while it may still be recovering.
    pub(crate) fn start_and_kill(options: &Options, after: std::time::Duration) {
        let log = Log::default();
        let options = Options { takeover: true, ..options.clone() };
        let Starting { mut server, ready } = Self::begin_once(&options, log);
        // Ready or not: what counts is that the moment of the kill is anywhere in the start.
        let _ = ready.addr.recv_timeout(after);
        server.kill_9();
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.addr).expect("a connection")
    }

    /// As a crash: no chance to write, answer or tidy up.
    pub(crate) fn kill_9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) fn send_sigterm(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("the server is there");
    }

    /// SIGTERM, then the exit status.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.send_sigterm();
        self.wait_for_exit()
    }

    /// Its exit status, when all that it said is known.
    pub(crate) fn wait_for_exit(&mut self) -> ExitStatus {
        let child = &mut self.child;
        let exited = || child.try_wait().expect("a child of ours");
        let status = wait::until("the server exits", PATIENCE, exited);
        // Its last words may still be on their way.
        self.log.when_complete();
        status
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    /// Starts again on the same directory, on any port. The log goes on.
    pub(crate) fn restart(&mut self) {
        self.restart_on(0);
    }

    /// Starts again where reconnecting clients look for it.
    pub(crate) fn restart_on_same_port(&mut self) {
        self.restart_on(self.addr.port());
    }

    fn restart_on(&mut self, port: u16) {
        assert!(!self.is_running(), "stop it first");
        let options = Options { port, takeover: true, ..self.options.clone() };
        self.log.note("-- restart --");
        *self = Self::start_once(&options, self.log.clone())
            .unwrap_or_else(|error| panic!("no restart: {error:#?}"));
    }

    /// Everything the server printed so far.
    pub(crate) fn said(&self) -> String {
        [self.log.lines(false), self.log.lines(true)].concat().join("\n")
    }

    /// What the server printed on stdout so far.
    pub(crate) fn stdout(&self) -> Vec<String> {
        self.log.lines(false)
    }

    /// The process, to look at it or to limit what it may have.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// How many sockets the process has open.
    pub(crate) fn open_sockets(&self) -> usize {
        let path = format!("/proc/{}/fd", self.child.id());
        let files = std::fs::read_dir(path).expect("the server's files").flatten();
        let targets = files.filter_map(|file| std::fs::read_link(file.path()).ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    }

    /// A figure of /proc/PID/status in bytes, such as `VmRSS` (now) or `VmHWM` (the most ever).
    pub(crate) fn memory_bytes(&self, figure: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("the server's status");
        let line = status.lines().find(|line| line.starts_with(figure)).expect("the figure");
        let kilobytes = line.split_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok());
        kilobytes.expect("a number") * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill_9();
        if std::thread::panicking() {
            self.log.print(&self.options);
        }
    }
}

/// A server that may not be there yet.
pub(crate) struct Starting {
    server: Server,
    ready: Ready,
}

impl Starting {
    /// Everything it printed so far.
    pub(crate) fn said(&self) -> String {
        self.server.said()
    }

    /// Waits until it serves, or has refused to.
    pub(crate) fn served(self) -> Result<Server, StartError> {
        let Self { mut server, ready } = self;
        match ready.addr.recv_timeout(PATIENCE) {
            Ok(addr) => server.addr = addr,
            Err(RecvTimeoutError::Timeout) => panic!("no `listening` line within {PATIENCE:?}"),
            Err(RecvTimeoutError::Disconnected) => {
                let status = server.wait_for_exit();
                let (stdout, stderr) = server.log.when_complete();
                return Err(StartError { code: status.code(), stdout, stderr });
            }
        }
        Ok(server)
    }
}

/// Where a server will be, and the word that it is there.
struct Ready {
    hint: SocketAddr,
    addr: Receiver<SocketAddr>,
}

/// Finds the line that says the server is ready.
struct Announce {
    peer: Peer,
    hint: SocketAddr,
    sender: Option<Sender<SocketAddr>>,
}

impl Announce {
    fn see(&self, line: &str) {
        let addr = match self.peer {
            Peer::Aft => line.strip_prefix("listening").and_then(|rest| rest.trim().parse().ok()),
            Peer::Redis => line.contains("Ready to accept connections").then_some(self.hint),
            Peer::MiniStack | Peer::Moto => {
                line.contains("Running on http://").then_some(self.hint)
            }
        };
        if let (Some(sender), Some(addr)) = (&self.sender, addr) {
            let _ = sender.send(addr);
        }
    }
}

#[derive(Default)]
struct Lines {
    lines: Vec<(bool, String)>,
    open: u32,
}

/// Everything the process printed, across restarts: (is it stderr, line).
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Lines>>);

impl Log {
    fn follow(&self, is_stderr: bool, from: impl Read + Send + 'static, announce: Announce) {
        self.with(|log| log.open += 1);
        let log = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                // The line that says "ready" must be in the log when a test wakes up by it.
                log.with(|log| log.lines.push((is_stderr, line.clone())));
                announce.see(&line);
            }
            log.with(|log| log.open -= 1);
        });
    }

    fn with<T>(&self, f: impl FnOnce(&mut Lines) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, text: &str) {
        self.with(|log| log.lines.push((false, text.to_owned())));
    }

    fn lines(&self, stderr: bool) -> Vec<String> {
        self.with(|log| {
            let wanted = log.lines.iter().filter(|(is_stderr, _)| *is_stderr == stderr);
            wanted.map(|(_, line)| line.clone()).collect()
        })
    }

    fn when_complete(&self) -> (Vec<String>, Vec<String>) {
        let ended = || self.with(|log| log.open == 0).then_some(());
        wait::until("the log of an exited server ends", PATIENCE, ended);
        (self.lines(false), self.lines(true))
    }

    fn print(&self, options: &Options) {
        let from = self.with(|log| log.lines.clone());
        eprintln!("---- the server's log ({:?}, last 80 lines)", options.peer);
        for (is_stderr, line) in from.iter().skip(from.len().saturating_sub(80)) {
            eprintln!("{} {line}", if *is_stderr { "err" } else { "out" });
        }
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}
