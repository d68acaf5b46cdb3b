//! Polling for a condition that another process fulfils.

use std::time::{Duration, Instant};

/// Time limit for everything that arrives over the broker.
pub const BROKER_TIMEOUT: Duration = Duration::from_secs(20);
/// Time between two calls of `ask`.
const PAUSE: Duration = Duration::from_millis(50);

/// Calls `ask` until it returns a value, for at most `limit`. The error names `what`.
///
/// # Errors
/// There is no value in time, or `ask` fails.
pub async fn eventually<T>(
    limit: Duration,
    what: &str,
    mut ask: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await? {
            return Ok(answer);
        }
        anyhow::ensure!(begun.elapsed() < limit, "{what}: not within {limit:?}");
        tokio::time::sleep(PAUSE).await;
    }
}
