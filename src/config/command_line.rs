//! The flags and `--help`, made from the table.

use super::error::ConfigError;
use super::setting::{Change, Setting};
use super::table::{SETTINGS, Settings};
use super::text::nearest;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::ffi::OsString;

/// The flag that names the file.
pub(super) const CONFIG: &str = "config";
/// The variable that names the file.
pub(super) const CONFIG_VARIABLE: &str = "AFT_CONFIG";
/// The flag that shows the settings instead of serving.
pub(super) const PRINT_CONFIG: &str = "print-config";

/// The flag that takes a shared store over at once.
pub(super) const TAKEOVER: &str = "takeover";
/// The flag that waits for the node that has a shared store.
pub(super) const WAIT_FOR_HANDOVER: &str = "wait-for-handover";

const ABOUT: &str = "A Redis-protocol server that gives serverless functions atomic fault \
                     tolerance over any durable store";

const AFTER_HELP: &str = "\
Every setting can be given as a flag, as an environment variable (AFT_CLIENTS_MAX=500) or in \
the TOML file that --config names (clients_max = 500). A flag wins over the environment, the \
environment over the file, the file over the default. Sizes take suffixes as in Redis: 1k is \
1000 bytes, 1kb is 1024; also m, mb, g, gb. --print-config shows what is in force and where it \
came from.";

/// What the arguments ask for.
pub(super) enum Asked {
    /// To serve, or to show the settings, with these.
    Matches(Box<ArgMatches>),
    /// To be shown this.
    Text(String),
}

pub(super) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Asked, ConfigError> {
    match command().try_get_matches_from(args) {
        Ok(matches) => Ok(Asked::Matches(Box::new(matches))),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Asked::Text(error.render().to_string()))
            }
            _ => Err(ConfigError::Usage { reason: reason(&error) }),
        },
    }
}

/// What is wrong with the arguments, in a line; clap's own messages have several.
fn reason(error: &clap::Error) -> String {
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => argument.as_str(),
        _ => "",
    };
    if error.kind() == ErrorKind::UnknownArgument {
        let flags: Vec<String> = SETTINGS.iter().map(Setting::flag).collect();
        let all = flags.iter().map(String::as_str);
        let all = all.chain([CONFIG, PRINT_CONFIG, TAKEOVER, WAIT_FOR_HANDOVER, "help", "version"]);
        return match argument.strip_prefix("--").map(|flag| nearest(flag, all)) {
            Some(Some(meant)) => format!("{argument} is not a flag: did you mean --{meant}?"),
            _ => format!("'{argument}' is not understood: every setting is a --flag"),
        };
    }
    let message = error.render().to_string();
    let first = message.lines().next().unwrap_or_default();
    first.strip_prefix("error: ").unwrap_or(first).to_owned()
}

fn command() -> Command {
    let own = [
        Arg::new(CONFIG)
            .long(CONFIG)
            .value_name("FILE")
            .value_parser(value_parser!(OsString))
            .help("TOML file with settings, named as the flags are but with _ for -")
            .long_help(format!(
                "TOML file with settings, named as the flags are but with _ for -. A name in it \
                 that is no setting is an error.\n[env: {CONFIG_VARIABLE}]"
            )),
        Arg::new(PRINT_CONFIG)
            .long(PRINT_CONFIG)
            .action(ArgAction::SetTrue)
            .help("Shows the settings in force as TOML and where each came from, and ends"),
        Arg::new(TAKEOVER)
            .long(TAKEOVER)
            .action(ArgAction::SetTrue)
            .conflicts_with(WAIT_FOR_HANDOVER)
            .help("Takes a shared store over at once: you know that the node that had it has stopped")
            .long_help(
                "Takes a shared store (Redis, S3, DynamoDB) over at once. It is your word that the \
                 node that had it has stopped; should it not have, it is closed out, and may answer \
                 old values until it notices. Without this flag a start waits until that node has \
                 shown no sign of life for its --lease-ms.",
            ),
        Arg::new(WAIT_FOR_HANDOVER)
            .long(WAIT_FOR_HANDOVER)
            .action(ArgAction::SetTrue)
            .help("Waits until the node that has a shared store ends, then serves")
            .long_help(
                "Waits until the node that has a shared store (Redis, S3, DynamoDB) ends, then \
                 serves. Without this flag a start ends with an error where a node is alive.",
            ),
    ];
    let defaults = Settings::default();
    Command::new("aft")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_long_help(AFTER_HELP)
        .after_help(
            "--help tells more of each, and its default.\n\n\
             Beside serving: aft run, aft txn (list, show, abort), aft store (verify, stats, dump, load) \
             and aft import, each with --help.",
        )
        .max_term_width(100)
        .args(own)
        .args(SETTINGS.iter().map(|setting| flag(setting, &defaults)))
}

fn flag(setting: &'static Setting, defaults: &Settings) -> Arg {
    Arg::new(setting.name)
        .long(setting.flag())
        .value_name(setting.kind.value_name())
        .value_parser(value_parser!(OsString))
        // "-1" is a value and not a flag.
        .allow_negative_numbers(true)
        .help_heading(setting.group.heading())
        .help(setting.what)
        .long_help(format!("{} {}\n{}", setting.what, setting.why, facts(setting, defaults)))
}

/// The end of an entry of `--help`: what is not a sentence.
fn facts(setting: &Setting, defaults: &Settings) -> String {
    let default = match setting.show(defaults) {
        none if none.is_empty() => "none".to_owned(),
        default => default,
    };
    let range = match setting.kind.range() {
        none if none.is_empty() => none,
        range => format!(" [{range}]"),
    };
    let variable = setting.variable();
    // Together they are longer than a line, and a break within brackets reads badly.
    let live = match setting.change {
        Change::AtStart => format!(" [env: {variable}]"),
        Change::Live => {
            let own = setting.config_name();
            let name = setting.redis.unwrap_or(&own);
            format!("\n[env: {variable}] [CONFIG SET {name}]")
        }
    };
    format!("[default: {default}]{range}{live}")
}
