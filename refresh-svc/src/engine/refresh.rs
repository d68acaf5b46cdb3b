//! One refresh under a lease: the request to the provider and the storing of its result.

use std::sync::Arc;
use std::time::Duration;

use latchkey_domain::{AccessToken, RefreshToken};
use latchkey_providers::{
    Delivery, FailureClass, IdToken, IdTokenError, Provider, TokenError, TokenResponse,
};
use latchkey_sealing::SealError;
use tokio::time::Instant;

use super::failure::redact_token;
use super::single_flight::RefreshResult;
use super::storing::{retry_until_stored, rotated_token_deadline};
use super::{Engine, EngineError, RefreshOptions};
use crate::metrics;
use crate::snapshot::ASSUMED_LIFE;
use crate::store::{Credential, Lease, NewTokens};
use crate::upstream::{Outcome, Permit};

/// Deadline for checking a refreshed ID token: the tokens are stored already, and the
/// callers wait.
const ID_TOKEN_DEADLINE: Duration = Duration::from_secs(3);

impl Engine {
    /// Refreshes the grant under the lease. Returns `None` if the lease arrived too late and
    /// was released.
    pub(super) async fn refresh_under_lease(
        &self,
        lease: Lease,
        permit: Permit,
        options: &RefreshOptions,
    ) -> Option<RefreshResult> {
        let credential = &lease.credential;
        let Some(provider) = self.parts.providers.get(&credential.binding.provider) else {
            tracing::error!(provider = %credential.binding.provider, "the provider is not enabled");
            let error = TokenError::of(FailureClass::ClientMisconfigured);
            return Some(self.record_local_failure(&lease, &error).await);
        };
        let opened = credential
            .sealed_refresh_token
            .as_deref()
            .map(|sealed| {
                let keys = &self.parts.keys;
                keys.open_refresh_token(sealed, &credential.binding)
            })
            .transpose();
        let refresh_token = match opened {
            Ok(Some(token)) => token,
            // No lease is acquired without a refresh token.
            unusable => {
                let error = unusable.err().map(tracing::field::display);
                tracing::error!(account.id = %credential.account, error, "a stored refresh token cannot be opened");
                let error = TokenError::of(FailureClass::UnsealFailed);
                return Some(self.record_local_failure(&lease, &error).await);
            }
        };
        // The lease statement may have been answered late, and another replica acquires
        // the lease when it ends.
        let left = lease.ends.saturating_duration_since(Instant::now());
        let Some(provider_deadline) = self.parts.timing.time_to_ask(left) else {
            tracing::warn!(account.id = %credential.account, ?left, "a lease arrived too late and is released");
            return match self.parts.store.release_unused(&lease).await {
                Ok(()) => None,
                Err(error) => Some(Err(error.into())),
            };
        };
        Some(
            self.request_tokens(
                &lease,
                permit,
                &provider,
                &refresh_token,
                options,
                provider_deadline,
            )
            .await,
        )
    }

    /// Requests tokens from the provider and stores the result.
    async fn request_tokens(
        &self,
        lease: &Lease,
        permit: Permit,
        provider: &Provider,
        refresh_token: &RefreshToken,
        options: &RefreshOptions,
        deadline: Duration,
    ) -> RefreshResult {
        let credential = &lease.credential;
        let upstream = permit.upstream();
        let request = provider.refresh_with(refresh_token, options.claims.as_deref());
        let asked_at = self.parts.clock.now();
        let sent_at = Instant::now();
        let answer = tokio::time::timeout(deadline, request)
            .await
            .unwrap_or(Err(TokenError::of(FailureClass::OutcomeUnknown)));
        // The provider has answered: the permit is free for the next request.
        let (outcome, label) = match &answer {
            Ok(_) => (Outcome::Success, metrics::REFRESHED),
            Err(error) => (Outcome::of(error), error.class.reason()),
        };
        permit.record(credential.account, outcome, &self.parts.jitter);
        metrics::refresh(provider.name(), label, sent_at.elapsed());
        match answer {
            Ok(response) => {
                upstream.record_served();
                // Sealed and stored before anything is checked that may fail.
                let tokens = match self.seal(credential, &response, asked_at) {
                    Ok(tokens) => Arc::new(NewTokens {
                        client_id: provider.client_id().to_owned(),
                        forced: options.forced,
                        ..tokens
                    }),
                    Err(error) => {
                        tracing::error!(account.id = %credential.account, %error, "the provider's tokens cannot be sealed");
                        let failure = TokenError {
                            rotated: response.refresh_token,
                            delivery: Delivery::Unreadable,
                            ..TokenError::of(FailureClass::MalformedResponse)
                        };
                        return self
                            .handle_failure(lease, provider, &upstream, options, failure)
                            .await;
                    }
                };
                self.store_tokens(lease, provider, &tokens, response).await
            }
            Err(error) => {
                let error = redact_token(error, refresh_token);
                self.handle_failure(lease, provider, &upstream, options, error)
                    .await
            }
        }
    }

    fn seal(
        &self,
        credential: &Credential,
        response: &TokenResponse,
        asked_at: time::OffsetDateTime,
    ) -> Result<NewTokens, SealError> {
        let key = self.parts.keys.sealing_key();
        let binding = &credential.binding;
        if response.expires_in.is_none() {
            tracing::warn!(
                account.id = %credential.account,
                provider = %binding.provider,
                assumed_seconds = ASSUMED_LIFE.as_secs(),
                "the provider does not state the life of its token: a short life is assumed"
            );
        }
        let sealed_refresh_token = response
            .refresh_token
            .as_ref()
            .map(|token| key.seal_refresh_token(token, binding))
            .transpose()?;
        Ok(NewTokens {
            sealed_access_token: key.seal_access_token(&response.access_token, binding)?,
            // From the time of the request: the provider's clock started later.
            access_token_expires_at: asked_at + response.expires_in.unwrap_or(ASSUMED_LIFE),
            sealed_refresh_token,
            refresh_token_expires_at: response
                .refresh_token_expires_in
                .map(|life| asked_at + life),
            granted_scopes: response.granted_scopes.clone(),
            refreshed_at: asked_at,
            client_id: String::new(),
            forced: false,
        })
    }

    /// Stores the tokens and retries until the lease, or the time for rotated tokens,
    /// ends. No token is answered whose refresh token was not stored.
    async fn store_tokens(
        &self,
        lease: &Lease,
        provider: &Provider,
        tokens: &Arc<NewTokens>,
        response: TokenResponse,
    ) -> RefreshResult {
        let account = lease.credential.account;
        let commit = || self.parts.store.commit(lease, tokens);
        let give_up = match tokens.sealed_refresh_token {
            Some(_) => rotated_token_deadline(lease),
            None => lease.ends,
        };
        let stored = match retry_until_stored(account, give_up, commit).await {
            Ok(stored) => stored,
            Err(error) => {
                tracing::error!(
                    account.id = %account,
                    provider = %lease.credential.binding.provider,
                    rotated = tokens.sealed_refresh_token.is_some(),
                    %error,
                    "refreshed tokens could not be stored and are lost"
                );
                return Err(EngineError::StoreUnavailable);
            }
        };
        let Some(credential) = stored else {
            // The grant was reconnected or revoked, or another process refreshed after
            // the lease: the stored one is valid.
            tracing::info!(account.id = %account, "the grant changed during its refresh: the stored one is used");
            self.parts.store.release(lease).await?;
            return self.read(account).await;
        };
        tracing::info!(
            account.id = %account,
            provider = %credential.binding.provider,
            version = credential.version,
            rotated = tokens.sealed_refresh_token.is_some(),
            outcome = "refreshed",
            "token refreshed"
        );
        if let Some(id_token) = &response.id_token
            && is_of_other_subject(provider, &credential, id_token, &response.access_token).await
        {
            tracing::error!(account.id = %account, "the refreshed ID token belongs to another person");
            return self
                .mark_dead(&credential, None, FailureClass::InvalidRefreshToken.into())
                .await;
        }
        Ok(self.cache(&credential, Some(response.access_token)))
    }
}

/// Returns `true` if a refreshed ID token belongs to another person (OpenID Connect Core
/// section 12.2). A token that cannot be verified proves nothing.
async fn is_of_other_subject(
    provider: &Provider,
    credential: &Credential,
    id_token: &IdToken,
    access_token: &AccessToken,
) -> bool {
    let binding = &credential.binding;
    let checked = tokio::time::timeout(
        ID_TOKEN_DEADLINE,
        provider.verify_refreshed_id_token(
            id_token.as_str(),
            access_token,
            &binding.issuer,
            &binding.subject,
        ),
    )
    .await;
    match checked {
        Ok(Err(IdTokenError::OtherSubject)) => true,
        Ok(Err(error)) => {
            tracing::warn!(account.id = %credential.account, %error, "a refreshed ID token could not be verified");
            false
        }
        Ok(Ok(_)) | Err(_) => false,
    }
}
