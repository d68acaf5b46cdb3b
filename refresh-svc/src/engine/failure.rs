//! Handling of a refresh that returned no token: a back-off, or the end of the grant.

use latchkey_domain::{RefreshToken, SealedRefreshToken};
use latchkey_providers::{Delivery, FailureClass, Provider, Rotation, TokenError};

use super::backoff::backoff_in_outage;
use super::single_flight::RefreshResult;
use super::storing::{result_deadline, retry_until_stored, rotated_token_deadline};
use super::verdict::{self, Refusal, Verdict};
use super::{Engine, EngineError, RefreshOptions, backoff, local_failures};
use crate::store::{Credential, DeadReason, FailureRecord, Lease};
use crate::upstream::Upstream;

/// What is known about a failure besides the provider's answer.
#[derive(Debug, Clone, Copy)]
struct FailureContext {
    /// The grant was refused, and a later refresh may succeed.
    refused: bool,
    /// The provider serves no grant at the moment.
    outage: bool,
}

/// Collects what is known about a refused grant. Final refusals are recorded at the
/// upstream, which knows whether other grants are refused as well.
fn refusal(lease: &Lease, provider: &Provider, upstream: &Upstream, error: &TokenError) -> Refusal {
    let credential = &lease.credential;
    let client = credential.client_id.as_deref();
    let mut refusal = Refusal {
        class: error.class,
        rotation: provider.rotation(),
        attempts: credential.attempts,
        refusals: credential.refusals,
        refused_for: credential.refused_for,
        client_changed: client.is_some_and(|client| client != provider.client_id()),
        burst: false,
    };
    let dies = matches!(
        verdict::judge(refusal),
        Verdict::Dead(
            FailureClass::InvalidRefreshToken | FailureClass::RotationLost | FailureClass::Refused
        )
    );
    refusal.burst = dies && upstream.record_refused(credential.account);
    refusal
}

impl Engine {
    /// Handles a failed refresh.
    pub(super) async fn handle_failure(
        &self,
        lease: &Lease,
        provider: &Provider,
        upstream: &Upstream,
        options: &RefreshOptions,
        error: TokenError,
    ) -> RefreshResult {
        let credential = &lease.credential;
        tracing::warn!(
            account.id = %credential.account,
            provider = %credential.binding.provider,
            reason = error.class.reason(),
            code = error.code.as_deref(),
            description = error.description.as_deref(),
            "the refresh failed"
        );
        if let Some(challenge) = &options.claims
            && error.class == FailureClass::InteractionRequired
        {
            return self.return_challenge(lease, &error, challenge).await;
        }
        match verdict::judge(refusal(lease, provider, upstream, &error)) {
            Verdict::Dead(class) => {
                let reason = DeadReason {
                    class,
                    claims: error.claims.as_deref(),
                };
                self.mark_dead(credential, Some(lease), reason).await
            }
            Verdict::Lives(class) => {
                let refused = class.heals() || error.class == FailureClass::Unknown;
                let error = TokenError { class, ..error };
                let of = FailureContext {
                    refused,
                    outage: !upstream.served_recently(),
                };
                self.handle_recoverable(lease, provider.rotation(), error, of)
                    .await
            }
        }
    }

    /// The API's claims challenge needs the person's interaction. The grant itself stays
    /// unchanged for all other callers.
    async fn return_challenge(
        &self,
        lease: &Lease,
        error: &TokenError,
        challenge: &str,
    ) -> RefreshResult {
        let account = lease.credential.account;
        let give_up = result_deadline(lease, self.parts.timing);
        let release = || self.parts.store.release_unused(lease);
        retry_until_stored(account, give_up, release).await?;
        let claims = error.claims.as_deref().unwrap_or(challenge);
        Err(EngineError::no_token(error.class).with_claims(Some(claims.into())))
    }

    /// Handles a failure after which the grant stays alive.
    async fn handle_recoverable(
        &self,
        lease: &Lease,
        rotation: Rotation,
        error: TokenError,
        of: FailureContext,
    ) -> RefreshResult {
        if local_failures::is_local(&error) {
            return self.record_local_failure(lease, &error).await;
        }
        // The provider may have used the refresh token up and returned no new one. A
        // strict provider treats a second use as theft, so there is exactly one replay,
        // in case the provider did not use it up.
        let unreadable = rotation == Rotation::Strict
            && error.delivery == Delivery::Unreadable
            && error.rotated.is_none();
        if unreadable && lease.credential.answered_unreadably {
            return self
                .mark_dead(
                    &lease.credential,
                    Some(lease),
                    FailureClass::RotationLost.into(),
                )
                .await;
        }
        self.record_failure(lease, error, unreadable, of).await
    }

    /// Stores a failure with its back-off. The grant stays alive.
    async fn record_failure(
        &self,
        lease: &Lease,
        error: TokenError,
        unreadable: bool,
        of: FailureContext,
    ) -> RefreshResult {
        let credential = &lease.credential;
        let failures = credential
            .failure
            .map_or(1, |failure| failure.count.saturating_add(1));
        let jitter = self.parts.jitter.next();
        let backoff = if of.outage {
            backoff_in_outage(error.class, failures, error.retry_after, jitter)
        } else {
            backoff(error.class, failures, error.retry_after, jitter)
        };
        let record = FailureRecord {
            class: error.class,
            backoff,
            outcome_unknown: unreadable || error.delivery == Delivery::Unanswered,
            unreadable,
            refused: of.refused,
            sealed_refresh_token: self.seal_rotated(credential, error.rotated.as_ref()),
        };
        let store = || self.parts.store.record_failure(lease, &record);
        // A rotated token in a failure must be stored like any other.
        let give_up = match record.sealed_refresh_token {
            Some(_) => rotated_token_deadline(lease),
            None => result_deadline(lease, self.parts.timing),
        };
        match retry_until_stored(credential.account, give_up, store).await {
            Ok(Some(credential)) => Ok(self.open_and_cache(&credential)),
            Ok(None) => {
                self.parts.store.release(lease).await?;
                self.read(credential.account).await
            }
            Err(store_error) => {
                tracing::warn!(account.id = %credential.account, error = %store_error, "a failure could not be stored");
                Err(EngineError::backing_off(error.class, backoff))
            }
        }
    }

    /// Releases the lease that this replica could not use, so that another one may. The
    /// failure is stored in this replica's memory only.
    pub(super) async fn record_local_failure(
        &self,
        lease: &Lease,
        error: &TokenError,
    ) -> RefreshResult {
        let credential = &lease.credential;
        let local_failures = &self.local_failures;
        let backoff = backoff(
            error.class,
            local_failures.count(credential),
            error.retry_after,
            self.parts.jitter.next(),
        );
        local_failures.remember(credential, error.class, backoff);
        let release = || self.parts.store.release_unused(lease);
        let give_up = result_deadline(lease, self.parts.timing);
        if let Err(store_error) = retry_until_stored(credential.account, give_up, release).await {
            tracing::warn!(account.id = %credential.account, error = %store_error, "a lease could not be released: it expires by itself");
            return Err(EngineError::backing_off(error.class, backoff));
        }
        self.read(credential.account).await
    }

    fn seal_rotated(
        &self,
        credential: &Credential,
        rotated: Option<&RefreshToken>,
    ) -> Option<SealedRefreshToken> {
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

    /// Marks a grant as dead, unless it was replaced meanwhile.
    pub(super) async fn mark_dead(
        &self,
        credential: &Credential,
        lease: Option<&Lease>,
        reason: DeadReason<'_>,
    ) -> RefreshResult {
        let store = &self.parts.store;
        let epoch = lease.map(|lease| lease.epoch);
        let mark = || store.mark_dead(credential, epoch, reason);
        let marked = match lease {
            Some(lease) => retry_until_stored(credential.account, lease.ends, mark).await,
            None => mark().await,
        };
        if let Some(dead) = marked? {
            tracing::warn!(
                account.id = %credential.account,
                provider = %credential.binding.provider,
                reason = reason.class.reason(),
                "the grant is dead: the person must sign in again"
            );
            return Ok(self.open_and_cache(&dead));
        }
        // The token of another replica's refresh or of a reconnect is valid.
        if let Some(lease) = lease {
            store.release(lease).await?;
        }
        self.read(credential.account).await
    }
}

/// Removes the token from a provider's error texts, which are logged: a provider may
/// echo it.
pub(super) fn redact_token(mut error: TokenError, token: &RefreshToken) -> TokenError {
    for text in [&mut error.code, &mut error.description] {
        // The texts are truncated, so the start of the token is searched.
        let start: String = token.expose().chars().take(8).collect();
        if text.as_ref().is_some_and(|text| text.contains(&start)) {
            *text = Some("[redacted: contained the token]".to_owned());
        }
    }
    error
}
