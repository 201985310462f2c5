//! `aft txn`: open transactions, for the person on call. Which there are and who holds them, one of
//! them with its keys, and an end to it.

mod describe;

use crate::connection::client::{Client, ServerAddress, Trust};
use crate::resp::Reply;
use clap::{Arg, ArgAction, ArgMatches, Command};
use describe::{Connections, Described};
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

const LIST: &str = "list";
const SHOW: &str = "show";
const ABORT: &str = "abort";

/// Runs what the arguments ask for, the first of them `txn`. The exit code is 0 if that was done,
/// 1 if the server knows of no such transaction, or refuses, 2 if it could not be asked.
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
    match answer(what, matches) {
        Ok(Ok(text)) => {
            // Who closes its end of the pipe early has seen enough.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Ok(Err(refused)) => {
            eprintln!("aft: {refused}");
            ExitCode::from(1)
        }
        Err(error) => {
            eprintln!("aft: {error}");
            ExitCode::from(2)
        }
    }
}

fn command() -> Command {
    let url = Arg::new("url")
        .long("url")
        .value_name("redis[s]://…")
        .value_parser(|text: &str| text.parse::<ServerAddress>())
        .help("aft, as redis[s]://[user:password@]host[:port]; else REDIS_URL, else redis://127.0.0.1:6379");
    let json = Arg::new("json").long("json").action(ArgAction::SetTrue).help("Answers in JSON");
    let token = Arg::new("token").value_name("TOKEN").help("Its token, as the list has it");
    let request = Arg::new("request")
        .long("request")
        .value_name("ID")
        .help("The request, instead of a token");
    Command::new("aft txn")
        .bin_name("aft txn")
        .about("Open transactions: which there are, who holds them, and an end to them")
        .max_term_width(100)
        .subcommand_required(true)
        .after_help(
            "Whoever may run AFT.LIST (a user with @admin) sees and ends those of all users.\n\
             Exit codes: 0 done; 1 there is no such transaction, or it may not be; 2 the server \
             could not be asked.",
        )
        .subcommand(
            Command::new(LIST)
                .about("All open ones, the oldest first")
                .args([&url, &json])
                .args(Trust::arguments()),
        )
        .subcommand(
            Command::new(SHOW)
                .about("One: its keys, its steps, who is in it, why its last commit was refused")
                .arg(token.clone().required_unless_present("request").conflicts_with("request"))
                .args([&request, &url, &json])
                .args(Trust::arguments()),
        )
        .subcommand(
            Command::new(ABORT)
                .about("Ends one: nothing of it happens")
                .arg(token.required(true))
                .arg(url)
                .args(Trust::arguments()),
        )
}

/// What is to be printed, or why the server refuses.
type Answer = Result<String, String>;

fn answer(what: &str, matches: &ArgMatches) -> io::Result<Answer> {
    let mut client = connect(matches)?;
    let text = |name: &str| matches.get_one::<String>(name).map_or("", String::as_str);
    if what == ABORT {
        let token = text("token");
        return Ok(match client.call(&[b"AFT.ABORT", token.as_bytes()])? {
            Reply::Ok => Ok(format!("aborted {token}\n")),
            Reply::Bulk(commit) => {
                let commit = String::from_utf8_lossy(&commit).into_owned();
                Err(format!("it has committed, as {commit}"))
            }
            reply => Err(describe::error(&reply)),
        });
    }
    let reply = match (what, matches.try_get_one::<String>("request")) {
        (LIST, _) => client.call(&[b"AFT.LIST"])?,
        (_, Ok(Some(id))) => client.call(&[b"AFT.STATUS", b"REQUEST", id.as_bytes()])?,
        _ => client.call(&[b"AFT.STATUS", text("token").as_bytes()])?,
    };
    if matches!(reply, Reply::Error(_)) {
        return Ok(Err(describe::error(&reply)));
    }
    let connections = Connections::parse(&client.call(&[b"CLIENT", b"LIST"])?);
    let json = matches.get_flag("json");
    Ok(match (what, reply) {
        (LIST, Reply::Array(all)) => {
            let all: Vec<_> = all.iter().map(|one| Described::new(one, &connections)).collect();
            Ok(if json { describe::list_json(&all) } else { describe::list_text(&all) })
        }
        (_, one) => {
            let one = Described::new(&one, &connections);
            Ok(if json { one.json() + "\n" } else { one.text() })
        }
    })
}

fn connect(matches: &ArgMatches) -> io::Result<Client> {
    let address = match matches.get_one::<ServerAddress>("url") {
        Some(address) => address.clone(),
        None => {
            let url = std::env::var("REDIS_URL");
            let url = url.as_deref().unwrap_or("redis://127.0.0.1:6379");
            url.parse().map_err(|why| io::Error::other(format!("REDIS_URL: {why}")))?
        }
    };
    Client::connect(&address, &Trust::of(matches))
}
