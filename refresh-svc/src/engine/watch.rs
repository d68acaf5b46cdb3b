//! An account, watched: its present state, then every change.

use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::AccountId;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::{Engine, EngineError, Errand};
use crate::numbers::{self, Counted};
use crate::snapshot::Snapshot;
use crate::wake::Ear;

/// A watch ends after this: watchers spread over replicas, and a policy that
/// changed is asked again.
const LONGEST: Duration = Duration::from_mins(10);
/// Between two looks where no notification comes, at least.
const SHORTEST_POLL: Duration = Duration::from_secs(1);

/// What a watcher was told: the next item differs from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    version: i64,
    dead: bool,
    erased: bool,
    valid: bool,
}

/// A watch on an account.
pub struct Watch {
    engine: Engine,
    account: AccountId,
    ear: Ear,
    told: Option<Told>,
    ends: Instant,
    _place: OwnedSemaphorePermit,
    _counted: Counted,
}

impl Engine {
    /// Watches an account.
    ///
    /// # Errors
    /// This replica has too many watchers.
    pub fn watch(&self, account: AccountId) -> Result<Watch, EngineError> {
        let place = Arc::clone(&self.watchers)
            .try_acquire_owned()
            .map_err(|_| EngineError::TooManyWatchers)?;
        Ok(Watch {
            engine: self.clone(),
            account,
            // Before the first look, so that no change is missed.
            ear: self.parts.bell.listen(account),
            told: None,
            ends: Instant::now() + LONGEST,
            _place: place,
            _counted: numbers::watching(),
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
        let poll = self
            .engine
            .parts
            .cache
            .revalidate_after()
            .max(SHORTEST_POLL);
        loop {
            if self.engine.stopping.is_cancelled() || Instant::now() >= self.ends {
                return None;
            }
            match self.engine.snapshot(self.account).await {
                Ok(snapshot) => {
                    self.keep_fresh(&snapshot);
                    let told = Told {
                        version: snapshot.version,
                        dead: snapshot.dead,
                        erased: snapshot.erased,
                        valid: self.serves(&snapshot),
                    };
                    // That a token expired is no news: the next one is.
                    let news = self.told.is_none_or(|before| {
                        Told {
                            valid: told.valid,
                            ..before
                        } != told
                            || (told.valid && !before.valid)
                    });
                    self.told = Some(told);
                    if news {
                        return Some(Ok(snapshot));
                    }
                }
                Err(EngineError::StoreUnavailable | EngineError::StillRefreshing) => {}
                Err(error) => return Some(Err(error)),
            }
            tokio::select! {
                () = self.engine.stopping.cancelled() => return None,
                () = self.ear.rung(poll) => {}
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
        snapshot.in_use.touch(now);
        let expired = snapshot.valid_token(now).is_none();
        let may = snapshot.refreshable && !snapshot.dead && !snapshot.erased;
        if expired && may && snapshot.pause_left().is_none() && snapshot.shut().is_none() {
            drop(self.engine.fly(snapshot, Errand::default()));
        }
    }
}
