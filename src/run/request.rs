//! The transaction of `aft run`: begun, watched and ended, whatever gets lost on the way.

use super::child::Signals;
use super::options::Options;
use super::{FAILED, say};
use crate::clock::{Clock, SystemClock};
use crate::connection::client::{Client, ServerAddress, Trust};
use crate::resp::Reply;
use std::fmt;
use std::io;
use std::time::Duration;

/// How often it is looked at while the command runs.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Between two questions that are not answered.
const ASK_INTERVAL: Duration = Duration::from_millis(200);

/// Why it did not commit.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// A later attempt has taken its place.
    Overtaken,
    /// Certainly nothing was committed, and another attempt may do better.
    NotCommitted(String),
    /// Nobody can tell yet.
    Uncertain(String),
    /// The same, since nobody has answered.
    Unanswered(String),
    /// It can't be.
    Refused(String),
}

impl Failure {
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Overtaken => 120,
            Self::NotCommitted(_) => 121,
            Self::Uncertain(_) | Self::Unanswered(_) => 122,
            Self::Refused(_) => FAILED,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overtaken => f.write_str(
                "a later attempt of this request has taken the place of this one, which counts for nothing",
            ),
            Self::NotCommitted(why) => write!(f, "nothing was committed: {why}"),
            Self::Uncertain(why) | Self::Unanswered(why) => {
                write!(f, "it is not known whether it was committed: {why}")
            }
            Self::Refused(why) => f.write_str(why),
        }
    }
}

/// What a reply says, if it is an error.
fn failure(reply: &Reply) -> Option<Failure> {
    let Reply::Error(line) = reply else { return None };
    let line = String::from_utf8_lossy(line.as_bytes()).into_owned();
    Some(match line.split(' ').next().unwrap_or_default() {
        "STALE" => Failure::Overtaken,
        "CONFLICT" | "NOTXN" => Failure::NotCommitted(line),
        "UNCERTAIN" | "NOTCOMMITTED" => Failure::Uncertain(line),
        _ => Failure::Refused(line),
    })
}

/// A connection that is made when it is needed, and made anew when it broke.
struct Line {
    address: ServerAddress,
    trust: Trust,
    client: Option<Client>,
}

impl Line {
    async fn call(&mut self, words: &[&[u8]]) -> io::Result<Reply> {
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.to_vec()).collect();
        let (address, trust) = (self.address.clone(), self.trust.clone());
        let client = self.client.take();
        let call = tokio::task::spawn_blocking(move || {
            let mut client = match client {
                Some(client) => client,
                None => Client::connect(&address, &trust)?,
            };
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let reply = client.call(&words)?;
            io::Result::Ok((client, reply))
        });
        let (client, reply) = call.await.map_err(io::Error::other)??;
        self.client = Some(client);
        Ok(reply)
    }
}

/// What BEGIN has come to.
pub(super) enum Began {
    /// The command is to run with this token.
    Begun(String),
    /// It has run, with this result.
    Known(Vec<u8>),
}

pub(super) struct Request {
    line: Line,
    begin: Vec<Vec<u8>>,
    /// The command that ends an attempt well.
    finish: &'static str,
    is_step: bool,
    commit_timeout: Duration,
    clock: SystemClock,
}

impl Request {
    pub(super) fn new(options: &Options) -> Self {
        let mut begin: Vec<Vec<u8>> = vec![b"AFT.BEGIN".to_vec()];
        let mut word = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                begin.extend([name.as_bytes().to_vec(), value.into_bytes()]);
            }
        };
        word("REQUEST", Some(options.request.clone()));
        word("STEP", options.step.clone());
        word("AFTER", options.after.clone());
        word("TIMEOUT", options.timeout.map(|timeout| timeout.as_millis().to_string()));
        if options.serializable {
            begin.push(b"SERIALIZABLE".to_vec());
        }
        let is_step = options.step.is_some();
        let line =
            Line { address: options.address.clone(), trust: options.trust.clone(), client: None };
        Self {
            line,
            begin,
            finish: if is_step && !options.last { "AFT.DONE" } else { "AFT.COMMIT" },
            is_step,
            commit_timeout: options.commit_timeout,
            clock: SystemClock::new(),
        }
    }

    /// Begins it, or learns that it need not run. `at_once` is not to wait for a server that
    /// isn't there: nothing has happened yet.
    pub(super) async fn begin(
        &mut self,
        at_once: bool,
        signals: &mut Signals,
    ) -> Result<Began, Failure> {
        let words = self.begin.clone();
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let patience = if at_once { Duration::ZERO } else { self.commit_timeout };
        let asked = self.ask(&words, patience, signals).await;
        // Nothing has run that could have been committed.
        let reply = asked.map_err(|failure| match failure {
            Failure::Unanswered(why) => Failure::Refused(why),
            other => other,
        })?;
        let strange =
            || Failure::Refused("the reply to AFT.BEGIN is not what it should be".to_owned());
        let Reply::Array(items) = &reply else { return Err(strange()) };
        match &items[..] {
            [Reply::Bulk(token), Reply::Bulk(state), result] => match &**state {
                b"begun" => Ok(Began::Begun(String::from_utf8_lossy(token).into_owned())),
                b"done" | b"committed" => Ok(Began::Known(match result {
                    Reply::Bulk(result) => result.to_vec(),
                    _ => Vec::new(),
                })),
                _ => Err(strange()),
            },
            _ => Err(strange()),
        }
    }

    /// Ends an attempt well: nobody is told so before that is certain.
    pub(super) async fn finish(
        &mut self,
        token: &str,
        output: &[u8],
        signals: &mut Signals,
    ) -> Result<(), Failure> {
        let words: [&[u8]; 4] = [self.finish.as_bytes(), token.as_bytes(), b"RESULT", output];
        let words = if output.is_empty() { &words[..2] } else { &words };
        self.ask(words, self.commit_timeout, signals).await.map(|_| ())
    }

    /// Gives up an attempt. A step stays as it is, for its retry.
    pub(super) async fn give_up(&mut self, token: &str, signals: &mut Signals) {
        /// It is only a kindness: without it the transaction ends by its timeout.
        const PATIENCE: Duration = Duration::from_secs(5);
        if self.is_step {
            return;
        }
        let words: [&[u8]; 2] = [b"AFT.ABORT", token.as_bytes()];
        match self.ask(&words, PATIENCE, signals).await {
            Ok(Reply::Bulk(commit)) => {
                let commit = String::from_utf8_lossy(&commit).into_owned();
                say(&format!("it has been committed by somebody else, as {commit}"));
            }
            Ok(_) => {}
            Err(Failure::Uncertain(why) | Failure::Unanswered(why)) => {
                say(&format!("can't abort it now, so it ends by its timeout: {why}"));
            }
            Err(failure) => say(&failure.to_string()),
        }
    }

    /// Asks until there is an answer that tells; all that is asked here may be asked twice.
    async fn ask(
        &mut self,
        words: &[&[u8]],
        patience: Duration,
        signals: &mut Signals,
    ) -> Result<Reply, Failure> {
        let began = self.clock.monotonic();
        let mut told = false;
        loop {
            let called = tokio::select! {
                called = self.line.call(words) => called,
                signal = signals.next() => {
                    let why = format!("signal {} came before the answer", signal.as_raw());
                    return Err(Failure::Unanswered(why));
                }
            };
            let why = match called {
                Ok(reply) => match failure(&reply) {
                    None => return Ok(reply),
                    Some(failure @ Failure::Uncertain(_)) => failure,
                    Some(failure) => return Err(failure),
                },
                Err(error) => Failure::Unanswered(error.to_string()),
            };
            if self.clock.monotonic().saturating_sub(began) >= patience {
                return Err(why);
            }
            if !told {
                let seconds = patience.as_secs();
                say(&format!("{why}; it is asked again, for {seconds} s at the most"));
                told = true;
            }
            tokio::time::sleep(ASK_INTERVAL).await;
        }
    }

    /// Looks after it while the command runs.
    pub(super) fn watch(&self, token: &str) -> Watch {
        let Line { address, trust, .. } = &self.line;
        let line = Line { address: address.clone(), trust: trust.clone(), client: None };
        Watch { line, token: token.to_owned(), lost: false }
    }
}

/// Whether AFT.STATUS tells of a transaction that a refused commit has ended: the function's own.
fn is_refused(status: &Reply) -> bool {
    let Reply::Array(items) = status else { return false };
    let word = |reply: &Reply, text: &[u8]| matches!(reply, Reply::Bulk(bytes) if **bytes == *text);
    items.chunks_exact(2).any(|pair| word(&pair[0], b"state") && word(&pair[1], b"refused"))
}

/// A look at the transaction now and then.
pub(super) struct Watch {
    line: Line,
    token: String,
    lost: bool,
}

impl Watch {
    /// Ready when whatever the command does can't count any more.
    pub(super) async fn lost(&mut self) -> Failure {
        loop {
            tokio::time::sleep(WATCH_INTERVAL).await;
            match self.line.call(&[b"AFT.STATUS", self.token.as_bytes()]).await {
                Ok(reply) => {
                    if std::mem::take(&mut self.lost) {
                        say("the connection to aft is back");
                    }
                    match failure(&reply) {
                        Some(failure @ (Failure::Overtaken | Failure::NotCommitted(_))) => {
                            return failure;
                        }
                        // Others are about the question.
                        Some(_) => {}
                        None if is_refused(&reply) => {
                            return Failure::NotCommitted("its commit was refused".to_owned());
                        }
                        None => {}
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.lost, true) {
                        say(&format!(
                            "lost the connection to aft: {error}; the command goes on, and \
                             whether it counts shows when it is back"
                        ));
                    }
                }
            }
        }
    }
}
