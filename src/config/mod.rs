//! Every setting of the server, declared once.
//!
//! ```text
//!                      table.rs: one entry per setting
//!       (name, type, default, limits, Redis name, what it is, why so)
//!          |               |              |                |
//!     --clients-max   AFT_CLIENTS_MAX  clients_max = …  CONFIG GET / SET maxclients
//!     and --help      environment      TOML file        and aft-clients-max
//!          \_______________|______________/                |
//!                 text -> Value::parse  <-----------------/
//! ```
//!
//! All four ways in hand the same text to the same parser, so they can't disagree on what
//! `64mb` means or what is allowed. A flag wins over the environment, that over the file,
//! that over the default; every one is checked even where another wins, so that a mistake
//! shows the day it is made and not the day the flag goes away.
//!
//! Nothing here reaches for the process: [`start`] is given the arguments, the
//! environment and the files. `main` is the one that passes the real ones:
//!
//! ```no_run
//! let start = aft::config::start(
//!     std::env::args_os(),
//!     &|name| std::env::var_os(name),
//!     &|path| std::fs::read_to_string(path),
//! );
//! match start {
//!     Ok(aft::config::Start::Serve(effective)) => println!("{:?}", effective.settings),
//!     Ok(aft::config::Start::Print(text)) => print!("{text}"),
//!     Err(error) => {
//!         eprintln!("{error}");
//!         std::process::exit(2);
//!     }
//! }
//! ```
//!
//! To add a setting, add an entry to `table.rs`; if Redis has it under a name that needs
//! translating, also one to `redis_views.rs`.

mod command_line;
mod error;
mod load;
mod print;
mod redis;
mod redis_views;
mod setting;
mod store;
mod succession;
mod table;
mod text;
mod value;

pub use error::{ConfigError, Given, Origin};
pub use load::{Effective, Start, start};
pub use redis::{SetError, is_name_of, is_secret};
pub use setting::{Change, Group, Kind, Setting};
pub use store::{AwsAddress, DynamoDbAddress, Reads, RedisAddress, S3Address, Store};
pub use succession::Succession;
pub use table::{SETTINGS, Settings};
pub use value::{Durability, Listen, ListenAddress, LogLevel, Secret, TlsAuthClients, YesNo};
