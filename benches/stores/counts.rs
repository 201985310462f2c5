//! What a store was asked for: counted in the process that asks, and read in the one that measures.

use std::fmt::Write;

use hdrhistogram::Histogram;

use crate::Result;
use crate::connection::Info;
use crate::prices;

/// Where a store counts.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) counts: Counts,
    /// How long each of its puts took, by itself: in microseconds.
    pub(crate) put_us: Histogram<u64>,
}

/// Requests, and what they are counted as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) creates: u64,
    pub(crate) bytes_created: u64,
    pub(crate) reads: u64,
    pub(crate) bytes_read: u64,
    pub(crate) lists: u64,
    pub(crate) deletes: u64,
    pub(crate) objects_deleted: u64,
    /// If it were a table of DynamoDB.
    pub(crate) write_units: u64,
    pub(crate) read_units: u64,
}

impl Counts {
    /// Dollars, if it were a bucket of S3. Objects are small enough for one PUT each; deletes are free.
    pub(crate) fn s3_dollars(&self) -> f64 {
        ((self.creates + self.lists) as f64 * prices::S3_PUT + self.reads as f64 * prices::S3_GET)
            / 1e6
    }

    /// Dollars, if it were a table of DynamoDB.
    pub(crate) fn dynamodb_dollars(&self) -> f64 {
        (self.write_units as f64 * prices::DYNAMODB_WRITE_UNIT
            + self.read_units as f64 * prices::DYNAMODB_READ_UNIT)
            / 1e6
    }

    /// Each count, with its name on the wire.
    fn fields(&mut self) -> [(&'static str, &mut u64); 9] {
        [
            ("creates", &mut self.creates),
            ("bytes_created", &mut self.bytes_created),
            ("reads", &mut self.reads),
            ("bytes_read", &mut self.bytes_read),
            ("lists", &mut self.lists),
            ("deletes", &mut self.deletes),
            ("objects_deleted", &mut self.objects_deleted),
            ("write_units", &mut self.write_units),
            ("read_units", &mut self.read_units),
        ]
    }
}

/// What a store says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    pub(crate) counts: Counts,
    pub(crate) put_p50_ms: f64,
    pub(crate) put_p99_ms: f64,
}

const PUT_P50: &str = "put_p50_us";
const PUT_P99: &str = "put_p99_us";

impl Tally {
    pub(crate) fn new() -> Result<Self> {
        const PUT_US_MAX: u64 = 600_000_000;
        let put_us = Histogram::new_with_bounds(1, PUT_US_MAX, 3)?;
        Ok(Self { counts: Counts::default(), put_us })
    }

    pub(crate) fn reset(&mut self) {
        self.counts = Counts::default();
        self.put_us.reset();
    }

    /// As INFO of Redis has it.
    pub(crate) fn to_text(&self) -> Result<String> {
        let mut text = String::new();
        for (name, count) in self.counts.clone().fields() {
            writeln!(text, "{name}:{count}\r")?;
        }
        for (name, quantile) in [(PUT_P50, 0.5), (PUT_P99, 0.99)] {
            writeln!(text, "{name}:{}\r", self.put_us.value_at_quantile(quantile))?;
        }
        Ok(text)
    }
}

impl Told {
    pub(crate) fn read(info: &Info) -> Result<Self> {
        let mut counts = Counts::default();
        for (name, count) in counts.fields() {
            *count = info.number(name)?;
        }
        let ms = |name| info.number(name).map(|us| us as f64 / 1e3);
        Ok(Self { counts, put_p50_ms: ms(PUT_P50)?, put_p99_ms: ms(PUT_P99)? })
    }
}
