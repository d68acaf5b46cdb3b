//! The end of a connection (R37).

use std::time::Duration;

use latchkey_domain::AccountId;
use latchkey_providers::{Revocation, RevocationReach};
use tokio::time::Instant;

use super::{Engine, EngineError, ROUNDS};
use crate::store::{Credential, Erased};

/// The provider's confirmation is waited for this long; the credentials are
/// erased either way.
const REVOCATION_DEADLINE: Duration = Duration::from_secs(5);

/// What became of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// True where the provider confirmed it.
    pub at_provider: bool,
}

impl Engine {
    /// Revokes the grant at the provider where it can and where that ends no
    /// other account, erases the credentials and tells it. Goes on where the caller leaves. Idempotent.
    ///
    /// # Errors
    /// There is no such account, or the database does not answer.
    pub async fn revoke(&self, account: AccountId) -> Result<Revoked, EngineError> {
        let engine = self.clone();
        self.tasks
            .spawn(async move { engine.revoke_and_erase(account).await })
            .await
            .unwrap_or(Err(EngineError::StillRefreshing))
    }

    async fn revoke_and_erase(&self, account: AccountId) -> Result<Revoked, EngineError> {
        self.parts.store.note_disconnect(account).await?;
        self.wait_for_refresh(account).await?;
        for _ in 0..ROUNDS {
            let credential = self
                .parts
                .store
                .read(account)
                .await?
                .ok_or(EngineError::AccountNotFound)?;
            if credential.erased {
                return Ok(Revoked {
                    at_provider: credential.revoked_at_provider,
                });
            }
            if self.ends_siblings(&credential)
                && let Some(erased) = self.parts.store.erase_beside_sibling(&credential).await?
            {
                if erased == Erased::Changed {
                    continue;
                }
                self.parts.cache.forget(account);
                tracing::info!(
                    account.id = %account,
                    provider = %credential.binding.provider,
                    "account disconnected; not revoked at the provider, which would end another account of the same person"
                );
                return Ok(Revoked { at_provider: false });
            }
            let at_provider = self.revoke_at_provider(&credential).await;
            if self.parts.store.erase(&credential, at_provider).await? == Erased::Done {
                self.parts.cache.forget(account);
                tracing::info!(
                    account.id = %account,
                    provider = %credential.binding.provider,
                    at_provider,
                    "account disconnected"
                );
                return Ok(Revoked { at_provider });
            }
            // A reconnect or a refresh came between: revoke that grant as well.
        }
        Err(EngineError::StillRefreshing)
    }

    /// Waits for a refresh under way, one lease at most: revoking a token that
    /// is being rotated could leave the new one alive at the provider.
    async fn wait_for_refresh(&self, account: AccountId) -> Result<(), EngineError> {
        let mut ear = self.parts.bell.listen(account);
        let timing = self.parts.timing;
        let give_up = Instant::now() + timing.lease();
        while Instant::now() < give_up {
            match self.parts.store.read(account).await? {
                Some(credential) if !credential.lease_left.is_zero() => {
                    ear.rung(timing.poll().min(credential.lease_left)).await;
                }
                _ => break,
            }
        }
        Ok(())
    }

    /// Returns `true` if a revocation at the provider ends other accounts of the
    /// same person.
    fn ends_siblings(&self, credential: &Credential) -> bool {
        let provider = self.parts.providers.get(&credential.binding.provider);
        provider.is_some_and(|it| it.revocation() == RevocationReach::PersonAndClient)
    }

    async fn revoke_at_provider(&self, credential: &Credential) -> bool {
        let account = credential.account;
        let Some(provider) = self.parts.providers.get(&credential.binding.provider) else {
            return false;
        };
        let Some(sealed) = credential.sealed_refresh_token.as_deref() else {
            return false;
        };
        let refresh_token = match self
            .parts
            .keys
            .open_refresh_token(sealed, &credential.binding)
        {
            Ok(token) => token,
            Err(error) => {
                tracing::error!(account.id = %account, %error, "a stored refresh token does not open: it is not revoked");
                return false;
            }
        };
        match tokio::time::timeout(REVOCATION_DEADLINE, provider.revoke(&refresh_token)).await {
            Ok(Ok(revocation)) => revocation == Revocation::Confirmed,
            Ok(Err(error)) => {
                tracing::warn!(account.id = %account, reason = error.class.reason(), "the provider did not confirm the revocation");
                false
            }
            Err(_) => {
                tracing::warn!(account.id = %account, "the provider did not confirm the revocation in time");
                false
            }
        }
    }
}
