//! Background tasks over the cache: refresh ahead of expiry, and removal of idle
//! accounts.
//!
//! Accounts in use are refreshed ahead of expiry, so that callers do not wait. Each
//! replica searches its own cache; the lease ensures one refresh over all replicas. A
//! search starts the refreshes that cannot wait, and of the others as many as keep the
//! load even ([`super::pace`]). Callers have priority: refreshes ahead have a small rate
//! limit of their own.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;

use super::pace::{Paces, early_margin};
use super::{Engine, RefreshOptions};
use crate::metrics;
use crate::snapshot::{HeldToken, Snapshot};
use crate::upstream::SEARCH_SECONDS;

/// Interval of searches for tokens about to expire.
const REFRESH_CHECK_EVERY: Duration = Duration::from_secs(SEARCH_SECONDS.get() as u64);
/// A search that comes late allows the refreshes of at most this time, so that a process
/// that stood still does not start all of them at once.
const MAX_ELAPSED: Duration = REFRESH_CHECK_EVERY.saturating_mul(2);
/// A search pauses after this many entries. All entries at once would use a core for longer than a
/// call takes, and calls wait for it.
const ENTRIES_AT_ONCE: usize = 500;
/// Length of that pause.
const SEARCH_PAUSE: Duration = Duration::from_millis(1);
/// Interval between two searches for idle accounts.
const IDLE_CHECK_EVERY: Duration = Duration::from_mins(1);

impl Engine {
    /// Refreshes ahead of expiry until the service stops.
    pub async fn refresh_ahead(self) {
        if self.parts.ahead_window.is_zero() {
            self.stopping.cancelled().await;
            return;
        }
        let mut paces = Paces::default();
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
                let due = engine.due(&mut paces, elapsed);
                (due, paces)
            });
            let due;
            (due, paces) = search.await.unwrap_or_else(|error| {
                tracing::error!(%error, "the search for tokens that expire soon failed");
                (Vec::new(), Paces::default())
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

    /// Accounts in use whose token expires soon, the soonest first: those that cannot wait,
    /// and as many others as the pace of their provider allows. `elapsed` is the time since
    /// the last search.
    fn due(&self, paces: &mut Paces, elapsed: Duration) -> Vec<Arc<Snapshot>> {
        let now = self.parts.clock.now();
        let mut due = Vec::new();
        for (number, snapshot) in self.parts.cache.snapshots().enumerate() {
            if number % ENTRIES_AT_ONCE == ENTRIES_AT_ONCE - 1 {
                std::thread::sleep(SEARCH_PAUSE);
            }
            let Some(token) = token_in_use(&snapshot, self.parts.ahead_window, now) else {
                continue;
            };
            paces.count(snapshot.provider(), token.life);
            let remaining = token.remaining(now);
            let early = early_margin(snapshot.account, snapshot.version, token.life);
            if remaining <= early.max(token.soft_margin)
                && snapshot.backoff_left().is_none()
                // It would use up the pace and the limit again, and start nothing.
                && !self.refreshes.is_running(snapshot.account)
            {
                due.push((remaining, remaining <= token.soft_margin, snapshot));
            }
        }
        due.sort_by_key(|(remaining, ..)| *remaining);
        paces.refill(elapsed);
        due.into_iter()
            .filter_map(|(_, cannot_wait, snapshot)| {
                let starts = paces.starts(snapshot.provider(), cannot_wait);
                starts.then_some(snapshot)
            })
            .collect()
    }
}

/// Returns the valid token of an account in use that can be refreshed. A refresh spares a
/// caller the wait. Expired tokens are left to callers: possibly nobody requests them
/// again.
fn token_in_use(snapshot: &Snapshot, window: Duration, now: OffsetDateTime) -> Option<&HeldToken> {
    let is_in_use = snapshot.refreshable
        && !snapshot.dead
        && !snapshot.erased
        && snapshot.last_used.within(window, now);
    snapshot.valid_token(now).filter(|_| is_in_use)
}
