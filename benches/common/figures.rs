//! Figures, and figures as text.

/// What one run on one server gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Requests answered.
    pub(crate) requests: u64,
    /// CPU time of the server meanwhile, in user space and in the kernel.
    pub(crate) cpu_seconds: f64,
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
    /// Requests that had no reply when the run was given up; counted in the latencies
    /// with the time they had waited.
    pub(crate) unanswered: u64,
}

/// CPU time of a request in microseconds, over all rounds of one server. It hardly changes
/// when neighbours take the CPU away, so it tells servers apart where times no longer do.
pub(crate) fn cpu_us(samples: &[Sample]) -> f64 {
    let seconds: f64 = samples.iter().map(|sample| sample.cpu_seconds).sum();
    let requests: u64 = samples.iter().map(|sample| sample.requests).sum();
    seconds * 1e6 / requests.max(1) as f64
}

/// The median of one figure over the rounds of one server; 0 without a round.
pub(crate) fn median(samples: &[Sample], figure: impl Fn(&Sample) -> f64) -> f64 {
    Spread::of(samples.iter().map(figure).collect()).map_or(0.0, |spread| spread.median)
}

/// Median, smallest and largest of some figures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_by(f64::total_cmp);
        let (min, max) = (*figures.first()?, *figures.last()?);
        let middle = figures.len() / 2;
        let median = if figures.len().is_multiple_of(2) {
            (figures[middle - 1] + figures[middle]) / 2.0
        } else {
            figures[middle]
        };
        Some(Self { median, min, max })
    }

    /// Of the quotients, round by round.
    pub(crate) fn of_ratios(above: &[f64], below: &[f64]) -> Option<Self> {
        Self::of(above.iter().zip(below).map(|(above, below)| above / below).collect())
    }
}

pub(crate) fn spread(spread: Spread) -> String {
    format!("{:.2} ({:.2}–{:.2})", spread.median, spread.min, spread.max)
}

/// 1234567.8 as 1,234,568.
pub(crate) fn thousands(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
