//! `aft store`: a store without its node. It can be looked at (`verify`, `stats`), copied while
//! a node serves it (`dump`), and filled (`load`, `aft import`); and one that has to be made
//! before a node can start on it, is (`init`).

mod backup;
mod import;
mod progress;
mod target;

pub use import::run_import;

use crate::backup::BackupError;
use crate::clock::{Clock, SystemClock};
use crate::config;
use crate::engine::EngineOptions;
use crate::inspect::{
    self, Depth, Inspection, Moment, statistics_json, statistics_text, verification_json,
    verification_text,
};
#[cfg(feature = "dynamodb")]
use crate::storage::dynamodb::{self, DynamoDbOptions, DynamoDbStore};
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
use tokio::runtime::Runtime;

const INIT: &str = "init";
const VERIFY: &str = "verify";
const STATS: &str = "stats";
const STORE: &str = "store";
const JSON: &str = "json";
const DUMP: &str = "dump";
const LOAD: &str = "load";
const OUTPUT: &str = "output";
const INPUT: &str = "input";
const REPLACE: &str = "replace";

/// What a store looks like.
const STORES: &str = "embedded:DIR|redis://HOST|s3://BUCKET|dynamodb://TABLE";

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
        INIT => init(matches),
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
    // By a node with default settings.
    let allowed = EngineOptions::default().compaction.allowed_bytes(found.live_bytes);
    let text = match (what, matches.get_flag(JSON)) {
        (VERIFY, false) => verification_text(&found),
        (VERIFY, true) => verification_json(&found),
        (_, false) => statistics_text(&found, allowed),
        (_, true) => statistics_json(&found, allowed),
    };
    // Who closes its end of the pipe early has seen enough.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::from(u8::from(!found.faults.is_empty()))
}

fn command() -> Command {
    let store = |help: &'static str| {
        let store = Arg::new(STORE).long("store").required(true).help(help);
        store.value_name(STORES).value_parser(kept)
    };
    let closed = store("The store, which no node may have open");
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
        .about("Makes a store, looks at it, copies it, fills it")
        .subcommand_required(true)
        .subcommand(
            Command::new(INIT)
                .about(
                    "Makes the table of DynamoDB, if there is none; other stores need no such step",
                )
                .arg(store("The store that is to be")),
        )
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
                .args([closed, file(INPUT, "The dump, instead of stdin"), replace]),
        )
}

/// A store that outlives its node.
fn kept(text: &str) -> Result<config::Store, String> {
    match text.parse() {
        Ok(config::Store::Memory) => Err("memory: keeps nothing to look at".to_owned()),
        store => store,
    }
}

/// The store that is named, and what runs a request to it.
fn named(matches: &ArgMatches) -> Result<(&config::Store, Runtime), StoreError> {
    let address = matches.get_one::<config::Store>(STORE);
    let address = address.ok_or_else(|| StoreError::Fatal("no store is named".to_owned()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok((address, runtime.map_err(|error| StoreError::Fatal(error.to_string()))?))
}

/// Makes what a node does not make by itself.
fn init(matches: &ArgMatches) -> ExitCode {
    let made = named(matches).and_then(|(address, runtime)| {
        runtime.block_on(async {
            match address {
                #[cfg(feature = "dynamodb")]
                config::Store::DynamoDb(address) => {
                    dynamodb::init(address, DynamoDbOptions::default()).await
                }
                #[cfg(not(feature = "dynamodb"))]
                config::Store::DynamoDb(_) => Err(StoreError::Fatal(address.missing_feature())),
                config::Store::S3(address) => Ok(format!(
                    "nothing was done: aft needs the bucket {} and makes the rest itself",
                    address.bucket
                )),
                _ => Ok("nothing was done: aft makes all it needs when it starts".to_owned()),
            }
        })
    });
    match made {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("aft: {error}");
            ExitCode::from(2)
        }
    }
}

fn look(what: &str, matches: &ArgMatches) -> Result<Inspection, StoreError> {
    let (address, runtime) = named(matches)?;
    let depth = if what == VERIFY { Depth::Whole } else { Depth::Directories };
    let progress = Progress::of_objects();
    let now_ms = SystemClock::new().wall_ms();
    // By a node with default settings.
    let keep_ms = EngineOptions::default().outcomes_keep.as_millis() as u64;
    let moment = Moment { now_ms, outcomes_since_ms: now_ms.saturating_sub(keep_ms) };
    runtime.block_on(async {
        let store = open(address, Beside::NoNode).await?;
        inspect::inspect(&*store, depth, moment, |done, all| progress.show(done, all)).await
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
        #[cfg(feature = "dynamodb")]
        config::Store::DynamoDb(address) => {
            Ok(Box::new(DynamoDbStore::look(address, DynamoDbOptions::default()).await?))
        }
        other => Err(StoreError::Fatal(other.missing_feature())),
    }
}
