//! Waiting for compaction.

use std::time::Duration;

use super::Result;
use super::clock::now;
use super::connection;
use super::servers::Server;

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until compaction has nothing to do any more, and says how long that took, in seconds.
pub(crate) async fn rest(server: &Server) -> Result<f64> {
    /// Looks in which nothing changes.
    const STILL: usize = 10;
    let began = now();
    let (mut seen, mut still, mut changed) = (None, 0, began.elapsed());
    while still < STILL {
        let info = connection::info(server.address(), "aft").await?;
        let state = (
            info.number("compaction_bases_written")?,
            info.number("replaced_objects")?,
            server.disk_bytes()?,
        );
        if seen == Some(state) {
            still += 1;
        } else {
            (seen, still, changed) = (Some(state), 0, began.elapsed());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(changed.as_secs_f64())
}
