//! The command line.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command as Clap, value_parser};

use crate::clouds::Cloud;
use crate::common::arguments::{all, binary, binary_and_output, flag, many, one, output, single};

/// What to do.
#[derive(Debug)]
pub(crate) enum Task {
    Measure(Box<Options>),
    /// Be a node on a delayed store.
    ServeAft {
        cloud: Cloud,
        settings: Vec<String>,
    },
    /// Be a server with AFT's layout on a delayed store.
    ServeLayout(Cloud),
}

/// What a run measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// aft on a Redis, beside such a Redis.
    Redis,
    /// A commit, in units of the store's own put.
    Latency,
    /// Many clients on slow stores.
    Throughput,
    /// Requests, bytes and dollars.
    Cost,
    /// From a start to serving.
    Recovery,
}

impl Part {
    pub(crate) const ALL: [Self; 5] =
        [Self::Redis, Self::Latency, Self::Throughput, Self::Cost, Self::Recovery];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Latency => "latency",
            Self::Throughput => "throughput",
            Self::Cost => "cost",
            Self::Recovery => "recovery",
        }
    }
}

/// Of a run.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) parts: Vec<Part>,
    pub(crate) rounds: usize,
    /// Of a round of the parts that measure throughput.
    pub(crate) seconds: f64,
    /// What transactions write: keys at random, with values of one of these sizes.
    pub(crate) keys: u64,
    pub(crate) value_bytes: Vec<usize>,
    /// Of the nodes on delayed stores.
    pub(crate) settings: Vec<String>,
    /// Commits a second, the lowest first: that is low load.
    pub(crate) rates: Vec<u64>,
    /// Of a round at the lowest rate.
    pub(crate) low_seconds: f64,
    pub(crate) loads: Vec<Load>,
    pub(crate) cost: Cost,
    pub(crate) recovery: Recovery,
    pub(crate) quick: bool,
    pub(crate) aft: PathBuf,
    pub(crate) output: PathBuf,
}

/// Of the part about throughput.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) clients: usize,
    /// Transactions that each of them has under way.
    pub(crate) pipeline: usize,
}

/// Of the part about costs.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    pub(crate) clients: Vec<usize>,
    /// Keys that are written, at random.
    pub(crate) keys: u64,
    /// How many times their size is written before anything counts, so that compaction does what it
    /// does in the long run.
    pub(crate) times: u64,
}

/// Of the starts.
#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    pub(crate) keys: u64,
    pub(crate) value_bytes: Vec<usize>,
    /// How often every key is overwritten before.
    pub(crate) overwrites: u64,
}

const SERVE_AFT: &str = "serve-aft";
const SERVE_LAYOUT: &str = "serve-layout";

/// How this program is run with AFT's layout.
pub(crate) fn serve_layout(cloud: Cloud) -> Vec<String> {
    [SERVE_LAYOUT, cloud.word()].map(str::to_owned).to_vec()
}

/// Reads the command line; ends the program if it makes no sense.
pub(crate) fn parse() -> Task {
    let matches = command().get_matches();
    let cloud = |matches: &ArgMatches| {
        Cloud::parse(&single::<String>(matches, "cloud")).unwrap_or(Cloud::Nearby)
    };
    match matches.subcommand() {
        Some((SERVE_AFT, matches)) => {
            Task::ServeAft { cloud: cloud(matches), settings: all(matches, "settings") }
        }
        Some((SERVE_LAYOUT, matches)) => Task::ServeLayout(cloud(matches)),
        _ => Task::Measure(Box::new(options(&matches))),
    }
}

fn command() -> Clap {
    let numbers = || value_parser!(u64).range(1..);
    let seconds = || value_parser!(f64);
    let sizes = || value_parser!(u64).range(16..=1 << 20);
    let parts = PossibleValuesParser::new(Part::ALL.map(Part::name));
    let clouds = || Arg::new("cloud").value_parser(Cloud::ALL.map(Cloud::word)).required(true);
    Clap::new("stores")
        .about("aft on the stores that people have")
        .arg(flag("quick", "A little of each: proves that it works, judges nothing"))
        // Cargo adds it to every benchmark.
        .arg(flag("bench", "").hide(true))
        .arg(
            many("parts", "redis,latency,throughput,cost,recovery", "Of the run")
                .value_parser(parts),
        )
        .arg(one("rounds", "5", "Turns of each server").value_parser(numbers()))
        .arg(one("seconds", "1.5", "Of each turn").value_parser(seconds()))
        .arg(one("keys", "100000", "That transactions write").value_parser(numbers()))
        .arg(
            Arg::new("settings")
                .long("settings")
                .value_delimiter(',')
                .allow_hyphen_values(true)
                .help(
                    "Of the nodes on delayed stores, such as --settings=--groups-in-flight-max=4",
                ),
        )
        .arg(
            many("value-bytes", "100,960", "Of a value that a transaction writes")
                .value_parser(sizes()),
        )
        .arg(many("rates", "20,200,2000", "Commits a second").value_parser(numbers()))
        .arg(one("low-seconds", "20", "Of a turn at the lowest rate").value_parser(seconds()))
        .arg(
            many("loads", "40x1,1000x1,1000x2", "Clients, and transactions of each under way")
                .value_parser(parse_load),
        )
        .arg(many("cost-clients", "1,40,1000", "At a time").value_parser(numbers()))
        .arg(one("recovery-keys", "1000000", "").value_parser(numbers()))
        .arg(many("recovery-bytes", "16,256", "Of a value").value_parser(sizes()))
        .args(binary_and_output())
        .subcommand(
            Clap::new(SERVE_AFT)
                .hide(true)
                .arg(clouds())
                .arg(Arg::new("settings").last(true).num_args(0..)),
        )
        .subcommand(Clap::new(SERVE_LAYOUT).hide(true).arg(clouds()))
}

/// `1000x2`.
fn parse_load(text: &str) -> Result<Load, String> {
    let wrong = || format!("{text}: clients and transactions of each, such as 1000x2");
    let (clients, pipeline) = text.split_once('x').ok_or_else(wrong)?;
    let number = |text: &str| text.parse().ok().filter(|number| *number > 0).ok_or_else(wrong);
    Ok(Load { clients: number(clients)?, pipeline: number(pipeline)? })
}

fn options(matches: &ArgMatches) -> Options {
    let quick = matches.get_flag("quick");
    let named: Vec<String> = all(matches, "parts");
    let sizes = |name: &str| -> Vec<usize> {
        all(matches, name).into_iter().map(|size: u64| size as usize).collect()
    };
    let mut options = Options {
        parts: Part::ALL
            .into_iter()
            .filter(|part| named.iter().any(|name| name == part.name()))
            .collect(),
        rounds: single::<u64>(matches, "rounds") as usize,
        seconds: single(matches, "seconds"),
        keys: single(matches, "keys"),
        value_bytes: sizes("value-bytes"),
        settings: all(matches, "settings"),
        rates: all(matches, "rates"),
        low_seconds: single(matches, "low-seconds"),
        loads: all(matches, "loads"),
        cost: Cost { clients: sizes("cost-clients"), keys: 10_000, times: 4 },
        recovery: Recovery {
            keys: single(matches, "recovery-keys"),
            value_bytes: sizes("recovery-bytes"),
            overwrites: 2,
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
    /// How this program is run as a node, with these settings, too.
    pub(crate) fn serve_aft(&self, cloud: Cloud, settings: &[&str]) -> Vec<String> {
        let words = [SERVE_AFT, cloud.word(), "--"].into_iter().chain(settings.iter().copied());
        words.map(str::to_owned).chain(self.settings.iter().cloned()).collect()
    }

    /// Small enough for an unoptimised server on a busy machine.
    fn make_quick(&mut self) {
        self.rounds = 1;
        self.seconds = 0.3;
        self.keys = 1_000;
        self.value_bytes = vec![100];
        self.rates = vec![20];
        self.low_seconds = 1.0;
        self.loads = vec![Load { clients: 40, pipeline: 2 }];
        self.cost = Cost { clients: vec![40], keys: 200, times: 3 };
        self.recovery = Recovery { keys: 20_000, value_bytes: vec![16], overwrites: 1 };
    }
}
