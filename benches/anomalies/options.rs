//! The command line.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command as Clap, value_parser};

use crate::common::arguments::{all, binary, binary_and_output, flag, many, one, output, single};
use crate::stores::On;

/// Of a run.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) stores: Vec<On>,
    pub(crate) requests: u64,
    pub(crate) clients: u64,
    /// Of the functions.
    pub(crate) crash_percents: Vec<u64>,
    pub(crate) seed: u64,
    pub(crate) history: Option<PathBuf>,
    pub(crate) quick: bool,
    pub(crate) aft: PathBuf,
    pub(crate) output: PathBuf,
}

/// Reads the command line; ends the program if it makes no sense.
pub(crate) fn parse() -> Options {
    options(&command().get_matches())
}

fn command() -> Clap {
    let numbers = || value_parser!(u64).range(1..);
    let stores = On::ALL.map(On::word);
    Clap::new("anomalies")
        .about("What functions see of each other, with aft and without")
        .arg(flag("quick", "200 requests on each store: proves that it works"))
        // Cargo adds it to every benchmark.
        .arg(flag("bench", "").hide(true))
        .arg(
            Arg::new("stores")
                .long("stores")
                .help("Some instead of all")
                .value_delimiter(',')
                .value_parser(PossibleValuesParser::new(stores)),
        )
        .arg(one("requests", "10000", "On each store").value_parser(numbers()))
        .arg(one("clients", "10", "At a time").value_parser(numbers()))
        .arg(
            many("crash-percents", "0,1,10", "Of the functions")
                .value_parser(value_parser!(u64).range(..=90)),
        )
        .arg(one("seed", "1", "Of all that is drawn").value_parser(value_parser!(u64)))
        .arg(Arg::new("history").long("history").help("A file for what was done and seen"))
        .args(binary_and_output())
}

fn options(matches: &ArgMatches) -> Options {
    let quick = matches.get_flag("quick");
    let named = matches.get_many::<String>("stores");
    let named: Option<Vec<String>> = named.map(|names| names.cloned().collect());
    let is_named =
        |on: &On| named.as_ref().is_none_or(|names| names.iter().any(|n| n == on.word()));
    let mut options = Options {
        stores: On::ALL.into_iter().filter(is_named).collect(),
        requests: single(matches, "requests"),
        clients: single(matches, "clients"),
        crash_percents: all(matches, "crash-percents"),
        seed: single(matches, "seed"),
        history: matches.get_one::<String>("history").map(PathBuf::from),
        quick,
        aft: binary(matches),
        output: output(matches, quick),
    };
    if quick {
        options.requests = 200;
        options.crash_percents = vec![10];
    }
    options
}
