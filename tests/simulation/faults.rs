//! The store's weather: what goes wrong, how often, drawn from the seed.

use aft::storage::StoreError;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use std::time::Duration;

/// What a whole outage looks like from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutageKind {
    /// Every request fails at once.
    Fails,
    /// No request arrives, no reply comes.
    Silent,
    /// Requests are carried out, replies are lost.
    RepliesLost,
    /// Requests wait in some queue and are carried out when it is over.
    Stalls,
    /// Nothing can be written.
    Full,
}

/// A stretch of virtual time in which a store is not itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outage {
    pub(crate) kind: OutageKind,
    pub(crate) from: Duration,
    pub(crate) until: Duration,
}

/// How often what goes wrong: a chance per request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    pub(crate) fail_before: f64,
    pub(crate) fail_after: f64,
    /// The work is done, perhaps much later; no reply ever comes.
    pub(crate) reply_lost: f64,
    /// The request is lost on its way.
    pub(crate) request_lost: f64,
    pub(crate) heavy_tail: f64,
    pub(crate) rejected: f64,
    pub(crate) lists_late: f64,
    pub(crate) reads_late: f64,
    /// When its caller goes away, a request still under way vanishes.
    pub(crate) vanishes: f64,
    pub(crate) delay_ms_max: u64,
    pub(crate) outages: Vec<Outage>,
}

/// What becomes of one request.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// After how long the store carries it out, if ever.
    pub(crate) arrives: Option<Duration>,
    pub(crate) reply: Reply,
    pub(crate) vanishes: bool,
}

/// What the caller gets to see.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// The result, so long after the work.
    After(Duration),
    /// Nothing.
    Never,
    /// An error, so long after the request.
    Error(Duration, StoreError),
}

/// What a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Create,
    Other,
}

fn ms(rng: &mut StdRng, from: u64, through: u64) -> Duration {
    Duration::from_millis(rng.random_range(from..=through.max(from)))
}

impl Faults {
    /// The weather of a seed: calm, changeable or stormy.
    pub(crate) fn draw(rng: &mut StdRng) -> Self {
        let storm = [0.0, 0.3, 1.0, 3.0][rng.random_range(0..4)];
        let outages = (0..rng.random_range(0..4)).map(|_| Self::draw_outage(rng));
        Self {
            outages: outages.collect(),
            fail_before: 0.02 * storm,
            fail_after: 0.02 * storm,
            reply_lost: 0.015 * storm,
            request_lost: 0.01 * storm,
            heavy_tail: 0.02 * storm,
            rejected: [0.0, 0.0, 0.004, 0.02][rng.random_range(0..4)],
            lists_late: [0.0, 0.0, 0.1, 0.5][rng.random_range(0..4)],
            reads_late: [0.0, 0.0, 0.1, 0.5][rng.random_range(0..4)],
            vanishes: [0.0, 0.5, 1.0][rng.random_range(0..3)],
            delay_ms_max: [0, 2, 10, 40][rng.random_range(0..4)],
        }
    }

    fn draw_outage(rng: &mut StdRng) -> Outage {
        let kind = [
            OutageKind::Fails,
            OutageKind::Silent,
            OutageKind::RepliesLost,
            OutageKind::Stalls,
            OutageKind::Full,
        ][rng.random_range(0..5)];
        let from = ms(rng, 0, 20_000);
        let lasts = [200, 2_000, 12_000][rng.random_range(0..3)];
        Outage { kind, from, until: from + ms(rng, lasts / 4, lasts) }
    }

    /// Nothing goes wrong any more.
    pub(crate) fn calm() -> Self {
        Self { delay_ms_max: 2, ..Self::default() }
    }

    /// When the last outage is over.
    pub(crate) fn quiet_from(&self) -> Duration {
        let ends = self.outages.iter().map(|outage| outage.until);
        ends.max().unwrap_or_default()
    }

    /// What becomes of a request sent at `now`.
    pub(crate) fn plan(&self, verb: Verb, now: Duration, rng: &mut StdRng) -> Plan {
        let delay = self.delay(rng);
        let vanishes = rng.random_bool(self.vanishes);
        let outage = self.outages.iter().find(|outage| (outage.from..outage.until).contains(&now));
        if let Some(outage) = outage
            && (outage.kind != OutageKind::Full || verb == Verb::Create)
        {
            return Self::plan_in(outage, delay, now, vanishes, rng);
        }
        let plan = |arrives, reply| Plan { arrives, reply, vanishes };
        let failed = |why: &str| Reply::Error(delay, StoreError::Unavailable(why.to_owned()));
        if rng.random_bool(self.fail_before) {
            return plan(None, failed("failed before"));
        }
        if rng.random_bool(self.fail_after) {
            return plan(Some(delay / 2), failed("failed after"));
        }
        if rng.random_bool(self.request_lost) {
            return plan(None, Reply::Never);
        }
        if rng.random_bool(self.reply_lost) {
            // Sometimes seconds after everybody gave up.
            let late = [10, 500, 8_000][rng.random_range(0..3)];
            return plan(Some(ms(rng, 0, late)), Reply::Never);
        }
        if verb == Verb::Create && rng.random_bool(self.rejected) {
            let why = StoreError::Rejected("too many atoms".to_owned());
            return plan(None, Reply::Error(delay, why));
        }
        plan(Some(delay / 2), Reply::After(delay / 2))
    }

    fn plan_in(
        outage: &Outage,
        delay: Duration,
        now: Duration,
        vanishes: bool,
        rng: &mut StdRng,
    ) -> Plan {
        let (arrives, reply) = match outage.kind {
            OutageKind::Fails => {
                let why = StoreError::Unavailable("outage".to_owned());
                (None, Reply::Error(delay, why))
            }
            OutageKind::Silent => (None, Reply::Never),
            OutageKind::RepliesLost => (Some(delay), Reply::Never),
            OutageKind::Stalls => {
                let queue = outage.until - now + ms(rng, 0, 3_000);
                (Some(queue), Reply::After(delay))
            }
            OutageKind::Full => {
                let why = StoreError::Full("no space".to_owned());
                (None, Reply::Error(delay, why))
            }
        };
        Plan { arrives, reply, vanishes }
    }

    fn delay(&self, rng: &mut StdRng) -> Duration {
        let delay = ms(rng, 0, self.delay_ms_max);
        if rng.random_bool(self.heavy_tail) { delay + ms(rng, 50, 6_000) } else { delay }
    }

    /// From when on a new object is listed, and read.
    pub(crate) fn shows(&self, rng: &mut StdRng) -> (Duration, Duration) {
        let late = |rng: &mut StdRng, chance: f64, longest: [u64; 3]| {
            if rng.random_bool(chance) {
                let longest = longest[rng.random_range(0..3)];
                ms(rng, 0, longest)
            } else {
                Duration::ZERO
            }
        };
        (
            late(rng, self.lists_late, [20, 2_000, 60_000]),
            late(rng, self.reads_late, [20, 500, 3_000]),
        )
    }
}

/// A generator of its own for one part of a world, so that the parts don't disturb
/// each other.
pub(crate) fn fork(rng: &mut impl Rng) -> StdRng {
    use rand::SeedableRng;
    StdRng::from_rng(rng)
}
