//! What `../serve` starts, killed and brought back at will.

use std::io::{BufRead, BufReader, copy, sink};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub const PASSWORD: &str = "secret";

/// Calls each test of this crate in both protocols, in tests of its own: `resp2` and `resp3`.
#[macro_export]
macro_rules! in_both_protocols {
    ($($test:ident),* $(,)?) => {
        mod resp2 { $(#[test] fn $test() { super::$test(2) })* }
        mod resp3 { $(#[test] fn $test() { super::$test(3) })* }
    };
}

pub struct Server {
    pub port: u16,
    dir: PathBuf,
    process: Child,
}

impl Server {
    pub fn new() -> Server {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("aft-clients-{}-{number}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let (process, port) = spawn(&dir, 0);
        Server { port, dir, process }
    }

    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// After a kill, on the same port: that is where clients reconnect.
    pub fn start_again(&mut self) {
        (self.process, _) = spawn(&self.dir, self.port);
    }
}

impl Default for Server {
    fn default() -> Server {
        Server::new()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

fn spawn(dir: &PathBuf, mut port: u16) -> (Child, u16) {
    let mut process = Command::new(std::env::var_os("AFT_SERVE").expect("AFT_SERVE"))
        .arg(dir)
        .args([&port.to_string(), PASSWORD])
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
