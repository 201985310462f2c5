//! Histories of transactions: what functions did and saw, how that is written down, and what in it
//! can't be if transactions are atomic. Shared by tests and benchmarks.
//!
//! | module     | what                                              |
//! |------------|---------------------------------------------------|
//! | [`record`] | the history                                       |
//! | [`json`]   | as a file, of which docs/history-format.md tells  |
//! | [`detect`] | the anomalies in it                               |

#![allow(dead_code, reason = "each user has its own part")]

pub(crate) mod detect;
pub(crate) mod json;
pub(crate) mod record;
