//! Tokens that nobody asks for leave the memory.

use std::time::Duration;

use super::Engine;

/// Between two looks for idle accounts.
const EVERY: Duration = Duration::from_mins(1);

impl Engine {
    /// Drops idle accounts until the service stops.
    pub async fn drop_idle(self) {
        let stopping = &self.stopping;
        while let Some(()) = stopping
            .run_until_cancelled(tokio::time::sleep(EVERY))
            .await
        {
            let engine = self.clone();
            // A hundred thousand entries take a while: not on a thread that serves.
            let looked = tokio::task::spawn_blocking(move || {
                let now = engine.parts.clock.now();
                engine.parts.cache.drop_idle(now);
            });
            if let Err(error) = looked.await {
                tracing::error!(%error, "the look for idle accounts broke off");
            }
        }
    }
}
