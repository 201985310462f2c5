//! The delays that `cargo bench --bench stores` draws are those that it says.

#[path = "../benches/stores/clouds.rs"]
#[allow(dead_code, unreachable_pub, reason = "the benchmark uses all of it")]
mod clouds;
#[path = "../benches/common/requests.rs"]
#[allow(dead_code, unreachable_pub, reason = "the benchmarks use all of it")]
mod requests;

use clouds::Lognormal;
use requests::Dice;

#[test]
fn half_are_below_the_median_and_one_in_a_hundred_above_the_99th_percentile() {
    const DRAWN: usize = 100_000;
    let mut dice = Dice::new(7);
    let times = Lognormal::new(30.0, 100.0);
    let mut drawn: Vec<f64> =
        (0..DRAWN).map(|_| times.draw(&mut dice).as_secs_f64() * 1e3).collect();
    drawn.sort_by(f64::total_cmp);
    let [p50, p99] = [drawn[DRAWN / 2], drawn[DRAWN * 99 / 100]];
    assert!((p50 - 30.0).abs() < 0.5, "{p50}");
    assert!((p99 - 100.0).abs() < 3.0, "{p99}");
    assert!(drawn[0] > 2.0 && drawn[DRAWN - 1] < 600.0, "{} {}", drawn[0], drawn[DRAWN - 1]);
}
