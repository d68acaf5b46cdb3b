//! What is known of an account.

use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::{AccountId, Handle, ProviderName, WorkspaceId};
use tokio::time::Instant;

use super::flights::Seat;
use super::{Engine, EngineError};
use crate::numbers;
use crate::snapshot::Snapshot;
use crate::store::{Credential, Found};

/// While a cached token is valid, the database is not waited for longer.
const REVALIDATION_DEADLINE: Duration = Duration::from_millis(500);
/// And after it did not answer, not asked for a token that is valid.
const REVALIDATION_PAUSE: Duration = Duration::from_secs(1);

impl Engine {
    /// The account of a handle: remembered as long as a row is, and longer while
    /// the database does not answer.
    ///
    /// # Errors
    /// There is none, or several.
    pub async fn find(
        &self,
        workspace: WorkspaceId,
        provider: &ProviderName,
        handle: &Handle,
    ) -> Result<AccountId, EngineError> {
        let cache = &self.parts.cache;
        let place = (workspace, provider.clone(), handle.clone());
        let led = cache.led(&place);
        if let Some(led) = &led
            && (cache.is_led_lately(led) || cache.is_cut_off())
        {
            // One that was disconnected meanwhile may have a successor.
            let known = cache.get(led.account);
            if !known.is_some_and(|known| known.dead || known.erased) {
                return Ok(led.account);
            }
        }
        let read_at = Instant::now();
        // In a box: a call that is answered from memory is moved about without it.
        let find = Box::pin(self.parts.store.find(workspace, provider, handle));
        let found = if led.is_some() {
            tokio::time::timeout(REVALIDATION_DEADLINE, find)
                .await
                .map_or(Err(EngineError::StoreUnavailable), |found| {
                    found.map_err(EngineError::from)
                })
        } else {
            find.await.map_err(EngineError::from)
        };
        if found.is_ok() {
            cache.reached();
        }
        match (found, led) {
            (Ok(Found::One(account)), _) => {
                cache.lead(place, account, read_at);
                Ok(account)
            }
            (Ok(Found::Nothing), _) => {
                cache.mislead(&place);
                Err(EngineError::AccountNotFound)
            }
            (Ok(Found::Several), _) => {
                cache.mislead(&place);
                Err(EngineError::AccountAmbiguous)
            }
            (Err(EngineError::StoreUnavailable), Some(led)) => {
                cache.cut_off_for(REVALIDATION_PAUSE);
                Ok(led.account)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// What is known of an account: from the cache while that is young, else
    /// from the database, else from the cache while its token is valid.
    pub(super) async fn snapshot(&self, account: AccountId) -> Result<Arc<Snapshot>, EngineError> {
        let cache = &self.parts.cache;
        let Some(cached) = cache.get(account) else {
            numbers::look("database");
            return self.read_once(account).landed().await;
        };
        if cache.is_young(&cached) {
            self.cache_hits.increment(1);
            return Ok(cached);
        }
        numbers::look("database");
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
            Ok(read) => {
                cache.reached();
                read
            }
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
            Some(credential) => Ok(self.admit(&credential)),
            None => Err(EngineError::AccountNotFound),
        }
    }

    /// Opens a credential and remembers it.
    pub(super) fn admit(&self, credential: &Credential) -> Arc<Snapshot> {
        let parts = &self.parts;
        let snapshot = Arc::new(Snapshot::open(
            credential,
            self.troubles.failure(credential),
            &parts.keys,
            parts.lanes.of(&credential.binding, &parts.providers),
            parts.cache.share(&credential.granted_scopes),
            parts.jitter.next(),
        ));
        self.parts.cache.put(&snapshot);
        snapshot
    }
}
