//! Renews grants before the provider ends them, whether or not they are used.
//!
//! Every replica searches; the lease ensures one refresh over all of them. Callers have
//! priority: renewals share the small rate limit of refreshes ahead.

use std::time::Duration;

use tokio::time::Instant;

use super::{Engine, RefreshOptions};
use crate::metrics;

/// Interval of searches, varied by jitter.
const EVERY: Duration = Duration::from_secs(5);
/// Interval of the metric of ending grants.
const COUNTED_EVERY: Duration = Duration::from_mins(1);

impl Engine {
    /// Renews grants before their end until the service stops.
    pub async fn renew_grants(self) {
        if self.parts.ahead_window.is_zero() {
            self.stopping.cancelled().await;
            return;
        }
        let mut counted_at: Option<Instant> = None;
        loop {
            let pause = EVERY.mul_f64(0.75 + 0.5 * self.parts.jitter.next());
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            self.renew_what_is_due().await;
            if counted_at.is_none_or(|at| at.elapsed() >= COUNTED_EVERY) {
                counted_at = Some(Instant::now());
                self.count_what_ends().await;
            }
        }
    }

    async fn renew_what_is_due(&self) {
        let due = match self.parts.store.to_renew().await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "the search for grants to renew failed");
                return;
            }
        };
        for account in due {
            let Ok(snapshot) = self.snapshot(account).await else {
                continue;
            };
            if snapshot.upstream.allows_refresh_ahead(snapshot.health()) {
                metrics::renewed(snapshot.provider());
                drop(self.start_refresh(&snapshot, RefreshOptions::default()));
            }
        }
    }

    async fn count_what_ends(&self) {
        match self.parts.store.ending().await {
            Ok(ending) => {
                let grants = |name: &str| {
                    let of_it = ending.iter().find(|one| one.provider == name);
                    of_it.map_or(0, |one| one.grants)
                };
                for provider in self.parts.providers.iter() {
                    metrics::ending(provider.name(), grants(provider.name().as_str()));
                }
            }
            Err(error) => tracing::warn!(%error, "the count of ending grants failed"),
        }
    }
}
