//! Background tasks over the cache: refresh ahead of expiry, and removal of idle
//! accounts.
//!
//! Accounts in use are refreshed ahead of expiry, so that callers do not wait. Each
//! replica searches its own cache; the lease ensures one refresh over all replicas, and
//! the jitter of the margins spreads replicas and accounts. Callers have priority:
//! refreshes ahead have a small rate limit of their own.

use std::time::Duration;

use time::OffsetDateTime;

use super::{Engine, RefreshOptions};
use crate::metrics;
use crate::snapshot::Snapshot;
use crate::upstream::SEARCH_SECONDS;

/// Interval of searches for tokens about to expire.
const REFRESH_CHECK_EVERY: Duration = Duration::from_secs(SEARCH_SECONDS.get() as u64);
/// Interval between two searches for idle accounts.
const IDLE_CHECK_EVERY: Duration = Duration::from_mins(1);

impl Engine {
    /// Refreshes ahead of expiry until the service stops.
    pub async fn refresh_ahead(self) {
        if self.parts.ahead_window.is_zero() {
            self.stopping.cancelled().await;
            return;
        }
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(REFRESH_CHECK_EVERY) => {}
            }
            let engine = self.clone();
            // A search through a hundred thousand entries would block a runtime thread.
            let search = tokio::task::spawn_blocking(move || engine.due()).await;
            let due = search.unwrap_or_else(|error| {
                tracing::error!(%error, "the search for tokens that expire soon failed");
                Vec::new()
            });
            for snapshot in due {
                if snapshot.upstream.allows_refresh_ahead(snapshot.health()) {
                    metrics::ahead(snapshot.provider());
                    drop(self.start_refresh(&snapshot, RefreshOptions::default()));
                }
            }
        }
    }

    /// Removes idle accounts from the cache until the service stops.
    pub async fn drop_idle(self) {
        let stopping = &self.stopping;
        while let Some(()) = stopping
            .run_until_cancelled(tokio::time::sleep(IDLE_CHECK_EVERY))
            .await
        {
            let engine = self.clone();
            // A search through a hundred thousand entries would block a runtime thread.
            let search = tokio::task::spawn_blocking(move || {
                let now = engine.parts.clock.now();
                engine.parts.cache.drop_idle(now);
            });
            if let Err(error) = search.await {
                tracing::error!(%error, "the search for idle accounts failed");
            }
        }
    }

    /// Accounts in use whose token is about to expire, the soonest first.
    fn due(&self) -> Vec<std::sync::Arc<Snapshot>> {
        let now = self.parts.clock.now();
        let mut due: Vec<_> = self
            .parts
            .cache
            .snapshots()
            .filter(|snapshot| is_due(snapshot, self.parts.ahead_window, now))
            .collect();
        due.sort_by_key(|snapshot| snapshot.token.as_ref().map(|token| token.expires_at));
        due
    }
}

/// Returns `true` if a refresh now spares a caller the wait. Expired tokens are left to
/// callers: possibly nobody requests them again.
fn is_due(snapshot: &Snapshot, window: Duration, now: OffsetDateTime) -> bool {
    snapshot.refreshable
        && !snapshot.dead
        && !snapshot.erased
        && snapshot
            .valid_token(now)
            .is_some_and(|token| token.remaining(now) <= token.soft_margin)
        && snapshot.last_used.within(window, now)
        && snapshot.backoff_left().is_none()
}
