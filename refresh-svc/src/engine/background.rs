//! Background tasks over the cache: refresh ahead of expiry, and removal of idle
//! accounts.
//!
//! Accounts in use are refreshed ahead of expiry, so that callers do not wait. Each
//! replica searches its own cache; the lease ensures one refresh over all replicas. A
//! search starts the refreshes that cannot wait, and of the others as many as keep the
//! load even ([`super::pace`]). Callers have priority: refreshes ahead have a small rate
//! limit of their own.

use std::time::Duration;

use futures::future;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::expiry_search::{ExpirySearch, Listing, View};
use super::{Engine, RefreshOptions};
use crate::metrics;
use crate::upstream::SEARCH_SECONDS;

/// Interval of searches for tokens about to expire.
const REFRESH_CHECK_EVERY: Duration = Duration::from_secs(SEARCH_SECONDS.get() as u64);
/// A search that comes late allows the refreshes of at most this time, so that a process
/// that stood still does not start all of them at once.
const MAX_ELAPSED: Duration = REFRESH_CHECK_EVERY.saturating_mul(2);
/// Time between two searches for idle accounts.
const IDLE_CHECK_EVERY: Duration = Duration::from_mins(3);

impl Engine {
    /// Refreshes ahead of expiry until the service stops.
    pub async fn refresh_ahead(self) {
        if self.parts.ahead_window.is_zero() {
            self.stopping.cancelled().await;
            return;
        }
        let (listings, listed) = mpsc::channel(1);
        let listing_and_searching =
            future::join(self.list_for_searches(listings), self.search_listed(listed));
        self.stopping
            .run_until_cancelled(listing_and_searching)
            .await;
    }

    /// Lists the accounts whose token expires soon, again and again.
    async fn list_for_searches(&self, listings: mpsc::Sender<Listing>) {
        let clock = &*self.parts.clock;
        loop {
            let listing = Listing::of(self.view(), clock).await;
            let used = listing.used.clone();
            if listings.send(listing).await.is_err() {
                return;
            }
            tokio::time::sleep(REFRESH_CHECK_EVERY).await;
            // Until its time is over, or the clock was set.
            while used.contains(&clock.now()) {
                tokio::time::sleep(REFRESH_CHECK_EVERY).await;
            }
        }
    }

    fn view(&self) -> View<'_> {
        View {
            cache: &self.parts.cache,
            running: &self.refreshes,
            in_use_for: self.parts.ahead_window,
        }
    }

    /// Searches the latest listing for tokens about to expire, again and again, and refreshes them.
    async fn search_listed(&self, mut listings: mpsc::Receiver<Listing>) {
        let mut searches = ExpirySearch::default();
        let mut searched_at = Instant::now();
        loop {
            tokio::time::sleep(REFRESH_CHECK_EVERY).await;
            if let Ok(listing) = listings.try_recv() {
                searches.replace_listing(listing);
            }
            let engine = self.clone();
            // More than the interval, by the time that a search takes.
            let elapsed = searched_at.elapsed().min(MAX_ELAPSED);
            searched_at = Instant::now();
            // After an outage the search for thousands of entries would block a runtime thread.
            let search = tokio::task::spawn_blocking(move || {
                let due = searches.due(engine.view(), engine.parts.clock.now(), elapsed);
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
        let cache = &self.parts.cache;
        let removing = async {
            loop {
                tokio::time::sleep(IDLE_CHECK_EVERY).await;
                cache.drop_idle(self.parts.clock.now()).await;
            }
        };
        self.stopping.run_until_cancelled(removing).await;
    }
}
