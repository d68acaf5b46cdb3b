//! One refresh under a lease: the request to the provider and what comes of it.

use std::time::Duration;

use latchkey_domain::{AccessToken, RefreshToken};
use latchkey_providers::{
    FailureClass, IdToken, IdTokenError, Provider, Rotation, TokenError, TokenResponse,
};
use latchkey_sealing::SealError;
use tokio::time::Instant;

use super::flights::Outcome;
use super::{Engine, EngineError, pause};
use crate::lane::{Passage, Verdict};
use crate::numbers;
use crate::snapshot::ASSUMED_LIFE;
use crate::store::{Credential, FailureRecord, Lease, NewTokens};

/// A refreshed ID token is looked at for this long at most: the tokens are
/// stored by then, and the callers wait.
const ID_TOKEN_DEADLINE: Duration = Duration::from_secs(3);

/// First pause between two tries to store, doubled up to the second.
const STORE_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

impl Engine {
    /// Spends a lease that ends at `lease_ends`.
    pub(super) async fn spend(
        &self,
        lease: Lease,
        lease_ends: Instant,
        passage: Passage,
    ) -> Outcome {
        let credential = &lease.credential;
        let Some(provider) = self.parts.providers.get(&credential.binding.provider) else {
            tracing::error!(provider = %credential.binding.provider, "the provider is not switched on");
            let error = TokenError::of(FailureClass::ClientMisconfigured);
            return self.failed(&lease, error).await;
        };
        let sealed = credential
            .sealed_refresh_token
            .as_deref()
            .unwrap_or_default();
        let refresh_token = match self
            .parts
            .keys
            .open_refresh_token(sealed, &credential.binding)
        {
            Ok(token) => token,
            Err(error) => {
                tracing::error!(account.id = %credential.account, %error, "a stored refresh token does not open");
                let error = TokenError::of(FailureClass::UnsealFailed);
                return self.failed(&lease, error).await;
            }
        };
        let asked_at = self.parts.clock.now();
        let sent_at = Instant::now();
        let answer = tokio::time::timeout(
            self.parts.timing.provider_deadline(),
            provider.refresh(&refresh_token),
        )
        .await
        .unwrap_or(Err(TokenError::of(FailureClass::OutcomeUnknown)));
        // The provider's part is over: the seat is the next one's.
        let (verdict, outcome) = match &answer {
            Ok(_) => (Verdict::Healthy, "refreshed"),
            Err(error) => (Verdict::of(error), error.class.reason()),
        };
        passage.tell(credential.account, verdict, &self.parts.jitter);
        numbers::refresh(provider.name(), outcome, sent_at.elapsed());
        match answer {
            Ok(response) => {
                // Sealed and stored before anything is looked at that may fail.
                let tokens = match self.seal(credential, &response, asked_at) {
                    Ok(tokens) => tokens,
                    Err(error) => {
                        tracing::error!(account.id = %credential.account, %error, "the provider's tokens cannot be sealed");
                        let mut failure = TokenError::of(FailureClass::MalformedResponse);
                        failure.rotated = response.refresh_token;
                        return self.failed(&lease, failure).await;
                    }
                };
                self.store_tokens(&lease, &provider, &tokens, response, lease_ends)
                    .await
            }
            Err(error) => {
                let error = without_token(error, &refresh_token);
                self.not_refreshed(&lease, &provider, error).await
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
                "the provider does not say how long its token lives: a short life is assumed"
            );
        }
        let sealed_refresh_token = response
            .refresh_token
            .as_ref()
            .map(|token| key.seal_refresh_token(token, binding))
            .transpose()?;
        Ok(NewTokens {
            sealed_access_token: key.seal_access_token(&response.access_token, binding)?,
            // From the moment of asking: the provider's clock began later.
            access_token_expires_at: asked_at + response.expires_in.unwrap_or(ASSUMED_LIFE),
            sealed_refresh_token,
            granted_scopes: response.granted_scopes.clone(),
            refreshed_at: asked_at,
        })
    }

    /// Stores until it is stored or the lease ends. No token is answered whose
    /// refresh token was not stored.
    async fn store_tokens(
        &self,
        lease: &Lease,
        provider: &Provider,
        tokens: &NewTokens,
        response: TokenResponse,
        lease_ends: Instant,
    ) -> Outcome {
        let account = lease.credential.account;
        let mut wait = STORE_PAUSES.0;
        let stored = loop {
            match self.parts.store.commit(lease, tokens).await {
                Ok(stored) => break stored,
                Err(error) if Instant::now() + wait < lease_ends => {
                    tracing::warn!(account.id = %account, %error, "refreshed tokens are not stored yet");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(STORE_PAUSES.1);
                }
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
            }
        };
        let Some(credential) = stored else {
            // A reconnect replaced the grant, or it was revoked, or another took
            // over after the lease: what is stored counts.
            tracing::info!(account.id = %account, "the grant changed during its refresh: the stored one counts");
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
            && another_person(provider, &credential, id_token, &response.access_token).await
        {
            tracing::error!(account.id = %account, "the provider refreshed the grant of another person");
            return self
                .bury(&credential, None, FailureClass::InvalidRefreshToken)
                .await;
        }
        Ok(self.admit(&credential).await)
    }

    /// The provider gave no token.
    async fn not_refreshed(
        &self,
        lease: &Lease,
        provider: &Provider,
        error: TokenError,
    ) -> Outcome {
        let credential = &lease.credential;
        tracing::warn!(
            account.id = %credential.account,
            provider = %credential.binding.provider,
            reason = error.class.reason(),
            code = error.code.as_deref(),
            description = error.description.as_deref(),
            "the provider gave no token"
        );
        if !error.class.is_terminal() {
            return self.failed(lease, error).await;
        }
        // Refused after a request that was never answered: that one rotated the
        // token and its answer is lost. Only such a refusal proves it: requests
        // that are not answered are an outage, and no grant dies of one. For people the remedy is the same, for an
        // operator it is another matter.
        let lost = error.class == FailureClass::InvalidRefreshToken
            && provider.rotation() == Rotation::Strict
            && credential.attempts > 1;
        let class = if lost {
            FailureClass::RotationLost
        } else {
            error.class
        };
        self.bury(credential, Some(lease), class).await
    }

    /// Stores a failure that leaves the grant alive, with its pause.
    async fn failed(&self, lease: &Lease, error: TokenError) -> Outcome {
        let credential = &lease.credential;
        let failures = credential
            .failure
            .map_or(1, |failure| failure.count.saturating_add(1));
        let pause = pause(
            error.class,
            failures,
            error.retry_after,
            self.parts.jitter.next(),
        );
        let record = FailureRecord {
            class: error.class,
            pause,
            outcome_unknown: error.class == FailureClass::OutcomeUnknown,
            sealed_refresh_token: self.seal_rotated(credential, error.rotated.as_ref()),
        };
        match self.parts.store.record_failure(lease, &record).await {
            Ok(Some(credential)) => Ok(self.admit(&credential).await),
            Ok(None) => {
                self.parts.store.release(lease).await?;
                self.read(credential.account).await
            }
            Err(store_error) => {
                tracing::warn!(account.id = %credential.account, error = %store_error, "a failure was not stored");
                let retry_after = (!error.class.is_operators()).then_some(pause);
                Err(EngineError::no_token(error.class, retry_after))
            }
        }
    }

    fn seal_rotated(
        &self,
        credential: &Credential,
        rotated: Option<&RefreshToken>,
    ) -> Option<Vec<u8>> {
        let sealed = self
            .parts
            .keys
            .sealing_key()
            .seal_refresh_token(rotated?, &credential.binding);
        sealed
            .inspect_err(|error| {
                tracing::error!(account.id = %credential.account, %error, "a rotated refresh token cannot be sealed and is lost");
            })
            .ok()
    }
}

/// A provider may echo what it was sent; a log must not.
fn without_token(mut error: TokenError, token: &RefreshToken) -> TokenError {
    for text in [&mut error.code, &mut error.description] {
        // The texts are cut off at a length: the start of the token tells.
        let start: String = token.expose().chars().take(8).collect();
        if text.as_ref().is_some_and(|text| text.contains(&start)) {
            *text = Some("[redacted: had the token in it]".to_owned());
        }
    }
    error
}

/// True where a refreshed ID token is another person's (OpenID Connect Core
/// section 12.2). One that cannot be checked proves nothing either way.
async fn another_person(
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
            tracing::warn!(account.id = %credential.account, %error, "a refreshed ID token proves nothing");
            false
        }
        Ok(Ok(_)) | Err(_) => false,
    }
}
