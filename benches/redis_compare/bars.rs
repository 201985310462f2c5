//! What aft promises beside redis-server, and which rows keep it.

use crate::cells::{Cell, Command, Row};
use crate::figures::median;
use crate::limits::Disk;
use crate::servers::Store;

/// A promise about some cells.
#[derive(Debug)]
pub(crate) struct Bar {
    pub(crate) name: &'static str,
    /// The ratio that the median has to reach.
    pub(crate) at_least: f64,
    /// Whether a row is also good enough if it writes as fast as the disk can sync.
    or_disk: bool,
    covers: fn(&Cell) -> bool,
}

/// The first that covers a cell counts.
pub(crate) const BARS: [Bar; 8] = [
    Bar {
        name: "memory, 64 KB",
        at_least: 0.95,
        or_disk: false,
        covers: |cell| cell.store == Store::Memory && cell.payload() == LARGE,
    },
    Bar {
        name: "memory, P=1",
        at_least: 0.95,
        or_disk: false,
        covers: |cell| cell.store == Store::Memory && cell.pipeline == 1,
    },
    Bar {
        name: "memory, P=16 and 64, GET",
        at_least: 1.0,
        or_disk: false,
        covers: |cell| cell.store == Store::Memory && cell.command == Command::Get,
    },
    Bar {
        name: "memory, P=16 and 64, others",
        at_least: 1.1,
        or_disk: false,
        covers: |cell| cell.store == Store::Memory,
    },
    Bar {
        name: "embedded, c=500",
        at_least: 1.0,
        or_disk: false,
        covers: |cell| cell.clients == 500 && cell.payload() < LARGE,
    },
    Bar {
        name: "embedded, P=1",
        at_least: 1.0,
        or_disk: false,
        covers: |cell| cell.pipeline == 1 && cell.payload() < LARGE,
    },
    Bar {
        name: "embedded, P=16, 16 B and MULTI/EXEC",
        at_least: 1.2,
        or_disk: false,
        covers: |cell| cell.pipeline == 16 && cell.payload() <= 16,
    },
    Bar {
        name: "embedded, P=16, 1 KB",
        at_least: 1.0,
        or_disk: true,
        covers: |cell| cell.pipeline == 16 && cell.payload() == 1024,
    },
];

const LARGE: usize = 64 << 10;

/// As near to the disk's bandwidth as two measurements of it are to each other.
const AT_DISK_BANDWIDTH: f64 = 0.9;

/// How a row stands to its bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Met,
    /// The ratio is lower, but aft writes what the disk can sync.
    AtDisk,
    Missed,
}

/// The bar of a closed-loop cell, if there is one.
pub(crate) fn bar(cell: &Cell) -> Option<&'static Bar> {
    BARS.iter().find(|bar| cell.is_throughput() && (bar.covers)(cell))
}

/// Whether a row keeps its bar.
pub(crate) fn verdict(row: &Row, disk: &Disk) -> Option<Verdict> {
    let bar = bar(&row.cell)?;
    let ratio = row.ratio()?.median;
    let at_disk = || written_mb_per_second(row) >= AT_DISK_BANDWIDTH * disk.synced_mb_per_second;
    Some(if ratio >= bar.at_least {
        Verdict::Met
    } else if bar.or_disk && row.cell.command != Command::Get && at_disk() {
        Verdict::AtDisk
    } else {
        Verdict::Missed
    })
}

/// Bytes of values that aft made durable in a second.
fn written_mb_per_second(row: &Row) -> f64 {
    let bytes = row.cell.command.values() * row.cell.value_bytes;
    median(&row.aft, |sample| sample.per_second) * bytes as f64 / 1e6
}
