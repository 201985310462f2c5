//! A redis-server 7.0 to compare with.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A redis-server of our own, on a socket in a directory of its own: no port to collide.
pub(crate) struct Redis {
    process: Child,
    directory: PathBuf,
    // Redis logs to it, as long as it is open.
    _log: BufReader<ChildStdout>,
}

impl Redis {
    /// Starts one and waits until it accepts, or says that there is none of version 7.0.
    pub(crate) fn start(test: &str, options: &[&str]) -> Option<Self> {
        let version = Command::new("redis-server").arg("--version").output();
        let right =
            version.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("v=7.0."));
        if !right {
            let wanted = std::env::var_os("AFT_TEST_REDIS").is_some();
            assert!(!wanted, "AFT_TEST_REDIS is set and redis-server 7.0 is not here");
            println!("skipped: no redis-server 7.0");
            return None;
        }
        let directory =
            std::env::temp_dir().join(format!("aft-resp-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let mut process = Command::new("redis-server")
            .args(["--port", "0", "--unixsocket", "socket", "--save", "", "--dir"])
            .arg(&directory)
            .args(options)
            .current_dir(&directory)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        // Its last line before it serves; an end of the log means it didn't start.
        while !line.contains("ready to accept connections at") {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "redis-server did not start");
        }
        Some(Self { process, directory, _log: log })
    }

    /// A connection to it.
    pub(crate) fn connect(&self) -> UnixStream {
        let socket = UnixStream::connect(self.directory.join("socket")).unwrap();
        // A reply that never comes is a failed test, not one that hangs.
        let patience = Some(Duration::from_secs(10));
        socket.set_read_timeout(patience).unwrap();
        socket
    }

    /// All it answers to `stream` before it closes the connection, which it does at the
    /// stream's end at the latest.
    pub(crate) fn answers(&self, stream: &[u8]) -> Vec<u8> {
        let mut socket = UnixStream::connect(self.directory.join("socket")).unwrap();
        let mut sender = socket.try_clone().unwrap();
        // After a protocol error it reads no more: then neither sending nor an orderly
        // end can be expected, only the answers.
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let _ = sender.write_all(stream);
                let _ = sender.shutdown(Shutdown::Write);
            });
            let mut answers = Vec::new();
            let _ = socket.read_to_end(&mut answers);
            answers
        })
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
