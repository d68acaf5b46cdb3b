//! Waiting for what must happen.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long a test waits at most for what must happen. It is far longer than a quiet machine needs,
/// because a busy one can stand still for seconds.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until a condition holds.
///
/// # Panics
/// It does not hold within [`PATIENCE`].
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let limit = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < limit, "never: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}
