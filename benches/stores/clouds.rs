//! How long the stores of a cloud take, and what they can: as far as a benchmark needs to know.

use std::f64::consts::TAU;
use std::time::Duration;

use aft::storage::Limits;

use crate::requests::Dice;

/// Times with a long tail, as services have them: their logarithms have a normal distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lognormal {
    p50_ms: f64,
    p99_ms: f64,
}

impl Lognormal {
    pub(crate) const fn new(p50_ms: f64, p99_ms: f64) -> Self {
        Self { p50_ms, p99_ms }
    }

    pub(crate) fn draw(self, dice: &mut Dice) -> Duration {
        /// The 99th percentile of the normal distribution.
        const P99: f64 = 2.326_348;
        // By Box and Muller: two that are uniform make one that is normal.
        let radius = (-2.0 * (1.0 - dice.share()).ln()).sqrt();
        let normal = radius * (TAU * dice.share()).cos();
        let ms = self.p50_ms * ((self.p99_ms / self.p50_ms).ln() * normal / P99).exp();
        Duration::from_secs_f64(ms / 1e3)
    }
}

/// A store in a cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cloud {
    S3,
    /// An S3 whose reads are as slow as its writes.
    S3SlowReads,
    DynamoDb,
    /// One without delays, to fill it.
    Nearby,
}

impl Cloud {
    pub(crate) const ALL: [Self; 4] = [Self::S3, Self::S3SlowReads, Self::DynamoDb, Self::Nearby];

    /// For the command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::S3SlowReads => "s3-slow-reads",
            Self::DynamoDb => "dynamodb",
            Self::Nearby => "nearby",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cloud| cloud.word() == word)
    }

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::S3 => "S3",
            Self::S3SlowReads => "S3, slow reads",
            Self::DynamoDb => "DynamoDB",
            Self::Nearby => "nearby",
        }
    }

    /// What a node is told where its data is: one that others can reach, too.
    pub(crate) fn address(self) -> &'static str {
        match self {
            Self::DynamoDb => "dynamodb://delayed",
            _ => "s3://delayed",
        }
    }

    /// Of a request that changes something.
    pub(crate) fn put(self) -> Option<Lognormal> {
        match self {
            Self::S3 | Self::S3SlowReads => Some(Lognormal::new(30.0, 100.0)),
            Self::DynamoDb => Some(Lognormal::new(4.0, 12.0)),
            Self::Nearby => None,
        }
    }

    /// Of one that looks.
    pub(crate) fn get(self) -> Option<Lognormal> {
        match self {
            Self::S3 => Some(Lognormal::new(15.0, 50.0)),
            Self::S3SlowReads => Some(Lognormal::new(30.0, 100.0)),
            Self::DynamoDb => Some(Lognormal::new(4.0, 12.0)),
            Self::Nearby => None,
        }
    }

    /// How long so many bytes of a request are under way. S3 carries some 85 MB/s on a connection; an
    /// item of DynamoDB is so small that they don't count.
    pub(crate) fn carry(self, bytes: u64) -> Duration {
        const S3_BYTES_PER_SECOND: f64 = 85e6;
        match self {
            Self::S3 | Self::S3SlowReads => {
                Duration::from_secs_f64(bytes as f64 / S3_BYTES_PER_SECOND)
            }
            Self::DynamoDb | Self::Nearby => Duration::ZERO,
        }
    }

    /// Those that the adapter of aft tells the engine.
    pub(crate) fn limits(self) -> Limits {
        let (group_bytes_useful, creates_in_flight, read_gap_bytes) = match self {
            Self::DynamoDb => (1 << 20, 8, 8 * 3904),
            _ => (8 << 20, 16, 1 << 20),
        };
        Limits {
            object_bytes_max: 1 << 30,
            group_bytes_useful,
            creates_in_flight,
            read_gap_bytes,
            frees_in_order: false,
            shows_at_once: false,
            survives_process: true,
        }
    }
}
