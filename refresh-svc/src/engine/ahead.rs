//! Refreshing ahead of expiry, for accounts in use: so that callers do not wait.
//!
//! Each replica looks through what it holds; the lease keeps it one refresh over
//! all of them, and the jitter of every margin keeps them and the accounts out of
//! step. Callers come first: what is ahead has a small bucket of its own.

use std::time::Duration;

use time::OffsetDateTime;

use super::{Engine, Errand};
use crate::lane::BETWEEN_LOOKS;
use crate::numbers;
use crate::snapshot::Snapshot;

/// Between two looks through the cache.
const EVERY: Duration = Duration::from_secs(BETWEEN_LOOKS.get() as u64);

impl Engine {
    /// Refreshes ahead until the service stops.
    pub async fn refresh_ahead(self) {
        if self.parts.ahead_window.is_zero() {
            self.stopping.cancelled().await;
            return;
        }
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let engine = self.clone();
            // A hundred thousand entries take a while: not on a thread that serves.
            let looked = tokio::task::spawn_blocking(move || engine.due()).await;
            for snapshot in looked.unwrap_or_default() {
                if snapshot.lane.allows_ahead(snapshot.standing()) {
                    numbers::ahead(snapshot.provider());
                    drop(self.fly(&snapshot, Errand::default()));
                }
            }
        }
    }

    /// What is in use and about to expire, the soonest first.
    fn due(&self) -> Vec<std::sync::Arc<Snapshot>> {
        let now = self.parts.clock.now();
        let mut due: Vec<_> = self
            .parts
            .cache
            .held()
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
        && snapshot.in_use.within(window, now)
        && snapshot.pause_left().is_none()
}
