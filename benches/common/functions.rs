//! The requests of the AFT paper's evaluation: two functions, each a write and two reads of 4 KB,
//! the keys drawn by Zipf's law.

use super::requests::Dice;

pub(crate) const FUNCTIONS: usize = 2;
pub(crate) const KEYS: u64 = 1_000;
pub(crate) const VALUE_BYTES: usize = 4096;

/// What a function does with a numbered key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Read(u64),
    Write(u64),
}

/// A write and two reads.
pub(crate) type Function = [Operation; 3];

/// Numbered keys, the first of them the most frequent: the exponent is 1.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    /// For each key, how often it or one before it is drawn.
    up_to: Vec<f64>,
}

impl Zipf {
    pub(crate) fn new(keys: u64) -> Self {
        let mut sum = 0.0;
        let mut up_to: Vec<f64> = (1..=keys)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        up_to.iter_mut().for_each(|share| *share /= sum);
        Self { up_to }
    }

    fn key(&self, dice: &mut Dice) -> u64 {
        let share = dice.share();
        self.up_to.partition_point(|&up_to| up_to <= share).min(self.up_to.len() - 1) as u64
    }

    /// What the functions of the next request do. The write is anywhere among the reads.
    pub(crate) fn request(&self, dice: &mut Dice) -> [Function; FUNCTIONS] {
        [(); FUNCTIONS].map(|()| {
            let mut function = [(); 3].map(|()| Operation::Read(self.key(dice)));
            function[dice.below(3) as usize] = Operation::Write(self.key(dice));
            function
        })
    }
}
