//! aft: atomic fault tolerance for serverless functions, behind the Redis protocol.

pub mod clock;
pub mod command;
pub mod config;
pub mod connection;
pub mod engine;
pub mod glob;
pub mod layout;
pub mod node;
pub mod resp;
pub mod server;
pub mod session;
pub mod small_bytes;
pub mod storage;
pub mod transaction;
