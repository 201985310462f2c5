//! How busy the server is at the moment: INFO's `instantaneous_…`.

use super::Counters;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The counters at one moment.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Duration,
    commands: u64,
    bytes_in: u64,
    bytes_out: u64,
}

/// What happened in a second, on average over the last readings.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Commands run.
    pub commands: f64,
    /// Bytes read from clients.
    pub bytes_in: f64,
    /// Bytes written to clients.
    pub bytes_out: f64,
}

/// The last readings, oldest first.
#[derive(Debug, Default)]
pub struct Readings(Mutex<VecDeque<Reading>>);

impl Readings {
    /// Between two readings, as in Redis.
    pub const EVERY: Duration = Duration::from_millis(100);
    /// So rates are averages over the last 1.6 s, as in Redis.
    const SPANS: usize = 16;

    /// Reads the counters.
    pub fn take(&self, at: Duration, counters: &Counters) {
        let reading = Reading {
            at,
            commands: counters.commands.load(Ordering::Relaxed),
            bytes_in: counters.bytes_in.load(Ordering::Relaxed),
            bytes_out: counters.bytes_out.load(Ordering::Relaxed),
        };
        let mut readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if readings.len() > Self::SPANS {
            readings.pop_front();
        }
        readings.push_back(reading);
    }

    /// The rates between the oldest reading and the newest.
    pub fn rates(&self) -> Rates {
        let readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(first), Some(last)) = (readings.front(), readings.back()) else {
            return Rates::default();
        };
        let seconds = last.at.saturating_sub(first.at).as_secs_f64();
        if seconds == 0.0 {
            return Rates::default();
        }
        let per_second = |before: u64, now: u64| now.saturating_sub(before) as f64 / seconds;
        Rates {
            commands: per_second(first.commands, last.commands),
            bytes_in: per_second(first.bytes_in, last.bytes_in),
            bytes_out: per_second(first.bytes_out, last.bytes_out),
        }
    }

    /// Begins anew, when the counters do.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(readings: &Readings, counters: &Counters, turns: std::ops::Range<u32>, commands: u64) {
        for turn in turns {
            counters.commands.fetch_add(commands, Ordering::Relaxed);
            counters.bytes_in.fetch_add(2 * commands, Ordering::Relaxed);
            counters.bytes_out.fetch_add(3 * commands, Ordering::Relaxed);
            readings.take(Readings::EVERY * turn, counters);
        }
    }

    #[test]
    fn rates_are_those_of_the_last_readings() {
        let (readings, counters) = (Readings::default(), Counters::default());
        assert_eq!(readings.rates(), Rates::default());
        run(&readings, &counters, 0..1, 5);
        assert_eq!(readings.rates(), Rates::default(), "one reading is no rate");
        run(&readings, &counters, 1..10, 100);
        let rates = readings.rates();
        assert_eq!(rates, Rates { commands: 1000.0, bytes_in: 2000.0, bytes_out: 3000.0 });
        run(&readings, &counters, 10..27, 0);
        assert_eq!(readings.rates(), Rates::default(), "it has been idle since");
        run(&readings, &counters, 27..29, 80);
        assert_eq!(readings.rates().commands, 100.0);
    }

    #[test]
    fn counters_that_begin_anew_make_no_rate() {
        let (readings, counters) = (Readings::default(), Counters::default());
        run(&readings, &counters, 0..3, 10);
        counters.reset();
        readings.clear();
        run(&readings, &counters, 3..5, 10);
        assert_eq!(readings.rates().commands, 100.0);
    }
}
