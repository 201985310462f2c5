//! How often each command ran, and how long it took: for INFO commandstats and
//! latencystats.

use std::time::Duration;

/// The counts of one command.
#[derive(Debug, Default)]
pub struct Tally {
    /// How often it ran.
    pub calls: u64,
    /// How long that took in all.
    pub took: Duration,
    /// How often it was refused before it ran.
    pub rejected: u64,
    /// How often it ran and answered with an error.
    pub failed: u64,
    latencies: Option<Box<Histogram>>,
}

impl Tally {
    /// The time that this share of its calls (in percent) took at most, in nanoseconds;
    /// `None` if it never ran.
    pub fn percentile_ns(&self, percent: f64) -> Option<u64> {
        self.latencies.as_ref().map(|latencies| latencies.percentile(percent))
    }
}

/// The counts of all commands, by their number.
#[derive(Debug, Default)]
pub struct CommandStatistics(Vec<Tally>);

impl CommandStatistics {
    /// Counts calls that took as long as each other, but for those around others.
    #[inline]
    pub fn ran(&mut self, calls: &[Call], took_each: Duration) {
        let slot_each = Histogram::slot(took_each);
        for call in calls {
            let (took, slot) = match call.around {
                0 => (took_each, slot_each),
                others => {
                    let took = took_each * (1 + u32::from(others));
                    (took, Histogram::slot(took))
                }
            };
            let tally = self.tally(call.command);
            tally.calls += 1;
            tally.took += took;
            tally.failed += u64::from(call.failed);
            tally.latencies.get_or_insert_default().add(slot);
        }
    }

    /// Counts a command that was refused.
    pub fn rejected(&mut self, command: u16) {
        self.tally(command).rejected += 1;
    }

    /// The counts of a command, if it was ever asked for.
    pub fn of(&self, command: u16) -> Option<&Tally> {
        self.0.get(usize::from(command))
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    #[inline]
    fn tally(&mut self, command: u16) -> &mut Tally {
        let at = usize::from(command);
        if at >= self.0.len() {
            self.0.resize_with(at + 1, Tally::default);
        }
        &mut self.0[at]
    }
}

/// One call.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// The command's number.
    pub command: u16,
    /// Whether it answered with an error.
    pub failed: bool,
    /// It is an EXEC around so many others, whose time is a part of its own.
    pub around: u8,
}

/// Times up to a second with two digits that count, in the buckets of the histogram that
/// Redis uses, so that percentiles are rounded as there: 128 buckets for each doubling.
#[derive(Debug)]
struct Histogram {
    counts: [u64; Self::SLOTS],
    total: u64,
}

impl Default for Box<Histogram> {
    fn default() -> Self {
        Self::new(Histogram { counts: [0; Histogram::SLOTS], total: 0 })
    }
}

impl Histogram {
    const NS_MAX: u64 = 1_000_000_000;
    const SLOTS: usize = Self::slot_of_ns(Self::NS_MAX) + 1;

    /// How often `ns` can be halved before it is below 256.
    const fn halvings(ns: u64) -> u32 {
        56 - (ns | 255).leading_zeros()
    }

    const fn slot_of_ns(ns: u64) -> usize {
        let halvings = Self::halvings(ns);
        ((halvings as usize) << 7) + (ns >> halvings) as usize
    }

    #[inline]
    fn slot(time: Duration) -> usize {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self::slot_of_ns(ns.clamp(1, Self::NS_MAX))
    }

    #[inline]
    fn add(&mut self, slot: usize) {
        self.counts[slot] += 1;
        self.total += 1;
    }

    /// The longest time that falls into the same slot.
    fn end_ns(slot: usize) -> u64 {
        let halvings = (slot >> 7).saturating_sub(1);
        let start = (slot - (halvings << 7)) as u64;
        ((start + 1) << halvings) - 1
    }

    fn percentile(&self, percent: f64) -> u64 {
        let wanted = ((percent / 100.0 * self.total as f64 + 0.5) as u64).max(1);
        let mut seen = 0;
        let slot = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        slot.map_or(0, Self::end_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_rounded_as_by_redis() {
        for (us, shown) in [(1, 1003), (2, 2007), (7, 7007), (14, 14_015), (64, 64_255)] {
            let mut statistics = CommandStatistics::default();
            statistics
                .ran(&[Call { command: 3, failed: false, around: 0 }], Duration::from_micros(us));
            assert_eq!(statistics.of(3).unwrap().percentile_ns(99.0), Some(shown));
        }
        assert_eq!(Histogram::end_ns(Histogram::slot(Duration::from_micros(106))), 106_495);
    }

    #[test]
    fn every_time_has_a_slot_that_ends_at_it_or_little_later() {
        for exponent in 0..64 {
            for ns in [1u64 << exponent, (1u64 << exponent) + 1, (1u64 << exponent) - 1] {
                let slot = Histogram::slot(Duration::from_nanos(ns));
                let ns = ns.clamp(1, Histogram::NS_MAX);
                let end = Histogram::end_ns(slot);
                assert!(ns <= end && end - ns <= ns / 128, "{ns} {end}");
            }
        }
    }

    #[test]
    fn an_exec_took_what_it_has_run_took() {
        let mut statistics = CommandStatistics::default();
        let within = Call { command: 1, failed: false, around: 0 };
        let exec = Call { command: 2, failed: false, around: 2 };
        statistics.ran(&[within, within, exec], Duration::from_micros(5));
        let took = |command| statistics.of(command).map(|tally| (tally.calls, tally.took));
        assert_eq!(took(1), Some((2, Duration::from_micros(10))));
        assert_eq!(took(2), Some((1, Duration::from_micros(15))));
        assert_eq!(statistics.of(2).unwrap().percentile_ns(50.0), Some(15_039));
    }

    #[test]
    fn percentiles_are_of_all_calls() {
        let mut statistics = CommandStatistics::default();
        let call = [Call { command: 0, failed: true, around: 0 }];
        for us in 1..=100 {
            statistics.ran(&call, Duration::from_micros(us));
        }
        let tally = statistics.of(0).unwrap();
        assert_eq!((tally.calls, tally.failed, tally.rejected), (100, 100, 0));
        assert_eq!(tally.took, Duration::from_micros(5050));
        assert_eq!(tally.percentile_ns(50.0), Some(50_175));
        assert_eq!(tally.percentile_ns(100.0), Some(100_351));
        assert!(statistics.of(1).is_none());
    }
}
