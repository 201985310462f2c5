//! `aft store`: a store without its node. It can be looked at (`verify`, `stats`), copied while
//! a node serves it (`dump`), and filled (`load`, `aft import`).

mod backup;
mod import;
mod progress;

pub use import::run_import;

use crate::backup::BackupError;
use crate::clock::{Clock, SystemClock};
use crate::config;
use crate::inspect::{
    self, Depth, Inspection, statistics_json, statistics_text, verification_json, verification_text,
};
use crate::storage::embedded::ReadOnlyStore;
#[cfg(feature = "redis")]
use crate::storage::redis::{RedisOptions, RedisStore};
#[cfg(feature = "s3")]
use crate::storage::s3::{S3Options, S3Store};
use crate::storage::{Store, StoreError};
use clap::{Arg, ArgAction, ArgMatches, Command};
use progress::Progress;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

const VERIFY: &str = "verify";
const STATS: &str = "stats";
const STORE: &str = "store";
const JSON: &str = "json";
const DUMP: &str = "dump";
const LOAD: &str = "load";
const OUTPUT: &str = "output";
const INPUT: &str = "input";
const REPLACE: &str = "replace";

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
    match what {
        DUMP => finish(backup::dump(matches)),
        LOAD => finish(backup::load(matches)),
        _ => report(what, matches),
    }
}

fn finish(done: Result<(), BackupError>) -> ExitCode {
    let Err(error) = done else {
        return ExitCode::SUCCESS;
    };
    eprintln!("aft: {error}");
    ExitCode::from(if matches!(error, BackupError::Damaged(_)) { 1 } else { 2 })
}

fn report(what: &str, matches: &ArgMatches) -> ExitCode {
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
    let store = |help: &'static str| {
        let store = Arg::new(STORE).long("store").required(true).help(help);
        store.value_name("embedded:DIR|redis://HOST|s3://BUCKET").value_parser(kept)
    };
    let closed = store("The store, which no node may have open");
    let filled = closed.clone().value_name("embedded:DIR").value_parser(directory);
    let json = Arg::new(JSON).long("json").action(ArgAction::SetTrue).help("Answers in JSON");
    let file = |name, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help(help)
    };
    let replace = Arg::new(REPLACE)
        .long(REPLACE)
        .action(ArgAction::SetTrue)
        .help("Replaces what the store holds, all of it");
    Command::new("aft store")
        // Its usage is that of the program, not of the first argument.
        .bin_name("aft store")
        .about("Looks at a store, copies it, fills it")
        .subcommand_required(true)
        .subcommand(
            Command::new(VERIFY)
                .about("Reads every byte and says what is wrong and whom it affects")
                .args([&closed, &json]),
        )
        .subcommand(
            Command::new(STATS)
                .about("Says what is in it, live and dead, and what a start would read")
                .after_help("Of a running node, INFO aft says it.")
                .args([&closed, &json]),
        )
        .subcommand(
            Command::new(DUMP)
                .about("Writes all keys, as of one moment, while a node serves them or not")
                .arg(store("The store; a node may be serving it"))
                .arg(file(OUTPUT, "Where to, instead of stdout: there when it is whole")),
        )
        .subcommand(
            Command::new(LOAD)
                .about("Fills a store with a dump: all of it or, if anything fails, nothing")
                .args([filled, file(INPUT, "The dump, instead of stdin"), replace]),
        )
}

/// A store that outlives its node.
fn kept(text: &str) -> Result<config::Store, String> {
    match text.parse() {
        Ok(config::Store::Memory) => Err("memory: keeps nothing to look at".to_owned()),
        store => store,
    }
}

/// A store that can be filled without a node. Of a Redis nobody can tell whether a node writes to
/// it meanwhile.
fn directory(text: &str) -> Result<PathBuf, String> {
    match text.parse() {
        Ok(config::Store::Embedded { dir }) => Ok(dir),
        Ok(config::Store::Redis(_) | config::Store::S3(_)) => {
            Err("such a store is filled by its node: \
             start aft on it, then run aft import redis://FROM --to redis://THAT-AFT"
                .to_owned())
        }
        _ => Err("use embedded:DIR".to_owned()),
    }
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
    let progress = Progress::of_objects();
    let now_ms = SystemClock::new().wall_ms();
    runtime.block_on(async {
        let store = open(address, Beside::NoNode).await?;
        inspect::inspect(&*store, depth, now_ms, |done, all| progress.show(done, all)).await
    })
}

/// Whether a node may have a store open that is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    NoNode,
    ANode,
}

async fn open(address: &config::Store, beside: Beside) -> Result<Box<dyn Store>, StoreError> {
    match address {
        config::Store::Embedded { dir } => Ok(Box::new(match beside {
            Beside::NoNode => ReadOnlyStore::open(dir)?,
            Beside::ANode => ReadOnlyStore::open_beside(dir)?,
        })),
        // Whoever reads a Redis is always beside others.
        #[cfg(feature = "redis")]
        config::Store::Redis(address) => {
            Ok(Box::new(RedisStore::look(address, RedisOptions::default()).await?))
        }
        #[cfg(feature = "s3")]
        config::Store::S3(address) => {
            Ok(Box::new(S3Store::look(address, S3Options::default()).await?))
        }
        other => Err(StoreError::Fatal(other.missing_feature())),
    }
}
