//! Kinds of arguments that the benchmarks take.

use clap::{Arg, ArgAction};

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
