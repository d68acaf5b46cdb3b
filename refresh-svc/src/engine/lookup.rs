//! Lookup of accounts in the cache and the database.

use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::{AccessToken, AccountId, Handle, ProviderName, WorkspaceId};
use tokio::time::Instant;

use super::single_flight::Waiter;
use super::{Engine, EngineError};
use crate::metrics;
use crate::snapshot::{Snapshot, expires_at};
use crate::store::{Credential, HandleMatch, PolicyAttributes};

/// While a cached token is valid, the database gets this long to answer.
const REVALIDATION_DEADLINE: Duration = Duration::from_millis(500);
/// If the database did not answer, valid tokens are answered without asking it for this
/// long.
const REVALIDATION_PAUSE: Duration = Duration::from_secs(1);

impl Engine {
    /// Resolves a handle to an account. The result is cached for as long as a row is,
    /// and longer while the database does not answer.
    ///
    /// # Errors
    /// Returned if no account or several accounts have the handle.
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
            // A disconnected account may have a successor with the same handle.
            let known = cache.get(resolved.account);
            if !known.is_some_and(|known| known.dead || known.erased) {
                return Ok(resolved.account);
            }
        }
        let read_at = Instant::now();
        // Boxed to keep the future of cached calls small.
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

    /// Returns the account's snapshot: from the cache while it is valid, else from the
    /// database, else from the cache while its token is valid.
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
                tracing::warn!(account.id = %account, "the database does not answer: a cached token is answered");
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

    /// Opens the access token of a credential, unless it has expired, and inserts the
    /// credential into the cache.
    pub(super) fn open_and_cache(&self, credential: &Credential) -> Arc<Snapshot> {
        let has_expired = expires_at(credential) <= self.parts.clock.now();
        let sealed = credential.sealed_access_token.as_deref();
        let token = sealed.filter(|_| !has_expired).and_then(|sealed| {
            let opened = self.parts.keys.open_access_token(sealed, &credential.binding);
            // The refresh token may still open; if not, the refresh reports it.
            opened
                .inspect_err(|error| {
                    tracing::error!(account.id = %credential.account, %error, "a stored access token cannot be opened");
                })
                .ok()
        });
        self.cache(credential, token)
    }

    /// Inserts a credential into the cache. `token` is its access token in clear.
    pub(super) fn cache(
        &self,
        credential: &Credential,
        token: Option<AccessToken>,
    ) -> Arc<Snapshot> {
        let parts = &self.parts;
        let snapshot = Arc::new(Snapshot::new(
            credential,
            token,
            self.local_failures.failure(credential),
            parts.upstreams.of(&credential.binding, &parts.providers),
            parts.cache.intern(&credential.granted_scopes),
            parts.jitter.next(),
        ));
        self.parts.cache.insert(&snapshot);
        snapshot
    }

    /// The cached snapshot of an account regardless of its age: workspace and provider
    /// never change.
    pub(crate) fn cached(&self, account: AccountId) -> Option<Arc<Snapshot>> {
        self.parts.cache.get(account)
    }

    /// Reads the attributes of an account for the policy from the database. The cache is
    /// neither used nor changed.
    ///
    /// # Errors
    /// Returned if the database does not answer.
    pub(crate) async fn policy_attributes(
        &self,
        account: AccountId,
    ) -> Result<Option<PolicyAttributes>, EngineError> {
        // Boxed to keep the future of cached calls small.
        Ok(Box::pin(self.parts.store.policy_attributes(account)).await?)
    }
}
