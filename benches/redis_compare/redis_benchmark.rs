//! Throughput of plain commands, by redis-benchmark: the client everyone has.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::Result;
use crate::cells::{Cell, Sample};

/// Runs redis-benchmark once; gives up after `limit`.
pub(crate) async fn run(port: u16, cell: &Cell, requests: u64, limit: Duration) -> Result<Sample> {
    let mut command = Command::new("redis-benchmark");
    command
        .args(["-h", "127.0.0.1", "-p", &port.to_string()])
        .args(["-t", cell.command.name(), "--csv"])
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
    parse_csv(&stdout, requests)
        .ok_or_else(|| format!("{cell}: redis-benchmark printed {stdout}").into())
}

/// The first row under the heading, e.g.
/// `"SET","98039.22","0.262","0.104","0.255","0.311","0.407","1.079"`.
fn parse_csv(csv: &str, requests: u64) -> Option<Sample> {
    let mut lines = csv.lines().skip_while(|line| !line.starts_with("\"test\""));
    let heading: Vec<&str> = lines.next()?.split(',').collect();
    // No field has a comma in it.
    let fields: Vec<&str> = lines.next()?.split(',').collect();
    let figure = |name: &str| -> Option<f64> {
        let column = heading.iter().position(|field| field.trim_matches('"') == name)?;
        fields.get(column)?.trim_matches('"').parse().ok()
    };
    Some(Sample {
        requests,
        cpu_seconds: 0.0,
        per_second: figure("rps")?,
        p50_ms: figure("p50_latency_ms")?,
        p99_ms: figure("p99_latency_ms")?,
        p999_ms: None,
        max_ms: figure("max_latency_ms")?,
        unanswered: 0,
    })
}
