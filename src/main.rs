//! The `aft` server.

use aft::config::{LogLevel, Start};
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Not among the flags: what they do has nothing to do with a node's settings.
    match std::env::args_os().nth(1) {
        Some(first) if first == "store" => {
            return aft::store_commands::run(std::env::args_os().skip(1));
        }
        Some(first) if first == "import" => {
            return aft::store_commands::run_import(std::env::args_os().skip(1));
        }
        Some(first) if first == "run" => return aft::run::run(std::env::args_os().skip(1)),
        Some(first) if first == "txn" => return aft::txn::run(std::env::args_os().skip(1)),
        _ => {}
    }
    let start = aft::config::start(std::env::args_os(), &|name| std::env::var_os(name), &|path| {
        std::fs::read_to_string(path)
    });
    let effective = match start {
        Ok(Start::Serve(effective)) => *effective,
        Ok(Start::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    let (layer, reload) = reload::Layer::new(filter(effective.settings.log_level));
    let stderr = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry().with(layer).with(stderr).init();
    let set_log_level = move |log_level| {
        // It can only fail once the subscriber is gone, and with it every reader of the log.
        let _ = reload.modify(|layer| *layer = filter(log_level));
    };
    // One thread runs all commands, as in Redis: they take their turns at one state
    // anyway, and a second thread would only pass it back and forth.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("aft: can't start: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(aft::node::run(effective, set_log_level)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("aft: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The SDK of AWS tells at every start whose credentials it has found, and more when asked for more.
fn filter(log_level: LogLevel) -> Targets {
    let level = level(log_level);
    Targets::new().with_default(level).with_target("aws", level.min(LevelFilter::WARN))
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
