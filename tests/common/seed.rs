//! Random choices that can be made again: the seed comes from `AFT_SEED` or the clock, and a
//! failing test prints it.

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::wait;

pub(crate) fn from_env() -> u64 {
    match std::env::var("AFT_SEED") {
        Ok(text) => text.parse().expect("AFT_SEED is a number"),
        Err(_) => wait::wall_ms().unsigned_abs(),
    }
}

/// `AFT_SEED`, or always the same choices.
pub(crate) fn from_env_or(usual: u64) -> u64 {
    if std::env::var_os("AFT_SEED").is_some() { from_env() } else { usual }
}

/// An independent stream per (seed, purpose), so that one worker's speed doesn't change another's
/// choices.
pub(crate) fn rng(seed: u64, stream: u64) -> StdRng {
    StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ stream)
}
