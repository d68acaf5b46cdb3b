//! Revocation of a grant and erasure of its credentials (R37).

use std::time::Duration;

use latchkey_domain::AccountId;
use latchkey_providers::{Provider, Revocation, RevocationReach};
use latchkey_service::telemetry::in_current_trace;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::storing::retry_until_stored;
use super::{Engine, EngineError, MIN_WAIT};
use crate::store::{Credential, Erased, Holder, Replaced};

/// Deadline of the provider's confirmation. The credentials are erased in any case.
const REVOCATION_DEADLINE: Duration = Duration::from_secs(5);

/// Result of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// Set if the provider confirmed the revocation.
    pub at_provider: bool,
}

impl Engine {
    /// Revokes the grant at the provider if the provider supports it and no other
    /// account depends on it, erases the credentials and publishes an event. Continues
    /// if the caller leaves; `on_revoked` is called at the end in any case. Idempotent.
    ///
    /// # Errors
    /// Returned if the account does not exist or the database does not answer.
    pub async fn revoke(
        &self,
        account: AccountId,
        on_revoked: impl FnOnce() + Send + 'static,
    ) -> Result<Revoked, EngineError> {
        let engine = self.clone();
        let revocation = async move {
            let revoked = engine.revoke_and_erase(account).await;
            if revoked.is_ok() {
                on_revoked();
            }
            revoked
        };
        self.tasks
            .spawn(in_current_trace(revocation))
            .await
            .unwrap_or(Err(EngineError::StillRefreshing))
    }

    /// Acquires the lease, so that no refresh brings a token that is not revoked;
    /// revokes the newest token; erases exactly that one or nothing.
    async fn revoke_and_erase(&self, account: AccountId) -> Result<Revoked, EngineError> {
        self.parts.store.record_disconnect(account).await?;
        // Not this process's holder, whose next refresh would take the lease over.
        let holder = Holder::new();
        let mut listener = self.parts.notifier.listen(account);
        let timing = self.parts.timing;
        let give_up = Instant::now() + timing.lease() * 2 + timing.poll();
        // Sign-in time of the grant to revoke, and the provider's confirmation.
        let mut meant: Option<OffsetDateTime> = None;
        let mut at_provider = false;
        while Instant::now() < give_up {
            if self.stopping.is_cancelled() {
                return Err(EngineError::Stopping);
            }
            let store = &self.parts.store;
            let attempt = holder.next();
            let lease = store
                .acquire_lease_for_revocation(account, attempt, timing.lease())
                .await?;
            let Some(lease) = lease else {
                let credential = store
                    .read(account)
                    .await?
                    .ok_or(EngineError::AccountNotFound)?;
                if credential.erased {
                    // By another replica, or by an attempt whose answer was lost: the notification
                    // may come later than the next call.
                    let change = credential.change_number;
                    self.parts.cache.invalidate(account, change);
                    return Ok(Revoked {
                        at_provider: credential.revoked_at_provider,
                    });
                }
                meant.get_or_insert(credential.authenticated_at);
                let wait = credential.lease_left.min(timing.poll()).max(MIN_WAIT);
                let _ = self
                    .stopping
                    .run_until_cancelled(listener.changed(wait))
                    .await;
                continue;
            };
            let credential = &lease.credential;
            if credential.authenticated_at > *meant.get_or_insert(credential.authenticated_at) {
                // The person has reconnected the account meanwhile: the new grant must
                // stay.
                tracing::info!(account.id = %account, "the account was reconnected during its disconnect: the new grant is kept");
                store.release(&lease).await?;
                return Ok(Revoked { at_provider });
            }
            let left = lease.ends.saturating_duration_since(Instant::now());
            let Some(time) = left.checked_sub(timing.time_to_store()) else {
                // The lease arrived too late.
                store.release(&lease).await?;
                continue;
            };
            if self.revocation_ends_other_accounts(credential) {
                let erase = || store.erase_unless_last_grant(&lease);
                match retry_until_stored(account, lease.ends, erase).await? {
                    Some(Erased::Done { change_number }) => {
                        self.parts.cache.invalidate(account, change_number);
                        tracing::info!(
                            account.id = %account,
                            provider = %credential.binding.provider,
                            "account disconnected; not revoked at the provider, because that would end another account of the same person"
                        );
                        return Ok(Revoked { at_provider: false });
                    }
                    Some(Erased::Changed) => continue,
                    None => {}
                }
            }
            let replaced = store.replaced(account).await?;
            at_provider = self
                .revoke_at_provider(credential, &replaced, time.min(REVOCATION_DEADLINE))
                .await;
            let erase = || store.erase(&lease, at_provider);
            let erased = retry_until_stored(account, lease.ends, erase).await?;
            if let Erased::Done { change_number } = erased {
                self.parts.cache.invalidate(account, change_number);
                tracing::info!(
                    account.id = %account,
                    provider = %credential.binding.provider,
                    at_provider,
                    "account disconnected"
                );
                return Ok(Revoked { at_provider });
            }
            // A sign-in came in between, or the answer of this erasure was lost: read
            // again.
        }
        Err(EngineError::StillRefreshing)
    }

    /// Returns `true` if a revocation at the provider also ends other accounts of the
    /// same person.
    fn revocation_ends_other_accounts(&self, credential: &Credential) -> bool {
        let provider = self.parts.providers.get(&credential.binding.provider);
        provider.is_some_and(|it| it.revocation() == RevocationReach::PersonAndClient)
    }

    /// Revokes the grant and those of earlier sign-ins concurrently. Returns `true` if
    /// the provider confirmed in time that all of them are revoked.
    async fn revoke_at_provider(
        &self,
        credential: &Credential,
        replaced: &[Replaced],
        limit: Duration,
    ) -> bool {
        let Some(provider) = self.parts.providers.get(&credential.binding.provider) else {
            return false;
        };
        let current = credential.sealed_refresh_token.as_deref();
        let earlier = replaced.iter().map(|kept| &*kept.sealed_refresh_token);
        let revocations = current
            .into_iter()
            .chain(earlier)
            .map(|sealed| self.revoke_one(&provider, credential, sealed, limit));
        let revoked = futures::future::join_all(revocations).await;
        current.is_some() && revoked.into_iter().all(|confirmed| confirmed)
    }

    async fn revoke_one(
        &self,
        provider: &Provider,
        credential: &Credential,
        sealed: &[u8],
        limit: Duration,
    ) -> bool {
        let account = credential.account;
        let refresh_token = match self
            .parts
            .keys
            .open_refresh_token(sealed, &credential.binding)
        {
            Ok(token) => token,
            Err(error) => {
                tracing::error!(account.id = %account, %error, "a stored refresh token cannot be opened and is not revoked");
                return false;
            }
        };
        match tokio::time::timeout(limit, provider.revoke(&refresh_token)).await {
            Ok(Ok(revocation)) => revocation == Revocation::Confirmed,
            Ok(Err(error)) => {
                tracing::warn!(
                    account.id = %account,
                    reason = error.class.reason(),
                    code = error.code.as_deref(),
                    description = error.description.as_deref(),
                    "the provider did not confirm the revocation"
                );
                false
            }
            Err(_) => {
                tracing::warn!(account.id = %account, "the provider did not confirm the revocation in time");
                false
            }
        }
    }
}
