//! `aft store verify` and `aft store stats`: a store that no node has open, looked at and
//! left as it is.

use crate::clock::{Clock, SystemClock};
use crate::config;
use crate::inspect::{
    self, Depth, Inspection, statistics_json, statistics_text, verification_json, verification_text,
};
use crate::storage::embedded::ReadOnlyStore;
#[cfg(feature = "redis")]
use crate::storage::redis::{RedisOptions, RedisStore};
use crate::storage::{Store, StoreError};
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

const VERIFY: &str = "verify";
const STATS: &str = "stats";
const STORE: &str = "store";
const JSON: &str = "json";

/// Runs what the arguments ask for, the first of them `store`. The exit code is 0 if nothing
/// is wrong, 1 if something in the store is, 2 if the store could not be looked at.
pub fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let matches = match command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let Some((what, matches)) = matches.subcommand() else {
        return ExitCode::from(2);
    };
    let found = match look(what, matches) {
        Ok(found) => found,
        Err(error) => {
            eprintln!("aft: {error}");
            return ExitCode::from(2);
        }
    };
    let text = match (what, matches.get_flag(JSON)) {
        (VERIFY, false) => verification_text(&found),
        (VERIFY, true) => verification_json(&found),
        (_, false) => statistics_text(&found),
        (_, true) => statistics_json(&found),
    };
    // Who closes its end of the pipe early has seen enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::from(u8::from(!found.faults.is_empty()))
}

fn command() -> Command {
    let store = Arg::new(STORE)
        .long("store")
        .value_name("embedded:DIR|redis://HOST")
        .required(true)
        .value_parser(|text: &str| match text.parse() {
            Ok(config::Store::Memory) => Err("memory: keeps nothing to look at".to_owned()),
            store => store,
        })
        .help("The store, which no node may have open");
    let json = Arg::new(JSON).long("json").action(ArgAction::SetTrue).help("Answers in JSON");
    let arguments = [store, json];
    Command::new("aft store")
        .about("Looks at a store that no node has open, and changes nothing in it")
        .subcommand_required(true)
        .subcommand(
            Command::new(VERIFY)
                .about("Reads every byte and says what is wrong and whom it affects")
                .args(arguments.clone()),
        )
        .subcommand(
            Command::new(STATS)
                .about("Says what is in it, live and dead, and what a start would read")
                .after_help("Of a running node, INFO aft says it.")
                .args(arguments),
        )
}

fn look(what: &str, matches: &ArgMatches) -> Result<Inspection, StoreError> {
    let failed = |why: String| StoreError::Fatal(why);
    let Some(address) = matches.get_one::<config::Store>(STORE) else {
        return Err(failed("no store is named".to_owned()));
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| failed(error.to_string()))?;
    let depth = if what == VERIFY { Depth::Whole } else { Depth::Directories };
    let mut progress = Progress::new();
    let now_ms = SystemClock::new().wall_ms();
    runtime.block_on(async {
        let store = open(address).await?;
        inspect::inspect(&*store, depth, now_ms, |done, all| progress.show(done, all)).await
    })
}

async fn open(address: &config::Store) -> Result<Box<dyn Store>, StoreError> {
    match address {
        config::Store::Embedded { dir } => Ok(Box::new(ReadOnlyStore::open(dir)?)),
        #[cfg(feature = "redis")]
        config::Store::Redis(address) => {
            Ok(Box::new(RedisStore::look(address, RedisOptions::default()).await?))
        }
        other => Err(StoreError::Fatal(format!("this build can't look at {}", other.shown()))),
    }
}

/// One line on a terminal, written over and over.
struct Progress {
    shown: bool,
    percent: Option<u64>,
}

impl Progress {
    fn new() -> Self {
        Self { shown: std::io::stderr().is_terminal(), percent: None }
    }

    fn show(&mut self, done: u64, all: u64) {
        let percent = (done * 100).checked_div(all);
        if !self.shown || percent == self.percent {
            return;
        }
        self.percent = percent;
        let filled = percent.unwrap_or(100) as usize / 4;
        let bar = format!("{:<25}", "#".repeat(filled));
        eprint!("\r[{bar}] {done} of {all} objects");
        if done == all {
            eprintln!();
        }
    }
}
