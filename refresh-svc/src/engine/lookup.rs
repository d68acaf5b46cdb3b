//! What is known of an account.

use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::{AccountId, Handle, ProviderName, WorkspaceId};
use tokio::time::Instant;

use super::single_flight::Waiter;
use super::{Engine, EngineError};
use crate::metrics;
use crate::snapshot::Snapshot;
use crate::store::{Credential, HandleMatch, PolicyAttributes};

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
    pub async fn resolve_handle(
        &self,
        workspace: WorkspaceId,
        provider: &ProviderName,
        handle: &Handle,
    ) -> Result<AccountId, EngineError> {
        let cache = &self.parts.cache;
        let place = (workspace, provider.clone(), handle.clone());
        let resolved = cache.resolved(&place);
        if let Some(resolved) = &resolved
            && (cache.is_recently_resolved(resolved) || cache.is_database_down())
        {
            // One that was disconnected meanwhile may have a successor.
            let known = cache.get(resolved.account);
            if !known.is_some_and(|known| known.dead || known.erased) {
                return Ok(resolved.account);
            }
        }
        let read_at = Instant::now();
        // In a box: a call that is answered from memory is moved about without it.
        let find = Box::pin(self.parts.store.resolve_handle(workspace, provider, handle));
        let found = if resolved.is_some() {
            tokio::time::timeout(REVALIDATION_DEADLINE, find)
                .await
                .map_or(Err(EngineError::StoreUnavailable), |found| {
                    found.map_err(EngineError::from)
                })
        } else {
            find.await.map_err(EngineError::from)
        };
        if found.is_ok() {
            cache.database_up();
        }
        match (found, resolved) {
            (Ok(HandleMatch::One(account)), _) => {
                cache.remember_handle(place, account, read_at);
                Ok(account)
            }
            (Ok(HandleMatch::NotFound), _) => {
                cache.forget_handle(&place);
                Err(EngineError::AccountNotFound)
            }
            (Ok(HandleMatch::Ambiguous), _) => {
                cache.forget_handle(&place);
                Err(EngineError::AccountAmbiguous)
            }
            (Err(EngineError::StoreUnavailable), Some(resolved)) => {
                cache.database_down_for(REVALIDATION_PAUSE);
                Ok(resolved.account)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// What is known of an account: from the cache while that is young, else
    /// from the database, else from the cache while its token is valid.
    pub(super) async fn snapshot(&self, account: AccountId) -> Result<Arc<Snapshot>, EngineError> {
        let cache = &self.parts.cache;
        let Some(cached) = cache.get(account) else {
            metrics::lookups("database").increment(1);
            return self.read_once(account).outcome().await;
        };
        if cache.is_valid(&cached) {
            self.cache_hits.increment(1);
            return Ok(cached);
        }
        metrics::lookups("database").increment(1);
        if cached.valid_token(self.parts.clock.now()).is_none() {
            return self.read_once(account).outcome().await;
        }
        if cache.is_database_down() {
            return Ok(cached);
        }
        let read = self.read_once(account).outcome();
        match tokio::time::timeout(REVALIDATION_DEADLINE, read).await {
            Err(_) | Ok(Err(EngineError::StoreUnavailable | EngineError::StillRefreshing)) => {
                tracing::warn!(account.id = %account, "the database does not answer: a cached token serves on");
                cache.database_down_for(REVALIDATION_PAUSE);
                Ok(cached)
            }
            Ok(read) => {
                cache.database_up();
                read
            }
        }
    }

    pub(super) fn read_once(&self, account: AccountId) -> Waiter {
        let engine = self.clone();
        self.reads.join(account, &self.tasks, || async move {
            engine.read(account).await
        })
    }

    pub(super) async fn read(&self, account: AccountId) -> Result<Arc<Snapshot>, EngineError> {
        match self.parts.store.read(account).await? {
            Some(credential) => Ok(self.open_and_cache(&credential)),
            None => Err(EngineError::AccountNotFound),
        }
    }

    /// Opens a credential and remembers it.
    pub(super) fn open_and_cache(&self, credential: &Credential) -> Arc<Snapshot> {
        let parts = &self.parts;
        let snapshot = Arc::new(Snapshot::open(
            credential,
            self.local_failures.failure(credential),
            &parts.keys,
            parts.upstreams.of(&credential.binding, &parts.providers),
            parts.cache.intern(&credential.granted_scopes),
            parts.jitter.next(),
        ));
        self.parts.cache.insert(&snapshot);
        snapshot
    }

    /// What is in memory of an account. Workspace and provider of an account
    /// never change, so its age is of no matter.
    pub(crate) fn cached(&self, account: AccountId) -> Option<Arc<Snapshot>> {
        self.parts.cache.get(account)
    }

    /// What the database knows of an account, whatever is in memory, and
    /// disconnect_requests nothing there.
    ///
    /// # Errors
    /// The database does not answer.
    pub(crate) async fn policy_attributes(
        &self,
        account: AccountId,
    ) -> Result<Option<PolicyAttributes>, EngineError> {
        // In a box: a call that is answered from memory is moved about without it.
        Ok(Box::pin(self.parts.store.policy_attributes(account)).await?)
    }
}
