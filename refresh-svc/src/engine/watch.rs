//! Watch of an account: its current state, then every change.

use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::AccountId;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::{Engine, EngineError, RefreshOptions};
use crate::change_notifications::ChangeListener;
use crate::metrics::{self, GaugeGuard};
use crate::snapshot::Snapshot;

/// A watch ends after this time, so that watchers spread over replicas and the policy is
/// checked again.
const MAX_DURATION: Duration = Duration::from_mins(10);
/// Shortest interval of reads without notifications.
const MIN_POLL: Duration = Duration::from_secs(1);

/// The state that was last sent; the next item must differ from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SentState {
    version: i64,
    dead: bool,
    erased: bool,
    valid: bool,
}

/// A watch of one account.
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
    /// Starts to watch an account.
    ///
    /// # Errors
    /// Returned if this replica has reached its limit of watches.
    pub fn watch(&self, account: AccountId) -> Result<Watch, EngineError> {
        let permit = Arc::clone(&self.watchers)
            .try_acquire_owned()
            .map_err(|_| EngineError::TooManyWatchers)?;
        Ok(Watch {
            engine: self.clone(),
            account,
            // Created before the first read, so that no change is missed.
            listener: self.parts.notifier.listen(account),
            sent: None,
            ends: Instant::now() + MAX_DURATION,
            _permit: permit,
            _counted: metrics::watching(),
        })
    }
}

impl Watch {
    /// The next state. `None` if the watch has ended.
    ///
    /// # Errors
    /// Returned if the account does not exist. While the database does not answer, the
    /// watch waits.
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
                    // The expiry of a token is not sent: the next token is.
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

    /// Returns `true` if the token has not expired.
    pub fn serves(&self, snapshot: &Snapshot) -> bool {
        let now = self.engine.parts.clock.now();
        snapshot.valid_token(now).is_some()
    }

    /// A watcher counts as a user of the account.
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
