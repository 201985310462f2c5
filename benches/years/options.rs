//! The command line.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command as Clap, value_parser};

use crate::common::arguments::{all, binary, binary_and_output, flag, many, one, output, single};
use crate::servers::Kind;

/// What to do.
#[derive(Debug)]
pub(crate) enum Task {
    Measure(Box<Options>),
    /// To be the server that others start: see [`crate::reads`].
    Serve(BareServer),
}

/// Of the least server that reads.
#[derive(Debug)]
pub(crate) struct BareServer {
    pub(crate) file: PathBuf,
    pub(crate) value_bytes: usize,
}

impl BareServer {
    const NAME: &'static str = "bare-server";

    /// How this program is started to be one.
    pub(crate) fn kind(&self) -> Kind {
        let words = [Self::NAME, &self.file.display().to_string(), &self.value_bytes.to_string()];
        Kind::Itself { name: Self::NAME, arguments: words.map(str::to_owned).to_vec() }
    }

    fn command() -> Clap {
        let value_bytes = Arg::new("value-bytes").required(true).value_parser(value_parser!(usize));
        Clap::new(Self::NAME)
            .hide(true)
            .arg(Arg::new("file").required(true).value_parser(value_parser!(PathBuf)))
            .arg(value_bytes)
    }
}

/// What a run measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A store that is overwritten again and again.
    Endurance,
    /// From a start to serving.
    Recovery,
    /// Data larger than the cache.
    Cache,
    /// What is not in the cache.
    Misses,
}

impl Part {
    pub(crate) const ALL: [Self; 4] = [Self::Endurance, Self::Recovery, Self::Cache, Self::Misses];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Endurance => "endurance",
            Self::Recovery => "recovery",
            Self::Cache => "cache",
            Self::Misses => "misses",
        }
    }
}

/// Of a run.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) parts: Vec<Part>,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) endurance: Endurance,
    pub(crate) recovery: Recovery,
    pub(crate) cache: Cache,
    pub(crate) misses: Misses,
    pub(crate) quick: bool,
    pub(crate) aft: PathBuf,
    pub(crate) output: PathBuf,
}

/// Of the store that is overwritten.
#[derive(Clone, Debug)]
pub(crate) struct Endurance {
    pub(crate) keys: u64,
    pub(crate) value_bytes: usize,
    /// How many times their size is written.
    pub(crate) times: usize,
    /// For both servers.
    pub(crate) settings: Vec<String>,
}

/// Of the starts.
#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    /// Each number with each size of values.
    pub(crate) keys: Vec<u64>,
    pub(crate) value_bytes: Vec<usize>,
    /// How often every key is overwritten before.
    pub(crate) overwrites: u64,
}

/// Of the data larger than the cache.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    pub(crate) keys: u64,
    pub(crate) value_bytes: usize,
}

/// Of the values that are not in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Misses {
    pub(crate) keys: u64,
    pub(crate) value_bytes: usize,
    pub(crate) rounds: usize,
}

/// What of the data fits into the cache.
pub(crate) const CACHED_SHARE: u64 = 10;
/// Of those who GET, and how many GETs each sends at a time.
pub(crate) const CONNECTIONS: usize = 50;
pub(crate) const PIPELINES: [usize; 2] = [1, 16];

/// Reads the command line; ends the program if it makes no sense.
pub(crate) fn parse() -> Task {
    let matches = command().get_matches();
    match matches.subcommand() {
        Some((BareServer::NAME, matches)) => Task::Serve(BareServer {
            file: single(matches, "file"),
            value_bytes: single(matches, "value-bytes"),
        }),
        _ => Task::Measure(Box::new(options(&matches))),
    }
}

fn command() -> Clap {
    let numbers = || value_parser!(u64).range(1..);
    let sizes = || value_parser!(u64).range(16..=64 << 20);
    let parts = Part::ALL.map(Part::name);
    Clap::new("years")
        .about("What years do to a store, in minutes")
        .arg(flag("quick", "A little of each: proves that it works, judges nothing"))
        // Cargo adds it to every benchmark.
        .arg(flag("bench", "").hide(true))
        .arg(
            many("parts", "endurance,recovery,cache,misses", "Of the run")
                .value_parser(PossibleValuesParser::new(parts)),
        )
        .arg(one("rounds", "5", "Turns of each server").value_parser(numbers()))
        .arg(
            one("seconds", "2", "Of each turn with a fixed length")
                .value_parser(value_parser!(f64)),
        )
        .arg(one("endurance-keys", "10000", "").value_parser(numbers()))
        .arg(one("endurance-bytes", "4096", "Of a value").value_parser(sizes()))
        .arg(one("endurance-times", "100", "The data's size is written").value_parser(numbers()))
        .arg(many("recovery-keys", "1000000,10000000", "").value_parser(numbers()))
        .arg(many("recovery-bytes", "16,64", "Of a value").value_parser(sizes()))
        .arg(one("overwrites", "10", "Of each key, before a start").value_parser(numbers()))
        .arg(one("cache-keys", "1000000", "").value_parser(numbers()))
        .arg(one("cache-value-bytes", "1024", "Of a value").value_parser(sizes()))
        .arg(one("misses-keys", "1000000", "").value_parser(numbers()))
        .arg(one("misses-value-bytes", "1024", "Of a value").value_parser(sizes()))
        .arg(
            one("misses-rounds", "31", "Turns of each server: each is short")
                .value_parser(numbers()),
        )
        .args(binary_and_output())
        .subcommand(BareServer::command())
}

fn options(matches: &ArgMatches) -> Options {
    let quick = matches.get_flag("quick");
    let named: Vec<String> = all(matches, "parts");
    let bytes = |name: &str| single::<u64>(matches, name) as usize;
    let mut options = Options {
        parts: Part::ALL
            .into_iter()
            .filter(|part| named.iter().any(|n| n == part.name()))
            .collect(),
        rounds: single::<u64>(matches, "rounds") as usize,
        seconds: single(matches, "seconds"),
        endurance: Endurance {
            keys: single(matches, "endurance-keys"),
            value_bytes: bytes("endurance-bytes"),
            times: bytes("endurance-times"),
            settings: Vec::new(),
        },
        recovery: Recovery {
            keys: all(matches, "recovery-keys"),
            value_bytes: all(matches, "recovery-bytes")
                .into_iter()
                .map(|b: u64| b as usize)
                .collect(),
            overwrites: single(matches, "overwrites"),
        },
        cache: Cache {
            keys: single(matches, "cache-keys"),
            value_bytes: bytes("cache-value-bytes"),
        },
        misses: Misses {
            keys: single(matches, "misses-keys"),
            value_bytes: bytes("misses-value-bytes"),
            rounds: bytes("misses-rounds"),
        },
        quick,
        aft: binary(matches),
        output: output(matches, quick),
    };
    if quick {
        options.make_quick();
    }
    options
}

impl Options {
    /// Small enough for an unoptimised server on a busy machine, and still compacted.
    fn make_quick(&mut self) {
        let settings =
            ["--segment-bytes=1mb", "--store-bytes-min=256kb", "--compaction-step-bytes=256kb"];
        self.rounds = 2;
        self.seconds = 0.2;
        self.endurance = Endurance {
            keys: 500,
            value_bytes: 1024,
            times: 20,
            settings: settings.map(str::to_owned).to_vec(),
        };
        self.recovery = Recovery { keys: vec![20_000], value_bytes: vec![16, 64], overwrites: 3 };
        self.cache = Cache { keys: 5_000, value_bytes: 1024 };
        self.misses = Misses { keys: 5_000, value_bytes: 1024, rounds: 2 };
    }
}
