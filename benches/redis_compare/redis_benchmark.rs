//! Throughput of plain commands, by redis-benchmark: the client everyone has.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::Result;
use crate::cells::Cell;
use crate::figures::Sample;

/// Runs redis-benchmark once; gives up after `limit`.
pub(crate) async fn run(port: u16, cell: &Cell, requests: u64, limit: Duration) -> Result<Sample> {
    let mut command = Command::new("redis-benchmark");
    command
        .args(["-h", "127.0.0.1", "-p", &port.to_string()])
        .args(["-t", cell.command.name()])
        .args(["-c", &cell.clients.to_string()])
        .args(["-P", &cell.pipeline.to_string()])
        .args(["-d", &cell.value_bytes.to_string()])
        .args(["-r", &cell.keys.to_string()])
        .args(["-n", &requests.to_string()])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(limit, command.output())
        .await
        .map_err(|_| format!("{cell}: redis-benchmark had not finished after {limit:?}"))?
        .map_err(|error| format!("redis-benchmark (package redis-tools): {error}"))?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{cell}: redis-benchmark: {}", stderr.trim()).into());
    }
    parse(&stdout, requests)
        .ok_or_else(|| format!("{cell}: redis-benchmark printed {stdout}").into())
}

/// Whether it ended by its own mistake: when its clock strikes between the last reply and
/// the end, it takes its finished clients for lost ones.
pub(crate) fn gave_up(error: &(dyn std::error::Error + Send + Sync)) -> bool {
    error.to_string().contains("All clients disconnected")
}

/// What it prints at the end, shortened:
///
/// ```text
/// Latency by percentile distribution:
/// 99.902% <= 0.415 milliseconds (cumulative count 99905)
///
///   throughput summary: 97276.27 requests per second
///   latency summary (msec):
///           avg       min       p50       p95       p99       max
///         0.270     0.096     0.263     0.327     0.415     1.031
/// ```
/// Its percentiles come in steps, so p99.9 is the first at or behind it. `--csv` has none.
fn parse(text: &str, requests: u64) -> Option<Sample> {
    let percentiles = text.split("Latency by percentile distribution:").nth(1)?;
    let p999_ms = percentiles.lines().find_map(|line| {
        let (percent, rest) = line.split_once("% <= ")?;
        let ms = rest.split(' ').next()?.parse().ok()?;
        (percent.parse::<f64>().ok()? >= 99.9).then_some(ms)
    })?;
    let per_second = percentiles.split("throughput summary: ").nth(1)?.split(' ').next()?;
    let summary = percentiles.split("latency summary (msec):").nth(1)?;
    let figures: Vec<f64> =
        summary.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let &[_average, _min, p50_ms, _p95, p99_ms, max_ms] = figures.as_slice() else {
        return None;
    };
    Some(Sample {
        requests,
        cpu_seconds: 0.0,
        per_second: per_second.parse().ok()?,
        p50_ms,
        p99_ms,
        p999_ms,
        max_ms,
        unanswered: 0,
    })
}
