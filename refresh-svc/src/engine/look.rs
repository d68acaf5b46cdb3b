//! What is known of an account.

use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::AccountId;

use super::flights::Seat;
use super::{Engine, EngineError};
use crate::snapshot::Snapshot;
use crate::store::Credential;

/// While a cached token is valid, the database is not waited for longer.
const REVALIDATION_DEADLINE: Duration = Duration::from_millis(500);
/// And after it did not answer, not asked for a token that is valid.
const REVALIDATION_PAUSE: Duration = Duration::from_secs(1);

impl Engine {
    /// What is known of an account: from the cache while that is young, else
    /// from the database, else from the cache while its token is valid.
    pub(super) async fn snapshot(&self, account: AccountId) -> Result<Arc<Snapshot>, EngineError> {
        let cache = &self.parts.cache;
        let Some(cached) = cache.get(account).await else {
            return self.read_once(account).landed().await;
        };
        if cache.is_young(&cached) {
            return Ok(cached);
        }
        if cached.valid_token(self.parts.clock.now()).is_none() {
            return self.read_once(account).landed().await;
        }
        if cache.is_cut_off() {
            return Ok(cached);
        }
        let read = self.read_once(account).landed();
        match tokio::time::timeout(REVALIDATION_DEADLINE, read).await {
            Err(_) | Ok(Err(EngineError::StoreUnavailable | EngineError::StillRefreshing)) => {
                tracing::warn!(account.id = %account, "the database does not answer: a cached token serves on");
                cache.cut_off_for(REVALIDATION_PAUSE);
                Ok(cached)
            }
            Ok(read) => read,
        }
    }

    pub(super) fn read_once(&self, account: AccountId) -> Seat {
        let engine = self.clone();
        self.reads.join(account, &self.tasks, || async move {
            engine.read(account).await
        })
    }

    pub(super) async fn read(&self, account: AccountId) -> Result<Arc<Snapshot>, EngineError> {
        match self.parts.store.read(account).await? {
            Some(credential) => Ok(self.admit(&credential).await),
            None => Err(EngineError::AccountNotFound),
        }
    }

    /// Opens a credential and remembers it.
    pub(super) async fn admit(&self, credential: &Credential) -> Arc<Snapshot> {
        let snapshot = Arc::new(Snapshot::open(
            credential,
            &self.parts.keys,
            self.parts.jitter.next(),
        ));
        self.parts.cache.put(Arc::clone(&snapshot)).await;
        snapshot
    }
}
