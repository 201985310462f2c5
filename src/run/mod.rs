//! `aft run`: a function, any command, inside of a transaction that it need not know of.
//!
//! ```text
//!   AFT.BEGIN REQUEST id ── committed ──────────────────────────> its result, exit 0
//!        │ begun                                        .------.
//!        v                                              v      │ CONFLICT, NOTXN: again,
//!   REDIS_URL=redis://user~token… command ── exit 0 ── COMMIT ─' if attempts are left
//!        │            ^ SIGTERM, timeout               │ no answer: asked again
//!        └─ exit n ── ABORT ── exit n                  '──> stdout, which is the result, exit 0
//! ```
//! What the command prints is held until it is known what became of it, so that whoever reads
//! our stdout gets the result of the attempt that counts, and of no other.
//!
//! | module      | what                                                       |
//! |-------------|------------------------------------------------------------|
//! | `options`   | what can be asked for                                      |
//! | `request`   | the transaction: begun, watched, ended, whatever gets lost |
//! | `child`     | the command: started, stopped, its output                  |

mod child;
mod options;
mod request;

use child::{Child, Finished, Signals, Stopped};
use options::Options;
use request::{Began, Failure, Request};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::ExitCode;

/// Exit codes of our own; those of [`Failure`] are beside them, and all others the command's.
const TIMED_OUT: u8 = 124;
const FAILED: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Runs what the arguments ask for, the first of them `run`. The exit code is the command's, or
/// one of those that `aft run --help` lists.
pub fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let options = match Options::parse(args) {
        Ok(options) => options,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&error.to_string());
            return ExitCode::from(FAILED);
        }
    };
    let code = runtime.block_on(Runner::run(options));
    // A server that does not answer holds up nobody.
    runtime.shutdown_background();
    ExitCode::from(code)
}

/// To whoever watches: stdout is the command's.
fn say(what: &str) {
    eprintln!("aft run: {what}");
}

/// Whoever closes its end of the pipe early has seen enough.
fn print(output: &[u8]) {
    let mut stdout = io::stdout();
    let _ = stdout.write_all(output).and_then(|()| stdout.flush());
}

struct Runner {
    options: Options,
    request: Request,
    signals: Signals,
    stdin: Option<Vec<u8>>,
}

/// What an attempt comes to.
enum Attempt {
    /// It is over, with this exit code.
    Over(u8),
    /// Nothing of it counts, and another may do better.
    Again(Failure),
}

impl Runner {
    async fn run(options: Options) -> u8 {
        let prepared = Signals::new().and_then(|signals| Ok((signals, options.read_stdin()?)));
        let (signals, stdin) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                say(&error.to_string());
                return FAILED;
            }
        };
        let request = Request::new(&options);
        let mut runner = Self { options, request, signals, stdin };
        let attempts = runner.options.attempts;
        for attempt in 1.. {
            match runner.attempt(attempt).await {
                Attempt::Over(code) => return code,
                Attempt::Again(failure) if attempt < attempts => {
                    say(&format!("attempt {attempt} of {attempts}: {failure}; it is run again"));
                }
                Attempt::Again(failure) => {
                    say(&format!("{failure}; {attempts} attempts, run it again"));
                    return failure.code();
                }
            }
        }
        FAILED
    }

    async fn attempt(&mut self, number: u32) -> Attempt {
        let first = number == 1;
        let token = match self.request.begin(first, &mut self.signals).await {
            Ok(Began::Known(result)) => {
                print(&result);
                return Attempt::Over(0);
            }
            Ok(Began::Begun(token)) => token,
            Err(failure) => return self.failed(failure),
        };
        let child = match Child::start(&self.options, &token, number, self.stdin.as_deref()) {
            Ok(child) => child,
            Err(error) => {
                self.request.give_up(&token, &mut self.signals).await;
                say(&format!("{}: {error}", self.options.program().display()));
                return Attempt::Over(match error.kind() {
                    io::ErrorKind::NotFound => NOT_FOUND,
                    io::ErrorKind::PermissionDenied => NOT_EXECUTABLE,
                    _ => FAILED,
                });
            }
        };
        let mut watch = self.request.watch(&token);
        let finished = child.wait(&self.options, &mut self.signals, &mut watch).await;
        self.end(&token, finished).await
    }

    async fn end(&mut self, token: &str, finished: io::Result<Finished>) -> Attempt {
        let finished = match finished {
            Ok(finished) => finished,
            Err(error) => {
                self.request.give_up(token, &mut self.signals).await;
                say(&format!("lost sight of the command: {error}"));
                return Attempt::Over(FAILED);
            }
        };
        let Finished { code, output, stopped } = finished;
        let code = match stopped {
            None if code == 0 => return self.commit(token, output).await,
            None => code,
            Some(Stopped::Lost(failure)) => return self.failed(failure),
            Some(Stopped::Signal(_)) if code != 0 => code,
            Some(Stopped::Signal(signal)) => u8::try_from(128 + signal.as_raw()).unwrap_or(FAILED),
            Some(Stopped::TimedOut) => {
                say("the command took longer than --timeout");
                TIMED_OUT
            }
            Some(Stopped::TooMuch) => {
                let max = self.options.result_bytes_max;
                say(&format!(
                    "the command printed more than --result-bytes-max ({max}), which a retry \
                     could not be told: print less, or use --no-result"
                ));
                FAILED
            }
        };
        self.request.give_up(token, &mut self.signals).await;
        print(&output);
        Attempt::Over(code)
    }

    async fn commit(&mut self, token: &str, output: Vec<u8>) -> Attempt {
        match self.request.finish(token, &output, &mut self.signals).await {
            Ok(()) => {
                print(&output);
                Attempt::Over(0)
            }
            Err(failure) => {
                if matches!(failure, Failure::Refused(_)) {
                    self.request.give_up(token, &mut self.signals).await;
                }
                self.failed(failure)
            }
        }
    }

    /// A step alone is not repeated: all that came before it would have to be.
    fn failed(&self, failure: Failure) -> Attempt {
        match failure {
            Failure::NotCommitted(_) if self.options.step.is_none() => Attempt::Again(failure),
            Failure::NotCommitted(_) => {
                say(&format!("{failure}; restart the request with its first step"));
                Attempt::Over(failure.code())
            }
            Failure::Uncertain(_) | Failure::Unanswered(_) => {
                say(&format!("{failure}; run it again with the same id"));
                Attempt::Over(failure.code())
            }
            Failure::Overtaken | Failure::Refused(_) => {
                say(&failure.to_string());
                Attempt::Over(failure.code())
            }
        }
    }
}

impl Options {
    /// What each attempt is given.
    fn read_stdin(&self) -> io::Result<Option<Vec<u8>>> {
        /// Twice what Lambda hands to a function at the most.
        const BYTES_MAX: u64 = 12 << 20;
        if !self.stdin {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        io::stdin().lock().take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > BYTES_MAX {
            true => Err(io::Error::other(format!("stdin is larger than {BYTES_MAX} bytes"))),
            false => Ok(Some(bytes)),
        }
    }
}
