//! `aft import`: a live Redis' strings.

use super::backup::{expired, rng, runtime};
use super::progress::Progress;
use super::target::Target;
use super::{REPLACE, STORE, STORES, finish, kept};
use crate::backup::{BackupError, Restored};
use crate::config;
use crate::connection::client::{Client, ServerAddress, Trust};
use crate::import::{Imported, Sink, Source, import};
use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};
use std::ffi::OsString;
use std::process::ExitCode;

const SOURCE: &str = "source";
const TO: &str = "to";

/// Passwords that stand in no list of processes.
const SOURCE_PASSWORD: &str = "AFT_IMPORT_PASSWORD";
const TO_PASSWORD: &str = "AFT_IMPORT_TO_PASSWORD";

/// Runs what the arguments ask for, the first of them `import`. The exit code is 0 if all keys
/// were imported, 1 if some were left out, 2 if it failed.
pub fn run_import(args: impl Iterator<Item = OsString>) -> ExitCode {
    let matches = match command().try_get_matches_from(args) {
        Ok(matches) => matches,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match copy(&matches) {
        Ok((imported, restored)) => summary(&imported, &restored),
        Err(error) => finish(Err(error)),
    }
}

fn command() -> Command {
    let address = |arg: Arg| {
        arg.value_name("redis://…").value_parser(|text: &str| text.parse::<ServerAddress>())
    };
    Command::new("aft import")
        .bin_name("aft import")
        .about("Copies all strings of a live Redis, with their expiries")
        .arg(
            address(Arg::new(SOURCE).required(true))
                .help("The Redis; one database, if one is named, else all"),
        )
        .arg(
            Arg::new(STORE)
                .long(STORE)
                .value_name(STORES)
                .value_parser(kept)
                .help("Into this store, which no node may have open: all, or nothing if it fails"),
        )
        .arg(
            address(Arg::new(TO).long(TO))
                .help("Into this running server, over keys of the same names"),
        )
        .group(ArgGroup::new("target").args([STORE, TO]).required(true))
        .arg(
            Arg::new(REPLACE)
                .long(REPLACE)
                .action(ArgAction::SetTrue)
                .conflicts_with(TO)
                .help("Replaces what the store holds, all of it"),
        )
        .args(Trust::arguments())
        .after_help(format!(
            "Addresses are redis://[user:password@]host[:port][/database], or rediss:// with TLS.\n\
             Passwords may also stand in the environment: {SOURCE_PASSWORD}, {TO_PASSWORD}.\n\
             Each key is taken as it was at some moment of the import. Running it again is safe."
        ))
}

fn copy(matches: &ArgMatches) -> Result<(Imported, Restored), BackupError> {
    let missing = || BackupError::Refused("no source or no target is named".to_owned());
    let trust = Trust::of(matches);
    let connect = |name: &str, variable: &str| {
        let address = matches.get_one::<ServerAddress>(name)?;
        let address = address.clone().or_password(std::env::var(variable).ok());
        let client = Client::connect(&address, &trust);
        Some(client.map(|client| (client, address.database)))
    };
    let (client, database) = connect(SOURCE, SOURCE_PASSWORD).ok_or_else(missing)??;
    let mut source = Source::new(client, database)?;
    if let Some(target) = connect(TO, TO_PASSWORD) {
        let (client, database) = target?;
        if database.is_some() {
            let why = "keys keep the numbers of their databases: name none in --to";
            return Err(BackupError::Refused(why.to_owned()));
        }
        let imported = runtime()?.block_on(pour(&mut source, &mut Sink::Server(client)))?;
        return Ok((imported, Restored::default()));
    }
    let store = matches.get_one::<config::Store>(STORE).ok_or_else(missing)?;
    let mut rng = rng()?;
    runtime()?.block_on(async {
        let target = Target::open(store, "aft import", &mut rng).await?;
        let mut imported = Imported::default();
        let importing = async {
            let restore = target.begin(matches.get_flag(REPLACE), &mut rng).await?;
            let mut restore = Box::new(restore);
            imported = pour(&mut source, &mut Sink::Store(&mut restore)).await?;
            restore.publish().await
        };
        let restored = target.filled_by(importing).await?;
        Ok((imported, restored))
    })
}

async fn pour(source: &mut Source, sink: &mut Sink<'_, '_>) -> Result<Imported, BackupError> {
    let progress = Progress::of_keys();
    import(source, sink, |done, all| progress.show(done, all)).await
}

fn summary(imported: &Imported, restored: &Restored) -> ExitCode {
    let (keys, databases) = (imported.keys, imported.databases);
    let plural = if databases == 1 { "" } else { "s" };
    eprintln!("imported {keys} keys of {databases} database{plural}{}", expired(restored));
    let left_out = imported.left_out.lines();
    for line in &left_out {
        let who = if line.starts_with(' ') { "" } else { "aft: " };
        eprintln!("{who}{line}");
    }
    ExitCode::from(u8::from(!left_out.is_empty()))
}
