//! The command line.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command as Clap, value_parser};

use crate::common::arguments::{all, binary, binary_and_output, flag, many, one, output, single};

/// What a run measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Requests as transactions beside the same operations without.
    Throughput,
    /// How long one takes that comes at a fixed rate.
    Latency,
    /// What aborted and abandoned transactions leave.
    Afterwards,
}

impl Part {
    pub(crate) const ALL: [Self; 3] = [Self::Throughput, Self::Latency, Self::Afterwards];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::Latency => "latency",
            Self::Afterwards => "afterwards",
        }
    }
}

/// Of a run.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) parts: Vec<Part>,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) clients: Vec<usize>,
    /// Requests a second, of the open loop.
    pub(crate) rates: Vec<u64>,
    pub(crate) transactions: u64,
    /// After which an abandoned one is over.
    pub(crate) timeout_ms: u64,
    /// A file for what was done and seen; nothing is measured then.
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
    let parts = Part::ALL.map(Part::name);
    Clap::new("functions")
        .about("Requests of functions as transactions, beside the same operations without")
        .arg(flag("quick", "A little of each: proves that it works, judges nothing"))
        // Cargo adds it to every benchmark.
        .arg(flag("bench", "").hide(true))
        .arg(
            many("parts", "throughput,latency,afterwards", "Of the run")
                .value_parser(PossibleValuesParser::new(parts)),
        )
        .arg(one("rounds", "5", "Turns of each server").value_parser(numbers()))
        .arg(one("seconds", "0.5", "Of each turn").value_parser(value_parser!(f64)))
        .arg(many("clients", "1,10,40,160,640", "At a time").value_parser(numbers()))
        .arg(many("rates", "500,2000,4000", "Requests a second").value_parser(numbers()))
        .arg(
            one("transactions", "100000", "That are aborted, and that are abandoned")
                .value_parser(numbers()),
        )
        .arg(
            one("timeout-ms", "20000", "After which an abandoned one is over")
                .value_parser(numbers()),
        )
        .arg(
            Arg::new("history")
                .long("history")
                .help("A file for what was done and seen; nothing is measured"),
        )
        .args(binary_and_output())
}

fn options(matches: &ArgMatches) -> Options {
    let quick = matches.get_flag("quick");
    let named: Vec<String> = all(matches, "parts");
    let mut options = Options {
        parts: Part::ALL
            .into_iter()
            .filter(|part| named.iter().any(|name| name == part.name()))
            .collect(),
        rounds: single::<u64>(matches, "rounds") as usize,
        seconds: single(matches, "seconds"),
        clients: all(matches, "clients").into_iter().map(|count: u64| count as usize).collect(),
        rates: all(matches, "rates"),
        transactions: single(matches, "transactions"),
        timeout_ms: single(matches, "timeout-ms"),
        history: matches.get_one::<String>("history").map(PathBuf::from),
        quick,
        aft: binary(matches),
        output: output(matches, quick),
    };
    if quick {
        options.rounds = 1;
        options.seconds = 0.1;
        options.clients = vec![1, 40];
        options.rates = vec![500];
        options.transactions = 2_000;
        options.timeout_ms = 1_000;
    }
    options
}
