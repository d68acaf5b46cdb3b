//! An account, watched: its present state, then every change.

use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::AccountId;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::{Engine, EngineError, RefreshOptions};
use crate::change_notifications::ChangeListener;
use crate::metrics::{self, GaugeGuard};
use crate::snapshot::Snapshot;

/// A watch ends after this: watchers spread over replicas, and a policy that
/// changed is asked again.
const MAX_DURATION: Duration = Duration::from_mins(10);
/// Between two looks where no notification comes, at least.
const MIN_POLL: Duration = Duration::from_secs(1);

/// What a watcher was sent: the next item differs from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SentState {
    version: i64,
    dead: bool,
    erased: bool,
    valid: bool,
}

/// A watch on an account.
pub struct Watch {
    engine: Engine,
    account: AccountId,
    listener: ChangeListener,
    sent: Option<SentState>,
    ends: Instant,
    _permit: OwnedSemaphorePermit,
    _counted: GaugeGuard,
}

impl Engine {
    /// Watches an account.
    ///
    /// # Errors
    /// This replica has too many watchers.
    pub fn watch(&self, account: AccountId) -> Result<Watch, EngineError> {
        let permit = Arc::clone(&self.watchers)
            .try_acquire_owned()
            .map_err(|_| EngineError::TooManyWatchers)?;
        Ok(Watch {
            engine: self.clone(),
            account,
            // Before the first look, so that no change is missed.
            listener: self.parts.notifier.listen(account),
            sent: None,
            ends: Instant::now() + MAX_DURATION,
            _permit: permit,
            _counted: metrics::watching(),
        })
    }
}

impl Watch {
    /// The next state; nothing where the watch ends.
    ///
    /// # Errors
    /// There is no such account. That the database does not answer is no change:
    /// it is waited for.
    pub async fn next(&mut self) -> Option<Result<Arc<Snapshot>, EngineError>> {
        let poll = self.engine.parts.cache.revalidate_after().max(MIN_POLL);
        loop {
            if self.engine.stopping.is_cancelled() || Instant::now() >= self.ends {
                return None;
            }
            match self.engine.snapshot(self.account).await {
                Ok(snapshot) => {
                    self.keep_fresh(&snapshot);
                    let sent = SentState {
                        version: snapshot.version,
                        dead: snapshot.dead,
                        erased: snapshot.erased,
                        valid: self.serves(&snapshot),
                    };
                    // That a token expired is no changed: the next one is.
                    let changed = self.sent.is_none_or(|before| {
                        SentState {
                            valid: sent.valid,
                            ..before
                        } != sent
                            || (sent.valid && !before.valid)
                    });
                    self.sent = Some(sent);
                    if changed {
                        return Some(Ok(snapshot));
                    }
                }
                Err(EngineError::StoreUnavailable | EngineError::StillRefreshing) => {}
                Err(error) => return Some(Err(error)),
            }
            tokio::select! {
                () = self.engine.stopping.cancelled() => return None,
                () = self.listener.changed(poll) => {}
            }
        }
    }

    /// True where the token has not expired.
    pub fn serves(&self, snapshot: &Snapshot) -> bool {
        let now = self.engine.parts.clock.now();
        snapshot.valid_token(now).is_some()
    }

    /// A watcher is somebody who uses the account.
    fn keep_fresh(&self, snapshot: &Snapshot) {
        let now = self.engine.parts.clock.now();
        snapshot.last_used.touch(now);
        let expired = snapshot.valid_token(now).is_none();
        let may = snapshot.refreshable && !snapshot.dead && !snapshot.erased;
        if expired && may && snapshot.backoff_left().is_none() && snapshot.circuit_open().is_none()
        {
            drop(
                self.engine
                    .start_refresh(snapshot, RefreshOptions::default()),
            );
        }
    }
}
