//! aft: atomic fault tolerance for serverless functions, behind the Redis protocol.
//!
//! One request, from socket to reply, and where to read about it:
//!
//! 1. [`node`] wires everything and listens; [`connection`] reads bytes.
//! 2. [`resp`] finds the request in them; [`command`] looks it up and checks it.
//! 3. [`session`] is what the connection remembers (MULTI, WATCH, its own writes),
//!    [`server`] what all connections share.
//! 4. [`transaction`] gives the command reads of one snapshot and keeps its writes.
//! 5. [`engine`] puts the transaction into the order of all, makes a group of many, and
//!    brings that to the store; the reply waits at the group's gate.
//! 6. [`layout`] is what a group looks like, [`storage`] where it goes.
//!
//! Lower layers never import higher ones. `docs/architecture.md` is the longer tour.

pub mod clock;
pub mod glob;
pub mod machine;
pub mod rope;
pub mod small_bytes;

pub mod layout;
pub mod storage;

pub mod backup;
pub mod engine;
pub mod inspect;
pub mod transaction;

pub mod config;
pub mod resp;

pub mod server;
pub mod session;

pub mod command;

pub mod connection;
pub mod import;
pub mod node;
pub mod run;
pub mod store_commands;
pub mod txn;
