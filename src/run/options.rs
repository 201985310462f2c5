//! What can be asked of `aft run`.

use crate::connection::client::{ServerAddress, Trust};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use std::ffi::OsString;
use std::time::Duration;

/// Where functions look for their server, and we as well.
pub(super) const URL_VARIABLE: &str = "REDIS_URL";

const HELP: &str = "\
The command finds in REDIS_URL all that it needs to work inside of the transaction; AFT_REQUEST, \
AFT_STEP, AFT_TOKEN and AFT_ATTEMPT are there for whoever wants them. Exit 0 commits, anything else \
aborts. What it prints on stdout is the result: it comes out when it is known to count, and again, \
without running the command, when the request has committed already. What it has left running in its \
process group is killed when it ends.

SIGTERM, SIGINT, SIGHUP and SIGQUIT are passed on, and after them the request is aborted; what is not \
gone after 5 seconds is killed.

With --step exit 0 ends the step, and with --last it commits the request. A step that fails stays \
begun: its retry takes back what it wrote.

Exit codes: that of the command (128 + n where signal n has ended it), and
  120  another attempt of the request has taken the place of this one, which counts for nothing
  121  certainly nothing was committed (a conflict, or the transaction got lost): run it again
  122  it is not known whether it was committed: run it again with the same id
  124  it took longer than --timeout; aborted
  125  aft run itself failed, as it says; nothing was committed
  126, 127  the command could not be started, or was not found";

/// The arguments, as they are used.
pub(super) struct Options {
    pub(super) address: ServerAddress,
    pub(super) trust: Trust,
    pub(super) request: String,
    pub(super) step: Option<String>,
    pub(super) after: Option<String>,
    pub(super) last: bool,
    pub(super) serializable: bool,
    pub(super) timeout: Option<Duration>,
    pub(super) commit_timeout: Duration,
    pub(super) attempts: u32,
    pub(super) keeps_result: bool,
    pub(super) result_bytes_max: usize,
    pub(super) stdin: bool,
    pub(super) command: Vec<OsString>,
}

impl Options {
    pub(super) fn parse(args: impl Iterator<Item = OsString>) -> Result<Self, clap::Error> {
        let mut command = command();
        let matches = command.try_get_matches_from_mut(args)?;
        let address = address(&matches).map_err(|why| {
            command.error(clap::error::ErrorKind::InvalidValue, format!("{URL_VARIABLE}: {why}"))
        })?;
        let text = |name: &str| matches.get_one::<String>(name).cloned();
        let number = |name: &str| matches.get_one::<u64>(name).copied();
        Ok(Self {
            address,
            trust: Trust::of(&matches),
            request: text("request").unwrap_or_default(),
            step: text("step"),
            after: text("after"),
            last: matches.get_flag("last"),
            serializable: matches.get_flag("serializable"),
            timeout: number("timeout").map(Duration::from_secs),
            commit_timeout: Duration::from_secs(number("commit-timeout").unwrap_or_default()),
            attempts: matches.get_one::<u32>("attempts").copied().unwrap_or(1),
            keeps_result: !matches.get_flag("no-result"),
            result_bytes_max: number("result-bytes-max").unwrap_or_default() as usize,
            stdin: matches.get_flag("stdin"),
            command: matches.get_many("command").into_iter().flatten().cloned().collect(),
        })
    }

    /// What is started.
    pub(super) fn program(&self) -> OsString {
        self.command.first().cloned().unwrap_or_default()
    }
}

/// The server: as it is named, or as functions find it.
fn address(matches: &ArgMatches) -> Result<ServerAddress, String> {
    if let Some(address) = matches.get_one::<ServerAddress>("url") {
        return Ok(address.clone());
    }
    let url = std::env::var(URL_VARIABLE);
    url.as_deref().unwrap_or("redis://127.0.0.1:6379").parse()
}

fn command() -> Command {
    let flag = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
    let text = |name: &'static str| Arg::new(name).long(name);
    let seconds =
        |name| text(name).value_name("SECONDS").value_parser(value_parser!(u64).range(1..));
    Command::new("aft run")
        .bin_name("aft run")
        .about("Runs a command inside of a transaction: all that it writes counts once, or not at all")
        .max_term_width(100)
        .after_help(HELP)
        .args([
            text("request").value_name("ID").required(true).help(
                "What is to happen once, however often it is delivered: an order, a message",
            ),
            text("step").value_name("NAME").help("The function's name, where a request has several"),
            text("after").value_name("NAME").requires("step").help("The step that must be done before"),
            flag("last").requires("step").help("This step is the last: after it the request commits"),
            text("url")
                .value_name("redis[s]://…")
                .value_parser(|text: &str| text.parse::<ServerAddress>())
                .help("aft, as redis[s]://[user:password@]host[:port][/database]; else REDIS_URL, else redis://127.0.0.1:6379"),
            seconds("timeout")
                .help("How long the command may take, and how long the transaction stays open when nobody uses it; without it the one is not limited, and the other is transaction-timeout-ms"),
            seconds("commit-timeout")
                .default_value("60")
                .help("How long to ask what has become of a COMMIT that was not answered"),
            text("attempts")
                .value_name("N")
                .value_parser(value_parser!(u32).range(1..))
                .default_value("3")
                .conflicts_with("step")
                .help("How often to run the command, where a conflict, or a restart of aft, has undone all of it; as often as Lambda delivers an event"),
            flag("serializable").help("Everything that is read has to be as it was when it commits"),
            text("result-bytes-max")
                .value_name("BYTES")
                .value_parser(value_parser!(u64))
                .default_value("1000000")
                .help("The longest result; a command that prints more is stopped, and aborted"),
            flag("no-result").help("stdout is no result: it is passed on as it comes, and a retry prints nothing"),
            flag("stdin").help("Reads stdin to its end, and gives it to each attempt"),
            Arg::new("command")
                .value_name("COMMAND")
                .num_args(1..)
                .last(true)
                .required(true)
                .value_parser(value_parser!(OsString))
                .help("The function, and its arguments"),
        ])
        .args(Trust::arguments())
}
