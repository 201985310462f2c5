//! The command line.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command as Clap, value_parser};

use crate::common::arguments::{flag, many, one};
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
        .arg(one("aft", env!("CARGO_BIN_EXE_aft"), "The binary to look at"))
        .arg(
            Arg::new("output")
                .long("output")
                .help("Where the page goes [default: docs/benchmarks; below target/ with --quick]"),
        )
}

fn single<T: Clone + Default + Send + Sync + 'static>(matches: &ArgMatches, name: &str) -> T {
    matches.get_one::<T>(name).cloned().unwrap_or_default()
}

fn options(matches: &ArgMatches) -> Options {
    let quick = matches.get_flag("quick");
    // A quick run is no measurement: it must not overwrite one.
    let default_output = if quick {
        PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
    } else {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs").join("benchmarks")
    };
    let named = matches.get_many::<String>("stores");
    let named: Option<Vec<String>> = named.map(|names| names.cloned().collect());
    let is_named =
        |on: &On| named.as_ref().is_none_or(|names| names.iter().any(|n| n == on.word()));
    let percents = matches.get_many::<u64>("crash-percents");
    let aft = PathBuf::from(single::<String>(matches, "aft"));
    let mut options = Options {
        stores: On::ALL.into_iter().filter(is_named).collect(),
        requests: single(matches, "requests"),
        clients: single(matches, "clients"),
        crash_percents: percents.map(|percents| percents.copied().collect()).unwrap_or_default(),
        seed: single(matches, "seed"),
        history: matches.get_one::<String>("history").map(PathBuf::from),
        quick,
        aft: aft.canonicalize().unwrap_or(aft),
        output: matches.get_one::<String>("output").map_or(default_output, PathBuf::from),
    };
    if quick {
        options.requests = 200;
        options.crash_percents = vec![10];
    }
    options
}
