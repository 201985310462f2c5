//! Requests for few keys often and for many now and then, as in YCSB.

use crate::requests::{Dice, Requests, key, write_command};

/// Ranks by Zipf's law, by the method of Gray et al., "Quickly Generating Billion-Record
/// Synthetic Databases", SIGMOD 1994: one power a rank, and no table.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    ranks: f64,
    zeta: f64,
    alpha: f64,
    eta: f64,
}

/// YCSB's: the hottest of a million keys gets 7 % of the requests.
const EXPONENT: f64 = 0.99;

impl Zipf {
    pub(crate) fn new(ranks: u64) -> Self {
        let zeta = |ranks: u64| (1..=ranks).map(|rank| (rank as f64).powf(-EXPONENT)).sum::<f64>();
        let (all, two) = (zeta(ranks), zeta(2));
        let ranks = ranks as f64;
        let eta = (1.0 - (2.0 / ranks).powf(1.0 - EXPONENT)) / (1.0 - two / all);
        Self { ranks, zeta: all, alpha: 1.0 / (1.0 - EXPONENT), eta }
    }

    /// The next rank; 0 is the most frequent.
    pub(crate) fn next(&self, dice: &mut Dice) -> u64 {
        let share = dice.share();
        match share * self.zeta {
            low if low < 1.0 => 0,
            low if low < 1.0 + 0.5_f64.powf(EXPONENT) => 1,
            _ => (self.ranks * (self.eta * share - self.eta + 1.0).powf(self.alpha)) as u64,
        }
    }
}

/// Which keys are asked for.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    /// Zipf's law over the hottest so many, or over all.
    Zipf(Zipf),
    /// Each of those from a rank on as often as the other.
    Uniform { from: u64 },
}

/// GETs of chosen keys.
#[derive(Clone, Debug)]
pub(crate) struct Gets {
    pub(crate) keys: u64,
    pub(crate) choice: Choice,
}

/// Neighbouring ranks are anywhere in the data: a prime, so that its multiples come by every
/// key whose number it doesn't divide.
const STRIDE: u64 = 1_299_709;

/// The key at a rank.
pub(crate) fn key_at(rank: u64, keys: u64) -> u64 {
    rank * STRIDE % keys
}

impl Requests for Gets {
    /// The few keys of some pipelines would all be cached.
    fn may_repeat(&self) -> bool {
        false
    }

    fn write_request(&self, _: usize, dice: &mut Dice, out: &mut Vec<u8>) {
        let rank = match &self.choice {
            Choice::Zipf(zipf) => zipf.next(dice),
            Choice::Uniform { from } => from + dice.below(self.keys - from),
        };
        write_command(out, &[b"GET", &key("key", key_at(rank, self.keys))]);
    }
}
