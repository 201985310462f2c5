//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command as Clap, value_parser};

use crate::cells::{Cell, Command, Method};
use crate::common::arguments::{all, binary, binary_and_output, flag, many, one, output, single};
use crate::load::Plan;
use crate::servers::Store;
use crate::workload::Workload;

/// What to do.
#[derive(Debug)]
pub(crate) enum Task {
    Compare(Options),
    Load(Plan<Workload>),
    BareLoop,
}

/// What a run measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Commands under loads.
    Matrix,
    /// A million keys: their memory, and starts.
    Million,
    /// Instructions a command.
    Instructions,
}

/// Of a comparison.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) parts: Vec<Part>,
    pub(crate) cells: Vec<Cell>,
    /// With the reason.
    pub(crate) left_out: Vec<(Cell, &'static str)>,
    /// Keys of the million.
    pub(crate) million: u64,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    /// Requests of each run; none: as many as take `seconds`.
    pub(crate) requests: Option<u64>,
    pub(crate) quick: bool,
    pub(crate) against_itself: bool,
    pub(crate) aft: PathBuf,
    pub(crate) output: PathBuf,
}

/// Values beyond this many bytes in all would measure memory, not the servers.
const DATA_BYTES_MAX: u64 = 256 << 20;

/// Reads the command line; ends the program if it makes no sense.
pub(crate) fn parse() -> Task {
    let matches = command().get_matches();
    match matches.subcommand() {
        Some(("load", matches)) => Task::Load(load_plan(matches)),
        Some(("bare-loop", _)) => Task::BareLoop,
        _ => Task::Compare(options(&matches)),
    }
}

fn command() -> Clap {
    Clap::new("redis_compare")
        .about("aft beside redis-server")
        .arg(flag("quick", "One short round: proves that it works, judges nothing"))
        .arg(flag("against-itself", "redis-server on both sides: how far noise goes"))
        // Cargo adds it to every benchmark.
        .arg(flag("bench", "").hide(true).global(true))
        .args(run_arguments())
        .args(binary_and_output())
        .args(cell_arguments())
        .subcommand(load_command())
        .subcommand(Clap::new("bare-loop").hide(true))
}

/// How it is measured.
fn run_arguments() -> [Arg; 5] {
    [
        many("parts", "matrix,million,instructions", "Of the run")
            .value_parser(PossibleValuesParser::new(["matrix", "million", "instructions"])),
        one("million", "1000000", "Keys of that part").value_parser(value_parser!(u64)),
        one("rounds", "5", "Turns of each server in each cell").value_parser(value_parser!(usize)),
        one("seconds", "0.25", "Of each run").value_parser(value_parser!(f64)),
        Arg::new("requests")
            .long("requests")
            .help("Of each run of redis-benchmark, instead of --seconds")
            .value_parser(value_parser!(u64)),
    ]
}

/// What is measured: all combinations of these.
fn cell_arguments() -> [Arg; 7] {
    [
        Arg::new("only")
            .long("only")
            .help("One store instead of both")
            .value_parser(["memory", "embedded"]),
        many("commands", "get,set,incr,mset,transfer", "Of set, get, incr, mset, transfer")
            .value_parser(PossibleValuesParser::new(Command::NAMES)),
        many("pipelines", "1,16,64", "Pipeline depths").value_parser(value_parser!(usize)),
        many("clients", "1,50,500", "Connections").value_parser(value_parser!(usize)),
        many("sizes", "16,1024,65536", "Bytes of a value").value_parser(value_parser!(usize)),
        one("keys", "100000", "").value_parser(value_parser!(u64)),
        many("rates", "10000", "Requests a second for latency; 0: no such rows")
            .value_parser(value_parser!(u64)),
    ]
}

fn load_command() -> Clap {
    let rate = one("rate", "0", "Requests a second; 0: closed loop");
    Clap::new("load")
        .about("The load generator, at any server that speaks RESP")
        .arg(Arg::new("address").required(true).value_parser(value_parser!(SocketAddr)))
        .arg(
            one("command", "transfer", "What to ask for")
                .value_parser(PossibleValuesParser::new(Command::NAMES)),
        )
        .arg(one("connections", "50", "").value_parser(value_parser!(usize)))
        .arg(one("pipeline", "1", "").value_parser(value_parser!(usize)))
        .arg(one("seconds", "5", "").value_parser(value_parser!(f64)))
        .arg(one("size", "16", "Bytes of a value").value_parser(value_parser!(usize)))
        .arg(one("keys", "100000", "").value_parser(value_parser!(u64)))
        .arg(rate.value_parser(value_parser!(u64)))
}

fn options(matches: &ArgMatches) -> Options {
    let quick = matches.get_flag("quick");
    let against_itself = matches.get_flag("against-itself");
    let mut left_out = Vec::new();
    let mut cells = cells(matches, quick);
    cells.retain(|cell| {
        let why = cell.why_left_out();
        left_out.extend(why.map(|why| (cell.clone(), why)));
        why.is_none() && (!quick || is_in_quick_run(cell))
    });
    Options {
        parts: parts(matches),
        cells,
        left_out,
        million: if quick { 20_000 } else { single(matches, "million") },
        rounds: if quick { 1 } else { single(matches, "rounds") },
        seconds: if quick { 0.2 } else { single(matches, "seconds") },
        requests: matches.get_one("requests").copied(),
        quick,
        against_itself,
        aft: binary(matches),
        output: output(matches, quick),
    }
}

fn parts(matches: &ArgMatches) -> Vec<Part> {
    let part = |name: &String| match name.as_str() {
        "matrix" => Part::Matrix,
        "million" => Part::Million,
        _ => Part::Instructions,
    };
    all(matches, "parts").iter().map(part).collect()
}

/// Of each kind of row one: every command, every number of clients, every size.
fn is_in_quick_run(cell: &Cell) -> bool {
    let Cell { command, clients, pipeline, value_bytes, .. } = *cell;
    match cell.method {
        Method::Throughput => match (clients, pipeline, value_bytes) {
            (50, 16, 16) => true,
            (500, 1, 16) => command == Command::Get,
            (1, 64, 1024) | (1, 1, 65536) => command == Command::Set,
            _ => false,
        },
        Method::Latency { .. } => {
            clients == 50
                && value_bytes == 16
                && matches!(command, Command::Set | Command::Transfer)
        }
    }
}

/// Every combination that was asked for, in the order of the table.
fn cells(matches: &ArgMatches, quick: bool) -> Vec<Cell> {
    let stores = match matches.get_one::<String>("only").map(String::as_str) {
        Some("memory") => vec![Store::Memory],
        Some(_) => vec![Store::Embedded],
        None => vec![Store::Memory, Store::Embedded],
    };
    let commands: Vec<Command> =
        all::<String>(matches, "commands").iter().filter_map(|name| Command::parse(name)).collect();
    let sizes: Vec<usize> = all(matches, "sizes");
    let mut cells = Vec::new();
    for store in stores {
        for (size_index, &value_bytes) in sizes.iter().enumerate() {
            for &command in &commands {
                // Without a value in it, one size is like another.
                if size_index > 0 && command.values() == 0 {
                    continue;
                }
                for (clients, pipeline, method) in loads(matches, quick) {
                    cells.push(Cell {
                        store,
                        command,
                        method,
                        clients,
                        pipeline,
                        value_bytes,
                        keys: keys(matches, value_bytes),
                    });
                }
            }
        }
    }
    cells
}

/// Clients, pipeline and method of the rows of one command.
fn loads(matches: &ArgMatches, quick: bool) -> Vec<(usize, usize, Method)> {
    let mut loads = Vec::new();
    for clients in all::<usize>(matches, "clients") {
        for pipeline in all::<usize>(matches, "pipelines") {
            loads.push((clients, pipeline, Method::Throughput));
        }
        for per_second in all::<u64>(matches, "rates") {
            // An unoptimised server on a busy machine must keep up too.
            let per_second = if quick { per_second / 20 } else { per_second };
            if per_second > 0 {
                loads.push((clients, 1, Method::Latency { per_second }));
            }
        }
    }
    loads
}

fn keys(matches: &ArgMatches, value_bytes: usize) -> u64 {
    let fitting = DATA_BYTES_MAX / (value_bytes as u64).max(1);
    single::<u64>(matches, "keys").min(fitting).max(2)
}

fn load_plan(matches: &ArgMatches) -> Plan<Workload> {
    let command = Command::parse(&single::<String>(matches, "command"));
    let rate: u64 = single(matches, "rate");
    let address = matches.get_one("address").copied();
    Plan {
        address: address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 6379))),
        requests_max: None,
        requests: Workload::new(
            command.unwrap_or(Command::Transfer),
            single::<u64>(matches, "keys").max(2),
            single(matches, "size"),
        ),
        connections: single::<usize>(matches, "connections").max(1),
        pipeline: single::<usize>(matches, "pipeline").max(1),
        seconds: single(matches, "seconds"),
        rate: (rate > 0).then_some(rate),
        seed: 1,
    }
}
