//! The program as a person or a script calls it, and what came of it.

use std::process::{Command, Output, Stdio};

/// `aft` with these words, ready to be started.
pub(crate) fn command(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aft"));
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn aft(words: &[&str]) -> Output {
    command(words).output().expect("it can be started")
}

/// The same, and all that a person sees who types it.
pub(crate) fn on_a_terminal(words: &[&str]) -> String {
    let line = [&[env!("CARGO_BIN_EXE_aft")], words].concat().join(" ");
    let seen = Command::new("script").args(["-qec", &line, "/dev/null"]).output();
    let seen = seen.expect("script can be started");
    assert!(seen.status.success(), "{words:?}: {seen:?}");
    said(&seen)
}

/// What it said on stdout.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// One of the figures in an answer of JSON.
pub(crate) fn figure(json: &str, name: &str) -> u64 {
    let (_, after) = json.split_once(&format!("\"{name}\":")).expect("the figure");
    let digits = after.split(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).expect("a number")
}
