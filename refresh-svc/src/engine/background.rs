//! Refreshing ahead of expiry, for accounts in use: so that callers do not wait.
//!
//! Each replica looks through what it holds; the lease keeps it one refresh over
//! all of them, and the jitter of every margin keeps them and the accounts out of
//! step. Callers come first: what is ahead has a small bucket of its own.

use std::time::Duration;

use time::OffsetDateTime;

use super::{Engine, RefreshOptions};
use crate::metrics;
use crate::snapshot::Snapshot;
use crate::upstream::SEARCH_SECONDS;

/// Between two looks through the cache.
const REFRESH_CHECK_EVERY: Duration = Duration::from_secs(SEARCH_SECONDS.get() as u64);
/// Interval between two searches for idle accounts.
const IDLE_CHECK_EVERY: Duration = Duration::from_mins(1);

impl Engine {
    /// Refreshes ahead until the service stops.
    pub async fn refresh_ahead(self) {
        if self.parts.ahead_window.is_zero() {
            return;
        }
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(REFRESH_CHECK_EVERY) => {}
            }
            let engine = self.clone();
            // A hundred thousand entries take a while: not on a thread that serves.
            let search = tokio::task::spawn_blocking(move || engine.due()).await;
            for snapshot in search.unwrap_or_default() {
                if snapshot.upstream.allows_refresh_ahead(snapshot.health()) {
                    metrics::ahead(snapshot.provider());
                    drop(self.start_refresh(&snapshot, RefreshOptions::default()));
                }
            }
        }
    }

    /// Drops idle accounts until the service stops.
    pub async fn drop_idle(self) {
        let stopping = &self.stopping;
        while let Some(()) = stopping
            .run_until_cancelled(tokio::time::sleep(IDLE_CHECK_EVERY))
            .await
        {
            let engine = self.clone();
            // A hundred thousand entries take a while: not on a thread that serves.
            let search = tokio::task::spawn_blocking(move || {
                let now = engine.parts.clock.now();
                engine.parts.cache.drop_idle(now);
            });
            if let Err(error) = search.await {
                tracing::error!(%error, "the look for idle accounts broke off");
            }
        }
    }

    /// What is in use and about to expire, the soonest first.
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

/// True where a refresh now spares a caller the wait. What has expired already
/// is for callers: nobody may ask again.
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
