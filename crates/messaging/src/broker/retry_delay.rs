//! The waits between attempts to connect.

use std::time::Duration;

use latchkey_domain::Backoff;
use latchkey_service::jitter::Jitter;
use tokio_util::sync::CancellationToken;

/// The jitter keeps the clients of a broker that restarts from coming back at the same time.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10))
    .unwrap()
    .lengthened_by(100);

/// The waits between attempts: from 100 ms to 10 s, with jitter. A success resets them.
#[derive(Debug)]
pub(crate) struct RetryDelay {
    failures: u32,
    jitter: Jitter,
}

impl RetryDelay {
    pub(crate) fn new() -> Self {
        Self {
            failures: 0,
            jitter: Jitter::of_system(std::process::id().into()),
        }
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Waits before the next attempt. Returns `false` if `stop` is cancelled first.
    pub(crate) async fn wait(&mut self, stop: &CancellationToken) -> bool {
        self.failures = self.failures.saturating_add(1);
        let delay = BACKOFF.wait(self.failures, self.jitter.next());
        tokio::select! {
            () = stop.cancelled() => false,
            () = tokio::time::sleep(delay) => true,
        }
    }
}
