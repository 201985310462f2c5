//! The command of `aft run`: a process group of its own, so that all of it can be stopped.

use super::options::{Options, URL_VARIABLE};
use super::request::{Failure, Watch};
use rustix::process::{Pid, Signal, kill_process_group};
use std::future::pending;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdout, Command};
use tokio::signal::unix::{Signal as Incoming, SignalKind, signal};
use tokio::time::{sleep, timeout};

/// What a command may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(5);

/// Signals that are passed on.
pub(super) struct Signals {
    terminate: Incoming,
    interrupt: Incoming,
    hangup: Incoming,
    quit: Incoming,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.hangup.recv() => Signal::HUP,
            _ = self.quit.recv() => Signal::QUIT,
        }
    }
}

/// Why we ended it.
#[derive(Debug)]
pub(super) enum Stopped {
    /// We were told to.
    Signal(Signal),
    TimedOut,
    /// It printed more than a result may be.
    TooMuch,
    /// Nothing that it does can count.
    Lost(Failure),
}

/// What has become of it.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) code: u8,
    pub(super) output: Vec<u8>,
    pub(super) stopped: Option<Stopped>,
}

/// A command that runs.
pub(super) struct Child {
    process: tokio::process::Child,
    group: Option<Pid>,
    stdout: Option<ChildStdout>,
    output: Vec<u8>,
}

impl Child {
    pub(super) fn start(
        options: &Options,
        token: &str,
        attempt: u32,
        stdin: Option<&[u8]>,
    ) -> io::Result<Self> {
        let mut command = Command::new(options.program());
        command
            .args(options.command.iter().skip(1))
            .env(URL_VARIABLE, options.address.url_inside(token))
            .env("AFT_REQUEST", &options.request)
            .env("AFT_TOKEN", token)
            .env("AFT_ATTEMPT", attempt.to_string())
            .env_remove("AFT_STEP")
            .process_group(0)
            .stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() })
            .stdout(if options.keeps_result { Stdio::piped() } else { Stdio::inherit() });
        if let Some(step) = &options.step {
            command.env("AFT_STEP", step);
        }
        let mut process = command.spawn()?;
        let group = process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let stdout = process.stdout.take();
        if let (Some(mut pipe), Some(bytes)) = (process.stdin.take(), stdin) {
            let bytes = bytes.to_vec();
            // Whether it reads is its own affair.
            tokio::spawn(async move { pipe.write_all(&bytes).await });
        }
        Ok(Self { process, group, stdout, output: Vec::new() })
    }

    /// Until it has ended, by itself or because it must.
    pub(super) async fn wait(
        mut self,
        options: &Options,
        signals: &mut Signals,
        watch: &mut Watch,
    ) -> io::Result<Finished> {
        let max = options.result_bytes_max;
        let mut stopped = None;
        let mut time_is_up = std::pin::pin!(sleep(options.timeout.unwrap_or(Duration::MAX)));
        let mut grace_is_over = std::pin::pin!(sleep(Duration::MAX));
        let mut lost = std::pin::pin!(watch.lost());
        let status = loop {
            let why = tokio::select! {
                status = self.process.wait() => break status?,
                more = read(&mut self.stdout, &mut self.output), if self.output.len() <= max => {
                    if !more? {
                        self.stdout = None;
                    }
                    if self.output.len() <= max {
                        continue;
                    }
                    Stopped::TooMuch
                }
                signal = signals.next() => {
                    self.signal(signal);
                    Stopped::Signal(signal)
                }
                () = &mut time_is_up, if stopped.is_none() => Stopped::TimedOut,
                failure = &mut lost, if stopped.is_none() => Stopped::Lost(failure),
                () = &mut grace_is_over, if stopped.is_some() => {
                    self.signal(Signal::KILL);
                    break self.process.wait().await?;
                }
            };
            if stopped.is_none() {
                if !matches!(why, Stopped::Signal(_)) {
                    self.signal(Signal::TERM);
                }
                stopped = Some(why);
                grace_is_over.set(sleep(GRACE));
            }
        };
        // What it has left behind could print for ever, and write what can't count.
        self.signal(Signal::KILL);
        let whole = timeout(GRACE, async {
            while self.stdout.is_some() && self.output.len() <= max {
                if !read(&mut self.stdout, &mut self.output).await? {
                    self.stdout = None;
                }
            }
            io::Result::Ok(())
        });
        // Who has left the group may hold the pipe: what the command itself wrote is here by now.
        if let Ok(read) = whole.await {
            read?;
        }
        let code = code(status);
        if self.output.len() > max && code == 0 {
            stopped.get_or_insert(Stopped::TooMuch);
        }
        Ok(Finished { code, output: self.output, stopped })
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It may be gone by now.
            let _ = kill_process_group(group, signal);
        }
    }
}

/// Some more of the output; `false` at its end. Where there is none, never.
async fn read(stdout: &mut Option<ChildStdout>, output: &mut Vec<u8>) -> io::Result<bool> {
    match stdout {
        Some(stdout) => Ok(stdout.read_buf(output).await? > 0),
        None => pending().await,
    }
}

/// As a shell says it.
fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
