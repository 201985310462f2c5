//! What `../serve` starts, killed and brought back at will.

use std::io::{BufRead, BufReader, copy, sink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub const PASSWORD: &str = "secret";

/// How a client connects.
#[derive(Clone, Copy)]
pub struct Way {
    pub protocol: u32,
    pub tls: bool,
}

/// Calls each test of this crate in both protocols, plain and over TLS, in tests of their own.
#[macro_export]
macro_rules! in_every_way {
    ($($test:ident),* $(,)?) => {
        $crate::in_way! { resp2 2 false $($test)* }
        $crate::in_way! { resp3 3 false $($test)* }
        $crate::in_way! { resp2_over_tls 2 true $($test)* }
        $crate::in_way! { resp3_over_tls 3 true $($test)* }
    };
}

#[macro_export]
macro_rules! in_way {
    ($way:ident $protocol:literal $tls:literal $($test:ident)*) => {
        mod $way {
            const WAY: $crate::Way = $crate::Way { protocol: $protocol, tls: $tls };
            $(#[test] fn $test() { super::$test(WAY) })*
        }
    };
}

/// A file that the runner has made.
pub fn certificate(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("AFT_CERTIFICATES").expect("AFT_CERTIFICATES")).join(name)
}

/// Whether the tests themselves are checked, with a server that has nothing of what is only aft's.
pub fn is_redis() -> bool {
    let binary = PathBuf::from(std::env::var_os("AFT_BINARY").expect("AFT_BINARY"));
    binary.file_name().is_some_and(|name| name.to_string_lossy().starts_with("redis-server"))
}

pub struct Server {
    pub port: u16,
    tls: bool,
    dir: PathBuf,
    process: Child,
}

impl Server {
    /// With `tls` the port speaks that and nothing else.
    pub fn new(tls: bool) -> Server {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("aft-clients-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let (process, port) = spawn(&dir, 0, tls);
        Server { port, tls, dir, process }
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// After a kill, on the same port: that is where clients reconnect.
    pub fn start_again(&mut self) {
        (self.process, _) = spawn(&self.dir, self.port, self.tls);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn spawn(dir: &Path, mut port: u16, tls: bool) -> (Child, u16) {
    let mut process = Command::new(std::env::var_os("AFT_SERVE").expect("AFT_SERVE"))
        .arg(dir)
        .args([&port.to_string(), PASSWORD])
        .args(tls.then(|| certificate("")))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    loop {
        let mut line = String::new();
        assert!(output.read_line(&mut line).unwrap() > 0, "the server did not start");
        if let Some(number) = line.strip_prefix("port ") {
            port = number.trim().parse().unwrap();
        } else if line.starts_with("listening") || line.contains("Ready to accept") {
            std::thread::spawn(move || copy(&mut output, &mut sink()));
            return (process, port);
        }
    }
}
