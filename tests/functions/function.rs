//! A server, a directory to leave notes in, and functions to run.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use crate::common::client::Client;
use crate::common::server::{Options, Server};
use crate::common::temp_dir::TempDir;
use crate::common::wait::{self, PATIENCE};

pub(crate) struct Place {
    pub(crate) server: Server,
    pub(crate) dir: TempDir,
    /// What functions are told to connect to, if not the server itself.
    pub(crate) url: String,
}

impl Place {
    pub(crate) fn in_memory() -> Self {
        Self::with(&Options::memory(), TempDir::named("functions"))
    }

    pub(crate) fn durable() -> Self {
        let dir = TempDir::named("functions");
        Self::with(&Options::durable(&dir.path().join("store")), dir)
    }

    pub(crate) fn with(options: &Options, dir: TempDir) -> Self {
        let server = Server::start(options);
        let password = options.requirepass.map_or(String::new(), |word| format!(":{word}@"));
        let url = format!("redis://{password}{}", server.addr());
        Self { server, dir, url }
    }

    /// `aft` with these words, as somebody in the place calls it.
    pub(crate) fn aft(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aft"));
        command.args(words).current_dir(self.dir.path()).env("REDIS_URL", &self.url);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn function(&self, options: &str, script: &str) -> Command {
        let mut words = vec!["run"];
        words.extend(options.split_whitespace());
        let script = format!(
            "aft() {{ redis-cli --no-auth-warning -u $REDIS_URL \"$@\" 2>&1; }}\n{WAIT}\n{script}"
        );
        words.extend(["--", "sh", "-c", &script]);
        self.aft(&words)
    }

    /// Runs a script as a function to its end.
    pub(crate) fn run(&self, options: &str, script: &str) -> Ran {
        Ran::of(self.function(options, script).output().unwrap())
    }

    /// Begins to.
    pub(crate) fn start(&self, options: &str, script: &str) -> Child {
        self.function(options, script).spawn().unwrap()
    }

    /// Waits for a note of a function, and reads it.
    pub(crate) fn note(&self, name: &str) -> String {
        let path = self.dir.path().join(name);
        wait::until(name, PATIENCE, || fs::read_to_string(&path).ok().filter(|t| t.ends_with('\n')))
    }

    /// Leaves a note that a function waits for.
    pub(crate) fn leave(&self, name: &str) {
        fs::write(self.path(name), "\n").unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What everybody can read.
    pub(crate) fn get(&self, key: &str) -> Option<String> {
        self.client().run(&["GET", key]).text()
    }

    pub(crate) fn client(&self) -> Client {
        let mut client = self.server.client();
        if let Some(password) = self.server.options().requirepass {
            client.run(&["AUTH", password]);
        }
        client
    }
}

/// `await NAME`: until there is such a note.
const WAIT: &str = "await() { until [ -e $1 ]; do sleep 0.01; done; }";

/// What came of it.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) said: String,
    pub(crate) complained: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or_else(|| -output.status.signal().unwrap());
        Self { code, said: text(&output.stdout), complained: text(&output.stderr) }
    }

    #[track_caller]
    pub(crate) fn is(&self, code: i32, said: &str) {
        assert_eq!((self.code, self.said.as_str()), (code, said), "{self:?}");
    }

    #[track_caller]
    pub(crate) fn complains(&self, code: i32, of: &str) {
        assert!(self.code == code && self.complained.contains(of), "{of}: {self:?}");
    }
}

/// The end of a function that was begun.
pub(crate) fn ended(child: Child) -> Ran {
    Ran::of(child.wait_with_output().unwrap())
}
