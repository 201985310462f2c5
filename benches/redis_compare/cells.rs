//! What is measured: a cell is one command under one load.

use std::fmt;

use crate::figures::{Sample, Spread};
use crate::servers::Store;

/// What one request of a cell does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Set,
    Get,
    Incr,
    /// MSET of ten keys.
    Mset,
    /// MULTI, INCRBY one account −x, INCRBY another +x, EXEC.
    Transfer,
}

impl Command {
    pub(crate) const NAMES: [&'static str; 5] = ["set", "get", "incr", "mset", "transfer"];

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "set" => Self::Set,
            "get" => Self::Get,
            "incr" => Self::Incr,
            "mset" => Self::Mset,
            "transfer" => Self::Transfer,
            _ => return None,
        })
    }

    /// The name, as redis-benchmark and our own options spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Get => "get",
            Self::Incr => "incr",
            Self::Mset => "mset",
            Self::Transfer => "transfer",
        }
    }

    pub(crate) const ALL: [Self; 5] =
        [Self::Set, Self::Get, Self::Incr, Self::Mset, Self::Transfer];

    /// Values that one request carries, in the request or in its reply.
    pub(crate) fn values(self) -> usize {
        match self {
            Self::Set | Self::Get => 1,
            Self::Incr | Self::Transfer => 0,
            Self::Mset => 10,
        }
    }
}

/// What is asked of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// As many requests as the server takes: every client waits for its replies and asks
    /// again. Its latencies are those of a saturated server.
    Throughput,
    /// A fixed number of requests a second, sent when they are due whether or not earlier
    /// ones have been answered, and timed from when they were due.
    Latency { per_second: u64 },
}

/// One row of the tables.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) store: Store,
    pub(crate) command: Command,
    pub(crate) method: Method,
    pub(crate) clients: usize,
    pub(crate) pipeline: usize,
    pub(crate) value_bytes: usize,
    pub(crate) keys: u64,
}

/// Requests in flight may hold at most this much: 64 KB values from 500 clients with 64
/// requests each would be two gigabytes in the client alone.
const IN_FLIGHT_BYTES_MAX: usize = 256 << 20;

/// Values at a fixed rate may come to this much in a second: more, and the load generator's
/// own copies would be what is measured.
const RATE_BYTES_MAX: u64 = 256 << 20;

impl Cell {
    /// Why the cell makes no sense, if it makes none.
    pub(crate) fn why_left_out(&self) -> Option<&'static str> {
        let request_bytes = self.request_bytes();
        if self.clients * self.pipeline * request_bytes > IN_FLIGHT_BYTES_MAX {
            return Some("more than 256 MiB in flight");
        }
        match self.method {
            Method::Latency { per_second }
                if per_second * request_bytes as u64 > RATE_BYTES_MAX =>
            {
                Some("more than 256 MiB a second at this rate")
            }
            _ => None,
        }
    }

    /// About what a request is long, with the values that may be in its reply.
    pub(crate) fn request_bytes(&self) -> usize {
        64 + self.command.values() * self.value_bytes
    }

    /// The size of the values in it; 0 without any.
    pub(crate) fn payload(&self) -> usize {
        if self.command.values() == 0 { 0 } else { self.value_bytes }
    }

    pub(crate) fn is_throughput(&self) -> bool {
        self.method == Method::Throughput
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { store, clients, pipeline, .. } = self;
        let command = self.command.name().to_uppercase();
        write!(f, "{store} {command} P={pipeline} c={clients}")?;
        if self.command.values() > 0 {
            write!(f, " {} B", self.value_bytes)?;
        }
        if let Method::Latency { per_second } = self.method {
            write!(f, " at {per_second}/s")?;
        }
        Ok(())
    }
}

/// All rounds of one cell.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) cell: Cell,
    pub(crate) redis: Vec<Sample>,
    pub(crate) aft: Vec<Sample>,
    /// The bare loop; empty where it can't stand in (it understands nothing).
    pub(crate) bare: Vec<Sample>,
}

impl Row {
    /// aft through redis, round by round: above 1 aft is ahead. For throughput the
    /// requests a second are divided, for latency redis' p99 by aft's.
    pub(crate) fn ratio(&self) -> Option<Spread> {
        let ratios = self.redis.iter().zip(&self.aft).map(|(redis, aft)| match self.cell.method {
            Method::Throughput => aft.per_second / redis.per_second,
            Method::Latency { .. } => redis.p99_ms / aft.p99_ms,
        });
        Spread::of(ratios.collect())
    }
}
