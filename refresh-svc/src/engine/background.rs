//! Background tasks over the cache: refresh ahead of expiry, and removal of idle
//! accounts.
//!
//! Accounts in use are refreshed ahead of expiry, so that callers do not wait. Each
//! replica searches its own cache; the lease ensures one refresh over all replicas. A
//! search starts the refreshes that cannot wait, and of the others as many as keep the
//! load even ([`super::pace`]). Callers have priority: refreshes ahead have a small rate
//! limit of their own.

use std::time::Duration;

use tokio::time::Instant;

use super::expiry_search::ExpirySearch;
use super::{Engine, RefreshOptions};
use crate::metrics;
use crate::upstream::SEARCH_SECONDS;

/// Interval of searches for tokens about to expire.
const REFRESH_CHECK_EVERY: Duration = Duration::from_secs(SEARCH_SECONDS.get() as u64);
/// A search that comes late allows the refreshes of at most this time, so that a process
/// that stood still does not start all of them at once.
const MAX_ELAPSED: Duration = REFRESH_CHECK_EVERY.saturating_mul(2);
/// Interval between two searches for idle accounts.
const IDLE_CHECK_EVERY: Duration = Duration::from_mins(1);

impl Engine {
    /// Refreshes ahead of expiry until the service stops.
    pub async fn refresh_ahead(self) {
        if self.parts.ahead_window.is_zero() {
            self.stopping.cancelled().await;
            return;
        }
        let mut searches = ExpirySearch::default();
        let mut searched_at = Instant::now();
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(REFRESH_CHECK_EVERY) => {}
            }
            let engine = self.clone();
            // More than the interval, by the time that a search takes.
            let elapsed = searched_at.elapsed().min(MAX_ELAPSED);
            searched_at = Instant::now();
            // A search through a hundred thousand entries would block a runtime thread.
            let search = tokio::task::spawn_blocking(move || {
                let due = searches.due(&engine, elapsed);
                (due, searches)
            });
            let due;
            (due, searches) = search.await.unwrap_or_else(|error| {
                tracing::error!(%error, "the search for tokens that expire soon failed");
                (Vec::new(), ExpirySearch::default())
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
}
