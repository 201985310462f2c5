//! Kinds of arguments that the benchmarks take, and those that all of them take.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches};

/// An option without a value.
pub(crate) fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
}

/// An option with one value.
pub(crate) fn one(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).default_value(default).help(help)
}

/// An option with values separated by commas.
pub(crate) fn many(name: &'static str, default: &'static str, help: &'static str) -> Arg {
    one(name, default, help).value_delimiter(',').default_values(default.split(','))
}

/// The binary, and where the page goes.
pub(crate) fn binary_and_output() -> [Arg; 2] {
    [
        one("aft", env!("CARGO_BIN_EXE_aft"), "The binary to measure"),
        Arg::new("output")
            .long("output")
            .help("Where the page goes [default: docs/benchmarks; below target/ with --quick]"),
    ]
}

/// The value of an option with one value.
pub(crate) fn single<T: Clone + Default + Send + Sync + 'static>(
    matches: &ArgMatches,
    name: &str,
) -> T {
    matches.get_one::<T>(name).cloned().unwrap_or_default()
}

/// The values of an option with many.
pub(crate) fn all<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str) -> Vec<T> {
    matches.get_many::<T>(name).map(|values| values.cloned().collect()).unwrap_or_default()
}

/// The binary that was named.
pub(crate) fn binary(matches: &ArgMatches) -> PathBuf {
    let named = PathBuf::from(single::<String>(matches, "aft"));
    named.canonicalize().unwrap_or(named)
}

/// Where the page goes. A quick run is no measurement: it must not overwrite one.
pub(crate) fn output(matches: &ArgMatches, quick: bool) -> PathBuf {
    match matches.get_one::<String>("output") {
        Some(named) => PathBuf::from(named),
        None if quick => PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs").join("benchmarks"),
    }
}
