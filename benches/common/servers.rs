//! Starting and ending the servers that are compared.

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Result;

/// Under callgrind a server takes seconds to start and to end, and longer with ten million
/// keys on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(300);
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Somebody else may take a free port between our look and redis-server's bind.
const PORT_ATTEMPTS: usize = 5;

/// Of the CPU times in /proc: the same on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Which pair of servers is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// redis-server without persistence, `aft --store memory:`.
    Memory,
    /// redis-server with `appendfsync always`, `aft --store embedded:DIR`.
    Embedded,
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Embedded => "embedded",
        })
    }
}

/// Which server to start.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Redis(Store),
    Aft {
        binary: PathBuf,
        store: Store,
        /// Options of its command line, beside those.
        settings: Vec<String>,
    },
    /// aft with a store that is elsewhere.
    AftOn {
        binary: PathBuf,
        /// Its address.
        store: String,
        settings: Vec<String>,
    },
    /// S3 and DynamoDB, as `tests/servers/install` puts it there.
    MiniStack,
    /// This program, run again as another server.
    Itself {
        name: &'static str,
        arguments: Vec<String>,
    },
}

/// A running server; dropping it kills it and removes its directory.
#[derive(Debug)]
pub(crate) struct Server {
    running: Running,
    directory: Directory,
}

#[derive(Debug)]
struct Running {
    child: Child,
    address: SocketAddr,
    drain: JoinHandle<()>,
}

impl Server {
    /// Starts a server with its data in a new directory below `parent`, and waits until
    /// it serves. `wrapper` is what to run it under, e.g. valgrind and its options.
    pub(crate) async fn start(kind: &Kind, parent: &Path, wrapper: &[String]) -> Result<Self> {
        Self::start_in(kind, Directory::create(parent, kind.name())?, wrapper).await
    }

    /// The same on a directory that may hold data.
    pub(crate) async fn start_in(
        kind: &Kind,
        directory: Directory,
        wrapper: &[String],
    ) -> Result<Self> {
        let mut attempt = 1;
        loop {
            let result = timeout(START_LIMIT, Running::start(kind, &directory.path, wrapper))
                .await
                .unwrap_or_else(|_| Err(format!("not ready after {START_LIMIT:?}").into()));
            match result {
                Ok(running) => return Ok(Self { running, directory }),
                // aft picks its port itself: trying again would only hide an error.
                Err(_) if attempt < PORT_ATTEMPTS && !kind.picks_its_port() => attempt += 1,
                Err(error) => return Err(format!("{}: {error}", kind.name()).into()),
            }
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running.address
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory.path
    }

    /// What its data takes on the disk.
    pub(crate) fn disk_bytes(&self) -> Result<u64> {
        self.directory.disk_bytes()
    }

    /// A file about it in /proc.
    fn proc(&self, file: &str) -> Result<String> {
        let pid = self.running.child.id().ok_or("the server has ended")?;
        Ok(fs::read_to_string(format!("/proc/{pid}/{file}"))?)
    }

    /// Memory that it has now.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        Ok(kib.ok_or("no VmRSS in /proc")?.trim().parse::<u64>()? << 10)
    }

    /// CPU time it has used so far, in user space and in the kernel.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let stat = self.proc("stat")?;
        // Behind the name, which may have spaces and brackets in it: see proc(5).
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
        Ok(ticks as f64 / TICKS_PER_SECOND)
    }

    /// SIGTERM, then its end; what it leaves is its directory. Kills it if it does not end
    /// by itself.
    pub(crate) async fn stop(mut self) -> Result<Directory> {
        self.running.end().await?;
        Ok(self.directory)
    }

    /// Stops and starts it.
    pub(crate) async fn restart(&mut self, kind: &Kind) -> Result<()> {
        self.running.end().await?;
        self.running = Running::start(kind, &self.directory.path, &[]).await?;
        Ok(())
    }
}

impl Running {
    async fn end(&mut self) -> Result<()> {
        let Some(pid) = self.child.id() else {
            return Err("the server had ended by itself".into());
        };
        // The shell's own kill: a minimal system has no other, and std can only SIGKILL.
        Command::new("sh").args(["-c", "kill -TERM \"$0\"", &pid.to_string()]).status().await?;
        timeout(STOP_LIMIT, self.child.wait())
            .await
            .map_err(|_| format!("still running {STOP_LIMIT:?} after SIGTERM"))??;
        Ok(())
    }

    async fn start(kind: &Kind, directory: &Path, wrapper: &[String]) -> Result<Self> {
        let port = free_port()?;
        let mut words = wrapper.to_vec();
        words.extend(kind.command_line(port, directory)?);
        let log = directory.join("stderr");
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log)?)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{}: {error}", words[0]))?;
        let stdout = child.stdout.take().ok_or("no pipe to its stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let Some(address) = kind.wait_until_ready(port, &mut lines).await? else {
            let log = fs::read_to_string(&log).unwrap_or_default();
            return Err(format!("ended before it served. {}", log.trim()).into());
        };
        // A full pipe would stop the server at some log line.
        let drain = tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { child, address, drain })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.drain.abort();
    }
}

impl Kind {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Redis(_) => "redis-server",
            Self::Aft { .. } | Self::AftOn { .. } => "aft",
            Self::MiniStack => "ministack",
            Self::Itself { name, .. } => name,
        }
    }

    fn picks_its_port(&self) -> bool {
        !matches!(self, Self::Redis(_) | Self::MiniStack)
    }

    fn command_line(&self, port: u16, directory: &Path) -> Result<Vec<String>> {
        let directory = directory.display().to_string();
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Ok(match self {
            Self::Redis(store) => {
                let (append, sync) = match store {
                    Store::Memory => ("no", "no"),
                    Store::Embedded => ("yes", "always"),
                };
                owned(&[
                    "redis-server",
                    "--port",
                    &port.to_string(),
                    "--bind",
                    "127.0.0.1",
                    "--dir",
                    &directory,
                    "--save",
                    "",
                    "--appendonly",
                    append,
                    "--appendfsync",
                    sync,
                ])
            }
            Self::Aft { binary, store, settings } => match store {
                Store::Memory => aft_words(binary, "memory:", settings),
                Store::Embedded => {
                    aft_words(binary, &format!("embedded:{directory}/data"), settings)
                }
            },
            Self::AftOn { binary, store, settings } => aft_words(binary, store, settings),
            Self::MiniStack => ministack_words(port, &directory)?,
            Self::Itself { arguments, .. } => {
                let program = std::env::current_exe()?.display().to_string();
                [&[program], arguments.as_slice()].concat()
            }
        })
    }

    /// Reads what the server prints until it says that it serves; none if it ends first.
    async fn wait_until_ready(
        &self,
        port: u16,
        lines: &mut Lines<BufReader<ChildStdout>>,
    ) -> Result<Option<SocketAddr>> {
        while let Some(line) = lines.next_line().await? {
            if let Some(address) = line.strip_prefix("listening ") {
                return Ok(Some(address.trim().parse()?));
            }
            let ready = match self {
                Self::Redis(_) => "Ready to accept connections",
                Self::MiniStack => "Running on http://",
                _ => continue,
            };
            if line.contains(ready) {
                return Ok(Some((Ipv4Addr::LOCALHOST, port).into()));
            }
        }
        Ok(None)
    }
}

fn aft_words(binary: &Path, store: &str, settings: &[String]) -> Vec<String> {
    let binary = binary.display().to_string();
    let words = [&binary, "--listen", "127.0.0.1:0", "--store", store];
    words.map(str::to_owned).into_iter().chain(settings.iter().cloned()).collect()
}

fn ministack_words(port: u16, directory: &str) -> Result<Vec<String>> {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/target/test-servers/bin/ministack");
    if !Path::new(program).exists() {
        return Err("MiniStack is not there: tests/servers/install".into());
    }
    let settings = [
        "env".to_owned(),
        // Without this it listens everywhere.
        "BIND_HOST=127.0.0.1".to_owned(),
        format!("GATEWAY_PORT={port}"),
        "S3_PERSIST=1".to_owned(),
        format!("S3_DATA_DIR={directory}/s3"),
        format!("STATE_DIR={directory}/state"),
    ];
    // It tells on stderr that it is there.
    let run = ["sh", "-c", "exec \"$0\" 2>&1", program].map(str::to_owned);
    Ok(settings.into_iter().chain(run).collect())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn disk_bytes(directory: &Path) -> Result<u64> {
    const BLOCK_BYTES: u64 = 512;
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        bytes += match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => disk_bytes(&path)?,
            Ok(metadata) => metadata.blocks() * BLOCK_BYTES,
            // Its server has just deleted it.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error.into()),
        };
    }
    Ok(bytes)
}

/// A directory that is removed with its owner.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) path: PathBuf,
}

impl Directory {
    /// What the files take on the disk.
    pub(crate) fn disk_bytes(&self) -> Result<u64> {
        disk_bytes(&self.path)
    }

    /// Creates an empty directory with a name that no other run has.
    pub(crate) fn create(parent: &Path, name: &str) -> Result<Self> {
        for number in 0.. {
            let path = parent.join(format!("{name}-{}-{number}", std::process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(format!("{}: {error}", path.display()).into()),
            }
        }
        Err("no name left".into())
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What can't be removed is below target/ and goes with `cargo clean`.
        let _ = fs::remove_dir_all(&self.path);
    }
}
