//! A refresh that brought no token: the backoff or the end that comes of it.

use latchkey_domain::RefreshToken;
use latchkey_providers::{Delivery, FailureClass, Provider, Rotation, TokenError};
use tokio::time::Instant;

use super::backoff::backoff_in_outage;
use super::refresh::{retry_until_stored, rotated_token_deadline};
use super::single_flight::RefreshResult;
use super::verdict::{self, Refusal, Verdict};
use super::{Engine, EngineError, RefreshOptions, backoff, local_failures};
use crate::store::{Credential, DeadReason, FailureRecord, Lease};
use crate::upstream::Upstream;

/// What is known of a failure beside what the provider said.
#[derive(Debug, Clone, Copy)]
struct FailureContext {
    /// The grant was refused, and may serve again.
    refused: bool,
    /// The provider serves nobody.
    outage: bool,
}

/// Collects what is known of a refused grant. The upstream learns of a final refusal, because
/// it knows whether other grants are refused as well.
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
    /// The provider gave no token.
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
            "the provider gave no token"
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

    /// What one API asks for can be had from the person alone. The grant serves all others
    /// as before.
    async fn return_challenge(
        &self,
        lease: &Lease,
        error: &TokenError,
        challenge: &str,
    ) -> RefreshResult {
        let account = lease.credential.account;
        let give_up = lease
            .ends
            .min(Instant::now() + self.parts.timing.time_to_store());
        let release = || self.parts.store.release_unused(lease);
        retry_until_stored(account, give_up, release).await?;
        let claims = error.claims.as_deref().unwrap_or(challenge);
        Err(EngineError::no_token(error.class, None).with_claims(Some(claims.into())))
    }

    /// A failure that leaves the grant alive.
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
        // The refresh token may have been spent with an answer that has none in
        // its place. A strict provider takes a second use for theft, so there is
        // one replay, in case it answered without spending anything.
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

    /// Stores a failure that leaves the grant alive, with its backoff.
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
        // A rotated token that came with the failure is a token to keep.
        let give_up = match record.sealed_refresh_token {
            Some(_) => rotated_token_deadline(lease),
            None => lease
                .ends
                .min(Instant::now() + self.parts.timing.time_to_store()),
        };
        match retry_until_stored(credential.account, give_up, store).await {
            Ok(Some(credential)) => Ok(self.open_and_cache(&credential)),
            Ok(None) => {
                self.parts.store.release(lease).await?;
                self.read(credential.account).await
            }
            Err(store_error) => {
                tracing::warn!(account.id = %credential.account, error = %store_error, "a failure was not stored");
                let retry_after = (!error.class.is_operators()).then_some(backoff);
                Err(EngineError::no_token(error.class, retry_after))
            }
        }
    }

    /// Gives the lease back where this replica could not spend it: another one
    /// may. The local_failures is remembered in this replica alone.
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
        let give_up = lease
            .ends
            .min(Instant::now() + self.parts.timing.time_to_store());
        if let Err(store_error) = retry_until_stored(credential.account, give_up, release).await {
            tracing::warn!(account.id = %credential.account, error = %store_error, "a lease was not given back: it ends by itself");
            let retry_after = (!error.class.is_operators()).then_some(backoff);
            return Err(EngineError::no_token(error.class, retry_after));
        }
        self.read(credential.account).await
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

    /// Marks a grant as dead, unless it is not the grant that died.
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
        // Another replica's refresh or a reconnect won: its token counts.
        if let Some(lease) = lease {
            store.release(lease).await?;
        }
        self.read(credential.account).await
    }
}

/// A provider may echo what it was sent; a log must not.
pub(super) fn redact_token(mut error: TokenError, token: &RefreshToken) -> TokenError {
    for text in [&mut error.code, &mut error.description] {
        // The texts are cut off at a length: the start of the token tells.
        let start: String = token.expose().chars().take(8).collect();
        if text.as_ref().is_some_and(|text| text.contains(&start)) {
            *text = Some("[redacted: had the token in it]".to_owned());
        }
    }
    error
}
